"""How the focus itself goes away: at once, or by and by so that nobody is cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from signalling.focus.endings import Ending
from signalling.focus.refusals import Refusal
from signalling.focus.turn import DrainAsked, DrainCancelled, Level, Note, ShuttingDown

if TYPE_CHECKING:
    from sfu.units import Instant
    from signalling.focus.calls import Calls
    from signalling.focus.drain import Drainage
    from signalling.focus.endings import Endings
    from signalling.focus.joining import Joining
    from signalling.focus.outward import Outward
    from signalling.focus.turn import Outputs


class Departing:
    """Takes nobody in any more, tells everybody, and ends the legs that are left."""

    def __init__(
        self, calls: Calls, joining: Joining, endings: Endings, outward: Outward, drainage: Drainage
    ) -> None:
        self._calls = calls
        self._joining = joining
        self._endings = endings
        self._outward = outward
        self._drainage = drainage

    def handle(self, now: Instant, given: DrainAsked | DrainCancelled | ShuttingDown) -> Outputs:
        """Do what the operator wants."""
        match given:
            case DrainAsked():
                return self._drain(now, given)
            case DrainCancelled():
                self._drainage.cancel()
                self._joining.reopen()
                return [Note(Level.INFO, "drain_cancelled")]
            case ShuttingDown():
                outputs = self._joining.close(now, Refusal.SHUTTING_DOWN)
                return [*outputs, *self._end_all(now, Ending.SHUTDOWN)]
            case _:
                assert_never(given)

    def handle_timeout(self, now: Instant) -> Outputs:
        """Hang up whoever is left at the deadline."""
        if not self._drainage.is_over(now):
            return []
        return [*self._end_all(now, Ending.DRAINED), Note(Level.INFO, "drain_ended")]

    def _drain(self, now: Instant, given: DrainAsked) -> Outputs:
        self._drainage.begin(now, given)
        facts = {"deadline_s": given.deadline_s, "legs": len(self._calls.legs)}
        outputs: Outputs = [Note(Level.INFO, "drain_began", facts)]
        outputs += self._joining.close(now, Refusal.DRAINING)
        for leg in self._calls.legs:
            outputs += self._outward.say_drain(now, leg)
        return outputs

    def _end_all(self, now: Instant, ending: Ending) -> Outputs:
        return [output for leg in self._calls.legs for output in self._endings.end(now, leg, ending)]
