from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from loadtest.client import sdp
from loadtest.client.dialogue import Answered, Dialogue, Outcome
from loadtest.client.negotiation import LIKE_CHROMIUM, ClientNegotiation
from loadtest.client.observations import Observations
from loadtest.client.publisher import Capture, Publisher
from loadtest.client.rtp_session import RtpSession
from loadtest.client.scene import VIDEO, Party, Scene
from loadtest.client.sdp import Description, Section, Transport
from loadtest.client.subscriber import Subscriber
from loadtest.client.terms import RuleBreaks
from loadtest.media.clips import SINGLE, VideoFormat
from sfu.units import Kind
from signalling.events.data_channel import (
    ActiveSpeaker,
    DataMessage,
    Error,
    MetadataChanged,
    Negotiate,
    Ping,
    Pong,
    Speakers,
    serialise_message,
)
from signalling.events.metadata import USERMEDIA, StreamMetadata, TrackMetadata
from signalling.events.ours import ActiveLayers, Layers

ALICE, BOB = Party("@alice:here", "A"), Party("@bob:here", "B")
OURS = Transport("ours", "password", (("sha-256", "AA"),), "actpass")
FOCUS = Transport("focus", "password", (("sha-256", "BB"),), "passive")
SMALL = VideoFormat(128, 128)
BOBS = StreamMetadata(
    "b-stream", USERMEDIA, (TrackMetadata("b-video", Kind.VIDEO, 640, 360),), False, False, "@bob:here", "B"
)


class Alice:
    """A client that has dialled, and a focus that answers as the protocol says."""

    def __init__(self, breaks: RuleBreaks) -> None:
        self.seen = Observations()
        scene = Scene()
        self.publisher = Publisher(
            scene, ALICE, 1, Capture(camera=SMALL, screen=replace(SMALL, layers=SINGLE))
        )
        self.subscriber = Subscriber(scene, ALICE, self.seen, 360, 0.0)
        self.session = RtpSession("cname", random.Random(1))
        negotiation = ClientNegotiation(LIKE_CHROMIUM, "cname", self.seen.violations)
        self.dialogue = Dialogue(
            breaks, negotiation, self.session, self.publisher, self.subscriber, self.seen
        )
        self.sections: tuple[Section, ...] = ()

    def answer(self, offer: str, transport: Transport = FOCUS) -> str:
        directions = {"sendrecv": "recvonly", "sendonly": "recvonly"}
        self.sections = tuple(
            section
            if section.kind == sdp.APPLICATION
            else replace(
                section,
                direction=directions.get(section.direction, "inactive"),
                msid=None,
                send_rids=(),
                receive_rids=section.send_rids,
                ssrcs=(),
                rtx_ssrcs=(),
            )
            for section in sdp.parse(offer).sections
        )
        return written(transport, *self.sections)

    def take(self, message: DataMessage) -> list[Outcome]:
        return self.dialogue.take(serialise_message(message))

    def offers_bob(self) -> list[Outcome]:
        """The focus offers Bob's video."""
        section = Section(
            "9",
            sdp.VIDEO,
            "sendonly",
            formats=LIKE_CHROMIUM.formats(sdp.VIDEO),
            extensions=LIKE_CHROMIUM.ids(sdp.VIDEO),
            msid=("b-stream", "b-video"),
            ssrcs=(7,),
            cname="bob",
        )
        return self.take(Negotiate("offer", written(FOCUS, *self.sections, section), (BOBS,)))


def written(transport: Transport, *sections: Section) -> str:
    return sdp.serialise(Description(transport, sections), session_id=2, version=1)


async def dialled(breaks: RuleBreaks | None = None) -> Alice:
    alice = Alice(breaks or RuleBreaks())
    await alice.publisher.prepare()
    answer = alice.answer(alice.dialogue.begin(OURS, session_id=1))
    assert alice.dialogue.take_description("answer", answer, ()) == [Answered(FOCUS)]
    return alice


def layers(track_id: str, *active: str) -> Layers:
    return Layers((ActiveLayers("stream", track_id, active),))


async def test_a_ping_is_answered_and_counted() -> None:
    alice = await dialled()
    assert alice.take(Ping()) == [Pong()]
    assert alice.seen.pings == 1


async def test_who_breaks_the_rule_answers_no_ping() -> None:
    alice = await dialled(RuleBreaks(answer_pings=False))
    assert alice.take(Ping()) == []
    assert alice.seen.pings == 1


async def test_an_offer_is_answered_with_our_metadata_and_received() -> None:
    alice = await dialled()
    (said,) = alice.offers_bob()
    assert isinstance(said, Negotiate)
    assert (said.description_type, said.metadata) == ("answer", alice.publisher.metadata())
    assert alice.session.track("9") is not None
    assert alice.seen.announced == {BOB: {VIDEO}}
    assert (alice.seen.offers_answered, alice.seen.violations) == (1, [])


async def test_who_breaks_the_rule_answers_no_offer_but_takes_its_metadata() -> None:
    alice = await dialled(RuleBreaks(answer_offers=False))
    assert alice.offers_bob() == []
    assert alice.seen.announced == {BOB: {VIDEO}}


async def test_tracks_that_change_while_an_offer_waits_are_offered_after_it() -> None:
    alice = await dialled()
    await alice.publisher.open_screen()
    (first,) = alice.dialogue.republish()
    assert isinstance(first, Negotiate)
    alice.publisher.close_screen()
    assert alice.dialogue.republish() == []
    answered, second = alice.take(Negotiate("answer", alice.answer(first.sdp)))
    assert answered == Answered(FOCUS)
    assert isinstance(second, Negotiate)
    assert second.description_type == "offer"
    assert len(second.metadata or ()) == 1
    assert alice.take(Negotiate("answer", alice.answer(second.sdp))) == [Answered(FOCUS)]


async def test_an_offer_of_the_focus_that_meets_ours_is_ignored() -> None:
    alice = await dialled()
    await alice.publisher.open_screen()
    alice.dialogue.republish()
    assert alice.offers_bob() == []
    assert alice.session.track("9") is None


async def test_a_restart_speaks_of_another_connection_and_waits_for_its_answer() -> None:
    alice = await dialled()
    offer = alice.dialogue.restart(replace(OURS, ufrag="newer"))
    assert offer is not None
    assert sdp.parse(offer).transport.ufrag == "newer"
    assert alice.dialogue.restart(OURS) is None
    theirs = replace(FOCUS, ufrag="theirs")
    assert alice.take(Negotiate("answer", alice.answer(offer, theirs))) == [Answered(theirs)]


async def test_a_description_that_cannot_be_read_is_a_violation() -> None:
    alice = await dialled()
    assert alice.take(Negotiate("offer", "nonsense")) == []
    assert alice.seen.violations == ["offer: no v=0 line"]


async def test_layers_that_are_not_wanted_are_switched_off() -> None:
    alice = await dialled()
    camera = alice.publisher.tracks()[1].track_id
    assert alice.take(layers(camera, "q")) == []
    assert alice.seen.layers_wanted == {camera: ("q",)}


async def test_layers_that_make_no_sense_are_a_violation() -> None:
    alice = await dialled()
    alice.dialogue.take('{"type":"org.matrix_focus.layers","content":{"tracks":[7]}}')
    assert alice.seen.violations == ["data channel: wrong_type: track is int, not an object"]


async def test_who_breaks_the_rule_keeps_all_layers() -> None:
    alice = await dialled(RuleBreaks(obey_layers=False))
    alice.take(layers(alice.publisher.tracks()[1].track_id))
    assert alice.seen.layers_wanted == {}


async def test_what_the_focus_tells_is_remembered() -> None:
    alice = await dialled()
    alice.take(MetadataChanged((BOBS,)))
    alice.take(Speakers((ActiveSpeaker("@bob:here", "B", 1.0),)))
    alice.take(Error("malformed", "no"))
    assert alice.seen.announced == {BOB: {VIDEO}}
    assert alice.seen.speakers == (BOB,)
    assert alice.seen.errors == ["malformed"]


async def test_our_streams_may_be_said_to_be_somebody_elses() -> None:
    alice = await dialled(RuleBreaks(metadata_owner=BOB))
    assert {(stream.user_id, stream.device_id) for stream in alice.dialogue.metadata()} == {
        ("@bob:here", "B")
    }


async def test_every_description_of_ours_may_be_mangled() -> None:
    alice = Alice(RuleBreaks(mangle_sdp=lambda text: text + "a=mangled\r\n"))
    await alice.publisher.prepare()
    offer = alice.dialogue.begin(OURS, session_id=1)
    assert offer.endswith("a=mangled\r\n")
    alice.dialogue.take_description("answer", alice.answer(offer), None)
    (said,) = alice.offers_bob()
    assert isinstance(said, Negotiate)
    assert said.sdp.endswith("a=mangled\r\n")


@given(st.text())
def test_any_text_is_taken_or_a_violation(text: str) -> None:
    alice = Alice(RuleBreaks())
    assert alice.dialogue.take(text) == []
