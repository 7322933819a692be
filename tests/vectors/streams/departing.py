"""What leaves, when it leaves, and what the peer says of it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from sfu.rows import LOST
from sfu.rtp.twcc import DELTA_NS, TransportFeedback
from sfu.streams.debt import Debt
from sfu.streams.pacer import Pacer, Queued, Turn
from sfu.streams.probing import Probes
from sfu.streams.selector import PacketFacts
from sfu.streams.slow_receiver import cut
from sfu.streams.twcc_sender import TwccSender
from sfu.units import NS_PER_MS, NS_PER_S, Instant, Ssrc
from tests.vectors.streams.calls import bits, call

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from sfu.streams.descriptor_reader import PacketDescriptor

DESCRIBED = cast("PacketDescriptor", object())
"""That there is a descriptor is all that a verdict asks."""


def rate_of(rng: Random) -> float:
    """Usual and unusual rates."""
    usual = rng.uniform(20_000, 5_000_000)
    return (
        usual if rng.random() < 0.8 else rng.choice((math.inf, math.nan, 0.0, -1.0, 1e11, 99_999_999_999.5))
    )


def twcc_sender(rng: Random) -> Iterator[str]:
    """Numbers over several turns, feedback that repeats itself, comes late, or is of packets never sent."""
    for spread in (40, 40, 4_200):
        sender = TwccSender()
        yield call("new")
        now = Instant(10**12)
        for _ in range(60 if spread == 40 else 12):
            step_ns, size_bytes, cluster = (
                rng.randrange(6 * NS_PER_MS),
                rng.randint(30, 1_400),
                rng.randrange(3),
            )
            at = [now + step * step_ns for step in range(rng.randint(1, spread // 4))]
            seqs = [sender.stamp(Instant(each), size_bytes, cluster) for each in at]
            yield call("stamp", now, step_ns, len(at), size_bytes, cluster, answer=seqs[-1])
            now = Instant(at[-1])
            if rng.random() < 0.2:
                forgotten = sender.next_number - rng.randint(0, 9)
                sender.forget(forgotten)
                yield call("forget", forgotten)
            if rng.random() < 0.03:
                now = Instant(now + 10 * NS_PER_S)
            first = sender.next_number - rng.randint(1, spread)
            arrivals = tuple(
                (number % 2**16, None if rng.random() < 0.2 else rng.randrange(2**32) * DELTA_NS)
                for number in range(first, first + rng.randint(1, 12))
            )
            reported = sender.report(now, TransportFeedback(Ssrc(1), Ssrc(2), 0, arrivals))
            told = [LOST if arrival is None else arrival for _, arrival in arrivals]
            news = [int(figure) for one in reported for figure in one]
            yield call("report", now, [number for number, _ in arrivals], told, answer=news)


def debt(rng: Random) -> Iterator[str]:
    """Rates that change while something is owed."""
    for _ in range(6):
        ahead_ns, behind_ns = rng.choice((0, 4 * NS_PER_MS)), rng.randrange(5 * NS_PER_MS)
        owed = Debt(ahead_ns, behind_ns)
        yield call("new", ahead_ns, behind_ns)
        now = Instant(10**12)
        for _ in range(60):
            now = Instant(now + rng.randint(-1, 12) * NS_PER_MS + rng.randrange(NS_PER_MS))
            size_bytes = rng.randint(0, 1_400)
            if rng.random() < 0.2:
                rate_bps = rate_of(rng)
                owed.set_rate(now, rate_bps)
                yield call("set_rate", now, bits(rate_bps))
            if rng.random() < 0.02:
                owed.begin(now)
                yield call("begin", now)
            admits, at = owed.admits(now, size_bytes), owed.admits_at(size_bytes)
            owed.charge(now, size_bytes)
            yield call("charge", now, size_bytes, answer=(admits, at, owed.paid_at))


def probing(rng: Random) -> Iterator[str]:
    """Clusters asked for faster than they end, too late, or for nothing."""
    probes = Probes()
    yield call("new")
    now = Instant(10**12)
    for number in range(300):
        now = Instant(now + rng.randrange(20 * NS_PER_MS) + 2 * NS_PER_S * (rng.random() < 0.01))
        if rng.random() < 0.1:
            rate_bps, size_bytes = rate_of(rng), rng.choice((0, 1_000, 20_000))
            probes.ask(now, number, rate_bps, size_bytes)
            yield call("ask", now, number, bits(rate_bps), size_bytes)
        timeout, due = probes.next_timeout(), probes.poll(now)
        yield call("poll", now, answer=(timeout, due, probes.cluster))
        if due or rng.random() < 0.1:
            size_bytes = rng.randint(30, 1_400)
            probes.sent(now, size_bytes)
            yield call("sent", now, size_bytes)


def judged(queued: Queued[int]) -> Queued[int] | None:
    """A third stays, a third keeps its place, a third goes."""
    match queued.item % 3:
        case 0:
            return queued
        case 1:
            return replace(queued, size_bytes=0)
        case _:
            return None


def pacer(rng: Random) -> Iterator[str]:
    """Media of three flows and resends, at rates that are too low for them, with probes and padding."""
    for _ in range(3):
        paced = Pacer[int, int]()
        yield call("new")
        now = Instant(10**12)
        for item in range(150):
            now = Instant(now + rng.randrange(8 * NS_PER_MS))
            flow, size_bytes = rng.randrange(3), rng.choice((0, 200, 1_100))
            chance = rng.random()
            if chance < 0.04:
                rate_bps, padding_bps = rate_of(rng), rng.choice((0.0, 0.0, 300_000.0, 1e12))
                limit_ms = rng.choice((250.0, 33.3333, 0.0, -1.0, 1e9, math.nan))
                paced.set_pacing(now, rate_bps, padding_bps, limit_ms)
                yield call("set_pacing", now, bits(rate_bps), bits(padding_bps), bits(limit_ms))
            elif chance < 0.07:
                paced.probe(now, item, 2_000_000.0, 3_000)
                yield call("probe", now, item, bits(2_000_000.0), 3_000)
            elif chance < 0.25:
                admits = paced.admits_resend(now, size_bytes)
                waits = paced.wait_resend(now, flow, size_bytes, item)
                yield call("wait_resend", now, flow, size_bytes, item, answer=(admits, waits))
            elif chance < 0.75:
                admits = paced.admits(now, size_bytes)
                paced.wait(now, flow, size_bytes, item)
                yield call("wait", now, flow, size_bytes, item, answer=(admits, paced.is_full))
            elif chance < 0.77:
                paced.forget(flow)
                yield call("forget", flow)
            overdue = paced.overdue(now)
            yield call("overdue", now, answer=overdue)
            if overdue is not None:
                before = [queued.item for queued in paced.of(overdue)]
                paced.sift(overdue, judged)
                after = [queued.item for queued in paced.of(overdue)]
                yield call("sift", overdue, answer=(before, after, paced.holds(overdue)))
            yield from leaving(rng, paced, now)


def leaving(rng: Random, paced: Pacer[int, int], now: Instant) -> Iterator[str]:
    """What leaves at one instant, a few at most."""
    can_fill = rng.random() < 0.7
    timeout = paced.next_timeout(can_fill=can_fill)
    yield call("next_timeout", can_fill, answer=(timeout, paced.wants_fillers, paced.waiting_packets))
    for _ in range(4):
        turn = paced.turn(now, can_fill=can_fill)
        if turn is None:
            yield call("turn", now, can_fill, answer=None)
            return
        left, size_bytes = -1, 255
        if turn is Turn.RESEND:
            resend = paced.take_resend()
            left, size_bytes = resend.item, resend.size_bytes
        elif turn is Turn.MEDIA:
            media = paced.take()
            left, size_bytes = media.item, media.size_bytes
        cluster = paced.cluster
        if size_bytes:
            paced.sent(now, size_bytes)
        yield call("turn", now, can_fill, answer=(turn.name.lower(), left, size_bytes, cluster))


def slow_receiver(rng: Random) -> Iterator[str]:
    """Verdicts on queues of all kinds: those of temporal layers, with key frames, with what was left out."""
    yield call("new")
    for _ in range(300):
        layers, has_descriptor = rng.randint(1, 3), rng.random() < 0.2
        waiting: list[PacketFacts | None] = []
        for number in range(rng.randint(1, 12)):
            facts = PacketFacts(
                0,
                number,
                number // 2,
                starts_key_frame=rng.random() < 0.1,
                temporal=None if layers == 1 else rng.randrange(layers),
                descriptor=DESCRIBED if has_descriptor else None,
            )
            waiting.append(None if number and rng.random() < 0.1 else facts)
        layers_waiting = [-2 if it is None else -1 if it.temporal is None else it.temporal for it in waiting]
        keys = [number for number, it in enumerate(waiting) if it is not None and it.starts_key_frame]
        verdict = cut(waiting)
        fates = "".join(fate.name[0] for fate in verdict.fates)
        answer = (fates, verdict.limit, verdict.needs_key_frame)
        yield call("cut", has_descriptor, layers_waiting, keys, answer=answer)
