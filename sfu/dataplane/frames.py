"""Datagrams in a stream of bytes (RFC 4571): each with its length before it."""

from __future__ import annotations

from typing import Final

from sfu.dataplane.wire import MAX_DATAGRAM_BYTES
from sfu.errors import ParseError

MAX_QUEUED_BYTES: Final = 128 << 10
"""Bytes that wait for a slow connection. Lower: the burst of a key frame does not fit, and its end is lost.
Higher: more memory for each that stalls, and a picture that is older."""

MAX_QUEUED_FOR_LARGE_BYTES: Final = MAX_QUEUED_BYTES * 3 // 4
"""Bytes that may wait before only small datagrams are taken. The rest is room for sound, reports and checks
while a picture does not pass."""

MAX_SMALL_BYTES: Final = 400
"""Longest datagram that counts as small. Lower: sound of high quality stalls with the picture. Higher: more
of a picture's packets take the room that is kept for sound."""

_LENGTH_BYTES: Final = 2
_MAX_LENGTH: Final = 0xFFFF


class FrameReader:
    """Finds datagrams in what comes by a stream."""

    def __init__(self) -> None:
        self._pending = bytearray()
        """What begins with the length of a frame that has not come in full."""

    def feed(self, data: bytes) -> list[bytes]:
        """Take what has come: each datagram that is complete, but not empty ones, which keep a path open.

        Raises:
            ParseError: a frame is longer than any datagram that is read; the stream is of no use any more.
        """
        pending = self._pending
        pending += data
        datagrams = []
        start = 0
        while len(pending) >= start + _LENGTH_BYTES:
            length = int.from_bytes(pending[start : start + _LENGTH_BYTES], "big")
            if length > MAX_DATAGRAM_BYTES:
                raise ParseError("frame_too_long", str(length))
            end = start + _LENGTH_BYTES + length
            if end > len(pending):
                break
            if length:
                datagrams.append(bytes(pending[start + _LENGTH_BYTES : end]))
            start = end
        del pending[:start]
        return datagrams


class FrameQueue:
    """Frames that wait for a connection to take them."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def __len__(self) -> int:
        """Bytes that wait."""
        return len(self._bytes)

    def push(self, datagram: bytes) -> bool:
        """Append a datagram; False where it has no room, and is not sent: in full or not at all."""
        is_small = len(datagram) <= MAX_SMALL_BYTES
        limit = MAX_QUEUED_BYTES if is_small else MAX_QUEUED_FOR_LARGE_BYTES
        if len(datagram) > _MAX_LENGTH or len(self) + _LENGTH_BYTES + len(datagram) > limit:
            return False
        self._bytes += len(datagram).to_bytes(_LENGTH_BYTES, "big") + datagram
        return True

    @property
    def waiting(self) -> bytearray:
        """What is to be written next, to be read only."""
        return self._bytes

    def consume(self, count: int) -> None:
        """So many bytes of it were written."""
        del self._bytes[:count]
