"""What aiortc's DTLS takes for its ICE transport: ICE is the plane's, this is one leg's mailbox."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_INBOX: Final = 128
"""Datagrams of one leg that wait for the loop. Lower: a burst of fragments of one long message is lost and
sent again. Higher: a peer that floods us costs more memory and more time in one go."""


class NativeIce:
    """One leg's datagrams: fed from the plane, taken by DTLS; what DTLS sends goes to a callback.

    Full means drop: DTLS and SCTP both send again. It is made before DTLS is wanted, so that a client
    that is faster than its own answer is not kept waiting for its retransmission.
    """

    role: Final = "controlled"
    """The plane's ICE is a lite agent (RFC 8445 section 6.1.1). The DTLS role does not follow from it."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send_datagram = send
        self._inbox: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._closed = False

    @property
    def state(self) -> str:
        """`connected` until closed: nothing reaches us without a pair that the plane has verified."""
        return "closed" if self._closed else "connected"

    def feed(self, data: bytes) -> bool:
        """Take a datagram; False when it was dropped, the inbox being full or closed."""
        if self._closed or not data or len(self._inbox) >= MAX_INBOX:
            return False
        self._inbox.append(data)
        self._wake.set()
        return True

    def send(self, data: bytes) -> None:
        """Hand a datagram to the plane.

        Raises:
            ConnectionError: the leg is closed.
        """
        if self._closed:
            raise ConnectionError("leg closed")
        self._send_datagram(data)

    def close(self) -> None:
        """Drop what waits; whoever receives from now on gets a `ConnectionError`."""
        self._closed = True
        self._inbox.clear()
        self._wake.set()

    async def readable(self) -> None:
        """Wait until there is a datagram to take, or the end."""
        await self._wake.wait()

    async def _recv(self) -> bytes:
        await self._wake.wait()
        if self._closed:
            raise ConnectionError("leg closed")
        data = self._inbox.popleft()
        if not self._inbox:
            self._wake.clear()
        return data

    async def _send(self, data: bytes) -> None:
        self.send(data)
