"""On which worker of the plane a call lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def least_occupied(workers: int, calls: Iterable[tuple[int, int]]) -> int:
    """Choose the worker for a call that begins: with fewest participants, of those with fewest calls.

    A call stays on its worker until it ends, and nobody knows yet how many will come; by the second criterion
    calls that begin together do not begin in one place.

    Args:
        workers: how many there are, at least one.
        calls: of each call that lives, its worker and how many are in it.

    Returns:
        The number of a worker; the lowest where several are equal.
    """
    participants, begun = [0] * workers, [0] * workers
    for worker, size in calls:
        participants[worker] += size
        begun[worker] += 1
    return min(range(workers), key=lambda worker: (participants[worker], begun[worker]))
