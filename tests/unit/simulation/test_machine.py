from __future__ import annotations

from sfu.simulation.machine import Machine, Starved
from sfu.units import NS_PER_S, Instant, after_ms

START = Instant(NS_PER_S)


def at(ms: float) -> Instant:
    return after_ms(START, ms)


def test_a_machine_that_has_time_looks_at_all_at_once() -> None:
    machine = Machine[int]((), START)
    machine.take(1)
    machine.take(2)
    assert machine.poll(at(0)) == [1, 2]
    assert machine.poll(at(0)) == []
    assert machine.next_timeout() is None
    assert not machine.is_asleep(at(1))


def test_one_that_is_starved_looks_now_and_then_at_so_much() -> None:
    machine = Machine[int]((Starved(0.1, 0.3, 80, 2),), START)
    for number in range(7):
        machine.take(number)
    assert machine.poll(at(100)) == [0, 1]
    assert machine.next_timeout() == at(180)
    assert machine.is_asleep(at(179))
    assert machine.poll(at(179)) == []
    assert machine.poll(at(180)) == [2, 3]
    assert machine.poll(at(260)) == [4, 5]
    assert machine.next_timeout() == at(300), "the spell is over then"
    assert machine.poll(at(300)) == [6]
    assert machine.next_timeout() is None


def test_spells_follow_each_other() -> None:
    machine = Machine[int]((Starved(0, 0.1, 1_000), Starved(1, 2, 1_000)), START)
    machine.poll(at(0))
    assert machine.next_timeout() == at(100)
    machine.poll(at(100))
    assert machine.next_timeout() is None
    machine.poll(at(1_000))
    assert machine.next_timeout() == at(2_000)
