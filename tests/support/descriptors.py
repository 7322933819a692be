"""Dependency descriptors as encoders write them (AV1 RTP payload format, appendix A)."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from sfu.rtp.dependency_descriptor import FrameDependencies, Structure

if TYPE_CHECKING:
    from collections.abc import Sequence

L1T3: Final = Structure(
    template_id_offset=0,
    decode_target_count=3,
    templates=(
        FrameDependencies(0, 0, (2, 2, 2), (), (0,)),
        FrameDependencies(0, 0, (2, 2, 2), (4,), (4,)),
        FrameDependencies(0, 1, (0, 1, 2), (2,), (2,)),
        FrameDependencies(0, 2, (0, 0, 1), (1,), (1,)),
        FrameDependencies(0, 2, (0, 0, 1), (1,), (3,)),
    ),
    decode_target_protected_by=(0, 0, 0),
    resolutions=((640, 360),),
)
"""One spatial and three temporal layers, in libwebrtc's order: decode target 0 is the lowest."""
L1T3_PERIOD: Final = (3, 2, 4, 1)
"""The templates of the frames behind a key frame, over and over."""

L1T2: Final = Structure(
    template_id_offset=62,
    decode_target_count=2,
    templates=(
        FrameDependencies(0, 0, (2, 2), (), (0,)),
        FrameDependencies(0, 0, (3, 3), (2,), (2,)),
        FrameDependencies(0, 1, (0, 1), (1,), (1,)),
    ),
    decode_target_protected_by=(0, 0),
    resolutions=((1280, 720),),
)
"""One spatial and two temporal layers, template ids over their wrap."""

L2T2: Final = Structure(
    template_id_offset=0,
    decode_target_count=4,
    templates=(
        FrameDependencies(0, 0, (2, 2, 2, 2), (), (0, 0)),
        FrameDependencies(0, 0, (2, 2, 3, 3), (4,), (4, 3)),
        FrameDependencies(0, 1, (0, 1, 0, 3), (2,), (2, 1)),
        FrameDependencies(1, 0, (0, 0, 2, 2), (1,), (1, 1)),
        FrameDependencies(1, 0, (0, 0, 2, 2), (1, 4), (1, 1)),
        FrameDependencies(1, 1, (0, 0, 0, 1), (1, 2), (3, 2)),
    ),
    decode_target_protected_by=(0, 0, 1, 1),
    resolutions=((640, 360), (1280, 720)),
)
"""Two spatial layers, the upper built on the lower, with two temporal layers each."""

WITHOUT_CHAINS: Final = Structure(
    7, 1, (FrameDependencies(0, 0, (3,), (), ()), FrameDependencies(0, 0, (3,), (1,), ())), (), ()
)


class BitWriter:
    """Fields of any width, one after the other."""

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


def packet(  # one argument per field of the format
    template_id: int,
    frame_number: int,
    *,
    start: bool = True,
    end: bool = True,
    structure: Structure | None = None,
    width: int = 0,
    active: int | None = None,
    indications: Sequence[int] | None = None,
    frame_diffs: Sequence[int] | None = None,
    chain_diffs: Sequence[int] | None = None,
) -> bytes:
    """The descriptor of a packet. `width` is the number of decode targets where no structure tells it."""
    writer = BitWriter()
    writer.bits(2, start << 1 | end)
    writer.bits(6, template_id)
    writer.bits(16, frame_number & 0xFFFF)
    flags = [part is not None for part in (structure, active, indications, frame_diffs, chain_diffs)]
    if any(flags):
        for flag in flags:
            writer.bits(1, flag)
    if structure is not None:
        write_structure(writer, structure)
    if active is not None:
        writer.bits(width if structure is None else structure.decode_target_count, active)
    for indication in indications or ():
        writer.bits(2, indication)
    if frame_diffs is not None:
        for diff in frame_diffs:
            size = ((diff - 1).bit_length() + 3) // 4 or 1
            writer.bits(2, size)
            writer.bits(4 * size, diff - 1)
        writer.bits(2, 0)
    for diff in chain_diffs or ():
        writer.bits(8, diff)
    return writer.bytes()


def key_frame(structure: Structure, active: int | None = None, *, frame_number: int = 0x1234) -> bytes:
    """The descriptor of a key frame that is one packet."""
    return packet(structure.template_id_offset, frame_number, structure=structure, active=active)


def write_structure(writer: BitWriter, structure: Structure) -> None:
    templates = structure.templates
    writer.bits(6, structure.template_id_offset)
    writer.bits(5, structure.decode_target_count - 1)
    _write_layers(writer, templates)
    for template in templates:
        for indication in template.indications:
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


def _write_layers(writer: BitWriter, templates: Sequence[FrameDependencies]) -> None:
    for before, template in pairwise(templates):
        if template.spatial_id != before.spatial_id:
            writer.bits(2, 2)
        else:
            writer.bits(2, template.temporal_id - before.temporal_id)
    writer.bits(2, 3)
