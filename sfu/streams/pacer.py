"""When the packets to one peer leave, and in which order (packet rules 7 and 8)."""

from __future__ import annotations

import enum
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from sfu.streams.debt import Debt
from sfu.streams.probing import LATE_NS, MAX_PROBE_BPS, Probes
from sfu.units import NS_PER_MS, Instant, after_ms, earliest

if TYPE_CHECKING:
    from collections.abc import Callable

AHEAD_NS: Final = 4 * NS_PER_MS
BEHIND_NS: Final = 1 * NS_PER_MS
"""Together what leaves at once: 5 ms of the rate, or one packet. Lower: more and smaller batches, so more CPU
for a packet. Higher: short queues on the way overflow. The second part is what a late timer makes up for."""

DEFAULT_QUEUE_LIMIT_MS: Final = 250.0
"""How long video waits at most. Lower: a key frame on a narrow link is thrown away while it is being sent.
Higher: who falls behind sees the call later than the others do before anything is done about it."""

MAX_QUEUE_LIMIT_MS: Final = 10_000.0
"""The longest limit that is believed."""

MAX_QUEUED: Final = 1_024
"""Packets that wait in one queue: 250 ms at 36 Mbit/s. Lower: a fast link drops what it could carry. Higher:
more memory for who is slow."""

ItemT = TypeVar("ItemT")
ResendT = TypeVar("ResendT")


class Turn(enum.Enum):
    """What may leave next."""

    RESEND = enum.auto()
    MEDIA = enum.auto()
    FILLER = enum.auto()
    """Something for its size alone: part of a probe, or padding."""


@dataclass(frozen=True, slots=True)
class Queued(Generic[ItemT]):
    """Something that waits. Without a size it only keeps its place, and nothing is to be sent."""

    flow: int
    """What it is part of: the order within a flow matters."""
    item: ItemT
    size_bytes: int
    queued_at: Instant


class Pacer(Generic[ItemT, ResendT]):
    """The queues of one peer, and what is owed for what has left. Sound is only charged: it does not wait."""

    def __init__(self) -> None:
        self.is_off = True
        """Nobody has asked for anything but that all leaves at once: nothing waits, and nothing is owed."""
        self._debt = Debt(AHEAD_NS, BEHIND_NS)
        self._padding = Debt(0, LATE_NS)
        self._pads = False
        self._probes = Probes()
        self._limit_ms = DEFAULT_QUEUE_LIMIT_MS
        self._resends: deque[Queued[ResendT]] = deque()
        self._media: deque[Queued[ItemT]] = deque()
        self._held: Counter[int] = Counter()
        """Media that waits, by flow."""

    @property
    def cluster(self) -> int:
        """What leaves now is part of this probe; 0 for none."""
        return self._probes.cluster

    @property
    def wants_fillers(self) -> bool:
        """Fillers are to be sent, now or later."""
        return self._pads or self._probes.next_timeout() is not None

    @property
    def is_full(self) -> bool:
        """No more media can wait."""
        return len(self._media) >= MAX_QUEUED

    @property
    def waiting_packets(self) -> int:
        """Packets that wait."""
        return len(self._resends) + sum(queued.size_bytes > 0 for queued in self._media)

    @property
    def oldest(self) -> Queued[ItemT] | None:
        """The media that waits longest."""
        return self._media[0] if self._media else None

    def first_flow(self) -> int:
        """The flow of the media that waits longest; only while some does."""
        return self._media[0].flow

    def set_pacing(self, now: Instant, rate_bps: float, padding_bps: float, queue_limit_ms: float) -> None:
        """Send at other rates from now on (`sfu.rows.PACING_DTYPE`)."""
        self.is_off = False
        self._debt.set_rate(now, rate_bps)
        self._pads = padding_bps > 0
        if self._pads:
            self._padding.set_rate(now, min(padding_bps, MAX_PROBE_BPS))
        self._limit_ms = min(queue_limit_ms, MAX_QUEUE_LIMIT_MS) if queue_limit_ms > 0 else 0.0

    def probe(self, now: Instant, cluster: int, rate_bps: float, size_bytes: int) -> None:
        """Send so much at this rate, when the probes before have ended."""
        self.is_off = False
        self._probes.ask(now, cluster, rate_bps, size_bytes)

    def admits(self, now: Instant, size_bytes: int) -> bool:
        """Whether media may leave at once, before it has waited."""
        return not self._media and not self._resends and self._debt.admits(now, size_bytes)

    def admits_resend(self, now: Instant, size_bytes: int) -> bool:
        """Whether a resend may leave at once, before it has waited."""
        return not self._resends and self._debt.admits(now, size_bytes)

    def wait(self, now: Instant, flow: int, size_bytes: int, item: ItemT) -> None:
        """Queue media; not while `is_full`."""
        self._media.append(Queued(flow, item, size_bytes, now))
        self._held[flow] += 1

    def wait_resend(self, now: Instant, flow: int, size_bytes: int, item: ResendT) -> bool:
        """Queue a resend; False where too many wait."""
        if len(self._resends) >= MAX_QUEUED:
            return False
        self._resends.append(Queued(flow, item, size_bytes, now))
        return True

    def turn(self, now: Instant, *, can_fill: bool) -> Turn | None:
        """What leaves next, if something may now; None: not before `next_timeout`.

        Args:
            now: time.
            can_fill: there is something to make fillers of, and something that carries them.
        """
        if self._media and not self._media[0].size_bytes:
            return Turn.MEDIA
        probes = can_fill and self._probes.poll(now)
        if self._resends:
            may_leave = probes or self._debt.admits(now, self._resends[0].size_bytes)
            return Turn.RESEND if may_leave else None
        if self._media:
            may_leave = probes or self._debt.admits(now, self._media[0].size_bytes)
            return Turn.MEDIA if may_leave else None
        return Turn.FILLER if probes or (can_fill and self._pads and now >= self._pads_at()) else None

    def take(self) -> Queued[ItemT]:
        """The media whose turn it is, to be sent now."""
        queued = self._media.popleft()
        self._held[queued.flow] -= 1
        return queued

    def take_resend(self) -> Queued[ResendT]:
        """The resend whose turn it is, to be sent now."""
        return self._resends.popleft()

    def sent(self, now: Instant, size_bytes: int) -> None:
        """A packet has left, of any kind."""
        self._debt.charge(now, size_bytes)
        if self._pads:
            self._padding.charge(now, size_bytes)
        self._probes.sent(now, size_bytes)

    def overdue(self, now: Instant) -> int | None:
        """The flow whose media has waited for too long, if one has."""
        oldest = self.oldest
        return oldest.flow if oldest is not None and now >= self._overdue_at(oldest) else None

    def holds(self, flow: int) -> bool:
        """Whether media of a flow waits."""
        return self._held[flow] > 0

    def of(self, flow: int) -> list[Queued[ItemT]]:
        """The media of a flow that waits, in order."""
        return [queued for queued in self._media if queued.flow == flow] if self.holds(flow) else []

    def sift(self, flow: int, judge: Callable[[Queued[ItemT]], Queued[ItemT] | None]) -> None:
        """Replace what waits of a flow, one by one and in order; None takes it away."""
        judged = (judge(queued) if queued.flow == flow else queued for queued in self._media)
        self._media = deque(queued for queued in judged if queued is not None)
        self._held = Counter(queued.flow for queued in self._media)

    def forget(self, flow: int) -> None:
        """Nothing of a flow is sent any more."""
        if self.holds(flow):
            self.sift(flow, lambda _: None)
        self._resends = deque(queued for queued in self._resends if queued.flow != flow)

    def next_timeout(self, *, can_fill: bool) -> Instant | None:
        """When `turn` or `overdue` next has something to say."""
        probes_at = self._probes.next_timeout() if can_fill else None
        first_at = None
        if self._resends:
            first_at = self._debt.admits_at(self._resends[0].size_bytes)
        elif self._media:
            first_at = self._debt.admits_at(self._media[0].size_bytes)
        elif can_fill and self._pads:
            first_at = self._pads_at()
        overdue_at = self._overdue_at(self._media[0]) if self._media else None
        return earliest(first_at, probes_at, overdue_at)

    def _pads_at(self) -> Instant:
        """When padding may leave: it never owes more than media would."""
        return max(self._padding.paid_at, self._debt.paid_at)

    def _overdue_at(self, queued: Queued[ItemT]) -> Instant:
        return after_ms(queued.queued_at, self._limit_ms)
