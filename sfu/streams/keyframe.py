"""Key-frame requests to publishers: merged, and spaced per RTP stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sfu.units import after_s

if TYPE_CHECKING:
    from sfu.units import Instant, Ssrc

MIN_INTERVAL_S: Final = 0.2
"""Shortest gap between two PLIs for one stream. Lower: joins feel faster, but a burst of joins
makes the encoder emit nothing but key frames. Higher: a new subscriber stares at black."""


class KeyframeThrottle:
    """Merges key-frame requests per RTP stream (PLI, RFC 4585 section 6.3.1)."""

    def __init__(self, min_interval_s: float = MIN_INTERVAL_S) -> None:
        self._min_interval_s = min_interval_s
        self._wanted: dict[Ssrc, Instant] = {}
        self._last_sent_at: dict[Ssrc, Instant] = {}

    def request(self, now: Instant, ssrc: Ssrc) -> None:
        """Somebody needs a key frame of this stream."""
        self._wanted.setdefault(ssrc, now)

    def key_frame_started(self, ssrc: Ssrc) -> None:
        """A key frame begins: whoever asked before has it now, and a PLI would only make another."""
        self._wanted.pop(ssrc, None)

    def forget(self, ssrc: Ssrc) -> None:
        """The stream is gone."""
        self._wanted.pop(ssrc, None)
        self._last_sent_at.pop(ssrc, None)

    def poll(self, now: Instant) -> list[Ssrc]:
        """Return the streams to send a PLI for now, lowest SSRC first."""
        due = sorted(ssrc for ssrc in self._wanted if now >= self._due_at(ssrc))
        self._last_sent_at = {
            ssrc: sent_at
            for ssrc, sent_at in self._last_sent_at.items()
            if now < after_s(sent_at, self._min_interval_s)
        }
        for ssrc in due:
            del self._wanted[ssrc]
        self._last_sent_at.update(dict.fromkeys(due, now))
        return due

    def next_timeout(self) -> Instant | None:
        """When `poll` next has something to say; None while nothing is wanted."""
        return min(map(self._due_at, self._wanted), default=None)

    def _due_at(self, ssrc: Ssrc) -> Instant:
        wanted_at = self._wanted[ssrc]
        last_sent_at = self._last_sent_at.get(ssrc)
        return (
            wanted_at if last_sent_at is None else max(wanted_at, after_s(last_sent_at, self._min_interval_s))
        )
