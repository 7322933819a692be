//! What is remembered of each SSRC under one set of keys.

use rustc_hash::FxHashMap;

use crate::window::{RtcpWindow, RtpWindow};

/// One SSRC.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) rtp: RtpWindow,
    pub(crate) rtcp: RtcpWindow,
    /// The SRTCP index that was sent last; counting begins with 1.
    pub(crate) rtcp_sent: u32,
}

/// The SSRCs of one direction. The caller bounds how many there may be.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    slots: FxHashMap<u32, u32>,
    by_slot: Vec<Stream>,
    /// SSRC and slot of the last one: packets of one stream come in runs.
    latest: Option<(u32, u32)>,
}

impl Streams {
    /// An SSRC that has been before.
    #[inline]
    pub(crate) fn find(&mut self, ssrc: u32) -> Option<&mut Stream> {
        let slot = match self.latest {
            Some((latest, slot)) if latest == ssrc => slot,
            _ => {
                let slot = *self.slots.get(&ssrc)?;
                self.latest = Some((ssrc, slot));
                slot
            }
        };
        self.by_slot.get_mut(slot as usize)
    }

    /// An SSRC, which begins now if it has not been before.
    #[inline]
    pub(crate) fn find_or_begin(&mut self, ssrc: u32) -> &mut Stream {
        let slot = match self.latest {
            Some((latest, slot)) if latest == ssrc => slot,
            _ => {
                let next = self.by_slot.len() as u32;
                let slot = *self.slots.entry(ssrc).or_insert(next);
                if slot == next {
                    self.by_slot.push(Stream::default());
                }
                self.latest = Some((ssrc, slot));
                slot
            }
        };
        &mut self.by_slot[slot as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ssrc_has_a_stream_of_its_own() {
        let mut streams = Streams::default();
        assert!(streams.find(1).is_none());
        streams.find_or_begin(1).rtcp_sent = 10;
        streams.find_or_begin(2).rtcp_sent = 20;
        assert_eq!(streams.find_or_begin(1).rtcp_sent, 10);
        assert_eq!(streams.find(2).map(|stream| stream.rtcp_sent), Some(20));
        assert_eq!(streams.find(1).map(|stream| stream.rtcp_sent), Some(10));
        assert!(streams.find(3).is_none());
    }
}
