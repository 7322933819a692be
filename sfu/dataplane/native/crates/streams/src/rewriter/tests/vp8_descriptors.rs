use super::*;

fn vp8(picture_id: Option<u16>, tl0_pic_idx: Option<u8>, key_idx: Option<u8>) -> Vp8Descriptor {
    let present = [(picture_id.is_some(), 0x80), (tl0_pic_idx.is_some(), 0x40), (key_idx.is_some(), 0x10)];
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

fn rewritten(rewriter: &mut Vp8Rewriter, source: Ssrc, seq: i64, picture: Vp8Descriptor) -> (u16, u8, u8) {
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
