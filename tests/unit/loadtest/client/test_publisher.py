from __future__ import annotations

import random

import pytest

from loadtest.client import sdp
from loadtest.client.negotiation import LIKE_CHROMIUM, LocalTrack, SendSection
from loadtest.client.publisher import Capture, Publisher
from loadtest.client.rtp_session import RtpSession
from loadtest.client.scene import AUDIO, SCREEN, VIDEO, Party, Scene
from loadtest.media.clips import SINGLE, VideoFormat
from loadtest.media.vp8_packetiser import depacketise
from sfu.rtp.packet import RtpPacket
from sfu.units import Instant, Kind, after_ms
from signalling.events.metadata import SCREENSHARE, USERMEDIA

ALICE = Party("@alice:here", "A")
T0 = Instant(10**12)
SMALL = VideoFormat(width=128, height=128)
WALL_S = 1_700_000_000.0


class Desk:
    """A publisher and a session that agreed to whatever it publishes."""

    def __init__(self, capture: Capture) -> None:
        self.scene = Scene()
        self.scene.enter(ALICE, 5)
        self.publisher = Publisher(self.scene, ALICE, 5, capture)
        self.session = RtpSession("cname", random.Random(1))
        self.now = T0

    def agree(self) -> None:
        sections = []
        for mid, track in enumerate(self.publisher.tracks()):
            ids = {uri: number for number, uri in LIKE_CHROMIUM.ids(track.kind)}
            payload_type = LIKE_CHROMIUM.opus if track.kind == sdp.AUDIO else LIKE_CHROMIUM.vp8
            sections.append(SendSection(str(mid), track, payload_type, None, ids, track.rids))
        self.session.agree(sections, [])

    def run(self, duration_ms: int) -> list[RtpPacket]:
        """The packets of a stretch of time, in steps of 20 ms."""
        packets = []
        for _ in range(duration_ms // 20):
            sent = self.publisher.media(self.now, WALL_S, self.session)
            packets += [RtpPacket.parse(data) for data in sent]
            self.now = after_ms(self.now, 20)
        return packets

    def sent(self, kind: str) -> int:
        return self.scene.sent_between(ALICE, kind, T0, self.now)

    def track(self, kind: str) -> LocalTrack:
        return next(track for track in self.publisher.tracks() if track.kind == kind)

    def rids(self, packets: list[RtpPacket]) -> set[str]:
        number = LIKE_CHROMIUM.extensions[sdp.RID]
        return {value.decode() for packet in packets for key, value in packet.extensions if key == number}


@pytest.fixture
async def desk() -> Desk:
    desk = Desk(Capture(camera=SMALL, screen=VideoFormat(128, 128, 5, SINGLE)))
    await desk.publisher.prepare()
    desk.agree()
    return desk


def key_frames(packets: list[RtpPacket]) -> int:
    payloads = [depacketise(packet.payload) for packet in packets if packet.payload_type == LIKE_CHROMIUM.vp8]
    return sum(payload is not None and payload.is_key_start for payload in payloads)


def audio(packets: list[RtpPacket]) -> list[RtpPacket]:
    return [packet for packet in packets if packet.payload_type == LIKE_CHROMIUM.opus]


async def test_a_second_has_fifty_packets_of_sound_and_fifteen_pictures_in_three_layers(desk: Desk) -> None:
    packets = desk.run(1_000)
    assert len(audio(packets)) == desk.sent(AUDIO) == 50
    assert desk.sent(VIDEO) == 15
    assert desk.rids(packets) == {"f", "h", "q"}
    assert key_frames(packets) == 3


async def test_what_is_said_of_the_tracks_is_what_is_published(desk: Desk) -> None:
    (stream,) = desk.publisher.metadata()
    assert (stream.purpose, stream.user_id, stream.device_id) == (USERMEDIA, "@alice:here", "A")
    assert (stream.audio_muted, stream.video_muted) == (False, False)
    sizes = {track.kind: (track.track_id, track.width, track.height) for track in stream.tracks}
    assert sizes == {
        Kind.AUDIO: (desk.track(sdp.AUDIO).track_id, None, None),
        Kind.VIDEO: (desk.track(sdp.VIDEO).track_id, 128, 128),
    }


async def test_only_wanted_layers_are_sent_but_every_picture_counts(desk: Desk) -> None:
    camera = desk.track(sdp.VIDEO).track_id
    desk.publisher.want_layers(camera, ("q",))
    assert desk.rids(desk.run(1_000)) == {"q"}
    desk.publisher.want_layers(camera, ())
    assert desk.rids(desk.run(1_000)) == set()
    assert desk.sent(VIDEO) == 30


async def test_a_layer_that_is_wanted_again_begins_with_a_key_frame(desk: Desk) -> None:
    camera = desk.track(sdp.VIDEO).track_id
    desk.publisher.want_layers(camera, ("q",))
    desk.run(1_000)
    desk.publisher.want_layers(camera, ("f", "q"))
    packets = desk.run(200)
    assert desk.rids(packets) == {"f", "q"}
    assert key_frames(packets) == 1


async def test_a_key_frame_is_made_of_the_encoding_that_is_asked(desk: Desk) -> None:
    desk.run(1_000)
    desk.publisher.want_key_frame(desk.track(sdp.VIDEO).track_id, "h")
    assert key_frames(desk.run(200)) == 1


async def test_a_muted_camera_sends_nothing_and_begins_again_with_key_frames(desk: Desk) -> None:
    desk.run(1_000)
    desk.publisher.mute(Kind.VIDEO, muted=True)
    assert desk.publisher.metadata()[0].video_muted
    assert len(audio(desk.run(1_000))) == 50
    assert desk.sent(VIDEO) == 15
    desk.publisher.mute(Kind.VIDEO, muted=False)
    assert key_frames(desk.run(100)) == 3


async def test_a_muted_microphone_says_that_it_is_there_and_counts_for_nothing(desk: Desk) -> None:
    desk.publisher.mute(Kind.AUDIO, muted=True)
    assert desk.publisher.metadata()[0].audio_muted
    silent = audio(desk.run(2_000))
    assert len(silent) == 5
    assert desk.sent(AUDIO) == 0
    level = LIKE_CHROMIUM.extensions[sdp.AUDIO_LEVEL]
    assert {value for packet in silent for key, value in packet.extensions if key == level} == {b"\x7f"}


async def test_a_screen_is_a_track_and_a_stream_of_its_own_each_time(desk: Desk) -> None:
    first = await desk.publisher.open_screen()
    assert first.direction == "sendonly"
    _, share = desk.publisher.metadata()
    assert (share.purpose, share.stream_id) == (SCREENSHARE, first.stream_id)
    desk.agree()
    desk.run(1_000)
    assert desk.sent(SCREEN) == 5
    assert desk.publisher.close_screen() is first
    assert desk.publisher.close_screen() is None
    assert len(desk.publisher.metadata()) == 1
    second = await desk.publisher.open_screen()
    assert (second.stream_id, second.track_id, second.ssrc) != (first.stream_id, first.track_id, first.ssrc)


async def test_before_anything_is_agreed_nothing_is_sent_or_counted() -> None:
    desk = Desk(Capture(camera=SMALL))
    await desk.publisher.prepare()
    assert desk.run(1_000) == []
    assert (desk.sent(AUDIO), desk.sent(VIDEO)) == (0, 0)


async def test_who_has_no_camera_and_no_microphone_publishes_nothing() -> None:
    desk = Desk(Capture(has_microphone=False, camera=None))
    await desk.publisher.prepare()
    assert desk.publisher.tracks() == []
    assert desk.publisher.metadata() == ()


async def test_after_a_standstill_of_the_machine_sound_goes_on_from_now(desk: Desk) -> None:
    desk.run(1_000)
    desk.now = after_ms(desk.now, 5_000)
    assert len(audio(desk.run(100))) == 5
