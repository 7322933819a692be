"""What publishers send: RTP streams of every codec, with all that goes wrong on the way."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, assert_never

from sfu.plane import Codec, Extension
from sfu.rtp.packet import RtpPacket
from sfu.streams.resend import encapsulate
from sfu.units import NO_RID, Rid, Ssrc
from tests.support.descriptors import L1T2, L1T3, L2T2, WITHOUT_CHAINS, packet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sfu.plane import PayloadFormat
    from sfu.rtp.packet import ExtensionElements
    from tests.differential.tape import Tape

STRUCTURES: Final = (L1T3, L1T2, L2T2, WITHOUT_CHAINS)
STARTS: Final = (1_000, 65_530, 32_765, 0, 65_535)
"""Where sequence numbers begin: at every wrap."""
TIMESTAMPS: Final = (500_000, 2**32 - 4_000, 2**31 - 4_000, 0)
_REMEMBERED: Final = 64
_MAX_HELD: Final = 8


@dataclass
class Source:
    """One RTP stream of a publisher, and its RTX stream."""

    mid: str
    rid: Rid
    ssrc: Ssrc
    rtx_ssrc: Ssrc
    form: PayloadFormat
    extensions: Mapping[Extension, int]
    seq: int = 1_000
    ts: int = 500_000
    rtx_seq: int = 65_520
    picture_id: int = 32_760
    tl0: int = 250
    frame_number: int = 65_530
    structure: int = 0
    template_shift: int = 0
    named: bool = True
    """Its packets say mid and rid."""
    describes: bool = False
    """Its packets have dependency descriptors."""
    wide: int = 1
    """Bytes of its picture ids: 0, 1 or 2."""
    held: list[RtpPacket] = field(default_factory=list)
    """Packets that are late."""
    recent: deque[RtpPacket] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    """Packets that were made."""

    def frame(self, tape: Tape) -> list[RtpPacket]:
        """The packets of the next frame, which the tape has made."""
        is_key = tape.one_in(5)
        parts = 1 + tape.of((0, 1, 2, 3, 7))
        temporal = tape.of((0, 0, 1, 2, 3))
        sync = tape.one_in(3)
        size = tape.of((40, 300, 1_100, 1_300, 0, 3))
        self.ts += tape.of((3_000, 3_000, 3_000, 90_000, 960, 0))
        self.picture_id += 1 if not tape.one_in(24) else 200
        self.frame_number += 1 if not tape.one_in(16) else tape.of((2, 20, 300))
        if temporal == 0:
            self.tl0 += 1
        template = self._template(tape, key=is_key)
        packets = []
        for part in range(parts):
            payload = self._payload(part == 0, part == parts - 1, is_key, temporal, sync, size)
            elements: ExtensionElements = ()
            if self.describes:
                elements = self._descriptor(tape, template, part == 0, part == parts - 1, is_key)
            packets.append(self.packet(payload, marker=part == parts - 1, elements=elements))
        return packets

    def packet(self, payload: bytes, *, marker: bool = True, elements: ExtensionElements = ()) -> RtpPacket:
        """The next packet of the stream."""
        made = RtpPacket(
            self.form.payload_type,
            self.seq & 0xFFFF,
            self.ts & 0xFFFF_FFFF,
            self.ssrc,
            payload,
            marker,
            self.names(Extension.RID) + elements,
        )
        self.seq += 1
        self.recent.append(made)
        return made

    def repair(self, original: RtpPacket) -> RtpPacket:
        """A packet once more, over RTX."""
        self.rtx_seq += 1
        return replace(
            original,
            payload_type=self.form.rtx_payload_type or self.form.payload_type,
            sequence_number=self.rtx_seq & 0xFFFF,
            ssrc=self.rtx_ssrc,
            payload=encapsulate(original.sequence_number, original.payload),
            extensions=self.names(Extension.REPAIRED_RID)
            + original.extensions[len(self.names(Extension.RID)) :],
        )

    def hold(self, held: RtpPacket) -> None:
        """A packet comes later, or never."""
        self.held.append(held)
        del self.held[:-_MAX_HELD]

    def names(self, rid: Extension) -> ExtensionElements:
        """The elements that say whose packet it is."""
        elements: ExtensionElements = ()
        if self.named:
            if Extension.MID in self.extensions:
                elements += ((self.extensions[Extension.MID], self.mid.encode()),)
            if self.rid != NO_RID and rid in self.extensions:
                elements += ((self.extensions[rid], self.rid.encode()),)
        return elements

    def _payload(self, first: bool, last: bool, key: bool, temporal: int, sync: bool, size: int) -> bytes:
        match self.form.codec:
            case Codec.VP8:
                head = self._vp8(first, key, temporal, sync)
            case Codec.VP9:
                flags = 0xA0 | (not key) << 6 | first << 3 | last << 2
                number = (0x8000 | self.picture_id % 2**15).to_bytes(2, "big")
                head = bytes((flags,)) + number + bytes((temporal << 5 | sync << 4, self.tl0 % 256))
            case Codec.H264:
                head = (
                    (b"\x67", b"\x18\x00\x01\x67\x00\x01\x65", b"\x7c\x85")[self.tl0 % 3]
                    if key and first
                    else b"\x41"
                )
            case Codec.AV1:
                head = bytes(((key and first) << 3 | 0x10,))
            case Codec.OPUS:
                head = b""
            case _:
                assert_never(self.form.codec)
        return head + b"media".ljust(size, b".")[:size]

    def _vp8(self, first: bool, key: bool, temporal: int, sync: bool) -> bytes:
        body = bytes((0 if key else 1,))
        if not self.wide:
            return bytes((first << 4,)) + body
        picture = (0x8000 | self.picture_id % 2**15).to_bytes(2, "big")
        if self.wide == 1:
            picture = bytes((self.picture_id % 2**7,))
        layers = bytes((self.tl0 % 256, temporal << 6 | sync << 5))
        return bytes((0x80 | first << 4, 0xE0)) + picture + layers + body

    def _template(self, tape: Tape, *, key: bool) -> int:
        if not self.describes:
            return 0
        if key and tape.one_in(3):
            self.structure = tape.below(len(STRUCTURES))
            self.template_shift = tape.below(64)
        count = len(STRUCTURES[self.structure].templates)
        return 0 if key else tape.below(count)

    def _descriptor(self, tape: Tape, template: int, first: bool, last: bool, key: bool) -> ExtensionElements:
        number = self.extensions.get(Extension.DEPENDENCY_DESCRIPTOR)
        if number is None:
            return ()
        known = STRUCTURES[self.structure]
        offset = (known.template_id_offset + self.template_shift) % 64
        width = known.decode_target_count
        value = packet(
            (offset + template) % 64,
            self.frame_number,
            start=first,
            end=last,
            structure=replace(known, template_id_offset=offset) if key and first else None,
            width=width,
            active=tape.below(1 << width) if tape.one_in(8) else None,
            frame_diffs=[tape.of((1, 2, 17, 300))] if tape.one_in(8) else None,
        )
        if tape.one_in(24):
            value = value[: tape.below(len(value) + 1)]
        return ((number, value),) if value else ()
