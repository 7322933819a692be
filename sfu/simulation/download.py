"""A download as a scenario has it: one file without end, or one after another with pauses between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sfu.netem.tcp import TcpSender
from sfu.simulation.scenario import at_s
from sfu.units import Instant, after_s

if TYPE_CHECKING:
    from sfu.simulation.scenario import TcpFlow


class Download:
    """Who fetches files, a connection for each.

    Args:
        flow: its number on the lines.
        tcp: what is fetched, and when.
    """

    def __init__(self, flow: int, tcp: TcpFlow) -> None:
        self.flow: Final = flow
        self._sender = TcpSender(tcp.size_bytes)
        self._starts_at = at_s(tcp.starts_at_s)
        self._later = list(tcp.later)
        self._bytes_before = 0

    @property
    def acknowledged_bytes(self) -> int:
        """What is known to have come through, of all files."""
        return self._bytes_before + self._sender.acknowledged_bytes

    def poll(self, now: Instant) -> range:
        """The numbers of the packets to send now."""
        return self._sender.poll(now) if now >= self._starts_at else range(0)

    def acknowledged(self, now: Instant, number: int) -> None:
        """A packet has arrived; call `poll` then."""
        self._sender.acknowledged(now, number)
        if self._sender.is_done and self._later:
            pause_s, size_bytes = self._later.pop(0)
            self._bytes_before = self.acknowledged_bytes
            self._starts_at = after_s(now, pause_s)
            # What is still on its way belongs to nobody: numbers go on.
            self._sender = TcpSender(size_bytes, self._sender.next_number)

    def next_timeout(self) -> Instant | None:
        """When to poll although nothing was acknowledged."""
        return self._sender.next_timeout() if self._sender.has_begun else self._starts_at
