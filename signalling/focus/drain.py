"""Taking a focus away without anybody being cut off: nobody new, a word to everybody, an end to the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfu.units import NS_PER_MS, Instant, after_s
from signalling.events.ours import Drain, OtherFocus

if TYPE_CHECKING:
    from signalling.focus.turn import DrainAsked


@dataclass(frozen=True, slots=True)
class Serving:
    """Invites are taken."""


@dataclass(frozen=True, slots=True)
class Draining:
    """Invites are rejected; legs may go on until then."""

    until: Instant
    foci: tuple[OtherFocus, ...]


@dataclass(frozen=True, slots=True)
class Drained:
    """Invites are rejected, and legs have been hung up."""

    since: Instant


DrainState = Serving | Draining | Drained


class Drainage:
    """How far it is."""

    def __init__(self) -> None:
        self.state: DrainState = Serving()

    def begin(self, now: Instant, given: DrainAsked) -> None:
        """Take the focus away by a deadline, or by another one than before."""
        foci = tuple(OtherFocus(focus.user_id, focus.device_id) for focus in given.foci)
        self.state = Draining(after_s(now, given.deadline_s), foci)

    def cancel(self) -> None:
        """The focus stays."""
        self.state = Serving()

    def message(self, now: Instant) -> Drain | None:
        """What clients are told now; None: nothing."""
        if not isinstance(self.state, Draining):
            return None
        return Drain(max(0, (self.state.until - now) // NS_PER_MS), self.state.foci)

    def is_over(self, now: Instant) -> bool:
        """Whether the deadline has come, for the first time."""
        if not isinstance(self.state, Draining) or now < self.state.until:
            return False
        self.state = Drained(now)
        return True

    def next_timeout(self) -> Instant | None:
        """When the deadline comes."""
        return self.state.until if isinstance(self.state, Draining) else None
