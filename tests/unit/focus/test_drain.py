from __future__ import annotations

from sfu.units import Instant, after_ms, after_s
from signalling.events.ours import Drain, OtherFocus
from signalling.events.room_state import FocusDevice
from signalling.focus.drain import Drainage, Drained, Draining, Serving
from signalling.focus.turn import DrainAsked

NOW = Instant(5_000_000_000)
ASKED = DrainAsked(60.0, (FocusDevice("@other:b", "OTHER"),))


def test_a_focus_serves_until_it_is_asked_to_go() -> None:
    drainage = Drainage()
    assert drainage.state == Serving()
    assert drainage.message(NOW) is None
    assert drainage.next_timeout() is None
    assert not drainage.is_over(NOW)


def test_clients_are_told_how_long_it_goes_on_and_where_else_they_may_dial() -> None:
    drainage = Drainage()
    drainage.begin(NOW, ASKED)
    foci = (OtherFocus("@other:b", "OTHER"),)
    assert drainage.state == Draining(after_s(NOW, 60), foci)
    assert drainage.message(after_ms(NOW, 1_500)) == Drain(58_500, foci)
    assert drainage.message(after_s(NOW, 61)) == Drain(0, foci)
    assert drainage.next_timeout() == after_s(NOW, 60)


def test_the_deadline_comes_once() -> None:
    drainage = Drainage()
    drainage.begin(NOW, ASKED)
    assert not drainage.is_over(after_ms(NOW, 59_999))
    end = after_s(NOW, 60)
    assert drainage.is_over(end)
    assert drainage.state == Drained(end)
    assert not drainage.is_over(after_s(end, 1))
    assert drainage.message(end) is None
    assert drainage.next_timeout() is None


def test_it_can_be_asked_for_another_deadline_and_cancelled() -> None:
    drainage = Drainage()
    drainage.begin(NOW, ASKED)
    drainage.begin(NOW, DrainAsked(5.0))
    assert drainage.message(NOW) == Drain(5_000)
    drainage.cancel()
    assert drainage.state == Serving()
