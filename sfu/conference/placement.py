"""On which worker of the plane a call begins, and on which its participants are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def least_occupied(participants: Sequence[int], calls: Sequence[int]) -> int:
    """Choose the worker for a call that begins: with fewest participants, of those with fewest calls.

    Nobody knows yet how many will come; by the second criterion calls that begin together do not begin in
    one place.

    Args:
        participants: (workers,), how many people are on each.
        calls: (workers,), how many calls have begun on each.

    Returns:
        The number of a worker; the lowest where several are equal.
    """
    return min(range(len(participants)), key=lambda worker: (participants[worker], calls[worker]))


def worker_with_room(home: int, participants: Sequence[int], own: Sequence[int], limit: int) -> int:
    """Choose the worker for somebody who joins a call: where the call began, as long as there is room.

    Then, of the workers with room, the one where most of the call is already, as tracks cross to a worker
    once for all who are there; of several the emptiest. Where none has room, it is the emptiest of all.

    Args:
        home: the worker on which the call began.
        participants: (workers,), how many people are on each, of whatever call.
        own: (workers,), how many of the call are on each.
        limit: how many people a worker has room for.

    Returns:
        The number of a worker; the lowest where several are equal.
    """
    if participants[home] < limit:
        return home
    free = [worker for worker, people in enumerate(participants) if people < limit]
    if not free:
        return min(range(len(participants)), key=participants.__getitem__)
    return min(free, key=lambda worker: (-own[worker], participants[worker]))
