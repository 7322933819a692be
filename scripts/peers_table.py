"""Print what `loadtest bench peers --json FILE` measured as the tables of docs/performance.md.

scripts/peers_table.py FILE
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def tables(content: Json) -> str:
    """One table for each kind of packets, and what they were measured on."""
    lines = []
    for workload, sfus in content["sfus"].items():
        lines += [f"`{workload}`:", ""]
        lines += ["| server | µs per packet | lowest-highest | focus / server | delay p50, ms | p99 |"]
        lines += ["| --- | --- | --- | --- | --- | --- |"]
        lines += [_row(name, figures) for name, figures in sfus.items()]
        lines += [""]
    machine = content["machine"]
    commit = str(content["commit"] or "unknown")[:9]
    what = f"{content['date'][:10]}, commit {commit}, {content['plane'] or 'no'} plane"
    where = f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}"
    lines += [f"{what}; {where}; {content['rounds']} rounds, {content['receivers']} receivers."]
    lines += [f"Not valid: {fault}." for fault in content["faults"]]
    return "\n".join(lines) + "\n"


def _row(name: str, figures: Json | None) -> str:
    if figures is None:
        return f"| {name} | - | - | - | - | - |"
    cost = figures["us_per_packet"]
    ratio = figures.get("ratio")
    cells = (
        name,
        f"**{cost['median']:.2f}**",
        f"{cost['low']:.1f}-{cost['high']:.1f}",
        "" if ratio is None else f"**{ratio['median']:.2f}** ({ratio['low']:.2f}-{ratio['high']:.2f})",
        f"{figures['delay_p50_ms']['median']:.2f}",
        f"{figures['delay_p99_ms']['median']:.1f}",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write(tables(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
