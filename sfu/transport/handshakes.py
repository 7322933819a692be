"""How many DTLS handshakes run at once: each costs about 5 ms on the loop, and people join in bursts."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SLOT_S: Final = 2.0
"""A handshake keeps its slot no longer. Lower: under loss, more run at once than were allowed. Higher: peers
that begin and then fall silent keep everybody else waiting."""


class HandshakeSlots:
    """A semaphore whose holders lose their place when they dawdle: waiting for a peer costs no processor."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)

    @contextlib.asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Wait for a slot; it is given back at the end, or after `SLOT_S`, whichever comes first."""
        await self._free.acquire()
        given_back = False

        def give_back() -> None:
            nonlocal given_back
            if not given_back:
                given_back = True
                self._free.release()

        timer = asyncio.get_running_loop().call_later(SLOT_S, give_back)
        try:
            yield
        finally:
            timer.cancel()
            give_back()
