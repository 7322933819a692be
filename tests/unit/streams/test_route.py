"""Selector and rewriters together, in the order in which a plane calls them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from random import Random

from hypothesis import example, given
from hypothesis import strategies as st

from sfu.plane import DropReason
from sfu.rows import PAUSED
from sfu.rtp.vp8 import parse_vp8
from sfu.streams.clock import StreamClock
from sfu.streams.rewriter import SequenceRewriter, TimestampMapper, Vp8Rewriter
from sfu.streams.selector import EncodingSelector, PacketFacts
from sfu.units import Instant, Kind, Ssrc, after_ms

START = Instant(10**12)
RATE = 90_000
ENCODINGS = 3
FRAME_MS = 33
KEY_FRAME_EVERY = 9
TEMPORAL_PATTERN = ((0, False), (2, True), (1, True), (2, False))
FIRST_SEQ = 2**15 - 1
PICTURE_IDS = 2**15


@dataclass
class Packet:
    """One packet of the test's publisher."""

    at: Instant
    encoding: int
    seq: int
    ts: int
    frame: int
    temporal: int
    payload: bytes


@dataclass
class Sent:
    """What the subscriber gets."""

    seq: int
    ts: int
    picture_id: int
    tl0: int
    origin: Packet
    stay: tuple[int, int]
    """Which time its encoding flows: what a late key frame begins anew is another picture to the receiver."""


@dataclass
class Route:
    """One subscriber's view of a track."""

    selector: EncodingSelector = field(default_factory=lambda: EncodingSelector(Kind.VIDEO))
    sequence: SequenceRewriter = field(default_factory=lambda: SequenceRewriter(FIRST_SEQ))
    timestamps: TimestampMapper = field(default_factory=lambda: TimestampMapper(2**32 - 10_000))
    vp8: Vp8Rewriter = field(default_factory=Vp8Rewriter)
    pauses: int = 0

    def set_target(self, encoding: int, temporal: int) -> None:
        if encoding == PAUSED:
            self.pauses += 1
            self.sequence.pause()
            self.vp8.pause()
        self.selector.set_target(encoding, temporal)

    def forward(self, clock: StreamClock, packet: Packet) -> Sent | DropReason:
        source = Ssrc(packet.encoding)
        descriptor = parse_vp8(packet.payload)
        facts = PacketFacts(
            packet.encoding,
            packet.seq,
            packet.ts,
            starts_key_frame=descriptor.starts_key_frame,
            temporal=descriptor.temporal_id,
            layer_sync=descriptor.layer_sync,
        )
        reason = self.selector.decide(facts, ready=self.timestamps.ready(packet.at, clock))
        if reason is not None:
            if reason is DropReason.TEMPORAL_LAYER:
                self.sequence.drop(source, packet.seq)
                self.vp8.drop(source, packet.seq, descriptor)
            return reason
        payload = self.vp8.rewrite(source, packet.seq, packet.payload, descriptor)
        if payload is None:
            self.sequence.drop(source, packet.seq)
            return DropReason.TOO_OLD
        seq = self.sequence.forward(source, packet.seq)
        if seq is None:
            return DropReason.TOO_OLD
        ts = self.timestamps.map(packet.at, clock, packet.ts)
        after = parse_vp8(payload)
        assert after.picture_id is not None
        assert after.tl0_pic_idx is not None
        stay = (self.pauses, self.selector.switches)
        return Sent(seq, ts, after.picture_id, after.tl0_pic_idx, packet, stay)


def payload_of(frame: int, part: int) -> bytes:
    key = frame % KEY_FRAME_EVERY == 0
    temporal, sync = (0, False) if key else TEMPORAL_PATTERN[frame % len(TEMPORAL_PATTERN)]
    # X; I, L and T; 15-bit picture id; TL0PICIDX (any, as long as it is the frame's own); TID and Y.
    descriptor = bytes((0x80 | (part == 0) << 4, 0xE0))
    descriptor += (0x8000 | frame % PICTURE_IDS).to_bytes(2, "big")
    descriptor += bytes((frame // 2 % 256, temporal << 6 | sync << 5))
    return descriptor + (b"\x00" if key else b"\x01") + b"rest"


def published(
    first_frame: int, frames: int, parts: int, rng: Random, *, loss: float, jitter_ms: float
) -> list[Packet]:
    packets = []
    for encoding in range(ENCODINGS):
        seq = 2**16 - 20 + encoding * 7_000
        for number in range(frames):
            frame = first_frame + number
            for part in range(parts):
                seq += 1
                payload = payload_of(frame, part)
                temporal = parse_vp8(payload).temporal_id
                assert temporal is not None
                at = after_ms(START, FRAME_MS * number + rng.uniform(0, jitter_ms))
                ts = (encoding + 1) * 2**32 + FRAME_MS * 90 * number
                if rng.random() >= loss:
                    packets.append(Packet(at, encoding, seq, ts, frame, temporal, payload))
    return sorted(packets, key=lambda packet: packet.at)


def clocks() -> list[StreamClock]:
    made = []
    for encoding in range(ENCODINGS):
        clock = StreamClock(RATE, START, (encoding + 1) * 2**32)
        clock.sender_report(START, 1 << 60, 0)
        made.append(clock)
    return made


@example(targets={79: (1, 0), 165: (0, 0)}, first_frame=9, loss=0.0, jitter_ms=60.0, seed=0)
@given(
    targets=st.dictionaries(
        st.integers(0, 400), st.tuples(st.integers(PAUSED, ENCODINGS - 1), st.integers(0, 2)), max_size=12
    ),
    first_frame=st.sampled_from((9, PICTURE_IDS - 9 - PICTURE_IDS % 9)),
    loss=st.sampled_from((0.0, 0.1)),
    jitter_ms=st.sampled_from((0.0, 60.0)),
    seed=st.integers(0, 2**32),
)
def test_whatever_happens_the_subscriber_sees_one_sound_stream(
    targets: dict[int, tuple[int, int]], first_frame: int, loss: float, jitter_ms: float, seed: int
) -> None:
    route, upstream = Route(), clocks()
    route.set_target(0, 2)
    sent: list[Sent] = []
    for number, packet in enumerate(
        published(first_frame, 45, 3, Random(seed), loss=loss, jitter_ms=jitter_ms)
    ):
        if number in targets:
            route.set_target(*targets[number])
        outcome = route.forward(upstream[packet.encoding], packet)
        if isinstance(outcome, Sent):
            sent.append(outcome)

    # No sequence number is used twice, and without loss and reordering none is left out.
    seqs = [packet.seq for packet in sent]
    assert len(set(seqs)) == len(seqs)
    assert not seqs or seqs[0] == FIRST_SEQ
    if not loss and not jitter_ms:
        assert seqs == list(range(FIRST_SEQ, FIRST_SEQ + len(seqs)))

    frames: dict[object, Sent] = {}
    for one in sorted(sent, key=lambda one: one.seq):
        key = (one.stay, one.origin.encoding, one.origin.frame)
        first = frames.setdefault(key, one)
        assert (one.ts, one.picture_id, one.tl0) == (first.ts, first.picture_id, first.tl0)
    shown = list(frames.values())
    # Time only goes forward, and picture ids with it.
    for before, after in itertools.pairwise(shown):
        assert after.ts > before.ts
        assert 0 < (after.picture_id - before.picture_id) % PICTURE_IDS < PICTURE_IDS // 2


@given(seed=st.integers(0, 2**32), temporal=st.integers(0, 2))
def test_a_calm_network_loses_nothing_but_what_is_above_the_target(seed: int, temporal: int) -> None:
    route, upstream = Route(), clocks()
    route.set_target(1, temporal)
    for packet in published(KEY_FRAME_EVERY, 20, 2, Random(seed), loss=0.0, jitter_ms=0.0):
        if packet.encoding == 1:
            outcome = route.forward(upstream[1], packet)
            assert isinstance(outcome, Sent) == (packet.temporal <= temporal)
