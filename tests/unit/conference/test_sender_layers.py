from __future__ import annotations

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from sfu.conference.sender_layers import (
    AGAIN_S,
    EXPECTED_FOR_S,
    MOST_WITHHELD_S,
    OFF_AFTER_S,
    WITHHELD_AFTER_S,
    EveryLayer,
    WantedEncodings,
    WantedLayers,
)
from sfu.units import Instant, TrackHandle, after_ms, after_s

NOW: Final = Instant(1_000_000_000)
TRACK, OTHER = TrackHandle(1), TrackHandle(2)
ALL, LOW_AND_HIGH = (0, 1, 2), (0, 2)


NOTHING: Final = WantedEncodings({}, {})


def needed(bits: int, track: TrackHandle = TRACK, withheld: int = 0) -> WantedEncodings:
    return WantedEncodings({track: bits}, {track: withheld})


def layers(encodings: int = 3) -> WantedLayers:
    made = WantedLayers()
    assert made.set(NOW, TRACK, encodings)
    return made


def trimmed() -> tuple[WantedLayers, Instant]:
    """Only the lowest is wanted."""
    made = layers()
    at = after_s(NOW, OFF_AFTER_S)
    assert made.want(at, NOTHING) == [TRACK]
    assert made.active(TRACK) == (0,)
    return made, at


def test_a_track_is_wanted_whole_until_it_is_known_who_wants_what() -> None:
    made = layers()
    assert made.active(TRACK) == ALL
    assert made.next_timeout() == after_s(NOW, OFF_AFTER_S)
    assert made.want(after_ms(after_s(NOW, OFF_AFTER_S), -1), NOTHING) == []
    assert made.active(TRACK) == ALL


def test_the_lowest_is_wanted_always_and_the_others_while_somebody_wants_them() -> None:
    made = layers()
    assert made.want(after_s(NOW, 1), needed(0b100)) == []
    assert made.want(after_s(NOW, OFF_AFTER_S), needed(0b100)) == [TRACK]
    assert made.active(TRACK) == LOW_AND_HIGH
    assert made.next_timeout() is None


def test_what_nobody_wants_any_more_is_given_up_after_a_while_and_not_while_it_comes_and_goes() -> None:
    made, at = trimmed()
    assert made.want(at, needed(0b100)) == [TRACK]
    for _ in range(5):
        assert made.want(at, NOTHING) == []
        assert made.next_timeout() == after_s(at, OFF_AFTER_S)
        at = after_s(at, OFF_AFTER_S - 0.1)
        assert made.want(at, NOTHING) == []
        assert made.want(at, needed(0b100)) == []
    assert made.want(at, NOTHING) == []
    assert made.want(after_s(at, OFF_AFTER_S), NOTHING) == [TRACK]
    assert made.active(TRACK) == (0,)


def test_what_was_given_up_is_asked_for_at_once_and_expected_for_a_while() -> None:
    made, at = trimmed()
    assert not made.is_expected(at, TRACK, 2)
    assert made.want(at, needed(0b100)) == [TRACK]
    assert made.active(TRACK) == LOW_AND_HIGH
    assert made.is_expected(at, TRACK, 2)
    assert not made.is_expected(at, TRACK, 1)
    assert not made.is_expected(after_s(at, EXPECTED_FOR_S), TRACK, 2)
    assert not made.is_expected(at, OTHER, 0)


def test_tracks_are_apart() -> None:
    made = layers()
    made.set(NOW, OTHER, 3)
    at = after_s(NOW, OFF_AFTER_S)
    assert made.want(at, needed(0b111, OTHER)) == [TRACK]
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
    assert made.want(after_s(NOW, 2 * OFF_AFTER_S), NOTHING) == []
    assert made.active(TRACK) is None


def test_where_nothing_is_always_wanted_a_track_begins_with_nothing_and_comes_back_to_it() -> None:
    made = WantedLayers(always=0)
    made.set(NOW, TRACK, 3)
    assert made.active(TRACK) == ()
    assert made.next_timeout() is None
    assert made.want(NOW, needed(0b010)) == [TRACK]
    assert made.active(TRACK) == (1,)
    assert made.want(NOW, NOTHING) == []
    assert made.want(after_s(NOW, OFF_AFTER_S), NOTHING) == [TRACK]
    assert made.active(TRACK) == ()


def test_what_is_asked_for_is_wanted_at_once_and_until_it_was_not_wanted_for_a_while() -> None:
    made, at = trimmed()
    assert made.ask(at, TRACK, 0b110)
    assert not made.ask(at, TRACK, 0b100)
    assert made.active(TRACK) == ALL
    assert made.is_expected(at, TRACK, 2)
    assert made.next_timeout() is None
    assert made.want(at, needed(0b100)) == []
    at = after_s(at, OFF_AFTER_S)
    assert made.want(at, needed(0b100)) == [TRACK]
    assert made.active(TRACK) == LOW_AND_HIGH
    assert not made.ask(at, OTHER, 0b111)


def test_where_it_is_switched_off_nobody_is_told_to_send_less() -> None:
    every = EveryLayer()
    assert not every.set(NOW, TRACK, 3)
    assert every.want(after_s(NOW, 60), NOTHING) == []
    every.drop(TRACK)
    assert every.active(TRACK) is None
    assert every.next_timeout() is None
    assert not every.is_expected(NOW, TRACK, 2)


def withheld(bits: int) -> WantedEncodings:
    """Nobody is given any of it but the lowest."""
    return needed(0b001, withheld=bits)


def tried(made: WantedLayers, at: Instant, is_off_s: float) -> tuple[float, Instant]:
    """After how long the highest is given up now, and when it is needed again after so long; then it is."""
    begin = at
    assert made.want(at, withheld(0b111)) == []
    due_at = made.next_timeout()
    assert due_at is not None
    assert made.want(after_ms(due_at, -1), withheld(0b111)) == []
    assert made.want(due_at, withheld(0b111)) == [TRACK]
    again_at = after_s(due_at, is_off_s)
    assert made.want(again_at, needed(0b111)) == [TRACK]
    return (due_at - begin) / 1e9, again_at


def test_what_is_withheld_from_all_is_given_up_later_and_asked_for_when_somebody_is_given_it() -> None:
    made = layers()
    assert made.want(NOW, needed(0b011, withheld=0b111)) == []
    assert made.next_timeout() == after_s(NOW, WITHHELD_AFTER_S)
    at = after_s(NOW, WITHHELD_AFTER_S)
    assert made.want(at, needed(0b011, withheld=0b111)) == [TRACK]
    assert made.active(TRACK) == (0, 1)
    assert made.want(after_s(at, 100), needed(0b001, withheld=0b111)) == []
    assert made.want(after_s(at, 101), needed(0b100, withheld=0b111)) == [TRACK]
    assert made.active(TRACK) == (0, 1, 2)


def test_while_it_is_given_now_and_then_what_is_withheld_goes_on_being_sent() -> None:
    made, at = layers(), NOW
    for _ in range(5):
        assert made.want(at, withheld(0b111)) == []
        at = after_s(at, WITHHELD_AFTER_S - 0.1)
        assert made.want(at, needed(0b111)) == []
    assert made.active(TRACK) == ALL


def test_what_is_wanted_no_more_is_given_up_no_later_for_having_been_withheld() -> None:
    made = layers()
    made.want(NOW, withheld(0b111))
    at = after_s(NOW, 5)
    assert made.want(at, NOTHING) == []
    assert made.want(after_s(at, OFF_AFTER_S), NOTHING) == [TRACK]
    assert made.active(TRACK) == (0,)


def test_what_comes_and_goes_is_sent_for_longer_each_time_and_as_before_when_it_stays_away() -> None:
    made, at, waits = layers(), NOW, []
    for _ in range(5):
        waited_s, at = tried(made, at, AGAIN_S - 1)
        waits.append(waited_s)
    assert waits == [WITHHELD_AFTER_S * factor for factor in (1, 2, 4, 8, 8)]
    assert waits[-1] == MOST_WITHHELD_S
    _, at = tried(made, at, AGAIN_S)
    assert tried(made, at, 1)[0] == WITHHELD_AFTER_S


def test_there_is_no_hope_of_what_was_given_up_as_withheld_until_nobody_wants_it() -> None:
    made = layers()
    assert made.hopeful(TRACK, 0b111) == 0b111
    made.want(NOW, withheld(0b111))
    at = after_s(NOW, WITHHELD_AFTER_S)
    made.want(at, withheld(0b111))
    assert made.hopeful(TRACK, 0b111) == 0b001
    assert made.hopeful(OTHER, 0b111) == 0b111
    made.want(at, needed(0b010, withheld=0b111))
    assert made.hopeful(TRACK, 0b111) == 0b011
    made.want(at, NOTHING)
    assert made.hopeful(TRACK, 0b111) == 0b111


@given(st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 7), st.integers(0, 7)), max_size=60))
def test_what_is_needed_is_active_and_nothing_is_given_up_too_early(
    steps: list[tuple[int, int, int]],
) -> None:
    made, now = layers(), NOW
    needed_at, wanted_at = dict.fromkeys(ALL, NOW), dict.fromkeys(ALL, NOW)
    mask = either = 0
    for wait_ms, following, beside in steps:
        now = after_ms(now, wait_ms)
        # What was wanted until now is not wanted any more from now on.
        needed_at.update({index: now for index in ALL if mask >> index & 1})
        wanted_at.update({index: now for index in ALL if either >> index & 1})
        before = made.active(TRACK)
        changed = made.want(now, needed(following, withheld=beside))
        mask, either = following, following | beside
        active = made.active(TRACK)
        assert active is not None
        assert 0 in active
        assert changed == ([TRACK] if active != before else [])
        assert {index for index in ALL if mask >> index & 1} <= set(active)
        assert set(active) <= {*(before or ()), *(index for index in ALL if mask >> index & 1)}
        still_due = {
            index
            for index in before or ()
            if now < after_s(wanted_at[index], OFF_AFTER_S)
            or (either >> index & 1 and now < after_s(needed_at[index], WITHHELD_AFTER_S))
        }
        # Withheld for long, and not even wanted since a moment ago: that is no reason to wait again.
        still_due -= {index for index in ALL if now >= after_s(needed_at[index], WITHHELD_AFTER_S)}
        assert still_due <= set(active)
