"""The UDP sockets that some transports have for themselves, each on a port that the system chooses.

Where we dial, two transports may go to one port of another focus. They are told apart by these, here and
there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.dataplane.udp import UdpSocket
from sfu.dataplane.wire import OwnPort

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from sfu.config import MediaConfig
    from sfu.dataplane.udp import Arrived
    from sfu.dataplane.wire import OwnAddress
    from sfu.units import TransportId


class OwnPorts:
    """By transport. One that is not here although it should be was refused: what is sent by it is lost.

    Args:
        config: of the sockets.
        loop: the one that calls.
        take: datagrams have come.
    """

    def __init__(
        self,
        config: MediaConfig,
        loop: asyncio.AbstractEventLoop,
        take: Callable[[Iterable[Arrived]], None],
    ) -> None:
        self._config = config
        self._loop = loop
        self._take = take
        self._sockets: dict[TransportId, UdpSocket] = {}

    def open(self, transport: TransportId) -> bool:
        """Listen for a transport; False where the system has no port or no descriptor left."""
        if transport in self._sockets:
            return True  # the core will say that it is there already
        try:
            socket = UdpSocket(self._config, OwnPort(transport))
        except OSError:
            return False
        self._sockets[transport] = socket
        self._loop.add_reader(socket.fileno(), self._readable, socket)
        return True

    def send(self, address: OwnAddress, datagram: bytes) -> bool:
        """Send a datagram; False where the system would not take it, or there is no port."""
        socket = self._sockets.get(address[2].transport)
        return socket is not None and socket.send(address, datagram)

    def keep(self, is_kept: Callable[[TransportId], bool]) -> None:
        """Close all but some."""
        for transport in [one for one in self._sockets if not is_kept(one)]:
            socket = self._sockets.pop(transport)
            self._loop.remove_reader(socket.fileno())
            socket.close()

    def _readable(self, socket: UdpSocket) -> None:
        self._take(socket.receive())
