from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import ParseError
from sfu.rtp.dependency_descriptor import (
    MAX_FRAME_DIFFS,
    MAX_TEMPLATES,
    DependencyDescriptor,
    Structure,
    Template,
    parse_dependency_descriptor,
)
from tests.unit.rtp.packets import refusal

L1T2 = Structure(
    template_id_offset=62,
    decode_target_count=2,
    templates=(
        Template(0, 0, (2, 2), (), (0,)),
        Template(0, 0, (3, 3), (2,), (2,)),
        Template(0, 1, (0, 1), (1,), (1,)),
    ),
    decode_target_protected_by=(0, 0),
    resolutions=((1280, 720),),
)
"""One spatial and two temporal layers, as in the examples of appendix A."""

L2T2 = Structure(
    template_id_offset=0,
    decode_target_count=4,
    templates=(
        Template(0, 0, (2, 2, 2, 2), (), (0, 0)),
        Template(0, 0, (3, 3, 3, 3), (4,), (4, 3)),
        Template(0, 1, (0, 1, 0, 1), (2,), (2, 1)),
        Template(1, 0, (0, 0, 2, 2), (1,), (1, 1)),
        Template(1, 0, (0, 0, 3, 3), (1, 4), (1, 4)),
        Template(1, 1, (0, 0, 0, 1), (1, 2), (3, 2)),
    ),
    decode_target_protected_by=(0, 0, 1, 1),
    resolutions=((640, 360), (1280, 720)),
)
WITHOUT_CHAINS = Structure(7, 1, (Template(0, 0, (3,), (), ()), Template(0, 0, (3,), (1,), ())), (), ())


class BitWriter:
    def __init__(self) -> None:
        self.text = ""

    def bits(self, count: int, value: int) -> None:
        assert value < 1 << count
        self.text += f"{value:0{count}b}" if count else ""

    def non_symmetric(self, count: int, value: int) -> None:
        """`ns(n)` of AV1, section 4.10.7, by its definition there."""
        width = 0
        while count >> width:
            width += 1
        short = (1 << width) - count
        if value < short:
            self.bits(width - 1, value)
        else:
            self.bits(width, value + short)

    def bytes(self) -> bytes:
        text = self.text + "0" * (-len(self.text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big")


def head_of(first: int, template_id: int, frame_number: int) -> BitWriter:
    writer = BitWriter()
    writer.bits(2, first)
    writer.bits(6, template_id)
    writer.bits(16, frame_number)
    return writer


def write_layers(writer: BitWriter, structure: Structure) -> None:
    for before, template in zip(structure.templates, structure.templates[1:], strict=False):
        if template.spatial_id != before.spatial_id:
            writer.bits(2, 2)
        else:
            writer.bits(2, template.temporal_id - before.temporal_id)
    writer.bits(2, 3)


def write_structure(writer: BitWriter, structure: Structure) -> None:
    templates = structure.templates
    writer.bits(6, structure.template_id_offset)
    writer.bits(5, structure.decode_target_count - 1)
    write_layers(writer, structure)
    for template in templates:
        for indication in template.decode_target_indications:
            writer.bits(2, indication)
    for template in templates:
        for diff in template.frame_diffs:
            writer.bits(5, 16 | diff - 1)
        writer.bits(1, 0)
    chains = len(templates[0].chain_diffs)
    writer.non_symmetric(structure.decode_target_count + 1, chains)
    for chain in structure.decode_target_protected_by:
        writer.non_symmetric(chains, chain)
    for template in templates:
        for diff in template.chain_diffs:
            writer.bits(4, diff)
    writer.bits(1, int(bool(structure.resolutions)))
    for width, height in structure.resolutions:
        writer.bits(16, width - 1)
        writer.bits(16, height - 1)


def key_frame(structure: Structure, active: int | None = None) -> bytes:
    writer = head_of(0b11, structure.template_id_offset, 0x1234)
    writer.bits(2, 0b10 if active is None else 0b11)
    writer.bits(3, 0)
    write_structure(writer, structure)
    if active is not None:
        writer.bits(structure.decode_target_count, active)
    return writer.bytes()


def structure_of(count: int, diffs: int = 0) -> Structure:
    """A structure of that many templates, the first with that many references."""
    first = Template(0, 0, (3,), (1,) * diffs, ())
    return Structure(0, 1, (first, *(Template(0, 0, (3,), (), ()) for _ in range(count - 1))), (), ())


def test_the_mandatory_fields_are_three_bytes() -> None:
    assert parse_dependency_descriptor(bytes.fromhex("86abcd")) == DependencyDescriptor(
        start_of_frame=True, end_of_frame=False, template_id=6, frame_number=0xABCD
    )
    assert parse_dependency_descriptor(bytes.fromhex("7f0001")) == DependencyDescriptor(
        start_of_frame=False, end_of_frame=True, template_id=63, frame_number=1
    )


@pytest.mark.parametrize("structure", [L1T2, L2T2, WITHOUT_CHAINS])
def test_a_key_frame_brings_its_structure(structure: Structure) -> None:
    descriptor = parse_dependency_descriptor(key_frame(structure))
    assert descriptor.structure == structure
    assert descriptor.active_decode_targets == (1 << structure.decode_target_count) - 1
    assert descriptor.starts_key_frame
    assert descriptor.frame_number == 0x1234


def test_a_key_frame_is_where_the_format_puts_it() -> None:
    # 11 111110 | frame number | 10 000 | 111110 00001 | 00 01 11 | 1010 1111 0001 | 0 100010 100000 |
    # ns(3)=1: 10 | ns(1)=0: none | 0000 0010 0001 | 1 | 1279 | 719
    text = "11111110" + f"{0x1234:016b}" + "10000" + "111110" + "00001" + "000111" + "101011110001"
    text += (
        "0" + "1" + "0001" + "0" + "1" + "0000" + "0" + "10" + "000000100001" + "1" + f"{1279:016b}{719:016b}"
    )
    text += "0" * (-len(text) % 8)
    assert key_frame(L1T2) == int(text, 2).to_bytes(len(text) // 8, "big")


@pytest.mark.parametrize("active", [0b0000, 0b0011, 0b1111])
def test_a_structure_may_come_with_the_targets_that_are_active(active: int) -> None:
    assert parse_dependency_descriptor(key_frame(L2T2, active)).active_decode_targets == active


def test_active_targets_without_a_structure_are_not_guessed() -> None:
    writer = head_of(0b11, 1, 2)
    writer.bits(5, 0b01000)
    writer.bits(4, 0b0011)
    descriptor = parse_dependency_descriptor(writer.bytes())
    assert descriptor.active_decode_targets is None
    assert descriptor.structure is None
    assert not descriptor.starts_key_frame


def test_a_frame_with_dependencies_of_its_own_is_no_key_frame() -> None:
    writer = head_of(0b10, 1, 2)
    writer.bits(5, 0b00111)
    descriptor = parse_dependency_descriptor(writer.bytes())
    assert descriptor == DependencyDescriptor(True, False, 1, 2)
    assert not descriptor.starts_key_frame


def test_only_the_first_packet_starts_a_key_frame() -> None:
    data = bytearray(key_frame(L1T2))
    data[0] &= 0x7F
    descriptor = parse_dependency_descriptor(bytes(data))
    assert descriptor.structure == L1T2
    assert not descriptor.starts_key_frame


def test_a_template_is_found_by_its_id_over_the_wrap() -> None:
    assert [L1T2.template(number) for number in (62, 63, 0)] == list(L1T2.templates)
    assert L1T2.template(1) is None
    assert L1T2.template(61) is None


def test_as_many_templates_as_can_be_named_are_read() -> None:
    structure = parse_dependency_descriptor(key_frame(structure_of(MAX_TEMPLATES))).structure
    assert structure is not None
    assert len(structure.templates) == MAX_TEMPLATES
    with pytest.raises(ParseError, match="templates"):
        parse_dependency_descriptor(key_frame(structure_of(MAX_TEMPLATES + 1)))


def test_as_many_references_as_are_allowed_are_read() -> None:
    structure = parse_dependency_descriptor(key_frame(structure_of(1, MAX_FRAME_DIFFS))).structure
    assert structure is not None
    assert len(structure.templates[0].frame_diffs) == MAX_FRAME_DIFFS
    with pytest.raises(ParseError, match="references"):
        parse_dependency_descriptor(key_frame(structure_of(1, MAX_FRAME_DIFFS + 1)))


@pytest.mark.parametrize("structure", [L1T2, L2T2])
def test_every_beginning_of_a_structure_is_refused(structure: Structure) -> None:
    data = key_frame(structure)
    for end in range(len(data)):
        assert (refusal(parse_dependency_descriptor, data[:end]) is None) is (end == 3)


@given(
    value=st.binary(max_size=60)
    | st.binary(max_size=250).map(lambda rest: b"\xc0\x00\x01" + bytes((0x80,)) + rest)
)
def test_any_bytes_are_a_descriptor_or_refused(value: bytes) -> None:
    assert refusal(parse_dependency_descriptor, value) in {None, "dependency_descriptor"}


templates = st.builds(
    Template,
    st.just(0),
    st.just(0),
    st.tuples(*[st.integers(0, 3)] * 3),
    st.lists(st.integers(1, 16), max_size=4).map(tuple),
    st.tuples(*[st.integers(0, 15)] * 3),
)


@given(
    offset=st.integers(0, 63),
    some=st.lists(templates, min_size=1, max_size=12).map(tuple),
    chains=st.tuples(*[st.integers(0, 2)] * 3),
    resolution=st.none() | st.tuples(st.integers(1, 65_536), st.integers(1, 65_536)),
)
def test_a_structure_survives_the_wire(
    offset: int, some: tuple[Template, ...], chains: tuple[int, ...], resolution: tuple[int, int] | None
) -> None:
    structure = Structure(offset, 3, some, chains, () if resolution is None else (resolution,))
    assert parse_dependency_descriptor(key_frame(structure)).structure == structure
