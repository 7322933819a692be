"""Answering a subscriber's NACKs: over RTX, or by the same bytes again (packet rule 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from sfu.dataplane.wire import Transmit
from sfu.rtp.packet import RtpPacket
from sfu.streams.cache import PacketCache
from sfu.streams.resend import ResendPolicy, encapsulate

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

    def resend(
        self, now: Instant, seqs: Sequence[int], translation: Translation
    ) -> list[Transmit | DropReason]:
        """Send again what can be of the packets asked for, in their order."""
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


class RtxResender:
    """Makes packets again from the publisher's cache, and sends them as another stream (RFC 4588)."""

    def __init__(self, ssrc: Ssrc, transport: Transport, rng: random.Random) -> None:
        self._ssrc = ssrc
        self._transport = transport
        self._policy = ResendPolicy()
        self._next_seq = rng.randrange(FIRST_SEQUENCE_NUMBERS)
        self._history: list[_Sent | None] = [None] * MAX_SENT

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
        rest_bytes = 0 if received.vp8 is None else len(received.packet.payload) - received.vp8.size_bytes
        head = b"" if received.vp8 is None else packet.payload[: len(packet.payload) - rest_bytes]
        self._history[seq % MAX_SENT] = _Sent(
            seq,
            received.reception.cache,
            received.facts.seq,
            received.packet.payload_type,
            packet.timestamp,
            head,
            rewriting,
        )

    def resend(
        self, now: Instant, seqs: Sequence[int], translation: Translation
    ) -> list[Transmit | DropReason]:
        """Send what is in the cache still."""
        cached = {sent.seq: (sent, received) for sent, received in self._cached(now, seqs)}
        outcomes = []
        for seq in self._policy.answer(now, list(cached), self._transport.round_trip_ms):
            packet = self._packet(*cached[seq], translation)
            if packet is not None and self._transport.resends.take(len(packet.payload)):
                outcome = self._transport.send_rtp(now, packet, translation.stamping)
                self._next_seq += isinstance(outcome, Transmit)
                outcomes.append(outcome)
        return outcomes

    def close(self) -> None:
        """Nothing is kept here."""

    def _cached(self, now: Instant, seqs: Sequence[int]) -> Iterator[tuple[_Sent, Received]]:
        for seq in seqs:
            sent = self._history[seq % MAX_SENT]
            if sent is not None and sent.seq == seq:
                cached = sent.cache.lookup(now, sent.source_seq)
                if cached is not None:
                    yield sent, cached.packet

    def _packet(self, sent: _Sent, received: Received, translation: Translation) -> RtpPacket | None:
        """It, made again; None where the subscriber has no RTX for its codec."""
        form = translation.format_of(sent.payload_type)
        if form is None or form.rtx_payload_type is None:
            return None
        payload = received.packet.payload
        if received.vp8 is not None:
            payload = sent.head + payload[received.vp8.size_bytes :]
        return RtpPacket(
            form.rtx_payload_type,
            self._next_seq & 0xFFFF,
            sent.timestamp,
            self._ssrc,
            encapsulate(sent.seq & 0xFFFF, payload),
            received.packet.marker,
            translation.elements(received.packet.extensions, described(received, sent.rewriting)),
        )


class RepeatResender:
    """Keeps what was sent, encrypted: another ciphertext under the same number would give the key away."""

    def __init__(self, transport: Transport, budget: CacheBudget) -> None:
        self._transport = transport
        self._policy = ResendPolicy()
        self._cache: PacketCache[bytes] = PacketCache(budget)

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
        self._cache.store(now, seq, transmit.data, len(transmit.data))

    def resend(
        self, now: Instant, seqs: Sequence[int], translation: Translation
    ) -> list[Transmit | DropReason]:
        """Send what is kept still."""
        kept = {seq: found.packet for seq in seqs if (found := self._cache.lookup(now, seq)) is not None}
        return [
            self._transport.send_datagram(kept[seq])
            for seq in self._policy.answer(now, list(kept), self._transport.round_trip_ms)
            if self._transport.resends.take(len(kept[seq]))
        ]

    def close(self) -> None:
        """Give the memory back."""
        self._cache.clear()
