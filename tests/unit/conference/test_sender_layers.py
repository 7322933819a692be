from __future__ import annotations

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from sfu.conference.sender_layers import EXPECTED_FOR_S, OFF_AFTER_S, EveryLayer, WantedLayers
from sfu.units import Instant, TrackHandle, after_ms, after_s

NOW: Final = Instant(1_000_000_000)
TRACK, OTHER = TrackHandle(1), TrackHandle(2)
ALL, LOW_AND_HIGH = (0, 1, 2), (0, 2)


def layers(encodings: int = 3) -> WantedLayers:
    made = WantedLayers()
    assert made.set(NOW, TRACK, encodings)
    return made


def trimmed() -> tuple[WantedLayers, Instant]:
    """Only the lowest is wanted."""
    made = layers()
    at = after_s(NOW, OFF_AFTER_S)
    assert made.want(at, {}) == [TRACK]
    assert made.active(TRACK) == (0,)
    return made, at


def test_a_track_is_wanted_whole_until_it_is_known_who_wants_what() -> None:
    made = layers()
    assert made.active(TRACK) == ALL
    assert made.next_timeout() == after_s(NOW, OFF_AFTER_S)
    assert made.want(after_ms(after_s(NOW, OFF_AFTER_S), -1), {}) == []
    assert made.active(TRACK) == ALL


def test_the_lowest_is_wanted_always_and_the_others_while_somebody_wants_them() -> None:
    made = layers()
    assert made.want(after_s(NOW, 1), {TRACK: 0b100}) == []
    assert made.want(after_s(NOW, OFF_AFTER_S), {TRACK: 0b100}) == [TRACK]
    assert made.active(TRACK) == LOW_AND_HIGH
    assert made.next_timeout() is None


def test_what_nobody_wants_any_more_is_given_up_after_a_while_and_not_while_it_comes_and_goes() -> None:
    made, at = trimmed()
    assert made.want(at, {TRACK: 0b100}) == [TRACK]
    for _ in range(5):
        assert made.want(at, {}) == []
        assert made.next_timeout() == after_s(at, OFF_AFTER_S)
        at = after_s(at, OFF_AFTER_S - 0.1)
        assert made.want(at, {}) == []
        assert made.want(at, {TRACK: 0b100}) == []
    assert made.want(at, {}) == []
    assert made.want(after_s(at, OFF_AFTER_S), {}) == [TRACK]
    assert made.active(TRACK) == (0,)


def test_what_was_given_up_is_asked_for_at_once_and_expected_for_a_while() -> None:
    made, at = trimmed()
    assert not made.is_expected(at, TRACK, 2)
    assert made.want(at, {TRACK: 0b100}) == [TRACK]
    assert made.active(TRACK) == LOW_AND_HIGH
    assert made.is_expected(at, TRACK, 2)
    assert not made.is_expected(at, TRACK, 1)
    assert not made.is_expected(after_s(at, EXPECTED_FOR_S), TRACK, 2)
    assert not made.is_expected(at, OTHER, 0)


def test_tracks_are_apart() -> None:
    made = layers()
    made.set(NOW, OTHER, 3)
    at = after_s(NOW, OFF_AFTER_S)
    assert made.want(at, {OTHER: 0b111}) == [TRACK]
    made.drop(TRACK)
    assert made.active(TRACK) is None
    assert made.active(OTHER) == ALL
    made.drop(TRACK)


def test_a_track_in_other_encodings_begins_anew_and_the_same_again_is_no_news() -> None:
    made, at = trimmed()
    assert not made.set(at, TRACK, 3)
    assert made.active(TRACK) == (0,)
    assert made.set(at, TRACK, 2)
    assert made.active(TRACK) == (0, 1)


def test_of_a_single_encoding_there_is_nothing_to_choose() -> None:
    made = layers(1)
    assert made.want(after_s(NOW, 2 * OFF_AFTER_S), {}) == []
    assert made.active(TRACK) is None


def test_where_nothing_is_always_wanted_a_track_begins_with_nothing_and_comes_back_to_it() -> None:
    made = WantedLayers(always=0)
    made.set(NOW, TRACK, 3)
    assert made.active(TRACK) == ()
    assert made.next_timeout() is None
    assert made.want(NOW, {TRACK: 0b010}) == [TRACK]
    assert made.active(TRACK) == (1,)
    assert made.want(NOW, {}) == []
    assert made.want(after_s(NOW, OFF_AFTER_S), {}) == [TRACK]
    assert made.active(TRACK) == ()


def test_what_is_asked_for_is_wanted_at_once_and_until_it_was_not_wanted_for_a_while() -> None:
    made, at = trimmed()
    assert made.ask(at, TRACK, 0b110)
    assert not made.ask(at, TRACK, 0b100)
    assert made.active(TRACK) == ALL
    assert made.is_expected(at, TRACK, 2)
    assert made.next_timeout() is None
    assert made.want(at, {TRACK: 0b100}) == []
    at = after_s(at, OFF_AFTER_S)
    assert made.want(at, {TRACK: 0b100}) == [TRACK]
    assert made.active(TRACK) == LOW_AND_HIGH
    assert not made.ask(at, OTHER, 0b111)


def test_where_it_is_switched_off_nobody_is_told_to_send_less() -> None:
    every = EveryLayer()
    assert not every.set(NOW, TRACK, 3)
    assert every.want(after_s(NOW, 60), {}) == []
    every.drop(TRACK)
    assert every.active(TRACK) is None
    assert every.next_timeout() is None
    assert not every.is_expected(NOW, TRACK, 2)


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 7)), max_size=60))
def test_whoever_wants_what_it_is_active_and_nothing_is_given_up_too_early(
    steps: list[tuple[int, int]],
) -> None:
    made, now = layers(), NOW
    wanted_at = dict.fromkeys(ALL, NOW)
    mask = 0
    for wait_ms, following in steps:
        now = after_ms(now, wait_ms)
        # What was wanted until now is not wanted any more from now on.
        wanted_at.update({index: now for index in ALL if mask >> index & 1})
        before = made.active(TRACK)
        changed = made.want(now, {TRACK: following})
        mask = following
        active = made.active(TRACK)
        assert active is not None
        assert 0 in active
        assert changed == ([TRACK] if active != before else [])
        assert {index for index in ALL if mask >> index & 1} <= set(active)
        still_due = {index for index in before or () if now < after_s(wanted_at[index], OFF_AFTER_S)}
        assert still_due <= set(active)
