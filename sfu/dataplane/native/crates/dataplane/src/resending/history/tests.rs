use std::cell::RefCell;
use std::rc::Rc;

use focus_rtp::packet::RtpHeader;
use focus_rtp::vp8::parse_vp8;
use focus_streams::cache::PacketCaches;
use focus_streams::clock::StreamClock;
use focus_streams::selector::PacketFacts;
use focus_units::Ssrc;
use proptest::prelude::*;

use super::*;
use crate::packet::ReceptionId;

const START: Instant = Instant(0);

/// VP8, three packets a picture.
fn packet(cache: CacheId, seq: i64) -> Packet {
    let picture = seq.div_euclid(3);
    let [high, low] = (0x8000 | picture.rem_euclid(0x8000) as u16).to_be_bytes();
    let payload = [0x80, 0xF0, high, low, picture as u8, (picture as u8 / 30) & 0x1F, 0];
    let header = [0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    Packet {
        reception: ReceptionId(1),
        clock: Rc::new(RefCell::new(StreamClock::new(90_000, START, 0))),
        cache,
        ssrc: Ssrc(1),
        payload_type: 96,
        marker: false,
        facts: PacketFacts {
            encoding: 0,
            seq,
            ts: picture * 3_000,
            starts_key_frame: false,
            temporal: None,
            layer_sync: false,
            descriptor: None,
        },
        vp8: Some(parse_vp8(&payload).expect("a descriptor")),
        is_descriptor_unread: false,
        descriptor_id: None,
        header: RtpHeader::parse(&header).expect("a header"),
        payload: 0..0,
        data: Box::default(),
    }
}

/// As it goes out where so many packets and pictures were left out before.
fn sent(packet: &Packet, left_out: i64) -> Sent {
    let came = packet.vp8.expect("VP8");
    Sent {
        seq: packet.facts.seq + 100 - left_out,
        timestamp: (packet.facts.ts as u32).wrapping_add(77),
        payload_type: 96,
        vp8: Vp8Numbers {
            picture_id: (i64::from(came.picture_id().expect("an id")) - left_out / 3).rem_euclid(0x8000)
                as u16,
            tl0_pic_idx: came.tl0_pic_idx().expect("an index").wrapping_add(9),
            key_idx: came.key_idx().expect("an index"),
        },
        rewriting: None,
    }
}

fn cache() -> CacheId {
    PacketCaches::<()>::new(0).open()
}

#[test]
fn a_stream_of_which_nothing_is_left_out_is_one_run_whatever_its_rate() {
    let (mut history, cache) = (History::default(), cache());
    for seq in 0..5_000 {
        let packet = packet(cache, seq);
        history.remember(START.after_ms(seq), &sent(&packet, 0), &packet);
    }
    assert_eq!(history.runs.len(), 1);
    assert_eq!(history.newest(), Some(5_099));
    assert_eq!(history.source(5_099), Some((cache, 4_999)));
    assert_eq!(history.source(5_099 - MAX_SENT as i64), None);
}

#[test]
fn what_was_lost_on_the_way_to_us_is_not_known_before_it_comes() {
    let (mut history, cache) = (History::default(), cache());
    for seq in (0..50).filter(|seq| *seq != 20) {
        let packet = packet(cache, seq);
        history.remember(START, &sent(&packet, 0), &packet);
    }
    assert_eq!(history.source(120), None);
    let late = packet(cache, 20);
    history.remember(START, &sent(&late, 0), &late);
    assert_eq!(history.made(120, &late), Some(sent(&late, 0)));
    assert_eq!(history.runs.len(), 1);
}

#[test]
fn one_that_comes_late_and_is_made_otherwise_is_made_so_again_and_its_neighbours_are_not() {
    let (mut history, cache) = (History::default(), cache());
    for seq in (0..50).filter(|seq| *seq != 20) {
        let packet = packet(cache, seq);
        history.remember(START, &sent(&packet, 0), &packet);
    }
    let late = packet(cache, 20);
    let otherwise = Sent { timestamp: 1, ..sent(&late, 0) };
    history.remember(START, &otherwise, &late);
    assert_eq!(history.made(120, &late), Some(otherwise));
    for seq in [0, 19, 21, 49] {
        let packet = packet(cache, seq);
        assert_eq!(history.made(100 + seq, &packet), Some(sent(&packet, 0)));
    }
}

#[test]
fn a_stream_of_which_much_is_left_out_is_remembered_for_two_seconds() {
    let (mut history, cache) = (History::default(), cache());
    // Every other picture of 30 a second.
    for seq in (0..3_000).filter(|seq| seq / 3 % 2 == 0) {
        let packet = packet(cache, seq);
        history.remember(START.after_ms(seq * 1_000 / 90), &sent(&packet, (seq / 6) * 3), &packet);
    }
    assert!((29..=32).contains(&history.runs.len()));
}

#[test]
fn runs_are_never_more_than_packets() {
    let (mut history, cache) = (History::default(), cache());
    for seq in 0..5_000 {
        let packet = packet(cache, seq);
        let made = Sent { timestamp: seq as u32 * 7, ..sent(&packet, 0) };
        history.remember(START, &made, &packet);
    }
    assert_eq!(history.runs.len(), MAX_SENT);
}

proptest! {
    #[test]
    fn what_is_remembered_is_how_each_packet_was_made(
        steps in proptest::collection::vec((0_i64..1_500, 0_i64..4, any::<bool>()), 1..300),
        first in prop_oneof![Just(0_i64), Just(32_767), Just(65_535 * 3)],
    ) {
        let (mut history, cache) = (History::default(), cache());
        let mut expected = std::collections::BTreeMap::new();
        let mut next = first;
        for (back, left_out, is_late) in steps {
            let seq = if is_late { (next - back).max(first) } else { next };
            next = next.max(seq + 1 + back % 5);
            let packet = packet(cache, seq);
            let made = Sent { seq: seq + 100, ..sent(&packet, left_out * 3) };
            let newest = expected.keys().next_back().copied().unwrap_or(made.seq);
            if expected.contains_key(&made.seq) {
                continue;
            }
            history.remember(START, &made, &packet);
            if made.seq > newest - MAX_SENT as i64 {
                expected.insert(made.seq, (packet, made));
            }
        }
        let newest = *expected.keys().next_back().expect("one at least");
        prop_assert_eq!(history.newest(), Some(newest));
        for seq in first + 100..=newest {
            if let Some((packet, made)) = expected.get(&seq).filter(|_| seq > newest - MAX_SENT as i64) {
                prop_assert_eq!(history.source(seq), Some((cache, packet.facts.seq)));
                prop_assert_eq!(history.made(seq, packet), Some(*made));
            } else {
                prop_assert_eq!(history.source(seq), None);
            }
        }
    }
}
