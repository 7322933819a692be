//! The RTCP that a receiver writes and reads (RFC 3550 section 6, RFC 4585).

use crate::rtp::{u16_at, u32_at};
use crate::twcc::Report;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;

/// What a receiver says of one RTP stream (RFC 3550 section 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// The RTP stream.
    pub ssrc: u32,
    /// Of the packets since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Since the beginning.
    pub packets_lost: i64,
    /// 32 bits of the newest sequence number.
    pub newest: u32,
    /// The middle 32 bits of the last sender report's NTP time; 0 for none.
    pub last_sender_report: u32,
    /// Since then, in 1/65,536 s.
    pub delay: u32,
}

/// A compound packet in the making; it always begins with a receiver report.
#[derive(Debug)]
pub struct Compound {
    sender: u32,
    bytes: Vec<u8>,
}

impl Compound {
    /// Begin with what is to be said of streams, at most 31; none is fine.
    pub fn new(sender: u32, blocks: &[Block]) -> Self {
        let mut compound = Self { sender, bytes: Vec::with_capacity(256) };
        compound.packet(blocks.len() as u8, RECEIVER_REPORT, |bytes| {
            for block in blocks {
                bytes.extend(block.ssrc.to_be_bytes());
                let lost = block.packets_lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
                bytes.extend((u32::from(block.fraction_lost) << 24 | lost).to_be_bytes());
                bytes.extend(block.newest.to_be_bytes());
                bytes.extend(0_u32.to_be_bytes()); // jitter: nobody here asks for it
                bytes.extend(block.last_sender_report.to_be_bytes());
                bytes.extend(block.delay.to_be_bytes());
            }
        });
        compound
    }

    /// Ask for packets again, at most `MAX_MISSING` of them in order (RFC 4585 section 6.2.1).
    pub fn nack(&mut self, media: u32, numbers: &[u16]) {
        self.packet(1, TRANSPORT_FEEDBACK, |bytes| {
            bytes.extend(media.to_be_bytes());
            let mut rest = numbers;
            while let Some((&first, after)) = rest.split_first() {
                let near = after.iter().take_while(|number| number.wrapping_sub(first) <= 16).count();
                let mask = after[..near]
                    .iter()
                    .fold(0_u16, |mask, number| mask | 1 << (number.wrapping_sub(first) - 1));
                bytes.extend(first.to_be_bytes());
                bytes.extend(mask.to_be_bytes());
                rest = &after[near..];
            }
        });
    }

    /// Ask for a key frame (RFC 4585 section 6.3.1).
    pub fn pli(&mut self, media: u32) {
        self.packet(1, PAYLOAD_FEEDBACK, |bytes| bytes.extend(media.to_be_bytes()));
    }

    /// Add a report of arrivals.
    pub fn transport_feedback(&mut self, media: u32, report: &Report) {
        self.packet(15, TRANSPORT_FEEDBACK, |bytes| {
            bytes.extend(media.to_be_bytes());
            bytes.extend(&report.0);
        });
    }

    /// The bytes.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    fn packet(&mut self, count: u8, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend([0x80 | count, kind, 0, 0]);
        self.bytes.extend(self.sender.to_be_bytes());
        body(&mut self.bytes);
        let words = ((self.bytes.len() - start) / 4 - 1) as u16;
        self.bytes[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
    }
}

/// The sender reports in a compound packet, as (SSRC, the middle 32 bits of their NTP time).
pub fn sender_reports(compound: &[u8]) -> impl Iterator<Item = (u32, u32)> {
    let mut rest = compound;
    std::iter::from_fn(move || {
        loop {
            let kind = *rest.get(1)?;
            let length = 4 * (usize::from(u16_at(rest, 2)?) + 1);
            let packet = rest.get(..length)?;
            rest = &rest[length..];
            if kind == SENDER_REPORT
                && let (Some(ssrc), Some(seconds), Some(fraction)) =
                    (u32_at(packet, 4), u32_at(packet, 8), u32_at(packet, 12))
            {
                return Some((ssrc, seconds << 16 | fraction >> 16));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_compound_begins_with_a_receiver_report() {
        let block = Block {
            ssrc: 9,
            fraction_lost: 128,
            packets_lost: 5,
            newest: 0x0001_0002,
            last_sender_report: 3,
            delay: 4,
        };
        let bytes = Compound::new(7, &[block]).finish();
        let expected = [
            0x81, 201, 0, 7, 0, 0, 0, 7, 0, 0, 0, 9, 128, 0, 0, 5, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0,
            0, 4,
        ];
        assert_eq!(bytes, expected);
    }

    #[test]
    fn requests_near_each_other_share_a_mask_over_the_wrap() {
        let mut compound = Compound::new(7, &[]);
        compound.nack(9, &[65_535, 0, 15, 16]);
        let bytes = compound.finish();
        assert_eq!(bytes[8..], [0x81, 205, 0, 4, 0, 0, 0, 7, 0, 0, 0, 9, 0xff, 0xff, 0x80, 1, 0, 16, 0, 0]);
    }

    #[test]
    fn a_request_for_a_key_frame_names_sender_and_media() {
        let mut compound = Compound::new(7, &[]);
        compound.pli(9);
        assert_eq!(compound.finish()[8..], [0x81, 206, 0, 2, 0, 0, 0, 7, 0, 0, 0, 9]);
    }

    #[test]
    fn sender_reports_are_found_among_others() {
        let mut bytes = Compound::new(1, &[]).finish();
        bytes.extend([0x80, 200, 0, 6, 0, 0, 0, 5, 0, 1, 2, 3, 4, 5, 6, 7]);
        bytes.extend([0; 12]);
        assert_eq!(sender_reports(&bytes).collect::<Vec<_>>(), [(5, 0x0203_0405)]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_skipped(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            prop_assert!(sender_reports(&bytes).count() <= bytes.len() / 4);
        }
    }
}
