//! Queues, debts and probes of one peer together: what leaves, when, and in which order.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const START: Instant = Instant(10_000_000_000_000);
const ONE: RouteId = RouteId(1);
const TWO: RouteId = RouteId(2);

#[derive(Clone, Debug, PartialEq)]
struct Left {
    us: i64,
    name: String,
    size_bytes: usize,
    cluster: u32,
}

/// A pacer whose packets go out as soon as they may, on a virtual clock.
struct Wire {
    pacer: Pacer<String, String>,
    now: Instant,
    can_fill: bool,
    filler_bytes: usize,
    left: Vec<Left>,
    /// Milliseconds after the start, and the flow.
    cut: Vec<(i64, RouteId)>,
}

impl Wire {
    fn free() -> Self {
        Self {
            pacer: Pacer::default(),
            now: START,
            can_fill: true,
            filler_bytes: 300,
            left: Vec::new(),
            cut: Vec::new(),
        }
    }

    fn paced(rate_bps: f64, padding_bps: f64) -> Self {
        Self::limited(rate_bps, padding_bps, 250.0)
    }

    fn limited(rate_bps: f64, padding_bps: f64, limit_ms: f64) -> Self {
        let mut wire = Self::free();
        wire.pacer.set_pacing(START, rate_bps, padding_bps, limit_ms);
        wire
    }

    fn media(&mut self, size_bytes: usize, name: &str) {
        self.flow(ONE, size_bytes, name);
    }

    fn flow(&mut self, flow: RouteId, size_bytes: usize, name: &str) {
        if self.pacer.admits(self.now, size_bytes) {
            self.leave(name, size_bytes);
        } else {
            self.pacer.wait(self.now, flow, size_bytes, name.into());
        }
    }

    fn resend(&mut self, flow: RouteId, size_bytes: usize, name: &str) {
        if self.pacer.admits_resend(self.now, size_bytes) {
            self.leave(name, size_bytes);
        } else {
            assert!(self.pacer.wait_resend(self.now, flow, size_bytes, name.into()));
        }
    }

    fn until(&mut self, duration_ms: i64) {
        let end = START.after_ms(duration_ms);
        loop {
            self.poll();
            let at = self.pacer.next_timeout(self.can_fill);
            assert!(at.is_none_or(|at| at > self.now), "something was left undone");
            match at.filter(|at| *at <= end) {
                Some(at) => self.now = at,
                None => break,
            }
        }
        self.now = end;
    }

    fn poll(&mut self) {
        while let Some(flow) = self.pacer.overdue(self.now) {
            self.cut.push(((self.now - START) / NS_PER_MS, flow));
            self.pacer.sift(flow, |_| None);
        }
        while let Some(turn) = self.pacer.turn(self.now, self.can_fill) {
            match turn {
                Turn::Resend => {
                    let queued = self.pacer.take_resend().unwrap();
                    self.leave(&queued.item, queued.size_bytes);
                }
                Turn::Media => {
                    let queued = self.pacer.take().unwrap();
                    self.leave(&queued.item, queued.size_bytes);
                }
                Turn::Filler => self.leave("filler", self.filler_bytes),
            }
        }
    }

    fn leave(&mut self, name: &str, size_bytes: usize) {
        let (us, cluster) = ((self.now - START) / 1_000, self.pacer.cluster());
        self.left.push(Left { us, name: name.into(), size_bytes, cluster });
        self.pacer.sent(self.now, size_bytes);
    }

    fn names(&self) -> Vec<&str> {
        self.left.iter().map(|left| left.name.as_str()).collect()
    }

    fn probed(&self) -> Vec<(&str, u32)> {
        self.left.iter().map(|left| (left.name.as_str(), left.cluster)).collect()
    }

    /// Microseconds after the start.
    fn times(&self, name: &str) -> Vec<i64> {
        self.left.iter().filter(|left| left.name == name).map(|left| left.us).collect()
    }
}

#[test]
fn before_a_rate_is_set_all_leaves_at_once() {
    let mut wire = Wire::free();
    for _ in 0..100 {
        wire.media(1_400, "video");
    }
    assert_eq!(wire.times("video"), [0; 100]);
    assert_eq!(wire.pacer.next_timeout(true), None);
    assert!(!wire.pacer.wants_fillers());
}

#[test]
fn a_burst_is_spread_by_the_rate() {
    let mut wire = Wire::paced(2_000_000.0, 0.0);
    for _ in 0..4 {
        wire.media(1_100, "video");
    }
    assert_eq!(wire.pacer.waiting_packets(), 3);
    wire.until(100);
    assert_eq!(wire.times("video"), [0, 3_400, 7_800, 12_200]);
    assert_eq!(wire.pacer.waiting_packets(), 0);
}

#[test]
fn resends_go_before_video_and_fillers_after_all() {
    let mut wire = Wire::paced(1_000_000.0, 1_000_000.0);
    for name in ["a", "b"] {
        wire.media(1_000, name);
    }
    for name in ["c", "d"] {
        wire.resend(ONE, 1_000, name);
    }
    wire.until(33);
    assert_eq!(wire.names(), ["a", "c", "d", "b", "filler"]);
}

#[test]
fn sound_leaves_at_once_and_is_charged() {
    let mut wire = Wire::paced(1_000_000.0, 0.0);
    wire.media(1_000, "video");
    wire.media(1_000, "video");
    wire.leave("sound", 500);
    wire.until(100);
    assert_eq!(wire.times("sound"), [0]);
    assert_eq!(wire.times("video"), [0, 11_000]);
}

#[test]
fn what_comes_while_others_wait_goes_behind_them() {
    let mut wire = Wire::paced(1_000_000.0, 0.0);
    for name in ["a", "b", "c"] {
        wire.media(1_000, name);
    }
    wire.until(7);
    wire.media(1, "small");
    wire.until(100);
    assert_eq!(wire.names(), ["a", "b", "c", "small"]);
}

#[test]
fn a_resend_may_leave_at_once_while_video_waits() {
    let mut wire = Wire::paced(10_000_000.0, 0.0);
    while wire.pacer.admits(START, 1_000) {
        wire.media(1_000, "video");
    }
    wire.media(1_000, "video");
    wire.resend(ONE, 100, "resend");
    assert_eq!(wire.names().last(), Some(&"resend"));
}

#[test]
fn an_infinite_rate_lets_all_go_that_waits() {
    let mut wire = Wire::paced(100_000.0, 0.0);
    for _ in 0..5 {
        wire.media(1_000, "video");
    }
    wire.pacer.set_pacing(START, f64::INFINITY, 0.0, 250.0);
    wire.until(0);
    assert_eq!(wire.times("video"), [0; 5]);
}

#[test]
fn what_has_waited_for_too_long_is_overdue() {
    let mut wire = Wire::limited(100_000.0, 0.0, 200.0);
    wire.flow(ONE, 1_000, "x");
    wire.flow(TWO, 1_000, "y");
    wire.until(20);
    wire.flow(ONE, 1_000, "z");
    wire.until(50);
    for _ in 0..4 {
        wire.flow(TWO, 1_000, "y");
    }
    wire.until(500);
    // At 100 kbit/s a packet takes 80 ms: the one that came at 20 leaves at 159, those after it can't by 250.
    assert_eq!((wire.times("x"), wire.times("z")), (vec![0], vec![159_000]));
    assert_eq!(wire.times("y"), [79_000, 239_000]);
    assert_eq!(wire.cut, [(250, TWO)]);
}

#[test]
fn a_limit_is_a_time_within_reason() {
    for (limit_ms, expected_ms) in
        [(0.0, 0), (-1.0, 0), (f64::NAN, 0), (30.0, 30), (f64::INFINITY, MAX_QUEUE_LIMIT_MS as i64)]
    {
        let mut wire = Wire::limited(30_000.0, 0.0, limit_ms);
        for _ in 0..41 {
            wire.media(1_400, "a");
        }
        wire.until(20_000);
        assert_eq!(wire.cut, [(expected_ms, ONE)]);
    }
}

#[test]
fn the_limit_is_what_it_is_by_default_before_any_is_set() {
    let mut wire = Wire::free();
    wire.pacer.wait(START, ONE, 100, "held".into());
    let end = START.after_ms(DEFAULT_QUEUE_LIMIT_MS);
    assert_eq!(wire.pacer.overdue(end.after_ns(-1)), None);
    assert_eq!(wire.pacer.overdue(end), Some(ONE));
}

#[test]
fn queues_are_bounded() {
    let mut wire = Wire::free();
    for _ in 0..MAX_QUEUED {
        assert!(!wire.pacer.is_full());
        wire.pacer.wait(START, ONE, 1, "media".into());
        assert!(wire.pacer.wait_resend(START, ONE, 1, "resend".into()));
    }
    assert!(wire.pacer.is_full());
    assert!(!wire.pacer.wait_resend(START, ONE, 1, "resend".into()));
    assert_eq!(wire.pacer.waiting_packets(), 2 * MAX_QUEUED);
}

#[test]
fn what_has_no_size_keeps_its_place_and_waits_for_nothing_else() {
    let mut wire = Wire::paced(100_000.0, 0.0);
    wire.media(1_000, "a");
    wire.media(1_000, "b");
    wire.pacer.wait(START, ONE, 0, "nothing".into());
    assert_eq!(wire.pacer.waiting_packets(), 1);
    assert_eq!(wire.pacer.turn(START, true), None);
    wire.until(79);
    assert_eq!(wire.times("nothing"), wire.times("b"));
}

#[test]
fn what_waits_of_a_flow_can_be_changed_or_taken_away() {
    let mut wire = Wire::paced(1_000_000.0, 0.0);
    for (name, flow) in [("0", RouteId(9)), ("1", ONE), ("2", TWO), ("3", ONE), ("4", TWO)] {
        wire.flow(flow, 1_000, name);
    }
    wire.pacer.wait_resend(START, ONE, 10, "resend of 1".into());
    wire.pacer.wait_resend(START, TWO, 10, "resend of 2".into());
    wire.pacer.sift(ONE, |queued| (queued.item != "1").then_some(Queued { size_bytes: 0, ..queued }));
    let of = |flow| wire.pacer.of(flow).map(|one| (one.item.as_str(), one.size_bytes)).collect::<Vec<_>>();
    assert_eq!(of(ONE), [("3", 0)]);
    assert_eq!(of(TWO), [("2", 1_000), ("4", 1_000)]);
    assert_eq!(wire.pacer.oldest().map(|oldest| oldest.item.as_str()), Some("2"));
    assert!(wire.pacer.holds(ONE));
    assert!(wire.pacer.holds(TWO));
    assert!(!wire.pacer.holds(RouteId(9)));
    wire.pacer.forget(TWO);
    assert!(!wire.pacer.holds(TWO));
    wire.until(100);
    assert!(!wire.pacer.holds(ONE));
    assert_eq!(wire.names(), ["0", "3", "resend of 1"]);
}

#[test]
fn padding_fills_up_to_its_rate_and_no_further() {
    let mut wire = Wire::paced(f64::INFINITY, 200_000.0);
    wire.until(1_000);
    assert!((82..=85).contains(&wire.times("filler").len()));
    let mut wire = Wire::paced(f64::INFINITY, 200_000.0);
    for at in (0..1_000).step_by(10) {
        wire.until(at);
        wire.media(250, "video");
    }
    wire.until(1_000);
    assert!(wire.times("filler").len() <= 2);
}

#[test]
fn padding_never_owes_more_than_the_rate_pays() {
    let mut wire = Wire::paced(100_000.0, 1_000_000.0);
    wire.until(1_000);
    assert!(wire.left.len() <= 43);
}

#[test]
fn padding_ends_when_it_is_not_wanted_any_more() {
    let mut wire = Wire::paced(f64::INFINITY, 200_000.0);
    wire.until(100);
    wire.pacer.set_pacing(wire.now, f64::INFINITY, 0.0, 250.0);
    let before = wire.left.len();
    wire.until(1_000);
    assert_eq!(wire.left.len(), before);
}

#[test]
fn without_a_carrier_there_are_no_fillers_and_nothing_to_wait_for() {
    let mut wire = Wire::paced(f64::INFINITY, 200_000.0);
    wire.pacer.probe(START, 1, 1_000_000.0, 5_000);
    wire.can_fill = false;
    wire.until(1_000);
    assert_eq!(wire.left, []);
    assert!(wire.pacer.wants_fillers());
}

#[test]
fn a_probe_is_filled_up_at_its_rate_whatever_the_pacing_rate_is() {
    let mut wire = Wire::paced(300_000.0, 0.0);
    wire.filler_bytes = 1_144;
    wire.pacer.probe(START, 7, 4_000_000.0, 7_500);
    wire.until(100);
    assert_eq!(wire.probed(), [("filler", 7); 7]);
    assert_eq!(wire.times("filler"), (0..7).map(|index| 2_288 * index).collect::<Vec<_>>());
}

#[test]
fn media_that_waits_is_part_of_a_probe_before_any_filler() {
    let mut wire = Wire::paced(300_000.0, 0.0);
    for name in ["a", "b", "c"] {
        wire.media(1_000, name);
    }
    wire.pacer.probe(START, 7, 4_000_000.0, 3_000);
    wire.until(20);
    let filler = ("filler", 7);
    assert_eq!(wire.probed(), [("a", 0), ("b", 7), ("c", 7), filler, filler, filler, filler]);
    assert_eq!(wire.times("c"), [2_000]);
}

#[test]
fn resends_are_part_of_a_probe_too() {
    let mut wire = Wire::paced(300_000.0, 0.0);
    wire.media(1_000, "video");
    wire.resend(ONE, 1_000, "resend");
    wire.pacer.probe(START, 7, 4_000_000.0, 1_000);
    wire.until(20);
    assert_eq!(wire.probed(), [("video", 0), ("resend", 7)]);
}

#[test]
fn what_a_probe_sent_is_owed() {
    let mut wire = Wire::paced(2_000_000.0, 0.0);
    wire.filler_bytes = 1_144;
    wire.pacer.probe(START, 7, 4_000_000.0, 7_500);
    wire.until(14);
    wire.media(1_000, "video");
    wire.until(100);
    // 8,008 bytes at 2 Mbit/s, a millisecond of which was paid in advance; 4 ms may be owed.
    assert_eq!(wire.times("video"), [31_032]);
}

proptest! {
    #[test]
    fn sound_never_waits_flows_keep_their_order_and_nothing_is_lost(
        rate_bps in 100_000..50_000_000u32,
        arrivals in vec((0..=20i64, 1..=3u32, 1..=1_400usize, 0..3u8), 0..60),
    ) {
        let mut wire = Wire::limited(rate_bps.into(), 0.0, f64::INFINITY);
        let (mut at, mut sent) = (0, Vec::new());
        for (index, (wait_ms, flow, size_bytes, kind)) in arrivals.into_iter().enumerate() {
            at += wait_ms;
            wire.until(at);
            let prefix = format!("{kind}{flow}.");
            let name = format!("{prefix}{index}");
            match kind {
                0 => {
                    wire.leave(&name, size_bytes);
                    prop_assert_eq!(wire.times(&name), [at * 1_000]);
                }
                1 => wire.flow(RouteId(flow), size_bytes, &name),
                _ => wire.resend(RouteId(flow), size_bytes, &name),
            }
            sent.push((prefix, name));
        }
        wire.until(at + 10_000);
        for (prefix, _) in &sent {
            let names: Vec<&str> = wire.names().into_iter().filter(|name| name.starts_with(prefix)).collect();
            let expected: Vec<&str> =
                sent.iter().filter(|other| other.0 == *prefix).map(|other| other.1.as_str()).collect();
            prop_assert_eq!(names, expected);
        }
        prop_assert_eq!(wire.pacer.waiting_packets(), 0);
    }
}
