from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import ParseError
from sfu.rtp.dependency_descriptor import (
    MANDATORY_BYTES,
    MAX_FRAME_DIFFS,
    MAX_SPATIAL_IDS,
    MAX_TEMPLATES,
    MAX_TEMPORAL_IDS,
    DependencyDescriptor,
    FrameDependencies,
    Structure,
    claims_structure,
    parse_dependency_descriptor,
    rewrite_dependency_descriptor,
)
from tests.support.descriptors import L1T2, L1T3, L2T2, WITHOUT_CHAINS, key_frame, packet
from tests.unit.rtp.packets import refusal


def structure_of(count: int, diffs: int = 0) -> Structure:
    """A structure of that many templates, the first with that many references."""
    first = FrameDependencies(0, 0, (3,), (1,) * diffs, ())
    return Structure(
        0, 1, (first, *(FrameDependencies(0, 0, (3,), (), ()) for _ in range(count - 1))), (), ()
    )


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


def test_a_frame_without_its_structure_tells_its_number_and_nothing_else() -> None:
    for value in (packet(1, 2), packet(1, 2, width=4, active=0b0011), packet(1, 2, frame_diffs=(1, 300))):
        assert parse_dependency_descriptor(value) == DependencyDescriptor(True, True, 1, 2)
        assert not parse_dependency_descriptor(value).starts_key_frame


def test_a_frame_is_what_its_template_says() -> None:
    for template_id, template in zip((62, 63, 0), L1T2.templates, strict=True):
        descriptor = parse_dependency_descriptor(packet(template_id, 7, start=False), L1T2)
        assert descriptor.dependencies == template
        assert (descriptor.structure, descriptor.active_decode_targets) == (None, None)
    outside = parse_dependency_descriptor(packet(1, 7), L1T2)
    assert (outside.dependencies, outside.mask) == (None, None)


def test_a_frame_may_have_dependencies_of_its_own() -> None:
    value = packet(2, 9, indications=(2, 0, 3, 1), frame_diffs=(1, 17, 4_096), chain_diffs=(255, 0))
    dependencies = parse_dependency_descriptor(value, L2T2).dependencies
    assert dependencies == FrameDependencies(0, 1, (2, 0, 3, 1), (1, 17, 4_096), (255, 0))
    assert (dependencies.targets, dependencies.switch_targets) == (0b1101, 0b0001)
    for part, expected in (
        (packet(2, 9, indications=(0, 0, 0, 0)), replace(L2T2.templates[2], indications=(0, 0, 0, 0))),
        (packet(2, 9, frame_diffs=()), replace(L2T2.templates[2], frame_diffs=())),
        (packet(2, 9, chain_diffs=(9, 8)), replace(L2T2.templates[2], chain_diffs=(9, 8))),
    ):
        assert parse_dependency_descriptor(part, L2T2).dependencies == expected


def test_active_targets_are_as_many_bits_as_the_structure_has_targets() -> None:
    value = packet(2, 9, width=4, active=0b0101, chain_diffs=(3, 4))
    descriptor = parse_dependency_descriptor(value, L2T2)
    assert descriptor.active_decode_targets == 0b0101
    assert descriptor.dependencies == replace(L2T2.templates[2], chain_diffs=(3, 4))


def test_a_key_frame_must_be_of_its_own_structure() -> None:
    assert refusal(parse_dependency_descriptor, packet(5, 1, structure=L1T3)) == "dependency_descriptor"
    assert parse_dependency_descriptor(packet(4, 1, structure=L1T3)).dependencies == L1T3.templates[4]


def test_a_new_structure_takes_the_place_of_the_one_known() -> None:
    descriptor = parse_dependency_descriptor(key_frame(L1T3), L2T2)
    assert descriptor.dependencies == L1T3.templates[0]


def test_the_layers_of_decode_targets_are_the_highest_of_their_frames() -> None:
    assert L1T3.temporal_ids() == (0, 1, 2)
    assert L2T2.temporal_ids() == (0, 1, 0, 1)
    assert WITHOUT_CHAINS.temporal_ids() == (0,)
    assert replace(WITHOUT_CHAINS, templates=(FrameDependencies(0, 3, (0,), (), ()),)).temporal_ids() == (0,)
    assert (L1T3.every_target, L2T2.every_target) == (0b111, 0b1111)


def test_it_is_told_whether_a_structure_comes_along() -> None:
    assert claims_structure(key_frame(L1T2))
    assert claims_structure(key_frame(L1T2)[:4])
    assert not claims_structure(packet(1, 2))
    assert not claims_structure(packet(1, 2, width=2, active=1))


def layered(spatial_steps: int, temporal_steps: int) -> Structure:
    layers = [(0, temporal) for temporal in range(temporal_steps + 1)]
    layers += [(spatial + 1, 0) for spatial in range(spatial_steps)]
    return Structure(0, 1, tuple(FrameDependencies(*layer, (3,), (), ()) for layer in layers), (), ())


def test_layers_are_as_many_as_a_receiver_takes() -> None:
    most = layered(MAX_SPATIAL_IDS - 1, MAX_TEMPORAL_IDS - 1)
    assert parse_dependency_descriptor(key_frame(most)).structure == most
    for more in (layered(MAX_SPATIAL_IDS, 0), layered(0, MAX_TEMPORAL_IDS)):
        assert refusal(parse_dependency_descriptor, key_frame(more)) == "dependency_descriptor"


def test_a_frame_may_not_refer_to_more_frames_than_are_allowed() -> None:
    most = packet(2, 9, frame_diffs=range(1, MAX_FRAME_DIFFS + 1))
    assert parse_dependency_descriptor(most, L2T2).dependencies is not None
    assert refusal(read_by_l2t2, packet(2, 9, frame_diffs=range(1, MAX_FRAME_DIFFS + 2))) is not None


def read_by_l2t2(value: bytes) -> DependencyDescriptor:
    return parse_dependency_descriptor(value, L2T2)


def test_every_beginning_of_a_frames_own_dependencies_is_refused() -> None:
    value = packet(
        2, 9, width=4, active=1, indications=(0, 1, 2, 3), frame_diffs=(1, 4_096), chain_diffs=(9, 8)
    )
    for end in range(len(value)):
        assert (refusal(read_by_l2t2, value[:end]) is None) is (end == MANDATORY_BYTES)


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


# --- rewriting ---------------------------------------------------------------------------------------------


def rewritten(value: bytes, known: Structure | None, number: int, shift: int, active: int | None) -> bytes:
    descriptor = parse_dependency_descriptor(value, known)
    return rewrite_dependency_descriptor(
        value, descriptor, frame_number=number, template_shift=shift, active=active
    )


def test_a_short_descriptor_grows_by_the_mask_and_its_flags() -> None:
    assert rewritten(packet(3, 9), L1T3, 65_535, 2, None) == bytes.fromhex("c5ffff")
    assert rewritten(packet(3, 9, end=False), L1T3, 1, 61, 0b011) == bytes.fromhex("80000143")


def test_what_the_publisher_says_of_active_targets_is_replaced() -> None:
    value = packet(3, 9, width=3, active=0b111)
    assert rewritten(value, L1T3, 9, 0, 0b001) == packet(3, 9, width=3, active=0b001)
    assert rewritten(value, L1T3, 9, 0, None) == value


def test_a_structure_moves_its_templates_and_takes_a_mask_behind_it() -> None:
    moved = replace(L2T2, template_id_offset=61)
    assert rewritten(key_frame(L2T2), None, 7, 61, None) == key_frame(moved, frame_number=7)
    assert rewritten(key_frame(L2T2), None, 7, 61, 0b0101) == key_frame(moved, 0b0101, frame_number=7)
    assert rewritten(key_frame(L2T2, 0b1111), None, 7, 0, 0b0101) == key_frame(L2T2, 0b0101, frame_number=7)


def test_padding_is_left_away_where_a_mask_is_written() -> None:
    assert rewritten(packet(3, 9, width=3, active=0b111) + bytes(9), L1T3, 9, 0, 0b001) == packet(
        3, 9, width=3, active=0b001
    )
    assert rewritten(packet(3, 9) + bytes(2), L1T3, 9, 0, 0b010) == packet(3, 9, width=3, active=0b010)


def test_without_the_structure_numbers_move_and_what_cannot_be_read_stays() -> None:
    value = packet(3, 9, width=3, active=0b111, frame_diffs=(4,))
    assert rewritten(value, None, 10, 1, 0b001) == packet(4, 10, width=3, active=0b111, frame_diffs=(4,))


@given(
    structure=st.sampled_from([L1T2, L1T3, L2T2, WITHOUT_CHAINS]),
    index=st.integers(0, 2),
    brings=st.booleans(),
    ends=st.tuples(st.booleans(), st.booleans()),
    told=st.none() | st.integers(0, 15),
    own=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    diffs=st.lists(st.integers(1, 4_096), max_size=4),
    number=st.integers(0, 0xFFFF),
    shift=st.integers(0, 63),
    active=st.none() | st.integers(0, 15),
    padding=st.integers(0, 3),
)
def test_rewriting_changes_what_it_says_and_nothing_else(
    structure: Structure,
    index: int,
    *,
    brings: bool,
    ends: tuple[bool, bool],
    told: int | None,
    own: tuple[bool, bool, bool],
    diffs: list[int],
    number: int,
    shift: int,
    active: int | None,
    padding: int,
) -> None:
    template_id = (structure.template_id_offset + index % len(structure.templates)) % MAX_TEMPLATES
    width, every = structure.decode_target_count, structure.every_target
    value = packet(
        template_id,
        4_711,
        start=ends[0],
        end=ends[1],
        structure=structure if brings else None,
        width=width,
        active=None if told is None else told & every,
        indications=[1] * width if own[0] else None,
        frame_diffs=diffs if own[1] else None,
        chain_diffs=[200] * len(structure.templates[0].chain_diffs) if own[2] else None,
    ) + bytes(padding)
    before = parse_dependency_descriptor(value, structure)
    wanted = None if active is None else active & every
    moved = replace(structure, template_id_offset=(structure.template_id_offset + shift) % MAX_TEMPLATES)
    after = parse_dependency_descriptor(
        rewrite_dependency_descriptor(
            value, before, frame_number=number, template_shift=shift, active=wanted
        ),
        moved,
    )
    assert replace(after, mask=None) == replace(
        before,
        frame_number=number,
        template_id=(template_id + shift) % MAX_TEMPLATES,
        structure=moved if brings else None,
        active_decode_targets=before.active_decode_targets if wanted is None else wanted,
        mask=None,
    )


@given(
    value=st.binary(max_size=60)
    | st.binary(max_size=250).map(lambda rest: b"\xc0\x00\x01" + bytes((0x80,)) + rest)
)
def test_any_bytes_are_a_descriptor_or_refused(value: bytes) -> None:
    assert refusal(parse_dependency_descriptor, value) in {None, "dependency_descriptor"}
    if refusal(read_by_l2t2, value) is None:
        again = rewritten(value, L2T2, 1, 0, 0b0001)
        assert parse_dependency_descriptor(again, L2T2).frame_number == 1


templates = st.builds(
    FrameDependencies,
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
    offset: int,
    some: tuple[FrameDependencies, ...],
    chains: tuple[int, ...],
    resolution: tuple[int, int] | None,
) -> None:
    structure = Structure(offset, 3, some, chains, () if resolution is None else (resolution,))
    assert parse_dependency_descriptor(key_frame(structure)).structure == structure
