"""One leg's connection above ICE: DTLS, its keys to the plane, and the data channels."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, assert_never

from sfu.conference.turn import (
    DataChannelClosed,
    DataChannelOpened,
    DataReceived,
    DataRefused,
    LegConnected,
    LegFailed,
)
from sfu.plane import InstallSrtp, SendDatagram
from sfu.transport.dtls import DtlsTransport, HandshakeError
from sfu.transport.native_ice import NativeIce
from sfu.transport.rate import TokenBucket
from sfu.transport.sctp import (
    AssociationLost,
    ChannelClosed,
    ChannelOpened,
    MessageRefused,
    PacketRefused,
    SctpTransport,
    SendOutcome,
    TextReceived,
)
from sfu.units import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sfu.config import LimitsConfig
    from sfu.metrics import Metrics
    from sfu.negotiation.parameters import Fingerprint
    from sfu.plane import PlaneOperation
    from sfu.transport.certificate import Certificate
    from sfu.transport.handshakes import HandshakeSlots
    from sfu.transport.sctp import SctpEvent
    from sfu.units import Instant, TransportId

    TransportInput = (
        LegConnected | LegFailed | DataChannelOpened | DataChannelClosed | DataReceived | DataRefused
    )

ARRIVAL_TIMEOUT_S: Final = 60.0
"""From our answer to the client's first datagram, or to a pair for ours. Lower: an answer that its homeserver
holds back ends the join. Higher: a client that never comes counts as present for longer."""

MESSAGE_BURST_S: Final = 2.0
"""Messages of this many seconds may come at once: a client that opens its channel asks for everything."""

MAX_DATAGRAMS_PER_S: Final = 1_000
"""DTLS datagrams read of one leg: the longest message has 260. Lower: long messages are slow. Higher: a peer
that floods its data channel takes the loop from the others."""

REFUSALS_PER_S: Final = 1.0
REFUSAL_BURST: Final = 10
"""Refused messages that the engine is told of; all are counted. Lower: a client learns of one mistake only.
Higher: each costs a turn, and a rude peer is rude often."""


class LegTransport:
    """From the plane's datagrams to connected, channels and texts, and back.

    It is made when the plane begins to listen, so that early datagrams find their inbox, and `run` once,
    when the peer's fingerprints are known. The peer is a client, or a focus that we dial: then we are the
    DTLS client. Every ending that is not `close` is told as one `LegFailed`.

    Args:
        leg: the transport it belongs to.
        certificate: ours.
        limits: of messages.
        clock: monotonic now.
        emit: takes inputs for the engine; it may call `send` and `close`.
        program: takes operations for the plane.
        slots: handshakes at once.
        metrics: where it counts.
    """

    def __init__(
        self,
        leg: TransportId,
        certificate: Certificate,
        limits: LimitsConfig,
        *,
        clock: Callable[[], Instant],
        emit: Callable[[TransportInput], None],
        program: Callable[[PlaneOperation], None],
        slots: HandshakeSlots,
        metrics: Metrics,
    ) -> None:
        self._leg = leg
        self._limits = limits
        self._clock = clock
        self._emit = emit
        self._program = program
        self._slots = slots
        self._metrics = metrics
        self._ice = NativeIce(lambda data: program(SendDatagram(leg, data)))
        self._dtls = DtlsTransport(self._ice, certificate)
        self._sctp: SctpTransport | None = None
        self._streams: list[int | None] = []
        """The SCTP stream of each channel, in order of opening; None once closed."""
        self._labels: list[str] = []
        """Channels of ours to open when there is an association."""
        self._selected = asyncio.Event()
        self._closed = False
        self._connected_at: Instant | None = None
        self._datagrams = TokenBucket(MAX_DATAGRAMS_PER_S, MAX_DATAGRAMS_PER_S)
        self._messages = TokenBucket(limits.messages_per_s, limits.messages_per_s * MESSAGE_BURST_S)
        self._refusals = TokenBucket(REFUSALS_PER_S, REFUSAL_BURST)

    def feed(self, data: bytes) -> None:
        """Take a DTLS datagram of this leg."""
        if not self._datagrams.take(self._clock()):
            self._metrics.datagrams_dropped.labels("rate").inc()
        elif not self._ice.feed(data):
            self._metrics.datagrams_dropped.labels("closed" if self._closed else "inbox_full").inc()

    def pair_selected(self) -> None:
        """There is somewhere to send to: a handshake that is ours to begin may begin."""
        self._selected.set()

    async def run(
        self, fingerprints: Sequence[Fingerprint], data_port: int, *, is_client: bool = False
    ) -> None:
        """Shake hands, then carry data until the leg ends.

        Args:
            fingerprints: of the peer's certificate.
            data_port: its SCTP port.
            is_client: we are the DTLS client, and begin once a pair is selected; else the peer begins.
        """
        try:
            await self._run(fingerprints, data_port, is_client=is_client)
        finally:
            self._dtls.release()

    def open_channel(self, label: str) -> None:
        """Open a channel of ours, now or when there is an association; `DataChannelOpened` tells of it."""
        if self._sctp is None:
            self._labels.append(label)
        else:
            self._sctp.open_channel(label)

    def send(self, channel: int, text: str) -> SendOutcome:
        """Queue a text on a channel; what can't be sent is dropped, as the outcome says."""
        stream = self._streams[channel] if 0 <= channel < len(self._streams) else None
        if self._sctp is None or stream is None:
            return SendOutcome.NOT_OPEN
        return self._sctp.send_text(stream, text)

    def lose(self, reason: str) -> None:
        """End it because nothing leads to the peer any more: it is not told, the engine is.

        Without its consent not even a farewell may be sent (RFC 7675 section 5.1).
        """
        self._ice.close()
        self._fail(reason)

    def close(self) -> None:
        """End it now, telling the peer by SCTP ABORT and close_notify. Nothing is emitted any more."""
        if self._closed:
            return
        self._closed = True
        if self._sctp is not None:
            self._sctp.abort()
        self._dtls.shut_down()
        self._ice.close()
        self._selected.set()

    async def _run(self, fingerprints: Sequence[Fingerprint], data_port: int, *, is_client: bool) -> None:
        try:
            await self._connect(fingerprints, is_client=is_client)
        except HandshakeError as error:
            if self._closed:
                return
            self._metrics.joins.labels("dtls", error.reason).inc()
            self._fail(error.reason)
            return
        self._sctp = SctpTransport(self._dtls, self._limits.message_bytes, self._clock, self._take)
        self._tell(LegConnected(self._leg))
        if not self._closed:
            for label in self._labels:
                self._sctp.open_channel(label)
            await self._sctp.connect(data_port)
            await self._dtls.ended()
        self._fail("dtls_closed")

    async def _connect(self, fingerprints: Sequence[Fingerprint], *, is_client: bool) -> None:
        try:
            async with asyncio.timeout(ARRIVAL_TIMEOUT_S):
                await (self._selected.wait() if is_client else self._ice.readable())
        except TimeoutError as error:
            raise HandshakeError("dtls_timeout") from error
        arrived_at = self._clock()
        async with self._slots.hold():
            keys = await self._dtls.handshake(fingerprints, is_client=is_client)
        self._connected_at = self._clock()
        self._metrics.joins.labels("dtls", "ok").inc()
        self._metrics.join_step_seconds.labels("dtls").observe((self._connected_at - arrived_at) / NS_PER_S)
        self._program(InstallSrtp(self._leg, keys.profile, keys.receive_key, keys.send_key))

    def _fail(self, reason: str) -> None:
        if not self._closed:
            self.close()
            self._emit(LegFailed(self._leg, reason))

    def _tell(self, given: TransportInput) -> None:
        if not self._closed:
            self._emit(given)

    def _take(self, event: SctpEvent) -> None:
        if self._closed:
            return
        match event:
            case ChannelOpened(stream, label):
                self._open_channel(stream, label)
            case ChannelClosed(stream):
                self._close_channel(stream)
            case TextReceived(stream, text):
                self._take_text(stream, text)
            case MessageRefused(stream, reason):
                self._refuse(stream, reason)
            case PacketRefused(fault):
                self._metrics.sctp_faults.labels(fault.value).inc()
            case AssociationLost():
                self._fail("sctp_aborted")
            case _:
                assert_never(event)

    def _open_channel(self, stream: int, label: str) -> None:
        if not self._streams and self._connected_at is not None:
            self._metrics.joins.labels("data_channel", "ok").inc()
            elapsed_s = (self._clock() - self._connected_at) / NS_PER_S
            self._metrics.join_step_seconds.labels("data_channel").observe(elapsed_s)
        self._streams.append(stream)
        self._tell(DataChannelOpened(self._leg, len(self._streams) - 1, label))

    def _close_channel(self, stream: int) -> None:
        if stream in self._streams:
            channel = self._streams.index(stream)
            self._streams[channel] = None
            self._tell(DataChannelClosed(self._leg, channel))

    def _take_text(self, stream: int, text: str) -> None:
        if stream not in self._streams:
            return
        self._metrics.messages.labels("received").inc()
        if self._messages.take(self._clock()):
            self._tell(DataReceived(self._leg, self._streams.index(stream), text))
        else:
            self._refuse(stream, "too_fast")

    def _refuse(self, stream: int, reason: str) -> None:
        self._metrics.messages_refused.labels(reason).inc()
        if stream in self._streams and self._refusals.take(self._clock()):
            self._tell(DataRefused(self._leg, self._streams.index(stream), reason))
