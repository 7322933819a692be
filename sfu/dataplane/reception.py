"""Receiving one RTP stream, and the stream that repairs it (RFC 3550, RFC 4588)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sfu.dataplane.payload import PayloadFacts, inspect
from sfu.errors import ParseError
from sfu.plane import DropReason
from sfu.rtp.unwrap import Unwrapper
from sfu.streams.cache import PacketCache
from sfu.streams.clock import StreamClock
from sfu.streams.descriptor_reader import DescriptorReader
from sfu.streams.nack import NackGenerator
from sfu.streams.selector import PacketFacts
from sfu.streams.statistics import ReceiveStatistics
from sfu.units import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sfu.dataplane.keyframes import KeyframeRequests
    from sfu.plane import PayloadFormat
    from sfu.rtp.packet import RtpPacket
    from sfu.rtp.vp8 import Vp8Descriptor
    from sfu.streams.cache import CacheBudget
    from sfu.units import Instant, Ssrc

SEQUENCE_BITS: Final = 16
TIMESTAMP_BITS: Final = 32

_NO_FACTS: Final = PayloadFacts()


@dataclass(frozen=True, slots=True)
class Received:
    """A packet of a publisher, read once for all its routes."""

    packet: RtpPacket
    reception: Reception
    facts: PacketFacts
    vp8: Vp8Descriptor | None
    is_descriptor_unread: bool = False
    """A dependency descriptor came with it that nobody can make sense of."""

    @property
    def is_padding(self) -> bool:
        """It fills the line, and carries nothing."""
        return not self.packet.payload


@dataclass(frozen=True, slots=True)
class Arrival:
    """A packet of a stream on its way in, with what its section says of it."""

    packet: RtpPacket
    size_bytes: int
    """As it came, encrypted."""
    form: PayloadFormat
    encoding: int
    dependency_descriptor: bytes | None = None


class Reception:
    """One RTP stream, from its first packet on.

    Lost packets of video are asked for again, and packets are kept for its subscribers' own requests. Audio
    is neither repaired nor kept: a packet of 20 ms is too late by then.

    Args:
        ssrc: its SSRC.
        kind: of its track.
        keyframes: its publisher's.
        budget: of all packets kept.
        now: arrival of the first packet.
        first: that packet.
    """

    def __init__(
        self,
        ssrc: Ssrc,
        kind: Kind,
        keyframes: KeyframeRequests,
        budget: CacheBudget,
        now: Instant,
        first: Arrival,
    ) -> None:
        self.ssrc: Final = ssrc
        self.statistics: Final = ReceiveStatistics(first.form.clock_rate)
        self.nacks: Final = NackGenerator()
        self.cache: Final[PacketCache[Received]] = PacketCache(budget)
        self._is_video = kind is Kind.VIDEO
        self._keyframes = keyframes
        self._seqs = Unwrapper(SEQUENCE_BITS)
        self._timestamps = Unwrapper(TIMESTAMP_BITS)
        self._descriptors = DescriptorReader()
        first_ts = self._timestamps.unwrap(first.packet.timestamp)
        self.clock: Final = StreamClock(first.form.clock_rate, now, first_ts)

    def receive(self, now: Instant, arrival: Arrival) -> Received | DropReason:
        """Take a packet that came in the stream itself."""
        seq = self._seqs.unwrap(arrival.packet.sequence_number)
        ts = self._timestamps.unwrap(arrival.packet.timestamp)
        drop = self.statistics.received(now, seq, ts, arrival.size_bytes)
        return self._accept(now, seq, ts, arrival) if drop is None else drop

    def repaired(self, now: Instant, arrival: Arrival) -> Received | DropReason:
        """Take a packet that came by RTX, restored as it was."""
        # Numbers that a repair makes up must not turn the stream's own numbers over.
        seq = self._seqs.nearest(arrival.packet.sequence_number)
        ts = self._timestamps.nearest(arrival.packet.timestamp)
        drop = self.statistics.repaired(seq)
        return self._accept(now, seq, ts, arrival) if drop is None else drop

    def after(self, now: Instant, seq: int) -> Iterator[Received]:
        """The packets behind this number that have come already, in order, and read anew.

        With the packet of this number, the structure may have come that their descriptors mean.
        """
        for number in range(seq + 1, (self.statistics.highest_seq or 0) + 1):
            cached = self.cache.lookup(now, number)
            if cached is not None:
                yield self._read_again(cached.packet)

    def close(self) -> None:
        """The stream is gone."""
        self.cache.clear()
        self._keyframes.forget(self.ssrc)

    def _accept(self, now: Instant, seq: int, ts: int, arrival: Arrival) -> Received | DropReason:
        if self._is_video and self.nacks.received(now, seq):
            self._keyframes.request(now, self.ssrc)
        packet, value = arrival.packet, arrival.dependency_descriptor
        read, descriptor = _NO_FACTS, None
        if packet.payload:
            if self._is_video and value is not None:
                descriptor = self._descriptors.read(seq, value)
            try:
                read = inspect(arrival.form.codec, packet.payload, descriptor)
            except ParseError:
                return DropReason.RTP_MALFORMED
        self.clock.received(ts)
        facts = PacketFacts(
            arrival.encoding, seq, ts, read.starts_key_frame, read.temporal, read.layer_sync, descriptor
        )
        is_unread = self._is_video and value is not None and descriptor is None and bool(packet.payload)
        received = Received(packet, self, facts, read.vp8, is_unread)
        if self._is_video and packet.payload:
            self.cache.store(now, seq, received, len(packet.payload))
            if read.starts_key_frame:
                self._keyframes.started(self.ssrc)
        return received

    def _read_again(self, received: Received) -> Received:
        before = received.facts.descriptor
        if before is None:
            return received
        descriptor = self._descriptors.read(received.facts.seq, before.value)
        return replace(received, facts=replace(received.facts, descriptor=descriptor))


class RepairReception:
    """The RTX stream of an encoding: reported on like any other, its packets are those of another."""

    def __init__(self, ssrc: Ssrc, clock_rate: int) -> None:
        self.ssrc: Final = ssrc
        self.statistics: Final = ReceiveStatistics(clock_rate)
        self._seqs = Unwrapper(SEQUENCE_BITS)
        self._timestamps = Unwrapper(TIMESTAMP_BITS)

    def receive(self, now: Instant, packet: RtpPacket, size_bytes: int) -> DropReason | None:
        """Count a packet; a reason where it came before, or too late."""
        seq = self._seqs.unwrap(packet.sequence_number)
        ts = self._timestamps.unwrap(packet.timestamp)
        return self.statistics.received(now, seq, ts, size_bytes)
