//! H.264 payloads (RFC 6184): where a key frame starts.

const IDR: u8 = 5;
const SPS: u8 = 7;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

const UNIT_TYPE: u8 = 0x1F;
const FRAGMENT_STARTS: u8 = 0x80;

/// Whether a decoder can start with this packet: parameter sets, or the start of an IDR picture.
///
/// Anything malformed starts nothing.
pub fn starts_h264_key_frame(payload: &[u8]) -> bool {
    let Some((first, rest)) = payload.split_first() else { return false };
    match first & UNIT_TYPE {
        IDR | SPS => true,
        STAP_A => stap_holds_a_start(rest),
        FU_A => rest.first().is_some_and(|head| head & FRAGMENT_STARTS != 0 && head & UNIT_TYPE == IDR),
        _ => false,
    }
}

fn stap_holds_a_start(mut units: &[u8]) -> bool {
    while let [high, low, first, ..] = units {
        if matches!(first & UNIT_TYPE, IDR | SPS) {
            return true;
        }
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        units = units.get(2 + length..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const IDR_UNIT: &[u8] = b"\x65idr";
    const SLICE: &[u8] = b"\x41slice";
    const SPS_UNIT: &[u8] = b"\x67sps";
    const PPS: &[u8] = b"\x68pps";
    const SEI: &[u8] = b"\x06sei";

    fn aggregate(units: &[&[u8]]) -> Vec<u8> {
        let mut payload = vec![0x78];
        for unit in units {
            payload.extend((unit.len() as u16).to_be_bytes());
            payload.extend_from_slice(unit);
        }
        payload
    }

    #[test]
    fn a_key_frame_starts() {
        let payloads = [
            IDR_UNIT.to_vec(),
            SPS_UNIT.to_vec(),
            aggregate(&[SPS_UNIT, PPS]),
            aggregate(&[SEI, IDR_UNIT]),
            aggregate(&[PPS, SPS_UNIT, IDR_UNIT]),
            b"\x7C\x85start of an IDR".to_vec(),
        ];
        for payload in payloads {
            assert!(starts_h264_key_frame(&payload), "{payload:x?}");
        }
    }

    #[test]
    fn no_key_frame_starts() {
        let payloads = [
            Vec::new(),
            SLICE.to_vec(),
            PPS.to_vec(),
            SEI.to_vec(),
            aggregate(&[]),
            aggregate(&[SLICE, SEI]),
            aggregate(&[SEI, SPS_UNIT])[..8].to_vec(),
            b"\x78\x00".to_vec(),
            b"\x78\x00\x01".to_vec(),
            [b"\x78\x00\x09", SEI, b"\x00\x03", IDR_UNIT].concat(),
            b"\x7C".to_vec(),
            b"\x7C\x05middle of an IDR".to_vec(),
            b"\x7C\x45end of an IDR".to_vec(),
            b"\x5C\x81start of a slice".to_vec(),
            b"\x79\x85STAP-B".to_vec(),
        ];
        for payload in payloads {
            assert!(!starts_h264_key_frame(&payload), "{payload:x?}");
        }
    }

    proptest! {
        #[test]
        fn an_aggregate_starts_one_where_one_of_its_units_does(
            units in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..9), 0..6),
        ) {
            let one = units.iter().any(|unit| matches!(unit[0] & UNIT_TYPE, IDR | SPS));
            let units: Vec<&[u8]> = units.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(starts_h264_key_frame(&aggregate(&units)), one);
        }

        #[test]
        fn any_bytes_start_a_key_frame_or_none(mut payload in prop::collection::vec(any::<u8>(), 0..60), is_aggregate: bool) {
            if let (true, Some(first)) = (is_aggregate, payload.first_mut()) {
                *first = 0x78;
            }
            starts_h264_key_frame(&payload);
        }
    }
}
