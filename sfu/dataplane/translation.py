"""The numbers of a publisher's leg as those of a subscriber's leg (packet rule 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sfu.plane import GENERATED_EXTENSIONS, Extension
from sfu.rtp.extensions import abs_send_time
from sfu.rtp.packet import ONE_BYTE_MAX_ID, ONE_BYTE_MAX_LENGTH

if TYPE_CHECKING:
    from sfu.plane import PayloadFormat, SetRoute, SetTrack
    from sfu.rtp.packet import ExtensionElements
    from sfu.units import Instant, PayloadType

LONG_EXTENSIONS: Final = frozenset(
    {Extension.DEPENDENCY_DESCRIPTOR, Extension.COLOR_SPACE, Extension.VIDEO_LAYERS_ALLOCATION}
)
"""Extensions with values above the 16 bytes that the one-byte form can hold, on key frames for instance."""


@dataclass(frozen=True, slots=True)
class Stamping:
    """What the packets of a section carry that is known only when they are sent."""

    transport_cc: int | None = None
    """Id of the transport-wide sequence number; None: not negotiated."""
    abs_send_time: int | None = None
    two_bytes: bool = False
    """All packets have the two-byte extension form."""

    def elements(self, now: Instant, transport_number: int) -> ExtensionElements:
        """The elements of a packet that is sent now."""
        elements: ExtensionElements = ()
        if self.abs_send_time is not None:
            elements = ((self.abs_send_time, abs_send_time(now)),)
        if self.transport_cc is not None:
            elements += ((self.transport_cc, transport_number.to_bytes(2, "big")),)
        return elements


class Translation:
    """Payload types and extension ids of one route.

    A subscriber that does not take both extension forms in one stream (RFC 8285 section 4.1.2) gets one and
    the same in all packets: the two-byte form where an id or a long value may need it.
    """

    def __init__(self, track: SetTrack, route: SetRoute) -> None:
        by_key = {form.key: form for form in reversed(route.formats)}
        self._formats = {form.payload_type: by_key[form.key] for form in track.formats if form.key in by_key}
        shared = (track.extensions.keys() & route.extensions.keys()) - GENERATED_EXTENSIONS
        self._described = track.extensions.get(Extension.DEPENDENCY_DESCRIPTOR)
        self._copied = {track.extensions[uri]: route.extensions[uri] for uri in shared}
        mid = route.extensions.get(Extension.MID)
        self._first: ExtensionElements = () if mid is None else ((mid, route.mid.encode()),)
        two_bytes = not route.mixed_extensions and (
            bool(shared & LONG_EXTENSIONS)
            or any(number > ONE_BYTE_MAX_ID for number in route.extensions.values())
            or any(len(value) > ONE_BYTE_MAX_LENGTH for _, value in self._first)
        )
        self._longest = 255 if two_bytes or route.mixed_extensions else ONE_BYTE_MAX_LENGTH
        self.stamping: Final = Stamping(
            route.extensions.get(Extension.TRANSPORT_CC),
            route.extensions.get(Extension.ABS_SEND_TIME),
            two_bytes=two_bytes,
        )

    def format_of(self, payload_type: PayloadType) -> PayloadFormat | None:
        """The subscriber's format for a payload type of the publisher; None: it can't decode that."""
        return self._formats.get(payload_type)

    def rtx_payload_type(self, payload_type: PayloadType) -> PayloadType | None:
        """What resends of a payload type of the publisher have; None: the subscriber has no RTX for it."""
        form = self.format_of(payload_type)
        return None if form is None else form.rtx_payload_type

    def elements(self, received: ExtensionElements, descriptor: bytes = b"") -> ExtensionElements:
        """The elements to send, but for the stamps.

        Args:
            received: as received.
            descriptor: what stands in place of the dependency descriptor, which is never copied; empty where
                there is none, or none that can be read.
        """
        return self._first + tuple(
            (copied, value)
            for number, original in received
            if (copied := self._copied.get(number)) is not None
            and 0 < len(value := descriptor if number == self._described else original) <= self._longest
        )
