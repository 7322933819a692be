"""What is sent for its size alone, to probe or to pad: payloads once more, then padding."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sfu.dataplane.wire import Transmit
from sfu.rtp.packet import RtpPacket
from sfu.units import PayloadType, Ssrc

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sfu.dataplane.route import Route
    from sfu.dataplane.transport import Transport
    from sfu.plane import DropReason
    from sfu.units import Instant

PADDING_BYTES: Final = 255
"""Padding of one packet, the most that its length byte can say."""

NO_SSRC: Final = Ssrc(0)
"""What carries padding where nothing with RTX is routed. libwebrtc probes on it before it sends media, and
feeds back what comes on it."""

NO_PAYLOAD_TYPE: Final = PayloadType(1)
"""Reserved by RFC 3551 section 6, so that no section has it. Of 64 to 95 libwebrtc takes any for RTCP."""


def can_fill(transport: Transport, routes: Iterable[Route]) -> bool:
    """Whether fillers can be sent: one that has no transport-wide number tells nothing."""
    return transport.can_send and any(route.stamping.transport_cc is not None for route in routes)


def fill(now: Instant, transport: Transport, routes: Iterable[Route]) -> Transmit | DropReason:
    """Send one filler; only while `can_fill`."""
    numbered = [route for route in routes if route.stamping.transport_cc is not None]
    for route in numbered:
        outcome = route.fill(now)
        if isinstance(outcome, Transmit):  # else it has grown too large, for instance
            return outcome
    for route in numbered:
        outcome = route.pad(now, PADDING_BYTES)
        if outcome is not None:
            return outcome
    packet = RtpPacket(
        NO_PAYLOAD_TYPE, transport.next_blank_number(), 0, NO_SSRC, padding_bytes=PADDING_BYTES
    )
    return transport.send_rtp(now, packet, replace(numbered[0].stamping, abs_send_time=None))
