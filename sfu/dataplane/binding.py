"""Which SSRC of a peer is which stream: told by the SDP, or learnt from packets (packet rule 4).

Browsers say mid and rid only until a first receiver report, so what was learnt is kept for the life of the
transport, also while the section carries no track of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sfu.errors import ParseError
from sfu.plane import Extension
from sfu.rtp.extensions import parse_name
from sfu.units import NO_RID, Mid, Rid, after_s

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sfu.rtp.packet import RtpPacket
    from sfu.units import Instant, Ssrc

MAX_HELD: Final = 32
"""Packets of unknown SSRCs that are kept until one tells where they belong. Lower: where the first packets of
a stream are lost, the next begin late. Higher: strangers' packets use memory."""

HELD_S: Final = 1.0
"""How long they are kept: as long as a packet cache keeps packets."""


MAX_NAMES: Final = 2_048
"""SSRCs whose names are remembered: twice what a transport admits at once. The oldest go."""


@dataclass(frozen=True, slots=True)
class StreamName:
    """Where an RTP stream belongs."""

    mid: Mid
    rid: Rid = NO_RID
    is_repair: bool = False


class HeldPacket(NamedTuple):
    """A packet that waits for its name."""

    at: Instant
    packet: RtpPacket
    size_bytes: int


class Bindings:
    """The names of one peer's streams."""

    def __init__(self) -> None:
        self._ids: dict[Extension, int] = {}
        self._names: dict[Ssrc, StreamName] = {}
        self._held: list[HeldPacket] = []

    def negotiated(self, extensions: Mapping[Extension, int]) -> None:
        """A section's extension ids: bundled sections share them (RFC 8843 section 9.2)."""
        self._ids.update(extensions)

    def element(self, packet: RtpPacket, extension: Extension) -> bytes | None:
        """An extension's value in a packet whose section is not known yet."""
        return packet.extension(self._ids.get(extension))

    def remember(self, ssrc: Ssrc, name: StreamName) -> None:
        """This SSRC belongs there."""
        self._names[ssrc] = name
        if len(self._names) > MAX_NAMES:
            del self._names[next(iter(self._names))]

    def name_of(self, packet: RtpPacket) -> StreamName | None:
        """Where a packet belongs, as known or as it says itself; None: neither."""
        known = self._names.get(packet.ssrc)
        if known is not None:
            return known
        mid = self._text(packet, Extension.MID)
        if mid is None:
            return None
        repaired = self._text(packet, Extension.REPAIRED_RID)
        if repaired is not None:
            return StreamName(Mid(mid), Rid(repaired), is_repair=True)
        return StreamName(Mid(mid), Rid(self._text(packet, Extension.RID) or NO_RID))

    def hold(self, held: HeldPacket) -> bool:
        """Keep a packet; False where too many are kept."""
        if len(self._held) >= MAX_HELD:
            return False
        self._held.append(held)
        return True

    def release(self, ssrc: Ssrc | None = None) -> list[HeldPacket]:
        """Take what is held of an SSRC, or all of it, in order of arrival."""
        released = [held for held in self._held if ssrc is None or held.packet.ssrc == ssrc]
        if released:
            self._held = [held for held in self._held if held not in released]
        return released

    def expire(self, now: Instant) -> int:
        """Give up what was held for too long; how many packets that was."""
        before = len(self._held)
        self._held = [held for held in self._held if now < after_s(held.at, HELD_S)]
        return before - len(self._held)

    def next_timeout(self) -> Instant | None:
        """When `expire` has something to do."""
        return after_s(self._held[0].at, HELD_S) if self._held else None

    def _text(self, packet: RtpPacket, extension: Extension) -> str | None:
        value = self.element(packet, extension)
        if value is None:
            return None
        try:
            return parse_name(value)
        except ParseError:
            return None
