"""Reads the dependency descriptors of one RTP stream: each by the structure of its key frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sfu.errors import ParseError
from sfu.rtp.dependency_descriptor import FRAME_NUMBER_BITS, claims_structure, parse_dependency_descriptor
from sfu.rtp.unwrap import Unwrapper

if TYPE_CHECKING:
    from sfu.rtp.dependency_descriptor import DependencyDescriptor, Structure

MAX_SEQUENCES: Final = 4
"""Coded video sequences remembered of one stream, one for each key frame: what comes late is read by its own.
Lower: packets from before the last key frames can't be read. Higher: nothing that is of use any more."""


@dataclass(frozen=True, slots=True)
class PacketDescriptor:
    """The descriptor of one packet, read in its place among those of its stream."""

    value: bytes
    """As received."""
    fields: DependencyDescriptor
    frame_number: int
    """Unwrapped. It goes on where an encoder starts its numbers anew."""
    sequence_start: int = 0
    """Sequence number of the packet that began the coded video sequence; 0 where `structure` is None."""
    structure: Structure | None = None
    """Of that sequence; None where it has not come, or the frame means one that has not."""
    active: int = 0
    """Decode targets that the publisher sends, as of this packet."""


@dataclass(slots=True)
class _Sequence:
    """A coded video sequence: from one key frame to the next."""

    first_seq: int
    structure: Structure | None
    """None: it came, and could not be read."""
    shift: int
    """From the encoder's frame numbers to ours."""
    active: int = 0
    told_seq: int = 0
    """Sequence number of the packet that told which targets are active."""


class DescriptorReader:
    """What is known of one RTP stream's frames.

    A structure holds for the packets behind the one that brought it, by sequence number: what is late is read
    by the structure of its own key frame. A structure that can't be read takes with it the descriptors of all
    frames up to the next.
    """

    def __init__(self) -> None:
        self._numbers = Unwrapper(FRAME_NUMBER_BITS)
        self._sequences: list[_Sequence] = []
        # Unwrapped numbers start one turn up.
        self._newest_seq = 0
        self._highest_number = 0

    def read(self, seq: int, value: bytes) -> PacketDescriptor | None:
        """Read the descriptor of a packet; None for one that nobody can make sense of.

        Args:
            seq: of the packet, unwrapped.
            value: of the extension.
        """
        sequence = next((before for before in self._sequences if before.first_seq <= seq), None)
        brings_structure = claims_structure(value)
        if sequence is not None and sequence.structure is None and not brings_structure:
            return None
        try:
            fields = parse_dependency_descriptor(value, None if sequence is None else sequence.structure)
        except ParseError:
            if brings_structure:
                self._begin(_Sequence(seq, None, 0 if sequence is None else sequence.shift))
            return None
        if brings_structure and not fields.start_of_frame:
            return None
        is_newest, self._newest_seq = seq > self._newest_seq, max(self._newest_seq, seq)
        number = self._numbers.unwrap(fields.frame_number)
        shift = 0 if sequence is None else sequence.shift
        if fields.structure is not None:
            if is_newest and number + shift <= self._highest_number:
                shift = self._highest_number + 1 - number
            sequence = self._begin(_Sequence(seq, fields.structure, shift))
        number += shift
        self._highest_number = max(self._highest_number, number)
        if sequence is None or fields.dependencies is None:
            return PacketDescriptor(value, fields, number)
        return PacketDescriptor(
            value, fields, number, sequence.first_seq, sequence.structure, _active(sequence, seq, fields)
        )

    def _begin(self, begun: _Sequence) -> _Sequence:
        """Note a sequence in its place, newest first; the same for the same packet."""
        for known in self._sequences:
            if known.first_seq == begun.first_seq:
                return known
        self._sequences.append(begun)
        self._sequences.sort(key=lambda sequence: -sequence.first_seq)
        del self._sequences[MAX_SEQUENCES:]
        return begun


def _active(sequence: _Sequence, seq: int, fields: DependencyDescriptor) -> int:
    """The active decode targets as of a packet; what one tells holds for those behind it."""
    if fields.active_decode_targets is None:
        return sequence.active
    # A packet that comes twice with another structure has targets that the first did not.
    active = fields.active_decode_targets & (
        0 if sequence.structure is None else sequence.structure.every_target
    )
    if seq >= sequence.told_seq:
        sequence.active, sequence.told_seq = active, seq
    return active
