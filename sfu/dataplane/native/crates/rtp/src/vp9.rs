//! The VP9 payload descriptor (RFC 9628 section 4.2), as far as forwarding whole frames needs it.

use focus_units::ParseError;

const HAS_PICTURE_ID: u8 = 0x80;
const IS_INTER_PREDICTED: u8 = 0x40;
const HAS_LAYERS: u8 = 0x20;
const STARTS_FRAME: u8 = 0x08;
const ENDS_FRAME: u8 = 0x04;

const LONG: u8 = 0x80;

/// What stands before the VP9 bitstream. `None`: the field is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vp9Descriptor {
    first: u8,
    layers: u8,
    picture_id: u16,
}

impl Vp9Descriptor {
    /// First packet of a frame of one spatial layer.
    pub const fn starts_frame(self) -> bool {
        self.first & STARTS_FRAME != 0
    }

    /// Last packet of a frame of one spatial layer.
    pub const fn ends_frame(self) -> bool {
        self.first & ENDS_FRAME != 0
    }

    /// The frame depends on frames before it.
    pub const fn is_inter_predicted(self) -> bool {
        self.first & IS_INTER_PREDICTED != 0
    }

    /// Of 7 or 15 bits.
    pub fn picture_id(self) -> Option<u16> {
        (self.first & HAS_PICTURE_ID != 0).then_some(self.picture_id)
    }

    /// 0 to 7.
    pub fn temporal_id(self) -> Option<u8> {
        self.has_layers().then_some(self.layers >> 5)
    }

    /// 0 to 7.
    pub fn spatial_id(self) -> Option<u8> {
        self.has_layers().then_some(self.layers >> 1 & 7)
    }

    /// A receiver may go up to this temporal layer here.
    pub const fn switching_point(self) -> bool {
        self.has_layers() && self.layers & 0x10 != 0
    }

    /// The frame depends on the spatial layer below it.
    pub const fn inter_layer_predicted(self) -> bool {
        self.has_layers() && self.layers & 1 != 0
    }

    /// First packet of a key picture's lowest spatial layer.
    pub fn starts_key_frame(self) -> bool {
        self.starts_frame()
            && !self.is_inter_predicted()
            && self.spatial_id().is_none_or(|spatial| spatial == 0)
    }

    const fn has_layers(self) -> bool {
        self.first & HAS_LAYERS != 0
    }
}

/// Read the descriptor of a payload.
///
/// # Errors
///
/// `vp9`: it ends inside the descriptor.
pub fn parse_vp9(payload: &[u8]) -> Result<Vp9Descriptor, ParseError> {
    read(payload).ok_or(ParseError("vp9"))
}

fn read(payload: &[u8]) -> Option<Vp9Descriptor> {
    let mut bytes = payload.iter().copied();
    let first = bytes.next()?;
    let (mut picture_id, mut layers) = (0, 0);
    if first & HAS_PICTURE_ID != 0 {
        let high = bytes.next()?;
        picture_id = high.into();
        if high & LONG != 0 {
            picture_id = u16::from_be_bytes([high & !LONG, bytes.next()?]);
        }
    }
    if first & HAS_LAYERS != 0 {
        layers = bytes.next()?;
    }
    Some(Vp9Descriptor { first, layers, picture_id })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_descriptor_or_refused(payload in prop::collection::vec(any::<u8>(), 0..6)) {
            if let Err(error) = parse_vp9(&payload) {
                prop_assert_eq!(error, ParseError("vp9"));
            }
        }

        #[test]
        fn fields_are_read_whatever_the_others_are(
            first: u8,
            id in (0_u16..1 << 15, any::<bool>()),
            temporal in 0_u8..8,
            spatial in 0_u8..8,
            bits in (any::<bool>(), any::<bool>()),
        ) {
            let (id, is_long) = id;
            let id = if is_long { id } else { id & 0x7F };
            let mut payload = vec![first];
            if first & 0x80 != 0 && is_long {
                payload.extend((0x8000 | id).to_be_bytes());
            } else if first & 0x80 != 0 {
                payload.push(id as u8);
            }
            if first & 0x20 != 0 {
                payload.push(temporal << 5 | u8::from(bits.0) << 4 | spatial << 1 | u8::from(bits.1));
            }
            let read = parse_vp9(&payload).expect("a descriptor");
            let has_layers = first & 0x20 != 0;
            prop_assert_eq!(read.picture_id(), (first & 0x80 != 0).then_some(id));
            prop_assert_eq!(read.temporal_id(), has_layers.then_some(temporal));
            prop_assert_eq!(read.spatial_id(), has_layers.then_some(spatial));
            prop_assert_eq!(read.switching_point(), has_layers && bits.0);
            prop_assert_eq!(read.inter_layer_predicted(), has_layers && bits.1);
            prop_assert_eq!(read.starts_frame(), first & 8 != 0);
            prop_assert_eq!(read.ends_frame(), first & 4 != 0);
            prop_assert_eq!(read.is_inter_predicted(), first & 64 != 0);
            for end in 0..payload.len() {
                prop_assert!(parse_vp9(&payload[..end]).is_err());
            }
        }
    }

    #[test]
    fn the_descriptor_is_where_the_rfc_puts_it() {
        // I, P, L and E are set; a long picture id; temporal layer 2 and up-switch, spatial layer 1 and its
        // dependency.
        let read = parse_vp9(&[0xE4, 0x81, 0x23, 0x53, 0x00]).expect("a descriptor");
        assert!(!read.starts_frame() && read.ends_frame() && read.is_inter_predicted());
        assert_eq!(
            (read.picture_id(), read.temporal_id(), read.spatial_id()),
            (Some(0x123), Some(2), Some(1))
        );
        assert!(read.switching_point() && read.inter_layer_predicted());
    }

    #[test]
    fn a_key_frame_starts_with_the_first_packet_of_its_lowest_layer() {
        let cases: [(&[u8], bool); 8] = [
            (&[0x08], true),
            (&[0x0C], true),
            (&[0xA8, 0x81, 0x23, 0x00], true),
            (&[0xA8, 0x81, 0x23, 0x01], true),
            (&[0xA8, 0x81, 0x23, 0x03], false), // a higher spatial layer of the key picture
            (&[0xA0, 0x81, 0x23, 0x00], false), // not its first packet
            (&[0xE8, 0x81, 0x23, 0x00], false), // inter-picture predicted
            (&[0x48], false),
        ];
        for (payload, starts) in cases {
            assert_eq!(parse_vp9(payload).map(Vp9Descriptor::starts_key_frame), Ok(starts), "{payload:x?}");
        }
    }
}
