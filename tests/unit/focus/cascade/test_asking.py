from __future__ import annotations

from sfu.conference.values import Wish
from sfu.units import Instant, Rid, after_ms
from signalling.events.data_channel import (
    MAX_MESSAGE_LENGTH,
    SubscribedTrack,
    TrackRef,
    TrackSubscription,
    serialise_message,
)
from signalling.focus.cascade.asking import MAX_PER_S, MAX_TRACKS, Asking

START = Instant(0)


def wish(number: int, *layers: str) -> Wish:
    return Wish("s", f"t{number}", 640, 360, layers=tuple(map(Rid, layers)))


def test_what_is_wanted_is_said_as_it_is_and_once() -> None:
    asking = Asking()
    asking.demand((wish(1, "q", "h"), Wish("s", "a", is_visible=False)), ())
    assert asking.poll(START) == [
        TrackSubscription(
            (
                SubscribedTrack("s", "t1", 640, 360, layers=(Rid("q"), Rid("h"))),
                SubscribedTrack("s", "a", is_visible=False),
            )
        )
    ]
    assert asking.poll(START) == []
    assert asking.next_timeout() is None


def test_what_is_wanted_otherwise_replaces_it_and_what_is_not_wanted_is_taken_back() -> None:
    asking = Asking()
    asking.demand((wish(1, "q"), wish(2, "q")), ())
    asking.poll(START)
    asking.demand((wish(1, "h"),), (("s", "t2"), ("s", "nothing")))
    (said,) = asking.poll(START)
    assert [one.layers for one in said.subscribe] == [("h",)]
    assert said.unsubscribe == (TrackRef("s", "t2"),)
    assert list(asking.wanted) == [wish(1, "h")]


def test_many_demands_are_said_together_and_none_is_lost() -> None:
    asking = Asking()
    said: list[TrackSubscription] = []
    now = START
    for number in range(100):
        now = after_ms(START, number * 10)
        asking.demand((wish(number, "q"),), ())
        said += asking.poll(now)
    assert len(said) == MAX_PER_S
    due_at = asking.next_timeout()
    assert due_at == after_ms(START, 1_000)
    said += asking.poll(due_at)
    told = {one.track_id for message in said for one in message.subscribe}
    assert told == {f"t{number}" for number in range(100)}


def test_what_came_and_went_in_between_is_not_said() -> None:
    asking = Asking()
    for number in range(MAX_PER_S):
        asking.demand((wish(number, "q"),), ())
        asking.poll(START)
    asking.demand((wish(9, "q"),), ())
    assert asking.poll(START) == []
    asking.demand((), (("s", "t9"),))
    assert asking.poll(after_ms(START, 2_000)) == []
    assert asking.next_timeout() is None


def test_a_great_many_go_in_several_messages_that_can_be_read() -> None:
    asking = Asking()
    long = "x" * 255
    wishes = [
        Wish(long, f"{number:0>255}", 30_000, 30_000, layers=tuple(map(Rid, "qhf")))
        for number in range(MAX_TRACKS * 2 + 1)
    ]
    asking.demand(wishes, ())
    said = asking.poll(START)
    assert [len(one.subscribe) for one in said] == [MAX_TRACKS, MAX_TRACKS, 1]
    asking.demand((), [(one.stream_id, one.track_id) for one in wishes])
    said += asking.poll(after_ms(START, 1_000))
    assert sum(len(one.unsubscribe) for one in said) == len(wishes)
    assert all(len(serialise_message(one)) <= MAX_MESSAGE_LENGTH for one in said)


def test_a_new_channel_is_told_everything() -> None:
    asking = Asking()
    asking.demand((wish(1, "q"),), ())
    before = asking.poll(START)
    asking.begin_anew()
    assert asking.poll(START) == before
