//! The VP8 payload descriptor (RFC 7741 section 4.2).

/// What stands before the VP8 data of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// The first packet of a frame: a first partition begins here.
    pub starts_frame: bool,
    /// Counts frames, in 7 or 15 bits.
    pub picture_id: Option<PictureId>,
    /// Counts frames of the base layer (TL0PICIDX).
    pub tl0: Option<u8>,
    /// The temporal layer.
    pub temporal_layer: Option<u8>,
    /// Bytes of the descriptor.
    pub length: usize,
}

/// A picture id and where it wraps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureId {
    /// The id.
    pub value: u16,
    /// 127 or 32,767.
    pub mask: u16,
}

impl PictureId {
    /// Whether this is the id of the frame right after that one.
    pub fn follows(self, before: Self) -> bool {
        self.value == before.value.wrapping_add(1) & self.mask
    }
}

/// Bytes of the descriptor that `Descriptor::write` makes.
pub const WRITTEN_LENGTH: usize = 6;

impl Descriptor {
    /// Read a descriptor; None where the payload ends within.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let first = *payload.first()?;
        let mut descriptor = Self {
            starts_frame: first & 0x17 == 0x10,
            picture_id: None,
            tl0: None,
            temporal_layer: None,
            length: 1,
        };
        if first & 0x80 == 0 {
            return Some(descriptor);
        }
        let has = *payload.get(1)?;
        let mut at = 2;
        if has & 0x80 != 0 {
            let high = *payload.get(at)?;
            descriptor.picture_id = Some(if high & 0x80 == 0 {
                at += 1;
                PictureId { value: u16::from(high), mask: 0x7f }
            } else {
                let low = *payload.get(at + 1)?;
                at += 2;
                PictureId { value: u16::from_be_bytes([high & 0x7f, low]), mask: 0x7fff }
            });
        }
        if has & 0x40 != 0 {
            descriptor.tl0 = Some(*payload.get(at)?);
            at += 1;
        }
        if has & 0x30 != 0 {
            let byte = *payload.get(at)?;
            descriptor.temporal_layer = (has & 0x20 != 0).then_some(byte >> 6);
            at += 1;
        }
        descriptor.length = at;
        Some(descriptor)
    }

    /// Whether a key frame starts in this payload: bit P of the frame tag (RFC 7741 section 4.3).
    pub fn starts_key_frame(&self, payload: &[u8]) -> bool {
        self.starts_frame && payload.get(self.length).is_some_and(|tag| tag & 1 == 0)
    }

    /// The descriptor of a packet of the base layer, with everything that our checks look at.
    pub fn write(starts_frame: bool, picture_id: u16, tl0: u8) -> [u8; WRITTEN_LENGTH] {
        let [high, low] = (picture_id | 0x8000).to_be_bytes();
        [0x80 | u8::from(starts_frame) << 4, 0xe0, high, low, tl0, 0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read() {
        let descriptor = Descriptor::parse(&Descriptor::write(true, 0x7abc, 200)).expect("valid");
        assert!(descriptor.starts_frame);
        assert_eq!(descriptor.picture_id, Some(PictureId { value: 0x7abc, mask: 0x7fff }));
        assert_eq!((descriptor.tl0, descriptor.temporal_layer), (Some(200), Some(0)));
        assert_eq!(descriptor.length, WRITTEN_LENGTH);
    }

    #[test]
    fn short_picture_ids_and_bare_descriptors_are_read() {
        let short = Descriptor::parse(&[0x90, 0x80, 0x7f, 0]).expect("valid");
        assert_eq!(short.picture_id, Some(PictureId { value: 0x7f, mask: 0x7f }));
        assert_eq!(short.length, 3);
        assert_eq!(Descriptor::parse(&[0x10]).expect("valid").length, 1);
        assert_eq!(Descriptor::parse(&[0x90, 0x80]), None);
    }

    #[test]
    fn a_later_partition_starts_no_frame() {
        assert!(!Descriptor::parse(&[0x11]).expect("valid").starts_frame);
        assert!(!Descriptor::parse(&[0x00]).expect("valid").starts_frame);
    }

    #[test]
    fn key_frames_are_told_by_the_tag_behind_the_descriptor() {
        let descriptor = Descriptor::parse(&[0x10, 0x50]).expect("valid");
        assert!(descriptor.starts_key_frame(&[0x10, 0x50]));
        assert!(!descriptor.starts_key_frame(&[0x10, 0x51]));
        assert!(!descriptor.starts_key_frame(&[0x10]));
    }

    #[test]
    fn picture_ids_follow_each_other_over_their_wraps() {
        let id = |value, mask| PictureId { value, mask };
        assert!(id(0, 0x7fff).follows(id(0x7fff, 0x7fff)));
        assert!(id(0, 0x7f).follows(id(0x7f, 0x7f)));
        assert!(!id(2, 0x7fff).follows(id(0, 0x7fff)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..10)) {
            if let Some(descriptor) = Descriptor::parse(&bytes) {
                prop_assert!(descriptor.length <= bytes.len());
            }
        }
    }
}
