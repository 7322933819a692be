"""The dependency descriptor header extension (AV1 RTP payload format, appendix A), read and rewritten.

It tells frame boundaries, layers and key frames without a look at the payload, so that end-to-end encrypted
media can be forwarded layer by layer. Sets of decode targets are bit masks here, as on the wire: bit 0 is
decode target 0.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from sfu.errors import ParseError

MANDATORY_BYTES: Final = 3
FRAME_NUMBER_BITS: Final = 16
MAX_TEMPLATES: Final = 64
MAX_SPATIAL_IDS: Final = 4
MAX_TEMPORAL_IDS: Final = 8
"""Spatial and temporal ids are below these, as in AV1. Receivers refuse a structure with higher ones."""
MAX_FRAME_DIFFS: Final = 16
"""Frames that one frame refers to; the coding allows any number, encoders use seven at most."""

_NEXT_TEMPORAL: Final = 1
_NEXT_SPATIAL: Final = 2
_NO_MORE: Final = 3

_MANDATORY_BITS: Final = 8 * MANDATORY_BYTES
_FLAG_BITS: Final = 5
_STRUCTURE_FLAG: Final = 0x80
_ACTIVE_FLAG: Final = 0x40
"""In the first byte behind the mandatory ones."""


class Indication(enum.IntEnum):
    """What a frame is to a decode target (table A.1)."""

    NOT_PRESENT = 0
    DISCARDABLE = 1
    """No frame of the target depends on it."""
    SWITCH = 2
    """Where it can be decoded, all frames of the target from here on can be."""
    REQUIRED = 3


@dataclass(frozen=True, slots=True)
class FrameDependencies:
    """A frame's layer, what it refers to, what it is to each decode target: a template, or a frame's own."""

    spatial_id: int
    temporal_id: int
    indications: tuple[int, ...]
    """An `Indication` per decode target."""
    frame_diffs: tuple[int, ...]
    """How many frame numbers before it those stand that it refers to."""
    chain_diffs: tuple[int, ...]
    """Per chain, how far back its frame before this one is; 0: it needs none."""

    @property
    def targets(self) -> int:
        """The decode targets that it belongs to."""
        return sum(1 << target for target, indication in enumerate(self.indications) if indication)

    @property
    def switch_targets(self) -> int:
        """Those of them that may begin with it."""
        return sum(
            1 << target
            for target, indication in enumerate(self.indications)
            if indication == Indication.SWITCH
        )


@dataclass(frozen=True, slots=True)
class Structure:
    """The templates that a key frame brings along; frames after it name them by id."""

    template_id_offset: int
    decode_target_count: int
    templates: tuple[FrameDependencies, ...]
    decode_target_protected_by: tuple[int, ...]
    """Chain of each decode target; empty without chains."""
    resolutions: tuple[tuple[int, int], ...]
    """(width, height) of each spatial layer; empty where they are not told."""

    @property
    def every_target(self) -> int:
        """All decode targets."""
        return (1 << self.decode_target_count) - 1

    def template(self, template_id: int) -> FrameDependencies | None:
        """The template of a frame; None where the structure is not the one that the frame means."""
        index = (template_id - self.template_id_offset) % MAX_TEMPLATES
        return self.templates[index] if index < len(self.templates) else None

    def temporal_ids(self) -> tuple[int, ...]:
        """The highest temporal layer of each decode target (`decode_target_layers` in section A.8.2)."""
        return tuple(
            max(
                (template.temporal_id for template in self.templates if template.indications[target]),
                default=0,
            )
            for target in range(self.decode_target_count)
        )


@dataclass(frozen=True, slots=True)
class MaskPlace:
    """Where a descriptor has its mask of active decode targets, or would have it."""

    at_bit: int
    """Bits of the descriptor before it."""
    width: int
    is_there: bool
    used_bits: int
    """Bits of the descriptor that say something; what follows is padding."""


@dataclass(frozen=True, slots=True)
class DependencyDescriptor:
    """The descriptor of one packet."""

    start_of_frame: bool
    end_of_frame: bool
    template_id: int
    frame_number: int
    """16 bits."""
    structure: Structure | None = None
    """The one that came with it."""
    active_decode_targets: int | None = None
    """None where the packet says nothing of it."""
    dependencies: FrameDependencies | None = None
    """Of its frame; None where that is told by a structure that is not known."""
    mask: MaskPlace | None = None
    """None where the structure is not known."""

    @property
    def starts_key_frame(self) -> bool:
        """The structure comes with the first packet of a key frame."""
        return self.start_of_frame and self.structure is not None


def claims_structure(value: bytes) -> bool:
    """Whether a structure comes with this descriptor, readable or not."""
    return len(value) > MANDATORY_BYTES and bool(value[MANDATORY_BYTES] & _STRUCTURE_FLAG)


def parse_dependency_descriptor(value: bytes, structure: Structure | None = None) -> DependencyDescriptor:
    """Read a descriptor.

    Args:
        value: of the extension.
        structure: the last that came in the stream; without one, only what comes before the dependencies of
            the frame is read, and what follows may be anything.

    Raises:
        ParseError: `dependency_descriptor`.
    """
    if len(value) < MANDATORY_BYTES:
        raise ParseError("dependency_descriptor", f"{len(value)} bytes")
    start, end = bool(value[0] & 0x80), bool(value[0] & 0x40)
    template_id, frame_number = value[0] & 0x3F, value[1] << 8 | value[2]
    attached, active, dependencies, mask = None, None, None, None
    if len(value) == MANDATORY_BYTES:
        dependencies = None if structure is None else structure.template(template_id)
        if structure is not None and dependencies is not None:
            at_bit = _MANDATORY_BITS + _FLAG_BITS
            mask = MaskPlace(at_bit, structure.decode_target_count, is_there=False, used_bits=_MANDATORY_BITS)
        return DependencyDescriptor(start, end, template_id, frame_number, None, None, dependencies, mask)
    reader = _BitReader(value)
    reader.bits(_MANDATORY_BITS)
    has_structure, has_active, *custom = (bool(reader.bits(1)) for _ in range(_FLAG_BITS))
    if has_structure:
        structure = attached = _read_structure(reader)
        active = attached.every_target
    template = None if structure is None else structure.template(template_id)
    if attached is not None and template is None:
        raise ParseError("dependency_descriptor", f"template {template_id} is none of its structure")
    if structure is not None and template is not None:
        at_bit, width = reader.position, structure.decode_target_count
        if has_active:
            active = reader.bits(width)
        dependencies = _read_dependencies(reader, template, custom)
        mask = MaskPlace(at_bit, width, is_there=has_active, used_bits=reader.position)
    return DependencyDescriptor(start, end, template_id, frame_number, attached, active, dependencies, mask)


def rewrite_dependency_descriptor(
    value: bytes,
    descriptor: DependencyDescriptor,
    *,
    frame_number: int,
    template_shift: int = 0,
    active: int | None = None,
) -> bytes:
    """The same descriptor with other numbers.

    Args:
        value: as received.
        descriptor: of that value.
        frame_number: modulo 2**16.
        template_shift: what template ids move by, modulo 64.
        active: the decode targets that are active, told in this packet; None leaves what it says of them.
            Where the structure is not known, nothing can be told.
    """
    head = value[0] & 0xC0 | (descriptor.template_id + template_shift) % MAX_TEMPLATES
    rest = bytearray(value[MANDATORY_BYTES:])
    if descriptor.structure is not None:
        offset = (descriptor.structure.template_id_offset + template_shift) % MAX_TEMPLATES
        rest[0] = rest[0] & 0xF8 | offset >> 3
        rest[1] = rest[1] & 0x1F | (offset & 0x07) << 5
    numbers = bytes((head, frame_number >> 8, frame_number & 0xFF))
    if active is None or descriptor.mask is None:
        return numbers + rest
    return numbers + _with_mask(bytes(rest), descriptor.mask, active)


def _with_mask(rest: bytes, mask: MaskPlace, active: int) -> bytes:
    """What follows the mandatory fields, with this mask of active decode targets; padding is left away."""
    rest = rest or b"\x00"  # nothing followed: the flags are all 0
    before_bits = mask.at_bit - _MANDATORY_BITS
    behind_bits = max(mask.used_bits - mask.at_bit - mask.width * mask.is_there, 0)
    bits = int.from_bytes(rest, "big") | _ACTIVE_FLAG << 8 * (len(rest) - 1)
    before = bits >> 8 * len(rest) - before_bits
    behind = bits >> max(8 * len(rest) - mask.used_bits + _MANDATORY_BITS, 0) & ((1 << behind_bits) - 1)
    bits = (before << mask.width | active) << behind_bits | behind
    used_bits = before_bits + mask.width + behind_bits
    return (bits << -used_bits % 8).to_bytes((used_bits + 7) // 8, "big")


class _BitReader:
    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._size = 8 * len(data)
        self.position = 0

    def bits(self, count: int) -> int:
        self.position += count
        if self.position > self._size:
            raise ParseError("dependency_descriptor", "ends early")
        return self._value >> self._size - self.position & ((1 << count) - 1)

    def non_symmetric(self, count: int) -> int:
        """`ns(n)`: a value below `count` in as few bits as can be."""
        width = count.bit_length()
        short = (1 << width) - count
        value = self.bits(width - 1)
        if value < short:
            return value
        return (value << 1) + self.bits(1) - short


def _read_dependencies(
    reader: _BitReader, template: FrameDependencies, custom: list[bool]
) -> FrameDependencies:
    """Those of the template, but for what the frame has of its own."""
    has_indications, has_frame_diffs, has_chain_diffs = custom
    if not any(custom):
        return template
    indications, frame_diffs, chain_diffs = (
        template.indications,
        template.frame_diffs,
        template.chain_diffs,
    )
    if has_indications:
        indications = tuple(reader.bits(2) for _ in indications)
    if has_frame_diffs:
        frame_diffs = _read_own_frame_diffs(reader)
    if has_chain_diffs:
        chain_diffs = tuple(reader.bits(8) for _ in chain_diffs)
    return FrameDependencies(template.spatial_id, template.temporal_id, indications, frame_diffs, chain_diffs)


def _read_structure(reader: _BitReader) -> Structure:
    offset, targets = reader.bits(6), reader.bits(5) + 1
    layers = _read_layers(reader)
    indications = [tuple(reader.bits(2) for _ in range(targets)) for _ in layers]
    diffs = [_read_frame_diffs(reader) for _ in layers]
    chains = reader.non_symmetric(targets + 1)
    protected: tuple[int, ...] = ()
    chain_diffs: list[tuple[int, ...]] = [()] * len(layers)
    if chains:
        protected = tuple(reader.non_symmetric(chains) for _ in range(targets))
        chain_diffs = [tuple(reader.bits(4) for _ in range(chains)) for _ in layers]
    resolutions: tuple[tuple[int, int], ...] = ()
    if reader.bits(1):
        highest, _ = layers[-1]
        resolutions = tuple((reader.bits(16) + 1, reader.bits(16) + 1) for _ in range(highest + 1))
    templates = tuple(
        FrameDependencies(spatial, temporal, *rest)
        for (spatial, temporal), *rest in zip(layers, indications, diffs, chain_diffs, strict=True)
    )
    return Structure(offset, targets, templates, protected, resolutions)


def _read_layers(reader: _BitReader) -> list[tuple[int, int]]:
    layers = [(0, 0)]
    while (step := reader.bits(2)) != _NO_MORE:
        spatial, temporal = layers[-1]
        if step == _NEXT_TEMPORAL:
            temporal += 1
        elif step == _NEXT_SPATIAL:
            spatial, temporal = spatial + 1, 0
        if spatial >= MAX_SPATIAL_IDS or temporal >= MAX_TEMPORAL_IDS:
            raise ParseError("dependency_descriptor", f"layer {spatial}/{temporal}")
        layers.append((spatial, temporal))
        if len(layers) > MAX_TEMPLATES:
            raise ParseError("dependency_descriptor", f"over {MAX_TEMPLATES} templates")
    return layers


def _read_frame_diffs(reader: _BitReader) -> tuple[int, ...]:
    """Those of a template."""
    diffs: list[int] = []
    while reader.bits(1):
        diffs.append(reader.bits(4) + 1)
        _check_count(diffs)
    return tuple(diffs)


def _read_own_frame_diffs(reader: _BitReader) -> tuple[int, ...]:
    """Those of one frame: of 4, 8 or 12 bits."""
    diffs: list[int] = []
    while size := reader.bits(2):
        diffs.append(reader.bits(4 * size) + 1)
        _check_count(diffs)
    return tuple(diffs)


def _check_count(diffs: list[int]) -> None:
    if len(diffs) > MAX_FRAME_DIFFS:
        raise ParseError("dependency_descriptor", f"over {MAX_FRAME_DIFFS} references")
