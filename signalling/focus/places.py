"""Whether legs still have their place in the call, whenever room state or the clock says something new."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from sfu.units import after_ms
from signalling.focus.admission import Gone, Named
from signalling.focus.endings import Ending, ending_of_loss
from signalling.focus.leg import Admitted, Awaited
from signalling.focus.refusals import Refusal
from signalling.focus.turn import Count

if TYPE_CHECKING:
    from sfu.units import Instant, WallTime
    from signalling.focus.admission import Admission
    from signalling.focus.calls import Calls
    from signalling.focus.endings import Endings
    from signalling.focus.leg import Leg
    from signalling.focus.outward import Outward
    from signalling.focus.turn import Outputs

_MAY_COME: frozenset[Gone] = frozenset({Gone.NOT_NAMED, Gone.OTHER_SESSION, Gone.EXPIRED})
"""What a member event that is under way will put right."""


class Places:
    """Admits legs and ends them."""

    def __init__(self, calls: Calls, admission: Admission, endings: Endings, outward: Outward) -> None:
        self._calls = calls
        self._admission = admission
        self._endings = endings
        self._outward = outward

    def room_changed(
        self, now: Instant, wall: WallTime, room_id: str, users: frozenset[str] | None
    ) -> Outputs:
        """Look at the legs in the room, and at those that any room may admit or make ambiguous.

        Args:
            now: of the turn.
            wall: likewise.
            room_id: where something has changed.
            users: whom it concerns; None: everybody.
        """
        concerned = [
            leg
            for leg in self._calls.legs
            if leg.trunk is None
            and (users is None or leg.key.user_id in users)
            and (leg.key.call.room_id == room_id or isinstance(leg.standing, Awaited))
        ]
        return [output for leg in concerned for output in self._look(now, wall, leg)]

    def leg_due(self, now: Instant, wall: WallTime, leg: Leg) -> Outputs:
        """Look at a leg whose member event is over, or was waited for, until now; trunks have none."""
        if now < leg.standing.until or leg.trunk is not None:
            return []
        if isinstance(leg.standing, Awaited):
            return self._endings.end(now, leg, Ending.NOT_ANNOUNCED)
        # Renewed in time, or the clock was set back.
        return self._look(now, wall, leg)

    def _look(self, now: Instant, wall: WallTime, leg: Leg) -> Outputs:
        place = self._admission.place(wall, leg.key, leg.session_id)
        match leg.standing:
            case Admitted():
                if isinstance(place, Gone):
                    return self._endings.end(now, leg, ending_of_loss(place))
                self._admit_until(now, wall, leg, place)
                return []
            case Awaited():
                if isinstance(place, Gone) and place not in _MAY_COME:
                    return self._endings.end(now, leg, ending_of_loss(place))
                return self._look_for(now, wall, leg)
            case _:
                assert_never(leg.standing)

    def _look_for(self, now: Instant, wall: WallTime, leg: Leg) -> Outputs:
        match self._admission.resolve(wall, leg.dialled, leg.session_id):
            case Named(room_id) as named if room_id == leg.key.call.room_id:
                self._admit_until(now, wall, leg, named)
                call = self._calls.call_of(leg)
                admitted = call.conference.admit(now, leg.transport)
                return [
                    *self._outward.pass_on(now, call, admitted),
                    Count("joins", {"step": "admission", "outcome": "ok"}),
                ]
            case Named() | Refusal():
                return self._endings.end(now, leg, Ending.AMBIGUOUS)
            case _:
                return []

    def _admit_until(self, now: Instant, wall: WallTime, leg: Leg, named: Named) -> None:
        leg.standing = Admitted(after_ms(now, self._admission.left_ms(wall, named.expires_at)))
        self._calls.change(self._calls.call_of(leg))
