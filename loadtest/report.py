"""What a run leaves behind: one JSON object, and the same in words."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from loadtest.judge import GOOD_FIRST_FRAME_ACROSS_MS, GOOD_FIRST_FRAME_MS, name_of
from loadtest.live_table import short_names
from sfu.figures import commit, machine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from loadtest.judge import Row, Verdict
    from loadtest.trunks import TrunkFigures

MAX_ROWS: Final = 40
"""Pairs printed one by one. The JSON has all."""
MAX_LINES: Final = 20
"""Troubles, faults and violations printed. The JSON has all."""


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict and what it was measured on."""

    verdict: Verdict
    participants: int
    seconds: float
    plane: str | None
    """The data plane that the focus says it uses; None where nobody can be asked."""
    trunks: tuple[TrunkFigures, ...] = ()
    """Of a call over several foci, by what they say themselves."""

    @property
    def good_first_frame_ms(self) -> int:
        """Half of the first frames should have come by then; shown, not demanded."""
        return GOOD_FIRST_FRAME_ACROSS_MS if self.trunks else GOOD_FIRST_FRAME_MS

    def content(self) -> dict[str, object]:
        """As it stands in the JSON file."""
        verdict = self.verdict
        first_ms = verdict.first_frame_ms_p50
        return {
            "ok": verdict.is_good,
            "participants": self.participants,
            "seconds": round(self.seconds, 1),
            "first_frame_ms_p50": None if first_ms is None else round(first_ms, 1),
            "wrong_frames": verdict.wrong_frames,
            "failures": [*verdict.troubles, *verdict.faults],
            "violations": list(verdict.violations),
            "plane": self.plane,
            "machine": machine(),
            "commit": commit(),
            "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "trunks": [trunk.content() for trunk in self.trunks],
            "pairs": [row.content() for row in verdict.rows],
        }

    def write(self, path: Path) -> None:
        """Write the JSON file.

        Raises:
            OSError: it cannot be written.
        """
        path.write_text(json.dumps(self.content(), indent=1) + "\n", encoding="utf-8")

    def show(self, console: Console, *, checked: bool) -> None:
        """Print the report; `checked` says whether the run was judged."""
        verdict = self.verdict
        shown = [row for row in verdict.rows if row.frames_sent or row.frames_decoded]
        if 0 < len(shown) <= MAX_ROWS:
            console.print(_pairs(shown))
        if self.trunks:
            console.print(_trunks(self.trunks))
        first_ms = verdict.first_frame_ms_p50
        if first_ms is not None:
            good_ms = self.good_first_frame_ms
            mark = "PASS" if first_ms <= good_ms else "FAIL"
            figure = f"first picture, p50: {first_ms:.0f} ms ({mark}: up to {good_ms:,} ms is good)"
            console.print(Text(figure, style="green" if mark == "PASS" else "yellow"))
        _print_lines(console, "the focus broke the protocol:", verdict.violations, "yellow")
        _print_lines(console, "not in the call:", verdict.troubles, "red")
        if not checked:
            return
        _print_lines(console, "pairs that failed:", verdict.faults, "red")
        word, style = ("PASS", "bold green") if verdict.is_good else ("FAIL", "bold red")
        console.print(Text(f"check: {word}", style=style))


def _pairs(rows: Sequence[Row]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("from", "to", "kind", "layers"):
        table.add_column(heading)
    for heading in ("decoded", "first ms", "delay ms", "freezes ms"):
        table.add_column(heading, justify="right")
    parties = sorted({party for row in rows for party in (row.sender, row.receiver)})
    names = dict(zip(parties, short_names([name_of(party) for party in parties]), strict=True))
    for row in rows:
        ratio = row.decoded_ratio
        style = "red" if any(row.faults()) else ""
        table.add_row(
            names[row.sender],
            names[row.receiver],
            row.kind,
            " ".join(row.layers_seen),
            "-" if ratio is None else f"{ratio:.0%}",
            _figure(row.first_frame_ms),
            _figure(row.delay_ms_p50),
            _figure(row.freezes_ms),
            style=style,
        )
    return table


def _trunks(trunks: Sequence[TrunkFigures]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("trunk from", "to", "carries"):
        table.add_column(heading)
    for heading in ("sent kB", "received kB"):
        table.add_column(heading, justify="right")
    for trunk in trunks:
        for flow in trunk.flows:
            kinds = Counter(" ".join((track.kind, *track.layers)) for track in flow.tracks)
            table.add_row(
                _server_of(flow.sender),
                _server_of(flow.receiver),
                ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "nothing",
                f"{flow.bytes_sent / 1_000:.0f}",
                f"{flow.bytes_received / 1_000:.0f}",
            )
    return table


def _server_of(user_id: str) -> str:
    return user_id.partition(":")[2]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _print_lines(console: Console, heading: str, lines: tuple[str, ...], style: str) -> None:
    if not lines:
        return
    shown = [heading, *(f"  {line}" for line in lines[:MAX_LINES])]
    if len(lines) > MAX_LINES:
        shown.append(f"  and {len(lines) - MAX_LINES} more")
    for line in shown:
        # Whoever reads a log looks for whole lines.
        console.print(Text(line, style=style), soft_wrap=True)
