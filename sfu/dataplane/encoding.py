"""One simulcast encoding of a track, over all the SSRCs that it comes from in its time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sfu.dataplane.reception import Reception, RepairReception
from sfu.errors import ParseError
from sfu.plane import DropReason
from sfu.rows import MAX_TEMPORAL
from sfu.streams.audio_level import AudioLevelMeter
from sfu.streams.resend import decapsulate
from sfu.units import Kind, after_ms, after_s

if TYPE_CHECKING:
    from sfu.dataplane.keyframes import KeyframeRequests
    from sfu.dataplane.reception import Arrival, Received
    from sfu.streams.cache import CacheBudget
    from sfu.units import Instant, Rid, Ssrc

RETURN_AFTER_S: Final = 1.0
"""An SSRC that another has replaced comes back when that one has been silent for this long. Lower: two
senders on one section replace each other all the time. Higher: one that does go back is dark for longer."""

RESUME_AFTER_MS: Final = 100.0
"""From a BYE on, packets of its SSRC mean after this long that the stream goes on. Lower: packets that the
BYE overtook look like a new start. Higher: a start that follows at once is told late."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Counters of an encoding's streams, those of RTX apart. They only grow (packets lost may go back)."""

    packets_received: int = 0
    bytes_received: int = 0
    packets_lost: int = 0
    nack_count: int = 0


class Encoding:
    """What comes of one encoding, and what came of it so far.

    Args:
        index: its number in targets and statistics; a new SDP may change it.
        rid: its name.
        kind: of its track.
        keyframes: its publisher's.
        budget: of all packets kept.
    """

    def __init__(
        self, index: int, rid: Rid, kind: Kind, keyframes: KeyframeRequests, budget: CacheBudget
    ) -> None:
        self.index = index
        self.rid: Final = rid
        self.reception: Reception | None = None
        """The stream that it comes in; None before the first."""
        self.repair: RepairReception | None = None
        self.level: Final = AudioLevelMeter()
        self.pli_count = 0
        self.frames_received = 0
        self.key_frames_received = 0
        self.temporal_bytes_received: Final = [0] * MAX_TEMPORAL
        self.temporal_frames_received: Final = [0] * MAX_TEMPORAL
        self._kind = kind
        self._keyframes = keyframes
        self._budget = budget
        self._replaced: set[Ssrc] = set()
        self._ended_at: Instant | None = None
        self._key_frame_ts: int | None = None
        self._earlier = Totals()

    @property
    def totals(self) -> Totals:
        """Counters over all its streams."""
        reception, earlier = self.reception, self._earlier
        if reception is None:
            return earlier
        statistics = reception.statistics
        return Totals(
            earlier.packets_received + statistics.packets_received,
            earlier.bytes_received + statistics.bytes_received,
            earlier.packets_lost + statistics.packets_lost,
            earlier.nack_count + reception.nacks.nack_count,
        )

    @property
    def is_ended(self) -> bool:
        """Its publisher said BYE, and nothing has come since."""
        return self._ended_at is not None

    def flows(self, now: Instant, within_s: float) -> bool:
        """A packet came lately, and no BYE."""
        if self.reception is None or self.is_ended:
            return False
        last_received_at = self.reception.statistics.last_received_at
        return last_received_at is not None and now <= after_s(last_received_at, within_s)

    def admits(self, now: Instant, ssrc: Ssrc) -> bool:
        """Whether the encoding may come from this SSRC from now on, or its repairs."""
        return ssrc not in self._replaced or not self.flows(now, RETURN_AFTER_S)

    def bind(self, now: Instant, ssrc: Ssrc, first: Arrival) -> None:
        """The encoding comes from this SSRC from now on; `first` is to be received yet."""
        self._replaced.discard(ssrc)
        if self.reception is not None:
            self._earlier = self.totals
            self._replaced.add(self.reception.ssrc)
            self.reception.close()
        self._ended_at = self._key_frame_ts = None
        self.reception = Reception(ssrc, self._kind, self._keyframes, self._budget, now, first)

    def bind_repair(self, ssrc: Ssrc, clock_rate: int) -> None:
        """The encoding's packets are repaired by this SSRC from now on."""
        self._replaced.discard(ssrc)
        if self.repair is not None:
            self._replaced.add(self.repair.ssrc)
        self.repair = RepairReception(ssrc, clock_rate)

    def receive(self, now: Instant, arrival: Arrival) -> Received | DropReason:
        """Take a packet of the encoding's stream."""
        if self.reception is None:
            return DropReason.UNKNOWN_SSRC
        return self._count(self.reception.receive(now, arrival), arrival.size_bytes)

    def receive_repair(self, now: Instant, arrival: Arrival) -> Received | DropReason:
        """Take a packet of the stream that repairs it."""
        if self.repair is None:
            return DropReason.UNKNOWN_SSRC
        drop = self.repair.receive(now, arrival.packet, arrival.size_bytes)
        if drop is not None:
            return drop
        if not arrival.packet.payload:
            return DropReason.PADDING_ONLY
        if self.reception is None:
            return DropReason.TOO_OLD
        try:
            number, payload = decapsulate(arrival.packet.payload)
        except ParseError:
            return DropReason.RTX_MALFORMED
        packet = replace(
            arrival.packet,
            payload_type=arrival.form.payload_type,
            sequence_number=number,
            ssrc=self.reception.ssrc,
            payload=payload,
            padding_bytes=0,
        )
        return self._count(self.reception.repaired(now, replace(arrival, packet=packet)), arrival.size_bytes)

    def end(self, now: Instant) -> bool:
        """Its publisher says BYE. False: it did already, and nothing came since."""
        if self.reception is None or self.is_ended:
            return False
        self._ended_at = now
        self._keyframes.forget(self.reception.ssrc)
        self.reception.nacks.clear()
        return True

    def resumes(self, now: Instant) -> bool:
        """A packet has come: whether that makes an encoding that had ended flow again."""
        if self._ended_at is None or now < after_ms(self._ended_at, RESUME_AFTER_MS):
            return False
        self._ended_at = None
        return True

    def close(self) -> None:
        """The track is gone."""
        if self.reception is not None:
            self.reception.close()

    def _count(self, outcome: Received | DropReason, size_bytes: int) -> Received | DropReason:
        if not isinstance(outcome, DropReason):
            facts = outcome.facts
            if not outcome.is_padding:
                layer = min(facts.layer, MAX_TEMPORAL - 1)
                self.frames_received += outcome.packet.marker
                if self._kind is Kind.VIDEO:
                    self.temporal_bytes_received[layer] += size_bytes
                    self.temporal_frames_received[layer] += outcome.packet.marker
            if facts.starts_key_frame and facts.ts != self._key_frame_ts:
                self._key_frame_ts = facts.ts
                self.key_frames_received += 1
        return outcome
