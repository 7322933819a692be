"""Rewriting dependency descriptors so that a route's frames are those of one RTP stream."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sfu.rtp.dependency_descriptor import (
    FRAME_NUMBER_BITS,
    MAX_TEMPLATES,
    rewrite_dependency_descriptor,
)

if TYPE_CHECKING:
    from sfu.streams.descriptor_reader import PacketDescriptor
    from sfu.units import Ssrc

_FRAME_NUMBERS: Final = 1 << FRAME_NUMBER_BITS


@dataclass(frozen=True, slots=True)
class DescriptorRewriting:
    """What makes a publisher's descriptor a route's: all that a resend must remember."""

    number_shift: int
    """What frame numbers move by."""
    template_shift: int
    """What template ids move by, modulo 64."""
    active: int | None
    """Decode targets that the packet tells to be active; None: it says what the publisher said."""

    def apply(self, descriptor: PacketDescriptor) -> bytes:
        """The value to send."""
        return rewrite_dependency_descriptor(
            descriptor.value,
            descriptor.fields,
            frame_number=(descriptor.frame_number + self.number_shift) % _FRAME_NUMBERS,
            template_shift=self.template_shift,
            active=self.active,
        )


class DescriptorRewriter:
    """Keeps frame numbers and template ids going over switches.

    Frames refer to each other by the difference of their numbers, so what is left out stays a gap among them;
    numbers move only where the frames of another source begin, with a key frame. Template ids of a structure
    are not those of the one before, so that a receiver which misses a key frame's first packet knows it.
    """

    def __init__(self) -> None:
        self._source: Ssrc | None = None
        self._rewriting = DescriptorRewriting(0, 0, None)
        self._next_number: int | None = None
        self._next_template = 0

    def forward(
        self, source: Ssrc, descriptor: PacketDescriptor, active: int | None = None
    ) -> DescriptorRewriting:
        """How to send the descriptor of a packet that is forwarded; the first of a source is a key frame's.

        Args:
            source: where it comes from; another than before is a switch.
            descriptor: as received.
            active: the decode targets to tell; None to tell none.

        Returns:
            The same object for as long as nothing changes: many packets are remembered by it.
        """
        if source != self._source:
            self._join(descriptor)
            self._source = source
        rewriting = self._rewriting
        if rewriting.active != active:
            rewriting = self._rewriting = replace(rewriting, active=active)
        number = descriptor.frame_number + rewriting.number_shift
        self._next_number = max(self._next_number or 0, number + 1)
        structure = descriptor.fields.structure
        if structure is not None:
            first = structure.template_id_offset + rewriting.template_shift
            self._next_template = (first + len(structure.templates)) % MAX_TEMPLATES
        return rewriting

    def pause(self) -> None:
        """Nothing is forwarded for a while: what comes next is joined like another source."""
        self._source = None

    def _join(self, descriptor: PacketDescriptor) -> None:
        if self._next_number is None:
            return
        number_shift = self._next_number - descriptor.frame_number
        template_shift = self._rewriting.template_shift
        structure = descriptor.fields.structure
        if structure is not None:
            template_shift = (self._next_template - structure.template_id_offset) % MAX_TEMPLATES
        self._rewriting = DescriptorRewriting(number_shift, template_shift, None)
