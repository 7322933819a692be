"""Key-frame requests to publishers: merged, spaced, and asked again per RTP stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sfu.units import after_s

if TYPE_CHECKING:
    from sfu.units import Instant, Ssrc

MIN_INTERVAL_S: Final = 0.2
"""Shortest gap between two PLIs for one stream. Lower: joins feel faster, but a burst of joins
makes the encoder emit nothing but key frames. Higher: a new subscriber stares at black."""

RETRY_S: Final = 0.5
"""A key frame asked for is asked for again after this long, if it is still wanted. Lower: where the round
trip is longer, the encoder makes two. Higher: after a request that was lost, the picture is black for
longer."""


@dataclass(frozen=True, slots=True)
class _Asked:
    at: Instant
    is_answered: bool = False

    @property
    def again_at(self) -> Instant:
        return after_s(self.at, MIN_INTERVAL_S if self.is_answered else RETRY_S)


class KeyframeThrottle:
    """Merges key-frame requests per RTP stream (PLI, RFC 4585 section 6.3.1).

    What is asked for while a PLI is under way is served by the key frame that answers it. Nothing is asked
    again by itself: who still waits says so again.
    """

    def __init__(self) -> None:
        self._wanted: dict[Ssrc, Instant] = {}
        self._asked: dict[Ssrc, _Asked] = {}

    def request(self, now: Instant, ssrc: Ssrc) -> None:
        """Somebody needs a key frame of this stream."""
        self._wanted.setdefault(ssrc, now)

    def key_frame_started(self, ssrc: Ssrc) -> None:
        """A key frame begins: whoever asked before has it now, and a PLI would only make another."""
        self._wanted.pop(ssrc, None)
        asked = self._asked.get(ssrc)
        if asked is not None:
            self._asked[ssrc] = _Asked(asked.at, is_answered=True)

    def forget(self, ssrc: Ssrc) -> None:
        """The stream is gone."""
        self._wanted.pop(ssrc, None)
        self._asked.pop(ssrc, None)

    def poll(self, now: Instant) -> list[Ssrc]:
        """Return the streams to send a PLI for now, lowest SSRC first."""
        due = sorted(ssrc for ssrc in self._wanted if now >= self._due_at(ssrc))
        self._asked = {ssrc: asked for ssrc, asked in self._asked.items() if now < asked.again_at}
        for ssrc in due:
            del self._wanted[ssrc]
        self._asked.update(dict.fromkeys(due, _Asked(now)))
        return due

    def next_timeout(self) -> Instant | None:
        """When `poll` next has something to say; None while nothing is wanted."""
        return min(map(self._due_at, self._wanted), default=None)

    def _due_at(self, ssrc: Ssrc) -> Instant:
        wanted_at, asked = self._wanted[ssrc], self._asked.get(ssrc)
        return wanted_at if asked is None else max(wanted_at, asked.again_at)
