"""Data channels of one leg (RFC 8831): aiortc's SCTP behind a guard, text only.

An exception in `RTCSctpTransport._handle_data` would end the DTLS pump and with it the leg: one text that is
not UTF-8 is enough. Here packets are judged before they are read (`sctp_check.py`), and what remains of
exceptions is counted; only a peer that goes on and on loses its association. What happens is told as
`SctpEvent`s.
"""

from __future__ import annotations

import contextlib
import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiortc import RTCDataChannel, RTCDataChannelParameters, RTCSctpCapabilities, RTCSctpTransport
from aiortc.rtcsctptransport import (
    DATA_CHANNEL_ACK,
    DATA_CHANNEL_OPEN,
    SCTP_RTO_MAX,
    SCTP_TSN_MODULO,
    WEBRTC_BINARY,
    WEBRTC_BINARY_EMPTY,
    WEBRTC_DCEP,
    WEBRTC_STRING,
    WEBRTC_STRING_EMPTY,
    AbortChunk,
    Chunk,
    DataChunk,
    ForwardTsnChunk,
    InitChunk,
    serialize_packet,
    tsn_plus_one,
)

from sfu.transport.rate import TokenBucket
from sfu.transport.sctp_check import SctpFault, chunk_count, fault_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfu.transport.dtls import DtlsTransport
    from sfu.units import Instant

RTO_INITIAL_S: Final = 0.4
"""First retransmission timeout; aiortc has 3 s, so that one lost INIT would cost more than the rest of a
join. Lower: on a satellite path everything is sent twice at first. Higher: joins at 20 % loss get slow."""

RTO_MIN_S: Final = 0.3
"""Least retransmission timeout; aiortc has 1 s, RFC 9260 section 16 recommends it for the Internet of long
buffers. Lower: below the 200 ms for which a receiver may hold back a SACK, what arrived is sent again.
Higher: every subscription rides on this, and a lost one is a black tile for longer."""

RTO_BACKED_OFF_MAX_S: Final = 3.0
"""Ceiling while timeouts follow each other (RFC 9260 section 6.3.3 E2); aiortc does not back off at all."""

SEND_MESSAGE_BYTES: Final = 262_144
"""Longest message sent: what Chromium, Firefox and aiortc all announce as `a=max-message-size`."""

MAX_QUEUED_BYTES: Final = 1 << 20
"""Data that waits on one channel. Lower: a burst of views after a pause in the link is lost. Higher: a peer
that stops reading costs more, and what it reads later is older."""

MAX_CHANNELS: Final = 8
"""Open data channels of a leg. Clients use one."""
OPENINGS_PER_S: Final = 0.2
OPENINGS_AT_ONCE: Final = 16
"""Channels that a leg may open, closed ones too. Lower: a client that opens another for each purpose is cut
off. Higher: a peer that opens and closes costs a turn of the engine each time, and its numbers are kept."""
MAX_LABEL_BYTES: Final = 256

MAX_CHUNKS_PER_S: Final = 2_000
"""Chunks read of one leg; they cost more than their datagrams, which hold up to 60. Lower: long messages
are slow. Higher: a peer that floods its data channel takes the loop from the others."""

MAX_MISORDERED: Final = 192
"""Chunks kept behind a gap: with all of them apart, a SACK still fits a packet. Each one beyond is dropped,
unless it closes the gap, and comes again."""
MAX_AHEAD: Final = 65_535
"""Chunks beyond what was received without a gap: further than a SACK can tell (RFC 9260 section 3.3.4)."""
MAX_UNFINISHED_CHUNKS: Final = 1_024
"""Chunks of messages that are not complete: the longest message in packets of 576 bytes, twice. Python's
overhead for each is what costs; aiortc counts their payload only and never refuses one."""
MIN_WINDOW_BYTES: Final = 65_536
"""Of the 1 MiB that aiortc announces. A message that leaves less is beyond every limit of ours."""

MAX_EXCEPTIONS: Final = 8
"""Exceptions in aiortc's reader before the association is given up: its state can't be trusted for ever."""

_DCEP_OPEN_BYTES: Final = 12
_HALF: Final = SCTP_TSN_MODULO // 2
"""Beyond this distance a number is an earlier one (RFC 9260 section 1.6)."""
_SETTING_UP: Final = (
    RTCSctpTransport.State.CLOSED,
    RTCSctpTransport.State.COOKIE_WAIT,
    RTCSctpTransport.State.COOKIE_ECHOED,
)


@dataclass(frozen=True, slots=True)
class ChannelOpened:
    """The peer opened a channel on a stream, or has acknowledged one of ours."""

    stream: int
    label: str


@dataclass(frozen=True, slots=True)
class ChannelClosed:
    """A channel is no more."""

    stream: int


@dataclass(frozen=True, slots=True)
class TextReceived:
    """A text within the size limit."""

    stream: int
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class MessageRefused:
    """A message that was dropped; `reason` as in `DataRefused`."""

    stream: int
    reason: str


@dataclass(frozen=True, slots=True)
class PacketRefused:
    """A packet, a chunk or a channel that broke a rule."""

    fault: SctpFault


@dataclass(frozen=True, slots=True)
class AssociationLost:
    """The peer aborted, or could not be reached, or was given up. All its channels are closed."""


SctpEvent = ChannelOpened | ChannelClosed | TextReceived | MessageRefused | PacketRefused | AssociationLost


class SendOutcome(enum.StrEnum):
    """What became of a message to send. A closed list for counters."""

    SENT = "sent"
    NOT_OPEN = "not_open"
    QUEUE_FULL = "queue_full"
    TOO_LONG = "too_long_to_send"
    NOT_UTF8 = "not_utf8_to_send"


class SctpTransport(RTCSctpTransport):
    """One association over one DTLS transport.

    Args:
        dtls: connected.
        message_bytes: longest text read.
        clock: monotonic now.
        emit: takes what happens, while it happens.
    """

    def __init__(
        self,
        dtls: DtlsTransport,
        message_bytes: int,
        clock: Callable[[], Instant],
        emit: Callable[[SctpEvent], None],
    ) -> None:
        super().__init__(dtls)
        self._dtls = dtls
        self._message_bytes = message_bytes
        self._clock = clock
        self._tell = emit
        self._chunks = TokenBucket(MAX_CHUNKS_PER_S, MAX_CHUNKS_PER_S)
        self._openings = TokenBucket(OPENINGS_PER_S, OPENINGS_AT_ONCE)
        self._exceptions = 0
        self._rto = RTO_INITIAL_S

    async def connect(self, remote_port: int) -> None:
        """Begin; the peer does too (RFC 8841 section 9.3)."""
        await self.start(RTCSctpCapabilities(maxMessageSize=SEND_MESSAGE_BYTES), remote_port)

    def open_channel(self, label: str) -> None:
        """Open a channel, ordered and reliable, as soon as there is an association (RFC 8832).

        `ChannelOpened` comes with the peer's acknowledgement, before which nothing can be sent.

        Args:
            label: ASCII; aiortc counts its characters.
        """
        RTCDataChannel(self, RTCDataChannelParameters(label=label))

    def send_text(self, stream: int, text: str) -> SendOutcome:
        """Queue a text on a channel."""
        channel = self._data_channels.get(stream)
        if channel is None or channel.readyState != "open":
            return SendOutcome.NOT_OPEN
        try:
            size = len(text.encode())
        except UnicodeEncodeError:  # half of a surrogate pair, as JSON can spell it
            return SendOutcome.NOT_UTF8
        if size > SEND_MESSAGE_BYTES:
            return SendOutcome.TOO_LONG
        if channel.bufferedAmount + size > MAX_QUEUED_BYTES:
            return SendOutcome.QUEUE_FULL
        channel.send(text)
        return SendOutcome.SENT

    def abort(self) -> None:
        """End the association, telling the peer; harmless when there is none."""
        if self._association_state is self.State.CLOSED:
            return
        abort = serialize_packet(
            self._local_port, self._remote_port or 0, self._remote_verification_tag, AbortChunk()
        )
        with contextlib.suppress(ConnectionError):  # then there is nobody to tell
            self._dtls.write(abort)
        self._set_state(self.State.CLOSED)

    # --- what aiortc calls: receiving ---------------------------------------------------------------------

    async def _handle_data(self, data: bytes) -> None:
        fault = fault_of(data, self._local_tsn)
        if fault is None and not self._chunks.take(self._clock(), chunk_count(data)):
            fault = SctpFault.CHUNK_RATE
        if fault is not None:
            self._tell(PacketRefused(fault))
            return
        try:
            await super()._handle_data(data)
        except ConnectionError:
            raise
        except Exception:  # noqa: BLE001  # the guard: whatever aiortc trips over must not end the leg's DTLS
            self._tell(PacketRefused(SctpFault.EXCEPTION))
            self._exceptions += 1
            if self._exceptions > MAX_EXCEPTIONS:
                self.abort()

    async def _receive_chunk(self, chunk: Chunk) -> None:
        state = self._association_state
        match chunk:
            case InitChunk() if self._inbound_streams or state not in _SETTING_UP:
                # aiortc takes every INIT for a new beginning and forgets what it received. Nobody restarts an
                # association within a DTLS connection: this one is late.
                return
            case DataChunk(tsn=tsn) | ForwardTsnChunk(cumulative_tsn=tsn):
                if state is self.State.COOKIE_WAIT or self._last_received_tsn is None:
                    return
                if MAX_AHEAD < (tsn - self._last_received_tsn) % SCTP_TSN_MODULO <= _HALF:
                    self._tell(PacketRefused(SctpFault.TOO_FAR_AHEAD))
                    return
            case _:
                pass
        await super()._receive_chunk(chunk)

    async def _receive_data_chunk(self, chunk: DataChunk) -> None:
        expected = None if self._last_received_tsn is None else tsn_plus_one(self._last_received_tsn)
        if len(self._sack_misordered) >= MAX_MISORDERED and chunk.tsn != expected:
            self._sack_needed = True
            return
        await super()._receive_data_chunk(chunk)
        unfinished = sum(len(stream.reassembly) for stream in self._inbound_streams.values())
        if unfinished > MAX_UNFINISHED_CHUNKS or self._advertised_rwnd < MIN_WINDOW_BYTES:
            self._tell(PacketRefused(SctpFault.TOO_MUCH_UNFINISHED))
            self.abort()

    async def _data_channel_receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        if pp_id == WEBRTC_DCEP:
            await self._receive_control(stream_id, data)
            return
        if stream_id not in self._data_channels:
            self._tell(PacketRefused(SctpFault.CHANNEL))
        elif pp_id == WEBRTC_STRING:
            self._receive_text(stream_id, data)
        elif pp_id == WEBRTC_STRING_EMPTY:
            self._tell(TextReceived(stream_id, ""))
        elif pp_id in {WEBRTC_BINARY, WEBRTC_BINARY_EMPTY}:
            self._tell(MessageRefused(stream_id, "binary"))

    def _receive_text(self, stream_id: int, data: bytes) -> None:
        if len(data) > self._message_bytes:
            self._tell(MessageRefused(stream_id, "too_long"))
            return
        try:
            text = data.decode()
        except UnicodeDecodeError:
            self._tell(MessageRefused(stream_id, "not_utf8"))
            return
        self._tell(TextReceived(stream_id, text))

    async def _receive_control(self, stream_id: int, data: bytes) -> None:
        """Take a message of the Data Channel Establishment Protocol (RFC 8832 section 5)."""
        known = stream_id in self._data_channels
        kind = data[0] if data else None
        if kind == DATA_CHANNEL_ACK and known:
            await self._receive_acknowledgement(stream_id, data)
        elif kind != DATA_CHANNEL_OPEN or known or not _is_good_open(data):
            self._tell(PacketRefused(SctpFault.CHANNEL))
        elif len(self._data_channels) >= MAX_CHANNELS or not self._openings.take(self._clock()):
            self._tell(PacketRefused(SctpFault.TOO_MANY_CHANNELS))
        else:
            await super()._data_channel_receive(stream_id, WEBRTC_DCEP, data)
            self._tell(ChannelOpened(stream_id, self._data_channels[stream_id].label))

    async def _receive_acknowledgement(self, stream_id: int, data: bytes) -> None:
        channel = self._data_channels[stream_id]
        was_connecting = channel.readyState == "connecting"
        await super()._data_channel_receive(stream_id, WEBRTC_DCEP, data)
        if was_connecting:
            self._tell(ChannelOpened(stream_id, channel.label))

    # --- what aiortc calls: state and timers --------------------------------------------------------------

    def _data_channel_closed(self, stream_id: int) -> None:
        if stream_id in self._data_channels:
            super()._data_channel_closed(stream_id)
            self._tell(ChannelClosed(stream_id))

    def _set_state(self, state: RTCSctpTransport.State) -> None:
        was = self._association_state
        super()._set_state(state)
        if state is self.State.ESTABLISHED and self._srtt is None:
            self._rto = RTO_INITIAL_S
        if state is self.State.CLOSED and was is not self.State.CLOSED:
            # aiortc would listen on, and open channels again for a peer that was given up.
            self._dtls._unregister_data_receiver(self)
            self._tell(AssociationLost())

    async def _send_chunk(self, chunk: Chunk) -> None:
        with contextlib.suppress(ConnectionError):  # aiortc sends from timers too: nobody would hear of it
            await super()._send_chunk(chunk)

    def _update_rto(self, R: float) -> None:  # noqa: N803  # aiortc's name, and the RFC's
        super()._update_rto(R)
        if self._srtt is not None and self._rttvar is not None:
            self._rto = max(RTO_MIN_S, min(self._srtt + 4 * self._rttvar, SCTP_RTO_MAX))

    def _t1_expired(self) -> None:
        self._back_off()
        if isinstance(self._t1_chunk, InitChunk):
            # aiortc gives up after 9. A client may add its channel by a later offer; ICE knows if it is gone.
            self._t1_failures = 0
        super()._t1_expired()

    def _t3_expired(self) -> None:
        self._back_off()
        super()._t3_expired()

    def _back_off(self) -> None:
        self._rto = max(self._rto, min(2 * self._rto, RTO_BACKED_OFF_MAX_S))


def _is_good_open(data: bytes) -> bool:
    """Whether aiortc can read a DATA_CHANNEL_OPEN (RFC 8832 section 5.1)."""
    if len(data) < _DCEP_OPEN_BYTES:
        return False
    label_bytes, protocol_bytes = int.from_bytes(data[8:10]), int.from_bytes(data[10:12])
    label_end = _DCEP_OPEN_BYTES + label_bytes
    if label_bytes > MAX_LABEL_BYTES or len(data) < label_end + protocol_bytes:
        return False
    try:
        data[_DCEP_OPEN_BYTES:label_end].decode()
        data[label_end : label_end + protocol_bytes].decode()
    except UnicodeDecodeError:
        return False
    return True
