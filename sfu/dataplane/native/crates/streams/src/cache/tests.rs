use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const START: Instant = Instant(0);
const PACKET_BYTES: usize = 1_000;

type Caches = PacketCaches<i64>;

fn store(caches: &mut Caches, now: Instant, id: CacheId, seq: i64, size_bytes: usize) -> Vec<i64> {
    let mut recycled = Vec::new();
    caches.store(now, id, seq, seq, size_bytes, &mut |packet| recycled.push(packet));
    recycled
}

fn fill(caches: &mut Caches, now: Instant, count: i64) -> CacheId {
    let id = caches.open();
    for seq in 0..count {
        store(caches, now, id, seq, PACKET_BYTES);
    }
    id
}

fn found(caches: &Caches, id: CacheId, seqs: std::ops::Range<i64>) -> Vec<bool> {
    seqs.map(|seq| caches.lookup(START, id, seq).is_some()).collect()
}

#[test]
fn a_packet_is_found_by_its_number() {
    let mut caches = Caches::new(1 << 20);
    let id = fill(&mut caches, START, 3);
    assert_eq!(caches.lookup(START, id, 1), Some(&1));
    assert_eq!(caches.lookup(START, id, 3), None);
}

#[test]
fn a_packet_is_kept_for_a_second() {
    let mut caches = Caches::new(1 << 20);
    let id = fill(&mut caches, START, 1);
    let end = START.after_s(MAX_AGE_S);
    assert!(caches.lookup(end, id, 0).is_some());
    assert!(caches.lookup(end.after_ns(1), id, 0).is_none());
}

#[test]
fn a_stream_never_holds_more_than_its_share_and_loses_the_oldest() {
    let mut caches = Caches::new(1 << 30);
    let id = fill(&mut caches, START, 2_000);
    assert_eq!(caches.bytes_of(id), caches.used_bytes());
    assert!((MAX_STREAM_BYTES - PACKET_BYTES + 1..=MAX_STREAM_BYTES).contains(&caches.used_bytes()));
    let kept = caches.packets_of(id) as i64;
    assert_eq!(found(&caches, id, 1_999 - kept..2_001 - kept), [false, true]);
    assert!(caches.lookup(START, id, 1_999).is_some());
}

#[test]
fn the_total_is_never_exceeded_and_the_oldest_of_all_streams_go() {
    let mut caches = Caches::new(10 * PACKET_BYTES);
    let quiet = fill(&mut caches, START, 6);
    let flowing = fill(&mut caches, START.after_ms(1), 8);
    assert_eq!(caches.used_bytes(), 10 * PACKET_BYTES);
    assert_eq!(found(&caches, quiet, 0..6), [false, false, false, false, true, true]);
    assert_eq!(caches.packets_of(flowing), 8);
}

#[test]
fn packets_of_streams_gone_quiet_are_given_up_after_a_second() {
    let mut caches = Caches::new(1 << 20);
    let quiet = fill(&mut caches, START, 5);
    fill(&mut caches, START.after_s(MAX_AGE_S).after_ns(1), 1);
    assert_eq!(caches.packets_of(quiet), 0);
    assert_eq!(caches.used_bytes(), PACKET_BYTES);
    caches.make_room(START.after_s(10), 0, &mut |_| ());
    assert_eq!(caches.used_bytes(), 0);
}

#[test]
fn a_packet_stored_again_replaces_itself_and_is_the_youngest() {
    let mut caches = Caches::new(2 * PACKET_BYTES);
    let id = fill(&mut caches, START, 2);
    assert_eq!(store(&mut caches, START, id, 0, 10), [0]);
    assert_eq!(caches.used_bytes(), PACKET_BYTES + 10);
    assert_eq!(caches.bytes_of(id), PACKET_BYTES + 10);
    assert_eq!(store(&mut caches, START, id, 7, PACKET_BYTES), [1]);
    assert_eq!(found(&caches, id, 0..2), [true, false]);
}

#[test]
fn a_packet_larger_than_the_cache_is_handed_back() {
    let mut caches = Caches::new(PACKET_BYTES);
    let id = fill(&mut caches, START, 1);
    assert_eq!(store(&mut caches, START, id, 1, PACKET_BYTES + 1), [1]);
    let small = caches.open_within(PACKET_BYTES - 1);
    assert_eq!(store(&mut caches, START, small, 2, PACKET_BYTES), [2]);
    assert_eq!(caches.used_bytes(), PACKET_BYTES);
    assert_eq!(caches.limit_bytes(), PACKET_BYTES);
}

#[test]
fn a_stream_that_ends_gives_everything_back() {
    let mut caches = Caches::new(1 << 20);
    let (id, mut recycled) = (fill(&mut caches, START, 5), Vec::new());
    let other = fill(&mut caches, START, 1);
    caches.clear(id, &mut |packet| recycled.push(packet));
    assert_eq!(recycled, [0, 1, 2, 3, 4]);
    assert_eq!((caches.packets_of(id), caches.bytes_of(id)), (0, 0));
    assert_eq!(store(&mut caches, START, id, 8, 10), []);
    caches.close(id, &mut |packet| recycled.push(packet));
    assert_eq!(recycled, [0, 1, 2, 3, 4, 8]);
    assert_eq!((caches.packets_of(other), caches.used_bytes()), (1, PACKET_BYTES));
}

#[test]
fn a_closed_cache_takes_and_gives_nothing_though_its_place_is_used_again() {
    let mut caches = Caches::new(1 << 20);
    let closed = fill(&mut caches, START, 1);
    caches.close(closed, &mut |_| ());
    caches.close(closed, &mut |_| ());
    let id = fill(&mut caches, START, 1);
    assert_ne!(id, closed);
    assert_ne!(caches.open(), id);
    assert_eq!(caches.lookup(START, closed, 0), None);
    assert_eq!(store(&mut caches, START, closed, 5, 10), [5]);
    caches.clear(closed, &mut |_| ());
    caches.close(closed, &mut |_| ());
    assert_eq!((caches.packets_of(closed), caches.bytes_of(closed)), (0, 0));
    assert_eq!(caches.lookup(START, id, 0), Some(&0));
}

/// All caches as lists, oldest first.
#[derive(Default)]
struct Model {
    held: Vec<(usize, i64, usize, Instant)>,
}

impl Model {
    fn bytes(&self, which: impl Fn(usize) -> bool) -> usize {
        self.held.iter().filter(|held| which(held.0)).map(|held| held.2).sum()
    }

    fn holds(&self, which: usize, seq: i64) -> bool {
        self.held.iter().any(|held| (held.0, held.1) == (which, seq))
    }

    fn store(&mut self, now: Instant, which: usize, seq: i64, size_bytes: usize) {
        self.held.retain(|held| (held.0, held.1) != (which, seq));
        while self.bytes(|other| other == which) + size_bytes > 1_000 {
            let first = self.held.iter().position(|held| held.0 == which).unwrap();
            self.held.remove(first);
        }
        while !self.held.is_empty()
            && (self.bytes(|_| true) + size_bytes > 1_500 || now > self.held[0].3.after_s(MAX_AGE_S))
        {
            self.held.remove(0);
        }
        self.held.push((which, seq, size_bytes, now));
    }
}

proptest! {
    #[test]
    fn limits_hold_and_the_oldest_go_whatever_is_stored(
        steps in vec((0..3usize, 0..30i64, 1..400usize, 0..300i64, 0..20u8), 0..100),
    ) {
        let mut caches = Caches::new(1_500);
        let mut ids: Vec<CacheId> = (0..3).map(|_| caches.open_within(1_000)).collect();
        let (mut model, mut now, mut recycled, mut stored) = (Model::default(), START, 0, 0);
        for (which, seq, size_bytes, wait_ms, end) in steps {
            now = now.after_ms(wait_ms);
            if end == 0 {
                caches.close(ids[which], &mut |_| recycled += 1);
                ids[which] = caches.open_within(1_000);
                model.held.retain(|held| held.0 != which);
            }
            caches.store(now, ids[which], seq, seq, size_bytes, &mut |_| recycled += 1);
            stored += 1;
            model.store(now, which, seq, size_bytes);
            prop_assert_eq!(caches.used_bytes(), model.bytes(|_| true));
            for (which, id) in ids.iter().enumerate() {
                prop_assert_eq!(caches.bytes_of(*id), model.bytes(|other| other == which));
                prop_assert!((0..30).all(|seq| caches.lookup(now, *id, seq).is_some() == model.holds(which, seq)));
            }
            prop_assert_eq!(stored - recycled, model.held.len());
        }
    }
}
