//! One RTP stream of media as a receiver sees it, whichever path it came by.

use crate::description::Format;
use crate::histogram::Histogram;
use crate::reception::{Arrival, Place, Reception};
use crate::stamp;
use crate::vp8::Descriptor;

/// Between two requests for the first key frame. Shorter: an encoder that answers slowly makes several; longer: a
/// lost request costs that long.
pub const KEY_FRAME_PATIENCE_NS: i64 = 1_000_000_000;

/// One received RTP stream.
#[derive(Debug)]
pub struct Inbound {
    /// Its SSRC.
    pub ssrc: u32,
    /// Of its newest packet.
    pub payload_type: u8,
    /// Requests that were sent for packets.
    pub nacks_sent: i64,
    /// Requests that were sent for key frames.
    pub plis_sent: i64,
    format: Format,
    reception: Reception,
    asked_at_ns: Option<i64>,
}

/// A packet of it.
#[derive(Debug, Clone, Copy)]
pub struct MediaPacket<'a> {
    /// Its format.
    pub payload_type: u8,
    /// The sequence number, unwrapped.
    pub seq: u64,
    /// As on the wire.
    pub timestamp: u32,
    /// Without padding.
    pub payload: &'a [u8],
}

impl Inbound {
    /// A stream of which nothing has come yet.
    pub fn new(ssrc: u32, payload_type: u8, format: Format) -> Self {
        Self {
            ssrc,
            payload_type,
            nacks_sent: 0,
            plis_sent: 0,
            format,
            reception: Reception::default(),
            asked_at_ns: None,
        }
    }

    /// Whether it is video.
    pub fn is_video(&self) -> bool {
        self.format.is_video()
    }

    /// What came.
    pub fn reception(&self) -> &Reception {
        &self.reception
    }

    /// Count a packet, and its delay where it says when it was made.
    pub fn take(&mut self, packet: &MediaPacket<'_>, arrived_at_ns: i64, delays: &mut Histogram) -> Place {
        let descriptor = match self.format {
            Format::Vp8 => Descriptor::parse(packet.payload),
            _ => None,
        };
        self.payload_type = packet.payload_type;
        let place = self.reception.take(&Arrival {
            seq: packet.seq,
            timestamp: packet.timestamp,
            payload: packet.payload,
            descriptor,
        });
        if place != Place::Duplicate
            && let Some(made_at_ns) =
                descriptor.and_then(|found| stamp::read(&packet.payload[found.length..]))
        {
            delays.record(arrived_at_ns - made_at_ns);
        }
        place
    }

    /// Whether to ask for a key frame now: VP8 began without one. The request counts as sent.
    pub fn asks_for_key_frame(&mut self, now_ns: i64) -> bool {
        let began = self.reception.newest().is_some();
        if self.format != Format::Vp8 || !began || self.reception.counts().key_frames > 0 {
            return false;
        }
        if self.asked_at_ns.is_some_and(|asked| now_ns < asked + KEY_FRAME_PATIENCE_NS) {
            return false;
        }
        self.asked_at_ns = Some(now_ns);
        self.plis_sent += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(payload: &[u8]) -> MediaPacket<'_> {
        MediaPacket { payload_type: 96, seq: 1, timestamp: 0, payload }
    }

    fn stamped(is_key_frame: bool, made_at_ns: i64) -> Vec<u8> {
        [&Descriptor::write(true, 1, 1)[..], &stamp::write(is_key_frame, made_at_ns)].concat()
    }

    #[test]
    fn the_delay_of_each_packet_is_counted_once() {
        let (mut inbound, mut delays) = (Inbound::new(5, 96, Format::Vp8), Histogram::default());
        for _ in 0..2 {
            inbound.take(&packet(&stamped(false, 1_000)), 1_040, &mut delays);
        }
        assert_eq!(delays.counts()[40], 1);
        assert_eq!(delays.counts().iter().sum::<u64>(), 1);
    }

    #[test]
    fn a_key_frame_is_asked_for_with_patience_until_one_comes() {
        let (mut inbound, mut delays) = (Inbound::new(5, 96, Format::Vp8), Histogram::default());
        assert!(!inbound.asks_for_key_frame(0));
        inbound.take(&packet(&stamped(false, 0)), 0, &mut delays);
        let asked = [0, 1, KEY_FRAME_PATIENCE_NS - 1, KEY_FRAME_PATIENCE_NS]
            .map(|now| inbound.asks_for_key_frame(now));
        assert_eq!(asked, [true, false, false, true]);
        inbound.take(&MediaPacket { seq: 2, ..packet(&stamped(true, 0)) }, 0, &mut delays);
        assert!(!inbound.asks_for_key_frame(10 * KEY_FRAME_PATIENCE_NS));
        assert_eq!(inbound.plis_sent, 2);
    }

    #[test]
    fn sound_needs_no_key_frames() {
        let (mut inbound, mut delays) = (Inbound::new(5, 111, Format::Audio), Histogram::default());
        inbound.take(&packet(&[1, 2, 3]), 0, &mut delays);
        assert!(!inbound.asks_for_key_frame(0));
    }
}
