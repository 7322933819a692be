from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sfu.dataplane.agenda import Agenda
from sfu.units import Instant, TransportId

A, B, C = TransportId(1), TransportId(2), TransportId(3)


def test_nothing_is_due_that_was_not_planned() -> None:
    agenda = Agenda()
    agenda.plan(A, None)
    assert agenda.next_timeout() is None
    assert agenda.pop_due(Instant(10**12)) is None


def test_the_earliest_comes_first_and_once() -> None:
    agenda = Agenda()
    for transport, at in ((A, 30), (B, 10), (C, 20)):
        agenda.plan(transport, Instant(at))
    assert agenda.next_timeout() == 10
    assert agenda.pop_due(Instant(9)) is None
    assert [agenda.pop_due(Instant(20)) for _ in range(3)] == [B, C, None]
    assert agenda.next_timeout() == 30


def test_an_appointment_is_brought_forward_and_never_put_off() -> None:
    agenda = Agenda()
    agenda.plan(A, Instant(30))
    agenda.plan(A, Instant(10))
    agenda.plan(A, Instant(20))
    assert agenda.pop_due(Instant(10)) == A
    assert agenda.next_timeout() is None


def test_a_cancelled_appointment_is_none() -> None:
    agenda = Agenda()
    agenda.plan(A, Instant(10))
    agenda.cancel(A)
    agenda.cancel(B)
    assert agenda.next_timeout() is None
    agenda.plan(A, Instant(20))
    assert agenda.pop_due(Instant(30)) == A


@given(
    plans=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 100)), max_size=60), now=st.integers(0, 100)
)
def test_what_is_due_is_what_was_planned_earliest(plans: list[tuple[int, int]], now: int) -> None:
    agenda = Agenda()
    earliest: dict[int, int] = {}
    for transport, at in plans:
        agenda.plan(TransportId(transport), Instant(at))
        earliest[transport] = min(at, earliest.get(transport, at))
    due = []
    while (one := agenda.pop_due(Instant(now))) is not None:
        due.append(one)
    expected = sorted((at, transport) for transport, at in earliest.items() if at <= now)
    assert due == [transport for _, transport in expected]
    assert agenda.next_timeout() == min((at for at in earliest.values() if at > now), default=None)
