"""Which end of a leg we are: a client's callee, or the caller of another focus."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from sfu.errors import RemoteError
from sfu.negotiation.codecs import CALLER_NUMBERS, DEFAULT_NUMBERS
from sfu.negotiation.identifiers import CALLEE_LETTER, CALLER_LETTER

if TYPE_CHECKING:
    from sfu.negotiation.remote import RemoteDescription


class Role(enum.Enum):
    """What differs between the ends. To the focus that it calls, a focus is a client."""

    CALLEE = "callee"
    """Called: ICE-lite, the DTLS server, and the polite side (protocol: section 7.6)."""
    CALLER = "caller"
    """We offer first, are the controlling side of ICE, the DTLS client, and the impolite side."""

    @property
    def setup(self) -> str:
        """What our answers say of DTLS (RFC 8842 section 5): the callee waits, the caller begins."""
        return "active" if self is Role.CALLER else "passive"

    @property
    def numbers(self) -> tuple[int, ...]:
        """From which we give payload types to what the other side has not named."""
        return CALLER_NUMBERS if self is Role.CALLER else DEFAULT_NUMBERS

    @property
    def mid_letter(self) -> str:
        """With which the mids of our sections begin."""
        return CALLER_LETTER if self is Role.CALLER else CALLEE_LETTER

    def check(self, remote: RemoteDescription, *, is_answer: bool) -> None:
        """See that the other side takes the other role.

        Raises:
            RemoteError: `lite`: two lite agents never find each other, and two full ones are not what we are
                made for; `setup`: it can't be the other end of DTLS.
        """
        if remote.is_lite != (self is Role.CALLER):
            raise RemoteError("lite", f"the {self.value} of one that {'is' if remote.is_lite else 'is not'}")
        if not is_answer and remote.setup == self.setup:
            raise RemoteError("setup", f"it must be able to be the other side of {self.setup}")
        if is_answer and self is Role.CALLER and remote.setup != "passive":
            raise RemoteError("setup", f"{remote.setup[:20]!r} for an answer of who is called")
