"""What clients say on their data channel (protocol: section 6)."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.conference.turn import (
    DataChannelClosed,
    DataChannelOpened,
    DataReceived,
    DataRefused,
    DropDemand,
    SendData,
    SetDemand,
)
from sfu.config import ConferenceConfig, LimitsConfig, SfuConfig
from sfu.plane import RemoveRoute, SetRoute
from signalling.events.data_channel import (
    Error,
    MetadataChanged,
    Negotiate,
    Ping,
    Pong,
    SubscribedTrack,
    TrackRef,
    TrackSubscription,
    parse_message,
)
from signalling.events.metadata import StreamMetadata
from signalling.events.to_device import MetadataChanged as ToDeviceMetadataChanged
from signalling.events.to_device import Negotiate as ToDeviceNegotiate
from tests.unit.conference.caller import of_type
from tests.unit.focus.stage import Client, Stage, closed, counted, letters

ALICE_VIDEO = ("alice-stream", "alice-video")
ALICE_AUDIO = ("alice-stream", "alice-audio")


def pair(stage: Stage | None = None) -> tuple[Stage, Client, Client]:
    stage = stage or Stage()
    return stage, stage.join("alice"), stage.join("bob")


def demands(outputs: list[object]) -> list[tuple[int, int]]:
    return [(one.width, one.height) for one in of_type(outputs, SetDemand)]


# --- the channel itself -------------------------------------------------------------------------------------


def test_a_channel_that_opens_is_told_the_view_even_if_it_is_empty() -> None:
    """CAP: b175 ignores `kind` in the first metadata that names a track: this message is needed."""
    stage = Stage()
    alice = stage.join("alice")
    assert of_type(alice.received, MetadataChanged) == [MetadataChanged(())]
    bob = stage.client("bob")
    stage.enter(bob)
    stage.invite(bob)
    stage.connect(bob)
    assert type(bob.received[0]) is MetadataChanged
    assert list(stage.told(bob)) == ["alice-stream"]


def test_the_first_channel_is_adopted_whatever_its_label() -> None:
    stage = Stage()
    alice = stage.client("alice")
    stage.enter(alice)
    stage.invite(alice)
    assert alice.leg is not None
    sent = of_type(stage.give(DataChannelOpened(alice.leg, 3, "anything")), SendData)
    assert {one.channel for one in sent} == {3}


def test_a_second_channel_is_refused_and_harms_nothing() -> None:
    stage, _, bob = pair()
    assert bob.leg is not None
    (sent,) = of_type(stage.give(DataChannelOpened(bob.leg, 1, "channel")), SendData)
    assert sent.channel == 1
    error = parse_message(sent.text)
    assert isinstance(error, Error)
    assert error.code == "second_channel"
    ignored = stage.say(bob, TrackSubscription((SubscribedTrack(*ALICE_VIDEO),)), channel=1)
    assert counted(ignored, "messages_refused") == [{"reason": "second_channel"}]
    assert of_type(ignored, SetRoute) == []
    stage.give(DataRefused(bob.leg, 1, "binary"))
    stage.give(DataChannelClosed(bob.leg, 1))
    assert of_type(stage.subscribe(bob, ALICE_VIDEO), SetRoute)


def test_a_leg_outlives_its_channel_and_takes_another_one() -> None:
    stage, alice, bob = pair()
    assert bob.leg is not None
    assert closed(stage.give(DataChannelClosed(bob.leg, 0))) == []
    stage.say(alice, MetadataChanged(alice.metadata(video_muted=True)))
    assert {one.leg for one in of_type(stage.pass_ms(25_000), SendData)} == {alice.leg}
    stage.give(DataReceived(bob.leg, 0, '{"type":"m.call.ping"}'))
    outputs = stage.give(DataChannelOpened(bob.leg, 1, "datachannel"))
    assert {one.channel for one in of_type(outputs, SendData)} == {1}
    assert stage.told(bob)["alice-stream"].video_muted


def test_wishes_while_there_was_no_channel_are_offered_when_there_is_one() -> None:
    stage, _, bob = pair()
    assert bob.leg is not None
    stage.answers_offers = False
    stage.subscribe(bob, ALICE_VIDEO)
    offers = len(of_type(bob.received, Negotiate))
    stage.give(DataChannelClosed(bob.leg, 0))
    # What was asked is repeated the only way there is.
    assert letters(stage.pass_ms(5_000), ToDeviceNegotiate)
    stage.give(DataChannelOpened(bob.leg, 1, "datachannel"))
    assert len(of_type(bob.received, Negotiate)) == offers


def test_a_track_that_came_while_there_was_no_channel_is_offered_when_there_is_one() -> None:
    stage = Stage()
    bob = stage.join("bob")
    assert bob.leg is not None
    stage.subscribe(bob, ALICE_VIDEO)
    stage.give(DataChannelClosed(bob.leg, 0))
    stage.join("alice")
    assert of_type(stage.outputs, SetRoute) == []
    stage.give(DataChannelOpened(bob.leg, 1, "datachannel"))
    (offer,) = [
        one.text
        for one in of_type(stage.outputs, SendData)
        if (one.leg, one.channel) == (bob.leg, 1) and "m.call.negotiate" in one.text
    ]
    assert "alice-video" in offer


def test_a_client_without_a_channel_that_negotiates_by_to_device_is_told_that_way() -> None:
    stage, alice, bob = pair()
    assert bob.leg is not None
    stage.subscribe(bob, ALICE_VIDEO)
    stage.give(DataChannelClosed(bob.leg, 0))
    offer = ToDeviceNegotiate(bob.envelope(), "offer", bob.caller.offer(), metadata=bob.metadata())
    assert letters(stage.send(bob, offer), ToDeviceNegotiate)
    stage.say(alice, MetadataChanged(()))
    outputs = stage.pass_ms(1_000)
    assert [one.metadata for one in letters(outputs, ToDeviceMetadataChanged)] == [()]
    # Its section goes, too.
    assert [one.description_type for one in letters(outputs, ToDeviceNegotiate)] == ["offer"]


def test_a_channel_that_closes_does_not_stop_who_negotiates_by_to_device() -> None:
    stage, alice, bob = pair()
    assert bob.leg is not None
    stage.subscribe(bob, ALICE_VIDEO)
    offer = ToDeviceNegotiate(bob.envelope(), "offer", bob.caller.offer(), metadata=bob.metadata())
    stage.send(bob, offer)
    stage.give(DataChannelClosed(bob.leg, 0))
    stage.say(alice, MetadataChanged(()))
    assert letters(stage.pass_ms(1_000), ToDeviceNegotiate)


def test_pings_are_answered() -> None:
    stage, alice, _ = pair()
    stage.say(alice, Ping())
    assert of_type(alice.received, Pong) == [Pong()]


# --- messages that can't be taken ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"type": 3}',
        '{"content": {}}',
        '{"type": "m.call.track_subscription", "content": {"subscribe": 3}}',
        '{"type": "m.call.track_subscription", "content": {"subscribe": [{"stream_id": "x"}]}}',
        '{"type": "m.call.track_subscription", "content":'
        ' {"subscribe": [{"stream_id": "x", "track_id": "y", "pinned": "yes"}]}}',
        '{"type": "m.call.negotiate", "content": {}}',
        '{"type": "m.call.negotiate", "content": {"description": {"type": "rollback", "sdp": ""}}}',
        '{"type": "m.call.sdp_stream_metadata_changed", "content": {}}',
    ],
)
def test_a_mangled_message_is_refused_and_the_leg_goes_on(text: str) -> None:
    stage, _, bob = pair()
    outputs = stage.say(bob, text)
    assert bob.errors() == ["malformed"]
    assert counted(outputs, "messages_refused") == [{"reason": "malformed"}]
    assert of_type(stage.subscribe(bob, ALICE_VIDEO), SetRoute)


@pytest.mark.parametrize(
    "message",
    [
        '{"type": "m.call.replaces", "content": {"anything": 1}}',
        '{"type": "org.example.hello"}',
        '{"type": "org.matrix_focus.speakers", "content": {"speakers": []}}',
        '{"type": "org.matrix_focus.error", "content": {"code": "x", "text": ""}}',
    ],
)
def test_messages_that_are_not_for_a_focus_are_ignored(message: str) -> None:
    stage, alice, _ = pair()
    assert stage.say(alice, message) == []


@pytest.mark.parametrize(
    ("reason", "code"),
    [("binary", "not_text"), ("not_utf8", "not_text"), ("too_long", "too_long"), ("too_fast", "too_fast")],
)
def test_a_client_is_told_what_the_transport_refused(reason: str, code: str) -> None:
    stage, alice, _ = pair()
    assert alice.leg is not None
    outputs = stage.give(DataRefused(alice.leg, 0, reason))
    assert alice.errors() == [code]
    assert counted(outputs, "messages_refused") == []  # the transport has counted it


@pytest.mark.parametrize("sdp", ["", "v=0\r\nnonsense", "v=0\r\n", "x" * 9_000])
@pytest.mark.parametrize("kind", ["offer", "answer"])
def test_a_bad_description_is_refused_and_the_leg_goes_on(kind: str, sdp: str) -> None:
    stage, _, bob = pair(Stage(limits=LimitsConfig(sdp_bytes=8_192)))
    stage.answers_offers = False
    stage.subscribe(bob, ALICE_VIDEO)
    outputs = stage.say(bob, Negotiate(kind, sdp))
    assert bob.errors() == ["bad_sdp"]
    assert bob.last(Error).about == "m.call.negotiate"
    assert counted(outputs, "messages_refused") == [{"reason": "bad_sdp"}]
    answer = bob.caller.answer(of_type(bob.received, Negotiate)[-1].sdp)
    assert of_type(stage.say(bob, Negotiate("answer", answer)), SetRoute)


def test_an_answer_to_nothing_is_refused() -> None:
    stage, _, bob = pair()
    stage.say(bob, Negotiate("answer", bob.caller.offer()))
    assert bob.errors() == ["no_offer_pending"]


def test_errors_are_told_at_a_bounded_rate_and_all_counted() -> None:
    stage, alice, _ = pair()
    outputs = []
    for _ in range(50):
        outputs += stage.say(alice, "{")
    assert len(alice.errors()) == 5
    assert len(counted(outputs, "messages_refused")) == 50


def test_more_wishes_than_are_granted_are_refused_and_the_others_are_not() -> None:
    limits = LimitsConfig(subscriptions_per_leg=2)
    stage, _, bob = pair(Stage(limits=limits))
    outputs = stage.subscribe(bob, ALICE_AUDIO, ALICE_VIDEO, ("alice-stream", "third"))
    assert bob.errors() == ["too_many_subscriptions"]
    assert len(of_type(outputs, SetRoute)) == 2


def test_more_tracks_than_are_granted_are_refused_and_the_others_are_not() -> None:
    stage = Stage(limits=LimitsConfig(tracks_per_leg=1))
    alice = stage.client("alice")
    stage.enter(alice)
    stage.invite(alice)
    stage.connect(alice)
    outputs = stage.say(alice, Negotiate("offer", alice.caller.change("0", direction="inactive")))
    outputs += stage.say(alice, Negotiate("offer", alice.caller.change("0", direction="sendrecv")))
    assert "too_many_tracks" in alice.errors()


def test_a_track_in_a_codec_that_the_client_can_not_decode_is_said() -> None:
    stage = Stage(config=SfuConfig(conference=ConferenceConfig(codecs=("VP8", "H264", "opus"))))
    alice = stage.join("alice")
    bob = stage.client("bob")
    bob.caller = type(bob.caller).with_media("bob", codecs=("h264",))
    stage.enter(bob)
    stage.invite(bob)
    stage.connect(bob)
    stage.pass_ms(1_000)
    stage.subscribe(bob, ALICE_VIDEO)
    assert bob.errors() == ["unknown_codec"]
    assert alice.errors() == []


@given(st.text(max_size=60) | st.recursive(st.none() | st.text(max_size=5), st.lists).map(json.dumps))
def test_any_text_on_a_channel_is_survived(text: str) -> None:
    stage, alice = long_call()
    stage.pass_ms(300)
    stage.say(alice, text)
    assert stage.focus.snapshot()["counts"]["participants"] == 1
    stage.say(alice, Pong())


@cache
def long_call() -> tuple[Stage, Client]:
    stage = Stage()
    return stage, stage.join("alice")


# --- subscriptions ------------------------------------------------------------------------------------------


def test_a_wish_brings_the_track_and_a_repeat_brings_nothing() -> None:
    """CAP: a client sends its whole list again after every change."""
    stage, _, bob = pair()
    assert len(of_type(stage.subscribe(bob, ALICE_VIDEO, ALICE_AUDIO), SetRoute)) == 2
    assert stage.subscribe(bob, ALICE_VIDEO, ALICE_AUDIO) == []


def test_another_size_changes_the_demand_and_renegotiates_nothing() -> None:
    stage, _, bob = pair()
    stage.subscribe(bob, ALICE_VIDEO, size=(320, 180))
    outputs = stage.subscribe(bob, ALICE_VIDEO, size=(1280, 720))
    assert demands(outputs) == [(1280, 720)]
    assert of_type(outputs, SendData) == []


def test_a_pinned_or_hidden_tile_is_demanded_so_and_renegotiates_nothing() -> None:
    stage, _, bob = pair()
    plain = SubscribedTrack(*ALICE_VIDEO, 320, 180)
    stage.say(bob, TrackSubscription((plain, SubscribedTrack(*ALICE_AUDIO))))
    for wish in (replace(plain, is_pinned=True), replace(plain, is_visible=False), plain):
        outputs = stage.say(bob, TrackSubscription((wish,)))
        (demand,) = of_type(outputs, SetDemand)
        assert (demand.is_pinned, demand.is_visible) == (wish.is_pinned, wish.is_visible)
        assert of_type(outputs, SendData) == []


def test_sound_is_neither_pinned_nor_hidden() -> None:
    stage, _, bob = pair()
    wish = SubscribedTrack(*ALICE_AUDIO, is_pinned=True, is_visible=False)
    (demand,) = of_type(stage.say(bob, TrackSubscription((wish,))), SetDemand)
    assert (demand.is_pinned, demand.is_visible) == (False, True)


def test_unsubscribe_comes_first() -> None:
    stage, _, bob = pair()
    stage.subscribe(bob, ALICE_VIDEO, size=(320, 180))
    both = TrackSubscription((SubscribedTrack(*ALICE_VIDEO, 640, 360),), (TrackRef(*ALICE_VIDEO),))
    outputs = stage.say(bob, both)
    assert demands(outputs + stage.pass_ms(1_000))[-1:] == [(640, 360)]
    (wish,) = stage.focus.snapshot()["calls"][0]["members"][1]["subscriptions"]
    assert (wish["width"], wish["height"]) == (640, 360)


def test_audio_may_carry_a_size_and_be_unsubscribed_for_a_while() -> None:
    """CAP: the first messages of b175 unsubscribe audio, or give it a size."""
    stage, _, bob = pair()
    stage.say(bob, TrackSubscription((), (TrackRef(*ALICE_AUDIO), TrackRef(*ALICE_VIDEO))))
    outputs = stage.subscribe(bob, ALICE_AUDIO, size=(640, 360))
    assert demands(outputs) == [(0, 0)]
    assert bob.errors() == []


def test_a_track_that_is_wanted_no_more_stops() -> None:
    stage, _, bob = pair()
    stage.subscribe(bob, ALICE_VIDEO)
    outputs = stage.say(bob, TrackSubscription((), (TrackRef(*ALICE_VIDEO),)))
    assert of_type(outputs, RemoveRoute)
    assert of_type(outputs, DropDemand)


def test_a_wish_for_a_track_that_is_not_there_yet_is_remembered() -> None:
    stage = Stage()
    bob = stage.join("bob")
    assert stage.subscribe(bob, ALICE_VIDEO) == []
    stage.join("alice")
    assert [one["from"] for one in stage.focus.snapshot()["calls"][0]["members"][0]["subscriptions"]] == [
        "@alice:example.org"
    ]


# --- publishing ---------------------------------------------------------------------------------------------


def test_an_offer_is_answered_on_the_channel_with_the_whole_view() -> None:
    stage, alice, _ = pair()
    stage.say(alice, Negotiate("offer", alice.caller.offer(), alice.metadata()))
    answer = alice.last(Negotiate)
    assert answer.description_type == "answer"
    assert [one.stream_id for one in answer.metadata or ()] == ["bob-stream"]


def test_a_mute_is_told_to_the_others_and_not_to_who_muted() -> None:
    stage, alice, bob = pair()
    before = len(alice.received)
    stage.say(alice, MetadataChanged(alice.metadata(audio_muted=True)))
    stage.pass_ms(1_000)
    assert stage.told(bob)["alice-stream"].audio_muted
    assert len(alice.received) == before


def test_the_metadata_of_an_answer_counts() -> None:
    """CAP: the client's answers carry metadata too."""
    stage, alice, bob = pair()
    stage.answers_offers = False
    stage.subscribe(alice, ("bob-stream", "bob-video"))
    answer = alice.caller.answer(alice.last(Negotiate).sdp)
    stage.say(alice, Negotiate("answer", answer, alice.metadata(audio_muted=True)))
    stage.pass_ms(1_000)
    assert stage.told(bob)["alice-stream"].audio_muted


def test_a_camera_that_comes_on_late_may_ride_on_a_section_of_ours() -> None:
    """CAP: the client's offer turns our `sendonly` section into `sendrecv` with its msid, without rids.

    The focus must answer `sendrecv` and receive there. The stop is an offer with that section `recvonly` and
    metadata without the stream; what it receives on it goes on.
    """
    stage = Stage()
    alice, bob = stage.join("alice"), stage.join("bob", "audio")
    (route,) = of_type(stage.subscribe(bob, ALICE_VIDEO), SetRoute)
    offer = bob.caller.change(route.mid, direction="sendrecv", stream_id="late", track_id="late-video")
    stage.say(bob, Negotiate("offer", offer, bob.metadata(video_muted=True)))
    answered = bob.last(Negotiate).sdp.partition(f"a=mid:{route.mid}\r\n")[2].partition("m=")[0]
    assert "a=sendrecv" in answered
    stage.flow(bob)
    stage.pass_ms(1_000)
    told = {track.track_id for one in stage.told(alice).values() for track in one.tracks}
    assert told == {"bob-audio", "late-video"}
    without = tuple(one for one in bob.metadata() if one.stream_id != "late")
    outputs = stage.say(bob, Negotiate("offer", bob.caller.change(route.mid, direction="recvonly"), without))
    outputs += stage.pass_ms(1_000)
    assert list(stage.told(alice)) == ["bob-stream"]
    assert of_type(outputs, RemoveRoute) == []


def test_a_stream_id_that_flips_ends_nothing_and_renames_nothing() -> None:
    """CAP: camera on is two offers in a row, the first under a new stream id; track ids never change."""
    stage, alice, bob = pair()
    (route,) = of_type(stage.subscribe(bob, ALICE_VIDEO), SetRoute)
    before, outputs = len(bob.received), []
    for stream_id in ("flipped", "alice-stream"):
        offer = alice.caller.change("1", stream_id=stream_id)
        outputs += stage.say(alice, Negotiate("offer", offer, alice.metadata()))
        outputs += stage.pass_ms(60)
    outputs += stage.pass_ms(1_000)
    assert of_type(outputs, RemoveRoute) == []
    assert all("alice-stream" in repr(one) for one in of_type(bob.received[before:], MetadataChanged))
    assert [one.track_id for one in stage.told(bob)["alice-stream"].tracks] == ["alice-audio", "alice-video"]
    assert route.transport == bob.leg


def test_what_a_client_says_of_others_counts_for_nothing() -> None:
    """Metadata of one member can't overwrite another's, and whose it is comes from its leg."""
    stage, alice, bob = pair()
    carol = stage.join("carol")
    forged = (
        StreamMetadata("alice-stream", "m.usermedia", (), audio_muted=True, user_id=alice.user_id),
        *(
            StreamMetadata(one.stream_id, one.purpose, one.tracks, user_id=alice.user_id, device_id="ALICE")
            for one in bob.metadata()
        ),
    )
    stage.say(bob, MetadataChanged(forged))
    stage.pass_ms(1_000)
    told = stage.told(carol)
    assert not told["alice-stream"].audio_muted
    assert (told["alice-stream"].user_id, told["bob-stream"].user_id) == (alice.user_id, bob.user_id)
    assert told["bob-stream"].device_id == "BOB"
