"""One direction of a line: a queue that drains at a rate, loss, then propagation with jitter."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from sfu.errors import LocalError
from sfu.netem.loss import NO_LOSS, Loss, LossProcess
from sfu.netem.policer import Policer, TokenBucket
from sfu.units import NS_PER_MS, NS_PER_S, Instant, after_ms, earliest

if TYPE_CHECKING:
    import random

MAX_QUEUE_BYTES: Final = 16 << 20
"""A queue that was given no limit has this one, so that a simulated outage can't fill the memory."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class RateStep:
    """From `at` on the line carries this much; 0 is an outage, None no limit."""

    at: Instant
    rate_bps: int | None


@dataclass(frozen=True, slots=True)
class LinkProfile:
    """What a line is like; by default perfect, as the control row of a scenario needs it."""

    rate_bps: int | None = None
    """None: no limit, and thus no queue."""
    delay_ms: float = 0.0
    """Propagation, one way."""
    jitter_ms: float = 0.0
    """Extra propagation, uniform from 0 to this. It never puts datagrams out of order: those that come closer
    together than this travel in bunches."""
    queue_ms: float | None = None
    """What would wait longer than this at the present rate (in an outage: the one before) is dropped."""
    queue_bytes: int | None = None
    """The same in bytes; where both are given, the smaller holds."""
    loss: Loss = NO_LOSS
    """Behind the queue: what is lost has used its share of the rate."""
    reorder: float = 0.0
    """Probability that a datagram is held up, so that those behind it overtake."""
    reorder_ms: float = 20.0
    """For how long it is held up."""
    rate_steps: tuple[RateStep, ...] = ()
    """Changes of the rate, by time."""
    policer: Policer | None = None
    """In front of the queue."""

    def __post_init__(self) -> None:
        for rate in (self.rate_bps, *(step.rate_bps for step in self.rate_steps)):
            if rate is not None and rate < 0:
                raise ValueError(f"a rate of {rate} bit/s")
        limits = (self.queue_ms or 0, self.queue_bytes or 0)
        if min(self.delay_ms, self.jitter_ms, self.reorder_ms, *limits) < 0:
            raise ValueError("a delay or a queue below zero")
        if not 0 <= self.reorder <= 1:
            raise ValueError(f"{self.reorder} is no probability")
        if sorted(self.rate_steps, key=lambda step: step.at) != list(self.rate_steps):
            raise ValueError("rate steps that go back in time")


PERFECT: Final = LinkProfile()


@dataclass(frozen=True, slots=True)
class LinkStats:
    """Datagrams, but for the last."""

    sent: int
    delivered: int
    lost: int
    """On the line (`LinkProfile.loss`)."""
    queue_drops: int
    """At the tail of the full queue."""
    policed: int
    """Thrown away by the policer."""
    bytes_delivered: int


class Link(Generic[_T]):
    """Carries datagrams of any type one way.

    A datagram goes into the queue, leaves it when all bits before it and its own are through, is lost or
    not, and arrives after the delay. The instants given to a link must not go back.
    """

    def __init__(self, profile: LinkProfile, rng: random.Random) -> None:
        self._rng = rng
        self._now = Instant(0)
        self._waiting: deque[tuple[_T, int]] = deque()
        self._waiting_bytes = 0
        self._head_since = Instant(0)
        self._head_work = 0
        """What is left of the first in the queue, since `_head_since`, in bits times ns per second."""
        self._head_done_at: Instant | None = None
        self._flying: list[tuple[Instant, int, _T, int]] = []
        self._flown = 0
        self._last_arrival = Instant(0)
        self._sent = self._delivered = self._lost = self._queue_drops = self._policed = 0
        self._bytes_delivered = 0
        self._adopt(profile)

    def send(self, now: Instant, datagram: _T, size_bytes: int) -> None:
        """Hand a datagram to the line.

        Args:
            now: not before any earlier instant.
            datagram: handed out by `poll` as it is.
            size_bytes: on the wire, headers included.
        """
        self._advance(now)
        self._sent += 1
        if self._bucket is not None and not self._bucket.admits(now, size_bytes):
            self._policed += 1
            return
        if self._rate_bps is None:
            self._fly(now, datagram, size_bytes)
            return
        if self._waiting and self._waiting_bytes + size_bytes > self._queue_limit_bytes():
            self._queue_drops += 1
            return
        self._waiting.append((datagram, size_bytes))
        self._waiting_bytes += size_bytes
        if len(self._waiting) == 1:
            self._serve_head(now)

    def poll(self, now: Instant) -> list[_T]:
        """What has arrived, in order of arrival."""
        self._advance(now)
        arrived = []
        while self._flying and self._flying[0][0] <= now:
            _, _, datagram, size_bytes = heappop(self._flying)
            self._delivered += 1
            self._bytes_delivered += size_bytes
            arrived.append(datagram)
        return arrived

    def next_timeout(self) -> Instant | None:
        """When to poll next; None while nothing is under way. `poll` may have nothing to say then."""
        arrival = max(self._flying[0][0], self._now) if self._flying else None
        if not self._waiting:
            return arrival
        return earliest(arrival, self._head_done_at, self._steps[0].at if self._steps else None)

    def change(self, now: Instant, profile: LinkProfile) -> None:
        """Become another line; what waits and what flies stays. Steps of the profile before `now` count."""
        self._advance(now)
        self._work_off(now)
        self._adopt(profile)
        self._advance(now)
        self._plan_head()

    def waiting_ms(self, now: Instant) -> float:
        """How long a datagram would wait that is sent now, at the present rate; infinite in an outage."""
        self._advance(now)
        if not self._waiting or self._rate_bps is None:
            return 0.0
        if not self._rate_bps:
            return math.inf
        self._work_off(now)
        behind = 8 * NS_PER_S * (self._waiting_bytes - self._waiting[0][1])
        return (self._head_work + behind) / self._rate_bps / NS_PER_MS

    def stats(self) -> LinkStats:
        """Counters since the beginning."""
        return LinkStats(
            self._sent,
            self._delivered,
            self._lost,
            self._queue_drops,
            self._policed,
            self._bytes_delivered,
        )

    def _adopt(self, profile: LinkProfile) -> None:
        self._profile = profile
        self._loss = LossProcess(profile.loss, self._rng)
        self._bucket = None if profile.policer is None else TokenBucket(profile.policer)
        self._steps = deque(profile.rate_steps)
        self._rate_bps = profile.rate_bps
        self._queue_rate_bps = profile.rate_bps or 0

    def _advance(self, now: Instant) -> None:
        """Let pass what happens up to `now`: departures and rate steps, by time."""
        if now < self._now:
            raise LocalError(f"link at {now} after {self._now}")
        self._now = now
        while True:
            step_at = self._steps[0].at if self._steps else None
            next_at = earliest(step_at, self._head_done_at)
            if next_at is None or next_at > now:
                return
            if next_at == self._head_done_at:
                self._depart(next_at)
            else:
                self._step(next_at)

    def _step(self, at: Instant) -> None:
        self._work_off(at)
        self._rate_bps = self._steps.popleft().rate_bps
        self._queue_rate_bps = self._rate_bps or self._queue_rate_bps
        self._plan_head()

    def _depart(self, at: Instant) -> None:
        datagram, size_bytes = self._waiting.popleft()
        self._waiting_bytes -= size_bytes
        self._head_done_at = None
        self._fly(at, datagram, size_bytes)
        if self._waiting:
            self._serve_head(at)

    def _serve_head(self, at: Instant) -> None:
        self._head_since = at
        self._head_work = 8 * self._waiting[0][1] * NS_PER_S
        self._plan_head()

    def _work_off(self, at: Instant) -> None:
        """Take from the head's work what the present rate has done by `at`."""
        if self._waiting:
            self._head_work -= (self._rate_bps or 0) * max(0, at - self._head_since)
            self._head_since = max(at, self._head_since)

    def _plan_head(self) -> None:
        """Say when the head is through if the present rate stays."""
        if not self._waiting or self._rate_bps == 0:
            self._head_done_at = None
        elif self._rate_bps is None:
            self._head_done_at = self._head_since
        else:
            self._head_done_at = Instant(self._head_since - -self._head_work // self._rate_bps)

    def _queue_limit_bytes(self) -> int:
        limit = MAX_QUEUE_BYTES if self._profile.queue_bytes is None else self._profile.queue_bytes
        if self._profile.queue_ms is not None and self._queue_rate_bps:
            limit = min(limit, int(self._profile.queue_ms * self._queue_rate_bps) // 8_000)
        return limit

    def _fly(self, departure: Instant, datagram: _T, size_bytes: int) -> None:
        if self._loss.loses_next():
            self._lost += 1
            return
        profile = self._profile
        jitter_ms = self._rng.random() * profile.jitter_ms if profile.jitter_ms else 0.0
        arrival = max(after_ms(departure, profile.delay_ms + jitter_ms), self._last_arrival)
        if profile.reorder and self._rng.random() < profile.reorder:
            arrival = Instant(arrival + round(profile.reorder_ms * NS_PER_MS))
        else:
            self._last_arrival = arrival
        self._flown += 1
        heappush(self._flying, (arrival, self._flown, datagram, size_bytes))
