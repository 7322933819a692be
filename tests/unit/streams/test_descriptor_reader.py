from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.streams.descriptor_reader import MAX_SEQUENCES, DescriptorReader, PacketDescriptor
from tests.support.descriptors import L1T2, L1T3, L1T3_PERIOD, L2T2, key_frame, packet

if TYPE_CHECKING:
    from sfu.rtp.dependency_descriptor import Structure

START = 70_000
"""Sequence number of the first packet, unwrapped."""
FAR = replace(L1T2, template_id_offset=20)
"""Shares no template id with L1T3."""


def read(reader: DescriptorReader, seq: int, value: bytes) -> PacketDescriptor:
    descriptor = reader.read(seq, value)
    assert descriptor is not None
    assert descriptor.value == value
    return descriptor


def joined(structure: Structure = L1T3, number: int = 100) -> DescriptorReader:
    reader = DescriptorReader()
    read(reader, START, key_frame(structure, frame_number=number))
    return reader


@pytest.mark.parametrize("number", [0, 2**15 - 1, 2**15, 2**16 - 1])
def test_frames_are_read_by_the_structure_of_their_key_frame(number: int) -> None:
    reader = DescriptorReader()
    first = read(reader, START, key_frame(L1T3, frame_number=number))
    assert (first.structure, first.sequence_start, first.active) == (L1T3, START, 0b111)
    assert first.fields.starts_key_frame
    for step in range(1, 9):
        template_id = L1T3_PERIOD[(step - 1) % 4]
        descriptor = read(reader, START + step, packet(template_id, number + step))
        assert descriptor.fields.dependencies == L1T3.templates[template_id]
        assert (descriptor.structure, descriptor.sequence_start) == (L1T3, START)
        assert descriptor.frame_number == first.frame_number + step


def test_before_the_structure_comes_a_frame_has_a_number_and_no_more() -> None:
    reader = DescriptorReader()
    first = read(reader, START + 1, packet(3, 101))
    assert (first.structure, first.sequence_start, first.active) == (None, 0, 0)
    read(reader, START, key_frame(L1T3, frame_number=100))
    again = read(reader, START + 1, packet(3, 101))
    assert (again.structure, again.sequence_start, again.active) == (L1T3, START, 0b111)
    assert again.frame_number == first.frame_number


def test_a_frame_of_a_structure_that_has_not_come_waits_for_it() -> None:
    reader = joined()
    early = read(reader, START + 2, packet(21, 102))
    assert (early.structure, early.sequence_start) == (None, 0)
    read(reader, START + 1, key_frame(FAR, frame_number=101))
    assert read(reader, START + 2, packet(21, 102)).structure == FAR


def test_what_is_late_is_read_by_the_structure_of_its_own_key_frame() -> None:
    reader = joined()
    read(reader, START + 10, key_frame(L1T2, frame_number=110))
    late = read(reader, START + 9, packet(3, 109))
    assert (late.structure, late.sequence_start, late.active) == (L1T3, START, 0b111)
    assert read(reader, START + 11, packet(63, 111)).structure == L1T2
    assert read(reader, START - 1, packet(3, 99)).structure is None


def test_a_structure_that_comes_twice_is_one() -> None:
    reader = joined()
    read(reader, START + 1, packet(3, 101, width=3, active=0b011))
    again = read(reader, START, key_frame(L1T3, frame_number=100))
    assert again.sequence_start == START
    assert len(reader._sequences) == 1
    assert read(reader, START + 2, packet(3, 102)).active == 0b011


def test_active_targets_hold_for_the_packets_behind() -> None:
    reader = joined()
    assert read(reader, START + 2, packet(3, 102, width=3, active=0b001)).active == 0b001
    assert read(reader, START + 3, packet(3, 103)).active == 0b001
    # One that is late speaks for itself only.
    assert read(reader, START + 1, packet(3, 101, width=3, active=0b011)).active == 0b011
    assert read(reader, START + 4, packet(3, 104)).active == 0b001
    assert read(reader, START + 5, key_frame(L1T3, 0b101, frame_number=105)).active == 0b101
    assert read(reader, START + 6, packet(3, 106)).active == 0b101
    assert read(reader, START + 7, key_frame(L1T3, frame_number=107)).active == 0b111


def test_numbers_go_on_where_an_encoder_starts_anew() -> None:
    reader = joined(number=20_000)
    before = read(reader, START + 1, packet(3, 20_001))
    first = read(reader, START + 2, key_frame(FAR, frame_number=7))
    assert first.frame_number == before.frame_number + 1
    assert read(reader, START + 3, packet(21, 8)).frame_number == first.frame_number + 1
    assert read(reader, START + 1, packet(3, 20_001)).frame_number == before.frame_number
    again = read(reader, START + 4, key_frame(L1T3, frame_number=9))
    assert again.frame_number == first.frame_number + 2


def test_a_key_frame_that_is_late_is_no_new_start() -> None:
    reader = joined(number=100)
    newest = read(reader, START + 5, packet(3, 105))
    late = read(reader, START + 1, key_frame(FAR, frame_number=101))
    assert late.frame_number == newest.frame_number - 4


@pytest.mark.parametrize("value", [b"", b"\xc0", packet(3, 101, chain_diffs=(1,))[:4]])
def test_what_can_not_be_read_is_for_nobody(value: bytes) -> None:
    reader = joined()
    assert reader.read(START + 1, value) is None
    assert read(reader, START + 2, packet(3, 102)).structure == L1T3


def test_a_structure_that_can_not_be_read_takes_its_frames_along() -> None:
    reader = joined()
    assert reader.read(START + 5, key_frame(L2T2)[:9]) is None
    assert reader.read(START + 6, packet(3, 106)) is None
    assert read(reader, START + 4, packet(3, 104)).structure == L1T3
    assert read(reader, START + 7, key_frame(L2T2, frame_number=107)).structure == L2T2
    assert read(reader, START + 8, packet(2, 108)).structure == L2T2
    assert reader.read(START + 6, packet(3, 106)) is None


def test_a_stream_that_starts_with_a_broken_structure_has_no_descriptors() -> None:
    reader = DescriptorReader()
    assert reader.read(START, key_frame(L2T2)[:9]) is None
    assert reader.read(START + 1, packet(3, 101)) is None


def test_a_structure_behind_the_first_packet_of_a_frame_is_refused() -> None:
    reader = joined()
    value = packet(0, 101, start=False, structure=L1T3)
    assert reader.read(START + 1, value) is None
    assert read(reader, START + 2, packet(3, 102)).sequence_start == START


def test_sequences_remembered_are_bounded() -> None:
    reader = DescriptorReader()
    for step in range(2 * MAX_SEQUENCES):
        read(reader, START + 10 * step, key_frame(L1T3, frame_number=step))
    assert len(reader._sequences) == MAX_SEQUENCES
    assert read(reader, START + 10 * MAX_SEQUENCES + 1, packet(3, 5)).structure == L1T3
    assert read(reader, START + 10 * MAX_SEQUENCES - 1, packet(3, 5)).structure is None
    older = read(reader, START + 3, key_frame(L1T2, frame_number=1))
    assert older.structure == L1T2
    assert len(reader._sequences) == MAX_SEQUENCES


@given(
    st.lists(
        st.tuples(
            st.integers(START, START + 50),
            st.binary(max_size=30)
            | st.sampled_from([key_frame(L1T3), key_frame(L2T2, 3), packet(3, 5), packet(2, 70, end=False)]),
        ),
        max_size=40,
    )
)
def test_any_bytes_are_read_or_not(values: list[tuple[int, bytes]]) -> None:
    reader = DescriptorReader()
    for seq, value in values:
        descriptor = reader.read(seq, value)
        assert len(reader._sequences) <= MAX_SEQUENCES
        if descriptor is not None and descriptor.structure is not None:
            assert descriptor.sequence_start <= seq
            assert descriptor.active <= descriptor.structure.every_target
