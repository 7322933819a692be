//! RTP headers and their extensions (RFC 3550, RFC 8285), as far as a receiver's checks go.

/// What a fixed header says, and where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The last packet of a frame.
    pub marker: bool,
    /// The format.
    pub payload_type: u8,
    /// 16 bits of the sequence number.
    pub sequence_number: u16,
    /// In units of the format's clock.
    pub timestamp: u32,
    /// The RTP stream.
    pub ssrc: u32,
    /// Whether padding follows the payload.
    pub has_padding: bool,
    /// Bytes of the header with contributing sources and extensions.
    pub length: usize,
    extensions: Option<Extensions>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extensions {
    profile: u16,
    start: usize,
}

const ONE_BYTE_PROFILE: u16 = 0xBEDE;

impl Header {
    /// Read a header; None where the datagram is too short for what it claims.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        if datagram.len() < 12 || datagram[0] >> 6 != 2 {
            return None;
        }
        let mut length = 12 + 4 * usize::from(datagram[0] & 15);
        let mut extensions = None;
        if datagram[0] & 0x10 != 0 {
            let profile = u16_at(datagram, length)?;
            let words = u16_at(datagram, length + 2)?;
            extensions = Some(Extensions { profile, start: length + 4 });
            length += 4 + 4 * usize::from(words);
        }
        (length <= datagram.len()).then_some(Self {
            marker: datagram[1] & 0x80 != 0,
            payload_type: datagram[1] & 0x7f,
            sequence_number: u16_at(datagram, 2)?,
            timestamp: u32_at(datagram, 4)?,
            ssrc: u32_at(datagram, 8)?,
            has_padding: datagram[0] & 0x20 != 0,
            length,
            extensions,
        })
    }

    /// The value of an extension by its id, of either form.
    pub fn extension<'a>(&self, datagram: &'a [u8], id: u8) -> Option<&'a [u8]> {
        let Extensions { profile, start } = self.extensions?;
        let mut rest = datagram.get(start..self.length)?;
        let is_short = profile == ONE_BYTE_PROFILE;
        if !is_short && profile >> 4 != 0x100 {
            return None;
        }
        while let Some((&first, after)) = rest.split_first() {
            if first == 0 {
                rest = after; // padding between elements
                continue;
            }
            let (number, length, value) = if is_short {
                (first >> 4, usize::from(first & 15) + 1, after)
            } else {
                let (&length, value) = after.split_first()?;
                (first, usize::from(length), value)
            };
            if is_short && number == 15 {
                return None; // RFC 8285 section 4.2: stop here
            }
            if number == id {
                return value.get(..length);
            }
            rest = value.get(length..)?;
        }
        None
    }
}

/// Whether a datagram of the media range is RTCP (RFC 5761 section 4).
pub fn is_rtcp(datagram: &[u8]) -> bool {
    datagram.get(1).is_some_and(|kind| (192..=223).contains(kind))
}

/// Whether a datagram is RTP or RTCP (RFC 7983 section 7).
pub fn is_media(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| (128..=191).contains(first))
}

/// A payload without its padding; None where the padding claims more than there is.
pub fn unpad(payload: &[u8]) -> Option<&[u8]> {
    let padding = usize::from(*payload.last()?);
    if padding == 0 {
        return None;
    }
    payload.get(..payload.len().checked_sub(padding)?)
}

/// The number nearest to the newest one that ends in these 16 bits; None before the first there can be.
pub fn unwrap(number: u16, newest: Option<u64>) -> Option<u64> {
    let Some(newest) = newest else {
        return Some(u64::from(number));
    };
    let ahead = number.wrapping_sub(newest as u16) as i16;
    newest.checked_add_signed(i64::from(ahead))
}

/// Two bytes at an offset, big-endian.
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// Four bytes at an offset, big-endian.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PACKET: [u8; 26] = [
        0x90, 0xe0, 0x12, 0x34, 0, 0, 0, 9, 0, 0, 0, 7, // fixed
        0xbe, 0xde, 0, 2, 0x31, 0xab, 0xcd, 0, 0x42, 1, 2, 3, // extensions 3 and 4
        0xaa, 0xbb,
    ];

    #[test]
    fn a_header_is_read_field_by_field() {
        let header = Header::parse(&PACKET).expect("valid");
        assert!(header.marker && !header.has_padding);
        assert_eq!((header.payload_type, header.sequence_number), (0x60, 0x1234));
        assert_eq!((header.timestamp, header.ssrc, header.length), (9, 7, 24));
    }

    #[test]
    fn extensions_are_found_past_padding_and_missing_ones_are_not() {
        let header = Header::parse(&PACKET).expect("valid");
        assert_eq!(header.extension(&PACKET, 3), Some(&[0xab, 0xcd][..]));
        assert_eq!(header.extension(&PACKET, 4), Some(&[1, 2, 3][..]));
        assert_eq!(header.extension(&PACKET, 5), None);
    }

    #[test]
    fn two_byte_extensions_are_found_too() {
        let packet = [0x90, 0x60, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0x10, 0, 0, 2, 20, 1, 0xff, 0, 21, 2, 5, 6];
        let header = Header::parse(&packet).expect("valid");
        assert_eq!(header.extension(&packet, 20), Some(&[0xff][..]));
        assert_eq!(header.extension(&packet, 21), Some(&[5, 6][..]));
    }

    #[test]
    fn padding_is_taken_off_and_lies_about_it_are_refused() {
        assert_eq!(unpad(&[1, 2, 0, 2]), Some(&[1, 2][..]));
        assert_eq!(unpad(&[0, 0, 3]), Some(&[][..]));
        assert_eq!(unpad(&[1, 9]), None);
        assert_eq!(unpad(&[1, 0]), None);
        assert_eq!(unpad(&[]), None);
    }

    #[test]
    fn numbers_unwrap_both_ways_at_every_wrap() {
        assert_eq!(unwrap(65_535, None), Some(65_535));
        assert_eq!(unwrap(0, Some(65_535)), Some(65_536));
        assert_eq!(unwrap(65_535, Some(65_536)), Some(65_535));
        assert_eq!(unwrap(2, Some(131_070)), Some(131_074));
        assert_eq!(unwrap(65_535, Some(0)), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80), id in 1u8..15) {
            if let Some(header) = Header::parse(&bytes) {
                prop_assert!(header.length <= bytes.len());
                let _ = header.extension(&bytes, id);
            }
        }

        #[test]
        fn a_near_number_is_itself_again(newest in 40_000u64..1_000_000, ahead in -32_000i64..32_000) {
            let number = newest.checked_add_signed(ahead).expect("positive");
            prop_assert_eq!(unwrap(number as u16, Some(newest)), Some(number));
        }
    }
}
