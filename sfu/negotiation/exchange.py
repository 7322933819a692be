"""Offers and answers that are under way, or may come a second time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfu.negotiation.slots import Slots
    from sfu.units import Instant


@dataclass(frozen=True, slots=True)
class Pending:
    """Our offer that is unanswered; the table it would make, which counts only when the answer is here."""

    sdp: str = field(repr=False)
    slots: Slots
    resend_at: Instant | None
    """None: it is said once, and whoever calls decides how long an answer is waited for."""
    tries: int = 1

    def repeated(self, resend_at: Instant) -> Pending:
        """The same, said once more."""
        return replace(self, resend_at=resend_at, tries=self.tries + 1)


@dataclass(frozen=True, slots=True)
class Answered:
    """The client's newest offer and our answer to it: where the offer comes twice, so does the answer."""

    offer: str = field(repr=False)
    answer: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Repeatable:
    """The answer taken last, and how often it may come again: as often as we repeated its offer."""

    answer: str = field(default="", repr=False)
    times: int = 0

    @classmethod
    def of(cls, sdp: str, times: int) -> Repeatable:
        """An answer; one that can't come again is not kept: it has a kilobyte for each section."""
        return cls(_unversioned(sdp) if times else "", times)

    def is_repeated_by(self, sdp: str) -> bool:
        """Whether an answer is this one: clients count their descriptions, and nothing else differs."""
        return self.times > 0 and _unversioned(sdp) == self.answer

    def once_less(self) -> Repeatable:
        """It has come again."""
        return replace(self, times=self.times - 1)


def _unversioned(sdp: str) -> str:
    return "\n".join(line for line in sdp.splitlines() if not line.startswith("o="))
