"""By how much later the same packets come across a hop: who is which by what RTP leaves readable. Pure.

Each focus gives the stream that it sends numbers and a clock of its own, and rewrites every packet alike. So
of one stream at two viewers, numbers and times differ by constants; these are found, and with them the pairs.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

NS_PER_MS: Final = 1e6
_NUMBERS: Final = 2**16
_TIMES: Final = 2**32


@dataclass(frozen=True, slots=True)
class Arrival:
    """One packet of RTP as it came.

    Attributes:
        at_ns: any clock, the same for all.
        number: its sequence number.
        timestamp: as it stands in it.
        size: bytes of UDP payload.
    """

    at_ns: int
    ssrc: int
    number: int
    timestamp: int
    size: int


def delays_ms(near: Sequence[Arrival], far: Sequence[Arrival]) -> list[float]:
    """By how much later than at `near` each packet came at `far`; negative where it came earlier.

    Args:
        near: of one viewer, in any order; its largest stream counts, and of a packet that came twice the
            first time.
        far: of another viewer of the same track.

    Returns:
        One for each packet that both have.
    """
    ours, theirs = _main_stream(near), _main_stream(far)
    shift = _shift(ours, theirs)
    if shift is None:
        return []
    arrived = {one.number: one.at_ns for one in reversed(theirs)}
    firsts = {one.number: one.at_ns for one in reversed(ours)}
    return [
        (there - at) / NS_PER_MS
        for number, at in firsts.items()
        if (there := arrived.get((number + shift) % _NUMBERS)) is not None
    ]


def _main_stream(arrivals: Sequence[Arrival]) -> list[Arrival]:
    sizes: Counter[int] = Counter()
    for one in arrivals:
        sizes[one.ssrc] += one.size
    if not sizes:
        return []
    ssrc = sizes.most_common(1)[0][0]
    return [one for one in arrivals if one.ssrc == ssrc]


def _shift(near: Sequence[Arrival], far: Sequence[Arrival]) -> int | None:
    """What the numbers of `far` have in addition: where both streams have the same beat.

    A frame is known by its packets, those of the frame before and the time between them; the shift by which
    most are alike is the right one. None where nothing is alike.
    """
    ours, theirs = _frames(near), _frames(far)
    places = defaultdict(list)
    for beat, number in theirs:
        places[beat].append(number)
    votes = Counter((there - number) % _NUMBERS for beat, number in ours for there in places[beat])
    return votes.most_common(1)[0][0] if votes else None


Beat = tuple[int, int, int]
"""Packets of a frame and of the one before, and the time between them."""


def _frames(arrivals: Sequence[Arrival]) -> list[tuple[Beat, int]]:
    """The beat of each frame, and the number of its first packet."""
    numbers: defaultdict[int, list[int]] = defaultdict(list)
    for one in arrivals:
        numbers[one.timestamp].append(one.number)
    return [
        ((len(packets), len(before), (timestamp - earlier) % _TIMES), packets[0])
        for (earlier, before), (timestamp, packets) in itertools.pairwise(numbers.items())
    ]
