from __future__ import annotations

import random

from sfu.allocation.decision import DECISION_DTYPE
from sfu.conference.conference import LocalMedia
from sfu.conference.ids import IdSource
from sfu.config import MediaConfig, SfuConfig
from sfu.negotiation.parameters import Fingerprint
from sfu.plane import EncodingSpec, RemoveRoute, RemoveTrack, SetRoute, SetTrack
from sfu.units import NO_RID, Instant, Kind, Mid, RouteId, Ssrc, TrackHandle, TransportId, after_s
from signalling.focus.calls import Calls, LiveCall
from signalling.focus.leg import Admitted, CallKey, Connected, Dialled, Leg, LegKey
from signalling.focus.ordering import Ordering
from tests.unit.conference.caller import encoding_rows, report_of
from tests.unit.conference.test_outcomes import rows_of

NOW = Instant(5)
KEY = CallKey("!r:x", "conf")


def new_calls(workers: int = 1, legs_per_worker: int = 400) -> Calls:
    told = [LocalMedia(Fingerprint("sha-256", "AB"), (), worker) for worker in range(workers)]
    config = SfuConfig(media=MediaConfig(legs_per_worker=legs_per_worker))
    return Calls(told, config, random.Random(1), IdSource())


def add_leg(calls: Calls, call: LiveCall, name: str, number: int, until_s: float = 60.0) -> Leg:
    leg = Leg(
        key=LegKey(call.key, name, "D"),
        dialled=Dialled(name, "D", call.key.conf_id, "call"),
        session_id="s",
        transport=TransportId(number),
        standing=Admitted(after_s(NOW, until_s)),
        connection=Connected(),
        ordering=Ordering(5.0),
        worker=calls.place_in(call).worker,
    )
    calls.add(leg)
    return leg


def set_track(number: int) -> SetTrack:
    return SetTrack(
        TrackHandle(number), TransportId(1), Mid("0"), Kind.AUDIO, (), (EncodingSpec(NO_RID),), {}
    )


def set_route(number: int) -> SetRoute:
    return SetRoute(RouteId(number), TrackHandle(3), TransportId(2), Mid("1"), Ssrc(5), None, (), {}, "cname")


def test_a_leg_is_found_by_each_of_its_names_until_it_is_removed() -> None:
    calls = new_calls()
    call = calls.open(KEY)
    leg = add_leg(calls, call, "@a:x", 1)
    assert calls.open(KEY) is call
    assert calls.call(KEY) is call
    found = calls.leg(leg.transport), calls.leg_of(leg.key), calls.dialled(leg.dialled)
    assert found == (leg, leg, leg)
    assert calls.call_of(leg) is call
    assert list(calls) == [call]
    assert calls.legs == (leg,)
    calls.remove(leg)
    gone = calls.leg(leg.transport), calls.leg_of(leg.key), calls.dialled(leg.dialled), calls.call(KEY)
    assert gone == (None,) * 4
    assert len(calls) == 0


def test_a_call_lives_as_long_as_somebody_is_in_it() -> None:
    calls = new_calls()
    call = calls.open(KEY)
    first, second = add_leg(calls, call, "@a:x", 1), add_leg(calls, call, "@b:x", 2)
    calls.remove(first)
    assert calls.call(KEY) is call
    calls.remove(second)
    assert calls.call(KEY) is None
    assert calls.open(KEY).conference.id != call.conference.id


def test_tracks_are_known_by_their_call_while_they_are_there() -> None:
    calls = new_calls()
    call = calls.open(KEY)
    calls.note_media(call, [set_track(3)])
    assert calls.call_of_track(TrackHandle(3)) is call
    calls.note_media(call, [RemoveTrack(TrackHandle(3)), RemoveTrack(TrackHandle(4))])
    assert calls.call_of_track(TrackHandle(3)) is None


def test_only_what_was_touched_is_asked_when_it_is_due() -> None:
    calls = new_calls()
    call, other = calls.open(KEY), calls.open(CallKey("!r:x", "other"))
    leg = add_leg(calls, call, "@a:x", 1, until_s=10.0)
    add_leg(calls, other, "@b:x", 2, until_s=20.0)
    calls.turn_ended()
    assert calls.next_timeout() == after_s(NOW, 10)
    leg.standing = Admitted(after_s(NOW, 30))
    calls.turn_ended()
    assert calls.next_timeout() == after_s(NOW, 10)
    calls.touch(call)
    calls.turn_ended()
    assert calls.next_timeout() == after_s(NOW, 20)
    assert calls.due(after_s(NOW, 25)) == [other]


def test_a_call_that_is_over_is_never_due() -> None:
    calls = new_calls()
    leg = add_leg(calls, calls.open(KEY), "@a:x", 1)
    calls.turn_ended()
    calls.remove(leg)
    calls.turn_ended()
    assert calls.next_timeout() is None
    assert calls.due(after_s(NOW, 600)) == []


def test_a_call_that_is_held_is_left_alone_until_it_is_touched_again() -> None:
    calls = new_calls()
    call = calls.open(KEY)
    leg = add_leg(calls, call, "@a:x", 1, until_s=10.0)
    calls.touch(call)
    calls.hold(call, after_s(NOW, 25))
    calls.turn_ended()
    assert calls.next_timeout() == after_s(NOW, 25)
    leg.standing = Admitted(after_s(NOW, 12))
    calls.touch(call)
    calls.turn_ended()
    assert calls.next_timeout() == after_s(NOW, 12)


def test_a_call_that_fills_its_worker_goes_on_on_another() -> None:
    calls = new_calls(workers=3, legs_per_worker=2)
    call = calls.open(KEY)
    legs = [add_leg(calls, call, f"@{number}:x", number) for number in range(5)]
    assert [leg.worker for leg in legs] == [0, 0, 1, 1, 2]
    # Who leaves makes room where they were, and the next call begins where fewest are.
    calls.remove(legs[0])
    assert add_leg(calls, call, "@5:x", 5).worker == 0
    calls.remove(legs[4])
    assert calls.open(CallKey("!r:x", "other")).conference.worker == 2


def test_a_call_begins_on_the_worker_with_fewest_participants_and_stays_there() -> None:
    calls = new_calls(workers=2)
    large, small, late = (CallKey("!r:x", name) for name in ("large", "small", "late"))
    for number in range(1, 4):
        add_leg(calls, calls.open(large), f"@{number}:x", number)
    first = add_leg(calls, calls.open(small), "@4:x", 4)
    add_leg(calls, calls.open(late), "@5:x", 5)
    assert [calls.open(key).conference.worker for key in (large, small, late)] == [0, 1, 1]
    for number in range(6, 12):
        add_leg(calls, calls.open(late), f"@{number}:x", number)
    calls.remove(first)
    assert [calls.open(key).conference.worker for key in (large, late, small)] == [0, 1, 0]


def test_only_calls_that_a_report_concerns_hear_of_it() -> None:
    calls = new_calls()
    speaking, switched, asking, idle = (calls.open(CallKey("!r:x", name)) for name in "abcd")
    for number, call in enumerate((speaking, switched, asking, idle)):
        add_leg(calls, call, f"@{number}:x", number)
    calls.note_media(speaking, [set_track(3)])
    calls.note_media(switched, [set_route(7)])
    leg, _ = asking.conference.add_leg(NOW, admitted=True)
    asking.conference.ask_stats(NOW, leg, 1_000)
    calls.turn_ended()
    decisions = rows_of(DECISION_DTYPE, ({"route": 7},))
    levels = encoding_rows((3, 0, 30), (4, 0, 20))
    assert calls.concerned(NOW, report_of(NOW)) == []
    assert calls.concerned(NOW, report_of(NOW, decisions=decisions)) == [switched]
    assert calls.concerned(NOW, report_of(NOW, decisions=decisions)) == []
    assert calls.concerned(NOW, report_of(NOW, decisions=decisions, encodings=levels)) == [speaking]
    later = after_s(NOW, 1)
    everything = report_of(later, encodings=levels)
    assert calls.concerned(later, everything) == [asking, switched, speaking]
    asking.conference.report(later, everything)
    calls.reported(asking)
    assert calls.concerned(later, report_of(later)) == []
    calls.note_media(speaking, [RemoveTrack(TrackHandle(3))])
    calls.note_media(switched, [RemoveRoute(RouteId(7))])
    assert calls.concerned(later, report_of(later, decisions=decisions, encodings=levels)) == []


def test_a_call_that_has_ended_hears_of_nothing() -> None:
    calls = new_calls()
    call = calls.open(KEY)
    leg = add_leg(calls, call, "@a:x", 1)
    own, _ = call.conference.add_leg(NOW, admitted=True)
    call.conference.ask_stats(NOW, own, 1_000)
    calls.turn_ended()
    calls.remove(leg)
    calls.turn_ended()
    assert calls.concerned(after_s(NOW, 5), report_of(NOW)) == []
