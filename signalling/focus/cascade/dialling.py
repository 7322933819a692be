"""When a trunk is dialled, taken, given up and tried again: one focus in one call (cascade: section 3).

Nothing here judges whether the other focus may have a trunk (`trust.py`), or knows what goes over it: the
owner says how the focus stands with the call, what becomes of each dial, and whether anything is in use.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, assert_never

from sfu.units import Instant, after_s
from signalling.focus.cascade.foci import dials_first

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from signalling.events.room_state import FocusDevice

WAIT_S: Final = 5.0
"""How long the focus that is to dial second leaves it to the other. Lower: where that one hears of the call
late, both dial. Higher: where it can't or won't dial, people wait for each other."""
DIAL_S: Final = 30.0
"""From an invite until its trunk is up; also how long the invite counts. Lower: a slow federation never gets
there. Higher: a focus that is gone is tried again late."""
FIRST_PAUSE_S: Final = 1.0
"""Before a dial that follows a failure; doubled with each. Lower: a focus that restarts is stormed. Higher: a
short failure is long for people."""
LONGEST_PAUSE_S: Final = 60.0
MEMORY_S: Final = 60.0
"""Failures are remembered for so long after the last pause; so a trunk that was up for as long is dialled as
if for the first time. Lower: what flaps is dialled often. Higher: a failure long ago delays a recovery."""
OFF_S: Final = 600.0
"""A focus that says that it has no trunks is not dialled for up to so long, at least half of it. Lower: its
homeserver and its log hear of us in vain. Higher: where it is switched on and does not dial us itself, people
wait for each other."""
_MOST_TRIES: Final = 6
"""After so many, pauses grow no more."""
IDLE_S: Final = 60.0
"""A trunk that carries and announces nothing is kept for so long. Lower: it goes between two people, and has
to be dialled again. Higher: calls in which nobody says or shows anything hold connections."""


class Stance(enum.Enum):
    """How the other focus stands with the call."""

    STRANGER = "stranger"
    """Nobody names it: it gets no trunk."""
    WELCOME = "welcome"
    """It may dial us; we don't need it."""
    WANTED = "wanted"
    """People are on it, and people are on us: we dial."""


class Ending(enum.StrEnum):
    """Why we give up a dial or a trunk."""

    NOT_NAMED = "not_named"
    """No member of the call names that focus any more."""
    NOT_NEEDED = "not_needed"
    """Our last own people left while we were still dialling."""
    DOUBLE_DIAL = "double_dial"
    """Both dialled, and the other one's dial goes on."""
    REPLACED = "replaced"
    """The other one dialled anew."""
    NO_CONNECTION = "no_connection"
    """It was not up in time."""
    IDLE = "idle"


# --- states -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Idle:
    """There is nothing, and nothing is tried."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The other one is to dial first, until then."""

    until: Instant


@dataclass(frozen=True, slots=True)
class Dialling:
    """Our invite is out."""

    call_id: str
    until: Instant


@dataclass(frozen=True, slots=True)
class Answering:
    """Theirs was taken, and is not up yet."""

    call_id: str
    until: Instant


@dataclass(frozen=True, slots=True)
class Up:
    """The trunk is connected."""

    call_id: str
    idle_at: Instant | None
    """When it has been of no use for too long; None while it is in use."""


@dataclass(frozen=True, slots=True)
class BackingOff:
    """It failed; it is tried again then."""

    until: Instant


@dataclass(frozen=True, slots=True)
class Resting:
    """It went because nothing used it; whoever has something to say dials."""


State = Idle | Waiting | Dialling | Answering | Up | BackingOff | Resting


# --- what must happen -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Dial:
    """Send an invite with this new call id."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer this invite of theirs."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Ignore:
    """Say nothing to this invite: our own dial goes on, or it came before."""

    call_id: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the leg of this dial, and tell the other focus."""

    call_id: str
    ending: Ending


Step = Dial | Answer | Ignore | HangUp


class Trunk:
    """The trunk to one other focus in one call, over all its dials."""

    def __init__(
        self,
        ours: FocusDevice,
        theirs: FocusDevice,
        rng: random.Random,
        *,
        is_first: bool | None = None,
    ) -> None:
        """Begin with nothing, of a stranger.

        Args:
            ours: this focus.
            theirs: the other one.
            rng: for call ids and for how long pauses are.
            is_first: whether we dial at once; None: by the order of names.
        """
        self._ours = (ours.user_id, ours.device_id)
        self._theirs = (theirs.user_id, theirs.device_id)
        self._is_first = dials_first(ours, theirs) if is_first is None else is_first
        self._rng = rng
        self._stance = Stance.STRANGER
        self._is_used = False
        self._tries = 0
        """Dials and trunks that ended lately."""
        self._rested_at = Instant(0)
        """When the pause after the last end is over; no dial of ours goes before."""
        self._off_until = Instant(0)
        """Likewise, since the other focus has no trunks; only for as long as we need it all the time."""
        self._forgotten_at: Instant | None = None
        """When tries count no more; None: there are none."""
        self.state: State = Idle()

    def is_over(self) -> bool:
        """Whether this trunk can be forgotten: there is nothing, and no pause to be remembered."""
        return isinstance(self.state, Idle) and self._forgotten_at is None

    # --- what the owner says ------------------------------------------------------------------------------

    def stand(self, now: Instant, stance: Stance) -> list[Step]:
        """The focus stands so with the call from now on."""
        self._stance = stance
        if stance is not Stance.WANTED:
            self._off_until = Instant(0)
        match stance:
            case Stance.STRANGER:
                return self._give_up(Ending.NOT_NAMED, now)
            case Stance.WELCOME:
                if isinstance(self.state, Answering | Up):
                    return []
                return self._give_up(Ending.NOT_NEEDED, now)
            case Stance.WANTED:
                return self._begin(now) if isinstance(self.state, Idle) else []
            case _:
                assert_never(stance)

    def use(self, now: Instant, *, is_used: bool) -> list[Step]:
        """Whether the trunk is of use.

        It is while either side announces a stream to the other or has subscribed to one; while there is no
        trunk, while we would announce one.
        """
        self._is_used = is_used
        match self.state:
            case Up(call_id, idle_at) if is_used == (idle_at is not None):
                self.state = self._up(now, call_id)
                return []
            case Resting() if is_used:
                # The other one may have nothing to say, so this is not left to it.
                return self._pause_or(now, self._dial)
            case _:
                return []

    def invited(self, now: Instant, call_id: str) -> list[Step]:
        """The other focus, which may have a trunk, has sent this invite.

        Of two that crossed the one with the smaller call id goes on, on both sides.
        """
        self._off_until = Instant(0)
        before: list[Step] = []
        match self.state:
            case Dialling(mine) if (mine, self._ours) < (call_id, self._theirs):
                return [Ignore(call_id)]
            case Dialling(mine):
                before = [HangUp(mine, Ending.DOUBLE_DIAL)]
            case Answering(current) | Up(current) if current == call_id:
                return [Ignore(call_id)]
            case Answering(current) | Up(current):
                before = [HangUp(current, Ending.REPLACED)]
            case _:
                pass
        self.state = Answering(call_id, after_s(now, DIAL_S))
        return [*before, Answer(call_id)]

    def connected(self, now: Instant, call_id: str) -> None:
        """The leg of this dial has connected."""
        match self.state:
            case Dialling(current) | Answering(current) if current == call_id:
                self.state = self._up(now, call_id)
            case _:
                pass

    def ended(self, now: Instant, call_id: str, *, is_off: bool = False) -> list[Step]:
        """The leg of this dial has failed, or the other focus has rejected it or hung up.

        Args:
            now: of the turn.
            call_id: of the dial.
            is_off: the other focus says that it has no trunks.
        """
        match self.state:
            case Up(current, idle_at) if current == call_id:
                self._count_end(now)
                if idle_at is not None and self._stance is Stance.WANTED:
                    # Its time was up on the other side a little earlier.
                    self.state = Resting()
                    return []
            case Dialling(current) | Answering(current) if current == call_id:
                self._count_end(now)
            case _:
                return []
        if is_off:
            self._off_until = after_s(now, OFF_S * self._rng.uniform(0.5, 1.0))
        self.state = Idle()
        return self._begin(now) if self._stance is Stance.WANTED else []

    # --- time ---------------------------------------------------------------------------------------------

    def handle_timeout(self, now: Instant) -> list[Step]:
        """Do what is due."""
        self._forget_tries(now)
        match self.state:
            case Waiting(until) if now >= until:
                return self._dial(now)
            case BackingOff(until) if now >= until:
                return self._begin(now)
            case Dialling(call_id, until) | Answering(call_id, until) if now >= until:
                return [HangUp(call_id, Ending.NO_CONNECTION), *self.ended(now, call_id)]
            case Up(call_id, idle_at) if idle_at is not None and now >= idle_at:
                self._count_end(now)
                self.state = Resting() if self._stance is Stance.WANTED else Idle()
                return [HangUp(call_id, Ending.IDLE)]
            case _:
                return []

    def next_timeout(self) -> Instant | None:
        """When something is due."""
        match self.state:
            case Waiting(until) | Dialling(_, until) | Answering(_, until) | BackingOff(until):
                return until
            case Up(_, idle_at):
                return idle_at
            case Idle():
                return self._forgotten_at
            case Resting():
                return None
            case _:
                assert_never(self.state)

    # --- within -------------------------------------------------------------------------------------------

    def _begin(self, now: Instant) -> list[Step]:
        return self._pause_or(now, self._dial if self._is_first else self._wait)

    def _pause_or(self, now: Instant, go_on: Callable[[Instant], list[Step]]) -> list[Step]:
        """Go on, or not before the pause after the last end is over."""
        rested_at = max(self._rested_at, self._off_until)
        if now < rested_at:
            self.state = BackingOff(rested_at)
            return []
        return go_on(now)

    def _wait(self, now: Instant) -> list[Step]:
        self.state = Waiting(after_s(now, WAIT_S))
        return []

    def _dial(self, now: Instant) -> list[Step]:
        call_id = f"{self._rng.getrandbits(128):032x}"
        self.state = Dialling(call_id, after_s(now, DIAL_S))
        return [Dial(call_id)]

    def _up(self, now: Instant, call_id: str) -> Up:
        return Up(call_id, None if self._is_used else after_s(now, IDLE_S))

    def _give_up(self, ending: Ending, now: Instant) -> list[Step]:
        match self.state:
            case Dialling(call_id) | Answering(call_id) | Up(call_id):
                self._count_end(now)
                self.state = Idle()
                return [HangUp(call_id, ending)]
            case _:
                self.state = Idle()
                return []

    def _count_end(self, now: Instant) -> None:
        """A dial or a trunk ends now: the next one has to wait, the longer the more often it happened."""
        self._forget_tries(now)
        # Drawn from the upper half, so that foci which lost each other together don't dial together.
        longest_s = min(FIRST_PAUSE_S * 2.0**self._tries, LONGEST_PAUSE_S)
        self._rested_at = after_s(now, longest_s * self._rng.uniform(0.5, 1.0))
        self._forgotten_at = after_s(self._rested_at, MEMORY_S)
        self._tries = min(self._tries + 1, _MOST_TRIES)

    def _forget_tries(self, now: Instant) -> None:
        if self._forgotten_at is not None and now >= self._forgotten_at:
            self._tries = 0
            self._forgotten_at = None
