"""What `focus media` prints: a recording's steps as they are, and how subscribers fare under policies."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import msgspec
from rich.table import Table

from sfu.recording.tables import TABLES
from sfu.units import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sfu.recording.judge import Outcome
    from sfu.recording.replay import Replay
    from sfu.recording.steps import Step
    from sfu.units import Instant

Json = dict[str, Any]

ALL = "all"
"""In place of a subscriber."""


def step_json(step: Step, began_at: Instant) -> Json:
    """A step with all its rows, and when it was, from the beginning on."""
    shown: Json = {"at_s": round((step.now - began_at) / NS_PER_S, 3), "kind": step.kind.name.lower()}
    if step.told:
        shown["told"] = [{"what": type(one).__name__, **msgspec.structs.asdict(one)} for one in step.told]
    for table in TABLES:
        whole = step.whole(table)
        if whole is not None:
            names = (*table.ids, *table.values)
            columns = [whole[name].tolist() for name in names]
            shown[table.name] = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return shown


def outcomes_json(replays: Mapping[str, Replay]) -> Json:
    """By policy: how its decisions compare to the recorded ones, and how it did, in all and by subscriber."""
    return {
        name: {
            "agreement": asdict(replay.agreement),
            "together": asdict(replay.judge.together()),
            "subscribers": {
                str(number): asdict(outcome) for number, outcome in replay.judge.outcomes().items()
            },
        }
        for name, replay in replays.items()
    }


def outcomes_table(replays: Mapping[str, Replay]) -> Table:
    """A row a subscriber and policy, all together last."""
    table = Table(box=None, pad_edge=False)
    for heading in ("subscriber", "policy"):
        table.add_column(heading, no_wrap=True)
    for heading in ("utility", "switches/min", "of size", "above budget", "minutes"):
        table.add_column(heading, justify="right")
    outcomes = {name: replay.judge.outcomes() for name, replay in replays.items()}
    for number in sorted({number for some in outcomes.values() for number in some}):
        for name, some in outcomes.items():
            if number in some:
                table.add_row(str(number), name, *_cells(some[number]))
    for name, replay in replays.items():
        table.add_row(ALL, name, *_cells(replay.judge.together()), style="bold")
    return table


def _cells(outcome: Outcome) -> tuple[str, ...]:
    utility = "" if math.isnan(outcome.utility) else f"{outcome.utility:.3f}"
    return (
        utility,
        f"{outcome.switches_per_min:.1f}",
        f"{outcome.size_switches_per_min:.1f}",
        f"{outcome.over_budget:.1%}",
        f"{outcome.seconds / 60:.1f}",
    )
