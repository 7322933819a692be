"""Temporal layers by dependency descriptor; by the payload's temporal id they are in `test_selector.py`."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.rows import ALL_TEMPORAL
from sfu.rtp.dependency_descriptor import FrameDependencies, Structure
from sfu.streams.descriptor_reader import DescriptorReader, PacketDescriptor
from sfu.streams.selector import PacketFacts
from sfu.streams.temporal import MAX_FRAMES, TemporalFilter
from tests.support.descriptors import L1T3, L1T3_PERIOD, L2T2, WITHOUT_CHAINS, key_frame, packet

START = 70_000


class Stream:
    """Descriptors of one RTP stream, a frame a packet."""

    def __init__(self, structure: Structure = L1T3, active: int | None = None) -> None:
        self.structure = structure
        self.seq = START
        self.reader = DescriptorReader()
        self.first = self.read(key_frame(structure, active, frame_number=self.seq % 2**16))

    def read(self, value: bytes) -> PacketDescriptor:
        descriptor = self.reader.read(self.seq, value)
        assert descriptor is not None
        self.seq += 1
        return descriptor

    def key(self) -> PacketDescriptor:
        return self.read(key_frame(self.structure, frame_number=self.seq % 2**16))

    def frame(
        self,
        template: int,
        *,
        active: int | None = None,
        indications: tuple[int, ...] | None = None,
        frame_diffs: tuple[int, ...] | None = None,
    ) -> PacketDescriptor:
        return self.read(
            packet(
                template,
                self.seq,
                width=self.structure.decode_target_count,
                active=active,
                indications=indications,
                frame_diffs=frame_diffs,
            )
        )

    def period(self) -> list[PacketDescriptor]:
        """T2, T1, T2 and T0."""
        return [self.frame(template) for template in L1T3_PERIOD]


def passes(temporal: TemporalFilter, descriptor: PacketDescriptor, target: int = ALL_TEMPORAL) -> bool:
    facts = PacketFacts(0, 1, 1, descriptor.fields.starts_key_frame, descriptor=descriptor)
    return temporal.passes(facts, target)


def started(stream: Stream, target: int = ALL_TEMPORAL) -> TemporalFilter:
    temporal = TemporalFilter()
    temporal.reset(target)
    assert passes(temporal, stream.first, target)
    return temporal


@pytest.mark.parametrize(
    ("target", "expected"),
    [(0, [False] * 3 + [True]), (1, [False, True, False, True]), (2, [True] * 4), (ALL_TEMPORAL, [True] * 4)],
)
def test_frames_of_the_decode_targets_up_to_the_layer_pass(target: int, expected: list[bool]) -> None:
    stream = Stream()
    temporal = started(stream, target)
    for _ in range(3):
        assert [passes(temporal, frame, target) for frame in stream.period()] == expected
    assert temporal.limit == target


def test_going_down_is_at_the_next_frame() -> None:
    stream = Stream()
    temporal = started(stream)
    top, middle, top_again, base = stream.period()
    assert passes(temporal, top)
    assert passes(temporal, top, 0)
    assert temporal.limit == ALL_TEMPORAL
    assert not passes(temporal, middle, 0)
    assert temporal.limit == 0
    assert not passes(temporal, middle, ALL_TEMPORAL)
    assert not passes(temporal, top_again, 0)
    assert passes(temporal, base, 0)


def test_going_up_is_where_a_target_may_begin() -> None:
    stream = Stream()
    temporal = started(stream, 0)
    for frame in stream.period():
        passes(temporal, frame, 0)
    # T2 is no switching point. T1 is one for all three layers, as it refers to the base layer; T2 is theirs.
    assert [passes(temporal, frame, 2) for frame in stream.period()] == [False, True, True, True]
    assert temporal.limit == 2
    assert all(passes(temporal, frame, 2) for frame in stream.period())


def test_one_layer_up_begins_with_the_base_layer() -> None:
    stream = Stream()
    temporal = started(stream, 0)
    # T1 is discardable for the target of two layers: it may not begin with it.
    assert [passes(temporal, frame, 1) for frame in stream.period()] == [False, False, False, True]
    assert [passes(temporal, frame, 1) for frame in stream.period()] == [False, True, False, True]


def test_a_switching_point_that_refers_to_a_frame_left_out_is_none() -> None:
    stream = Stream()
    temporal = started(stream, 0)
    left_out = stream.frame(3)
    assert not passes(temporal, left_out, 0)
    assert not passes(temporal, stream.frame(2, frame_diffs=(1, 2)), 2)
    assert passes(temporal, stream.frame(2, frame_diffs=(3,)), 2)


def test_a_switching_point_that_refers_to_a_frame_that_never_came_is_none() -> None:
    stream = Stream()
    temporal = started(stream, 0)
    stream.frame(1)
    assert not passes(temporal, stream.frame(2, frame_diffs=(1,)), 2)


def test_a_key_frame_brings_every_layer_of_the_target() -> None:
    stream = Stream()
    temporal = started(stream, 0)
    assert passes(temporal, stream.key(), 2)
    assert all(passes(temporal, frame, 2) for frame in stream.period())


def test_a_key_frame_starts_no_more_than_the_target() -> None:
    stream = Stream()
    temporal = started(stream)
    assert passes(temporal, stream.key(), 1)
    assert [passes(temporal, frame, 1) for frame in stream.period()] == [False, True, False, True]


def test_the_lower_spatial_layers_are_never_left_out() -> None:
    stream = Stream(L2T2)
    temporal = started(stream, 0)
    frames = [(3, True), (2, False), (5, False), (1, True), (4, True)]
    assert [passes(temporal, stream.frame(template), 0) for template, _ in frames] == [t for _, t in frames]
    # The lower spatial layer's upper temporal layer begins with the base, the upper one's with its own.
    up = [(2, False), (5, False), (1, True), (4, True), (2, True), (5, True)]
    assert [passes(temporal, stream.frame(template), 1) for template, _ in up] == [t for _, t in up]


def test_the_lowest_target_is_kept_where_all_are_above() -> None:
    structure = Structure(
        0,
        2,
        (
            FrameDependencies(0, 0, (2, 2), (), ()),
            FrameDependencies(0, 1, (1, 3), (1,), ()),
            FrameDependencies(0, 2, (0, 1), (1,), ()),
        ),
        (),
        (),
    )
    stream = Stream(structure)
    temporal = started(stream, 0)
    assert passes(temporal, stream.frame(1), 0)
    assert not passes(temporal, stream.frame(2), 0)


def test_the_lowest_active_target_is_kept_where_the_publisher_stopped_those_below() -> None:
    stream = Stream(active=0b110)
    temporal = started(stream, 0)
    assert [passes(temporal, frame, 0) for frame in stream.period()] == [False, True, False, True]
    stream = Stream(active=0)
    temporal = started(stream, 0)
    assert [passes(temporal, frame, 0) for frame in stream.period()] == [False, False, False, True]


def test_a_frame_of_no_target_passes_only_while_nothing_is_left_out() -> None:
    stream = Stream()
    temporal = started(stream)
    assert passes(temporal, stream.frame(1, indications=(0, 0, 0)))
    assert not passes(temporal, stream.frame(1, indications=(0, 0, 0)), 1)


def test_frames_that_can_not_be_read_yet_pass() -> None:
    stream = Stream()
    temporal = started(stream, 0)
    unknown = stream.frame(40)
    assert unknown.structure is None
    assert passes(temporal, unknown, 0)
    assert temporal.active_targets(unknown) is None
    assert not passes(temporal, stream.frame(3), 0)


def test_a_frame_that_passed_unread_passes_whole() -> None:
    stream = Stream()
    temporal = started(stream, 0)
    key, early = stream.seq, stream.seq + 2
    stream.seq = early
    assert passes(temporal, stream.frame(40), 0)
    stream.seq = key
    structure = replace(L1T3, template_id_offset=37)
    assert passes(temporal, stream.read(key_frame(structure, frame_number=key % 2**16)), 0)
    stream.seq = early
    again = stream.frame(40)
    assert again.structure == structure
    assert passes(temporal, again, 0)
    assert not passes(temporal, stream.frame(40), 0)


def test_a_late_key_frame_starts_its_sequence() -> None:
    stream = Stream()
    temporal = started(stream, 0)
    first = stream.seq
    stream.seq += 1
    assert passes(temporal, stream.frame(40), 2)
    behind, stream.seq = stream.seq, first
    structure = replace(L1T3, template_id_offset=37)
    assert passes(temporal, stream.read(key_frame(structure, frame_number=first % 2**16)), 2)
    stream.seq = behind
    assert passes(temporal, stream.frame(40), 2)
    assert temporal.limit == 2


def test_a_late_frame_from_before_the_key_frame_goes_by_its_own_structure() -> None:
    stream = Stream()
    temporal = started(stream)
    before = stream.seq
    stream.seq += 3
    stream.structure = replace(WITHOUT_CHAINS, template_id_offset=20)
    assert passes(temporal, stream.key(), 0)
    stream.seq = before
    assert not passes(temporal, stream.frame(3), 0)
    assert passes(temporal, stream.frame(1), 0)
    assert passes(temporal, stream.frame(4), ALL_TEMPORAL)
    assert temporal.limit == 0


def test_a_late_frame_changes_nothing() -> None:
    stream = Stream()
    temporal = started(stream)
    late, _, _, base = stream.period()
    assert passes(temporal, base, 0)
    assert not passes(temporal, late, 2)
    assert not passes(temporal, stream.frame(3), 2)
    assert temporal.limit == 0


def test_frames_remembered_are_bounded() -> None:
    stream = Stream()
    temporal = started(stream, 0)
    for _ in range(MAX_FRAMES):
        for frame in stream.period():
            passes(temporal, frame, 0)
    assert len(temporal._by_targets._frames) == MAX_FRAMES


def test_packets_without_a_descriptor_go_by_their_temporal_id() -> None:
    stream = Stream()
    temporal = started(stream, 0)
    assert temporal.limit == 0
    assert temporal.passes(PacketFacts(0, 2, 2), 0)
    assert not temporal.passes(PacketFacts(0, 2, 2, temporal=1), 0)
    assert temporal.limit == 0


def test_a_packet_whose_descriptor_can_not_be_read_is_of_no_layer_that_was_left_out() -> None:
    stream = Stream()
    temporal = started(stream)
    for frame in stream.period():
        passes(temporal, frame, 0)
    assert not temporal.passes(PacketFacts(0, 2, 2, temporal=1), 2)
    assert temporal.passes(PacketFacts(0, 3, 3, temporal=0), 2)


# --- what is told of active targets -----------------------------------------------------------------------


def test_nothing_is_told_while_nothing_is_left_out() -> None:
    stream = Stream()
    temporal = started(stream)
    for frame in (stream.frame(3), stream.frame(2, active=0b011)):
        assert passes(temporal, frame)
        assert temporal.active_targets(frame) is None


def test_targets_left_out_are_told_with_the_key_frame_and_each_packet_behind_it() -> None:
    stream = Stream()
    temporal = started(stream, 1)
    assert temporal.active_targets(stream.first) == 0b011
    for _ in range(2):
        for frame in stream.period():
            if passes(temporal, frame, 1):
                assert temporal.active_targets(frame) == 0b011


def test_targets_that_came_back_are_told_until_the_next_key_frame() -> None:
    stream = Stream()
    temporal = started(stream, 0)
    top, middle, top_again, base = stream.period()
    told = []
    for frame in (top, middle, top_again, base):
        assert passes(temporal, frame, 2) is (frame is not top)
        told.append(temporal.active_targets(frame))
    # The target of two layers begins with the base layer, that of three did so before it.
    assert told[1:] == [0b101, 0b101, 0b111]
    for frame, expected in ((stream.frame(3), 0b111), (stream.key(), None)):
        assert passes(temporal, frame, 2)
        assert temporal.active_targets(frame) == expected


def test_a_late_packet_tells_what_held_for_its_frame() -> None:
    stream = Stream()
    temporal = started(stream)
    first = stream.frame(3)
    assert passes(temporal, first)
    for frame in stream.period():
        passes(temporal, frame, 0)
    assert temporal.active_targets(first) == 0b111


def test_what_is_told_is_no_more_than_the_publisher_sends() -> None:
    stream = Stream(L2T2, active=0b0011)
    temporal = started(stream, 0)
    assert temporal.active_targets(stream.first) == 0b0001


# --- the law ----------------------------------------------------------------------------------------------


@given(
    structure=st.sampled_from([L1T3, L2T2]),
    targets=st.lists(st.integers(0, 3), min_size=1, max_size=60),
    keys=st.sets(st.integers(1, 60), max_size=3),
    seed=st.integers(0, 2**32),
)
def test_what_passes_can_be_decoded(
    structure: Structure, targets: list[int], keys: set[int], seed: int
) -> None:
    """Without loss: whatever is asked for, no frame passes that refers to one left out."""
    rng, stream = Random(seed), Stream(structure)
    temporal = started(stream, targets[0])
    passed = {stream.first.frame_number}
    period = L1T3_PERIOD if structure is L1T3 else (3, 2, 5, 1, 4, 2, 5, 1)
    since_key = 0
    for step, target in enumerate(targets):
        if step in keys:
            frame, since_key = stream.key(), 0
        else:
            at = since_key if since_key < len(period) or structure is L1T3 else since_key - len(period) + 4
            frame, since_key = stream.frame(period[at % len(period)]), since_key + 1
        dependencies = frame.fields.dependencies
        assert dependencies is not None
        if passes(temporal, frame, target):
            assert all(frame.frame_number - diff in passed for diff in dependencies.frame_diffs)
            passed.add(frame.frame_number)
            assert temporal.limit <= target
        else:
            assert dependencies.temporal_id > 0
        if rng.random() < 0.2:
            assert passes(temporal, frame, rng.randrange(3)) is (frame.frame_number in passed)
