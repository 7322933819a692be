"""Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sfu.errors import ParseError
from sfu.units import NS_PER_US, Ssrc

if TYPE_CHECKING:
    from collections.abc import Sequence

TWCC_FORMAT: Final = 15
"""Format of the packet among transport layer feedback (section 3.1)."""

DELTA_NS: Final = 250 * NS_PER_US
"""The unit of receive deltas."""
REFERENCE_NS: Final = 64_000 * NS_PER_US
"""The unit of the reference time; 24 bits of it wrap after 12.4 days."""

MAX_STATUSES: Final = 2_000
"""Sequence numbers told of in one packet. Lower: more packets after a long outage. Higher: a hostile peer
makes us do more for one packet. At 1,000 packets a second and 10 feedbacks a second, 100 are usual."""

_NOT_RECEIVED: Final = 0
_SMALL_DELTA: Final = 1
_LARGE_DELTA: Final = 2
_RUN_MAX: Final = 0x1FFF


@dataclass(frozen=True, slots=True)
class TransportFeedback:
    """When packets arrived, by their transport-wide sequence number.

    `arrivals` are (16-bit sequence number, arrival in ns or None where it did not arrive), in ascending order
    from a base; numbers left out between two entries did not arrive. Times are of the receiver's own
    clock, as precise as the wire: 250 µs, modulo 2**24 times 64 ms.
    """

    sender_ssrc: Ssrc
    media_ssrc: Ssrc
    feedback_count: int
    arrivals: tuple[tuple[int, int | None], ...]


def serialise_feedback(feedback: TransportFeedback) -> bytes:
    """The body of the packet behind its first four bytes.

    A packet whose delta does not fit (16 bits of 250 µs) is told as not received; see `split_arrivals`.
    """
    statuses = _statuses(feedback.arrivals)
    base = feedback.arrivals[0][0]
    first = next((at for at in statuses if at is not None), 0)
    # The reference stands at or before the first arrival, so that its delta is small and not negative.
    reference = first // REFERENCE_NS
    previous = reference * (REFERENCE_NS // DELTA_NS)
    symbols, deltas = [], bytearray()
    for arrival in statuses:
        if arrival is None:
            symbols.append(_NOT_RECEIVED)
            continue
        ticks = (arrival + DELTA_NS // 2) // DELTA_NS  # not by floats: they lose units after 104 days
        delta = ticks - previous
        if 0 <= delta <= 0xFF:
            symbols.append(_SMALL_DELTA)
            deltas.append(delta)
        elif -0x8000 <= delta <= 0x7FFF:
            symbols.append(_LARGE_DELTA)
            deltas += delta.to_bytes(2, "big", signed=True)
        else:
            symbols.append(_NOT_RECEIVED)
            continue
        previous = ticks
    body = (
        feedback.sender_ssrc.to_bytes(4, "big")
        + feedback.media_ssrc.to_bytes(4, "big")
        + base.to_bytes(2, "big")
        + len(symbols).to_bytes(2, "big")
        + (reference & 0xFFFFFF).to_bytes(3, "big")
        + bytes((feedback.feedback_count,))
        + _chunks(symbols)
        + deltas
    )
    return body + bytes(-len(body) % 4)


def parse_feedback(sender: Ssrc, media: Ssrc, body: bytes) -> TransportFeedback:
    """Read the body of a packet behind its first four bytes.

    Raises:
        ParseError: `twcc`.
    """
    if len(body) < 18:
        raise ParseError("twcc", f"{len(body)} bytes")
    base = int.from_bytes(body[8:10], "big")
    count = int.from_bytes(body[10:12], "big")
    if not 0 < count <= MAX_STATUSES:
        raise ParseError("twcc", f"{count} statuses, over {MAX_STATUSES}")
    symbols, position = _parse_chunks(body, count)
    now = int.from_bytes(body[12:15], "big") * REFERENCE_NS
    arrivals: list[tuple[int, int | None]] = []
    for index, symbol in enumerate(symbols):
        number = (base + index) & 0xFFFF
        size = symbol if symbol in (_SMALL_DELTA, _LARGE_DELTA) else 0
        if not size:
            arrivals.append((number, None))
            continue
        if position + size > len(body):
            raise ParseError("twcc", "deltas end early")
        now += int.from_bytes(body[position : position + size], "big", signed=size == 2) * DELTA_NS
        position += size
        arrivals.append((number, now))
    return TransportFeedback(sender, media, body[15], tuple(arrivals))


def split_arrivals(
    arrivals: Sequence[tuple[int, int]], max_statuses: int = 500
) -> list[tuple[tuple[int, int], ...]]:
    """Cut arrivals in ascending order of their *unwrapped* numbers into runs that one packet can tell.

    Returns:
        runs of the same pairs: none spans more than `max_statuses` numbers or has a delta that is too large.
    """
    runs: list[list[tuple[int, int]]] = []
    for number, at in arrivals:
        if runs:
            start, last_at = runs[-1][0][0], runs[-1][-1][1]
            if number - start < max_statuses and abs(at - last_at) < 0x7FF0 * DELTA_NS:
                runs[-1].append((number, at))
                continue
        runs.append([(number, at)])
    return [tuple(run) for run in runs]


def _statuses(arrivals: tuple[tuple[int, int | None], ...]) -> list[int | None]:
    base = arrivals[0][0]
    statuses: list[int | None] = []
    for number, arrival in arrivals:
        index = (number - base) & 0xFFFF
        if index < len(statuses):  # told twice, or out of order by the caller: the first word holds
            continue
        statuses += [None] * (index - len(statuses))
        statuses.append(arrival)
    return statuses


def _chunks(symbols: list[int]) -> bytes:
    chunks, position = bytearray(), 0
    while position < len(symbols):
        run = 1
        while (
            position + run < len(symbols) and symbols[position + run] == symbols[position] and run < _RUN_MAX
        ):
            run += 1
        if run >= 7:
            chunks += (symbols[position] << 13 | run).to_bytes(2, "big")
            position += run
            continue
        part = symbols[position : position + 14]
        if _LARGE_DELTA not in part:
            bits = sum(symbol << (13 - at) for at, symbol in enumerate(part))
            chunks += (0x8000 | bits).to_bytes(2, "big")
            position += 14
            continue
        part = part[:7]
        bits = sum(symbol << (12 - 2 * at) for at, symbol in enumerate(part))
        chunks += (0xC000 | bits).to_bytes(2, "big")
        position += 7
    return bytes(chunks)


def _parse_chunks(body: bytes, count: int) -> tuple[list[int], int]:
    symbols: list[int] = []
    position = 16
    while len(symbols) < count:
        if position + 2 > len(body):
            raise ParseError("twcc", "chunks end early")
        chunk = int.from_bytes(body[position : position + 2], "big")
        position += 2
        if not chunk & 0x8000:
            run = min(chunk & _RUN_MAX, count - len(symbols))
            if not run:
                raise ParseError("twcc", "an empty run")
            symbols += [chunk >> 13 & 3] * run
        elif not chunk & 0x4000:
            symbols += [chunk >> shift & 1 for shift in range(13, -1, -1)]
        else:
            symbols += [chunk >> shift & 3 for shift in range(12, -1, -2)]
    if 3 in symbols[:count]:
        raise ParseError("twcc", "a reserved status")
    return symbols[:count], position
