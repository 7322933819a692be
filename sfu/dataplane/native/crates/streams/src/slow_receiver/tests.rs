use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::*;

fn part(frame: i64, part: i64, temporal: Option<i8>) -> PacketFacts {
    PacketFacts {
        encoding: 0,
        seq: 10 * frame + part,
        ts: 3_000 * frame,
        starts_key_frame: false,
        temporal,
        layer_sync: false,
        descriptor: None,
    }
}

fn delta(frame: i64) -> PacketFacts {
    part(frame, 0, None)
}

fn layer(frame: i64, temporal: i8) -> PacketFacts {
    part(frame, 0, Some(temporal))
}

fn key(frame: i64) -> PacketFacts {
    PacketFacts { starts_key_frame: true, ..delta(frame) }
}

fn verdict(waiting: &[Option<PacketFacts>]) -> Cut {
    cut(waiting.iter().map(Option::as_ref))
}

#[test]
fn all_goes_where_no_key_frame_waits() {
    let verdict = verdict(&[Some(delta(1)), Some(part(1, 1, None)), Some(delta(2)), None]);
    assert_eq!(verdict, Cut { fates: vec![Fate::Gone; 4], limit: None });
    assert!(verdict.needs_key_frame());
}

#[test]
fn a_key_frame_that_waits_is_where_it_goes_on() {
    let verdict =
        verdict(&[Some(delta(1)), None, Some(key(2)), Some(part(2, 1, None)), None, Some(delta(3))]);
    assert_eq!(verdict.fates, [vec![Fate::Gone; 2], vec![Fate::Kept; 4]].concat());
    assert!(!verdict.needs_key_frame());
}

#[test]
fn a_key_frame_that_is_too_old_itself_goes_up_to_the_next() {
    let mut waiting = vec![Some(key(1)), Some(part(1, 1, None)), Some(key(1)), Some(delta(2))];
    assert!(verdict(&waiting).needs_key_frame());
    waiting.extend([Some(key(3)), Some(key(4))]);
    assert_eq!(verdict(&waiting).fates, [vec![Fate::Gone; 4], vec![Fate::Kept; 2]].concat());
}

#[test]
fn of_frames_that_the_base_does_not_need_their_layer_and_those_above_go() {
    use Fate::{Kept, LeftOut};
    let second = Some(part(1, 1, Some(1)));
    let waiting = [
        Some(layer(1, 1)),
        second,
        None,
        Some(layer(2, 2)),
        Some(layer(3, 0)),
        Some(layer(4, 2)),
        Some(layer(5, 1)),
    ];
    let all = verdict(&waiting);
    assert_eq!(all.fates, [LeftOut, LeftOut, Kept, LeftOut, Kept, LeftOut, LeftOut]);
    assert_eq!(all.limit, Some(0));
    assert!(!all.needs_key_frame());
    assert_eq!(verdict(&waiting[3..]), Cut { fates: vec![LeftOut, Kept, LeftOut, Kept], limit: Some(1) });
    assert!(verdict(&waiting[4..]).needs_key_frame());
}

#[test]
fn where_nothing_tells_of_layers_every_frame_counts() {
    assert_eq!(verdict(&[Some(layer(1, 1)), Some(delta(2))]).fates, [Fate::LeftOut, Fate::Kept]);
    assert!(verdict(&[Some(delta(1)), Some(layer(2, 1))]).needs_key_frame());
}

fn any_facts() -> impl Strategy<Value = PacketFacts> {
    (0..=5i64, 0..=2i64, any::<bool>(), of(0..=3i8)).prop_map(|(frame, at, is_key, temporal)| PacketFacts {
        starts_key_frame: is_key && at == 0,
        ..part(frame, at, temporal)
    })
}

proptest! {
    #[test]
    fn the_oldest_always_goes_and_what_is_kept_can_be_shown(
        first in any_facts(), rest in vec(of(any_facts()), 0..20),
    ) {
        let waiting: Vec<_> = std::iter::once(Some(first)).chain(rest).collect();
        let verdict = verdict(&waiting);
        prop_assert_eq!(verdict.fates.len(), waiting.len());
        prop_assert_ne!(verdict.fates[0], Fate::Kept);
        let Some(limit) = verdict.limit else {
            let kept = verdict.fates.iter().position(|fate| *fate == Fate::Kept).map(|kept| &waiting[kept]);
            prop_assert!(kept.is_none_or(|kept| kept.as_ref().is_some_and(|facts| facts.starts_key_frame)));
            prop_assert!(!verdict.fates.contains(&Fate::LeftOut));
            return Ok(());
        };
        for (one, fate) in waiting.iter().zip(&verdict.fates) {
            let temporal = one.as_ref().and_then(|facts| facts.temporal);
            let is_above = temporal.is_some_and(|temporal| temporal > limit);
            prop_assert_eq!(*fate, if is_above { Fate::LeftOut } else { Fate::Kept });
        }
    }
}
