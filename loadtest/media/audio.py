"""A participant's microphone: a tone of its own, by which a receiver tells whose sound it hears.

The tone is encoded once and played in a loop, as the pictures are. Tones are `TONE_STEP_HZ` apart and
repeat after `TONES` senders.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
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
MIN_WINDOW_FRAMES: Final = 2
"""Enough to name one where no more come: 40 ms tell tones 25 Hz apart."""

LEVEL_DBOV: Final = -12
"""Loudness of a tone as announced in the audio-level extension (RFC 6464)."""
SILENT_DBOV: Final = -127

_FIRST_TONE_HZ, TONE_STEP_HZ = 300, 40
_LOOP_FRAMES: Final = 50
_BITRATE_BPS: Final = 32_000
_AMPLITUDE: Final = 0.25
_SILENCE_PEAK: Final = 500
"""Of 16 bits; a tone's peak is at 8,000."""
_DECIMATION: Final = 6
"""48 kHz to 8 kHz: the highest tone is below 3 kHz."""


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
        self._codec.layout = "mono"
        self._window: list[NDArray[np.int16]] = []

    def hear(self, packet: bytes) -> Hearing | None:
        """Decode one packet; say what the last ones held when there are enough of them, or when they end."""
        try:
            frames = self._codec.decode(av.Packet(packet))
        except av.FFmpegError:
            self._window.clear()
            return Hearing(frames=1, tone_hz=None, is_silent=False)
        for frame in frames:
            samples = np.frombuffer(bytes(frame.planes[0]), dtype=np.int16)[: frame.samples]
            if samples.max(initial=0) < _SILENCE_PEAK:
                # What comes before silence is judged without it: a mixture of the two is no tone.
                return self.interrupt() or Hearing(frames=1, tone_hz=None, is_silent=True)
            self._window.append(samples)
        return self._judged() if len(self._window) >= WINDOW_FRAMES else None

    def interrupt(self) -> Hearing | None:
        """Packets are missing: judge what was heard up to here, if it is enough to name a tone."""
        if len(self._window) < MIN_WINDOW_FRAMES:
            self._window.clear()
            return None
        return self._judged()

    def _judged(self) -> Hearing:
        heard = Hearing(len(self._window), _tone_of(np.concatenate(self._window)), is_silent=False)
        self._window.clear()
        return heard


@dataclass(frozen=True, slots=True)
class Hearing:
    """What some frames in a row held: a tone, silence, or neither."""

    frames: int
    tone_hz: float | None
    is_silent: bool

    def is_tone_of(self, sender: int) -> bool:
        """Whether this is that sender's tone."""
        return self.tone_hz is not None and abs(self.tone_hz - tone_hz(sender)) < TONE_STEP_HZ / 2


def _tone_of(samples: NDArray[np.int16]) -> float | None:
    # Averages of a few samples keep the tones and are much less to transform.
    averages = samples[: len(samples) // _DECIMATION * _DECIMATION].reshape(-1, _DECIMATION).mean(axis=1)
    energy = np.abs(np.fft.rfft(averages * _hann(len(averages)))) ** 2
    peak = int(np.argmax(energy[1:])) + 1
    # A tone holds nearly all of the energy around its peak; a mixture or noise does not.
    share = float(energy[max(peak - 2, 0) : peak + 3].sum() / energy.sum())
    return None if share < 0.7 else peak * SAMPLE_RATE_HZ / (_DECIMATION * len(averages))


@functools.lru_cache(2 * WINDOW_FRAMES)
def _hann(length: int) -> NDArray[np.float64]:
    return np.hanning(length)


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
