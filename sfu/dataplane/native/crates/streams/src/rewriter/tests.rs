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

mod sequence_numbers {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fate {
        Forward,
        Drop,
        Lost,
        Late,
    }

    proptest! {
        #[test]
        fn receiver_sees_no_gap_whatever_we_drop(
            start in select(&WRAPS[..]), first in 0..1i64 << 15, keep in vec(any::<bool>(), 0..300),
        ) {
            let mut rewriter = SequenceRewriter::new(first);
            let mut out = vec![rewriter.forward(A, start).unwrap()];
            for (seq, kept) in (start + 1..).zip(keep) {
                if kept {
                    out.push(rewriter.forward(A, seq).unwrap());
                } else {
                    rewriter.drop(A, seq);
                }
            }
            prop_assert_eq!(&out, &(first..first + out.len() as i64).collect::<Vec<_>>());
            prop_assert_eq!(rewriter.next_seq(), first + out.len() as i64);
        }

        #[test]
        fn receiver_sees_no_gap_over_switches(
            starts in vec(select(&WRAPS[..]), 3), runs in vec((0..3usize, 1..=9, 0..=3), 0..60),
        ) {
            let mut rewriter = SequenceRewriter::new(5);
            let (mut seqs, mut out) = (starts, Vec::new());
            for (which, forwarded, dropped) in runs {
                let source = Ssrc(which as u32);
                for _ in 0..forwarded {
                    out.push(rewriter.forward(source, seqs[which]).unwrap());
                    seqs[which] += 1;
                }
                for _ in 0..dropped {
                    rewriter.drop(source, seqs[which]);
                    seqs[which] += 1;
                }
                for (other, seq) in seqs.iter_mut().enumerate() {
                    *seq += if other == which { 0 } else { 100 };
                }
            }
            prop_assert_eq!(&out, &(5..5 + out.len() as i64).collect::<Vec<_>>());
        }

        #[test]
        fn a_lost_packet_is_a_gap_that_its_late_arrival_fills(
            start in select(&WRAPS[..]),
            fates in vec(select(&[Fate::Forward, Fate::Drop, Fate::Lost, Fate::Late][..]), 0..150),
        ) {
            let mut rewriter = SequenceRewriter::new(0);
            let last = start + fates.len() as i64 + 1;
            let mut sent = vec![(start, rewriter.forward(A, start).unwrap())];
            for (seq, fate) in (start + 1..).zip(&fates) {
                match fate {
                    Fate::Forward => sent.push((seq, rewriter.forward(A, seq).unwrap())),
                    Fate::Drop => rewriter.drop(A, seq),
                    Fate::Lost | Fate::Late => {}
                }
            }
            sent.push((last, rewriter.forward(A, last).unwrap()));
            for (seq, _) in (start + 1..).zip(&fates).filter(|(_, fate)| **fate == Fate::Late) {
                sent.push((seq, rewriter.forward(A, seq).unwrap()));
            }
            for (seq, out) in sent {
                let dropped = (start + 1..seq).zip(&fates).filter(|(_, fate)| **fate == Fate::Drop).count();
                prop_assert_eq!(out, seq - start - dropped as i64);
            }
        }
    }

    #[test]
    fn packets_from_before_a_switch_never_pass() {
        let mut rewriter = SequenceRewriter::new(0);
        rewriter.forward(A, 100);
        rewriter.forward(B, 50);
        assert_eq!(rewriter.forward(B, 49), None);
        assert_eq!(rewriter.next_seq(), 2);
    }

    #[test]
    fn dropping_of_another_source_leaves_no_trace() {
        let mut rewriter = SequenceRewriter::new(0);
        rewriter.drop(A, 1);
        rewriter.forward(A, 100);
        rewriter.drop(B, 500);
        assert_eq!(rewriter.forward(A, 101), Some(1));
    }

    #[test]
    fn what_passed_during_a_pause_is_no_gap() {
        let mut rewriter = SequenceRewriter::new(0);
        rewriter.forward(A, 100);
        rewriter.pause();
        assert_eq!(rewriter.forward(A, 600), Some(1));
        assert_eq!(rewriter.forward(A, 599), None);
    }

    #[test]
    fn an_outage_too_long_to_repair_is_no_gap() {
        let mut rewriter = SequenceRewriter::new(0);
        rewriter.forward(A, 0);
        assert_eq!(rewriter.forward(A, 20_000), Some(1));
        assert_eq!(rewriter.forward(A, 20_000 + MAX_GAP + 1), Some(2 + MAX_GAP));
    }
}

mod timestamps {
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
        assert_eq!(
            stream.map(&mut mapper, START.after_s(60), 60 * i64::from(RATE)),
            10 + 60 * i64::from(RATE)
        );
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
}

mod vp8_descriptors {
    use super::*;

    fn vp8(picture_id: Option<u16>, tl0_pic_idx: Option<u8>, key_idx: Option<u8>) -> Vp8Descriptor {
        let present =
            [(picture_id.is_some(), 0x80), (tl0_pic_idx.is_some(), 0x40), (key_idx.is_some(), 0x10)];
        let mut payload = vec![0x90, present.iter().filter(|field| field.0).map(|field| field.1).sum()];
        if let Some(picture_id) = picture_id {
            payload.extend_from_slice(&(0x8000 | picture_id).to_be_bytes());
        }
        payload.extend(tl0_pic_idx);
        payload.extend(key_idx);
        payload.push(1);
        parse_vp8(&payload).unwrap()
    }

    fn picture(picture_id: u16) -> Vp8Descriptor {
        vp8(Some(picture_id), None, None)
    }

    fn numbered(number: i64) -> (u16, u8, u8) {
        ((number & 0x7FFF) as u16, number as u8, (number & 0x1F) as u8)
    }

    fn rewritten(
        rewriter: &mut Vp8Rewriter,
        source: Ssrc,
        seq: i64,
        picture: Vp8Descriptor,
    ) -> (u16, u8, u8) {
        let numbers = rewriter.rewrite(source, seq, picture).unwrap();
        (numbers.picture_id, numbers.tl0_pic_idx, numbers.key_idx)
    }

    fn picture_id(rewriter: &mut Vp8Rewriter, source: Ssrc, seq: i64, picture: Vp8Descriptor) -> u16 {
        rewritten(rewriter, source, seq, picture).0
    }

    #[test]
    fn the_first_source_passes_as_it_is() {
        let picture = vp8(Some(4_711), Some(200), Some(31));
        assert_eq!(rewritten(&mut Vp8Rewriter::default(), A, 1, picture), (4_711, 200, 31));
    }

    #[test]
    fn a_descriptor_without_numbers_passes() {
        let bare = parse_vp8(b"\x10\x01rest").unwrap();
        assert_eq!(rewritten(&mut Vp8Rewriter::new(), A, 1, bare), (0, 0, 0));
    }

    proptest! {
        #[test]
        fn picture_ids_continue_over_switches(
            starts in vec(select(&[0, (1 << 7) - 1, (1 << 15) - 2, (1 << 15) - 1][..]), 3),
            runs in vec((0..3usize, 1..=9), 1..60),
            packets in 1..=3,
        ) {
            let mut rewriter = Vp8Rewriter::new();
            let (first, mut pictures, mut seqs) = (starts[runs[0].0], starts, [0i64; 3]);
            let mut out = Vec::new();
            for (which, count) in runs {
                for _ in 0..count {
                    let (id, tl0_pic_idx, key_idx) = numbered(pictures[which]);
                    let picture = vp8(Some(id), Some(tl0_pic_idx), Some(key_idx));
                    for packet in 0..packets {
                        seqs[which] += 1;
                        let got = rewritten(&mut rewriter, Ssrc(which as u32), seqs[which], picture);
                        if packet == 0 {
                            out.push(got);
                        }
                        prop_assert_eq!(out.last(), Some(&got));
                    }
                    pictures[which] += 1;
                }
                for (other, number) in pictures.iter_mut().enumerate() {
                    *number += if other == which { 0 } else { 50 };
                }
            }
            prop_assert_eq!(&out, &(first..first + out.len() as i64).map(numbered).collect::<Vec<_>>());
        }

        #[test]
        fn picture_ids_continue_whatever_we_drop(
            start in select(&[0, 127, (1 << 15) - 1][..]), keep in vec(any::<bool>(), 0..200),
        ) {
            let mut rewriter = Vp8Rewriter::new();
            let mut out = vec![picture_id(&mut rewriter, A, 0, picture(start as u16))];
            for (n, kept) in (1..).zip(keep) {
                let picture = picture(numbered(start + n).0);
                if kept {
                    out.push(picture_id(&mut rewriter, A, n, picture));
                } else {
                    rewriter.drop(A, n, picture);
                    prop_assert_eq!(rewriter.rewrite(A, n, picture), None);
                }
            }
            prop_assert_eq!(&out, &(start..).map(|n| numbered(n).0).take(out.len()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_lost_picture_leaves_a_gap_that_it_fills_when_it_comes() {
        let mut rewriter = Vp8Rewriter::new();
        rewritten(&mut rewriter, A, 1, vp8(Some(10), Some(1), None));
        rewriter.drop(A, 2, picture(11));
        assert_eq!(picture_id(&mut rewriter, A, 4, vp8(Some(13), Some(3), None)), 12);
        assert_eq!(rewritten(&mut rewriter, A, 3, vp8(Some(12), Some(2), None)), (11, 2, 0));
    }

    #[test]
    fn late_packets_keep_the_numbers_of_their_picture() {
        let mut rewriter = Vp8Rewriter::new();
        rewritten(&mut rewriter, B, 1, vp8(Some(500), Some(50), Some(5)));
        for (seq, number) in [(1, 100), (2, 101), (4, 102)] {
            rewritten(&mut rewriter, A, seq, vp8(Some(number), Some(number as u8 - 100), Some(1)));
        }
        assert_eq!(rewritten(&mut rewriter, A, 3, vp8(Some(101), Some(1), Some(1))), (502, 52, 6));
        assert_eq!(rewritten(&mut rewriter, C, 1, vp8(Some(7), Some(7), Some(7))), (504, 54, 7));
    }

    #[test]
    fn seven_bits_go_on_at_their_wrap() {
        let mut rewriter = Vp8Rewriter::new();
        for n in 0..300u16 {
            let short = parse_vp8(&[0x90, 0x80, (n % 128) as u8, 1]).unwrap();
            assert_eq!(picture_id(&mut rewriter, A, n.into(), short), n);
        }
    }

    #[test]
    fn an_encoder_that_starts_anew_within_its_stream_goes_on() {
        let mut rewriter = Vp8Rewriter::new();
        for n in 0..5 {
            rewritten(&mut rewriter, A, n.into(), vp8(Some(1_000 + u16::from(n)), Some(100 + n), Some(3)));
        }
        assert_eq!(rewritten(&mut rewriter, A, 5, vp8(Some(20), Some(9), Some(30))), (1_005, 105, 4));
        rewriter.drop(A, 6, picture(3));
        assert_eq!(picture_id(&mut rewriter, A, 7, picture(4)), 1_006);
    }

    #[test]
    fn pictures_of_a_pause_leave_no_gap() {
        let mut rewriter = Vp8Rewriter::new();
        rewritten(&mut rewriter, A, 1, vp8(Some(10), Some(4), None));
        rewriter.pause();
        assert_eq!(rewritten(&mut rewriter, A, 400, vp8(Some(90), Some(70), None)), (11, 5, 0));
        assert_eq!(rewriter.rewrite(A, 399, picture(89)), None);
    }

    #[test]
    fn dropped_pictures_of_another_source_leave_no_trace() {
        let mut rewriter = Vp8Rewriter::new();
        rewritten(&mut rewriter, A, 1, picture(10));
        rewriter.drop(B, 5, picture(11));
        rewriter.drop(A, 2, vp8(None, Some(1), None));
        assert_eq!(picture_id(&mut rewriter, A, 3, picture(11)), 11);
    }

    #[test]
    fn fields_that_come_after_a_switch_only_start_as_they_are() {
        let mut rewriter = Vp8Rewriter::new();
        rewritten(&mut rewriter, A, 1, picture(10));
        assert_eq!(rewritten(&mut rewriter, B, 1, vp8(Some(99), Some(77), Some(9))), (11, 77, 9));
    }
}
