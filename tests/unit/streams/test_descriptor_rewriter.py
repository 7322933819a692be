from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.rtp.dependency_descriptor import MAX_TEMPLATES, parse_dependency_descriptor
from sfu.streams.descriptor_reader import DescriptorReader, PacketDescriptor
from sfu.streams.descriptor_rewriter import DescriptorRewriter, DescriptorRewriting
from sfu.units import Ssrc
from tests.support.descriptors import L1T2, L1T3, L1T3_PERIOD, L2T2, key_frame, packet

LOW, HIGH = Ssrc(1), Ssrc(2)
START = 70_000


class Encoding:
    """One RTP stream, a frame a packet, three temporal layers."""

    def __init__(self, source: Ssrc, number: int) -> None:
        self.source = source
        self.number = number
        self.reader = DescriptorReader()
        self.since_key = 0
        self.seq = START

    def frame(self, *, key: bool = False) -> PacketDescriptor:
        self.seq += 1
        self.number += 1
        if key:
            self.since_key = 0
            value = key_frame(L1T3, frame_number=self.number % 2**16)
        else:
            value = packet(L1T3_PERIOD[self.since_key % 4], self.number)
            self.since_key += 1
        descriptor = self.reader.read(self.seq, value)
        assert descriptor is not None
        return descriptor


def number_of(value: bytes) -> int:
    return parse_dependency_descriptor(value).frame_number


def test_the_first_source_keeps_its_numbers() -> None:
    rewriter, low = DescriptorRewriter(), Encoding(LOW, 500)
    for frame in (low.frame(key=True), low.frame()):
        assert rewriter.forward(LOW, frame).apply(frame) == frame.value


@pytest.mark.parametrize("number", [0, 2**15 - 1, 2**15, 2**16 - 2])
def test_numbers_go_on_over_a_switch(number: int) -> None:
    rewriter, low, high = DescriptorRewriter(), Encoding(LOW, number), Encoding(HIGH, 40_000)
    values = []
    for encoding, key in ((low, True), (low, False), (high, True), (high, False), (low, True), (low, False)):
        frame = encoding.frame(key=key)
        values.append(rewriter.forward(encoding.source, frame).apply(frame))
    steps = [(number_of(after) - number_of(before)) % 2**16 for before, after in pairwise(values)]
    assert steps == [1] * 5


def test_frames_left_out_stay_a_gap_and_late_ones_get_their_own_number() -> None:
    rewriter, low, high = DescriptorRewriter(), Encoding(LOW, 9), Encoding(HIGH, 30)
    before = low.frame(key=True)
    rewriter.forward(LOW, before)
    key, late, after = high.frame(key=True), high.frame(), high.frame()
    first = rewriter.forward(HIGH, key)
    assert number_of(first.apply(key)) == 11
    assert number_of(rewriter.forward(HIGH, after).apply(after)) == 13
    assert number_of(rewriter.forward(HIGH, late).apply(late)) == 12
    following = low.frame(key=True)
    assert number_of(rewriter.forward(LOW, following).apply(following)) == 14


def test_a_pause_is_a_switch() -> None:
    rewriter, low = DescriptorRewriter(), Encoding(LOW, 9)
    first = low.frame(key=True)
    rewriter.forward(LOW, first)
    rewriter.pause()
    for _ in range(5):
        low.frame()
    second = low.frame(key=True)
    assert number_of(rewriter.forward(LOW, second).apply(second)) == 11


def test_template_ids_are_never_those_of_the_structure_before() -> None:
    rewriter = DescriptorRewriter()
    used: list[set[int]] = []
    for turn in range(40):
        structure = (L1T3, L1T2, L2T2)[turn % 3]
        reader = DescriptorReader()
        frame = reader.read(START, key_frame(structure))
        assert frame is not None
        value = rewriter.forward(Ssrc(turn), frame).apply(frame)
        sent = parse_dependency_descriptor(value)
        assert sent.structure is not None
        assert sent.dependencies == structure.templates[0]
        ids = {
            (sent.structure.template_id_offset + index) % MAX_TEMPLATES
            for index in range(len(structure.templates))
        }
        assert not used or not ids & used[-1]
        used.append(ids)
        delta = reader.read(START + 1, packet(structure.template_id_offset, 0x1235))
        assert delta is not None
        after = rewriter.forward(Ssrc(turn), delta).apply(delta)
        assert parse_dependency_descriptor(after, sent.structure).dependencies == structure.templates[0]


def test_a_source_that_begins_without_a_structure_keeps_its_templates() -> None:
    rewriter, low = DescriptorRewriter(), Encoding(LOW, 9)
    rewriter.forward(LOW, low.frame(key=True))
    frame = DescriptorReader().read(START, packet(3, 77))
    assert frame is not None
    assert rewriter.forward(HIGH, frame).apply(frame) == packet(3, 11)


def test_active_targets_are_told_as_long_as_they_are_given() -> None:
    rewriter, low = DescriptorRewriter(), Encoding(LOW, 9)
    key, first, second = low.frame(key=True), low.frame(), low.frame()
    assert rewriter.forward(LOW, key, 0b011).apply(key) == key_frame(L1T3, 0b011, frame_number=10)
    assert rewriter.forward(LOW, first, 0b011).apply(first) == packet(3, 11, width=3, active=0b011)
    assert rewriter.forward(LOW, second).apply(second) == second.value


def test_what_does_not_change_is_one_object() -> None:
    rewriter, low = DescriptorRewriter(), Encoding(LOW, 9)
    first = rewriter.forward(LOW, low.frame(key=True), 0b001)
    assert all(rewriter.forward(LOW, low.frame(), 0b001) is first for _ in range(9))
    assert rewriter.forward(LOW, low.frame(), 0b011) == DescriptorRewriting(0, 0, 0b011)


@given(st.lists(st.tuples(st.sampled_from([LOW, HIGH]), st.integers(0, 9)), max_size=30), st.data())
def test_numbers_only_grow_and_frames_refer_to_what_they_did(
    stays: list[tuple[Ssrc, int]], data: st.DataObject
) -> None:
    encodings = {source: Encoding(source, data.draw(st.integers(0, 2**16))) for source in (LOW, HIGH)}
    rewriter = DescriptorRewriter()
    highest: int | None = None
    for source, frames in stays:
        rewriter.pause()
        for step in range(frames):
            frame = encodings[source].frame(key=step == 0)
            if step and data.draw(st.booleans()):
                continue
            value = rewriter.forward(source, frame).apply(frame)
            sent = parse_dependency_descriptor(value, frame.structure)
            if highest is not None:
                assert 0 < (sent.frame_number - highest) % 2**16 < 2**15
            highest = sent.frame_number
