"""One track on its way to one subscriber: decides, rewrites and sends each packet, and remembers it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from sfu.dataplane.resending import FIRST_SEQUENCE_NUMBERS, RepeatResender, RtxResender, described
from sfu.dataplane.translation import Translation
from sfu.dataplane.wire import Transmit
from sfu.plane import ALL_TEMPORAL, PAUSED, DropReason
from sfu.rtp.ntp import compact_to_ns, middle_bits
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import Sdes, SenderReport
from sfu.streams.descriptor_rewriter import DescriptorRewriter
from sfu.streams.rewriter import SequenceRewriter, TimestampMapper, Vp8Rewriter
from sfu.streams.selector import EncodingSelector, Switching
from sfu.units import NS_PER_MS, Kind

if TYPE_CHECKING:
    import random
    from collections import Counter
    from collections.abc import Mapping, Sequence

    from sfu.dataplane.reception import Received
    from sfu.dataplane.resending import Resender
    from sfu.dataplane.track import Track
    from sfu.dataplane.transport import Transport
    from sfu.plane import SetRoute
    from sfu.rtp.rtcp import ReportBlock, RtcpPacket
    from sfu.streams.cache import CacheBudget
    from sfu.streams.clock import StreamClock
    from sfu.units import Instant, Ssrc

MAX_REPORTS: Final = 4
"""Sender reports that a receiver report may answer."""

_TIMESTAMPS: Final = 1 << 32


class Route:
    """One subscriber's view of a track: one RTP stream, whatever it is made of.

    Args:
        spec: what the subscriber's SDP says of it.
        track: where it comes from.
        transport: where it goes to.
        budget: of all packets kept.
        drops: where they are counted.
        rng: for first numbers.
    """

    def __init__(
        self,
        spec: SetRoute,
        track: Track,
        transport: Transport,
        budget: CacheBudget,
        drops: Counter[DropReason],
        rng: random.Random,
    ) -> None:
        self.spec = spec
        self.track: Final = track
        self.transport: Final = transport
        self.source: Ssrc | None = None
        """The publisher's SSRC that was forwarded last."""
        self.packets_sent = 0
        """First sendings; RTX and repetitions are in `retransmitted_packets_sent`."""
        self.bytes_sent = 0
        self.retransmitted_packets_sent = 0
        self.nack_count = 0
        self.pli_count = 0
        self.last_sent_at: Instant | None = None
        self.reported: ReportBlock | None = None
        """The subscriber's last word on it."""
        self._drops = drops
        self._wanted = (PAUSED, ALL_TEMPORAL)
        self._selector = EncodingSelector(track.kind)
        self._sequence = SequenceRewriter(rng.randrange(FIRST_SEQUENCE_NUMBERS))
        self._timestamps = TimestampMapper(rng.randrange(_TIMESTAMPS))
        self._vp8 = Vp8Rewriter()
        self._descriptors = DescriptorRewriter()
        self._translation = Translation(track.spec, spec)
        self._clock: StreamClock | None = None
        self._payload_bytes_sent = 0
        self._packets_reported = 0
        self._reports: deque[tuple[int, Instant]] = deque(maxlen=MAX_REPORTS)
        self._repeating = RepeatResender(transport, budget)
        self._over_rtx = None if spec.rtx_ssrc is None else RtxResender(spec.rtx_ssrc, transport, rng)
        self._resender = self._chosen_resender()

    @property
    def current(self) -> int:
        """The encoding that flows, or `PAUSED`."""
        current = self._selector.current
        return PAUSED if current is None else current

    @property
    def target(self) -> int:
        """The encoding that is wanted, or `PAUSED`."""
        return self._selector.target

    @property
    def temporal(self) -> int:
        """The highest temporal layer that flows."""
        return self._selector.temporal

    @property
    def switches(self) -> int:
        """How often one encoding followed another."""
        return self._selector.switches

    @property
    def jitter_ms(self) -> float:
        """Interarrival jitter as the subscriber reports it."""
        if self.reported is None or self._clock is None:
            return 0.0
        return self.reported.jitter * 1_000 / self._clock.clock_rate

    def waits_for(self, encoding: int) -> bool:
        """An encoding is wanted, and does not flow before its next key frame."""
        state = self._selector.state
        return isinstance(state, Switching) and state.target == encoding

    def update(self, spec: SetRoute) -> None:
        """Take up what the subscriber's SDP says now: numbers may be others, the stream goes on."""
        self.spec = spec
        self._resender = self._chosen_resender()
        self.retranslate()

    def retranslate(self) -> None:
        """The publisher's SDP is another."""
        self._translation = Translation(self.track.spec, self.spec)

    def renumber(self, numbers: Mapping[int, int]) -> None:
        """The track's encodings stand under other numbers now; those not among them are gone."""
        encoding, temporal = self._wanted
        self._wanted = (numbers.get(encoding, PAUSED), temporal)
        self._selector.renumber(numbers)

    def source_changed(self, encoding: int) -> None:
        """An encoding comes from another SSRC."""
        self._selector.source_changed(encoding)

    def set_target(self, now: Instant, encoding: int, temporal: int) -> None:
        """Want an encoding (or `PAUSED`), up to a temporal layer."""
        self._wanted = (encoding, temporal)
        self._aim(now, encoding, temporal)

    def fall_back(self, now: Instant) -> None:
        """Nobody chooses any more: the lowest encoding that flows will do, until `recover`."""
        wanted, _ = self._wanted
        lowest = self.track.lowest_flowing(now)
        if self.track.kind is Kind.VIDEO and lowest is not None and lowest < wanted:
            self._aim(now, lowest, ALL_TEMPORAL)

    def recover(self, now: Instant) -> None:
        """Somebody chooses again: what was wanted last holds."""
        self._aim(now, *self._wanted)

    def forward(self, now: Instant, received: Received) -> Transmit | None:
        """Send a packet of the track on, if it is one of those that flow."""
        outcome = self._forward(now, received)
        if isinstance(outcome, Transmit):
            return outcome
        self._drops[outcome] += 1
        return None

    def leave_out(self, received: Received) -> None:
        """A packet is for nobody, and no loss."""
        self._sequence.drop(received.reception.ssrc, received.facts.seq)

    def nack(self, now: Instant, sequence_numbers: Sequence[int]) -> list[Transmit]:
        """The subscriber asks for packets again."""
        self.nack_count += len(sequence_numbers)
        newest = self._sequence.next_seq - 1
        seqs = [newest - ((newest - number) & 0xFFFF) for number in sequence_numbers]
        transmits = []
        for outcome in self._resender.resend(now, seqs, self._translation):
            if isinstance(outcome, Transmit):
                transmits.append(outcome)
            else:
                self._drops[outcome] += 1
        self.retransmitted_packets_sent += len(transmits)
        return transmits

    def picture_lost(self, now: Instant) -> None:
        """The subscriber can't go on without a key frame."""
        self.pli_count += 1
        flowing = self.current
        self.track.request_keyframe(now, self.target if flowing == PAUSED else flowing)

    def receiver_report(self, now: Instant, block: ReportBlock) -> None:
        """The subscriber reports on it."""
        self.reported = block
        for compact, sent_at in self._reports:
            if compact == block.last_sender_report:
                round_trip_ns = now - sent_at - compact_to_ns(block.delay_since_last_sender_report)
                self.transport.round_trip_ms = max(0, round_trip_ns) / NS_PER_MS

    def sender_report(self, now: Instant) -> tuple[RtcpPacket, ...]:
        """What to tell the subscriber of the stream's clock; nothing where nothing new was sent.

        The clock told is the publisher's: sound and picture of one publisher share it (packet rule 6).
        """
        if self._clock is None or self.packets_sent == self._packets_reported:
            return ()
        ntp = self._clock.ntp_at(now)
        ts = None if ntp is None else self._timestamps.sender_report_timestamp(ntp)
        if ntp is None or ts is None:
            return ()
        self._packets_reported = self.packets_sent
        self._reports.append((middle_bits(ntp), now))
        ssrc = self.spec.ssrc
        report = SenderReport(ssrc, ntp, ts % _TIMESTAMPS, self.packets_sent, self._payload_bytes_sent)
        return (report, Sdes(((ssrc, self.spec.cname),)))

    def close(self) -> None:
        """The route is gone."""
        self._repeating.close()

    def _chosen_resender(self) -> Resender:
        """Over RTX while a format has it. What was sent before a change can't be sent again after it."""
        has_rtx = any(form.rtx_payload_type is not None for form in self.spec.formats)
        if self._over_rtx is None or not has_rtx:
            return self._repeating
        self._repeating.close()
        return self._over_rtx

    def _aim(self, now: Instant, encoding: int, temporal: int) -> None:
        if encoding == PAUSED:
            self._sequence.pause()
            self._vp8.pause()
            self._descriptors.pause()
        self._selector.set_target(encoding, temporal)
        if self.waits_for(encoding):
            self.track.request_keyframe(now, encoding)

    def _forward(self, now: Instant, received: Received) -> Transmit | DropReason:
        reception, facts = received.reception, received.facts
        source, clock = reception.ssrc, reception.clock
        form = self._translation.format_of(received.packet.payload_type)
        if form is None:
            self.leave_out(received)
            return DropReason.CODEC_NOT_NEGOTIATED
        if not self.transport.can_send:
            return DropReason.NO_SELECTED_PAIR
        # Where nothing flows, a picture now is worth more than one that is exactly in time.
        is_ready = self._selector.current is None or self._timestamps.ready(now, clock)
        drop = self._selector.decide(facts, ready=is_ready)
        if drop is not None:
            self._leave_out_for(drop, now, received)
            return drop
        descriptor = facts.descriptor
        active = None if descriptor is None else self._selector.active_targets(descriptor)
        payload: bytes | None = received.packet.payload
        if received.vp8 is not None:
            payload = self._vp8.rewrite(source, facts.seq, received.packet.payload, received.vp8)
        if payload is None:
            self.leave_out(received)
            return DropReason.TOO_OLD
        seq = self._sequence.forward(source, facts.seq)
        if seq is None:
            return DropReason.TOO_OLD
        self.source, self._clock = source, clock
        rewriting = None if descriptor is None else self._descriptors.forward(source, descriptor, active)
        packet = RtpPacket(
            form.payload_type,
            seq & 0xFFFF,
            self._timestamps.map(now, clock, facts.ts) % _TIMESTAMPS,
            self.spec.ssrc,
            payload,
            received.packet.marker,
            self._translation.elements(received.packet.extensions, described(received, rewriting)),
        )
        outcome = self.transport.send_rtp(now, packet, self._translation.stamping)
        if isinstance(outcome, Transmit):
            self._count(now, outcome, len(payload))
            self._resender.sent(now, seq, packet, received, rewriting, outcome)
        return outcome

    def _leave_out_for(self, drop: DropReason, now: Instant, received: Received) -> None:
        facts = received.facts
        if drop is DropReason.TEMPORAL_LAYER:
            self.leave_out(received)
            if received.vp8 is not None:
                self._vp8.drop(received.reception.ssrc, facts.seq, received.vp8)
        elif drop is DropReason.WAITING_FOR_KEYFRAME and self.waits_for(facts.encoding):
            self.track.request_keyframe(now, facts.encoding)

    def _count(self, now: Instant, transmit: Transmit, payload_bytes: int) -> None:
        self.packets_sent += 1
        self.bytes_sent += len(transmit.data)
        self._payload_bytes_sent += payload_bytes
        self.last_sent_at = now
        self.transport.resends.sent(len(transmit.data))
