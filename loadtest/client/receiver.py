"""Decodes what one track delivers and proves whose it is, which layer, and how late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import av
import numpy as np

from loadtest.client.observations import LAYER_NAMES
from loadtest.media.audio import Hearing, ToneListener
from loadtest.media.clips import follows
from loadtest.media.video import FrameLabel, Source, read
from sfu.units import NS_PER_MS, Instant

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from loadtest.client.observations import TrackObservations
    from loadtest.client.scene import Party, Scene
    from loadtest.media.assembly import WholeFrame

_MAX_LAYER: Final = len(LAYER_NAMES) - 1
_NTP_EPOCH_S: Final = 2_208_988_800
"""Seconds from the NTP epoch to the Unix epoch (RFC 868)."""


class VideoReceiver:
    """Decodes one track's frames and reads the pictures."""

    def __init__(self, scene: Scene, sender: Party, source: Source, seen: TrackObservations) -> None:
        self._scene = scene
        self._sender = sender
        self._source = source
        self._seen = seen
        self._codec: Any = av.CodecContext.create("vp8", "r")
        self._codec.thread_count = 1
        self._last: FrameLabel | None = None

    def take(self, now: Instant, wall_s: float, frame: WholeFrame) -> bool:
        """Decode one frame; False where the decoder needs a key frame to go on."""
        if frame.after_gap and not frame.is_key:
            return False
        try:
            pictures = self._codec.decode(av.Packet(frame.data))
        except av.FFmpegError:
            self._seen.wrong_frames += 1
            return False
        for picture in pictures:
            self._judge(now, wall_s, frame.capture_ntp, read(_luma(picture)))
        return True

    def _judge(self, now: Instant, wall_s: float, capture_ntp: int | None, label: FrameLabel | None) -> None:
        seen = self._seen
        expected = self._scene.sender_of(self._sender)
        if label is None and expected is None:
            seen.note_frame(now)  # of somebody who shows no test pictures, such as a browser
            return
        if label is None or not self._is_right(label, expected):
            seen.wrong_frames += 1
            return
        last, self._last = self._last, label
        if last is not None and last.layer == label.layer and not follows(last.counter, label.counter):
            seen.counter_gaps += 1
        seen.note_layer(LAYER_NAMES[label.layer])
        seen.note_frame(now)
        sent_at = self._scene.sent_at(label)
        if sent_at is not None:
            seen.delays_ms.append((now - sent_at) / NS_PER_MS)
        elif capture_ntp is not None:
            # Somebody of another process: right as far as the wall clocks of both agree.
            seen.delays_ms.append(ntp_delay_ms(wall_s, capture_ntp))

    def _is_right(self, label: FrameLabel, expected: int | None) -> bool:
        # Whose numbers we don't know must at least not send the pictures of somebody whose number we know.
        is_theirs = not self._scene.is_sender(label.sender) if expected is None else label.sender == expected
        return is_theirs and label.source is self._source and label.layer <= _MAX_LAYER


class AudioReceiver:
    """Decodes one track's sound and names the tone."""

    def __init__(self, scene: Scene, sender: Party, seen: TrackObservations) -> None:
        self._scene = scene
        self._sender = sender
        self._seen = seen
        self._listener = ToneListener()

    def take(self, now: Instant, wall_s: float, packet: bytes, capture_ntp: int | None) -> None:
        """Decode one packet."""
        self._seen.arrivals.append(now)
        if capture_ntp is not None:
            self._seen.delays_ms.append(ntp_delay_ms(wall_s, capture_ntp))
        self._judge(now, self._listener.hear(packet))

    def interrupt(self, now: Instant) -> None:
        """Packets are missing."""
        self._judge(now, self._listener.interrupt())

    def _judge(self, now: Instant, heard: Hearing | None) -> None:
        if heard is None:
            return
        expected = self._scene.sender_of(self._sender)
        if expected is None:
            self._seen.note_frame(now, count=heard.frames)  # whatever somebody else's microphone hears
        elif heard.is_silent:
            return
        elif heard.is_tone_of(expected):
            self._seen.note_frame(now, count=heard.frames)
        else:
            self._seen.wrong_frames += heard.frames


def ntp_delay_ms(wall_s: float, capture_ntp: int) -> float:
    """How long ago a capture time was (abs-capture-time: 32.32 bits of NTP seconds)."""
    return (wall_s + _NTP_EPOCH_S - capture_ntp / 2**32) * 1_000


def ntp_of(wall_s: float) -> int:
    """A wall-clock time as NTP, 32.32 bits."""
    return int((wall_s + _NTP_EPOCH_S) * 2**32) % 2**64


def _luma(picture: Any) -> NDArray[np.uint8]:  # noqa: ANN401  # PyAV's frame
    plane = picture.planes[0]
    rows = np.frombuffer(plane, dtype=np.uint8).reshape(-1, plane.line_size)
    return rows[: picture.height, : picture.width]
