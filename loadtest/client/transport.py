"""ICE, DTLS-SRTP and SCTP of one leg: our ICE agent, and aiortc above it at ORTC level."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

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
from loadtest.client.ice import IceAgent, is_rtcp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sfu.units import Instant

CHANNEL_LABEL: Final = "datachannel"
MAX_MESSAGE_BYTES: Final = 262_144
SCTP_INITIAL_RTO_S: Final = 0.5
"""aiortc starts with 3 s: one lost INIT would cost more than all the rest of a join."""

_SCTP_PORT: Final = 5_000
_SSRC: Final = slice(8, 12)
"""Of an RTP packet (RFC 3550 section 5.1)."""


class TransportFailedError(ConnectionError):
    """ICE, DTLS or the data channel could not be brought up."""


class LegTransport:
    """One leg's connection; made, gathered, connected and closed once.

    Args:
        addresses: local addresses that ICE uses.
        on_media: is called with each decrypted packet, whether it is RTCP, and when it came.
        obeys_close: otherwise the socket stays open when the focus closes the connection.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        on_media: Callable[[bytes, bool, Instant], None],
        *,
        obeys_close: bool = True,
    ) -> None:
        self._on_media = on_media
        self._obeys_close = obeys_close
        self._certificate = RTCCertificate.generateCertificate()
        self._ice = IceAgent(addresses, self._take_media)
        self._dtls: Any = RTCDtlsTransport(self._ice, [self._certificate])  # type: ignore[arg-type]  # role, _recv and _send are all that it uses
        self._sctp: Any = None
        self._channel: RTCDataChannel | None = None
        self.opened = asyncio.Event()
        """The data channel is open."""
        self.closed = asyncio.Event()
        """The connection is gone, by whoever's doing."""
        self.messages: asyncio.Queue[str | bytes] = asyncio.Queue()
        """What came on the data channel. Unbounded: this end trusts nobody's memory but its own."""
        self.packets_undecryptable = 0
        self.rtp_bytes_sent: Counter[int] = Counter()
        """By SSRC, encrypted as they leave."""

    @property
    def rtp_received(self) -> int:
        """RTP packets that came on the socket, whatever became of them."""
        return self._ice.rtp_received

    @property
    def local_port(self) -> int | None:
        """The UDP port that is used now; None while there is none."""
        return self._ice.local_port

    async def gather(self) -> sdp.Transport:
        """Open sockets; what an offer says of this connection, without candidates.

        Again later, for a restart of ICE.
        """
        ufrag, password = await self._ice.gather()
        digests = [(f.algorithm, f.value) for f in self._certificate.getFingerprints()]
        return sdp.Transport(
            ufrag=ufrag,
            password=password,
            fingerprints=tuple(d for d in digests if d[0] == "sha-256"),
            setup="actpass",
        )

    def candidates(self) -> tuple[str, ...]:
        """The local candidates as they stand in `m.call.candidates`."""
        return self._ice.candidates()

    async def add_candidate(self, text: str) -> None:
        """Take a candidate of the focus; an empty one ends them."""
        if not self.closed.is_set():
            await self._ice.add_candidate(text)

    async def connect(self, remote: sdp.Transport) -> None:
        """Bring up ICE, DTLS and the data channel, in this order.

        Raises:
            TransportFailedError: one of them failed.
        """
        await self.reconnect(remote)
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

    async def reconnect(self, remote: sdp.Transport) -> None:
        """Bring up ICE alone, after another `gather`: the rest goes on over it.

        Raises:
            TransportFailedError: it failed.
        """
        try:
            await self._ice.connect(remote)
        except ConnectionError as error:
            raise TransportFailedError(f"ICE: {error}") from error

    async def rebind(self, address: str, check_after_s: float) -> None:
        """Go on from another port, of which the focus learns by a check that comes later."""
        await self._ice.rebind(address, check_after_s)

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
                sealed = protect(packet)
                if not is_rtcp:
                    self.rtp_bytes_sent[int.from_bytes(packet[_SSRC], "big")] += len(sealed)
                await self._ice.send(sealed)

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

    def _take_media(self, data: bytes, arrived_at: Instant) -> None:
        session: pylibsrtp.Session | None = self._dtls._rx_srtp  # the keys that aiortc exported
        if session is None or len(data) < 2:
            return
        is_control = is_rtcp(data)
        try:
            plain = session.unprotect_rtcp(data) if is_control else session.unprotect(data)
        except pylibsrtp.Error:
            self.packets_undecryptable += 1
            return
        self._on_media(plain, is_control, arrived_at)
