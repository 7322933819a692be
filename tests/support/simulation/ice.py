"""The controlling side of ICE, as a browser plays it against a lite agent (RFC 8445)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sfu.dataplane.stun import BINDING, Attribute, MessageClass, StunMessage
from sfu.errors import ParseError
from sfu.units import Instant, after_ms

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from loadtest.client.sdp import Transport
    from sfu.netem.network import Address

FIRST_CHECKS_MS: Final = 50
"""Between checks until the first is answered."""
LATER_CHECKS_MS: Final = 900
"""Between checks afterwards: libwebrtc's interval for a pair that may be weak. One that is strong is checked
every 2.5 s."""

_ICE_CONTROLLING: Final = 0x802A


class ControllingAgent:
    """Checks the one candidate of a focus, and nominates it.

    Args:
        ufrag: ours.
        send: takes a datagram for an address.
        rng: for transaction ids.
    """

    def __init__(self, ufrag: str, send: Callable[[Address, bytes], None], rng: random.Random) -> None:
        self.selected: Address | None = None
        """Where media goes."""
        self.answered_at: Instant | None = None
        """When a check was last answered."""
        self._ufrag = ufrag
        self._send = send
        self._rng = rng
        self._remote: Transport | None = None
        self._address: Address | None = None
        self._due_at: Instant | None = None

    def begin(self, now: Instant, remote: Transport, ufrag: str | None = None) -> None:
        """Check against these credentials, first or after an ICE restart."""
        if ufrag is not None:
            self._ufrag = ufrag
        self._remote = remote
        words = next((candidate.split() for candidate in remote.candidates), None)
        if words is not None:
            self._address = words[4], int(words[5])
        self._due_at = now

    def poll(self, now: Instant) -> None:
        """Send the check that is due."""
        if self._due_at is None or now < self._due_at or self._remote is None or self._address is None:
            return
        interval_ms = FIRST_CHECKS_MS if self.selected is None else LATER_CHECKS_MS
        self._due_at = after_ms(now, interval_ms)
        request = StunMessage(
            MessageClass.REQUEST,
            BINDING,
            self._rng.randbytes(12),
            (
                (Attribute.USERNAME, f"{self._remote.ufrag}:{self._ufrag}".encode()),
                (_ICE_CONTROLLING, self._rng.randbytes(8)),
                (Attribute.USE_CANDIDATE, b""),
            ),
        )
        self._send(self._address, request.serialise(self._remote.password))

    def receive(self, now: Instant, source: Address, data: bytes) -> bool:
        """Take a STUN datagram; True where it selects the pair for the first time."""
        try:
            message = StunMessage.parse(data)
        except ParseError:
            return False
        if self._remote is None or message.message_class is not MessageClass.SUCCESS:
            return False
        if not message.is_signed_with(self._remote.password):
            return False
        self.answered_at = now
        is_first, self.selected = self.selected is None, source
        return is_first
