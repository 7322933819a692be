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
