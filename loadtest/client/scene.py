"""What the participants of one run know of each other: who is which number, what was sent when.

Only the judges look here; nothing of it reaches the wire.
"""

from __future__ import annotations

import bisect
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from loadtest.media.video import FrameLabel
    from sfu.units import Instant

MAX_MOMENTS: Final = 200_000
"""Sending times kept for one track: more than an hour of audio."""

AUDIO, VIDEO, SCREEN = "audio", "video", "screen"
"""The kinds that a pair is judged for."""


@dataclass(frozen=True, slots=True, order=True)
class Party:
    """One device in a call."""

    user_id: str
    device_id: str


class Scene:
    """Shared by the participants of one process."""

    def __init__(self) -> None:
        self._senders: dict[Party, int] = {}
        self._invited_at: dict[Party, Instant] = {}
        self._connected_at: dict[Party, Instant] = {}
        self._pictures: dict[FrameLabel, Instant] = {}
        self._moments: dict[tuple[Party, str], deque[Instant]] = {}

    def enter(self, party: Party, sender: int) -> None:
        """Somebody takes part under this number."""
        self._senders[party] = sender

    def sender_of(self, party: Party) -> int | None:
        """Somebody's number; None for one who is not of this process."""
        return self._senders.get(party)

    def is_sender(self, number: int) -> bool:
        """Whether somebody of this process has this number."""
        return number in self._senders.values()

    def note_invite(self, party: Party, now: Instant) -> None:
        """Somebody's invite goes out; the first one counts."""
        self._invited_at.setdefault(party, now)

    def invited_at(self, party: Party) -> Instant | None:
        """When somebody's first invite went out."""
        return self._invited_at.get(party)

    def note_connected(self, party: Party, now: Instant) -> None:
        """Somebody's leg is up; the first one counts."""
        self._connected_at.setdefault(party, now)

    def connected_at(self, party: Party) -> Instant | None:
        """When somebody's first leg was up."""
        return self._connected_at.get(party)

    def note_picture(self, label: FrameLabel, now: Instant) -> None:
        """A frame goes out; clips repeat, so this replaces the frame's last time."""
        self._pictures[label] = now

    def sent_at(self, label: FrameLabel) -> Instant | None:
        """When a frame last went out."""
        return self._pictures.get(label)

    def note_sent(self, party: Party, kind: str, now: Instant) -> None:
        """One picture (in however many layers are wanted) or one packet of audio goes out."""
        self._moments.setdefault((party, kind), deque(maxlen=MAX_MOMENTS)).append(now)

    def moments(self, party: Party, kind: str) -> tuple[Instant, ...]:
        """When somebody's pictures or packets of audio were sent, in order."""
        return tuple(self._moments.get((party, kind), ()))

    def sent_between(self, party: Party, kind: str, start: Instant, end: Instant) -> int:
        """How many pictures or packets of audio were sent in a stretch of time."""
        moments = list(self._moments.get((party, kind), ()))
        return bisect.bisect_right(moments, end) - bisect.bisect_left(moments, start)
