"""New SSRCs and mids for sections of ours: none is used twice in the life of a leg."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sfu.units import Mid, Ssrc

if TYPE_CHECKING:
    import random

    from sfu.negotiation.remote import RemoteDescription

_SSRCS: Final = 2**32
CALLEE_LETTER: Final = "s"
CALLER_LETTER: Final = "c"
"""With which mids begin. Where two foci talk, each opens sections, and either may have offered some that the
other never looked at: with a letter of its own no mid of one is another's."""


@dataclass(slots=True)
class Identifiers:
    """A walk over all SSRCs in odd steps, which comes by each of them once, and a count of mids.

    So nothing has to be remembered of what was used, however long a call goes on. An SSRC is never used for
    two tracks under one set of keys (packet rule 3); offers that were abandoned have used theirs up.
    """

    _next: int
    _step: int
    _letter: str = CALLEE_LETTER
    _mids: int = 0
    _client_ssrcs: frozenset[int] = frozenset()
    _client_mids: frozenset[str] = frozenset()

    @classmethod
    def drawn_from(cls, rng: random.Random, letter: str = CALLEE_LETTER) -> Identifiers:
        """A walk from a random place in random steps, and mids that begin with a letter."""
        return cls(rng.randrange(_SSRCS), rng.randrange(1, _SSRCS, 2), letter)

    def avoid(self, description: RemoteDescription) -> None:
        """Keep clear of what the client uses, by its newest description."""
        self._client_ssrcs = frozenset(ssrc for section in description.sections for ssrc in section.ssrcs)
        # Only those that are still to be given: its answers name all of ours, of hundreds of sections.
        self._client_mids = frozenset(
            section.mid for section in description.sections if self._is_to_come(section.mid)
        )

    def ssrc(self) -> Ssrc:
        """The next one."""
        while True:
            ssrc = self._next
            self._next = (ssrc + self._step) % _SSRCS
            if ssrc and ssrc not in self._client_ssrcs:
                return Ssrc(ssrc)

    def mid(self) -> Mid:
        """The next one."""
        while True:
            # All legs count alike: the text is there once.
            mid = sys.intern(f"{self._letter}{self._mids}")
            self._mids += 1
            if mid not in self._client_mids:
                return Mid(mid)

    def _is_to_come(self, mid: Mid) -> bool:
        letter, number = mid[:1], mid[1:]
        return (
            letter == self._letter and number.isascii() and number.isdecimal() and int(number) >= self._mids
        )
