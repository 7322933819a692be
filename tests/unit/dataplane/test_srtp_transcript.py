"""What libsrtp says to packets in and out of order, as a transcript that native planes replay.

`tests/vectors/srtp/libsrtp.txt` is what `transcript` gives, line by line; the native plane's own tests read
it, too. After a change here: `python -m tests.unit.dataplane.test_srtp_transcript`.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sfu.dataplane.srtp import LibSrtp
from sfu.plane import DropReason, SrtpProfile

if TYPE_CHECKING:
    from collections.abc import Iterator

TRANSCRIPT: Final = Path(__file__).parents[2] / "vectors" / "srtp" / "libsrtp.txt"
KEYS: Final = {
    SrtpProfile.AEAD_AES_128_GCM: 28,
    SrtpProfile.AES128_CM_SHA1_80: 30,
    SrtpProfile.AEAD_AES_256_GCM: 44,
}
STEPS: Final = (1, 1, 1, 2, 3, -1, -2, -3, 1_022, 1_023, 1_024, -1_022, -1_023, -1_024, -1_025)
JUMPS: Final = (32_767, 32_768, 32_769, -32_767, -32_768, -32_769)
HEADERS: Final = (
    bytes((0x80, 96)),
    bytes((0x90, 96)),
    bytes((0x82, 111)),
    bytes((0xB1, 111)),
)


def test_the_transcript_is_what_libsrtp_says() -> None:
    assert "\n".join(transcript()) + "\n" == TRANSCRIPT.read_text()


def transcript(operations: int = 100) -> Iterator[str]:
    """Operations with their outcomes; one end of a transport protects what the other unprotects.

    A line is `session PROFILE HERE THERE`, with the keys by which the ends send, or
    `END OPERATION INPUT OUTCOME`: bytes in hexadecimal digits, `-` for none, or a reason.
    """
    for profile, key_bytes in KEYS.items():
        for start in (0, 2**15, 2**16 - 4):
            rng = random.Random(f"{profile.value} {start}")
            here, there = rng.randbytes(key_bytes), rng.randbytes(key_bytes)
            yield f"session {profile.value} {here.hex()} {there.hex()}"
            yield from _call(
                rng, LibSrtp(profile, there, here), LibSrtp(profile, here, there), start, operations
            )


def _call(rng: random.Random, here: LibSrtp, there: LibSrtp, start: int, operations: int) -> Iterator[str]:
    seqs = dict.fromkeys((1, 2**32 - 1), start)
    sent: list[bytes] = []
    sent_rtcp: list[bytes] = []
    for _ in range(operations):
        ssrc = rng.choice(list(seqs))
        if rng.random() < 0.2:
            compound = (
                bytes((0x80, 201, 0, 1)) + ssrc.to_bytes(4, "big") + rng.randbytes(4 * rng.randrange(3))
            )
            outcome = here.protect_rtcp(compound)
            yield _line("here", "protect_rtcp", compound, outcome)
            if isinstance(outcome, bytes):
                sent_rtcp.append(outcome)
        else:
            seqs[ssrc] += rng.choice(STEPS if rng.random() < 0.97 else JUMPS)
            packet = _rtp(rng, seqs[ssrc], ssrc)
            outcome = here.protect(packet)
            yield _line("here", "protect", packet, outcome)
            if isinstance(outcome, bytes):
                sent.append(outcome)
        # On the way, packets are lost, late, changed, cut and repeated.
        if sent and rng.random() < 0.9:
            data = _arriving(rng, sent)
            yield _line("there", "unprotect", data, there.unprotect(data))
        if sent_rtcp and rng.random() < 0.3:
            data = _arriving(rng, sent_rtcp)
            yield _line("there", "unprotect_rtcp", data, there.unprotect_rtcp(data))


def _rtp(rng: random.Random, seq: int, ssrc: int) -> bytes:
    first = rng.choice(HEADERS)
    more = rng.randbytes(4 * (first[0] & 0x0F))
    if first[0] & 0x10:
        words = rng.randrange(3)
        more += b"\xbe\xde" + words.to_bytes(2, "big") + rng.randbytes(4 * words)
    numbers = (seq & 0xFFFF).to_bytes(2, "big") + rng.randbytes(4) + ssrc.to_bytes(4, "big")
    return first + numbers + more + rng.randbytes(rng.randrange(20))


def _arriving(rng: random.Random, sent: list[bytes]) -> bytes:
    data = sent[-1] if rng.random() < 0.6 else rng.choice(sent)
    match rng.randrange(12):
        case 0:
            at, bit = rng.randrange(len(data)), rng.randrange(8)
            return data[:at] + bytes((data[at] ^ 1 << bit,)) + data[at + 1 :]
        case 1:
            return data[: rng.randrange(len(data))]
        case 2:
            return data + rng.randbytes(rng.randrange(6))
        case _:
            return data


def _line(end: str, operation: str, data: bytes, outcome: bytes | DropReason) -> str:
    told = outcome.value if isinstance(outcome, DropReason) else outcome.hex() or "-"
    return f"{end} {operation} {data.hex() or '-'} {told}"


if __name__ == "__main__":
    TRANSCRIPT.write_text("\n".join(transcript()) + "\n")
