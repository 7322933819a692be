"""Writes down what the Python twin decides, for the native plane to decide the same.

    .venv/bin/python -m tests.vectors.streams.record

One file a module of `sfu/streams`, one call a line: `name arguments = answer`, as README.md says.
`sfu/dataplane/native/crates/streams/tests/twin.rs` makes the same calls.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

from sfu.rows import ALL_TEMPORAL, PAUSED
from sfu.rtp.rtcp import serialise_compound
from sfu.rtp.vp8 import parse_vp8
from sfu.streams.cache import CacheBudget, PacketCache
from sfu.streams.clock import StreamClock
from sfu.streams.keyframe import KeyframeThrottle
from sfu.streams.nack import NackGenerator
from sfu.streams.offsets import OffsetMap
from sfu.streams.resend import ResendBudget, ResendPolicy
from sfu.streams.rewriter import SequenceRewriter, TimestampMapper, Vp8Rewriter
from sfu.streams.selector import EncodingSelector, PacketFacts
from sfu.streams.statistics import ReceiveStatistics
from sfu.streams.twcc_receiver import TwccReceiver
from sfu.units import NS_PER_MS, NS_PER_S, Instant, Kind, Ssrc
from tests.vectors.streams.calls import bits, call
from tests.vectors.streams.departing import debt, pacer, probing, slow_receiver, twcc_sender
from tests.vectors.streams.described import descriptors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sfu.rtp.rtcp import ReportBlock

FOLDER: Final = Path(__file__).parent
STARTS: Final = (1, 2**15 - 1, 2**15, 2**16 - 2, 2**32 - 5)
NTP_SECOND: Final = 1 << 32
RATE: Final = 90_000


def steps_of(rng: Random, highest: int) -> int:
    """A number like those that come in a stream: mostly the next, some lost, some late, few far away."""
    kind = rng.random()
    if kind < 0.75:
        return highest + 1
    if kind < 0.85:
        return highest + rng.randint(2, 6)
    if kind < 0.97:
        return highest - rng.randint(0, 12)
    return highest + rng.choice((-1, 1)) * rng.randint(200, 4_000)


def offsets(rng: Random) -> Iterator[str]:
    """Runs of all kinds, and two that fill the ranges."""
    for run in range(8):
        first = rng.choice((None, 0, 812, 32_767))
        numbers = OffsetMap(first)
        yield call("new", first)
        highest = rng.choice(STARTS)
        drops = rng.choice((0.1, 0.4, 0.9))
        for _ in range(400 if run < 2 else 100):
            number = highest + 1 if run < 2 else steps_of(rng, highest)
            highest = max(number, highest)
            if rng.random() < 0.01:
                numbers.rebase()
                yield call("rebase")
            elif rng.random() < (0.6 if run < 2 else drops):
                numbers.drop(number)
                yield call("drop", number, answer=numbers.next_out)
            else:
                late = number if rng.random() < 0.9 else number - rng.randint(0, 400)
                yield call("forward", late, answer=numbers.forward(late))


def sequence(rng: Random) -> Iterator[str]:
    """Switches, pauses, drops and losses."""
    for _ in range(4):
        first = rng.randrange(2**15)
        rewriter = SequenceRewriter(first)
        yield call("new", first)
        highest = {Ssrc(source): rng.choice(STARTS) for source in range(3)}
        source = Ssrc(0)
        for _ in range(200):
            if rng.random() < 0.03:
                source = Ssrc(rng.randrange(3))
            seq = steps_of(rng, highest[source])
            highest[source] = max(seq, highest[source])
            match rng.random():
                case chance if chance < 0.02:
                    rewriter.pause()
                    yield call("pause")
                case chance if chance < 0.2:
                    rewriter.drop(source, seq)
                    yield call("drop", source, seq, answer=rewriter.next_seq)
                case _:
                    yield call("forward", source, seq, answer=rewriter.forward(source, seq))


def timestamps(rng: Random) -> Iterator[str]:
    """Three encodings of one publisher with clocks of their own, some of which report nonsense."""
    for _ in range(6):
        first_ts = rng.randrange(2**32)
        mapper = TimestampMapper(first_ts)
        now = Instant(rng.randrange(10**15))
        yield call("new", first_ts)
        rate = rng.choice((8_000, 48_000, RATE))
        clocks: list[StreamClock] = []
        origins = [rng.randrange(2**33) for _ in range(3)]
        start, ntp = now, rng.randrange(2**64)
        for number, origin in enumerate(origins):
            clocks.append(StreamClock(rate, now, origin))
            yield call("clock", number, rate, now, origin)
        which = 0
        for _ in range(150):
            now = Instant(now + rng.randint(-2, 60) * NS_PER_MS + rng.randrange(NS_PER_MS))
            if rng.random() < 0.1:
                which = rng.randrange(3)
            clock = clocks[which]
            elapsed = now - start - rng.randint(0, 300) * NS_PER_MS
            ts = origins[which] + elapsed * rate // NS_PER_S
            clock.received(ts)
            yield call("received", which, ts)
            if rng.random() < 0.1:
                error = rng.choice((0, 0, 0, rng.randrange(2**20), rng.randrange(2**64)))
                reported = (ntp + elapsed * NTP_SECOND // NS_PER_S + error) % 2**64
                clock.sender_report(now, reported, ts % 2**32)
                yield call("sender_report", which, now, reported, ts % 2**32)
            ready = mapper.ready(now, clock)
            yield call("map", which, now, ts, answer=(ready, mapper.map(now, clock, ts)))
            if rng.random() < 0.2:
                at = clock.ntp_at(now)
                of = clock.ntp_of(ts)
                yield call("ntp_at", which, now, answer=at)
                yield call("ntp_of", which, ts, answer=None if of is None else of % 2**64)
                if at is not None:
                    yield call("ts_fixed_of", which, at, answer=clock.ts_fixed_of(at))
                    timestamp = mapper.sender_report_timestamp(at)
                    yield call("sender_report_timestamp", at, answer=timestamp)


def vp8_payload(rng: Random, picture_id: int, bits_of_id: int) -> bytes:
    """A packet of a picture, with any of the fields."""
    has_id, has_tl0, has_tid, has_key = (rng.random() < share for share in (0.95, 0.7, 0.5, 0.4))
    payload = bytearray((0x90, has_id << 7 | has_tl0 << 6 | has_tid << 5 | has_key << 4))
    if has_id:
        wide = bits_of_id == 15
        payload += (0x8000 | picture_id % 2**15).to_bytes(2, "big") if wide else bytes((picture_id % 2**7,))
    if has_tl0:
        payload.append(picture_id // 2 % 2**8)
    if has_tid or has_key:
        payload.append(0xC0 | picture_id // 30 % 2**5)
    return bytes(payload) + bytes((rng.randrange(2), 0xAB))


def vp8(rng: Random) -> Iterator[str]:
    """Pictures of two packets, lost, late and left out, over switches, pauses and new encoders."""
    for _ in range(4):
        rewriter = Vp8Rewriter()
        yield call("new")
        seqs = [rng.choice(STARTS) for _ in range(3)]
        pictures = [rng.choice((0, 126, 2**15 - 3)) for _ in range(3)]
        widths = [rng.choice((7, 15)) for _ in range(3)]
        which = 0
        for _ in range(200):
            if rng.random() < 0.03:
                which = rng.randrange(3)
            if rng.random() < 0.01:
                pictures[which] = rng.randrange(2**15)
            if rng.random() < 0.01:
                rewriter.pause()
                yield call("pause")
            back = rng.randint(1, 6) if rng.random() < 0.1 else 0
            if not back:
                seqs[which] += 1
                pictures[which] += rng.random() < 0.5
            source, seq = Ssrc(which), seqs[which] - back
            payload = vp8_payload(rng, pictures[which] - back // 2, widths[which])
            descriptor = parse_vp8(payload)
            if rng.random() < 0.15:
                rewriter.drop(source, seq, descriptor)
                yield call("drop", source, seq, payload.hex())
            else:
                rewritten = rewriter.rewrite(source, seq, payload, descriptor)
                yield call(
                    "rewrite",
                    source,
                    seq,
                    payload.hex(),
                    answer=None if rewritten is None else rewritten.hex(),
                )


def selector(rng: Random) -> Iterator[str]:
    """Targets that come and go, temporal layers, late frames, encodings that get other numbers."""
    for kind in (Kind.VIDEO, Kind.VIDEO, Kind.VIDEO, Kind.AUDIO):
        chosen = EncodingSelector(kind)
        yield call("new", kind.value)
        seq, ts = 0, 2**32
        for _ in range(300):
            chance = rng.random()
            if chance < 0.06:
                target, temporal = rng.randint(PAUSED, 2), rng.choice((0, 1, 2, ALL_TEMPORAL))
                chosen.set_target(target, temporal)
                yield call("set_target", target, temporal)
            elif chance < 0.065:
                temporal = rng.randrange(3)
                chosen.lower(temporal)
                yield call("lower", temporal)
            elif chance < 0.07:
                encoding = rng.randrange(3)
                chosen.source_changed(encoding)
                yield call("source_changed", encoding)
            elif chance < 0.08:
                numbers = rng.sample(range(-1, 4), 3)
                chosen.renumber({old: new for old, new in enumerate(numbers) if new != PAUSED})
                yield call("renumber", numbers)
            else:
                seq += rng.randint(0, 2)
                ts += 3_000 * (rng.random() < 0.6)
                late = rng.randint(1, 70) if rng.random() < 0.1 else 0
                facts = PacketFacts(
                    rng.choice((0, 0, 0, 1, 2)),
                    seq - late,
                    ts - 3_000 * late,
                    starts_key_frame=kind is Kind.VIDEO and rng.random() < 0.1,
                    temporal=rng.choice((None, 0, 0, 1, 2, 2)),
                    layer_sync=rng.random() < 0.4,
                )
                ready = rng.random() < 0.9
                drop = chosen.decide(facts, ready=ready)
                said = (facts.starts_key_frame, facts.temporal, facts.layer_sync, ready)
                yield call("decide", facts.encoding, facts.seq, facts.ts, *said, answer=drop)
            flowing = PAUSED if chosen.current is None else chosen.current
            yield call("state", answer=(flowing, chosen.target, chosen.temporal, chosen.switches))


def figures(block: ReportBlock) -> tuple[int, ...]:
    """A report block without its SSRC."""
    return (
        block.fraction_lost,
        block.packets_lost,
        block.highest_sequence_number,
        block.jitter,
        block.last_sender_report,
        block.delay_since_last_sender_report,
    )


def statistics(rng: Random) -> Iterator[str]:
    """Losses, duplicates, repairs, jumps and jitter, reported on now and then."""
    for _ in range(5):
        rate = rng.choice((8_000, 48_000, RATE))
        counted = ReceiveStatistics(rate)
        yield call("new", rate)
        now, highest = Instant(rng.randrange(10**15)), rng.choice(STARTS)
        ts = rng.randrange(2**33)
        for _ in range(200):
            now = Instant(now + rng.randrange(40 * NS_PER_MS))
            ts += rng.choice((0, 960, 3_000))
            seq = steps_of(rng, highest)
            chance = rng.random()
            if chance < 0.08:
                drop = counted.repaired(seq)
                yield call("repaired", seq, answer=drop)
                continue
            if chance < 0.1:
                ntp = rng.randrange(2**64)
                counted.sender_report(now, ntp)
                yield call("sender_report", now, ntp)
            highest = max(seq, highest)
            ts += 10 * rate * (rng.random() < 0.01)
            drop = counted.received(now, seq, ts, 1_000 + seq % 7)
            yield call("received", now, seq, ts, 1_000 + seq % 7, answer=(drop, bits(counted.jitter_ms)))
            if rng.random() < 0.1:
                now = Instant(now + rng.randint(-1, NS_PER_S))
                block = counted.report_block(now, Ssrc(7))
                totals = (counted.packets_received, counted.bytes_received, counted.packets_lost)
                yield call("totals", answer=totals)
                yield call("report_block", now, answer=() if block is None else figures(block))


def cache(rng: Random) -> Iterator[str]:
    """Three streams under one budget, more than fits, on a clock that runs back a little."""
    for _ in range(3):
        budget = CacheBudget(20_000)
        caches = [PacketCache[None](budget, 12_000) for _ in range(3)]
        yield call("new", 20_000, 12_000)
        now = Instant(10**12)
        for seq in range(250):
            now = Instant(now + rng.randint(-1, 30) * NS_PER_MS)
            which = rng.choice((0, 0, 0, 1, 2))
            chance = rng.random()
            if chance < 0.02:
                caches[which].clear()
                yield call("clear", which)
            elif chance < 0.04:
                now = Instant(now + NS_PER_S)
                budget.make_room(now)
                yield call("make_room", now)
            else:
                stored = seq if rng.random() < 0.9 else seq - rng.randint(1, 20)
                size_bytes = 13_000 if rng.random() < 0.02 else rng.randint(1, 1_200)
                caches[which].store(now, stored, None, size_bytes)
                yield call("store", now, which, stored, size_bytes)
            asked = seq - rng.randint(0, 60)
            yield call("lookup", now, which, asked, answer=caches[which].lookup(now, asked) is not None)
            yield call("used", answer=(budget.used_bytes, *(kept.used_bytes for kept in caches)))


def nack(rng: Random) -> Iterator[str]:
    """Losses of all lengths, repaired or not, on round trips that change."""
    for _ in range(5):
        asking = NackGenerator()
        yield call("new")
        now, highest = Instant(10**12), rng.choice(STARTS)
        for _ in range(150):
            now = Instant(now + rng.randrange(8 * NS_PER_MS))
            if rng.random() < 0.02:
                round_trip_ns = rng.choice((0, rng.randrange(NS_PER_S), 5 * NS_PER_S))
                asking.set_round_trip_time(round_trip_ns / NS_PER_MS)
                yield call("set_round_trip_time", round_trip_ns)
            if rng.random() < 0.01:
                asking.clear()
                yield call("clear")
            seq = steps_of(rng, highest)
            highest = max(seq, highest)
            yield call("received", now, seq, answer=(asking.received(now, seq), asking.next_timeout()))
            yield call("poll", now, answer=(asking.poll(now), asking.nack_count, asking.missing_count))


def resend(rng: Random) -> Iterator[str]:
    """Requests for packets of the last second, some of them over and over."""
    for _ in range(3):
        policy, budget = ResendPolicy(), ResendBudget()
        yield call("new")
        now, newest = Instant(10**12), 100
        for _ in range(200):
            now = Instant(now + rng.randrange(25 * NS_PER_MS))
            newest += rng.randint(0, 4)
            seqs = [newest - rng.randint(0, 60) for _ in range(rng.randint(0, 6))]
            round_trip_ns = None if rng.random() < 0.1 else rng.randrange(120 * NS_PER_MS)
            round_trip_ms = None if round_trip_ns is None else round_trip_ns / NS_PER_MS
            admitted = policy.answer(now, seqs, round_trip_ms)
            yield call("answer", now, seqs, round_trip_ns, answer=admitted)
            for _ in admitted:
                size_bytes = rng.randint(1, 2_401)
                yield call("take", size_bytes, answer=budget.take(size_bytes))
            budget.sent(2 * len(seqs) + 1)
            yield call("sent", 2 * len(seqs) + 1)


def keyframe(rng: Random) -> Iterator[str]:
    """Requests for four streams, key frames that come or not, streams that go."""
    throttle = KeyframeThrottle()
    yield call("new")
    now = Instant(10**12)
    for _ in range(600):
        now = Instant(now + rng.randrange(60 * NS_PER_MS))
        ssrc = Ssrc(rng.randrange(4))
        chance = rng.random()
        if chance < 0.5:
            throttle.request(now, ssrc)
            yield call("request", now, ssrc)
        elif chance < 0.65:
            throttle.key_frame_started(ssrc)
            yield call("key_frame_started", ssrc)
        elif chance < 0.67:
            throttle.forget(ssrc)
            yield call("forget", ssrc)
        timeout = throttle.next_timeout()
        yield call("poll", now, answer=(timeout, list[int](throttle.poll(now))))


def twcc_receiver(rng: Random) -> Iterator[str]:
    """Packets lost, late and twice, jumps of the counter, arrivals far apart; the feedback as on the wire."""
    for _ in range(4):
        receiver = TwccReceiver(Ssrc(1))
        yield call("new", 1)
        now, number = Instant(rng.randrange(10**15)), rng.choice(STARTS)
        for _ in range(250):
            now = Instant(now + rng.randrange(9 * NS_PER_MS) + 9 * NS_PER_S * (rng.random() < 0.01))
            came = steps_of(rng, number)
            number = max(came, number)
            ssrc = Ssrc(rng.choice((0, 7, 9)))
            receiver.received(now, ssrc, came % 2**16)
            yield call("received", now, ssrc, came % 2**16, answer=receiver.next_timeout())
            feedback = receiver.poll(now)
            if feedback:
                yield call("poll", now, answer=serialise_compound(feedback).hex())


MODULES: Final[dict[str, Callable[[Random], Iterator[str]]]] = {
    recorded.__name__: recorded
    for recorded in (
        offsets,
        sequence,
        timestamps,
        vp8,
        selector,
        statistics,
        cache,
        nack,
        resend,
        keyframe,
        twcc_receiver,
        descriptors,
        twcc_sender,
        debt,
        probing,
        pacer,
        slow_receiver,
    )
}


def recording(name: str) -> str:
    """What the twin of today says."""
    return "".join(f"{line}\n" for line in MODULES[name](Random(name)))


if __name__ == "__main__":
    for module in MODULES:
        (FOLDER / f"{module}.txt").write_text(recording(module), encoding="utf-8")
