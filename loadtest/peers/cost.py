"""How much processor time a process has had, with all its threads and children, to the nanosecond.

`schedstat` counts what ran, however short; the ticks of `/proc/PID/stat` are 10 ms long.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class RunTime:
    """Nanoseconds that each thread of a process tree had run at one moment, by (process, thread)."""

    threads: Mapping[tuple[int, int], int]

    @classmethod
    def of(cls, pid: int, proc: Path = PROC) -> RunTime:
        """Read it; empty where there is no such process."""
        return cls(dict(_threads(proc, pid)))

    def since(self, before: RunTime) -> int:
        """Nanoseconds that ran between two moments.

        A thread that ended in between counts for nothing: what it did since `before` is not known. The
        servers here keep theirs.
        """
        return sum(ran - before.threads.get(thread, 0) for thread, ran in self.threads.items())


def _threads(proc: Path, pid: int) -> Iterator[tuple[tuple[int, int], int]]:
    try:
        tasks = sorted((proc / str(pid) / "task").iterdir())
    except OSError:
        return
    for task in tasks:
        try:
            ran = int((task / "schedstat").read_text().split()[0])
            children = (task / "children").read_text().split()
        except (OSError, IndexError):
            continue  # it has just ended
        yield (pid, int(task.name)), ran
        for child in children:
            yield from _threads(proc, int(child))
