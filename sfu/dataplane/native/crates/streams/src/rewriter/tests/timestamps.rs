use super::*;

/// An encoder of the test: its RTP clock starts anywhere, and its publisher's NTP clock is one for all.
struct Encoding {
    id: ClockId,
    first_ts: i64,
    rate: i64,
    clock: StreamClock,
}

impl Encoding {
    fn silent(id: u32, first_ts: i64, first_at: Instant) -> Self {
        let clock = StreamClock::new(RATE, first_at, first_ts);
        Self { id: ClockId(id), first_ts, rate: RATE.into(), clock }
    }

    fn new(id: u32, first_ts: i64) -> Self {
        let mut made = Self::silent(id, first_ts, START);
        made.report(START, 0);
        made
    }

    fn ts(&self, captured_at: Instant) -> i64 {
        let ns = i128::from(captured_at - START);
        self.first_ts + ((ns * i128::from(self.rate) * 2 / i128::from(NS_PER_S) + 1).div_euclid(2)) as i64
    }

    fn report(&mut self, captured_at: Instant, ntp_error: i64) {
        let ts = self.ts(captured_at) as u32;
        self.clock.sender_report(captured_at, ntp(captured_at).wrapping_add_signed(ntp_error), ts);
    }

    fn map(&self, mapper: &mut TimestampMapper, now: Instant, ts: i64) -> i64 {
        mapper.map(now, self.id, &self.clock, ts)
    }

    fn is_ready(&self, mapper: &TimestampMapper, now: Instant) -> bool {
        mapper.ready(now, self.id, &self.clock)
    }
}

fn ntp(at: Instant) -> u64 {
    let ahead = (i128::from(at - START) << 32).div_euclid(NS_PER_S.into());
    0xE000_0000_0000_0000u64.wrapping_add_signed(ahead as i64)
}

fn assert_near(out: i64, first: i64, captured_at: Instant) {
    let truth = first as f64 + (captured_at - START) as f64 * f64::from(RATE) / NS_PER_S as f64;
    assert!((out as f64 - truth).abs() <= 2.0, "{out} is not near {truth}");
}

proptest! {
    #[test]
    fn timestamps_continue_within_a_tick_of_the_truth_over_switches(
        first in select(&TS_WRAPS[..]),
        starts in vec(select(&TS_WRAPS[..]), 3),
        steps in vec((0..3usize, 5 * NS_PER_MS..200 * NS_PER_MS, 0..3usize, 0..10u8), 1..80),
    ) {
        let mut encodings: Vec<Encoding> =
            (0..).zip(&starts).map(|(id, start)| Encoding::new(id, start + TURN)).collect();
        let mut mapper = TimestampMapper::new(first);
        for (number, (choice, delay_ns, reporting, chance)) in (0..).zip(steps) {
            let captured_at = START.after_ns(number * 33_300_000);
            let arrived_at = captured_at.after_ns(delay_ns);
            let ts = encodings[choice].ts(captured_at);
            encodings[choice].clock.received(ts);
            prop_assert!(encodings[choice].is_ready(&mapper, arrived_at));
            // The encoder rounds to its own clock, at the first packet too: half a tick each, and one of
            // ours.
            assert_near(encodings[choice].map(&mut mapper, arrived_at, ts), first, captured_at);
            if chance == 0 {
                let reporting = &mut encodings[reporting];
                reporting.report(captured_at, 0);
                mapper.sender_report(reporting.id, &reporting.clock);
            }
        }
    }

    #[test]
    fn an_encoding_that_lags_never_takes_time_back_and_is_soon_right(
        lag_ms in 0..=500i64, start in select(&TS_WRAPS[..]),
    ) {
        let (before, after) = (Encoding::new(0, 7), Encoding::new(1, start + TURN));
        let mut mapper = TimestampMapper::new(0);
        let mut sent: Vec<i64> = (0..30)
            .map(|number| START.after_ms(33 * number))
            .map(|at| before.map(&mut mapper, at, before.ts(at)))
            .collect();
        let switched_at = START.after_ms(33 * 29);
        for number in 0..60 {
            let captured_at = switched_at.after_ms(33 * number - lag_ms);
            let at = switched_at.after_ms(33 * number + 1);
            sent.push(after.map(&mut mapper, at, after.ts(captured_at)));
            if 33 * number > 2 * lag_ms {
                assert_near(sent[sent.len() - 1], 0, captured_at);
            }
        }
        prop_assert!(sent.is_sorted_by(|earlier, later| earlier < later));
    }

    #[test]
    fn sound_and_picture_stay_in_step_over_switches(
        choices in vec(0..3usize, 1..30), start in select(&TS_WRAPS[..]),
    ) {
        let encodings: Vec<Encoding> =
            (0..3).map(|id| Encoding::new(id, start + TURN + 1_000 * i64::from(id))).collect();
        let mut mapper = TimestampMapper::new(start);
        for (number, choice) in (0..).zip(choices) {
            let captured_at = START.after_ms(33 * number);
            let out = encodings[choice].map(&mut mapper, captured_at, encodings[choice].ts(captured_at));
            let reported = mapper.sender_report_timestamp(ntp(captured_at)).unwrap();
            prop_assert!((reported - out).abs() <= 1);
        }
    }
}

#[test]
fn packets_of_a_frame_get_one_timestamp_even_while_catching_up() {
    let (before, after) = (Encoding::new(0, 0), Encoding::new(1, 0));
    let mut mapper = TimestampMapper::new(0);
    before.map(&mut mapper, START, 90_000);
    let frames = [45_000, 48_000, 45_000, 48_000].map(|ts| after.map(&mut mapper, START, ts));
    assert_eq!(frames, [1, 1_501, 1, 1_501]);
}

#[test]
fn a_frame_from_before_the_first_keeps_its_distance() {
    let stream = Encoding::new(0, TURN);
    let mut mapper = TimestampMapper::new(1_000_000);
    assert_eq!(stream.map(&mut mapper, START, TURN), 1_000_000);
    assert_eq!(stream.map(&mut mapper, START, TURN - 960), 1_000_000 - 960);
}

#[test]
fn time_goes_on_over_the_wrap_of_the_publishers_clock() {
    let stream = Encoding::new(0, TURN - FRAME);
    let mut mapper = TimestampMapper::new(50);
    let out = [0, 1, 2, 3].map(|number| stream.map(&mut mapper, START, TURN - FRAME + number * FRAME));
    assert_eq!(out, [50, 50 + FRAME, 50 + 2 * FRAME, 50 + 3 * FRAME]);
}

#[test]
fn resuming_the_same_encoding_shows_the_time_that_passed() {
    let stream = Encoding::new(0, 0);
    let mut mapper = TimestampMapper::new(10);
    stream.map(&mut mapper, START, 0);
    assert_eq!(stream.map(&mut mapper, START.after_s(60), 60 * i64::from(RATE)), 10 + 60 * i64::from(RATE));
}

#[test]
fn the_first_encoding_waits_for_nothing() {
    let silent = Encoding::silent(0, 0, START);
    let mut mapper = TimestampMapper::new(0);
    assert!(mapper.clock().is_none());
    assert!(silent.is_ready(&mapper, START));
    silent.map(&mut mapper, START, 0);
    assert!(silent.is_ready(&mapper, START));
    assert_eq!(mapper.clock().map(|(id, _)| id), Some(silent.id));
}

/// Two encodings of which one or neither has sent a report.
fn unreported(at: Instant) -> [(Encoding, Encoding); 3] {
    [(true, false), (false, true), (false, false)].map(|(before, after)| {
        let (mut old, mut new) = (Encoding::silent(0, 0, at), Encoding::silent(1, 12_345, at));
        if before {
            old.report(at, 0);
        }
        if after {
            new.report(at, 0);
        }
        (old, new)
    })
}

#[test]
fn a_switch_waits_a_second_for_reports_of_both() {
    let now = START.after_s(10);
    for (old, new) in unreported(now) {
        let mut mapper = TimestampMapper::new(0);
        old.map(&mut mapper, now, 0);
        let end = now.after_s(MAX_REPORT_WAIT_S);
        assert!(!new.is_ready(&mapper, end.after_ns(-1)));
        assert!(new.is_ready(&mapper, end));
    }
}

#[test]
fn a_report_that_comes_between_two_packets_counts_at_the_switch() {
    let (mut old, new) = (Encoding::silent(0, 0, START), Encoding::new(1, 5_000));
    let mut mapper = TimestampMapper::new(0);
    old.map(&mut mapper, START.after_ms(20), 0);
    assert!(!new.is_ready(&mapper, START.after_ms(30)));
    old.report(START.after_ms(20), 0);
    mapper.sender_report(new.id, &new.clock);
    assert!(!new.is_ready(&mapper, START.after_ms(30)));
    mapper.sender_report(old.id, &old.clock);
    assert!(new.is_ready(&mapper, START.after_ms(30)));
    let captured_at = START.after_ms(100);
    assert_eq!(new.map(&mut mapper, START.after_ms(150), new.ts(captured_at)), old.ts(captured_at));
}

#[test]
fn with_reports_a_switch_is_ready_at_once() {
    let mut mapper = TimestampMapper::new(0);
    Encoding::new(0, 0).map(&mut mapper, START, 0);
    assert!(Encoding::new(1, 5).is_ready(&mapper, START));
}

#[test]
fn without_reports_time_goes_on_by_arrival() {
    for (old, new) in unreported(START) {
        let mut mapper = TimestampMapper::new(100);
        old.map(&mut mapper, START, 0);
        let switched_at = START.after_s(2);
        let out = 100 + 2 * i64::from(RATE);
        assert_eq!(new.map(&mut mapper, switched_at, 999), out);
        assert_eq!(new.map(&mut mapper, switched_at, 999 + FRAME), out + FRAME);
    }
}

#[test]
fn by_arrival_too_time_moves_by_a_tick_at_least() {
    let (old, new) = (Encoding::silent(0, 0, START), Encoding::silent(1, 0, START));
    let mut mapper = TimestampMapper::new(0);
    old.map(&mut mapper, START, 0);
    assert_eq!(new.map(&mut mapper, START, 999), 1);
}

#[test]
fn reports_that_contradict_arrival_are_not_believed() {
    for error_s in [-1_000_000, -MAX_DEVIATION_S - 1, MAX_DEVIATION_S + 1, 1_000_000] {
        let (old, mut new) = (Encoding::new(0, 0), Encoding::new(1, 0));
        new.report(START, error_s << 32);
        let mut mapper = TimestampMapper::new(0);
        old.map(&mut mapper, START, 0);
        let at = START.after_ms(100);
        assert_eq!(new.map(&mut mapper, at, new.ts(at)), i64::from(RATE / 10));
    }
}

#[test]
fn no_sender_report_can_be_made_before_there_is_one() {
    let mut mapper = TimestampMapper::new(0);
    assert_eq!(mapper.sender_report_timestamp(ntp(START)), None);
    let mut silent = Encoding::silent(0, 0, START);
    silent.map(&mut mapper, START, 0);
    assert_eq!(mapper.sender_report_timestamp(ntp(START)), None);
    silent.report(START, 0);
    mapper.sender_report(silent.id, &silent.clock);
    assert_eq!(mapper.sender_report_timestamp(ntp(START.after_s(1))), Some(RATE.into()));
}

#[test]
fn a_publishers_clock_that_runs_fast_is_followed_through_its_reports() {
    // 50 ppm over an hour are 180 ms: what counts is the report of now, not the first.
    let (mut fast, mut slow) = (Encoding::new(0, 0), Encoding::new(1, 0));
    fast.rate = 90_005;
    let mut mapper = TimestampMapper::new(0);
    fast.map(&mut mapper, START, 0);
    let hour = START.after_s(3_600);
    let last = fast.map(&mut mapper, hour, fast.ts(hour));
    for stream in [&mut fast, &mut slow] {
        stream.clock.received(stream.ts(hour));
        stream.report(hour, 0);
        mapper.sender_report(stream.id, &stream.clock);
    }
    let later = hour.after_ms(33);
    assert!((slow.map(&mut mapper, later, slow.ts(later)) - (last + 33 * 90)).abs() <= 1);
}
