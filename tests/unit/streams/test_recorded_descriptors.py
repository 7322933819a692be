"""What Chromium sends (`tests/vectors/descriptors`), and what becomes of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfu.rows import ALL_TEMPORAL
from sfu.rtp.dependency_descriptor import (
    MANDATORY_BYTES,
    DependencyDescriptor,
    FrameDependencies,
    parse_dependency_descriptor,
)
from sfu.rtp.unwrap import Unwrapper
from sfu.streams.descriptor_reader import DescriptorReader, PacketDescriptor
from sfu.streams.descriptor_rewriter import DescriptorRewriter, DescriptorRewriting
from sfu.streams.selector import PacketFacts
from sfu.streams.temporal import TemporalFilter
from sfu.units import Ssrc
from tests.support.descriptors import L1T3
from tests.unit.rtp.packets import refusal

FOLDER: Final = Path(__file__).parents[2] / "vectors" / "descriptors"
FILES: Final = sorted(FOLDER.glob("*.txt"))
NAMES: Final = [path.stem for path in FILES]


def recorded(path: Path) -> list[tuple[int, bytes]]:
    seqs = Unwrapper(16)
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    return [(seqs.unwrap(int(seq)), bytes.fromhex(value)) for seq, value in lines]


def read(path: Path) -> list[PacketDescriptor]:
    reader = DescriptorReader()
    descriptors = [reader.read(seq, value) for seq, value in recorded(path)]
    return [descriptor for descriptor in descriptors if descriptor is not None]


STREAMS: Final = {path.stem: read(path) for path in FILES}


def test_there_are_recordings_of_all_codecs() -> None:
    assert {name.partition("-")[0] for name in NAMES} == {"vp8", "vp9", "h264", "av1"}


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_every_descriptor_is_read_by_its_structure(path: Path) -> None:
    descriptors = STREAMS[path.stem]
    assert len(descriptors) == len(recorded(path))
    assert all(descriptor.structure is not None for descriptor in descriptors)
    starts = [descriptor.fields.starts_key_frame for descriptor in descriptors]
    assert starts[0]
    assert sum(starts) >= 2
    numbers = [descriptor.frame_number for descriptor in descriptors]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) == sum(descriptor.fields.start_of_frame for descriptor in descriptors)


@pytest.mark.parametrize("name", ["h264-l1t3", "vp9-l1t3", "av1-l1t3"])
def test_three_temporal_layers_are_what_the_tests_make(name: str) -> None:
    structure = STREAMS[name][0].structure
    assert structure is not None
    assert replace(structure, resolutions=L1T3.resolutions) == L1T3


def test_vp8_has_no_chains_and_key_frames_of_the_base_layer_only() -> None:
    structure = STREAMS["vp8-l1t2"][0].structure
    assert structure is not None
    assert structure.templates == (
        FrameDependencies(0, 0, (2, 2), (), ()),
        FrameDependencies(0, 0, (2, 2), (2,), ()),
        FrameDependencies(0, 0, (2, 3), (2,), ()),
        FrameDependencies(0, 1, (0, 2), (1,), ()),
        FrameDependencies(0, 1, (0, 1), (2, 1), ()),
    )


def test_a_spatial_layer_that_is_not_sent_is_no_active_target() -> None:
    actives = [descriptor.active for descriptor in STREAMS["vp9-l2t2"]]
    assert actives[0] == 0b0011
    assert actives[-1] == 0b1111
    own = STREAMS["vp9-l2t2"][1].fields.dependencies
    assert own is not None
    assert own not in L1T3.templates


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_what_is_not_changed_stays_byte_for_byte(path: Path) -> None:
    unchanged = DescriptorRewriting(0, 0, None)
    for descriptor in STREAMS[path.stem]:
        assert unchanged.apply(descriptor) == descriptor.value


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_what_is_rewritten_says_the_same_but_for_its_numbers(path: Path) -> None:
    rewriter, reader = DescriptorRewriter(), DescriptorReader()
    first = L1T3.templates[0]
    before = DescriptorReader().read(70_000, STREAMS["vp9-l1t3"][0].value)
    assert before is not None
    assert before.fields.dependencies == first
    rewriter.forward(Ssrc(1), replace(before, frame_number=2**17 - 3))
    for (seq, _), descriptor in zip(recorded(path), STREAMS[path.stem], strict=True):
        value = rewriter.forward(Ssrc(2), descriptor, descriptor.active & 0b0101).apply(descriptor)
        again = reader.read(seq, value)
        assert again is not None
        assert again.fields.dependencies == descriptor.fields.dependencies
        assert again.active == descriptor.active & 0b0101
        moved = descriptor.frame_number - STREAMS[path.stem][0].frame_number
        assert again.fields.frame_number == (2**16 - 2 + moved) % 2**16


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_every_beginning_is_refused(path: Path) -> None:
    for descriptor in STREAMS[path.stem]:
        for end in range(len(descriptor.value)):
            reason = refusal(partial(read_alone, descriptor), descriptor.value[:end])
            assert (reason is None) is (end == MANDATORY_BYTES)


def read_alone(descriptor: PacketDescriptor, value: bytes) -> DependencyDescriptor:
    return parse_dependency_descriptor(value, descriptor.structure)


@pytest.mark.parametrize("name", NAMES)
def test_a_key_frame_with_a_template_that_it_does_not_bring_is_refused(name: str) -> None:
    for descriptor in STREAMS[name]:
        if descriptor.fields.structure is not None:
            wrong = bytes((descriptor.value[0] | 0x3F, *descriptor.value[1:]))
            assert refusal(parse_dependency_descriptor, wrong) == "dependency_descriptor"


@settings(max_examples=200)
@given(name=st.sampled_from(NAMES), bit=st.integers(0, 8 * 45), data=st.data())
def test_any_bit_may_be_wrong(name: str, bit: int, data: st.DataObject) -> None:
    descriptor = data.draw(st.sampled_from(STREAMS[name]))
    value = bytearray(descriptor.value)
    value[bit // 8 % len(value)] ^= 1 << bit % 8
    assert refusal(partial(read_alone, descriptor), bytes(value)) in {None, "dependency_descriptor"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("limit", [0, 1, ALL_TEMPORAL])
def test_frames_of_real_encoders_are_left_out_so_that_the_rest_can_be_decoded(name: str, limit: int) -> None:
    temporal, passed, left_out = TemporalFilter(), set[int](), 0
    temporal.reset(limit)
    for descriptor in STREAMS[name]:
        frame = descriptor.fields.dependencies
        assert frame is not None
        facts = PacketFacts(0, 1, 1, descriptor.fields.starts_key_frame, descriptor=descriptor)
        if temporal.passes(facts, limit):
            assert frame.temporal_id <= limit
            assert all(descriptor.frame_number - diff in passed for diff in frame.frame_diffs)
            passed.add(descriptor.frame_number)
        else:
            assert frame.temporal_id > limit
            left_out += 1
    assert (left_out > 0) is (limit != ALL_TEMPORAL and (limit == 0 or not name.endswith("t2")))
