"""ICE, DTLS-SRTP and SCTP of one leg: aioice as a full controlling agent, aiortc above it at ORTC level.

aiortc wants three things of what lies below its DTLS: `role`, `_recv` and `_send`. `_MediaTap` gives it
these and takes the packets of RTP and RTCP out on the way (RFC 7983), so that aiortc never sees them.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING, Any, Final

import aioice
import pylibsrtp
from aiortc import (
    RTCCertificate,
    RTCDataChannel,
    RTCDataChannelParameters,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    RTCSctpCapabilities,
    RTCSctpTransport,
)
from aiortc.rtcsctptransport import WEBRTC_STRING

from loadtest.client import sdp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CHANNEL_LABEL: Final = "datachannel"
MAX_MESSAGE_BYTES: Final = 262_144
SCTP_INITIAL_RTO_S: Final = 0.5
"""aiortc starts with 3 s: one lost INIT would cost more than all the rest of a join."""

_SCTP_PORT: Final = 5_000
_RTCP_TYPES: Final = range(64, 96)
"""Second byte without its top bit: RTCP on a port shared with RTP (RFC 5761 section 4)."""


class TransportFailedError(ConnectionError):
    """ICE, DTLS or the data channel could not be brought up."""


class LegTransport:
    """One leg's connection; made, gathered, connected and closed once.

    Args:
        addresses: local addresses that ICE uses.
        on_media: is called with each decrypted packet, and whether it is RTCP.
        obeys_close: otherwise the socket stays open when the focus closes the connection.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        on_media: Callable[[bytes, bool], None],
        *,
        obeys_close: bool = True,
    ) -> None:
        self._addresses = tuple(addresses)
        self._on_media = on_media
        self._obeys_close = obeys_close
        self._certificate = RTCCertificate.generateCertificate()
        self._ice = _HostConnection(
            self._addresses,
            ice_controlling=True,
            local_username=secrets.token_hex(4),
            local_password=secrets.token_hex(12),
        )
        self._dtls: Any = RTCDtlsTransport(_MediaTap(self._ice, self._take_media), [self._certificate])  # type: ignore[arg-type]  # role, _recv and _send are all that it uses
        self._sctp: Any = None
        self._channel: RTCDataChannel | None = None
        self.opened = asyncio.Event()
        """The data channel is open."""
        self.closed = asyncio.Event()
        """The connection is gone, by whoever's doing."""
        self.messages: asyncio.Queue[str | bytes] = asyncio.Queue()
        """What came on the data channel. Unbounded: this end trusts nobody's memory but its own."""
        self.packets_undecryptable = 0
        self._early: list[str] | None = []
        """Candidates that came before `connect`; None after it."""

    @property
    def rtp_received(self) -> int:
        """RTP packets that came on the socket, whatever became of them."""
        return self._ice.rtp_received

    async def gather(self) -> sdp.Transport:
        """Open sockets; what an offer says of this connection, without candidates."""
        await self._ice.gather_candidates()
        digests = [(f.algorithm, f.value) for f in self._certificate.getFingerprints()]
        return sdp.Transport(
            ufrag=self._ice.local_username,
            password=self._ice.local_password,
            fingerprints=tuple(d for d in digests if d[0] == "sha-256"),
            setup="actpass",
        )

    def candidates(self) -> tuple[str, ...]:
        """The local candidates as they stand in `m.call.candidates`."""
        return tuple(f"candidate:{candidate.to_sdp()}" for candidate in self._ice.local_candidates)

    async def add_candidate(self, text: str) -> None:
        """Take a candidate of the focus; an empty one ends them. Kinds that we don't do are skipped."""
        if self._early is not None:
            self._early.append(text)
            return
        if self.closed.is_set():
            return
        with contextlib.suppress(ValueError):
            if not text:
                await self._ice.add_remote_candidate(None)
                return
            candidate = aioice.Candidate.from_sdp(text.removeprefix("candidate:"))
            if candidate.transport.lower() == "udp":
                await self._ice.add_remote_candidate(candidate)

    async def connect(self, remote: sdp.Transport) -> None:
        """Bring up ICE, DTLS and the data channel, in this order.

        Raises:
            TransportFailedError: one of them failed.
        """
        self._ice.remote_username, self._ice.remote_password = remote.ufrag, remote.password
        self._ice.remote_is_lite = remote.is_lite
        # The end of candidates may come before the answer is read, and nothing may follow it.
        early, self._early = self._early or [], None
        for candidate in (*remote.candidates, *early):
            await self.add_candidate(candidate)
        try:
            await self._ice.connect()
        except ConnectionError as error:
            raise TransportFailedError(f"ICE: {error}") from error
        # A focus that answers actpass leaves the choice to us; `active` makes us the server.
        self._dtls._set_role("server" if remote.setup == "active" else "client")  # ORTC has no other way
        self._dtls.on("statechange", self._watch_dtls)
        fingerprints = [RTCDtlsFingerprint(algorithm, digest) for algorithm, digest in remote.fingerprints]
        await self._dtls.start(RTCDtlsParameters(fingerprints=fingerprints))
        if self._dtls.state != "connected":
            raise TransportFailedError(f"DTLS: {self._dtls.state}")
        self._sctp = RTCSctpTransport(self._dtls, _SCTP_PORT)
        self._sctp._rto = SCTP_INITIAL_RTO_S  # not settable otherwise
        self._channel = RTCDataChannel(self._sctp, RTCDataChannelParameters(label=CHANNEL_LABEL))
        self._channel.on("open", self.opened.set)
        self._channel.on("message", self.messages.put_nowait)
        if self._channel.readyState == "open":
            self.opened.set()
        await self._sctp.start(RTCSctpCapabilities(maxMessageSize=MAX_MESSAGE_BYTES), _SCTP_PORT)

    def send_message(self, message: str | bytes) -> None:
        """Send on the data channel; lost where it is not open."""
        if self._channel is not None and self._channel.readyState == "open":
            self._channel.send(message)

    async def send_text(self, data: bytes) -> None:
        """Send bytes as a text on the data channel, UTF-8 or not; lost where it is not open."""
        if self._channel is not None and self._channel.readyState == "open":
            self._channel._addBufferedAmount(len(data))
            self._sctp._data_channel_queue.append(
                (self._channel, WEBRTC_STRING, data)
            )  # it would encode a str
            await self._sctp._data_channel_flush()

    def open_channel(self, label: str) -> asyncio.Queue[str | bytes]:
        """Open one more data channel; what comes on it.

        Raises:
            TransportFailedError: there is no connection.
        """
        if self._sctp is None:
            raise TransportFailedError("no connection to open a channel on")
        messages: asyncio.Queue[str | bytes] = asyncio.Queue()
        channel = RTCDataChannel(self._sctp, RTCDataChannelParameters(label=label))
        channel.on("message", messages.put_nowait)
        return messages

    async def send_datagram(self, data: bytes) -> None:
        """Send anything as it is; lost where there is no connection."""
        with contextlib.suppress(ConnectionError):
            await self._ice.send(data)

    async def send_media(self, packets: Sequence[bytes], *, is_rtcp: bool) -> None:
        """Encrypt and send packets; lost where there is no connection."""
        if self._dtls.state != "connected" or self.closed.is_set():
            return
        session: pylibsrtp.Session = self._dtls._tx_srtp  # the keys that aiortc exported
        protect = session.protect_rtcp if is_rtcp else session.protect
        with contextlib.suppress(ConnectionError):
            for packet in packets:
                await self._ice.send(protect(packet))

    async def close(self) -> None:
        """Close all of it; harmless when nothing is open."""
        self.closed.set()
        if self._sctp is not None:
            await self._sctp.stop()
        await self._dtls.stop()
        await self._ice.close()

    def drop(self) -> None:
        """Stop answering without a word, as a client does whose machine is gone."""
        self._ice.go_silent()

    def _watch_dtls(self) -> None:
        if self._obeys_close and self._dtls.state in {"closed", "failed"}:
            self.closed.set()

    def _take_media(self, data: bytes) -> None:
        session: pylibsrtp.Session | None = self._dtls._rx_srtp  # the keys that aiortc exported
        if session is None or len(data) < 2:
            return
        is_rtcp = _is_rtcp(data)
        try:
            plain = session.unprotect_rtcp(data) if is_rtcp else session.unprotect(data)
        except pylibsrtp.Error:
            self.packets_undecryptable += 1
            return
        self._on_media(plain, is_rtcp)


class _HostConnection(aioice.Connection):
    """An ICE agent on addresses of our choice: aioice itself leaves out loopback."""

    def __init__(self, addresses: Sequence[str], **options: Any) -> None:  # noqa: ANN401  # aioice's own
        super().__init__(**options)
        self._host_addresses = list(addresses)
        self.rtp_received = 0

    async def get_component_candidates(
        self,
        component: int,
        addresses: list[str],  # replaced by ours
        timeout: int = 5,  # noqa: ASYNC109  # aioice's signature
    ) -> list[aioice.Candidate]:
        """Gather on our addresses instead."""
        return await super().get_component_candidates(component, self._host_addresses, timeout)

    def data_received(self, data: bytes, component: int) -> None:
        """Count RTP: also where nobody reads what has arrived."""
        self.rtp_received += _is_media(data) and not _is_rtcp(data)
        super().data_received(data, component)

    def go_silent(self) -> None:
        """Close the sockets and say nothing."""
        for protocol in self._protocols:
            if protocol.transport is not None:
                protocol.transport.abort()


class _MediaTap:
    """What aiortc's DTLS takes for its ICE transport."""

    role: Final = "controlling"

    def __init__(self, ice: aioice.Connection, on_media: Callable[[bytes], None]) -> None:
        self._ice = ice
        self._on_media = on_media
        self._send = ice.send

    async def _recv(self) -> bytes:
        while True:
            data = await self._ice.recv()
            if not _is_media(data):
                return data
            self._on_media(data)


def _is_media(data: bytes) -> bool:
    """RTP or RTCP, not DTLS (RFC 7983)."""
    return len(data) >= 2 and 128 <= data[0] < 192


def _is_rtcp(data: bytes) -> bool:
    return data[1] & 0x7F in _RTCP_TYPES
