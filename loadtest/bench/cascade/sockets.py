"""The sockets of what stands between foci, or between a focus and people."""

from __future__ import annotations

import socket
from typing import Final

Address = tuple[str, int]

BUFFER_BYTES: Final = 4 << 20
"""Of each socket. Smaller: a burst while the interpreter does something else is lost, and resent."""
MAX_DATAGRAM: Final = 65_535


def udp(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A socket that never blocks; port 0 is a free one."""
    opened = socket.socket(type=socket.SOCK_DGRAM)
    opened.setblocking(False)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        opened.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
    opened.bind((host, port))
    return opened
