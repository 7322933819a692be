"""Writes what the parsers of `sfu/rtp` make of bytes, for the parsers in Rust to be compared with.

    .venv/bin/python -m tests.vectors.rtp.write

Each parser gets examples: payloads of real encoders, and what the specifications draw. Of each follow its
siblings: cut short at every byte, and broken in one.
"""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import (
    Bye,
    Fir,
    FirEntry,
    Nack,
    Pli,
    RawRtcp,
    ReceiverReport,
    Remb,
    ReportBlock,
    Sdes,
    SenderReport,
    serialise_compound,
)
from sfu.rtp.twcc import DELTA_NS, REFERENCE_NS, TransportFeedback
from sfu.units import PayloadType, Ssrc
from tests.support.descriptors import L1T2, L1T3, L2T2, WITHOUT_CHAINS, key_frame, packet
from tests.unit.rtp.packets import h264_frames, vp8_frames
from tests.vectors.rtp.text import PARSERS, line_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sfu.rtp.rtcp import RtcpPacket

FOLDER: Final = Path(__file__).parent
LONGEST_EXAMPLE: Final = 20
"""Bytes of an encoder's payload that are kept: what is read stands in the first few."""
LONGEST_CUT: Final = 60
"""Examples up to this many bytes are cut short at every byte."""
BROKEN: Final = 8
"""Broken siblings of each example."""
RECORDED: Final = 16
"""Descriptors behind each key frame that a browser wrote."""


def examples() -> dict[str, list[str]]:
    """Bytes (hex) that parsers are to read."""
    frames = [payload[:LONGEST_EXAMPLE] for frame in vp8_frames() for payload in frame[:2]]
    return {
        "packet": [data.hex() for data in _packets()],
        "vp8": [data.hex() for data in frames]
        + ["10", "1000", "b0f08123a745", "90807f10", "9080ff7f01", "904007", "902040", "901005"]
        + ["90f07f01e51002009d012a4201b600"],
        "vp9": ["08", "0c", "e481235300", "8845", "a8812300", "a8812303", "e8812300", "48", "88ffff2f"],
        "h264": [payload[:LONGEST_EXAMPLE].hex() for frame in h264_frames() for payload in frame[:2]]
        + [b"\x78\x00\x04\x06sei\x00\x04\x65idr".hex(), "7c85", "7c05", "5c81", "67", "68"],
        "av1": ["08", "180a0b", "580a", "1032", "90", "57"],
        "extensions": [
            value.hex() for value in (b"0", b"f", b"x" * 17, b"\xc3\xa9", b"a\n", b" ~", b"\xff\x80")
        ],
        "rtcp": [serialise_compound(compound).hex() for compound in _compounds()]
        + [_browser_feedback(padding).hex() for padding in (b"", b"\x01", b"\x00\x02", b"\x00\x00\x03")],
        "dependency_descriptor": list(_descriptors()),
    }


def _packets() -> Iterator[bytes]:
    plain = RtpPacket(PayloadType(96), 0x1234, 0x89ABCDEF, Ssrc(0xCAFE), b"payload", marker=True)
    yield plain.serialise()
    short = ((1, b"\xff"), (3, b"mid"), (14, bytes(16)))
    for extensions in (short, (*short, (15, b"")), ((4, bytes(range(30))), (200, b"x"))):
        for padding in (0, 7):
            yield RtpPacket(
                PayloadType(111),
                65_535,
                1,
                Ssrc(2**32 - 1),
                b"p",
                extensions=extensions,
                padding_bytes=padding,
            ).serialise()
    yield RtpPacket(PayloadType(0), 0, 0, Ssrc(0), csrcs=(Ssrc(1), Ssrc(2)), padding_bytes=255).serialise(
        short
    )
    for block in ("bede0002 10610000 f0106200", "10030001 00020000", "abcd0001 ffffffff", "bede0000"):
        yield struct.pack("!BBHLL", 0x90, 96, 17, 90_000, 0xCAFE) + bytes.fromhex(block) + b"payload"


def _compounds() -> Iterator[list[RtcpPacket]]:
    block = ReportBlock(Ssrc(0xBABE), 64, -1, 0x10203, 24, 0x7E808000, 32_768)
    cname = Sdes(((Ssrc(1), "é"), (Ssrc(2), "")))
    report = SenderReport(Ssrc(1), 0x83AA7E8080000000, 90_000, 2**32 - 1, 50_000, (block,))
    yield [report, cname]
    yield [ReceiverReport(Ssrc(1), (block, block)), cname, Bye((Ssrc(1), Ssrc(2)), "ended")]
    yield [ReceiverReport(Ssrc(1)), Bye(()), Pli(Ssrc(1), Ssrc(2)), Fir(Ssrc(1), (FirEntry(Ssrc(2), 7),))]
    yield [Nack(Ssrc(1), Ssrc(2), (65_535, 0, 15, 16, 3_000)), Remb(Ssrc(1), 1_234_567, (Ssrc(3), Ssrc(4)))]
    yield [RawRtcp(207, 0, bytes.fromhex("0000000104000002 83aa7e80 80000000")), RawRtcp(204, 3, b"x")]
    yield [RawRtcp(206, 15, b"\x00\x00\x00\x01\x00\x00\x00\x02ABCD"), RawRtcp(205, 9, b"")]
    for steps in ([1] * 20, [1, None] * 7, [1] + [300] * 9 + [-3], [None] * 9, [5, None, -1, 40_000, 2]):
        yield [_feedback(steps)]


def _feedback(steps: Sequence[int | None]) -> TransportFeedback:
    """Arrivals so many units after one another."""
    at, arrivals = REFERENCE_NS + DELTA_NS // 2, []
    for index, step in enumerate(steps):
        at += (step or 0) * DELTA_NS
        arrivals.append(((65_530 + index) % 2**16, None if step is None else at))
    return TransportFeedback(Ssrc(1), Ssrc(2), 9, tuple(arrivals))


def _browser_feedback(padding: bytes) -> bytes:
    """Padded to a word by the padding bit, with less than a word."""
    count = (2 - len(padding)) % 4 + 4
    body = struct.pack("!LLHH", 1, 2, 7, count) + bytes.fromhex("00000105")
    body += struct.pack("!H", 0x2000 | count) + bytes([1] * count) + padding
    return struct.pack("!BBH", 0xAF if padding else 0x8F, 205, len(body) // 4) + body


def _descriptors() -> Iterator[str]:
    for structure in (L1T2, L1T3, L2T2, WITHOUT_CHAINS):
        key, width = key_frame(structure).hex(), structure.decode_target_count
        yield key
        yield key_frame(structure, active=0).hex()
        indications, chains = [3] * width, [200] * len(structure.templates[0].chain_diffs)
        for value in (
            packet(structure.template_id_offset + 1 & 63, 5),
            packet(structure.template_id_offset, 6, start=False, width=width, active=1),
            packet(structure.template_id_offset, 7, indications=indications, frame_diffs=(1, 17, 4_096)),
            packet(structure.template_id_offset, 8, width=width, active=0, chain_diffs=chains),
            packet(structure.template_id_offset + 40 & 63, 9, end=False),
        ):
            yield f"{key}/{value.hex()}"
            yield value.hex()


def recorded() -> Iterator[str]:
    """Dependency descriptors of Chromium, each behind the key frame before it."""
    for path in sorted((FOLDER.parent / "descriptors").glob("*.txt")):
        key_frame, *others = (line.split()[1] for line in path.read_text(encoding="ascii").splitlines())
        yield key_frame
        yield from (f"{key_frame}/{other}" for other in others[:RECORDED])


def siblings(example: str) -> Iterator[str]:
    """The same bytes cut short and broken; of a descriptor behind a key frame only its own."""
    before, slash, last = example.rpartition("/")
    data = bytes.fromhex(last)
    if len(data) <= LONGEST_CUT:
        yield from (f"{before}{slash}{data[:end].hex()}" for end in range(len(data)))
    chance = random.Random(example)
    for _ in range(BROKEN if data else 0):
        broken = bytearray(data)
        broken[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        broken += bytes(chance.choice((0, 0, 4)))
        yield f"{before}{slash}{broken.hex()}"


def main() -> None:
    """Write the files of all parsers."""
    for parser, data in examples().items():
        lines = [line for example in data for line in (example, *siblings(example))]
        if parser == "dependency_descriptor":
            lines += recorded()
        text = "".join(line_of(parser, line) + "\n" for line in dict.fromkeys(lines))
        (FOLDER / f"{parser}.tsv").write_text(text, encoding="ascii")
    assert {path.stem for path in FOLDER.glob("*.tsv")} == PARSERS.keys()


if __name__ == "__main__":
    main()
