"""Answering a subscriber's NACKs: over RTX, or by the same bytes again (packet rule 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from sfu.dataplane.wire import Transmit
from sfu.rtp.packet import RtpPacket
from sfu.streams.cache import PacketCache
from sfu.streams.resend import OSN_BYTES, ResendPolicy, encapsulate

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

    from sfu.dataplane.reception import Received
    from sfu.dataplane.translation import Translation
    from sfu.dataplane.transport import Transport
    from sfu.plane import DropReason
    from sfu.streams.cache import CacheBudget
    from sfu.streams.descriptor_rewriter import DescriptorRewriting
    from sfu.units import Instant, PayloadType, Ssrc

MAX_SENT: Final = 1_024
"""Packets whose making is remembered, of one route: a second at 9 Mbit/s. What they were made of is in the
publisher's cache."""

FIRST_SEQUENCE_NUMBERS: Final = 1 << 15
"""The first number is below: a packet lost at once is not taken for one of the turn before (rule 3)."""


class Again(Protocol):
    """A packet that is to be sent again; it may have to wait for its turn."""

    @property
    def size_bytes(self) -> int:
        """Of its payload at least."""
        ...

    def send(self, now: Instant, translation: Translation) -> Transmit | DropReason | None:
        """Send it; None where it can't be any more."""
        ...


class Resender(Protocol):
    """What one route can send again."""

    def sent(
        self,
        now: Instant,
        seq: int,
        packet: RtpPacket,
        received: Received,
        rewriting: DescriptorRewriting | None,
        transmit: Transmit,
    ) -> None:
        """A packet was sent under this number, made of what was received."""
        ...

    def answer(self, now: Instant, seqs: Sequence[int], translation: Translation) -> Iterator[Again]:
        """What is to be sent again of the packets asked for, in their order; each counts as sent."""
        ...

    def close(self) -> None:
        """The route is gone."""
        ...


class _Sent(NamedTuple):
    """How a packet was made."""

    seq: int
    cache: PacketCache[Received]
    source_seq: int
    payload_type: PayloadType
    timestamp: int
    head: bytes
    """What stood in place of the payload's descriptor."""
    rewriting: DescriptorRewriting | None
    """What was made of its dependency descriptor."""


def described(received: Received, rewriting: DescriptorRewriting | None) -> bytes:
    """The dependency descriptor to send of a packet; empty where it has none that can be read."""
    descriptor = received.facts.descriptor
    return b"" if rewriting is None or descriptor is None else rewriting.apply(descriptor)


class _RtxAgain(NamedTuple):
    """A packet that is made again."""

    resender: RtxResender
    sent: _Sent
    received: Received

    @property
    def size_bytes(self) -> int:
        """Of its payload."""
        descriptor_bytes = 0 if self.received.vp8 is None else self.received.vp8.size_bytes
        payload_bytes = len(self.sent.head) + len(self.received.packet.payload) - descriptor_bytes
        return OSN_BYTES + payload_bytes

    def send(self, now: Instant, translation: Translation) -> Transmit | DropReason | None:
        """Send it over RTX; None where the subscriber has none for its codec."""
        return self.resender.send(now, self.sent, self.received, translation)


class RtxResender:
    """Makes packets again from the publisher's cache, and sends them as another stream (RFC 4588)."""

    def __init__(self, ssrc: Ssrc, transport: Transport, rng: random.Random) -> None:
        self._ssrc = ssrc
        self._transport = transport
        self._policy = ResendPolicy()
        self._next_seq = rng.randrange(FIRST_SEQUENCE_NUMBERS)
        self._history: list[_Sent | None] = [None] * MAX_SENT
        self._newest: _Sent | None = None
        self._fill_seq = 0

    def sent(
        self,
        now: Instant,
        seq: int,
        packet: RtpPacket,
        received: Received,
        rewriting: DescriptorRewriting | None,
        transmit: Transmit,
    ) -> None:
        """Remember how it was made."""
        if self._newest is not None and seq <= self._newest.seq - MAX_SENT:
            return
        rest_bytes = 0 if received.vp8 is None else len(received.packet.payload) - received.vp8.size_bytes
        head = b"" if received.vp8 is None else packet.payload[: len(packet.payload) - rest_bytes]
        sent = _Sent(
            seq,
            received.reception.cache,
            received.facts.seq,
            received.packet.payload_type,
            packet.timestamp,
            head,
            rewriting,
        )
        self._history[seq % MAX_SENT] = sent
        if self._newest is None or seq > self._newest.seq:
            self._newest = sent
            self._fill_seq = seq

    def answer(self, now: Instant, seqs: Sequence[int], translation: Translation) -> Iterator[Again]:
        """What is in the cache still."""
        cached = {seq: found for seq in seqs if (found := self._cached(now, seq)) is not None}
        for seq in self._policy.answer(now, list(cached), self._transport.round_trip_ms):
            again = cached[seq]
            has_rtx = translation.rtx_payload_type(again.sent.payload_type) is not None
            if has_rtx and self._transport.resends.take(again.size_bytes):
                yield again

    def send(
        self, now: Instant, sent: _Sent, received: Received, translation: Translation
    ) -> Transmit | DropReason | None:
        """Make a packet again and send it; None where the subscriber has no RTX for its codec."""
        payload_type = translation.rtx_payload_type(sent.payload_type)
        if payload_type is None:
            return None
        payload = received.packet.payload
        if received.vp8 is not None:
            payload = sent.head + payload[received.vp8.size_bytes :]
        packet = RtpPacket(
            payload_type,
            self._next_seq & 0xFFFF,
            sent.timestamp,
            self._ssrc,
            encapsulate(sent.seq & 0xFFFF, payload),
            received.packet.marker,
            translation.elements(received.packet.extensions, described(received, sent.rewriting)),
        )
        return self._send(now, packet, translation)

    def fill(self, now: Instant, translation: Translation) -> Transmit | DropReason | None:
        """Send a packet again that nobody asked for: from the newest back, as far as the cache goes."""
        if self._newest is None:
            return None
        again = self._cached(now, self._fill_seq)
        if again is None:
            self._fill_seq = self._newest.seq
            again = self._cached(now, self._fill_seq)
        self._fill_seq -= 1
        return None if again is None else again.send(now, translation)

    def pad(
        self, now: Instant, translation: Translation, payload_type: PayloadType, padding_bytes: int
    ) -> Transmit | DropReason:
        """Send padding and nothing else."""
        packet = RtpPacket(
            payload_type,
            self._next_seq & 0xFFFF,
            0 if self._newest is None else self._newest.timestamp,
            self._ssrc,
            extensions=translation.elements(()),
            padding_bytes=padding_bytes,
        )
        return self._send(now, packet, translation)

    def close(self) -> None:
        """Nothing is kept here."""

    def _cached(self, now: Instant, seq: int) -> _RtxAgain | None:
        """What went out under a number, while it can be made again."""
        sent = self._history[seq % MAX_SENT]
        if sent is None or sent.seq != seq:
            return None
        cached = sent.cache.lookup(now, sent.source_seq)
        return None if cached is None else _RtxAgain(self, sent, cached.packet)

    def _send(self, now: Instant, packet: RtpPacket, translation: Translation) -> Transmit | DropReason:
        outcome = self._transport.send_rtp(now, packet, translation.stamping)
        self._next_seq += isinstance(outcome, Transmit)
        return outcome


class _Repeat(NamedTuple):
    """The bytes of a packet, encrypted."""

    transport: Transport
    data: bytes
    transport_seq: int | None
    """Its transport-wide number, unwrapped; None where it has none."""

    @property
    def size_bytes(self) -> int:
        """Of all of it."""
        return len(self.data)

    def send(self, now: Instant, translation: Translation) -> Transmit | DropReason:
        """Send the same bytes again."""
        return self.transport.repeat(now, self.data, self.transport_seq)


class RepeatResender:
    """Keeps what was sent, encrypted: another ciphertext under the same number would give the key away."""

    def __init__(self, transport: Transport, budget: CacheBudget) -> None:
        self._transport = transport
        self._policy = ResendPolicy()
        self._cache: PacketCache[_Repeat] = PacketCache(budget)

    def sent(
        self,
        now: Instant,
        seq: int,
        packet: RtpPacket,
        received: Received,
        rewriting: DescriptorRewriting | None,
        transmit: Transmit,
    ) -> None:
        """Keep it."""
        repeat = _Repeat(self._transport, transmit.data, self._transport.newest_seq)
        self._cache.store(now, seq, repeat, len(transmit.data))

    def answer(self, now: Instant, seqs: Sequence[int], translation: Translation) -> Iterator[Again]:
        """What is kept still."""
        kept = {seq: found.packet for seq in seqs if (found := self._cache.lookup(now, seq)) is not None}
        for seq in self._policy.answer(now, list(kept), self._transport.round_trip_ms):
            if self._transport.resends.take(kept[seq].size_bytes):
                yield kept[seq]

    def close(self) -> None:
        """Give the memory back."""
        self._cache.clear()


class NoResender:
    """Of sound: no section of ours has NACK for it, so what is kept would never be asked for."""

    def sent(
        self,
        now: Instant,
        seq: int,
        packet: RtpPacket,
        received: Received,
        rewriting: DescriptorRewriting | None,
        transmit: Transmit,
    ) -> None:
        """Keep nothing."""

    def answer(self, now: Instant, seqs: Sequence[int], translation: Translation) -> Iterator[Again]:
        """Nothing."""
        return iter(())

    def close(self) -> None:
        """There is nothing to give back."""
