"""A UDP relay between a client and a focus, which can change its port as a NAT does, or fall silent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

Address = tuple[str, int]


class _Side(asyncio.DatagramProtocol):
    """One socket; what it receives goes to the relay."""

    def __init__(self, relay: Relay, *, faces_focus: bool) -> None:
        self._relay = relay
        self._faces_focus = faces_focus

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self._relay.pass_on(self, data, addr, from_focus=self._faces_focus)

    def error_received(self, exc: Exception) -> None:
        pass  # the other side is gone, or not there yet


class Relay:
    """Passes datagrams of one client to a focus and back, both on loopback.

    The client sends to `port`. `rebind` makes the relay go on with another source port towards the focus, as
    a NAT that has forgotten its entry; `is_cut` drops everything, as a network that went away.

    Args:
        focus: where the focus listens.
    """

    def __init__(self, focus: Address) -> None:
        self.port = 0
        self.is_cut = False
        self._focus = focus
        self._client: Address | None = None
        self._near: asyncio.DatagramTransport | None = None
        self._far: asyncio.DatagramTransport | None = None
        self._current: _Side | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._near, _ = await loop.create_datagram_endpoint(
            lambda: _Side(self, faces_focus=False), local_addr=("127.0.0.1", 0)
        )
        self.port = int(self._near.get_extra_info("sockname")[1])
        await self.rebind()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for transport in (self._near, self._far):
            if transport is not None:
                transport.close()

    async def rebind(self) -> None:
        """Talk to the focus from another port from now on; what comes to the old one is lost."""
        loop = asyncio.get_running_loop()
        old = self._far
        self._far, self._current = await loop.create_datagram_endpoint(
            lambda: _Side(self, faces_focus=True), local_addr=("127.0.0.1", 0)
        )
        if old is not None:
            old.close()

    def pass_on(self, side: _Side, data: bytes, sender: Address, *, from_focus: bool) -> None:
        """Pass on one datagram."""
        if self.is_cut:
            return
        if not from_focus:
            self._client = sender
            if self._far is not None:
                self._far.sendto(data, self._focus)
        elif side is self._current and self._client is not None and self._near is not None:
            self._near.sendto(data, self._client)
