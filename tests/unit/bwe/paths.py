"""A path as small as can be, to see where estimates go: flows, a queue, feedback, in steps of 1 ms."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sfu.bwe.estimate import WISH_DTYPE
from sfu.bwe.estimators import Estimators
from sfu.rows import FEEDBACK_DTYPE, LOST, TRANSPORT_DTYPE
from sfu.units import NS_PER_MS, NS_PER_S, Instant

START = Instant(1_000 * NS_PER_S)
STEP_NS = NS_PER_MS
TICK_STEPS = 50
PACKET_BYTES = 1_200
PEER_CLOCK_NS = 77 * NS_PER_S
"""How far the peers' clock is ahead of ours."""


@dataclass
class Queue:
    """A first-in-first-out queue that several flows may share, and what is lost behind it."""

    rate_bps: float
    limit_ms: float = 300.0
    delay_ms: float = 25.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    busy_until: float = 0.0

    def waits_ms(self, now: int) -> float:
        return max(0.0, self.busy_until - now) / NS_PER_MS

    def change(self, now: int, rate_bps: float) -> None:
        waiting = max(0.0, self.busy_until - now) * self.rate_bps
        self.rate_bps = rate_bps
        self.busy_until = now + waiting / rate_bps

    def carry(self, now: int, size_bytes: int) -> int | None:
        """When a packet arrives, if it does."""
        if self.waits_ms(now) > self.limit_ms:
            return None
        self.busy_until = max(self.busy_until, float(now)) + size_bytes * 8 * NS_PER_S / self.rate_bps
        if self.rng.random() < self.loss:
            return None
        return round(self.busy_until + (self.delay_ms + self.jitter_ms * self.rng.random()) * NS_PER_MS)


@dataclass
class Policer:
    """A token bucket: what exceeds it is lost, nothing waits."""

    rate_bps: float
    bucket_bytes: int = 15_000
    delay_ms: float = 25.0
    tokens: float = 15_000.0
    filled_at: int = START

    def waits_ms(self, now: int) -> float:
        """Nothing waits."""
        return 0.0 * now

    def change(self, now: int, rate_bps: float) -> None:
        self.carry(now, 0)
        self.rate_bps = rate_bps

    def carry(self, now: int, size_bytes: int) -> int | None:
        earned = (now - self.filled_at) * self.rate_bps / 8 / NS_PER_S
        self.tokens, self.filled_at = min(self.bucket_bytes, self.tokens + earned), now
        if self.tokens < size_bytes:
            return None
        self.tokens -= size_bytes
        return round(now + self.delay_ms * NS_PER_MS)


@dataclass
class Flow:
    """One subscriber: a source, the probes it was asked for, a receiver that reports each 50 ms."""

    number: int
    path: Queue | Policer
    most_bps: float = np.inf
    """What the source has to send; infinite: as much as the target."""
    withheld_bps: float | None = None
    """The next step up; None: as much again as the target."""
    begins_s: float = 0.0
    back_ms: float = 25.0
    source_bps: float = 0.0
    target_bps: float = 300_000.0
    credit: float = 0.0
    seq: int = 0
    bytes_sent: int = 0
    padding_bytes: int = 0
    clusters: list[list[float]] = field(default_factory=list)
    flying: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    told: int = 0
    sent: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    pending: list[tuple[int, int]] = field(default_factory=list)
    reported_at: int = START
    underway: list[tuple[int, list[tuple[int, ...]]]] = field(default_factory=list)
    arrived: list[tuple[int, int]] = field(default_factory=list)
    came: set[int] = field(default_factory=set)

    def step(self, now: int) -> None:
        if now < START + self.begins_s * NS_PER_S:
            return
        rate = min(self.target_bps, self.most_bps)
        self.credit = min(self.credit + rate / 8 / 1_000, 20_000.0)
        cluster = self.clusters[0] if self.clusters else None
        if cluster is not None:
            cluster[3] += cluster[1] / 8 / 1_000
            while cluster[3] >= 0 and cluster[2] > 0:
                cluster[3] -= PACKET_BYTES
                cluster[2] -= PACKET_BYTES
                if self.credit >= PACKET_BYTES:
                    self.credit -= PACKET_BYTES
                else:
                    self.padding_bytes += PACKET_BYTES
                self._send(now, int(cluster[0]))
            if cluster[2] <= 0:
                self.clusters.pop(0)
        else:
            while self.credit >= PACKET_BYTES:
                self.credit -= PACKET_BYTES
                self._send(now, 0)
        self._receive(now)

    def _send(self, now: int, cluster: int) -> None:
        at = self.path.carry(now, PACKET_BYTES)
        self.sent[self.seq] = (cluster, PACKET_BYTES, now)
        if at is not None:
            self.pending.append((at, self.seq))
        self.seq += 1
        self.bytes_sent += PACKET_BYTES

    def _receive(self, now: int) -> None:
        if now - self.reported_at < 50 * NS_PER_MS:
            return
        here = sorted(one for one in self.pending if one[0] <= now)
        if not here:
            return
        self.pending = [one for one in self.pending if one[0] > now]
        self.reported_at = now
        came = {seq: at for at, seq in here}
        self.came |= came.keys()
        self.arrived += [(at, self.sent[seq][1]) for at, seq in here]
        rows = []
        for seq in range(min(*came, self.told), max(max(came) + 1, self.told)):
            if seq in came:
                rows.append((seq, came[seq] + PEER_CLOCK_NS))
            elif seq >= self.told:
                rows.append((seq, LOST))
        self.told = max(self.told, max(came) + 1)
        at = round(now + self.back_ms * NS_PER_MS)
        self.underway.append((at, [(seq, when, *self.sent[seq]) for seq, when in rows]))

    def feedback(self, now: int) -> list[tuple[int, ...]]:
        rows: list[tuple[int, ...]] = []
        for at, report in self.underway:
            if at <= now:
                for seq, when, cluster, size, sent_at in report:
                    rows.append((self.number, seq, cluster, size, sent_at, when, at))
        self.underway = [one for one in self.underway if one[0] > now]
        return rows

    def wish(self) -> tuple[float, ...]:
        rate = min(self.target_bps, self.most_bps)
        more = rate if self.withheld_bps is None else self.withheld_bps
        return (self.number, rate, rate + more if self.withheld_bps is not None else 1e8, more)


@dataclass
class Trace:
    """What was seen each tick of one flow."""

    at_s: list[float] = field(default_factory=list)
    rows: list[Any] = field(default_factory=list)
    queue_ms: list[float] = field(default_factory=list)

    def over(self, column: str, begin_s: float, end_s: float) -> np.ndarray[Any, Any]:
        at = np.array(self.at_s)
        values = np.array([row[column] for row in self.rows], np.float64)
        return values[(at >= begin_s) & (at < end_s)]

    def queue(self, begin_s: float, end_s: float) -> np.ndarray[Any, Any]:
        at = np.array(self.at_s)
        return np.array(self.queue_ms)[(at >= begin_s) & (at < end_s)]


class Run:
    """Flows and one estimator for all of them."""

    def __init__(self, flows: list[Flow], estimators: Estimators | None = None) -> None:
        self.flows = flows
        self.estimators = estimators or Estimators()
        self.now = START
        self.traces = {flow.number: Trace() for flow in flows}
        self.steps = 0
        self.probes: list[tuple[float, Any]] = []

    def until(self, end_s: float) -> None:
        while self.now < START + end_s * NS_PER_S:
            for flow in self.flows:
                flow.step(self.now)
            if self.steps % TICK_STEPS == 0:
                self._tick()
            self.steps += 1
            self.now = Instant(self.now + STEP_NS)

    def _tick(self) -> None:
        feedback = [row for flow in self.flows for row in flow.feedback(self.now)]
        transports = np.zeros(len(self.flows), TRANSPORT_DTYPE)
        transports["transport"] = [flow.number for flow in self.flows]
        transports["bytes_sent"] = [flow.bytes_sent for flow in self.flows]
        transports["padding_bytes_sent"] = [flow.padding_bytes for flow in self.flows]
        transports["numbered_packets_sent"] = [flow.seq for flow in self.flows]
        transports["round_trip_time_ms"] = np.nan
        wishes = np.array([flow.wish() for flow in self.flows], WISH_DTYPE)
        update = self.estimators.update(self.now, np.array(feedback, FEEDBACK_DTYPE), transports, wishes)
        for probe in update.probes:
            self.probes.append(((self.now - START) / NS_PER_S, probe.copy()))
        for flow in self.flows:
            row = update.estimates[update.estimates["transport"] == flow.number][0]
            flow.target_bps = float(row["target_bps"])
            flow.clusters += [
                [int(probe["cluster"]), float(probe["rate_bps"]), float(probe["size_bytes"]), 0.0]
                for probe in update.probes
                if probe["transport"] == flow.number
            ]
            trace = self.traces[flow.number]
            trace.at_s.append((self.now - START) / NS_PER_S)
            trace.rows.append(row.copy())
            trace.queue_ms.append(flow.path.waits_ms(self.now))


def acked_bps(flow: Flow, begin_s: float, end_s: float) -> float:
    """What arrived at the flow's receiver, by its own count."""
    begin, end = START + begin_s * NS_PER_S, START + end_s * NS_PER_S
    return sum(size for at, size in flow.arrived if begin <= at < end) * 8 / (end_s - begin_s)
