"""One track on its way to one subscriber: decides, rewrites and sends each packet, and remembers it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from sfu.dataplane.departures import Waiting
from sfu.dataplane.resending import (
    FIRST_SEQUENCE_NUMBERS,
    NoResender,
    RepeatResender,
    RtxResender,
    described,
)
from sfu.dataplane.translation import Translation
from sfu.dataplane.wire import Transmit
from sfu.plane import DropReason
from sfu.rows import ALL_TEMPORAL, PAUSED
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

    from sfu.dataplane.departures import Departures
    from sfu.dataplane.reception import Received
    from sfu.dataplane.resending import Again, Resender
    from sfu.dataplane.track import Track
    from sfu.dataplane.translation import Stamping
    from sfu.plane import PayloadFormat, SetRoute
    from sfu.rtp.rtcp import ReportBlock, RtcpPacket
    from sfu.streams.cache import CacheBudget
    from sfu.streams.clock import StreamClock
    from sfu.streams.slow_receiver import Cut
    from sfu.units import Instant, PayloadType

MAX_REPORTS: Final = 4
"""Sender reports that a receiver report may answer."""

OVERHEAD_BYTES: Final = 64
"""What a packet is taken to have beside its payload, before it is made."""

_TIMESTAMPS: Final = 1 << 32


class Route:
    """One subscriber's view of a track: one RTP stream, whatever it is made of.

    Args:
        spec: what the subscriber's SDP says of it.
        track: where it comes from.
        departures: of the transport that it goes to.
        budget: of all packets kept.
        drops: where they are counted.
        rng: for first numbers.
    """

    def __init__(
        self,
        spec: SetRoute,
        track: Track,
        departures: Departures,
        budget: CacheBudget,
        drops: Counter[DropReason],
        rng: random.Random,
    ) -> None:
        self.spec = spec
        self.track: Final = track
        self.transport: Final = departures.transport
        self.packets_sent = 0
        """First sendings; RTX and repetitions are in `retransmitted_packets_sent`."""
        self.bytes_sent = 0
        self.retransmitted_packets_sent = 0
        self.nack_count = 0
        self.pli_count = 0
        self.last_sent_at: Instant | None = None
        self.reported: ReportBlock | None = None
        """The subscriber's last word on it."""
        self._departures = departures
        self._pacer = departures.transport.pacer
        self._drops = drops
        self._waits = track.kind is Kind.VIDEO
        self._is_cut = False
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
        self._repeating: Resender = (
            RepeatResender(self.transport, budget) if track.kind is Kind.VIDEO else NoResender()
        )
        self._over_rtx = None if spec.rtx_ssrc is None else RtxResender(spec.rtx_ssrc, self.transport, rng)
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

    @property
    def stamping(self) -> Stamping:
        """What its packets carry that is known only when they are sent."""
        return self._translation.stamping

    def waits_for(self, encoding: int) -> bool:
        """An encoding is wanted, and does not flow before its next key frame."""
        state = self._selector.state
        if self._is_cut and self._selector.current == encoding:
            return True
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
        if encoding == PAUSED:
            self._departures.forget(self, DropReason.OTHER_LAYER)
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

    def forward(self, now: Instant, arrived_at: Instant, received: Received) -> Transmit | None:
        """Send a packet of the track on, if it is one of those that flow; it may have to wait."""
        pacer = self._pacer
        if not pacer.is_off and pacer.is_full:
            self._departures.make_room(arrived_at)
        form = self._decide(arrived_at, received)
        if isinstance(form, DropReason):
            self._drops[form] += 1
            return None
        descriptor = received.facts.descriptor
        active = None if descriptor is None else self._selector.active_targets(descriptor)
        if self._waits and not pacer.is_off:
            size_bytes = len(received.packet.payload) + OVERHEAD_BYTES
            if not pacer.admits(now, size_bytes):
                self._departures.wait(arrived_at, Waiting(self, received, active), size_bytes)
                return None
        outcome = self._send(now, arrived_at, received, form, active)
        if isinstance(outcome, Transmit):
            return outcome
        self._drops[outcome] += 1
        return None

    def leave_out(self, now: Instant, received: Received) -> None:
        """A packet is for nobody, and no loss."""
        if self._pacer.is_full:
            self._departures.make_room(now)
        if self._pacer.holds(self.spec.route):
            self._departures.wait(now, Waiting(self, received, is_left_out=True), 0)
        else:
            self._close_up(received)

    def depart(self, now: Instant, arrived_at: Instant, waiting: Waiting) -> Transmit | DropReason | None:
        """The turn of something that waited has come; None where nothing was to be sent."""
        if waiting.is_left_out:
            self._close_up(waiting.received)
            return None
        form = self._translation.format_of(waiting.received.packet.payload_type)
        if form is None:
            self._close_up(waiting.received)
            return DropReason.CODEC_NOT_NEGOTIATED
        if not self.transport.can_send:
            return DropReason.NO_SELECTED_PAIR
        return self._send(now, arrived_at, waiting.received, form, waiting.active)

    def was_cut(self, now: Instant, cut: Cut) -> None:
        """Some of what waited has been dropped."""
        if cut.limit is not None:
            self._selector.lower(cut.limit)
            return
        self._begin_anew()
        self._is_cut = cut.needs_key_frame
        if self._is_cut:
            self.track.request_keyframe(now, self.current)

    def nack(self, now: Instant, sequence_numbers: Sequence[int]) -> list[Transmit]:
        """The subscriber asks for packets again."""
        self.nack_count += len(sequence_numbers)
        newest = self._sequence.next_seq - 1
        seqs = [newest - ((newest - number) & 0xFFFF) for number in sequence_numbers]
        return self._departures.resend(now, self, self._resender.answer(now, seqs, self._translation))

    def send_again(self, now: Instant, again: Again) -> Transmit | DropReason | None:
        """The turn of a packet has come that the subscriber asked for."""
        outcome = again.send(now, self._translation)
        self.retransmitted_packets_sent += isinstance(outcome, Transmit)
        return outcome

    def fill(self, now: Instant) -> Transmit | DropReason | None:
        """Send something once more over RTX, for its size; None where there is nothing."""
        return None if self._over_rtx is None else self._over_rtx.fill(now, self._translation)

    def pad(self, now: Instant, padding_bytes: int) -> Transmit | DropReason | None:
        """Send padding over RTX; None where there is no RTX."""
        payload_type = self._rtx_payload_type()
        if self._over_rtx is None or payload_type is None:
            return None
        return self._over_rtx.pad(now, self._translation, payload_type, padding_bytes)

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
        if self._over_rtx is None or self._rtx_payload_type() is None:
            return self._repeating
        self._repeating.close()
        return self._over_rtx

    def _rtx_payload_type(self) -> PayloadType | None:
        """Of the first format that has RTX."""
        types = (form.rtx_payload_type for form in self.spec.formats)
        return next((one for one in types if one is not None), None)

    def _aim(self, now: Instant, encoding: int, temporal: int) -> None:
        if encoding == PAUSED:
            self._begin_anew()
            self._is_cut = False
        self._selector.set_target(encoding, temporal)
        if self.waits_for(encoding):
            self.track.request_keyframe(now, encoding)

    def _begin_anew(self) -> None:
        """What is sent next is joined like another source."""
        self._sequence.pause()
        self._vp8.pause()
        self._descriptors.pause()

    def _decide(self, now: Instant, received: Received) -> PayloadFormat | DropReason:
        """The format in which a packet that has come is for the subscriber, or why it is not."""
        facts = received.facts
        form = self._translation.format_of(received.packet.payload_type)
        if form is None:
            self.leave_out(now, received)
            return DropReason.CODEC_NOT_NEGOTIATED
        if not self.transport.can_send:
            return DropReason.NO_SELECTED_PAIR
        # Where nothing flows, a picture now is worth more than one that is exactly in time.
        is_ready = self._selector.current is None or self._timestamps.ready(now, received.reception.clock)
        drop = self._selector.decide(facts, ready=is_ready)
        if drop is DropReason.TEMPORAL_LAYER:
            self.leave_out(now, received)
        elif drop is DropReason.WAITING_FOR_KEYFRAME and self.waits_for(facts.encoding):
            self.track.request_keyframe(now, facts.encoding)
        elif drop is None and self._is_cut:
            if not facts.starts_key_frame:
                self.track.request_keyframe(now, facts.encoding)
                return DropReason.SLOW_RECEIVER
            self._is_cut = False
        return form if drop is None else drop

    def _send(
        self,
        now: Instant,
        arrived_at: Instant,
        received: Received,
        form: PayloadFormat,
        active: int | None,
    ) -> Transmit | DropReason:
        """Make a packet that leaves now. Before this it has no number, and could be dropped without a gap."""
        reception, facts = received.reception, received.facts
        source, clock = reception.ssrc, reception.clock
        payload: bytes | None = received.packet.payload
        if received.vp8 is not None:
            payload = self._vp8.rewrite(source, facts.seq, received.packet.payload, received.vp8)
        if payload is None:
            self._close_up(received)
            return DropReason.TOO_OLD
        seq = self._sequence.forward(source, facts.seq)
        if seq is None:
            return DropReason.TOO_OLD
        self._clock = clock
        descriptor = facts.descriptor
        rewriting = None if descriptor is None else self._descriptors.forward(source, descriptor, active)
        packet = RtpPacket(
            form.payload_type,
            seq & 0xFFFF,
            self._timestamps.map(arrived_at, clock, facts.ts) % _TIMESTAMPS,
            self.spec.ssrc,
            payload,
            received.packet.marker,
            self._translation.elements(received.packet.extensions, described(received, rewriting)),
        )
        outcome = self.transport.send_rtp(now, packet, self._translation.stamping)
        if isinstance(outcome, Transmit):
            self._count(now, outcome, len(payload))
            if self.packets_sent == 1:
                # Another focus behind this one needs the clock before it can switch to what flows here.
                self.transport.reports.hurry(now)
            self._resender.sent(now, seq, packet, received, rewriting, outcome)
        return outcome

    def _close_up(self, received: Received) -> None:
        """A packet is not sent, on purpose: those around it stand side by side."""
        source, seq = received.reception.ssrc, received.facts.seq
        self._sequence.drop(source, seq)
        if received.vp8 is not None:
            self._vp8.drop(source, seq, received.vp8)

    def _count(self, now: Instant, transmit: Transmit, payload_bytes: int) -> None:
        self.packets_sent += 1
        self.bytes_sent += len(transmit.data)
        self._payload_bytes_sent += payload_bytes
        self.last_sent_at = now
        self.transport.resends.sent(len(transmit.data))
