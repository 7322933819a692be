//! Any bytes are feedback or refused, and feedback written again is the same feedback.
#![no_main]

use focus_rtp::twcc::{MAX_STATUSES, parse_feedback, serialise_feedback};
use focus_units::Ssrc;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let Ok(feedback) = parse_feedback(Ssrc(1), Ssrc(2), body) else { return };
    assert!((1..=usize::from(MAX_STATUSES)).contains(&feedback.arrivals.len()));
    let mut written = Vec::new();
    serialise_feedback(&feedback, &mut written);
    let again = parse_feedback(Ssrc(1), Ssrc(2), &written).expect("what was read can be written");
    let turn = (1_i64 << 24) * focus_rtp::twcc::REFERENCE_NS;
    let wire = |at: i64| at.rem_euclid(turn);
    assert_eq!(again.arrivals.len(), feedback.arrivals.len());
    for (ours, theirs) in again.arrivals.iter().zip(&feedback.arrivals) {
        assert_eq!(ours.0, theirs.0);
        assert_eq!(ours.1.map(wire), theirs.1.map(wire));
    }
});
