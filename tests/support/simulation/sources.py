"""What one person captures: microphone, camera and screen, over all the legs of their device."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from loadtest.client import sdp
from loadtest.client.negotiation import LocalTrack
from sfu.units import Instant, Kind, after_ms
from signalling.events.metadata import SCREENSHARE, USERMEDIA, StreamMetadata, TrackMetadata
from tests.support.simulation.encoder import (
    CAMERA,
    FRAME_MS,
    SCREEN,
    SILENCE_MS,
    AudioEncoder,
    EncodingPlan,
    Numbering,
    VideoEncoder,
)
from tests.support.simulation.label import Source
from tests.support.simulation.rtp_sender import StreamStart

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from tests.support.simulation.rtp_session import RtpSession

SILENT_LEVEL: Final = 127
CAPTURE_RATE: Final = 30
"""Pictures a second that a camera takes; encodings leave some of them out."""


@dataclass(frozen=True, slots=True)
class Capture:
    """What a person has to show, and where its numbers begin."""

    has_microphone: bool = True
    camera: tuple[EncodingPlan, ...] = CAMERA
    """Lowest first; none: no camera. One with an empty rid is no simulcast: its SSRCs stand in the SDP."""
    screen: tuple[EncodingPlan, ...] = SCREEN
    speech_level: int = 30
    """-dBov while the person talks."""
    silence_level: int = SILENT_LEVEL
    """While not: digital silence as of a microphone that is off, which cannot be told from no level."""
    numbering: Numbering = field(default_factory=Numbering)
    start: StreamStart = field(default_factory=StreamStart)


class Microphone:
    """Opus with DTX: sound while its owner talks, comfort noise else."""

    def __init__(self, track: LocalTrack, sender: int, capture: Capture, begins_at: Instant) -> None:
        self.track: Final = track
        self.is_muted = False
        self.talks = True
        self.level = capture.speech_level
        self._silence_level = capture.silence_level
        self._encoder = AudioEncoder(sender)
        self._next_at = begins_at
        self._silence_at = begins_at

    @property
    def next_timeout(self) -> Instant:
        """When the next frame is captured."""
        return self._next_at

    def capture(self, now: Instant, session: RtpSession | None) -> None:
        """Take the frame that is due."""
        captured_at, self._next_at = self._next_at, after_ms(self._next_at, FRAME_MS)
        is_silence = self.is_muted or not self.talks
        if is_silence and captured_at < self._silence_at:
            return
        self._silence_at = after_ms(captured_at, SILENCE_MS) if is_silence else captured_at
        if session is None:
            return
        for stream in session.streams(self.track.track_id):
            payload = self._encoder.encode(captured_at, is_silence=is_silence)
            level = self._silence_level if is_silence else self.level
            session.send_media(stream, [payload], captured_at, now, level=level, marker=False)


class VideoSource:
    """A camera or a screen in one or more encodings."""

    def __init__(
        self,
        track: LocalTrack,
        source: Source,
        encoders: dict[str, VideoEncoder],
        begins_at: Instant,
    ) -> None:
        self.track: Final = track
        self.source: Final = source
        self.encoders: Final = encoders
        self.is_muted = False
        self.stopped_rids: set[str] = set()
        """Encodings that the browser does not send, for want of bandwidth or processor."""
        self.unwanted_rids: frozenset[str] = frozenset()
        """Encodings that the focus said nobody wants."""
        self._begins_at = begins_at
        self._pictures = 0

    @property
    def plan(self) -> EncodingPlan:
        """Of the highest encoding."""
        return self._highest().plan

    @property
    def next_timeout(self) -> Instant:
        """When the next picture is captured."""
        return after_ms(self._begins_at, self._pictures * 1_000 / CAPTURE_RATE)

    def want_key_frame(self, rid: str) -> None:
        """The focus wants one of an encoding, or of the whole where it is sent as one."""
        (self.encoders.get(rid) or self._highest()).want_key_frame()

    def capture(self, now: Instant, session: RtpSession | None) -> None:
        """Take the picture that is due."""
        captured_at, number = self.next_timeout, self._pictures
        self._pictures += 1
        if session is None or self.is_muted:
            return
        for stream in session.streams(self.track.track_id):
            encoder = self.encoders.get(stream.rid) or self._highest()
            part = encoder.plan.frames_per_s / CAPTURE_RATE
            is_off = stream.rid in self.stopped_rids or stream.rid in self.unwanted_rids
            if is_off or int(number * part) == int((number - 1) * part):
                continue
            frame = encoder.encode(captured_at)
            session.send_media(stream, frame.payloads, captured_at, now)

    def _highest(self) -> VideoEncoder:
        return max(self.encoders.values(), key=lambda encoder: encoder.plan.height)

    def begin_anew(self) -> None:
        """All encoders start with a key frame."""
        for encoder in self.encoders.values():
            encoder.want_key_frame()


class Sources:
    """Everything that one person publishes.

    Args:
        name: of the person.
        sender: the number in their labels.
        capture: what there is.
        rng: for sizes of frames and for phases.
        now: when capturing begins.
    """

    def __init__(self, name: str, sender: int, capture: Capture, rng: random.Random, now: Instant) -> None:
        self.starts: dict[tuple[str, str], StreamStart] = {}
        """Where RTP streams begin, by track id and rid."""
        self.microphone: Microphone | None = None
        self.camera: VideoSource | None = None
        self.screen: VideoSource | None = None
        self._name = name
        self._sender = sender
        self._capture = capture
        self._rng = rng
        self._screens = 0
        self._stream_id = f"{name}-stream"
        if capture.has_microphone:
            track = LocalTrack(sdp.AUDIO, self._stream_id, f"{name}-audio")
            self.starts[track.track_id, ""] = capture.start
            begins_at = after_ms(now, rng.uniform(0, FRAME_MS))
            self.microphone = Microphone(track, sender, capture, begins_at)
        if capture.camera:
            self.open_camera(now)

    def open_camera(self, now: Instant) -> None:
        """Turn on a camera that was not there."""
        self.camera = self._open(Source.CAMERA, self._capture.camera or CAMERA, self._stream_id, "video", now)

    def open_screen(self, now: Instant) -> VideoSource:
        """Begin to share a screen, under ids of its own."""
        self._screens += 1
        name = f"screen{self._screens}"
        self.screen = self._open(
            Source.SCREEN, self._capture.screen, f"{self._name}-{name}-stream", name, now
        )
        return self.screen

    def tracks(self) -> list[LocalTrack]:
        """What is published now."""
        microphone = [] if self.microphone is None else [self.microphone.track]
        return microphone + [video.track for video in self.videos()]

    def videos(self) -> Iterator[VideoSource]:
        """Camera and screen, where they are on."""
        yield from (video for video in (self.camera, self.screen) if video is not None)

    def published(self) -> set[Source]:
        """What is there, whether it flows or not."""
        found = {video.source for video in self.videos()}
        return found if self.microphone is None else found | {Source.MICROPHONE}

    def flows(self, source: Source) -> bool:
        """Whether packets of a source are sent now; of a muted microphone, comfort noise is."""
        if source is Source.MICROPHONE:
            return self.microphone is not None
        return any(
            video.source is source and not video.is_muted and video.encoders.keys() > video.stopped_rids
            for video in self.videos()
        )

    def key_frames(self) -> list[int]:
        """How many key frames each encoding of the camera has made, lowest first."""
        return [] if self.camera is None else [one.key_frames for one in self.camera.encoders.values()]

    def want_key_frame(self, track_id: str, rid: str) -> None:
        """The focus wants one."""
        for video in self.videos():
            if video.track.track_id == track_id:
                video.want_key_frame(rid)

    def want_layers(self, track_id: str, rids: tuple[str, ...]) -> None:
        """The focus wants these encodings only; one that is switched on begins with a key frame."""
        for video in self.videos():
            if video.track.track_id == track_id:
                before, video.unwanted_rids = (
                    video.unwanted_rids,
                    frozenset(video.encoders.keys() - set(rids)),
                )
                for rid in before - video.unwanted_rids:
                    video.encoders[rid].want_key_frame()

    def metadata(self, user_id: str, device_id: str) -> tuple[StreamMetadata, ...]:
        """What others are told of all this, complete."""
        microphone, camera, screen = self.microphone, self.camera, self.screen
        media = [] if microphone is None else [TrackMetadata(microphone.track.track_id, Kind.AUDIO)]
        if camera is not None:
            media.append(_track_metadata(camera))
        streams = []
        if media:
            streams.append(
                StreamMetadata(
                    self._stream_id,
                    USERMEDIA,
                    tuple(media),
                    audio_muted=microphone is None or microphone.is_muted,
                    video_muted=camera is None or camera.is_muted,
                    user_id=user_id,
                    device_id=device_id,
                )
            )
        if screen is not None:
            streams.append(
                StreamMetadata(
                    screen.track.stream_id,
                    SCREENSHARE,
                    (_track_metadata(screen),),
                    audio_muted=True,
                    user_id=user_id,
                    device_id=device_id,
                )
            )
        return tuple(streams)

    def capture(self, now: Instant, session: RtpSession | None) -> None:
        """Take everything that is due; without a session it is thrown away."""
        if self.microphone is not None:
            while self.microphone.next_timeout <= now:
                self.microphone.capture(now, session)
        for video in self.videos():
            while video.next_timeout <= now:
                video.capture(now, session)

    def next_timeout(self) -> Instant | None:
        """When something is captured next."""
        times = [video.next_timeout for video in self.videos()]
        if self.microphone is not None:
            times.append(self.microphone.next_timeout)
        return min(times, default=None)

    def _open(
        self, source: Source, plans: tuple[EncodingPlan, ...], stream_id: str, name: str, now: Instant
    ) -> VideoSource:
        is_simulcast = bool(plans[0].rid)
        ssrc, rtx_ssrc = (
            (None, None) if is_simulcast else (self._rng.randrange(1, 2**32), self._rng.randrange(1, 2**32))
        )
        track = LocalTrack(
            sdp.VIDEO,
            stream_id,
            f"{self._name}-{name}",
            tuple(plan.rid for plan in reversed(plans)) if is_simulcast else (),
            ssrc,
            rtx_ssrc,
            direction="sendrecv" if source is Source.CAMERA else "sendonly",
        )
        encoders = {
            plan.rid: VideoEncoder(plan, self._sender, source, index, self._rng, self._capture.numbering)
            for index, plan in enumerate(plans)
        }
        self.starts.update({(track.track_id, plan.rid): self._capture.start for plan in plans})
        return VideoSource(track, source, encoders, after_ms(now, self._rng.uniform(0, 1_000 / CAPTURE_RATE)))


def _track_metadata(video: VideoSource) -> TrackMetadata:
    return TrackMetadata(video.track.track_id, Kind.VIDEO, video.plan.width, video.plan.height)
