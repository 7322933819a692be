"""Dependency descriptors of Chromium on their way to one route: some lost, some late, some wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sfu.rows import ALL_TEMPORAL
from sfu.streams.descriptor_reader import DescriptorReader
from sfu.streams.descriptor_rewriter import DescriptorRewriter
from sfu.streams.selector import PacketFacts
from sfu.streams.temporal import TemporalFilter
from sfu.units import Ssrc
from tests.vectors.streams.calls import call

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

RECORDED: Final = Path(__file__).parents[1] / "descriptors"
STREAMS: Final = ("av1-l1t3", "vp8-l1t2", "vp9-l2t2", "vp9-l3t3_key")


def recorded(name: str) -> list[tuple[int, bytes]]:
    """Numbers and values of one stream."""
    lines = (RECORDED / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [(2**16 + int(seq), bytes.fromhex(value)) for seq, value in map(str.split, lines)]


def on_their_way(rng: Random, packets: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Some lost, some late, some twice, some wrong."""
    coming = [packet for packet in packets[:130] if rng.random() < 0.93]
    coming += rng.sample(coming, 5)
    coming.sort(key=lambda packet: packet[0] + (rng.randrange(30) if rng.random() < 0.1 else 0))
    return [(seq, flipped(rng, value) if rng.random() < 0.1 else value) for seq, value in coming]


def flipped(rng: Random, value: bytes) -> bytes:
    """One bit of it wrong, or its end missing."""
    if rng.random() < 0.3:
        return value[: rng.randrange(len(value))]
    wrong = bytearray(value)
    wrong[rng.randrange(len(wrong))] ^= 1 << rng.randrange(8)
    return bytes(wrong)


def descriptors(rng: Random) -> Iterator[str]:
    """Each stream twice, one after another on one route, towards targets that change."""
    for _ in range(2):
        temporal, rewriter = TemporalFilter(), DescriptorRewriter()
        yield call("new")
        for source, name in enumerate(rng.sample(STREAMS, len(STREAMS))):
            reader = DescriptorReader()
            target = rng.choice((0, 1, ALL_TEMPORAL))
            temporal.reset(target)
            rewriter.pause()
            yield call("switch", target)
            for seq, value in on_their_way(rng, recorded(name)):
                if rng.random() < 0.05:
                    target = rng.choice((0, 1, 2, ALL_TEMPORAL))
                descriptor = reader.read(seq, value)
                if descriptor is None:
                    yield call("read", seq, value.hex(), answer=None)
                    facts = PacketFacts(
                        0, seq, seq, temporal=rng.choice((None, 0, 1, 2)), layer_sync=rng.random() < 0.5
                    )
                    passes = temporal.passes(facts, target)
                    asked = (seq, facts.temporal, facts.layer_sync, target)
                    yield call("by_id", *asked, answer=(passes, temporal.limit))
                    continue
                said = (descriptor.frame_number, descriptor.sequence_start, descriptor.active)
                yield call("read", seq, value.hex(), answer=(*said, descriptor.structure is not None))
                passes = temporal.passes(PacketFacts(0, seq, seq, descriptor=descriptor), target)
                yield call("passes", target, answer=(passes, temporal.limit))
                if passes:
                    active = temporal.active_targets(descriptor)
                    rewriting = rewriter.forward(Ssrc(source), descriptor, active)
                    yield call("forward", source, answer=(active, rewriting.apply(descriptor).hex()))
