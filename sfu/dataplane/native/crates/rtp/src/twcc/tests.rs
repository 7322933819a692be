use super::*;
use proptest::prelude::*;

const SENDER: Ssrc = Ssrc(1);
const MEDIA: Ssrc = Ssrc(2);
const WRAPS: [u16; 4] = [0, (1 << 15) - 1, 1 << 15, u16::MAX];

type Arrivals = Vec<(u16, Option<i64>)>;

fn feedback_of(arrivals: &[(u16, Option<i64>)], feedback_count: u8) -> TransportFeedback {
    TransportFeedback { sender_ssrc: SENDER, media_ssrc: MEDIA, feedback_count, arrivals: arrivals.to_vec() }
}

fn written(feedback: &TransportFeedback) -> Vec<u8> {
    let mut out = b"a".to_vec();
    serialise_feedback(feedback, &mut out);
    out.split_off(1)
}

fn parsed(body: &[u8]) -> Result<TransportFeedback, ParseError> {
    parse_feedback(SENDER, MEDIA, body)
}

/// What a receiver is told of arrivals.
fn told(arrivals: &[(u16, Option<i64>)]) -> Arrivals {
    parsed(&written(&feedback_of(arrivals, 0))).expect("feedback").arrivals
}

fn body_of(base: u16, count: u16, reference: u32, rest: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 1, 0, 0, 0, 2];
    body.extend_from_slice(&base.to_be_bytes());
    body.extend_from_slice(&count.to_be_bytes());
    body.extend_from_slice(&reference.to_be_bytes()[1..]);
    body.push(0);
    body.extend_from_slice(rest);
    body
}

/// Arrivals from a base on, each so many units of delta after the one before; `None` did not arrive.
fn arrivals_of(base: u16, start: i64, steps: &[Option<i64>]) -> Arrivals {
    let mut ticks = start;
    let mut arrivals = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        ticks += step.unwrap_or(0);
        arrivals.push((base.wrapping_add(index as u16), step.map(|_| ticks * DELTA_NS)));
    }
    arrivals
}

fn steps() -> impl Strategy<Value = Vec<Option<i64>>> {
    let gap = prop_oneof![0_i64..=40, 0_i64..=0x7FFF, -40_i64..=0];
    prop_oneof![
        prop::collection::vec(prop::option::of(gap), 1..400),
        prop::collection::vec(prop::option::of(Just(1_i64)), 1..60),
    ]
}

proptest! {
    #[test]
    fn feedback_survives_the_wire(wrap in 0_usize..4, start in 41_i64 * 400..1 << 31, steps in steps(), count: u8) {
        let feedback = feedback_of(&arrivals_of(WRAPS[wrap], start, &steps), count);
        let body = written(&feedback);
        prop_assert_eq!(body.len() % 4, 0);
        prop_assert_eq!(parsed(&body), Ok(feedback));
    }

    #[test]
    fn times_are_rounded_to_the_unit_and_errors_do_not_add_up(
        steps in prop::collection::vec(0..=10 * DELTA_NS, 1..200),
    ) {
        let mut at = 1_000_000_000;
        let mut arrivals = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            at += step;
            arrivals.push((number as u16, Some(at)));
        }
        for ((_, time), (_, meant)) in told(&arrivals).iter().zip(&arrivals) {
            let error = time.expect("an arrival") - meant.expect("an arrival");
            prop_assert!(error.abs() <= DELTA_NS / 2);
        }
    }

    #[test]
    fn any_bytes_are_feedback_or_refused(rest in prop::collection::vec(any::<u8>(), 0..60), count in 0_u16..100) {
        for body in [body_of(65_530, count, 5, &rest), rest] {
            if let Err(error) = parsed(&body) {
                prop_assert_eq!(error, ParseError("twcc"));
            }
        }
    }

    #[test]
    fn each_run_of_a_split_fits_one_packet(
        start in 0_i64..1 << 40,
        steps in prop::collection::vec((1_i64..=700, -10_000_000_000_i64..=10_000_000_000), 0..80),
        limit in 1_i64..=600,
    ) {
        let (mut number, mut at) = (start, 10_i64.pow(13));
        let mut arrivals = Vec::new();
        for (ahead, later) in steps {
            number += ahead;
            at += later;
            arrivals.push((number, at));
        }
        let runs: Vec<&[(i64, i64)]> = split_arrivals(&arrivals, limit).collect();
        prop_assert_eq!(&runs.concat(), &arrivals);
        for run in runs {
            prop_assert!(run[run.len() - 1].0 - run[0].0 < limit);
            let wire: Arrivals = run.iter().map(|(number, at)| (*number as u16, Some(*at))).collect();
            prop_assert_eq!(told(&wire).iter().filter(|(_, at)| at.is_some()).count(), run.len());
        }
    }
}

#[test]
fn times_are_rounded_to_the_nearest_unit_after_any_time_of_running() {
    for ticks in [7, (1 << 44) + 7] {
        for (nanoseconds, rounded) in [(-125_000, 0), (-124_999, 0), (124_999, 0), (125_000, 1)] {
            let arrivals = [(0, Some((ticks - 1) * DELTA_NS)), (1, Some(ticks * DELTA_NS + nanoseconds))];
            let read = told(&arrivals);
            let delta = read[1].1.expect("an arrival") - read[0].1.expect("an arrival");
            assert_eq!(delta, (1 + rounded) * DELTA_NS);
        }
    }
}

#[test]
fn numbers_left_out_did_not_arrive() {
    let at = Some(REFERENCE_NS);
    assert_eq!(
        told(&[(65_534, None), (65_535, at), (3, at)]),
        [(65_534, None), (65_535, at), (0, None), (1, None), (2, None), (3, at)]
    );
}

#[test]
fn what_is_told_twice_is_told_once() {
    let at = Some(REFERENCE_NS);
    assert_eq!(told(&[(7, at), (7, None), (8, at)]), [(7, at), (8, at)]);
}

#[test]
fn a_delta_that_does_not_fit_is_told_as_not_received() {
    let (at, far) = (Some(REFERENCE_NS), Some(REFERENCE_NS + 0x8000 * DELTA_NS));
    assert_eq!(told(&[(7, at), (8, far), (9, at)]), [(7, at), (8, None), (9, at)]);
}

#[test]
fn nothing_received_is_told_too() {
    let arrivals: Arrivals = (0..30).map(|number| (number, None)).collect();
    assert_eq!(told(&arrivals), arrivals);
}

#[test]
fn the_reference_time_wraps() {
    let turn = REFERENCE_NS << 24;
    assert_eq!(told(&[(1, Some(turn + REFERENCE_NS + DELTA_NS))]), [(1, Some(REFERENCE_NS + DELTA_NS))]);
}

#[test]
fn a_feedback_packet_is_written_as_the_draft_draws_it() {
    let at = |ticks: i64| Some(3 * REFERENCE_NS + ticks * DELTA_NS);
    let arrivals = [(0x0102, at(2)), (0x0103, None), (0x0104, at(258)), (0x0105, at(257))];
    // Base, count, reference, feedback count; two-bit vector 1 0 2 2; deltas 2, 256, -1; padding.
    let rest = [0xD2, 0x80, 2, 1, 0, 0xFF, 0xFF, 0];
    let mut expected = body_of(0x0102, 4, 3, &rest);
    expected[15] = 9;
    assert_eq!(written(&feedback_of(&arrivals, 9)), expected);
}

#[test]
fn each_kind_of_chunk_is_used_where_it_is_short() {
    let small = Some(1);
    let large = Some(300);
    let cases: [(Vec<Option<i64>>, &[u8]); 7] = [
        (vec![small; 20], &[0x20, 0x14]),
        (vec![None; 300], &[0x01, 0x2C]),
        (vec![small; 7], &[0x20, 0x07]),
        ([vec![small; 14], vec![large; 9]].concat(), &[0x20, 0x0E, 0x40, 0x09]),
        ([small, None].repeat(7), &[0xAA, 0xAA]),
        ([vec![small; 6], vec![None; 8]].concat(), &[0xBF, 0x00]),
        ([vec![small; 1], vec![large; 9]].concat(), &[0xDA, 0xAA, 0xEA, 0x00]),
    ];
    for (steps, chunks) in cases {
        let arrivals = arrivals_of(0, 2_560, &steps);
        let body = written(&feedback_of(&arrivals, 0));
        assert_eq!(&body[16..16 + chunks.len()], chunks);
        assert_eq!(told(&arrivals), arrivals);
    }
}

#[test]
fn each_kind_of_chunk_is_read() {
    // 5 not received; one-bit 0 11111 000 111 00; two-bit small, large, not received, small, 3 not received.
    let rest = [&[0x00, 0x05, 0x9F, 0x1C, 0xD8, 0x40][..], &[1; 9], &[0xFF, 0x00, 0x02]].concat();
    let read = parsed(&body_of(100, 5 + 14 + 7, 1, &rest)).expect("feedback").arrivals;
    assert!(read.iter().map(|(number, _)| *number).eq(100..126));
    let ticks = |(number, at): &(u16, Option<i64>)| Some((number - 100, ((*at)? - REFERENCE_NS) / DELTA_NS));
    let told: Vec<(u16, i64)> = read.iter().filter_map(ticks).collect();
    let ones = [(6, 1), (7, 2), (8, 3), (9, 4), (10, 5), (14, 6), (15, 7), (16, 8), (19, 9)];
    assert_eq!(told, [&ones[..], &[(20, 9 - 256), (22, 11 - 256)]].concat());
}

#[test]
fn more_statuses_than_are_told_of_are_not_read() {
    let read = parsed(&body_of(0, 2, 1, &[0xBF, 0xFF, 4, 4])).expect("feedback").arrivals;
    assert_eq!(read, [(0, Some(REFERENCE_NS + 4 * DELTA_NS)), (1, Some(REFERENCE_NS + 8 * DELTA_NS))]);
    assert_eq!(parsed(&body_of(0, 2, 1, &[0x3F, 0xFF, 4, 4])).expect("feedback").arrivals.len(), 2);
}

#[test]
fn what_contradicts_itself_is_refused() {
    let bodies = [
        Vec::new(),
        body_of(0, 1, 0, &[0x20]),
        body_of(0, 0, 0, &[0; 4]),
        body_of(0, MAX_STATUSES + 1, 0, &[0x1F, 0xFF, 0, 0]),
        body_of(0, 8_000, 0, &[0x1F, 0xFF, 0, 0]),
        body_of(0, 40, 0, &[0x20, 0x08, 1, 2]), // chunks end early
        body_of(0, 1, 0, &[0; 4]),              // an empty run
        body_of(0, 3, 0, &[0x20, 0x03, 1, 2]),  // deltas end early
        body_of(0, 1, 0, &[0x40, 0x01, 1]),     // half a delta
        body_of(0, 1, 0, &[0x60, 0x01, 0, 0]),  // a reserved status in a run
        body_of(0, 2, 0, &[0xF0, 0x00, 0, 0]),  // and in a vector
    ];
    for body in bodies {
        assert_eq!(parsed(&body), Err(ParseError("twcc")));
    }
}

#[test]
fn as_many_statuses_as_are_allowed_are_read() {
    let [high, low] = MAX_STATUSES.to_be_bytes();
    let read = parsed(&body_of(0, MAX_STATUSES, 0, &[high, low, 0, 0])).expect("feedback");
    assert_eq!(read.arrivals.len(), usize::from(MAX_STATUSES));
}

#[test]
fn a_split_cuts_only_where_it_must() {
    let mut steady: Vec<(i64, i64)> = (0..500).map(|number| (number, number * 1_000_000)).collect();
    let lengths = |arrivals: &[(i64, i64)]| -> Vec<usize> {
        split_arrivals(arrivals, STATUSES_PER_PACKET).map(<[_]>::len).collect()
    };
    assert_eq!(lengths(&steady), [500]);
    steady.push((500, 500_000_000));
    assert_eq!(lengths(&steady), [500, 1]);
    assert!(lengths(&[]).is_empty());
}
