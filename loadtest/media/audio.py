"""A participant's microphone: a tone of its own, by which a receiver tells whose sound it hears.

The tone is encoded once and played in a loop, as the pictures are. Tones are `TONE_STEP_HZ` apart and
repeat after `TONES` senders.
"""

from __future__ import annotations

import functools
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import av
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLE_RATE_HZ: Final = 48_000
FRAME_MS: Final = 20
FRAME_SAMPLES: Final = SAMPLE_RATE_HZ * FRAME_MS // 1_000
TONES: Final = 64
WINDOW_FRAMES: Final = 5
"""Frames heard before a tone is named: 100 ms, which tells tones 10 Hz apart."""

LEVEL_DBOV: Final = -12
"""Loudness of a tone as announced in the audio-level extension (RFC 6464)."""
SILENT_DBOV: Final = -127

_FIRST_TONE_HZ, TONE_STEP_HZ = 300, 40
_LOOP_FRAMES: Final = 50
_BITRATE_BPS: Final = 32_000
_AMPLITUDE: Final = 0.25
_SILENCE_RMS: Final = 0.01


def tone_hz(sender: int) -> int:
    """The frequency of a sender's tone."""
    return _FIRST_TONE_HZ + TONE_STEP_HZ * (sender % TONES)


@functools.lru_cache(TONES)
def encode_tone(sender: int) -> tuple[bytes, ...]:
    """One second of a sender's tone as Opus packets of 20 ms, to be played in a loop."""
    # A whole number of hertz over whole seconds: the loop's seam is no jump in phase. The first second
    # holds the encoder's start and is left out.
    moments = np.arange(2 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    return _encode(_AMPLITUDE * np.sin(2 * np.pi * tone_hz(sender) * moments))[_LOOP_FRAMES:]


@functools.cache
def silence() -> bytes:
    """One Opus packet of 20 ms without sound, the same for everybody."""
    return _encode(np.zeros(4 * FRAME_SAMPLES))[-1]


class ToneListener:
    """Decodes one RTP stream's Opus packets and names the sender by its tone."""

    def __init__(self) -> None:
        self._codec = av.AudioCodecContext.create("libopus", "r")
        self._codec.sample_rate = SAMPLE_RATE_HZ
        self._window: list[NDArray[np.float64]] = []

    def hear(self, packet: bytes) -> tuple[int, Hearing] | None:
        """Decode one packet; after each `WINDOW_FRAMES` of them say what they held.

        Returns:
            The number of packets judged and what was heard in them, or None in between.
        """
        try:
            frames = self._codec.decode(av.Packet(packet))
        except av.FFmpegError:
            self._window.clear()
            return 1, Hearing(tone_hz=None, is_silent=False)
        for frame in frames:
            samples = frame.to_ndarray().astype(np.float64)
            if frame.format.name.startswith("s16"):
                samples /= 32_768
            channels = frame.layout.nb_channels
            mono = samples.mean(axis=0) if frame.format.is_planar else samples.reshape(-1, channels).mean(1)
            self._window.append(mono)
        if len(self._window) < WINDOW_FRAMES:
            return None
        heard = _judge(np.concatenate(self._window))
        count = len(self._window)
        self._window.clear()
        return count, heard

    def reset(self) -> None:
        """Forget what was heard: the stream was interrupted."""
        self._window.clear()


class Hearing:
    """What a stretch of sound held: a tone, silence, or neither."""

    __slots__ = ("is_silent", "tone_hz")

    def __init__(self, *, tone_hz: float | None, is_silent: bool) -> None:
        self.tone_hz = tone_hz
        self.is_silent = is_silent

    def is_tone_of(self, sender: int) -> bool:
        """Whether this is that sender's tone."""
        return self.tone_hz is not None and abs(self.tone_hz - tone_hz(sender)) < TONE_STEP_HZ / 2


def _judge(samples: NDArray[np.float64]) -> Hearing:
    if float(np.sqrt(np.mean(samples**2))) < _SILENCE_RMS:
        return Hearing(tone_hz=None, is_silent=True)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    peak = int(np.argmax(spectrum[1:])) + 1
    # A tone holds nearly all of the energy around its peak; a mixture or noise does not.
    energy = spectrum**2
    share = float(energy[max(peak - 2, 0) : peak + 3].sum() / energy.sum())
    if share < 0.7:
        return Hearing(tone_hz=None, is_silent=False)
    return Hearing(tone_hz=peak * SAMPLE_RATE_HZ / len(samples), is_silent=False)


def _encode(samples: NDArray[np.float64]) -> tuple[bytes, ...]:
    codec = av.AudioCodecContext.create("libopus", "w")
    codec.sample_rate = SAMPLE_RATE_HZ
    codec.layout = "mono"
    codec.format = "s16"
    codec.bit_rate = _BITRATE_BPS
    codec.time_base = Fraction(1, SAMPLE_RATE_HZ)
    codec.options = {"application": "audio", "frame_duration": str(FRAME_MS)}
    pcm = (samples * 32_767).astype(np.int16)
    packets: list[bytes] = []
    for start in range(0, len(pcm), FRAME_SAMPLES):
        frame = av.AudioFrame.from_ndarray(
            pcm[start : start + FRAME_SAMPLES].reshape(1, -1), format="s16", layout="mono"
        )
        frame.sample_rate = SAMPLE_RATE_HZ
        frame.pts = start
        packets += [bytes(packet) for packet in codec.encode(frame)]
    return tuple(packets)
