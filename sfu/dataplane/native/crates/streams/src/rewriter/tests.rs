use focus_rtp::vp8::parse_vp8;
use focus_units::NS_PER_MS;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::offsets::MAX_GAP;

const WRAPS: [i64; 4] = [0, (1 << 15) - 1, 1 << 15, (1 << 16) - 1];
const TURN: i64 = 1 << 32;
const TS_WRAPS: [i64; 4] = [0, (1 << 31) - 1, TURN - 45_000, TURN - 1];
const A: Ssrc = Ssrc(1);
const B: Ssrc = Ssrc(2);
const C: Ssrc = Ssrc(3);
const START: Instant = Instant(1_000 * NS_PER_S);
const RATE: u32 = 90_000;
const FRAME: i64 = 3_000;

#[test]
fn a_quiet_route_is_small() {
    use crate::selector::EncodingSelector;
    let bytes = size_of::<SequenceRewriter>()
        + size_of::<TimestampMapper>()
        + size_of::<Vp8Rewriter>()
        + size_of::<EncodingSelector>();
    assert!(bytes <= 512, "{bytes}");
}

mod sequence_numbers;

mod timestamps;

mod vp8_descriptors;
