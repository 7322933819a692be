"""The ICE agent of one leg: full and controlling, over restarts and changes of the network.

aiortc wants three things of what lies below its DTLS: `role`, `_recv` and `_send`. `IceAgent` gives it these.
RTP and RTCP are taken out at the socket (RFC 7983), so that neither aioice nor aiortc ever sees them. A
restart (RFC 8445 section 9) is another connection of aioice, put in place of the one before when it is up:
DTLS notices nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING, Any, Final

import aioice
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import StunProtocol

from loadtest.client.datagrams import DatagramEndpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loadtest.client import sdp
    from sfu.units import Instant

_RTCP_TYPES: Final = range(64, 96)
"""Second byte without its top bit: RTCP on a port shared with RTP (RFC 5761 section 4)."""


class IceAgent:
    """Gathers and connects as often as is wanted; the newest connection carries.

    Args:
        addresses: local addresses to use.
        on_media: is called with each packet of SRTP or SRTCP, and when it came.
    """

    role: Final = "controlling"

    def __init__(self, addresses: Sequence[str], on_media: Callable[[bytes, Instant], None]) -> None:
        self._addresses = tuple(addresses)
        self._on_media = on_media
        self._pending: _HostConnection | None = None
        """Gathered and not connected."""
        self._active: _HostConnection | None = None
        self._early: list[str] | None = []
        """The other side's candidates that came before `connect`; None after it."""
        self._rtp_received = 0

    @property
    def rtp_received(self) -> int:
        """RTP packets that came on any socket, whatever became of them."""
        return self._rtp_received

    @property
    def local_port(self) -> int | None:
        """The port that is used now; None while there is no connection."""
        return None if self._active is None else self._active.local_port

    async def gather(self) -> tuple[str, str]:
        """Open sockets for a new connection; its user fragment and password."""
        if self._pending is not None:
            await self._pending.close()
        self._pending = _HostConnection(self._addresses, self._take_media)
        self._early = []
        await self._pending.gather_candidates()
        return self._pending.local_username, self._pending.local_password

    def candidates(self) -> tuple[str, ...]:
        """What was gathered last, as it stands in `m.call.candidates`."""
        connection = self._pending or self._active
        local = [] if connection is None else connection.local_candidates
        return tuple(f"candidate:{candidate.to_sdp()}" for candidate in local)

    async def add_candidate(self, text: str) -> None:
        """Take a candidate of the other side; an empty one ends them. Kinds that we don't do are skipped."""
        if self._early is not None:
            self._early.append(text)
        elif self._newest is not None:
            await self._newest.add_candidate(text)

    async def connect(self, remote: sdp.Transport) -> None:
        """Connect what was gathered last, and let it carry from then on.

        Raises:
            ConnectionError: no candidate answered, or nothing was gathered.
        """
        connection = self._pending
        if connection is None:
            raise ConnectionError("nothing was gathered")
        connection.remote_username, connection.remote_password = remote.ufrag, remote.password
        connection.remote_is_lite = remote.is_lite
        # The end of candidates may come before the answer is read, and nothing may follow it.
        early, self._early = self._early or [], None
        for candidate in (*remote.candidates, *early):
            await connection.add_candidate(candidate)
        await connection.connect()
        before, self._active, self._pending = self._active, connection, None
        if before is not None:
            await before.close()

    async def send(self, data: bytes) -> None:
        """Send one datagram.

        Raises:
            ConnectionError: there is no connection.
        """
        if self._active is None:
            raise ConnectionError("not connected")
        await self._active.send(data)

    async def rebind(self, address: str, check_after_s: float) -> None:
        """Go on from another port, as behind a NAT that has forgotten ours.

        We notice nothing of such a thing ourselves: the other side learns of it by our next check.
        """
        if self._active is not None:
            self._active.rebind(address)
            await asyncio.sleep(check_after_s)
            await self._active.check()

    def go_silent(self) -> None:
        """Close all sockets and say nothing, as a machine does whose network is gone."""
        for connection in (self._active, self._pending):
            if connection is not None:
                connection.go_silent()

    async def close(self) -> None:
        """Close all of it; harmless when nothing is open."""
        for connection in (self._active, self._pending):
            if connection is not None:
                await connection.close()

    async def _recv(self) -> bytes:
        """The next datagram of DTLS, for aiortc."""
        while True:
            active = self._active
            if active is None:
                raise ConnectionError("not connected")
            try:
                return await active.recv()
            except ConnectionError:
                if active is self._active:
                    raise  # else it was replaced by a restart

    async def _send(self, data: bytes) -> None:
        """Send a datagram of DTLS, for aiortc."""
        await self.send(data)

    @property
    def _newest(self) -> _HostConnection | None:
        return self._pending if self._pending is not None else self._active

    def _take_media(self, data: bytes, arrived_at: Instant) -> None:
        self._rtp_received += not is_rtcp(data)
        self._on_media(data, arrived_at)


def is_rtcp(data: bytes) -> bool:
    """Whether media is RTCP."""
    return data[1] & 0x7F in _RTCP_TYPES


class _HostConnection(aioice.Connection):
    """A connection of aioice on addresses of our choice: aioice itself leaves out loopback."""

    def __init__(self, addresses: Sequence[str], on_media: Callable[[bytes, Instant], None]) -> None:
        super().__init__(
            ice_controlling=True,
            local_username=secrets.token_hex(4),
            local_password=secrets.token_hex(12),
        )
        self._host_addresses = list(addresses)
        self._on_media = on_media

    async def get_component_candidates(
        self,
        component: int,
        addresses: list[str],  # replaced by ours
        timeout: int = 5,  # noqa: ASYNC109  # aioice's signature
    ) -> list[aioice.Candidate]:
        """Gather on our addresses instead, and on sockets of ours."""
        candidates = []
        for address in self._host_addresses:
            protocol = StunProtocol(self)
            with contextlib.suppress(OSError):
                DatagramEndpoint(protocol, address, self._on_media)
                host, port = protocol.transport.get_extra_info("sockname")[:2]
                protocol.local_candidate = aioice.Candidate(
                    foundation=candidate_foundation("host", "udp", host),
                    component=component,
                    transport="udp",
                    priority=candidate_priority(component, "host"),
                    host=host,
                    port=port,
                    type="host",
                )
                candidates.append(protocol.local_candidate)
                self._protocols.append(protocol)
        return candidates

    async def add_candidate(self, text: str) -> None:
        """Take a candidate in text."""
        with contextlib.suppress(ValueError):
            if not text:
                await self.add_remote_candidate(None)
                return
            candidate = aioice.Candidate.from_sdp(text.removeprefix("candidate:"))
            if candidate.transport.lower() == "udp":
                await self.add_remote_candidate(candidate)

    @property
    def local_port(self) -> int | None:
        """Of the pair in use."""
        for pair in self._nominated.values():
            name = pair.protocol.transport.get_extra_info("sockname")
            return None if name is None else int(name[1])
        return None

    def rebind(self, address: str) -> None:
        """Put a new socket in place of the one in use."""
        for pair in self._nominated.values():
            _forget(pair.protocol.transport)
            DatagramEndpoint(pair.protocol, address, self._on_media)

    async def check(self) -> None:
        """One connectivity check on the pair in use."""
        for pair in self._nominated.values():
            with contextlib.suppress(aioice.stun.TransactionError):
                await pair.protocol.request(
                    self.build_request(pair, nominate=True),
                    pair.remote_addr,
                    integrity_key=str(self.remote_password).encode(),
                )

    def go_silent(self) -> None:
        """Close the sockets and let nobody notice."""
        for protocol in self._protocols:
            _forget(protocol.transport)
            protocol.transport = _Nowhere(protocol)


class _Nowhere(asyncio.DatagramTransport):
    """A socket of a machine without a network."""

    def __init__(self, protocol: Any) -> None:  # noqa: ANN401  # aioice's
        super().__init__()
        self._protocol = protocol

    def sendto(self, data: Any, addr: Any = None) -> None:  # noqa: ANN401  # asyncio's signature
        """Lose it."""

    def close(self) -> None:
        """Be closed at once."""
        self._protocol.connection_lost(None)


def _forget(transport: Any) -> None:  # noqa: ANN401  # a datagram transport, ours or of none
    if not isinstance(transport, _Nowhere):
        transport.set_protocol(asyncio.DatagramProtocol())
        transport.abort()
