"""Situations for policies in few words: who watches what on which link, and what was chosen last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sfu.allocation.problem import LAYERS, NEVER, NEVER_SPOKE, Policy, Problem
from sfu.rows import MAX_ENCODINGS, MAX_TEMPORAL, PAUSED
from sfu.units import NS_PER_S, Instant

NOW = Instant(1_000 * NS_PER_S)

Kbps = Mapping[int, float]
"""Costs by layer; layers that are not there can't be given."""

AUDIO = {0: 40.0}


def full_rate(*kbps: float) -> Kbps:
    """An encoding each, without temporal layers; 0: it is not sent."""
    return {encoding * MAX_TEMPORAL + 2: cost for encoding, cost in enumerate(kbps) if cost}


def ladder(*kbps: float, parts: Sequence[float] = (0.33, 0.66, 1.0)) -> Kbps:
    """Encodings of three temporal layers each, of which the lower take a part of the bits."""
    return {
        encoding * MAX_TEMPORAL + temporal: cost * part
        for encoding, cost in enumerate(kbps)
        for temporal, part in enumerate(parts)
        if cost
    }


@dataclass(frozen=True)
class Watched:
    """One track that a subscriber watches."""

    kbps: Kbps
    height: float = 720.0
    """Of the tile."""
    heights: tuple[float, float, float] = (180.0, 360.0, 720.0)
    frame_rates: tuple[float, float, float] = (7.5, 15.0, 30.0)
    previous: int = PAUSED
    speaker: int = NEVER_SPOKE
    is_screen: bool = False
    is_pinned: bool = False
    is_visible: bool = True
    is_audio: bool = False
    is_changed: bool = False
    moved_s_ago: float = float("inf")
    lowered_s_ago: float = float("inf")


@dataclass(frozen=True)
class Link:
    """One subscriber: its link and what it watches, in the order of `Problem.rank`."""

    watched: tuple[Watched, ...]
    keep_kbps: float
    change_kbps: float | None = None
    """None: the same."""
    decided_s_ago: float = float("inf")
    decided_kbps: float = 0.0
    is_reordered: bool = False


@dataclass(frozen=True)
class Case:
    """A situation, what is to be chosen, and where in the peer's repository that is said."""

    name: str
    source: str
    link: Link
    chosen: tuple[int, ...] = field(default=())

    def __str__(self) -> str:
        return self.name


def problem_of(*links: Link) -> Problem:
    """The situations of several subscribers as one problem, their rows mixed."""
    pairs = [(index, watched) for index, link in enumerate(links) for watched in link.watched]
    ranks = [rank for link in links for rank in range(len(link.watched))]
    order = np.argsort(ranks, kind="stable")
    pairs = [pairs[place] for place in order]
    watched = [row for _, row in pairs]
    costs = np.ones((len(pairs), LAYERS))
    usable = np.zeros((len(pairs), LAYERS), np.bool_)
    for row, costs_bps, is_usable in zip(watched, costs, usable, strict=True):
        for layer, kbps in row.kbps.items():
            costs_bps[layer], is_usable[layer] = kbps * 1_000, True
    heights = np.array([row.heights for row in watched]).reshape(-1, MAX_ENCODINGS)
    heights = np.repeat(heights, MAX_TEMPORAL, axis=1)
    frame_rates = np.array([row.frame_rates for row in watched]).reshape(-1, MAX_TEMPORAL)
    return Problem(
        now=NOW,
        subscriber=np.array([index for index, _ in pairs], np.int64),
        track=np.arange(len(pairs)),
        rank=np.array(ranks, np.int64)[order],
        is_audio=np.array([row.is_audio for row in watched], np.bool_),
        is_screen=np.array([row.is_screen for row in watched], np.bool_),
        is_pinned=np.array([row.is_pinned for row in watched], np.bool_),
        is_visible=np.array([row.is_visible for row in watched], np.bool_),
        speaker=np.array([row.speaker for row in watched], np.int64),
        width=np.array([row.height * 16 / 9 for row in watched]),
        height=np.array([row.height for row in watched]),
        layer_widths=heights * 16 / 9,
        layer_heights=heights,
        frame_rates=np.tile(frame_rates, (1, MAX_ENCODINGS)),
        costs_bps=costs,
        usable=usable,
        previous=np.array([row.previous for row in watched], np.int64),
        previous_at=np.array([_ago(row.moved_s_ago) for row in watched], np.int64),
        keep_bps=np.array([link.keep_kbps * 1_000 for link in links]),
        change_bps=np.array([_change_kbps(link) * 1_000 for link in links]),
        changed=np.array([row.is_changed for row in watched], np.bool_),
        lowered_at=np.array([_ago(row.lowered_s_ago) for row in watched], np.int64),
        reordered=np.array([link.is_reordered for link in links]),
        decided_at=np.array([_ago(link.decided_s_ago) for link in links], np.int64),
        decided_bps=np.array([link.decided_kbps * 1_000 for link in links]),
    )


def chosen_for(policy: Policy, *links: Link) -> list[tuple[int, ...]]:
    """The layers of each subscriber, in the order of what it watches."""
    problem = problem_of(*links)
    chosen = policy(problem)
    return [tuple(chosen[problem.subscriber == index].tolist()) for index in range(len(links))]


def _change_kbps(link: Link) -> float:
    return link.keep_kbps if link.change_kbps is None else link.change_kbps


def _ago(seconds: float) -> int:
    return NEVER if seconds == float("inf") else NOW - int(seconds * NS_PER_S)
