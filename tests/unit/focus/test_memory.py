from __future__ import annotations

from signalling.focus.leg import Dialled
from signalling.focus.memory import MAX_ENDED, Memory


def dial(number: int) -> Dialled:
    return Dialled("@a:x", "A", "conf", str(number))


def test_the_dials_remembered_are_bounded_and_the_oldest_is_forgotten() -> None:
    memory = Memory()
    for number in range(MAX_ENDED):
        memory.has_ended(dial(number))
    memory.has_ended(dial(0))
    memory.has_ended(dial(-1))
    assert dial(0) in memory
    assert dial(1) not in memory
    assert dial(2) in memory
