"""What one participant captures: microphone, camera and screen, played from clips.

It belongs to the participant, not to a leg: a redial goes on with the same tracks.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from loadtest.client import sdp
from loadtest.client.negotiation import LocalTrack
from loadtest.client.receiver import ntp_of
from loadtest.client.scene import AUDIO, SCREEN, VIDEO, Party, Scene
from loadtest.media.audio import FRAME_MS, LEVEL_DBOV, SILENT_DBOV, encode_tone, silence
from loadtest.media.clips import SINGLE, Clip, ClipPlayer, VideoFormat, encode_clips
from loadtest.media.video import FrameLabel, Source
from loadtest.media.vp8_packetiser import Vp8Packetiser
from sfu.units import NS_PER_MS, NS_PER_S, Instant, Kind
from signalling.events.metadata import SCREENSHARE, USERMEDIA, StreamMetadata, TrackMetadata

if TYPE_CHECKING:
    from loadtest.client.rtp_session import RtpSession

AUDIO_INTERVAL_NS: Final = FRAME_MS * NS_PER_MS
SILENCE_INTERVAL_NS: Final = 400 * NS_PER_MS
"""Discontinuous transmission: a muted microphone still says that it is there."""
_NEVER: Final = Instant(0)
DEFAULT_SCREEN: Final = VideoFormat(width=640, height=360, frames_per_second=10, layers=SINGLE)


@dataclass(frozen=True, slots=True)
class Capture:
    """What a participant has to show."""

    has_microphone: bool = True
    camera: VideoFormat | None = field(default_factory=VideoFormat)
    screen: VideoFormat = DEFAULT_SCREEN


@dataclass(slots=True)
class _Encoder:
    """One layer's clip on its way into packets."""

    player: ClipPlayer
    packetiser: Vp8Packetiser


@dataclass(slots=True)
class _Video:
    """One video source that is being published."""

    track: LocalTrack
    source: Source
    format: VideoFormat
    encoders: dict[str, _Encoder]
    next_at: Instant
    is_muted: bool = False
    wanted_rids: frozenset[str] | None = None
    """What the focus asked for; None: everything."""

    def encoder(self, rid: str) -> _Encoder:
        """The encoder of a rid; without simulcast, the largest."""
        return self.encoders.get(rid) or max(self.encoders.values(), key=lambda e: e.player.layer.index)


@dataclass(slots=True)
class _Microphone:
    track: LocalTrack
    tone: tuple[bytes, ...]
    position: int = 0
    next_at: Instant = _NEVER
    is_muted: bool = False


class Publisher:
    """The sources of one participant.

    Args:
        scene: is told what goes out.
        party: whose sources these are.
        sender: the number in its pictures and of its tone.
        capture: what there is.
    """

    def __init__(self, scene: Scene, party: Party, sender: int, capture: Capture) -> None:
        self._scene = scene
        self._party = party
        self._sender = sender
        self._capture = capture
        self._stream_id = secrets.token_hex(8)
        self._screen_stream_id = secrets.token_hex(8)
        self._clips: dict[Source, tuple[Clip, ...]] = {}
        self._tone: tuple[bytes, ...] = ()
        self._microphone: _Microphone | None = None
        self._videos: dict[Source, _Video] = {}

    async def prepare(self) -> None:
        """Encode microphone and camera, and publish them in every leg from now on."""
        if self._capture.has_microphone and self._microphone is None:
            tone = await asyncio.to_thread(encode_tone, self._sender)
            self._microphone = _Microphone(LocalTrack(sdp.AUDIO, self._stream_id, secrets.token_hex(8)), tone)
        if self._capture.camera is not None and Source.CAMERA not in self._videos:
            await self._open(Source.CAMERA, self._capture.camera, self._stream_id, "sendrecv")

    async def open_screen(self) -> LocalTrack:
        """Start a screen share."""
        video = await self._open(Source.SCREEN, self._capture.screen, self._screen_stream_id, "sendonly")
        return video.track

    def close_screen(self) -> LocalTrack | None:
        """End the screen share; None where there is none. The next one has another stream id."""
        video = self._videos.pop(Source.SCREEN, None)
        self._screen_stream_id = secrets.token_hex(8)
        return None if video is None else video.track

    def tracks(self) -> list[LocalTrack]:
        """Everything that is published now."""
        microphone = [self._microphone.track] if self._microphone is not None else []
        return microphone + [video.track for video in self._videos.values()]

    def mute(self, kind: Kind, *, muted: bool) -> None:
        """Mute or unmute the microphone or the camera."""
        camera = self._videos.get(Source.CAMERA)
        if kind is Kind.AUDIO and self._microphone is not None:
            self._microphone.is_muted = muted
            self._microphone.next_at = _NEVER
        elif kind is Kind.VIDEO and camera is not None:
            camera.is_muted = muted
            self._restart(camera)

    def want_layers(self, track_id: str, rids: tuple[str, ...]) -> None:
        """The focus wants only these encodings of a track."""
        for video in self._videos.values():
            if video.track.track_id == track_id:
                before, video.wanted_rids = video.wanted_rids, frozenset(rids)
                for rid in video.wanted_rids - (before if before is not None else video.wanted_rids):
                    video.encoder(rid).player.restart()

    def want_key_frame(self, track_id: str, rid: str) -> None:
        """The focus wants a key frame of one encoding."""
        for video in self._videos.values():
            if video.track.track_id == track_id:
                video.encoder(rid).player.restart()

    def metadata(self) -> tuple[StreamMetadata, ...]:
        """What the other side is told of these tracks, complete."""
        camera, screen = self._videos.get(Source.CAMERA), self._videos.get(Source.SCREEN)
        media: list[TrackMetadata] = []
        if self._microphone is not None:
            media.append(TrackMetadata(self._microphone.track.track_id, Kind.AUDIO))
        if camera is not None:
            media.append(_track_metadata(camera))
        user = StreamMetadata(
            stream_id=self._stream_id,
            purpose=USERMEDIA,
            tracks=tuple(media),
            audio_muted=self._microphone is None or self._microphone.is_muted,
            video_muted=camera is None or camera.is_muted,
            user_id=self._party.user_id,
            device_id=self._party.device_id,
        )
        streams = [user] if media else []
        if screen is not None:
            tracks = (_track_metadata(screen),)
            share = replace(user, stream_id=screen.track.stream_id, purpose=SCREENSHARE, tracks=tracks)
            streams.append(replace(share, audio_muted=True, video_muted=False))
        return tuple(streams)

    def media(self, now: Instant, wall_s: float, session: RtpSession) -> list[bytes]:
        """The packets that are due on a leg."""
        ntp = ntp_of(wall_s)
        packets = self._sound(now, ntp, session)
        for video in self._videos.values():
            packets += self._picture(now, ntp, session, video)
        return packets

    def _sound(self, now: Instant, ntp: int, session: RtpSession) -> list[bytes]:
        microphone = self._microphone
        packets: list[bytes] = []
        if microphone is None:
            return packets
        if now - microphone.next_at > NS_PER_S:
            microphone.next_at = now
        while now >= microphone.next_at:
            muted = microphone.is_muted
            data = silence() if muted else microphone.tone[microphone.position]
            microphone.position = (microphone.position + 1) % len(microphone.tone)
            captured_at = microphone.next_at
            microphone.next_at = Instant(captured_at + (SILENCE_INTERVAL_NS if muted else AUDIO_INTERVAL_NS))
            for stream in session.streams(microphone.track.track_id):
                level = SILENT_DBOV if muted else LEVEL_DBOV
                packets += session.send(now, stream, [data], captured_at, ntp, level=level, marker=False)
                if not muted:
                    self._scene.note_sent(self._party, AUDIO, now)
        return packets

    def _picture(self, now: Instant, ntp: int, session: RtpSession, video: _Video) -> list[bytes]:
        if now < video.next_at:
            return []
        interval_ns = NS_PER_S // video.format.frames_per_second
        late = now - video.next_at > 2 * interval_ns
        video.next_at = Instant((now if late else video.next_at) + interval_ns)
        if video.is_muted:
            return []
        packets: list[bytes] = []
        streams = session.streams(video.track.track_id)
        for stream in streams:
            if video.wanted_rids is not None and stream.rid and stream.rid not in video.wanted_rids:
                continue
            encoder = video.encoder(stream.rid)
            counter, frame = encoder.player.next_frame()
            label = FrameLabel(self._sender, video.source, encoder.player.layer.index, counter)
            self._scene.note_picture(label, now)
            payloads = encoder.packetiser.payloads(frame.payload, is_key=frame.is_key)
            packets += session.send(now, stream, payloads, now, ntp)
        if streams:
            # A picture counts even where the focus has switched all of its layers off: if somebody wants to
            # see it, that is the focus's mistake.
            self._scene.note_sent(self._party, VIDEO if video.source is Source.CAMERA else SCREEN, now)
        return packets

    async def _open(self, source: Source, video: VideoFormat, stream_id: str, direction: str) -> _Video:
        if source not in self._clips:
            self._clips[source] = await asyncio.to_thread(encode_clips, self._sender, source, video)
        rids = tuple(layer.rid for layer in video.layers if layer.rid)
        single = not rids
        track = LocalTrack(
            sdp.VIDEO,
            stream_id,
            secrets.token_hex(8),
            rids,
            ssrc=secrets.randbelow(2**32 - 1) + 1 if single else None,
            rtx_ssrc=secrets.randbelow(2**32 - 1) + 1 if single else None,
            direction=direction,
        )
        opened = _Video(track, source, video, {}, next_at=_NEVER)
        for clip in self._clips[source]:
            packetiser = Vp8Packetiser(
                picture_id=secrets.randbelow(2**15), tl0_picture_index=secrets.randbelow(2**8)
            )
            opened.encoders[clip.layer.rid] = _Encoder(ClipPlayer(clip), packetiser)
        self._videos[source] = opened
        return opened

    @staticmethod
    def _restart(video: _Video) -> None:
        for encoder in video.encoders.values():
            encoder.player.restart()


def _track_metadata(video: _Video) -> TrackMetadata:
    return TrackMetadata(video.track.track_id, Kind.VIDEO, video.format.width, video.format.height)
