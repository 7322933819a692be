"""What the focus written in Go, which this one follows, did wrong (protocol: sections 1, 6.1, 7.4 and 11).

Each test is a situation in which it crashed, mixed people up, or stopped serving somebody.
"""

from __future__ import annotations

import pytest

from sfu.conference.turn import DataChannelClosed, DataChannelOpened
from sfu.errors import ParseError
from sfu.plane import RemoveRoute, SetRoute
from signalling.events.data_channel import MetadataChanged, Negotiate
from signalling.events.metadata import StreamMetadata
from signalling.events.to_device import Answer, Candidates, Hangup, Reject, SelectAnswer, parse_to_device
from tests.unit.conference.caller import Section, of_type
from tests.unit.focus.stage import FOCUS_DEVICE, Stage, closed, letters


def test_bad_sdp_in_the_first_invite_and_then_another_message() -> None:
    """It kept a leg without a connection, and crashed at its next message."""
    stage = Stage()
    bob = stage.join("bob")
    alice = stage.client("alice")
    stage.enter(alice)
    assert letters(stage.invite(alice, sdp="v=0\r\no=nonsense"), Reject)
    stage.send(alice, Candidates(alice.envelope(), ()))
    stage.send(alice, SelectAnswer(alice.envelope(), FOCUS_DEVICE))
    stage.send(alice, Hangup(alice.envelope()))
    assert [one["leg"] for one in stage.focus.snapshot()["calls"][0]["members"]] == [bob.leg]
    stage.redial(alice, "alice-call-2")
    assert alice.leg is not None


@pytest.mark.parametrize(
    "missing", ["call_id", "party_id", "conf_id", "device_id", "sender_session_id", "dest_session_id"]
)
def test_an_invite_without_ids(missing: str) -> None:
    """It took the empty string for an id: all such clients were one."""
    content = Stage().client("alice").invite().content()
    del content[missing]
    with pytest.raises(ParseError, match=f"missing: {missing}"):
        parse_to_device("m.call.invite", content)


def test_a_redial_with_a_new_call_id() -> None:
    """It kept both legs: everybody saw the client twice, and the old one sent into the void."""
    stage = Stage()
    alice, bob = stage.join("alice"), stage.join("bob")
    before = alice.leg
    assert closed(stage.redial(alice, "alice-call-2")) == [before]
    stage.connect(alice)
    stage.pass_ms(1_000)
    assert list(stage.told(bob)) == ["alice-stream"]
    assert stage.focus.snapshot()["counts"]["participants"] == 2


def test_a_second_data_channel() -> None:
    """It closed the first, adopted neither, and the client was deaf and mute."""
    stage = Stage()
    stage.join("alice")
    bob = stage.join("bob")
    assert bob.leg is not None
    stage.give(DataChannelOpened(bob.leg, 1, "another"))
    assert of_type(stage.subscribe(bob, ("alice-stream", "alice-video")), SetRoute)
    stage.give(DataChannelClosed(bob.leg, 1))
    assert of_type(stage.subscribe(bob, ("alice-stream", "alice-audio")), SetRoute)


def test_metadata_of_one_member_never_overwrites_that_of_another() -> None:
    """It indexed metadata by stream id alone: whoever described somebody else's stream owned it."""
    stage = Stage()
    alice, eve = stage.join("alice"), stage.join("eve")
    bob = stage.join("bob")
    before = stage.told(bob)["alice-stream"]
    forged = StreamMetadata("alice-stream", "m.usermedia", (), audio_muted=True, video_muted=True)
    stage.say(eve, MetadataChanged((forged, *eve.metadata())))
    stage.pass_ms(1_000)
    assert stage.told(bob)["alice-stream"] == before
    assert before.user_id == alice.user_id


def test_two_members_with_the_same_ids_are_told_apart() -> None:
    """It found tracks by their id alone, whoever's they were."""
    stage = Stage()
    stage.join("alice")
    eve = stage.client("eve")
    eve.caller = type(eve.caller).with_media("alice")
    stage.enter(eve)
    stage.invite(eve)
    stage.connect(eve)
    bob = stage.join("bob")
    streams = stage.told(bob).values()
    assert {one.user_id for one in streams} == {"@alice:example.org", "@eve:example.org"}
    assert len({track.track_id for one in streams for track in one.tracks}) == 4


@pytest.mark.parametrize("by_metadata", [True, False])
def test_the_stop_of_a_screen_share(by_metadata: bool) -> None:
    """It waited for the track's end, which does not come; the others kept a frozen picture.

    CAP: a section's `a=msid` stays in later offers after unpublishing: only the direction counts.
    """
    stage = Stage()
    alice, bob = stage.join("alice"), stage.join("bob")
    camera = alice.metadata()
    alice.caller.sections.append(Section("video", "3", "sendonly", "screen", "screen-video"))
    alice.purposes["screen"] = "m.screenshare"
    both = alice.metadata()
    stage.say(alice, Negotiate("offer", alice.caller.offer(), both))
    stage.flow(alice)
    stage.pass_ms(1_000)
    stage.subscribe(bob, ("screen", "screen-video"))
    if by_metadata:
        outputs = stage.say(alice, MetadataChanged(camera))
    else:
        outputs = stage.say(alice, Negotiate("offer", alice.caller.change("3", direction="inactive"), both))
    outputs += stage.pass_ms(1_000)
    assert list(stage.told(bob)) == ["alice-stream"]
    assert of_type(outputs, RemoveRoute)
    assert "a=inactive" in bob.last(Negotiate).sdp or "a=recvonly" in bob.last(Negotiate).sdp


def test_anybody_who_knew_a_conf_id_was_let_in() -> None:
    """It checked nothing: the streams of a call went to whoever asked for them."""
    stage = Stage()
    stage.join("alice")
    eve = stage.client("eve")
    outputs = stage.invite(eve)
    assert letters(outputs, Answer) == []
    assert [one.reason for one in letters(outputs, Reject)] == ["not_in_call"]


def test_an_offer_of_the_client_while_ours_is_unanswered_is_answered() -> None:
    """It failed to apply it and only said so in its log: the client ignored every later offer."""
    stage = Stage()
    stage.join("alice")
    bob = stage.join("bob")
    stage.answers_offers = False
    stage.subscribe(bob, ("alice-stream", "alice-video"))
    before = len(of_type(bob.received, Negotiate))
    stage.say(bob, Negotiate("offer", bob.caller.change("0", direction="sendonly"), bob.metadata()))
    answer, offer = of_type(bob.received, Negotiate)[before:]
    assert (answer.description_type, offer.description_type) == ("answer", "offer")
    assert of_type(stage.say(bob, Negotiate("answer", bob.caller.answer(offer.sdp))), SetRoute)
