"""The load test's own media, without a focus: two ends over real ICE, DTLS-SRTP and SCTP on loopback."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from loadtest.client.negotiation import LIKE_CHROMIUM, ClientNegotiation, ReceiveSection, SendSection
from loadtest.client.observations import Observations
from loadtest.client.publisher import Capture, Publisher
from loadtest.client.receiver import ntp_of
from loadtest.client.rtp_session import FrameArrived, KeyFrameWanted, RtpSession, SessionEvent, SoundArrived
from loadtest.client.scene import AUDIO, VIDEO, Party, Scene
from loadtest.client.subscriber import Subscriber
from loadtest.client.transport import LegTransport
from loadtest.media.clips import VideoFormat
from sfu.units import Instant, Kind
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.integration

ALICE, BOB = Party("@alice:test", "A"), Party("@bob:test", "B")
TICK_S = 0.02


def now() -> Instant:
    return Instant(time.monotonic_ns())


@dataclass
class End:
    """One end of the wire: a publisher and a subscriber over one transport."""

    party: Party
    sender: int
    scene: Scene
    seen: Observations = field(default_factory=Observations)

    def __post_init__(self) -> None:
        self.scene.enter(self.party, self.sender)
        self.transport = LegTransport(("127.0.0.1",), self.take)
        self.session = RtpSession(self.party.user_id, random.Random(self.sender))
        capture = Capture(camera=VideoFormat(width=320, height=180))
        self.publisher = Publisher(self.scene, self.party, self.sender, capture)
        self.subscriber = Subscriber(self.scene, self.party, self.seen, 180, 0.0)
        self.resends: list[bytes] = []

    def take(self, data: bytes, is_rtcp: bool, _arrived_at: Instant) -> None:  # the transport's callback
        if is_rtcp:
            resent, events = self.session.receive_rtcp(now(), data)
            self.resends += resent
        else:
            events = self.session.receive_rtp(now(), data)
        self.perform(events)

    def perform(self, events: list[SessionEvent]) -> None:
        for event in events:
            match event:
                case FrameArrived():
                    if not self.subscriber.see(now(), time.time(), event.mid, event.frame):
                        self.session.need_key_frame(event.mid)
                case SoundArrived():
                    self.subscriber.hear(now(), time.time(), event.mid, event.packet)
                case KeyFrameWanted():
                    self.publisher.want_key_frame(event.track_id, event.rid)

    async def play(self) -> None:
        while True:
            packets = self.resends + self.publisher.media(now(), time.time(), self.session)
            self.resends = []
            reports, events = self.session.poll(now(), ntp_of(time.time()))
            self.perform(events)
            await self.transport.send_media(packets, is_rtcp=False)
            await self.transport.send_media(reports, is_rtcp=True)
            await asyncio.sleep(TICK_S)

    def sections(self) -> list[SendSection]:
        """What this end would have agreed on, one plain stream for each track."""
        sections = []
        for mid, track in enumerate(self.publisher.tracks()):
            ids = {uri: number for number, uri in LIKE_CHROMIUM.ids(track.kind)}
            payload_type = LIKE_CHROMIUM.opus if track.kind == "audio" else LIKE_CHROMIUM.vp8
            rtx = None if track.kind == "audio" else LIKE_CHROMIUM.rtx
            sections.append(SendSection(str(mid), track, payload_type, rtx, ids, ()))
        return sections


def received(sent: SendSection) -> ReceiveSection:
    repairs = {} if sent.rtx_payload_type is None else {sent.rtx_payload_type: sent.payload_type}
    return ReceiveSection(
        mid=sent.mid,
        kind=sent.track.kind,
        stream_id=sent.track.stream_id,
        track_id=sent.track.track_id,
        codecs={sent.payload_type: "opus" if sent.track.kind == "audio" else "vp8"},
        repairs=repairs,
        extensions={number: uri for uri, number in sent.extensions.items()},
        ssrcs=(),
        rtx_ssrcs={},
    )


async def connect(alice: End, bob: End) -> None:
    for end in (alice, bob):
        await end.publisher.prepare()
    theirs = [await end.transport.gather() for end in (alice, bob)]
    hers = replace(theirs[0], setup="passive", candidates=alice.transport.candidates())
    his = replace(theirs[1], setup="active", candidates=bob.transport.candidates())
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(alice.transport.connect(his))
        group.create_task(bob.transport.connect(hers))
    for sender, receiver in ((alice, bob), (bob, alice)):
        receiver.subscriber.announce(sender.publisher.metadata())
    for end, other in ((alice, bob), (bob, alice)):
        receiving = [received(section) for section in other.sections()]
        end.session.agree(end.sections(), receiving)
        end.subscriber.receive(receiving)


async def play(ends: tuple[End, ...], until: Callable[[], bool]) -> None:
    """Send both ways until something has been seen."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(end.play()) for end in ends]
        await eventually(until)
        for task in tasks:
            task.cancel()


async def test_two_ends_prove_each_others_pictures_and_tones() -> None:
    scene = Scene()
    alice, bob = End(ALICE, 1, scene), End(BOB, 2, scene)
    try:
        await connect(alice, bob)
        pairs = ((alice, BOB), (bob, ALICE))
        enough = {VIDEO: 20, AUDIO: 60}
        await play(
            (alice, bob),
            lambda: all(
                end.seen.frames_decoded(other, kind) > count
                for end, other in pairs
                for kind, count in enough.items()
            ),
        )
    finally:
        await alice.transport.close()
        await bob.transport.close()
    for end, other in pairs:
        assert end.seen.wrong_frames() == 0
        assert end.seen.violations == []
        video = end.seen.track(other, VIDEO)
        assert video.layers_seen == {"f"}
        assert (video.counter_gaps, video.id_jumps) == (0, 0)
        assert video.delay_ms_p50 is not None
        assert end.transport.packets_undecryptable == 0


async def test_somebody_elses_pictures_and_tones_are_wrong_frames() -> None:
    scene = Scene()
    alice, bob = End(ALICE, 1, scene), End(BOB, 2, scene)
    try:
        await connect(alice, bob)
        scene.enter(ALICE, 77)  # Bob expects another number in her pictures from here on.
        await play(
            (alice, bob),
            lambda: all(bob.seen.track(ALICE, kind).wrong_frames > 10 for kind in (AUDIO, VIDEO)),
        )
    finally:
        await alice.transport.close()
        await bob.transport.close()
    assert bob.seen.frames_decoded(ALICE, VIDEO) == 0
    assert alice.seen.wrong_frames() == 0


async def test_muted_media_stop_and_are_no_freeze() -> None:
    scene = Scene()
    alice, bob = End(ALICE, 1, scene), End(BOB, 2, scene)
    try:
        await connect(alice, bob)
        hers, his = bob.seen.track(ALICE, VIDEO), alice.seen.track(BOB, VIDEO)
        await play((alice, bob), lambda: hers.frames_decoded > 8)
        for kind in (Kind.AUDIO, Kind.VIDEO):
            alice.publisher.mute(kind, muted=True)
        bob.subscriber.announce(alice.publisher.metadata())
        before, meanwhile = hers.frames_decoded, his.frames_decoded
        await play((alice, bob), lambda: his.frames_decoded > meanwhile + 15)
        # What was on its way may have come.
        assert hers.frames_decoded <= before + 2
        before = hers.frames_decoded
        alice.publisher.mute(Kind.VIDEO, muted=False)
        bob.subscriber.announce(alice.publisher.metadata())
        await play((alice, bob), lambda: hers.frames_decoded > before + 8)
    finally:
        await alice.transport.close()
        await bob.transport.close()
    video = bob.seen.track(ALICE, VIDEO)
    assert video.mutes_seen == 1
    assert not video.is_muted
    assert bob.seen.track(ALICE, AUDIO).is_muted
    assert video.wrong_frames == 0


async def test_a_transport_ends_when_the_other_side_closes() -> None:
    scene = Scene()
    alice, bob = End(ALICE, 1, scene), End(BOB, 2, scene)
    try:
        await connect(alice, bob)
        await alice.transport.close()
        async with asyncio.timeout(20):
            await bob.transport.closed.wait()
    finally:
        await bob.transport.close()


async def test_an_offer_lists_what_the_transport_gathered() -> None:
    transport = LegTransport(("127.0.0.1",), lambda _data, _is_rtcp, _at: None)
    try:
        description = await transport.gather()
        negotiation = ClientNegotiation(LIKE_CHROMIUM, "cname", [])
        negotiation.begin(description, session_id=1)
        negotiation.open_channel()
        assert f"a=ice-ufrag:{description.ufrag}" in negotiation.make_offer()
        assert len(description.fingerprints) == 1
        assert all(" 127.0.0.1 " in candidate for candidate in transport.candidates())
    finally:
        await transport.close()


async def test_an_end_of_candidates_that_overtakes_the_answer_ends_nothing() -> None:
    scene = Scene()
    alice, bob = End(ALICE, 1, scene), End(BOB, 2, scene)
    try:
        for end in (alice, bob):
            await end.transport.add_candidate("")
        await connect(alice, bob)
    finally:
        await alice.transport.close()
        await bob.transport.close()
