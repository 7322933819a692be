"""A line of UDP between those who send to it and one address on loopback, which can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

Address = tuple[str, int]

_LARGEST: Final = 65_536


class Line:
    """Use as `async with Line(address) as line:`, and have them send to `line.port`.

    Each sender is another one at the far end too, as behind a NAT: who dials anew has another port.

    Args:
        far: where it leads to.
    """

    def __init__(self, far: Address) -> None:
        self.is_cut = False
        """Everything is lost, either way."""
        self.passed = 0
        """Datagrams, both ways."""
        self.lost = 0
        self._far = far
        self._near = _socket()
        self._beyond: dict[Address, socket.socket] = {}
        """By who sends: where the far end sees them."""

    async def __aenter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self._near, self._from_near)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop = asyncio.get_running_loop()
        for one in (self._near, *self._beyond.values()):
            loop.remove_reader(one)
            one.close()

    @property
    def port(self) -> int:
        """Where to send to."""
        return int(self._near.getsockname()[1])

    def _from_near(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while True:
                data, sender = self._near.recvfrom(_LARGEST)
                beyond = self._beyond.get(sender)
                if beyond is None:
                    beyond = self._beyond[sender] = _socket()
                    beyond.connect(self._far)
                    asyncio.get_running_loop().add_reader(beyond, self._from_far, beyond, sender)
                if self._passes():
                    beyond.send(data)

    def _from_far(self, beyond: socket.socket, sender: Address) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while True:
                data = beyond.recv(_LARGEST)
                if self._passes():
                    self._near.sendto(data, sender)

    def _passes(self) -> bool:
        if self.is_cut:
            self.lost += 1
        else:
            self.passed += 1
        return not self.is_cut


def _socket() -> socket.socket:
    made = socket.socket(type=socket.SOCK_DGRAM)
    made.setblocking(False)
    made.bind(("127.0.0.1", 0))
    return made
