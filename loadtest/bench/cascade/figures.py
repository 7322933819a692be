"""What the rounds of the cascade bench come to. Pure."""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sfu.units import NS_PER_MS, Instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

KEYS: Final = {
    "traffic": ("trunk_bytes_ratio", "trunk_bytes_20_vs_1_viewers"),
    "first_frame": ("first_frame_ratio_warm", "first_frame_cold_ms"),
    "delay": ("hop_delay_p50_ms", "hop_delay_p99_ms"),
    "cut": ("cut_recovery_s",),
    "restart": ("restart_recovery_s", "others_gap_ms"),
}
"""The figures of each part."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one round of one part found.

    Attributes:
        values: by key of the figures.
        raw: what they come from.
        faults: why they say nothing; none where they do.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    raw: Mapping[str, object] = field(default_factory=dict)
    faults: tuple[str, ...] = ()


def medians(part: str, rounds: Sequence[Round]) -> dict[str, float | None]:
    """Each figure of a part: the median over the rounds that have it."""
    figures: dict[str, float | None] = {}
    for key in KEYS[part]:
        values = [one.values[key] for one in rounds if key in one.values]
        figures[key] = statistics.median(values) if values else None
    return figures


def raw_rounds(rounds: Sequence[Round]) -> list[dict[str, object]]:
    """The rounds of a part as they stand in the JSON file."""
    return [
        {**{key: round(value, 4) for key, value in one.values.items()}, **one.raw, "faults": list(one.faults)}
        for one in rounds
    ]


def longest_gap_ms(arrivals: Iterable[Instant], since: Instant, until: Instant) -> float:
    """The longest time without an arrival within a while; its beginning and its end count as arrivals."""
    inside = (at for at in arrivals if since < at < until)
    moments = (since, *inside, until)
    return max(after - before for before, after in itertools.pairwise(moments)) / NS_PER_MS
