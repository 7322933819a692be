"""Writes what fuzzing begins with: the examples of `tests/vectors`, a file each, in a folder for each target.

python3 sfu/dataplane/native/fuzz/seeds.py FOLDER
"""

from __future__ import annotations

import hashlib
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

VECTORS = Path(__file__).parents[4] / "tests" / "vectors"
RTCP_HEAD_BYTES = 4
BINDING_REQUEST = (
    "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74"
    "002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf"
)
"""A signed request with a fingerprint (RFC 5769 section 2.1)."""


def seeds() -> Iterator[tuple[str, bytes]]:
    """The name of a target and what it begins with."""
    for path in sorted((VECTORS / "rtp").glob("*.tsv")):
        for line in path.read_text(encoding="ascii").splitlines():
            *before, data = (bytes.fromhex(part) for part in line.partition("\t")[0].split("/"))
            if path.stem == "dependency_descriptor":
                yield path.stem, behind_key_frame(before[0] if before else b"", data)
                continue
            yield path.stem, data
            if path.stem == "rtcp" and data[1:2] == b"\xcd":
                yield "twcc", data[RTCP_HEAD_BYTES:]
    for path in sorted((VECTORS / "descriptors").glob("*.txt")):
        values = [bytes.fromhex(line.split()[1]) for line in path.read_text(encoding="ascii").splitlines()]
        yield from (("dependency_descriptor", behind_key_frame(values[0], value)) for value in values)
    yield "stun", bytes.fromhex(BINDING_REQUEST)
    yield from (("datagram", b"".join(call)) for call in calls())


def behind_key_frame(key_frame: bytes, descriptor: bytes) -> bytes:
    """The input of the target of dependency descriptors."""
    return bytes((len(key_frame),)) + key_frame + descriptor


PUBLISHER, SUBSCRIBER, STRANGER, ENGINE = 0, 4, 6, 7
"""Kinds of a step of the target `datagram`."""


def step(kind: int, data: bytes, later: int = 17) -> bytes:
    """A datagram or a wish, 5 ms after the one before."""
    return bytes((kind, later, len(data))) + data


def media(
    payload_type: int, number: int, payload: bytes, *, mid: bytes, rid: bytes = b"", dd: bytes = b""
) -> bytes:
    """A packet of the publisher, in the two-byte extension form."""
    elements = [(1, mid), (4, struct.pack("!H", number & 0xFFFF)), (2, rid), (6, dd), (7, b"\x8a")]
    block = b"".join(bytes((id_, len(value))) + value for id_, value in elements if value)
    block += bytes(-len(block) % 4)
    ssrc = 100 + payload_type + 20 * len(rid) * (rid == b"h")
    head = struct.pack("!BBHLL", 0x90, payload_type | 128, number & 0xFFFF, 3_000 * number, ssrc)
    return head + struct.pack("!HH", 0x1000, len(block) // 4) + block + payload


def calls() -> Iterator[list[bytes]]:
    """Each codec over a switch of layers, with what a subscriber answers; and sound."""
    key, delta = bytes.fromhex("10020000"), bytes.fromhex("11020000")
    vp8 = [
        bytes.fromhex("90e08001") + bytes((n // 2, n % 2 * 0x60)) + (delta if n % 8 else key)
        for n in range(24)
    ]
    vp9 = [bytes((0x8C | 0x40 * (n % 8 > 0), n)) + b"frame" for n in range(24)]
    h264 = [(b"\x41" if n % 8 else b"\x67") + b"unit" for n in range(24)]
    av1 = [(b"\x10" if n % 8 else b"\x18") + b"unit" for n in range(24)]
    for payload_type, payloads in ((96, vp8), (98, vp9), (100, h264), (102, av1)):
        yield list(steps(payload_type, payloads, [b""] * len(payloads)))
    for path in sorted((VECTORS / "descriptors").glob("*.txt")):
        values = [
            bytes.fromhex(line.split()[1]) for line in path.read_text(encoding="ascii").splitlines()[:24]
        ]
        yield list(steps(102, av1, values))
    yield [step(PUBLISHER, media(111, 65_530 + n, b"sound", mid=b"2")) for n in range(12)]


def steps(payload_type: int, payloads: list[bytes], descriptors: list[bytes]) -> Iterator[bytes]:
    """Two encodings: in the middle the higher is wanted, then fewer layers of it, then the path is slow."""
    report = struct.pack("!BBHLQLLL", 0x80, 200, 6, 100 + payload_type, 0x83AA7E80 << 32, 0, 1, 1)
    nack = struct.pack("!BBHLLhH", 0x81, 205, 3, 1, 1_001, -3, 0b101)
    pli = struct.pack("!BBHLL", 0x81, 206, 2, 1, 1_001)
    feedback = struct.pack("!BBHLLhHLH6s", 0x8F, 205, 6, 1, 1_001, -4, 4, 0x100, 0x2004, b"\x01\x02\x03\x04")
    wishes = {8: b"\x00\x1e", 14: b"\x00\x02", 18: b"\x03\x10", 20: b"\x04\x40"}
    for number, (payload, descriptor) in enumerate(zip(payloads, descriptors, strict=False)):
        for rid in (b"l", b"h"):
            yield step(
                PUBLISHER,
                media(payload_type, 65_530 + number, payload, mid=b"1", rid=rid, dd=descriptor),
                later=10,
            )
        if number in wishes:
            yield step(ENGINE, wishes[number])
        if number % 6 == 5:
            yield step(PUBLISHER, report)
            yield from (step(SUBSCRIBER, data) for data in (nack, pli, feedback))
    yield step(STRANGER, media(payload_type, 65_530, payloads[0], mid=b"1", rid=b"l"))
    # A check of ours of the stranger, its answer, and what comes of it.
    yield step(ENGINE, b"\x08\x01")
    yield step(STRANGER, bytes.fromhex("010100002112a442") + bytes(12))
    yield step(ENGINE, b"\x09\x01")
    yield step(ENGINE, b"\x07\x00", later=100)


def main() -> None:
    """Write the files; the same bytes have the same name."""
    folder = Path(sys.argv[1])
    for target, data in seeds():
        path = folder / target / hashlib.sha1(data, usedforsecurity=False).hexdigest()[:16]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


if __name__ == "__main__":
    main()
