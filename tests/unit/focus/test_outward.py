"""What the focus says of its own accord (protocol: sections 5, 6.3, 6.5 and 6.7)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sfu.allocation.decision import DECISION_DTYPE, Cause
from sfu.conference.turn import SendData, SetDemand
from sfu.rows import ALL_TEMPORAL, ROUTE_DTYPE
from signalling.events import to_device
from signalling.events.data_channel import (
    ActiveSpeaker,
    MetadataChanged,
    Negotiate,
    Ping,
    Pong,
    Speakers,
    parse_message,
)
from signalling.events.ours import (
    ActiveLayers,
    Drain,
    Layers,
    SentLayer,
    Stats,
    StatsRequest,
    TrackWhy,
    Why,
)
from signalling.focus import dialect
from signalling.focus.dialect import MAX_LETTER_BYTES
from signalling.focus.turn import SendToDevice
from tests.unit.conference.caller import encoding_rows, of_type, report_of
from tests.unit.conference.test_outcomes import rows_of
from tests.unit.focus.stage import (
    CONF,
    HOUR_MS,
    Client,
    Stage,
    call_event,
    counted,
    member_event,
    membership,
)

if TYPE_CHECKING:
    import pytest


def speak(stage: Stage, client: Client, *, level: int = 10, ticks: int = 40) -> None:
    """Two seconds of it."""
    track = min(track for track, leg in stage.tracks.items() if leg == client.leg)
    for _ in range(ticks):
        stage.give(report_of(stage.now, encodings=encoding_rows((track, 0, level))))
        stage.pass_ms(50)


def test_who_speaks_is_told_by_name_to_everybody() -> None:
    stage = Stage()
    alice, bob = stage.join("alice"), stage.join("bob")
    speak(stage, alice)
    for client in (alice, bob):
        (speaker,) = client.last(Speakers).speakers
        assert (speaker.user_id, speaker.device_id) == ("@alice:example.org", "ALICE")
        assert 0 < speaker.level <= 1


def test_who_comes_later_is_told_who_speaks() -> None:
    stage = Stage()
    alice = stage.join("alice")
    speak(stage, alice)
    bob = stage.join("bob")
    assert isinstance(bob.received[1], Speakers)
    assert [one.user_id for one in bob.last(Speakers).speakers] == [alice.user_id]


def test_who_is_not_admitted_is_not_told_who_speaks() -> None:
    stage = Stage()
    alice = stage.join("alice")
    speak(stage, alice)
    bob = stage.client("bob")
    stage.state(membership(bob.user_id))
    stage.invite(bob)
    stage.connect(bob)
    speak(stage, alice, level=127)
    speak(stage, alice)
    assert of_type(bob.received, Speakers) == []


def test_speakers_of_one_call_are_nothing_to_another() -> None:
    stage = Stage()
    alice, bob = stage.join("alice"), stage.join("bob", conf_id="conf-2")
    speak(stage, alice)
    assert of_type(alice.received, Speakers)
    assert of_type(bob.received, Speakers) == []


def test_a_newcomer_is_told_to_the_others_with_all_that_there_is() -> None:
    stage = Stage()
    alice, bob = stage.join("alice"), stage.join("bob")
    carol = stage.join("carol")
    assert set(stage.told(alice)) == {"bob-stream", "carol-stream"}
    assert set(stage.told(bob)) == {"alice-stream", "carol-stream"}
    assert set(stage.told(carol)) == {"alice-stream", "bob-stream"}
    track = {one.track_id: one for one in stage.told(bob)["alice-stream"].tracks}["alice-video"]
    assert (track.kind, track.width, track.height) == ("video", 1280, 720)


def test_in_a_large_call_an_answer_tells_of_some_and_the_channel_of_all() -> None:
    stage = Stage()
    names = [f"{number}-{'x' * 220}" for number in range(25)]
    for name in names:
        stage.join(name)
    late = stage.client("late")
    stage.enter(late)
    stage.invite(late)
    answer = late.last(to_device.Answer)
    assert answer.metadata is not None
    assert 10 < len(answer.metadata) < len(names)
    assert len(json.dumps(answer.content())) < 65_536 * 3 // 4
    stage.connect(late)
    assert len(stage.told(late)) == len(names)


def large_call() -> tuple[Stage, Client, int]:
    """Somebody in a call of so many others that a to-device message can't tell of all of them."""
    stage = Stage()
    names = [f"{number}-{'x' * 220}" for number in range(25)]
    for name in names:
        stage.join(name)
    return stage, stage.join("late"), len(names)


def negotiated(outputs: list[object]) -> list[to_device.Negotiate]:
    return of_type([one.message for one in of_type(outputs, SendToDevice)], to_device.Negotiate)


def offer_by_to_device(stage: Stage, client: Client, **caller: str) -> list[object]:
    for name, value in caller.items():
        setattr(client.caller, name, value)
    sdp = client.caller.offer()
    return stage.send(
        client, to_device.Negotiate(client.envelope(), "offer", sdp, metadata=client.metadata())
    )


def test_a_restart_of_ice_in_a_large_call_is_answered_without_what_the_channel_tells() -> None:
    """Streams that are not in a message's metadata would be gone for the client (protocol: section 5)."""
    stage, late, _ = large_call()
    (answer,) = negotiated(offer_by_to_device(stage, late, ufrag="restarted"))
    assert (answer.description_type, answer.metadata) == ("answer", None)
    assert len(json.dumps(answer.content())) < MAX_LETTER_BYTES


def test_who_negotiates_by_to_device_in_a_large_call_is_told_of_as_many_as_fit() -> None:
    stage, late, everybody = large_call()
    outputs = offer_by_to_device(stage, late)
    outputs += offer_by_to_device(stage, late)
    first = next(one for one in stage.clients if one is not late)
    outputs += stage.say(first, MetadataChanged(first.metadata(audio_muted=True)))
    outputs += stage.pass_ms(1_000)
    letters = [one.message for one in of_type(outputs, SendToDevice) if one.user_id == late.user_id]
    assert {type(one) for one in letters} == {to_device.Negotiate, to_device.MetadataChanged}
    for letter in letters[1:]:
        assert isinstance(letter, to_device.Negotiate | to_device.MetadataChanged)
        assert letter.metadata is not None
        assert 5 < len(letter.metadata) < everybody
        assert len(json.dumps(letter.content())) < MAX_LETTER_BYTES


def test_a_description_that_is_too_long_for_a_to_device_message_takes_no_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The homeserver would refuse it, and the client wait for its number for ever."""
    monkeypatch.setattr(dialect, "MAX_LETTER_BYTES", 4_000)
    stage = Stage()
    stage.join("alice")
    late = stage.join("late")
    stage.subscribe(late, ("alice-stream", "alice-audio"))
    offer_by_to_device(stage, late)
    stage.answers_offers = False
    numbers = [one.envelope.seq for one in late.letters]
    outputs = stage.subscribe(late, ("alice-stream", "alice-video")) + stage.pass_ms(1_000)
    assert negotiated(outputs) == []
    refused = {"direction": "sent", "type": "m.call.negotiate", "outcome": "too_long"}
    assert refused in counted(outputs, "signalling_messages")
    (hangup,) = letters_of(stage.pass_ms(60_000), late)
    assert isinstance(hangup, to_device.Hangup)
    assert hangup.envelope.seq == max(number for number in numbers if number is not None) + 1


def letters_of(outputs: list[object], client: Client) -> list[to_device.ToDeviceMessage]:
    return [one.message for one in of_type(outputs, SendToDevice) if one.user_id == client.user_id]


def test_figures_are_told_to_who_asks_for_them() -> None:
    stage = Stage()
    alice = stage.join("alice")
    assert stage.say(alice, StatsRequest(200)) == []
    for _ in range(10):
        stage.give(report_of(stage.now))
        stage.pass_ms(50)
    assert of_type(alice.received, Stats) == [Stats(None, None, 0, ())] * 2
    stage.say(alice, StatsRequest(0))
    for _ in range(10):
        stage.give(report_of(stage.now))
        stage.pass_ms(50)
    assert len(of_type(alice.received, Stats)) == 2


def test_our_own_messages_are_nothing_to_hear_from_a_client() -> None:
    stage = Stage()
    alice = stage.join("alice")
    for message in (Layers(()), Why(()), Stats(None, None, 0, ()), Drain(1)):
        assert stage.say(alice, message) == []


def test_layers_and_reasons_are_told_in_the_words_of_the_channel() -> None:
    stage = Stage()
    alice, bob = stage.join("alice"), stage.join("bob", "audio")
    (demand,) = of_type(stage.subscribe(bob, ("alice-stream", "alice-video")), SetDemand)
    decision = {"route": demand.route, "track": demand.track, "chosen_encoding": 0, "rate_bps": 99.6}
    decision |= {"wanted_encoding": 1, "allowed_encoding": 1, "cause": Cause.LAYER_NOT_SENT}
    report = report_of(
        stage.now,
        decisions=rows_of(DECISION_DTYPE, (decision,)),
        routes=rows_of(ROUTE_DTYPE, ({"route": demand.route, "encoding": 0, "temporal": ALL_TEMPORAL},)),
    )
    stage.give(report)
    assert alice.last(Layers) == Layers((ActiveLayers("alice-stream", "alice-video", ("q", "h", "f")),))
    text = "You get 320x180 instead of 640x360: the sender does not send the larger layer now."
    assert bob.last(Why).tracks == (
        TrackWhy(
            "alice-stream",
            "alice-video",
            640,
            360,
            SentLayer("q", None, 320, 180, 100),
            "layer_not_sent",
            text,
        ),
    )


def test_who_leaves_is_gone_from_everybodys_view() -> None:
    stage = Stage()
    alice, bob = stage.join("alice"), stage.join("bob")
    stage.state(member_event(bob.user_id))
    stage.pass_ms(1_000)
    assert stage.told(alice) == {}


def test_a_track_is_told_only_when_its_media_flows() -> None:
    stage = Stage()
    alice = stage.join("alice")
    bob = stage.client("bob")
    stage.enter(bob)
    stage.invite(bob)
    stage.pass_ms(5_000)
    assert stage.told(alice) == {}
    stage.connect(bob)
    stage.pass_ms(1_000)
    assert list(stage.told(alice)) == ["bob-stream"]


def test_a_burst_of_changes_is_told_at_a_bounded_rate_and_ends_with_the_truth() -> None:
    stage = Stage()
    alice, bob = stage.join("alice"), stage.join("bob")
    before = len(of_type(bob.received, MetadataChanged))
    for number in range(301):
        stage.say(alice, MetadataChanged(alice.metadata(audio_muted=number % 2 == 0)))
        stage.pass_ms(10)
    stage.pass_ms(2_000)
    assert stage.told(bob)["alice-stream"].audio_muted
    assert len(of_type(bob.received, MetadataChanged)) - before <= 3 * 5 + 5


def test_a_client_that_negotiates_by_to_device_is_told_so_beside_its_channel_and_no_more_often() -> None:
    stage = Stage()
    alice, bob = stage.join("alice"), stage.join("bob")
    offer = to_device.Negotiate(bob.envelope(), "offer", bob.caller.offer(), metadata=bob.metadata())
    stage.send(bob, offer)
    before = len(of_type(bob.received, MetadataChanged))
    outputs = []
    for number in range(101):
        outputs += stage.say(alice, MetadataChanged(alice.metadata(audio_muted=number % 2 == 0)))
        outputs += stage.pass_ms(10)
    outputs += stage.pass_ms(2_000)
    told = of_type(bob.received, MetadataChanged)[before:]
    letters = [one.message for one in of_type(outputs, SendToDevice)]
    assert [one.metadata for one in of_type(letters, to_device.MetadataChanged)] == [
        one.metadata for one in told
    ]
    assert len(told) <= 10
    assert [one.envelope.seq for one in letters] == list(range(3, 3 + len(told)))


def test_the_view_goes_before_the_offer_and_with_it() -> None:
    """CAP: a track that is offered before its metadata entry is lost on clients."""
    stage = Stage()
    bob = stage.join("bob")
    stage.subscribe(bob, ("alice-stream", "alice-video"))
    before = len(bob.received)
    stage.join("alice")
    told, offered = bob.received[before : before + 2]
    assert isinstance(told, MetadataChanged)
    assert isinstance(offered, Negotiate)
    assert offered.metadata == told.metadata
    assert "a=msid:alice-stream alice-video" in offered.sdp


def test_clients_are_pinged_on_their_channel_every_interval() -> None:
    stage = Stage()
    alice = stage.join("alice")
    for _ in range(3):
        stage.pass_ms(10_000)
        stage.say(alice, Pong())
    assert of_type(alice.received, Ping) == [Ping()] * 3


def test_a_leg_without_a_channel_is_told_nothing_on_one() -> None:
    stage = Stage()
    bob = stage.client("bob")
    stage.enter(bob)
    stage.invite(bob)
    alice = stage.join("alice")
    speak(stage, alice)
    assert bob.received == []
    assert {one.leg for one in of_type(stage.outputs, SendData)} == {alice.leg}


def test_a_message_on_a_channel_is_a_type_and_a_content() -> None:
    stage = Stage()
    stage.join("alice", "audio")
    texts = [one.text for one in of_type(stage.outputs, SendData)]
    assert texts == ['{"type":"m.call.sdp_stream_metadata_changed","content":{"sdp_stream_metadata":{}}}']
    assert parse_message(texts[0]) == MetadataChanged(())


def test_speakers_who_left_are_not_named() -> None:
    stage = Stage()
    alice, bob = stage.join("alice"), stage.join("bob")
    speak(stage, alice)
    assert ActiveSpeaker("@alice:example.org", "ALICE", 1.0).user_id == alice.user_id
    stage.state(member_event(alice.user_id))
    speak(stage, bob)
    assert [one.user_id for one in bob.last(Speakers).speakers] == [bob.user_id]


def test_the_member_event_of_a_newcomer_is_told_to_nobody_twice() -> None:
    stage = Stage()
    alice = stage.join("alice")
    before = len(alice.received)
    stage.state(call_event(CONF), member_event(alice.user_id, alice.named, expires_at=HOUR_MS))
    stage.pass_ms(1_000)
    assert len(alice.received) == before
