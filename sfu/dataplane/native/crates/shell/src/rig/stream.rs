//! The packets of a publisher: VP8 of one layer, a key frame first.

use focus_units::Ssrc;

/// RTP header, and an extension block of one word-sized element each for mid and transport-wide number.
pub const HEADER_BYTES: usize = 12 + 4 + 8;

/// VP8 payload type; the mid is "0" with id 1, the transport-wide number has id 2.
const PAYLOAD_TYPE: u8 = 96;
const VP8_HEAD_BYTES: usize = 4;
const TICKS_PER_BURST: u32 = 3_000;

/// How long the packets of one burst are on the wire, encrypted.
#[derive(Clone, Debug)]
pub struct Sizes(Vec<usize>);

impl Sizes {
    /// Of each packet; what is shorter than a header and its payload's is taken for that.
    pub fn new(bytes: impl IntoIterator<Item = usize>) -> Self {
        let least = HEADER_BYTES + VP8_HEAD_BYTES + 2 + focus_srtp::TAG_BYTES;
        Self(bytes.into_iter().map(|bytes| bytes.max(least)).collect())
    }

    /// How many packets it is.
    pub fn packets(&self) -> usize {
        self.0.len()
    }
}

/// One RTP stream.
#[derive(Debug)]
pub struct Stream {
    ssrc: Ssrc,
    packets: Vec<Vec<u8>>,
    sequence_number: u16,
    transport_number: u16,
    picture_id: u16,
    timestamp: u32,
    has_begun: bool,
}

impl Stream {
    /// Under this SSRC.
    pub fn new(ssrc: Ssrc) -> Self {
        Self {
            ssrc,
            packets: Vec::new(),
            sequence_number: 0,
            transport_number: 0,
            picture_id: 0,
            timestamp: 0,
            has_begun: false,
        }
    }

    /// The next picture's packets, in the clear.
    pub fn burst(&mut self, sizes: &Sizes) -> &[Vec<u8>] {
        self.packets.resize_with(sizes.packets(), Vec::new);
        let count = sizes.packets();
        for (index, size_bytes) in sizes.0.iter().enumerate() {
            let is_first = index == 0;
            let starts_key_frame = is_first && !self.has_begun;
            self.has_begun = true;
            let packet = &mut self.packets[index];
            packet.clear();
            packet.push(0x90);
            packet.push(PAYLOAD_TYPE | if index + 1 == count { 0x80 } else { 0 });
            packet.extend_from_slice(&self.sequence_number.to_be_bytes());
            packet.extend_from_slice(&self.timestamp.to_be_bytes());
            packet.extend_from_slice(&self.ssrc.0.to_be_bytes());
            packet.extend_from_slice(&[0xBE, 0xDE, 0, 2]);
            packet.extend_from_slice(&[0x10, b'0', 0x21]);
            packet.extend_from_slice(&self.transport_number.to_be_bytes());
            packet.extend_from_slice(&[0; 3]);
            let [high, low] = (0x8000 | self.picture_id).to_be_bytes();
            packet.extend_from_slice(&[if is_first { 0x90 } else { 0x80 }, 0x80, high, low]);
            packet.push(u8::from(!starts_key_frame));
            packet.resize(size_bytes - focus_srtp::TAG_BYTES, 0x5A);
            self.sequence_number = self.sequence_number.wrapping_add(1);
            self.transport_number = self.transport_number.wrapping_add(1);
        }
        self.picture_id = (self.picture_id + 1) & 0x7FFF;
        self.timestamp = self.timestamp.wrapping_add(TICKS_PER_BURST);
        &self.packets
    }
}

#[cfg(test)]
mod tests {
    use focus_rtp::packet::RtpHeader;
    use focus_rtp::vp8::parse_vp8;

    use super::*;

    #[test]
    fn its_packets_are_pictures_of_vp8_after_one_key_frame() {
        let mut stream = Stream::new(Ssrc(1));
        let sizes = Sizes::new([1_100, 1_100, 300]);
        for picture in 0..3_u16 {
            let packets = stream.burst(&sizes).to_vec();
            for (index, packet) in packets.iter().enumerate() {
                assert_eq!(packet.len() + focus_srtp::TAG_BYTES, [1_100, 1_100, 300][index]);
                let header = RtpHeader::parse(packet).expect("a packet");
                assert_eq!(header.payload_range().start, HEADER_BYTES);
                assert_eq!(header.element(packet, Some(1)), Some(&b"0"[..]));
                assert_eq!(header.marker, index == 2);
                let vp8 = parse_vp8(header.payload(packet)).expect("a descriptor");
                assert_eq!(vp8.picture_id(), Some(picture));
                assert_eq!(vp8.starts_frame(), index == 0);
                assert_eq!(vp8.starts_key_frame(), (picture, index) == (0, 0));
            }
        }
    }
}
