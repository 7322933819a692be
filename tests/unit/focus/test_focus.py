"""The engine as the runtime sees it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from sfu.conference.conference import LocalMedia
from sfu.conference.ids import IdSource
from sfu.conference.turn import (
    CloseLeg,
    DataChannelClosed,
    DataChannelOpened,
    Engine,
    LegConnected,
    LegFailed,
    RuntimeOutput,
    SetDemand,
)
from sfu.config import SfuConfig
from sfu.negotiation.parameters import Fingerprint
from sfu.plane import ConsentLost, PairSelected, RemoveRoute, SetRoute, StreamBound, StreamEnded
from sfu.units import Instant, Ssrc, TrackHandle, TransportId, WallTime, after_s
from signalling.events.data_channel import MetadataChanged, Negotiate, Pong
from signalling.focus.focus import Focus
from signalling.focus.settings import CallSettings
from signalling.focus.turn import FocusOutput, Outputs
from tests.unit.conference.caller import Section, of_type, report_of
from tests.unit.focus.stage import CONF, Stage, closed

if TYPE_CHECKING:
    from signalling.focus.calls import LiveCall


def test_it_is_an_engine_and_has_nothing_to_do_while_nobody_is_there() -> None:
    engine: Engine = Focus(
        ("@focus:x", "F"),
        (LocalMedia(Fingerprint("sha-256", "AB"), ()),),
        CallSettings(),
        SfuConfig(),
        random.Random(1),
        IdSource(),
    )
    assert engine.next_timeout() is None
    assert engine.handle_timeout(Instant(1), WallTime(1)) == []
    assert engine.handle(Instant(1), WallTime(1), report_of(Instant(1))) == []


def test_all_its_outputs_are_of_the_contract() -> None:
    stage = Stage()
    stage.join("alice")
    bob = stage.join("bob")
    stage.subscribe(bob, ("alice-stream", "alice-video"))
    stage.pass_ms(120_000)
    assert stage.outputs
    assert all(isinstance(one, FocusOutput | RuntimeOutput) for one in stage.outputs)


def test_a_call_from_the_first_invite_to_the_last_hangup() -> None:
    """Protocol: section 8, second client."""
    stage = Stage()
    alice = stage.join("alice")
    bob = stage.join("bob")
    assert set(stage.told(alice)) == {"bob-stream"}
    routes = of_type(stage.subscribe(bob, ("alice-stream", "alice-video")), SetRoute)
    routes += of_type(stage.subscribe(alice, ("bob-stream", "bob-video")), SetRoute)
    assert {one.transport for one in routes} == {alice.leg, bob.leg}
    for _ in range(6):
        stage.pass_ms(10_000)
        stage.say(alice, Pong())
        stage.say(bob, Pong())
    assert stage.focus.snapshot()["counts"]["participants"] == 2
    stage.pass_ms(60_000)
    assert stage.focus.snapshot()["calls"] == []


def test_what_is_said_of_a_leg_that_nobody_knows_closes_it() -> None:
    stage = Stage()
    leg = TransportId(77)
    for given in (
        PairSelected(leg),
        LegConnected(leg),
        ConsentLost(leg),
        LegFailed(leg, "dtls_closed"),
        DataChannelOpened(leg, 0, ""),
    ):
        assert stage.give(given) == [CloseLeg(leg)]


def test_media_of_a_track_that_nobody_knows_is_ignored() -> None:
    stage = Stage()
    assert stage.give(StreamBound(TrackHandle(9), 0, Ssrc(1))) == []
    assert stage.give(StreamEnded(TrackHandle(9), 0)) == []


def test_an_encoding_that_ends_does_not_end_the_track() -> None:
    stage = Stage()
    stage.join("alice")
    bob = stage.join("bob")
    for track in list(stage.tracks):
        stage.give(StreamEnded(track, 0))
    stage.pass_ms(1_000)
    assert list(stage.told(bob)) == ["alice-stream"]


def test_what_is_no_longer_due_wakes_nobody() -> None:
    stage = Stage(CallSettings(connect_timeout_s=5.0, ping_interval_s=20.0, pong_timeout_s=7.0))
    alice = stage.client("alice")
    stage.enter(alice)
    stage.invite(alice)
    assert alice.leg is not None
    assert stage.focus.next_timeout() == after_s(stage.now, 5)
    stage.give(LegConnected(alice.leg))
    assert stage.focus.next_timeout() == after_s(stage.now, 3_600 + 300)
    stage.give(DataChannelOpened(alice.leg, 0, ""))
    assert stage.focus.next_timeout() == after_s(stage.now, 20)
    stage.pass_ms(20_000)
    assert stage.focus.next_timeout() == after_s(stage.now, 7)
    stage.say(alice, Pong())
    assert stage.focus.next_timeout() == after_s(stage.now, 20)
    stage.give(DataChannelClosed(alice.leg, 0))
    assert stage.focus.next_timeout() == after_s(stage.now, 3_600 + 300 - 20)


def test_calls_do_not_hear_of_one_another() -> None:
    stage = Stage()
    alice, bob = stage.join("alice"), stage.join("bob", conf_id="conf-2")
    stage.subscribe(bob, ("alice-stream", "alice-video"))
    assert of_type(stage.outputs, SetDemand) == []
    assert stage.told(alice) == stage.told(bob) == {}


def test_a_turn_that_fails_does_not_lose_what_is_due_later(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    alice = stage.join("alice")
    assert alice.leg is not None

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    due = stage.focus.next_timeout()
    with monkeypatch.context() as patched:
        patched.setattr("sfu.conference.conference.Conference.streams_described", broken)
        with pytest.raises(RuntimeError, match="a bug"):
            stage.say(alice, MetadataChanged(()))
    assert stage.focus.next_timeout() == due
    # What the runtime does then:
    assert closed(stage.give(LegFailed(alice.leg, "internal"))) == [alice.leg]
    assert stage.focus.next_timeout() is None


def test_one_call_whose_timer_fails_does_not_keep_others_from_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    stage.join("alice")
    bob = stage.join("bob", conf_id="conf-2")
    first = stage.focus.snapshot()["calls"][0]["conference"]
    original = Focus._call_due

    def broken(self: Focus, now: Instant, wall: WallTime, call: LiveCall) -> Outputs:
        if call.conference.id == first:
            raise RuntimeError("a bug")
        return original(self, now, wall, call)

    monkeypatch.setattr(Focus, "_call_due", broken)
    pinged = len(bob.received)
    for _ in range(40):
        due = stage.focus.next_timeout()
        assert due is not None
        stage._advance(max(due, stage.now))
        try:
            stage._perform(stage.focus.handle_timeout(stage.now, stage.wall))
        except RuntimeError:
            continue
    assert len(bob.received) > pinged


def test_a_screen_share_comes_and_goes() -> None:
    stage = Stage()
    alice, bob = stage.join("alice"), stage.join("bob")
    alice.caller.sections.append(Section("video", "3", "sendonly", "screen", "screen-video"))
    alice.purposes["screen"] = "m.screenshare"
    stage.say(alice, Negotiate("offer", alice.caller.offer(), alice.metadata()))
    stage.flow(alice)
    stage.pass_ms(1_000)
    assert stage.told(bob)["screen"].purpose == "m.screenshare"
    assert of_type(stage.subscribe(bob, ("screen", "screen-video")), SetRoute)
    offer = alice.caller.change("3", direction="inactive")
    outputs = stage.say(alice, Negotiate("offer", offer, alice.metadata()))
    outputs += stage.pass_ms(1_000)
    assert list(stage.told(bob)) == ["alice-stream"]
    assert of_type(outputs, RemoveRoute)


def test_a_call_of_a_user_is_one_that_lives_where_they_are_joined() -> None:
    stage = Stage()
    alice = stage.client("alice")
    assert not stage.focus.has_call_of(CONF, alice.user_id)
    stage.enter(alice)
    assert stage.focus.has_call_of(CONF, alice.user_id)
    assert not stage.focus.has_call_of(CONF, "@nobody:example.org")
    assert not stage.focus.has_call_of("another", alice.user_id)
