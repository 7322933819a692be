"""The trunks of all calls: which there are to be, and what becomes of each (docs/cascade.md).

Nothing in the focus says what has changed for which trunk. After every turn the calls in which something has
changed that trunks go by, and those whose room or clock says something new, are looked at; what is missing is
brought about.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, assert_never

from sfu.units import after_s
from signalling.events.room_state import FocusDevice
from signalling.events.to_device import (
    FOCUS_SESSION_ID,
    Invite,
    UnreadableInvite,
)
from signalling.focus import endings
from signalling.focus.agenda import Agenda
from signalling.focus.cascade.dialling import Answer, Dial, Ending, HangUp, Ignore, Stance
from signalling.focus.cascade.foci import Foci, Person
from signalling.focus.cascade.hops import Neighbours
from signalling.focus.cascade.trust import InviteRefusal, Trusted
from signalling.focus.leg import Admitted, CallKey, Connected
from signalling.focus.refusals import Refusal
from signalling.focus.turn import Count, Level, Note

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sfu.units import Instant, WallTime
    from signalling.focus.calls import Calls, LiveCall
    from signalling.focus.cascade.dialling import Step
    from signalling.focus.cascade.hearing import Hearing
    from signalling.focus.cascade.hops import Hop, Neighbourhood
    from signalling.focus.cascade.ringing import Ringing
    from signalling.focus.cascade.tree import Tree
    from signalling.focus.cascade.trust import Trust
    from signalling.focus.endings import Endings
    from signalling.focus.leg import Leg, Terms
    from signalling.focus.rooms import Rooms
    from signalling.focus.turn import MessageReceived, Outputs

_ENDINGS: Final = {
    Ending.NOT_NAMED: endings.Ending.NOT_NAMED,
    Ending.NOT_NEEDED: endings.Ending.NOT_NEEDED,
    Ending.DOUBLE_DIAL: endings.Ending.DOUBLE_DIAL,
    Ending.REPLACED: endings.Ending.REPLACED,
    Ending.NO_CONNECTION: endings.Ending.NEVER_CONNECTED,
    Ending.IDLE: endings.Ending.IDLE,
}
"""How a leg ends that a trunk gives up."""

HOLD_S: Final = 1.0
"""A call whose trunks met a mistake of ours is left alone for this long. Lower: it takes turns from others.
Higher: its trunks wait longer for what is due to them."""


class NoCascade:
    """Calls are on this focus alone, and other foci are told so."""

    def __init__(self, ringing: Ringing) -> None:
        self._ringing = ringing

    def invited(
        self,
        now: Instant,
        wall: WallTime,
        given: MessageReceived,
        closed: Refusal | None,
    ) -> Outputs | None:
        """Reject an invite of another focus; None: the message is none."""
        if not _is_of_focus(given):
            return None
        refused = self._ringing.refused_at_sight(now, given, closed)
        return self._ringing.reject(now, given, InviteRefusal.NO_TRUNKS) if refused is None else refused

    def room_changed(self, room_id: str) -> None:
        """It concerns no trunk."""

    def wake(self, now: Instant) -> None:
        """Nothing is due."""

    def follow(self, now: Instant, wall: WallTime) -> Outputs:
        """There is nothing to bring about."""
        return []

    def next_timeout(self) -> Instant | None:
        """Never."""
        return None


class Cascade:
    """Sees to the trunks of all calls."""

    def __init__(
        self,
        terms: Terms,
        trust: Trust,
        tree: Tree,
        rooms: Rooms,
        calls: Calls,
        endings: Endings,
        neighbourhood: Neighbourhood,
        hearing: Hearing,
        ringing: Ringing,
    ) -> None:
        self._clock_skew_s = terms.settings.clock_skew_s
        self._trust = trust
        self._tree = tree
        self._rooms = rooms
        self._calls = calls
        self._endings = endings
        self._neighbourhood = neighbourhood
        self._hearing = hearing
        self._ringing = ringing
        self._concerned: dict[CallKey, None] = {}
        """Calls to be looked at, beside those that have changed."""
        self._agenda: Agenda[CallKey] = Agenda()

    # --- invites ------------------------------------------------------------------------------------------

    def invited(
        self, now: Instant, wall: WallTime, given: MessageReceived, closed: Refusal | None
    ) -> Outputs | None:
        """Answer an invite of another focus, leave it alone, or reject it; None: the message is none.

        Args:
            now: of the turn.
            wall: likewise.
            given: any message.
            closed: why every invite is rejected; None: not all are.
        """
        if not _is_of_focus(given):
            return None
        refused = self._ringing.refused_at_sight(now, given, closed)
        if refused is not None:
            return refused
        message = given.message
        if not isinstance(message, Invite):
            return self._ringing.reject(now, given, Refusal.MALFORMED)
        return self._judge(now, wall, given, message)

    def _judge(self, now: Instant, wall: WallTime, given: MessageReceived, invite: Invite) -> Outputs:
        envelope = invite.envelope
        focus = FocusDevice(given.sender, envelope.device_id)
        near = None
        if invite.room_id is not None:
            near = self._near(now, wall, CallKey(invite.room_id, envelope.conf_id))
        verdict = self._trust.invite(focus, None if near is None else near.foci)
        if isinstance(verdict, InviteRefusal):
            return self._ringing.reject(now, given, verdict)
        assert near is not None  # noqa: S101  # an invite that names no room is not trusted
        hop = self._neighbourhood.hop(near, focus, wall)
        if hop is None:
            return self._ringing.reject(now, given, Refusal.TOO_MANY_IN_CALL)
        self._neighbourhood.add(near)
        # What others announce may go on by it, if we are a relay.
        near.is_stale = True
        self._concerned[near.call] = None
        steps = hop.trunk.stand(now, self._stance(near, focus))
        steps += hop.trunk.invited(now, envelope.call_id)
        return self._perform(now, near, hop, steps, given)

    # --- room state and time ------------------------------------------------------------------------------

    def room_changed(self, room_id: str) -> None:
        """Room state may say something else of the calls in a room."""
        for near in self._neighbourhood:
            if near.call.room_id == room_id:
                near.is_stale = True
                self._concerned[near.call] = None

    def wake(self, now: Instant) -> None:
        """Look at the calls of which something is due, at the end of this turn."""
        self._concerned |= dict.fromkeys(self._agenda.due(now))

    def next_timeout(self) -> Instant | None:
        """When something is due."""
        return self._agenda.next_timeout()

    def follow(self, now: Instant, wall: WallTime) -> Outputs:
        """Bring about what is missing, after everything else of a turn."""
        self._concerned |= {call.key: None for call in self._calls.touched if self._is_news(call)}
        outputs: Outputs = []
        while self._concerned:
            key = next(iter(self._concerned))
            del self._concerned[key]
            try:
                outputs += self._follow(now, wall, key)
            except Exception:
                self._agenda.set(key, after_s(now, HOLD_S))
                raise
        return outputs

    # --- one call -----------------------------------------------------------------------------------------

    def _is_news(self, call: LiveCall) -> bool:
        """Whether a call may want something else of its trunks than when it was looked at."""
        near = self._neighbourhood.of(call.key)
        return near is None or near.version != call.version or near.is_stale or near.is_resting

    def _follow(self, now: Instant, wall: WallTime, key: CallKey) -> Outputs:
        call = self._calls.call(key)
        people = [] if call is None else call.people
        near = self._neighbourhood.of(key)
        if near is None:
            if not people:
                return []
            near = self._near(now, wall, key)
            self._neighbourhood.add(near)
        version, up = 0 if call is None else call.version, near.up
        is_otherwise = self._look(now, wall, near, people)
        self._want(near, wall, has_children=bool(up & self._tree.children))
        outputs: Outputs = []
        for hop in tuple(near.hops.values()):
            leg = hop.leg
            outputs += self._see_to(now, wall, near, hop)
            is_otherwise |= hop.leg is not leg
        if is_otherwise:
            outputs += self._hearing.judge(now, near)
        near.is_stale = False
        near.version = version
        if near.up != up or (call is not None and call.version != version):
            # What was done just now may have changed whom we want, or what is of use.
            self._concerned[key] = None
        self._settle(near)
        return outputs

    def _look(self, now: Instant, wall: WallTime, near: Neighbours, people: list[Leg]) -> bool:
        """Read what is said of a call, if that may be something else than before; whether it may."""
        own = frozenset(Person(leg.key.user_id, leg.key.device_id) for leg in people)
        has_people = any(isinstance(leg.standing, Admitted) for leg in people)
        is_over = near.look_at is not None and now >= near.look_at
        if not (near.is_stale or is_over or own != near.own or has_people != near.has_people):
            return False
        # Until everything that follows is done, or it would not be tried again after a mistake of ours.
        near.is_stale = True
        near.read(now, wall, self._foci(near.call, wall))
        near.own, near.has_people = own, has_people
        legs = {leg.transport for leg in people}
        near.asked = {leg: foci for leg, foci in near.asked.items() if leg in legs}
        asked = (focus for foci in near.asked.values() for focus in foci)
        near.others = frozenset(one.focus for one in near.foci.others(self._tree.me, asked))
        return True

    def _want(self, near: Neighbours, wall: WallTime, *, has_children: bool) -> None:
        """Find out whom we dial, for people of our own and for those behind us."""
        near.wanted = self._tree.wanted(near.others, has_people=near.has_people, has_children=has_children)
        for focus in sorted(near.wanted, key=lambda one: (one.user_id, one.device_id)):
            self._neighbourhood.hop(near, focus, wall)

    def _see_to(self, now: Instant, wall: WallTime, near: Neighbours, hop: Hop) -> Outputs:
        leg, stance = hop.leg, self._stance(near, hop.focus)
        outputs: Outputs = []
        steps = hop.trunk.stand(now, stance)
        if leg is not None and self._calls.leg(leg.transport) is not leg:
            hop.take_leg(None)
            steps += hop.trunk.ended(now, leg.dialled.call_id, is_off=hop.is_off)
        elif leg is not None:
            self._vouch(near, leg)
            if isinstance(leg.connection, Connected) and not hop.is_up:
                outputs += self._up(now, hop, leg)
        steps += hop.trunk.use(now, is_used=self._is_used(near, hop))
        steps += hop.trunk.handle_timeout(now)
        outputs += self._perform(now, near, hop, steps)
        if hop.leg is None and stance is not Stance.WANTED:
            hop.streams = ()
        hop.note_state(wall)
        return outputs

    def _perform(
        self,
        now: Instant,
        near: Neighbours,
        hop: Hop,
        steps: Iterable[Step],
        given: MessageReceived | None = None,
    ) -> Outputs:
        outputs: Outputs = []
        waiting = deque(steps)
        while waiting:
            step = waiting.popleft()
            match step:
                case Dial(call_id) | Answer(call_id):
                    leg, said = self._open(now, near, hop, step, given)
                    outputs += said
                    hop.take_leg(leg)
                    if leg is None:
                        waiting.extend(hop.trunk.ended(now, call_id))
                    else:
                        self._vouch(near, leg)
                case HangUp(call_id, ending):
                    outputs += self._hang_up(now, hop, call_id, ending)
                case Ignore():
                    assert given is not None  # noqa: S101  # of an invite
                    outputs += self._ringing.ignore(given)
                case _:
                    assert_never(step)
        return outputs

    def _open(
        self, now: Instant, near: Neighbours, hop: Hop, step: Dial | Answer, given: MessageReceived | None
    ) -> tuple[Leg | None, Outputs]:
        if isinstance(step, Dial):
            call = self._calls.call(near.call)
            assert call is not None  # noqa: S101  # a focus is wanted while people are in the call
            return self._ringing.dial(now, call, hop.focus, step.call_id, is_encrypted=hop.wants_olm)
        assert given is not None  # noqa: S101  # of an invite
        assert isinstance(given.message, Invite)  # noqa: S101  # likewise
        return self._ringing.answer(now, near.call, given, given.message)

    def _hang_up(self, now: Instant, hop: Hop, call_id: str, ending: Ending) -> Outputs:
        leg = hop.leg
        if leg is None or leg.dialled.call_id != call_id:
            return []
        hop.take_leg(None)
        return self._endings.end(now, leg, _ENDINGS[ending])

    def _up(self, now: Instant, hop: Hop, leg: Leg) -> Outputs:
        hop.trunk.connected(now, leg.dialled.call_id)
        if not hop.is_up:
            return []  # it was given up just now
        conference = self._calls.call_of(leg).conference.id
        return [
            Count("dials", {"outcome": "up"}),
            Note(Level.INFO, "trunk_up", {"conference": conference, "leg": leg.transport}),
        ]

    def _vouch(self, near: Neighbours, leg: Leg) -> None:
        """A leg stands for as long as its focus is named."""
        focus = FocusDevice(leg.key.user_id, leg.key.device_id)
        verdict = self._trust.standing(focus, near.foci)
        if isinstance(verdict, Trusted):
            leg.standing = Admitted(near.instant(verdict.until))

    def _stance(self, near: Neighbours, focus: FocusDevice) -> Stance:
        if not isinstance(self._trust.standing(focus, near.foci), Trusted):
            return Stance.STRANGER
        return Stance.WANTED if focus in near.wanted else Stance.WELCOME

    def _is_used(self, near: Neighbours, hop: Hop) -> bool:
        if hop.is_up and hop.leg is not None and hop.leg.trunk is not None:
            if self._tree.is_relay and not near.has_people and not _is_between(near, hop):
                return False
            return bool(hop.leg.trunk.announced or (hop.has_announced and hop.streams))
        call = self._calls.call(near.call)
        return call is not None and any(call.conference.published(leg.transport) for leg in call.people)

    def _settle(self, near: Neighbours) -> None:
        """Forget what needs no remembering, and be woken for the rest."""
        near.hops = {focus: hop for focus, hop in near.hops.items() if not hop.trunk.is_over()}
        if not near.hops and not near.own:
            self._neighbourhood.drop(near)
            self._agenda.set(near.call, None)
            return
        self._agenda.set(near.call, near.next_timeout())

    def _near(self, now: Instant, wall: WallTime, key: CallKey) -> Neighbours:
        """The other foci of a call, as they are known; where they are not yet, as room state says now."""
        return self._neighbourhood.of(key) or Neighbours(key, self._foci(key, wall), (now, wall))

    def _foci(self, key: CallKey, wall: WallTime) -> Foci:
        return Foci(self._rooms, key, wall, self._clock_skew_s, self._tree.relays)


def _is_between(near: Neighbours, hop: Hop) -> bool:
    """Whether there is another trunk to which what comes by this one may go on."""
    return any(other.is_up for other in near.hops.values() if other is not hop)


AnyCascade = Cascade | NoCascade


def _is_of_focus(given: MessageReceived) -> bool:
    """Whether a message, which is for us, is an invite of another focus: both its sessions are of foci."""
    message = given.message
    if not isinstance(message, Invite | UnreadableInvite):
        return False
    return message.envelope.sender_session_id == FOCUS_SESSION_ID
