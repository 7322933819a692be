"""A door between one participant and its focus, which notes when each packet of media came from the focus.

Times are the kernel's of arrival, taken as the focus sends on loopback: what the door itself does late does
not enter them. Only participants come through it; foci find each other directly.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from typing import TYPE_CHECKING, Final, Self

from loadtest.bench.cascade.hop_delay import Arrival
from loadtest.bench.cascade.sockets import MAX_DATAGRAM, udp
from loadtest.bench.cascade.traffic import Content, content_of

if TYPE_CHECKING:
    from types import TracebackType

    from loadtest.bench.cascade.sockets import Address

_SO_TIMESTAMPNS: Final = getattr(socket, "SO_TIMESTAMPNS", 35)
"""Linux's number, which the standard library names from 3.13 on."""
_TIMESPEC: Final = struct.Struct("@qq")
_HEADER: Final = struct.Struct("!BBHII")
"""The fixed part of RTP's (RFC 3550 section 5.1), which SRTP leaves readable."""


class Tap:
    """Use as `with Tap(host, port) as tap:`, and dial `tap.port` on 127.0.0.1 in the focus's place.

    Args:
        focus: where it listens.
    """

    def __init__(self, focus: Address) -> None:
        self.arrivals: list[Arrival] = []
        """Packets of media from the focus, in order; others append to it while one reads."""
        self._focus = focus
        self._near, self._far = udp(), udp()
        self.port = int(self._near.getsockname()[1])
        self._guest: Address | None = None
        self._stop, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="tap", daemon=True)

    def __enter__(self) -> Self:
        self._far.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._far.connect(self._focus)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.close()
        self._thread.join()
        for one in (self._near, self._far, self._stopped):
            one.close()

    def rerouted(self, sdp: str) -> str:
        """A description of the focus as it reads where people are to come through this door."""
        return sdp.replace(f" {self._focus[0]} {self._focus[1]} typ host", f" 127.0.0.1 {self.port} typ host")

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for one in (self._near, self._far, self._stopped):
                selector.register(one, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in selector.select()]
                if self._stopped in ready:
                    return
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    if self._far in ready:
                        self._from_focus()
                    if self._near in ready:
                        datagram, self._guest = self._near.recvfrom(MAX_DATAGRAM)
                        self._far.send(datagram)

    def _from_focus(self) -> None:
        datagram, ancillary, _, _ = self._far.recvmsg(MAX_DATAGRAM, 64)
        if content_of(datagram) is Content.RTP and len(datagram) >= _HEADER.size:
            seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2][: _TIMESPEC.size])
            _, _, number, timestamp, ssrc = _HEADER.unpack_from(datagram)
            self.arrivals.append(
                Arrival(seconds * 1_000_000_000 + nanoseconds, ssrc, number, timestamp, len(datagram))
            )
        if self._guest is not None:
            self._near.sendto(datagram, self._guest)
