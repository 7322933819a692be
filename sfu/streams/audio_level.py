"""How loud an audio stream was, from the header extension alone (RFC 6464)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SILENT: Final = 127
"""In -dBov: digital silence."""


@dataclass(frozen=True, slots=True)
class Loudness:
    """The loudest packet of an interval: `level` 0 (loud) to 127 (silent), `voice` the sender's opinion."""

    level: int
    voice: bool


class AudioLevelMeter:
    """Keeps the loudest level between two readings."""

    def __init__(self) -> None:
        self._level = SILENT
        self._voice = False

    def received(self, level: int, *, voice: bool) -> None:
        """One packet's level in -dBov."""
        self._level = min(self._level, level)
        self._voice = self._voice or voice

    def take(self) -> Loudness:
        """The loudest since the last call; silence where no packet came."""
        loudness = Loudness(self._level, self._voice)
        self._level = SILENT
        self._voice = False
        return loudness
