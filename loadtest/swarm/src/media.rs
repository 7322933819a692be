//! Who takes care of a participant's media: the lean path, str0m, or a publisher.

use str0m::media::Mid;
use str0m::rtp::RtpPacket;

use crate::description::{Description, Format};
use crate::histogram::Histogram;
use crate::inbound::{Inbound, MediaPacket};
use crate::keytap::Outcome;
use crate::lean::{Lean, MAX_STREAMS};
use crate::publisher::Publisher;

/// The media of one participant.
pub enum Media {
    /// A receiver's, from the keys on the lean path's.
    Awaited,
    /// A receiver's of the lean path.
    Lean(Box<Lean>),
    /// A receiver's of str0m, with the streams that it has told of.
    Full(Vec<Inbound>),
    /// A publisher's, by str0m.
    Publishing(Track),
}

/// A published track and its m-section.
pub struct Track {
    /// Of the section.
    pub mid: Mid,
    /// What makes the packets.
    pub publisher: Publisher,
    /// Whether it is to be sent, once there is a connection.
    pub is_wanted: bool,
}

/// What became of an SRTP or SRTCP datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It was read.
    Read,
    /// Nothing could be made of it.
    Unreadable,
    /// It came before the keys, and is dropped as browsers drop it.
    TooEarly,
    /// It is str0m's.
    NotOurs,
}

impl Media {
    /// Take a datagram, which is decrypted in place where it is read.
    pub fn receive(&mut self, datagram: &mut [u8], arrived_at_ns: i64, delays: &mut Histogram) -> Taken {
        match self {
            Self::Lean(lean) => match lean.receive(datagram, arrived_at_ns, delays) {
                Ok(()) => Taken::Read,
                Err(_) => Taken::Unreadable,
            },
            Self::Awaited => Taken::TooEarly,
            Self::Full(_) | Self::Publishing(_) => Taken::NotOurs,
        }
    }

    /// Take a packet that str0m has read.
    pub fn take(
        &mut self,
        packet: &RtpPacket,
        description: Option<&Description>,
        arrived_at_ns: i64,
        delays: &mut Histogram,
    ) {
        let Self::Full(streams) = self else {
            return;
        };
        let (ssrc, payload_type) = (*packet.header.ssrc, *packet.header.payload_type);
        let index = match streams.iter().position(|stream| stream.ssrc == ssrc) {
            Some(index) => index,
            None if streams.len() == MAX_STREAMS => return,
            None => {
                let format = description.and_then(|found| found.format(payload_type));
                streams.push(Inbound::new(ssrc, payload_type, format.unwrap_or(Format::Video)));
                streams.len() - 1
            }
        };
        let media = MediaPacket {
            payload_type,
            seq: *packet.seq_no,
            timestamp: packet.header.timestamp,
            payload: &packet.payload,
        };
        streams[index].take(&media, arrived_at_ns, delays);
    }

    /// Whether the path is not decided: the handshake is not through.
    pub fn awaits_keys(&self) -> bool {
        matches!(self, Self::Awaited)
    }

    /// Media that awaits keys goes over to the lean path when they are there, or to str0m where it has to be.
    pub fn adopt(&mut self, outcome: Outcome, description: Option<&Description>, ssrc: u32, now_ns: i64) {
        match outcome {
            Outcome::Pending => {}
            Outcome::Keys(keys) => {
                let description = description.cloned().unwrap_or_else(|| Description::parse(""));
                *self = Self::Lean(Box::new(Lean::new(&keys, description, ssrc, now_ns)));
            }
            Outcome::Passed => *self = Self::Full(Vec::new()),
        }
    }

    /// Take over what a later description says.
    pub fn describe(&mut self, description: &Description) {
        if let Self::Lean(lean) = self {
            lean.renegotiate(description.clone());
        }
    }

    /// The SRTCP that is due; str0m sends its own.
    pub fn feedback(&mut self, now_ns: i64) -> Vec<Vec<u8>> {
        match self {
            Self::Lean(lean) => lean.poll(now_ns),
            _ => Vec::new(),
        }
    }

    /// The streams of str0m for which a key frame is to be asked now.
    pub fn without_key_frame(&mut self, now_ns: i64) -> Vec<u32> {
        match self {
            Self::Full(streams) => {
                streams.iter_mut().filter_map(|s| s.asks_for_key_frame(now_ns).then_some(s.ssrc)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The published track.
    pub fn track(&self) -> Option<&Track> {
        match self {
            Self::Publishing(track) => Some(track),
            _ => None,
        }
    }

    /// The published track, to work on.
    pub fn track_mut(&mut self) -> Option<&mut Track> {
        match self {
            Self::Publishing(track) => Some(track),
            _ => None,
        }
    }

    /// The streams that are received.
    pub fn streams(&self) -> Vec<&Inbound> {
        match self {
            Self::Lean(lean) => lean.streams().collect(),
            Self::Full(streams) => streams.iter().collect(),
            Self::Awaited | Self::Publishing(_) => Vec::new(),
        }
    }

    /// Whether str0m carries it.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_) | Self::Publishing(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::Keys;
    use str0m::crypto::dtls::SrtpProfile;

    #[test]
    fn media_goes_where_the_keys_went() {
        let keys = || Keys::new(&[1; 56], SrtpProfile::AEAD_AES_128_GCM, true).expect("of its length");
        let adopted = |outcome| {
            let mut media = Media::Awaited;
            media.adopt(outcome, None, 1, 0);
            (media.awaits_keys(), media.is_full())
        };
        assert_eq!(adopted(Outcome::Pending), (true, false));
        assert_eq!(adopted(Outcome::Keys(keys())), (false, false));
        assert_eq!(adopted(Outcome::Passed), (false, true));
    }

    #[test]
    fn media_before_the_keys_is_dropped_and_that_of_str0m_left_alone() {
        let take = |mut media: Media| media.receive(&mut [0x80, 96], 0, &mut Histogram::default());
        assert_eq!(take(Media::Awaited), Taken::TooEarly);
        assert_eq!(take(Media::Full(Vec::new())), Taken::NotOurs);
    }
}
