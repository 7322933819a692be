"""The dependency descriptor header extension (AV1 RTP payload format, appendix A).

It tells frame boundaries, layers and key frames without a look at the payload, so that end-to-end encrypted
media can be forwarded layer by layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sfu.errors import ParseError

MANDATORY_BYTES: Final = 3
MAX_TEMPLATES: Final = 64
MAX_FRAME_DIFFS: Final = 16
"""Frames that one template refers to; the coding allows any number."""

_NEXT_TEMPORAL: Final = 1
_NEXT_SPATIAL: Final = 2
_NO_MORE: Final = 3


@dataclass(frozen=True, slots=True)
class Template:
    """One kind of frame: its layer, what it refers to, what it means to each decode target."""

    spatial_id: int
    temporal_id: int
    decode_target_indications: tuple[int, ...]
    """Per decode target: 0 not present, 1 discardable, 2 switch, 3 required."""
    frame_diffs: tuple[int, ...]
    chain_diffs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Structure:
    """The templates that a key frame brings along; frames after it name them by id."""

    template_id_offset: int
    decode_target_count: int
    templates: tuple[Template, ...]
    decode_target_protected_by: tuple[int, ...]
    """Chain of each decode target; empty without chains."""
    resolutions: tuple[tuple[int, int], ...]
    """(width, height) of each spatial layer; empty where they are not told."""

    def template(self, template_id: int) -> Template | None:
        """The template of a frame; None where the structure is not the one that the frame means."""
        index = (template_id - self.template_id_offset) % MAX_TEMPLATES
        return self.templates[index] if index < len(self.templates) else None


@dataclass(frozen=True, slots=True)
class DependencyDescriptor:
    """The descriptor of one packet."""

    start_of_frame: bool
    end_of_frame: bool
    template_id: int
    frame_number: int
    """16 bits."""
    structure: Structure | None = None
    active_decode_targets: int | None = None
    """Bit mask; None where the packet says nothing of it."""

    @property
    def starts_key_frame(self) -> bool:
        """The structure comes with the first packet of a key frame."""
        return self.start_of_frame and self.structure is not None


def parse_dependency_descriptor(value: bytes) -> DependencyDescriptor:
    """Read the mandatory fields and, where it is attached, the structure.

    Raises:
        ParseError: `dependency_descriptor`.
    """
    if len(value) < MANDATORY_BYTES:
        raise ParseError("dependency_descriptor", f"{len(value)} bytes")
    reader = _BitReader(value)
    start, end = bool(reader.bits(1)), bool(reader.bits(1))
    template_id, frame_number = reader.bits(6), reader.bits(16)
    structure, active = None, None
    if len(value) > MANDATORY_BYTES:
        has_structure, has_active = reader.bits(1), reader.bits(1)
        reader.bits(3)  # custom dependencies of this frame only, which forwarding does not need
        if has_structure:
            structure = _read_structure(reader)
            active = (1 << structure.decode_target_count) - 1
        if has_active:
            # The mask's width is the structure's; without one it was told before and is not read again.
            active = reader.bits(structure.decode_target_count) if structure is not None else None
    return DependencyDescriptor(start, end, template_id, frame_number, structure, active)


class _BitReader:
    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def bits(self, count: int) -> int:
        if count > self._left:
            raise ParseError("dependency_descriptor", "ends early")
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def non_symmetric(self, count: int) -> int:
        """`ns(n)`: a value below `count` in as few bits as can be."""
        width = count.bit_length()
        short = (1 << width) - count
        value = self.bits(width - 1)
        if value < short:
            return value
        return (value << 1) + self.bits(1) - short


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
        highest = max(spatial for spatial, _ in layers)
        resolutions = tuple((reader.bits(16) + 1, reader.bits(16) + 1) for _ in range(highest + 1))
    templates = tuple(
        Template(spatial, temporal, *rest)
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
        layers.append((spatial, temporal))
        if len(layers) > MAX_TEMPLATES:
            raise ParseError("dependency_descriptor", f"over {MAX_TEMPLATES} templates")
    return layers


def _read_frame_diffs(reader: _BitReader) -> tuple[int, ...]:
    diffs: list[int] = []
    while reader.bits(1):
        if len(diffs) == MAX_FRAME_DIFFS:
            raise ParseError("dependency_descriptor", f"over {MAX_FRAME_DIFFS} references")
        diffs.append(reader.bits(4) + 1)
    return tuple(diffs)
