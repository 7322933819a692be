use focus_plane::PAUSED;
use proptest::prelude::*;

use super::*;

const TRACK: TrackHandle = TrackHandle(7);
const PLACES: usize = 8;

/// A trunk of few places whose reader can be far behind.
#[derive(Default)]
struct Narrow(VecDeque<Crossing>);

impl Link for Narrow {
    fn places(&self) -> usize {
        PLACES
    }

    fn free(&self) -> usize {
        PLACES - self.0.len()
    }

    fn push(&mut self, crossing: Crossing) {
        assert!(self.free() > 0, "there is no room");
        self.0.push_back(crossing);
    }
}

fn packet(seq: i64, payload_bytes: usize) -> Crossing {
    packet_for(seq, payload_bytes, Way::Onward)
}

fn packet_for(seq: i64, payload_bytes: usize, way: Way) -> Crossing {
    let mut data = vec![0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
    data.resize(data.len() + payload_bytes, 0);
    let header = RtpHeader::parse(&data).expect("it is a packet");
    let facts = PacketFacts {
        encoding: 0,
        seq,
        ts: 0,
        starts_key_frame: false,
        temporal: None,
        layer_sync: false,
        descriptor: None,
    };
    Crossing::Packet(Box::new(Carried {
        track: TRACK,
        reception: ReceptionId(1),
        at: Instant(5),
        highest_seq: seq,
        way,
        facts,
        vp8: None,
        payload_type: header.payload_type,
        marker: false,
        descriptor_id: None,
        header,
        payload: header.payload_range(),
        data: data.into(),
    }))
}

fn stream(rid: &str) -> Crossing {
    Crossing::Stream(Streaming {
        track: TRACK,
        rid: rid.into(),
        reception: ReceptionId(1),
        ssrc: Ssrc(9),
        clock: StreamClock::new(90_000, Instant(0), 0),
    })
}

fn wants(encodings: u8) -> Crossing {
    Crossing::Wants { track: TRACK, wants: Wants { encodings, routes: 1 } }
}

fn ask_again() -> Crossing {
    let asker = Asker { route: RouteId(3), seq: 5 };
    Crossing::AskAgain { track: TRACK, reception: ReceptionId(1), seq: 4, asker }
}

/// What has been said, in a word each: a packet's number, or a letter.
fn told(trunk: &Narrow) -> Vec<String> {
    let word = |crossing: &Crossing| match crossing {
        Crossing::Packet(packet) => packet.facts.seq.to_string(),
        Crossing::Stream(stream) => format!("s{}", stream.rid),
        Crossing::Wants { wants, .. } => format!("w{}", wants.encodings),
        other => format!("{other:?}"),
    };
    trunk.0.iter().map(word).collect()
}

#[test]
fn video_leaves_the_last_quarter_to_sound() {
    let (mut outbox, mut trunk, mut drops) = (Outbox::default(), Narrow::default(), Drops::default());
    for seq in 0..10 {
        outbox.push(packet(seq, MAX_SMALL_BYTES + 1));
    }
    for seq in 100..104 {
        outbox.push(packet(seq, MAX_SMALL_BYTES));
    }
    outbox.offer(&mut trunk, &mut drops);
    assert_eq!(told(&trunk), ["0", "1", "2", "3", "4", "5", "100", "101"]);
    assert_eq!(drops.of(DropReason::TrunkFull), 6);
}

#[test]
fn packets_that_did_not_fit_are_remembered_in_order_but_for_those_of_a_few_routes() {
    let (mut outbox, mut trunk, mut drops) = (Outbox::default(), Narrow::default(), Drops::default());
    let asker = Asker { route: RouteId(3), seq: 5 };
    for seq in 0..8 {
        outbox.push(packet(seq, 1_000));
    }
    outbox.push(packet_for(8, 1_000, Way::Behind));
    outbox.push(packet_for(9, 1_000, Way::Again(asker)));
    outbox.offer(&mut trunk, &mut drops);
    assert!(outbox.has_missed(ReceptionId(1), 6) && !outbox.has_missed(ReceptionId(1), 8));
    let missed: Vec<i64> = std::iter::from_fn(|| outbox.next_missed()).map(|missed| missed.seq).collect();
    assert_eq!(missed, [6, 7]);
    assert!(outbox.is_empty());
}

#[test]
fn the_oldest_that_is_missed_gives_way() {
    let (mut outbox, mut drops) = (Outbox::default(), Drops::default());
    let mut full = Narrow((0..PLACES as i64).map(|seq| packet(seq, 1)).collect());
    for seq in 0..=MAX_MISSED as i64 {
        outbox.push(packet(seq, 1_000));
    }
    outbox.offer(&mut full, &mut drops);
    assert!(!outbox.has_missed(ReceptionId(1), 0));
    assert_eq!(outbox.next_missed().map(|missed| missed.seq), Some(1));
}

#[test]
fn what_is_said_of_streams_waits_and_is_overtaken_by_nothing() {
    let (mut outbox, mut drops) = (Outbox::default(), Drops::default());
    let mut trunk = Narrow((0..PLACES as i64).map(|seq| packet(seq, 1)).collect());
    for crossing in [stream("q"), wants(1), packet(50, 1), ask_again(), stream("h")] {
        outbox.push(crossing);
    }
    outbox.offer(&mut trunk, &mut drops);
    // Said again while it waits, the later word counts.
    for crossing in [wants(2), stream("q"), packet(51, 1)] {
        outbox.push(crossing);
    }
    assert_eq!(outbox.next_missed(), None);
    trunk.0.clear();
    outbox.offer(&mut trunk, &mut drops);
    assert_eq!(told(&trunk), ["sh", "w2", "sq", "51"]);
    assert_eq!(drops.of(DropReason::TrunkFull), 1);
    assert_eq!(outbox.next_missed().map(|missed| missed.seq), Some(50));
}

#[test]
fn what_waits_is_bounded_by_what_there_is_to_speak_of() {
    let (mut outbox, mut drops) = (Outbox::default(), Drops::default());
    let mut full = Narrow((0..PLACES as i64).map(|seq| packet(seq, 1)).collect());
    for _ in 0..1_000 {
        let lowest = Crossing::Lowest { track: TRACK, encoding: Some(0) };
        let key_frame = Crossing::KeyFrame { track: TRACK, encoding: 0 };
        let ask = Crossing::AskLowest { track: TRACK };
        for crossing in [stream("q"), wants(1), lowest, key_frame, ask, ask_again()] {
            outbox.push(crossing);
        }
        outbox.offer(&mut full, &mut drops);
    }
    assert_eq!(outbox.waiting.len(), 5);
}

#[test]
fn a_mask_has_a_bit_for_each_encoding_and_none_for_pause() {
    assert_eq!([PAUSED, 0, 2, 7, 8, 127].map(bit), [0, 1, 4, 128, 0, 0]);
}

proptest! {
    #[test]
    fn whenever_the_reader_comes_nothing_is_said_out_of_order_and_no_packet_twice(
        steps in prop::collection::vec((0_usize..4, 0_usize..12), 1..60),
    ) {
        let (mut outbox, mut trunk, mut drops) = (Outbox::default(), Narrow::default(), Drops::default());
        let (mut next, mut heard, mut again) = (0, Vec::new(), 0);
        for (kind, count) in steps {
            for _ in 0..count {
                match kind {
                    0 => outbox.push(packet(next, 1_000)),
                    1 => outbox.push(packet(next, 100)),
                    2 => outbox.push(wants(next as u8)),
                    _ => heard.extend(trunk.0.pop_front()),
                }
                next += 1;
            }
            outbox.offer(&mut trunk, &mut drops);
        }
        loop {
            heard.extend(std::mem::take(&mut trunk.0));
            outbox.offer(&mut trunk, &mut drops);
            if trunk.0.is_empty() {
                break;
            }
        }
        while outbox.next_missed().is_some() {
            again += 1;
        }
        let numbers: Vec<i64> = heard.iter().filter_map(|crossing| match crossing {
            Crossing::Packet(packet) => Some(packet.facts.seq),
            _ => None,
        }).collect();
        prop_assert!(numbers.is_sorted_by(|one, other| one < other));
        prop_assert_eq!(drops.of(DropReason::TrunkFull), again);
        prop_assert!(outbox.is_empty());
    }
}
