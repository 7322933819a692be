from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from loadtest.client import sdp
from loadtest.client.negotiation import ReceiveSection
from loadtest.client.observations import Observations
from loadtest.client.rtp_receiver import AudioPacket
from loadtest.client.scene import AUDIO, SCREEN, VIDEO, Party, Scene
from loadtest.client.subscriber import Subscriber
from loadtest.media.assembly import WholeFrame
from loadtest.media.audio import WINDOW_FRAMES, encode_tone, silence
from loadtest.media.clips import VideoFormat, encode_clips
from loadtest.media.video import Source
from sfu.units import Instant, Kind, after_ms, after_s
from signalling.events.data_channel import ActiveSpeaker, Speakers, SubscribedTrack, TrackRef
from signalling.events.metadata import SCREENSHARE, USERMEDIA, StreamMetadata, TrackMetadata

ALICE, BOB, CAROL = (Party(f"@{name}:here", name[0].upper()) for name in ("alice", "bob", "carol"))
BROWSER = Party("@browser:here", "X")
"""Of no number: somebody who was started elsewhere."""
T0 = Instant(10**12)
BOB_NUMBER, CAROL_NUMBER = 2, 3


def stream(party: Party, *, purpose: str = USERMEDIA, muted: bool = False, name: str = "") -> StreamMetadata:
    prefix = name or party.device_id.lower()
    video = TrackMetadata(f"{prefix}-video", Kind.VIDEO, 640, 360)
    audio = (TrackMetadata(f"{prefix}-audio", Kind.AUDIO),) if purpose == USERMEDIA else ()
    return StreamMetadata(
        f"{prefix}-stream", purpose, (*audio, video), muted, muted, party.user_id, party.device_id
    )


def section(mid: str, kind: str, prefix: str = "b") -> ReceiveSection:
    return ReceiveSection(mid, kind, f"{prefix}-stream", f"{prefix}-{kind}", {}, {}, {}, (), {})


class Alice:
    """A subscriber, and what it observes."""

    def __init__(self, height: int = 360, delay_s: float = 0.0) -> None:
        self.scene = Scene()
        self.scene.enter(BOB, BOB_NUMBER)
        self.scene.enter(CAROL, CAROL_NUMBER)
        self.seen = Observations()
        self.subscriber = Subscriber(self.scene, ALICE, self.seen, height, delay_s)

    def wishes(self, now: Instant = T0) -> tuple[set[SubscribedTrack], set[TrackRef]] | None:
        message = self.subscriber.poll(now)
        return None if message is None else (set(message.subscribe), set(message.unsubscribe))

    def see(self, sender: int, mid: str = "1", source: Source = Source.CAMERA) -> None:
        clip = encode_clips(sender, source, VideoFormat(128, 128))[0]
        data = clip.frames[0].payload
        self.subscriber.see(T0, 0.0, mid, WholeFrame(data, True, 0, T0, False, None))

    def hear(self, sender: int, packets: int = WINDOW_FRAMES, mid: str = "0") -> None:
        for n, data in enumerate(encode_tone(sender)[:packets]):
            self.subscriber.hear(after_ms(T0, n * 20), 0.0, mid, AudioPacket(data, 0, False, None))


BOBS = (SubscribedTrack("b-stream", "b-audio"), SubscribedTrack("b-stream", "b-video", 640, 360))


def test_everything_announced_is_wanted_once() -> None:
    alice = Alice()
    alice.subscriber.announce([stream(BOB)])
    assert alice.wishes() == (set(BOBS), set())
    assert alice.wishes() is None


def test_wishes_wait_as_long_as_browsers_do() -> None:
    alice = Alice(delay_s=2.0)
    alice.subscriber.announce([stream(BOB)])
    assert alice.wishes(T0) is None
    assert alice.wishes(after_s(T0, 1.9)) is None
    assert alice.wishes(after_s(T0, 2.0)) == (set(BOBS), set())


def test_a_connected_leg_says_its_wishes_at_once() -> None:
    alice = Alice(delay_s=2.0)
    alice.subscriber.announce([stream(BOB)])
    alice.subscriber.connected(T0)
    assert alice.wishes(T0) == (set(BOBS), set())


def test_a_hidden_video_is_unsubscribed_and_sound_stays() -> None:
    alice = Alice()
    alice.subscriber.announce([stream(BOB)])
    alice.subscriber.want(0)
    assert alice.wishes() == ({BOBS[0]}, {TrackRef("b-stream", "b-video")})


def test_one_track_is_wanted_at_a_height_of_its_own() -> None:
    alice = Alice()
    alice.subscriber.announce([stream(BOB), stream(CAROL)])
    alice.subscriber.want_track(CAROL, VIDEO, 90)
    alice.subscriber.want_track(BOB, AUDIO, 0)
    wishes = alice.wishes()
    assert wishes is not None
    subscribe, unsubscribe = wishes
    assert SubscribedTrack("c-stream", "c-video", 160, 90) in subscribe
    assert BOBS[1] in subscribe
    assert unsubscribe == {TrackRef("b-stream", "b-audio")}


def test_a_pinned_and_a_hidden_video_stay_subscribed_until_they_are_plain_again() -> None:
    alice = Alice()
    alice.subscriber.announce([stream(BOB), stream(CAROL)])
    carols = SubscribedTrack("c-stream", "c-video", 640, 360)
    for flag in (True, False):
        alice.subscriber.pin_track(BOB, VIDEO, pinned=flag)
        alice.subscriber.hide_track(CAROL, VIDEO, hidden=flag)
        wishes = alice.wishes()
        assert wishes is not None
        subscribe, unsubscribe = wishes
        assert {replace(BOBS[1], is_pinned=flag), replace(carols, is_visible=not flag)} <= subscribe
        assert unsubscribe == set()


def test_a_video_that_is_hidden_does_not_freeze() -> None:
    alice = Alice()
    alice.subscriber.announce([stream(BOB)])
    alice.subscriber.receive([section("1", sdp.VIDEO)])
    alice.see(BOB_NUMBER)
    alice.subscriber.hide_track(BOB, VIDEO, hidden=True)
    alice.wishes()
    assert alice.seen.track(BOB, VIDEO).freezing_ms(after_s(T0, 10)) == 0.0


def test_who_is_announced_is_known_by_kind() -> None:
    alice = Alice()
    alice.subscriber.announce([stream(BOB), stream(BOB, purpose=SCREENSHARE, name="s")])
    assert alice.seen.announced == {BOB: {AUDIO, VIDEO, SCREEN}}
    alice.subscriber.announce([])
    assert alice.seen.announced == {}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (stream(ALICE), "own stream a-stream announced"),
        (replace(stream(BOB), tracks=(TrackMetadata("x", None),)), "track x without a kind"),
    ],
)
def test_metadata_against_the_rules_are_violations(wrong: StreamMetadata, said: str) -> None:
    alice = Alice()
    alice.subscriber.announce([wrong])
    assert alice.seen.violations == [said]


def test_pictures_of_the_right_sender_count_with_their_layer() -> None:
    alice = Alice()
    alice.subscriber.announce([stream(BOB)])
    alice.subscriber.receive([section("1", sdp.VIDEO)])
    alice.see(BOB_NUMBER)
    track = alice.seen.track(BOB, VIDEO)
    assert (track.frames_decoded, track.wrong_frames, track.layers_seen) == (1, 0, {"f"})


@pytest.mark.parametrize(
    ("sender", "source"),
    [(CAROL_NUMBER, Source.CAMERA), (BOB_NUMBER, Source.SCREEN)],
    ids=["sender", "source"],
)
def test_somebody_elses_picture_is_wrong(sender: int, source: Source) -> None:
    alice = Alice()
    alice.subscriber.announce([stream(BOB)])
    alice.subscriber.receive([section("1", sdp.VIDEO)])
    alice.see(sender, source=source)
    track = alice.seen.track(BOB, VIDEO)
    assert (track.frames_decoded, track.wrong_frames) == (0, 1)


def test_bytes_that_are_no_picture_are_wrong_and_ask_for_a_key_frame() -> None:
    alice = Alice()
    alice.subscriber.announce([stream(BOB)])
    alice.subscriber.receive([section("1", sdp.VIDEO)])
    frame = WholeFrame(b"\x10\x02\x00" + bytes(40), True, 0, T0, False, None)
    assert not alice.subscriber.see(T0, 0.0, "1", frame)
    assert alice.seen.track(BOB, VIDEO).wrong_frames == 1


def test_sound_of_the_right_sender_counts_and_another_tone_is_wrong() -> None:
    alice = Alice()
    alice.subscriber.announce([stream(BOB)])
    alice.subscriber.receive([section("0", sdp.AUDIO)])
    alice.hear(BOB_NUMBER)
    alice.hear(CAROL_NUMBER, 2 * WINDOW_FRAMES)
    track = alice.seen.track(BOB, AUDIO)
    assert track.frames_decoded == WINDOW_FRAMES
    assert track.wrong_frames >= WINDOW_FRAMES


def blank_picture() -> WholeFrame:
    """A key frame that shows nothing, as a covered camera's."""
    codec = av.VideoCodecContext.create("libvpx", "w")
    codec.width, codec.height, codec.pix_fmt = 128, 128, "yuv420p"
    codec.time_base = Fraction(1, 15)
    codec.options = {"lag-in-frames": "0"}
    (packet,) = codec.encode(av.VideoFrame.from_ndarray(np.zeros((192, 128), np.uint8), format="yuv420p"))
    return WholeFrame(bytes(packet), True, 0, T0, False, None)


def test_whatever_somebody_of_another_program_sends_counts() -> None:
    alice = Alice()
    alice.subscriber.announce([stream(BROWSER)])
    alice.subscriber.receive([section("0", sdp.AUDIO, "x"), section("1", sdp.VIDEO, "x")])
    assert alice.subscriber.see(T0, 0.0, "1", blank_picture())
    alice.subscriber.hear(T0, 0.0, "0", AudioPacket(silence(), 0, False, None))
    for kind in (AUDIO, VIDEO):
        track = alice.seen.track(BROWSER, kind)
        assert (track.frames_decoded, track.wrong_frames) == (1, 0)


def test_pictures_of_somebody_here_are_wrong_for_somebody_of_another_program() -> None:
    alice = Alice()
    alice.subscriber.announce([stream(BROWSER)])
    alice.subscriber.receive([section("1", sdp.VIDEO, "x")])
    alice.see(BOB_NUMBER)
    track = alice.seen.track(BROWSER, VIDEO)
    assert (track.frames_decoded, track.wrong_frames) == (0, 1)


def test_a_blank_picture_is_wrong_for_somebody_here() -> None:
    alice = Alice()
    alice.subscriber.announce([stream(BOB)])
    alice.subscriber.receive([section("1", sdp.VIDEO)])
    alice.subscriber.see(T0, 0.0, "1", blank_picture())
    assert alice.seen.track(BOB, VIDEO).wrong_frames == 1


def test_silence_counts_for_nothing_and_ends_what_was_heard() -> None:
    alice = Alice()
    alice.subscriber.announce([stream(BOB)])
    alice.subscriber.receive([section("0", sdp.AUDIO)])
    alice.hear(BOB_NUMBER, 3)
    for n in range(3, 9):
        alice.subscriber.hear(after_ms(T0, n * 20), 0.0, "0", AudioPacket(silence(), 0, False, None))
    track = alice.seen.track(BOB, AUDIO)
    assert track.wrong_frames == 0
    assert 3 <= track.frames_decoded <= 4  # the decoder's last breath is of the tone


def test_a_section_without_an_announcement_is_a_violation() -> None:
    alice = Alice()
    alice.subscriber.receive([section("1", sdp.VIDEO)])
    assert alice.seen.violations == ["mid 1 carries an unannounced track: b-stream b-video"]


def test_a_section_may_outlive_its_announcement_but_not_its_leg() -> None:
    alice = Alice()
    alice.subscriber.announce([stream(BOB)])
    alice.subscriber.announce([])
    alice.subscriber.receive([section("1", sdp.VIDEO)])
    assert alice.seen.violations == []
    alice.subscriber.begin_leg()
    alice.subscriber.receive([section("1", sdp.VIDEO)])
    assert len(alice.seen.violations) == 1


def test_a_section_of_the_wrong_kind_is_a_violation() -> None:
    alice = Alice()
    alice.subscriber.announce([stream(BOB)])
    alice.subscriber.receive([replace(section("1", sdp.VIDEO), kind=sdp.AUDIO)])
    assert alice.seen.violations == ["mid 1: video in a section of audio"]


def test_a_section_that_is_used_for_another_track_is_judged_anew() -> None:
    alice = Alice()
    alice.subscriber.announce([stream(BOB), stream(CAROL)])
    alice.subscriber.receive([section("1", sdp.VIDEO)])
    alice.see(BOB_NUMBER)
    alice.subscriber.receive([section("1", sdp.VIDEO, "c")])
    alice.see(CAROL_NUMBER)
    assert alice.seen.track(CAROL, VIDEO).frames_decoded == 1
    assert alice.seen.wrong_frames() == 0


def test_a_track_that_ends_is_no_freeze_when_it_comes_back() -> None:
    alice = Alice()
    alice.subscriber.announce([stream(BOB)])
    alice.subscriber.receive([section("1", sdp.VIDEO)])
    alice.see(BOB_NUMBER)
    alice.subscriber.receive([])
    track = alice.seen.track(BOB, VIDEO)
    assert track.freezing_ms(after_s(T0, 10)) == 0.0
    alice.see(BOB_NUMBER)
    assert track.frames_decoded == 1  # the section is gone


def test_mutes_are_told_apart_by_kind() -> None:
    alice = Alice()
    alice.subscriber.announce([replace(stream(BOB), audio_muted=True)])
    assert alice.seen.track(BOB, AUDIO).is_muted
    assert not alice.seen.track(BOB, VIDEO).is_muted


def test_a_new_leg_knows_nothing_of_the_old_ones_sections() -> None:
    alice = Alice()
    alice.subscriber.announce([stream(BOB)])
    alice.subscriber.receive([section("1", sdp.VIDEO)])
    alice.subscriber.begin_leg()
    alice.see(BOB_NUMBER)
    assert alice.seen.track(BOB, VIDEO).frames_decoded == 0


def test_speakers_are_remembered() -> None:
    alice = Alice()
    alice.subscriber.hear_speakers(Speakers((ActiveSpeaker(BOB.user_id, BOB.device_id, 0.9),)))
    alice.subscriber.hear_speakers(Speakers((ActiveSpeaker(CAROL.user_id, CAROL.device_id, 0.9),)))
    assert alice.seen.speakers == (CAROL,)
    assert alice.seen.speakers_seen == {BOB, CAROL}
