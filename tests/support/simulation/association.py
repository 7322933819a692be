"""What stands in for DTLS and SCTP: a handshake of three flights, and text messages that arrive in order.

No cryptography, but the same shape: datagrams of the same first bytes (RFC 7983), one round trip before the
client may send media, retransmission of everything that is lost.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import TYPE_CHECKING, Final

from sfu.units import Instant, after_ms, earliest

if TYPE_CHECKING:
    from collections.abc import Callable

HANDSHAKE_RETRY_MS: Final = 250
MESSAGE_RETRY_MS: Final = 200
MAX_FRAGMENT_BYTES: Final = 1_100
WINDOW: Final = 16
"""Fragments under way at once."""

_HANDSHAKE, _DATA, _ALERT = 22, 23, 21
_HELLO, _FINISHED, _DONE = 1, 2, 3
_FRAGMENT, _ACKNOWLEDGEMENT = 1, 2


class Role(enum.Enum):
    """Who begins."""

    CLIENT = enum.auto()
    SERVER = enum.auto()


class State(enum.Enum):
    """How far it is."""

    WAITING = enum.auto()
    CONNECTED = enum.auto()
    CLOSED = enum.auto()


class Association:
    """One end. It does nothing before `start`.

    Args:
        role: the client's flight is the first.
        send: takes a datagram.
        connected: is told once.
        received: takes each message.
        closed: is told when the other end says goodbye.
    """

    def __init__(
        self,
        role: Role,
        *,
        send: Callable[[bytes], None],
        connected: Callable[[], None],
        received: Callable[[str], None],
        closed: Callable[[], None],
    ) -> None:
        self.state = State.WAITING
        self._role = role
        self._send = send
        self._connected = connected
        self._received = received
        self._closed = closed
        self._is_started = False
        self._flight: bytes | None = None
        self._flight_at: Instant | None = None
        self._outgoing: deque[bytes] = deque()
        self._first_outgoing = 0
        self._sent = 0
        """Number behind the last fragment that was sent at least once."""
        self._resend_at: Instant | None = None
        self._expected = 0
        self._incoming: dict[int, bytes] = {}
        self._message = bytearray()

    def start(self, now: Instant) -> None:
        """The client says hello; the server listens."""
        self._is_started = True
        if self._role is Role.CLIENT:
            self._fly(now, _HELLO)

    def say(self, now: Instant, text: str) -> None:
        """Send a message as soon as that can be done."""
        data = text.encode()
        pieces = [data[at : at + MAX_FRAGMENT_BYTES] for at in range(0, len(data), MAX_FRAGMENT_BYTES)] or [
            b""
        ]
        for index, piece in enumerate(pieces):
            self._outgoing.append(bytes((index == len(pieces) - 1,)) + piece)
        self._push(now)

    def close(self) -> None:
        """Say goodbye, once and unreliably, as close_notify is."""
        if self.state is not State.CLOSED:
            self.state = State.CLOSED
            self._send(bytes((_ALERT, 0)))

    def receive(self, now: Instant, data: bytes) -> None:
        """Take a datagram."""
        if not self._is_started or self.state is State.CLOSED:
            return
        match data[0]:
            case 22:
                self._handshake(now, data[1])
            case 21:
                self.state = State.CLOSED
                self._closed()
            case 23:
                if self.state is State.WAITING and self._role is Role.SERVER:
                    self._connect()
                if self.state is State.CONNECTED:
                    self._take(now, data)
            case _:
                pass

    def poll(self, now: Instant) -> None:
        """Repeat what is unanswered."""
        if self.state is State.CLOSED:
            return
        if self._flight is not None and self._flight_at is not None and now >= self._flight_at:
            self._flight_at = after_ms(now, HANDSHAKE_RETRY_MS)
            self._send(self._flight)
        if self._resend_at is not None and now >= self._resend_at:
            self._sent = self._first_outgoing
            self._resend_at = None
            self._push(now)

    def next_timeout(self) -> Instant | None:
        """When to poll next."""
        if self.state is State.CLOSED:
            return None
        return earliest(self._flight_at if self._flight is not None else None, self._resend_at)

    def _handshake(self, now: Instant, step: int) -> None:
        match self._role, step:
            case Role.SERVER, 1:
                if self.state is State.WAITING:
                    self._fly(now, _FINISHED)
            case Role.SERVER, 3:
                if self.state is State.WAITING:
                    self._connect()
            case Role.CLIENT, 2:
                self._send(bytes((_HANDSHAKE, _DONE)))
                if self.state is State.WAITING:
                    self._connect()
                    self._push(now)
            case _:
                pass

    def _fly(self, now: Instant, step: int) -> None:
        self._flight = bytes((_HANDSHAKE, step))
        self._flight_at = after_ms(now, HANDSHAKE_RETRY_MS)
        self._send(self._flight)

    def _connect(self) -> None:
        self.state = State.CONNECTED
        self._flight = self._flight_at = None
        self._connected()

    def _push(self, now: Instant) -> None:
        if self.state is not State.CONNECTED:
            return
        end = min(self._first_outgoing + len(self._outgoing), self._first_outgoing + WINDOW)
        for number in range(self._sent, end):
            fragment = self._outgoing[number - self._first_outgoing]
            self._send(bytes((_DATA, _FRAGMENT)) + number.to_bytes(4, "big") + fragment)
        self._sent = max(self._sent, end)
        if self._outgoing and self._resend_at is None:
            self._resend_at = after_ms(now, MESSAGE_RETRY_MS)

    def _take(self, now: Instant, data: bytes) -> None:
        number = int.from_bytes(data[2:6], "big")
        if data[1] == _ACKNOWLEDGEMENT:
            self._acknowledged(now, number)
            return
        if self._expected <= number < self._expected + 4 * WINDOW:
            self._incoming[number] = data[6:]
        messages = []
        while self._expected in self._incoming:
            fragment = self._incoming.pop(self._expected)
            self._expected += 1
            self._message += fragment[1:]
            if fragment[0]:
                messages.append(self._message.decode())
                self._message.clear()
        self._send(bytes((_DATA, _ACKNOWLEDGEMENT)) + self._expected.to_bytes(4, "big"))
        for message in messages:
            self._received(message)

    def _acknowledged(self, now: Instant, expected: int) -> None:
        if expected <= self._first_outgoing:
            return
        for _ in range(expected - self._first_outgoing):
            self._outgoing.popleft()
        self._first_outgoing = expected
        self._sent = max(self._sent, expected)
        self._resend_at = after_ms(now, MESSAGE_RETRY_MS) if self._outgoing else None
        self._push(now)
