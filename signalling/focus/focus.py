"""The focus: a pure engine of everything but I/O. One input, one turn, one list of what must happen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, assert_never

from sfu.conference.turn import (
    CloseLeg,
    DataChannelClosed,
    DataChannelOpened,
    DataReceived,
    DataRefused,
    LegConnected,
    LegFailed,
    MediaReport,
)
from sfu.plane import ConsentLost, PairSelected, StreamBound, StreamEnded
from sfu.units import after_s, earliest
from signalling.focus.admission import Admission
from signalling.focus.calls import Calls
from signalling.focus.cascade.cascade import AnyCascade, Cascade, NoCascade
from signalling.focus.cascade.hearing import Hearing
from signalling.focus.cascade.hops import Neighbourhood
from signalling.focus.cascade.ringing import Ringing
from signalling.focus.cascade.settings import ALONE, relay_hops, tree_of, trust_of
from signalling.focus.cascade.showing import HopFigures
from signalling.focus.channel import OpenChannel
from signalling.focus.departing import Departing
from signalling.focus.drain import Drainage
from signalling.focus.endings import Ending, Endings, ending_of_failure
from signalling.focus.inward import Inward
from signalling.focus.joining import Joining
from signalling.focus.leg import Connected, Connecting, Identity, Terms
from signalling.focus.mailbox import Mailbox
from signalling.focus.memory import Memory
from signalling.focus.outward import Outward
from signalling.focus.places import Places
from signalling.focus.restart import Replies
from signalling.focus.rooms import Rooms, users_concerned
from signalling.focus.snapshot import calls_snapshot, counts_of
from signalling.focus.surroundings import Surroundings
from signalling.focus.turn import (
    Count,
    DrainAsked,
    DrainCancelled,
    FocusInput,
    LegsRestored,
    MessageReceived,
    RoomGone,
    RoomState,
    ShuttingDown,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from sfu.conference.conference import LocalMedia
    from sfu.conference.ids import IdSource
    from sfu.conference.turn import RuntimeInput
    from sfu.config import SfuConfig
    from sfu.units import Instant, TransportId, WallTime
    from signalling.focus.calls import LiveCall
    from signalling.focus.caps import CapRule
    from signalling.focus.cascade.settings import CascadeSettings
    from signalling.focus.drain import DrainState
    from signalling.focus.leg import Leg
    from signalling.focus.settings import CallSettings
    from signalling.focus.turn import Outputs

HOLD_S: Final = 1.0
"""A call whose timers met a mistake of ours is left alone for this long. Lower: it takes turns from others.
Higher: its people wait longer for what is due to them."""

_AboutLeg = (
    LegConnected
    | LegFailed
    | DataChannelOpened
    | DataChannelClosed
    | DataReceived
    | DataRefused
    | PairSelected
    | ConsentLost
)


class Focus:
    """An `Engine` that speaks Matrix."""

    def __init__(
        self,
        identity: tuple[str, str],
        workers: Sequence[LocalMedia],
        settings: CallSettings,
        config: SfuConfig,
        rng: random.Random,
        ids: IdSource,
        caps: Sequence[CapRule] = (),
        cascade: CascadeSettings = ALONE,
    ) -> None:
        """Begin without a room or a call.

        Args:
            identity: user and device id of the focus's account.
            workers: of the plane, in their order, as legs are told of them.
            settings: how calls are run.
            config: of the media server.
            rng: ICE passwords come from it: unpredictable but in tests.
            ids: the one of this process.
            caps: ceilings for some.
            cascade: whether other foci are in its calls.
        """
        terms = Terms(Identity(*identity), settings, config.limits, caps)
        self._rooms = Rooms()
        self._calls = Calls(workers, config, rng, ids)
        self.surroundings: Final = Surroundings(self._calls, self._rooms)
        admission = Admission(self._rooms, settings.clock_skew_s)
        memory = Memory()
        self._endings = Endings(terms.identity, self._calls, memory)
        self._drainage = Drainage()
        tree = tree_of(terms.identity, cascade)
        self._neighbourhood = Neighbourhood(tree, rng)
        hops = HopFigures(self._neighbourhood)
        self._outward = Outward(terms.identity, self._calls, self._endings, self._drainage, hops)
        trust = trust_of(terms.identity, cascade)
        hearing = Hearing(
            trust,
            self._neighbourhood,
            self._calls,
            self._outward,
            relay_hops=relay_hops(terms.identity, cascade),
        )
        self._inward = Inward(terms, self._calls, self._endings, self._outward, hearing)
        self._places = Places(self._calls, admission, self._endings, self._outward)
        self._replies = Replies(terms.identity)
        self._joining = Joining(
            terms, self._calls, admission, self._endings, self._outward, self._replies, memory
        )
        self._departing = Departing(self._calls, self._joining, self._endings, self._outward, self._drainage)
        ringing = Ringing(terms, self._calls, self._outward, self._replies, memory, cascade.budget_bps)
        self._cascade: AnyCascade = NoCascade(ringing)
        if cascade.enabled:
            self._cascade = Cascade(
                terms,
                trust,
                tree,
                self._rooms,
                self._calls,
                self._endings,
                self._neighbourhood,
                hearing,
                ringing,
            )
        self._mailbox = Mailbox(
            terms, self._calls, self._joining, self._inward, self._replies, memory, self._cascade
        )

    # --- the engine ---------------------------------------------------------------------------------------

    def handle(self, now: Instant, wall: WallTime, given: FocusInput | RuntimeInput) -> Outputs:
        """Take one input; return what must happen, in order."""
        try:
            outputs = self._handle(now, wall, given)
            return [*outputs, *self._cascade.follow(now, wall)]
        finally:
            self._calls.turn_ended()

    def handle_timeout(self, now: Instant, wall: WallTime) -> Outputs:
        """Do what is due."""
        try:
            outputs: Outputs = []
            for call in self._calls.due(now):
                try:
                    outputs += self._call_due(now, wall, call)
                except Exception:
                    self._calls.hold(call, after_s(now, HOLD_S))
                    raise
                self._calls.touch(call)
            outputs += self._mailbox.handle_timeout(now)
            outputs += self._departing.handle_timeout(now)
            self._cascade.wake(now)
            return [*outputs, *self._cascade.follow(now, wall)]
        finally:
            self._calls.turn_ended()

    def next_timeout(self) -> Instant | None:
        """When something is due."""
        return earliest(
            self._calls.next_timeout(),
            self._mailbox.next_timeout(),
            self._drainage.next_timeout(),
            self._cascade.next_timeout(),
        )

    @property
    def drain_state(self) -> DrainState:
        """Whether the focus is being taken away."""
        return self._drainage.state

    def snapshot(self) -> dict[str, Any]:
        """What is going on, for people: `calls` in full, and `counts` of everything."""
        calls = calls_snapshot(self._calls, self._neighbourhood)
        counts = counts_of(calls) | {"invites_waiting": len(self._joining.waiting), "rooms": len(self._rooms)}
        return {"calls": calls, "counts": counts}

    def has_call_of(self, conf_id: str, user_id: str) -> bool:
        """Whether a user is joined to a room in which such a call lives."""
        return any(self._rooms.is_joined(room_id, user_id) for room_id in self._rooms.with_call(conf_id))

    # --- inputs -------------------------------------------------------------------------------------------

    def _handle(self, now: Instant, wall: WallTime, given: FocusInput | RuntimeInput) -> Outputs:
        match given:
            case MessageReceived():
                return self._mailbox.take(now, wall, given)
            case RoomState():
                ignored = [_state_ignored(why) for why in self._rooms.apply(given)]
                users = users_concerned(given)
                return [*ignored, *self._room_changed(now, wall, given.room_id, users)]
            case RoomGone(room_id):
                self._rooms.drop(room_id)
                return self._room_changed(now, wall, room_id, None)
            case LegsRestored():
                return [*self._replies.restored(given)]
            case DrainAsked() | DrainCancelled() | ShuttingDown():
                return self._departing.handle(now, given)
            case MediaReport():
                outputs = []
                for call in self._calls.concerned(now, given):
                    reported = call.conference.report(now, given)
                    if reported:
                        outputs += self._outward.pass_on(now, call, reported)
                    else:
                        self._calls.reported(call)
                return outputs
            case StreamBound() | StreamEnded():
                found = self._calls.call_of_track(given.track)
                if found is None:
                    return []
                return self._outward.pass_on(now, found, found.conference.plane_event(now, given))
            case _:
                return self._about_leg(now, given)

    def _about_leg(self, now: Instant, given: _AboutLeg) -> Outputs:
        transport = _transport_of(given)
        leg = self._calls.leg(transport)
        if leg is None:
            # The runtime says nothing of legs that were closed: one that we don't know is nobody's.
            return [CloseLeg(transport)]
        match given:
            case LegConnected():
                leg.connection = Connected()
                self._calls.change(self._calls.call_of(leg))
                return []
            case LegFailed(_, reason):
                return self._endings.end(now, leg, ending_of_failure(reason))
            case ConsentLost():
                return self._endings.end(now, leg, Ending.CONSENT_LOST)
            case DataChannelOpened():
                return self._inward.channel_opened(now, leg, given)
            case DataChannelClosed():
                return self._inward.channel_closed(now, leg, given)
            case DataReceived():
                return self._inward.data_received(now, leg, given)
            case DataRefused():
                return self._inward.data_refused(now, leg, given)
            case PairSelected():
                return []
            case _:
                assert_never(given)

    # --- time ---------------------------------------------------------------------------------------------

    def _call_due(self, now: Instant, wall: WallTime, call: LiveCall) -> Outputs:
        outputs: Outputs = []
        for leg in tuple(call.legs.values()):
            due_at = leg.next_timeout()
            if due_at is not None and now >= due_at:
                outputs += self._leg_due(now, wall, leg)
        due_at = call.conference.next_timeout()
        if due_at is not None and now >= due_at:
            outputs += self._outward.pass_on(now, call, call.conference.handle_timeout(now))
        return outputs

    def _leg_due(self, now: Instant, wall: WallTime, leg: Leg) -> Outputs:
        ending = _ending_due(now, leg)
        if ending is not None:
            return self._endings.end(now, leg, ending)
        outputs = self._places.leg_due(now, wall, leg)
        if self._is_live(leg):
            outputs += self._mailbox.leg_due(now, leg)
        if self._is_live(leg):
            outputs += self._outward.say_due(now, leg)
        return outputs

    def _is_live(self, leg: Leg) -> bool:
        return self._calls.leg(leg.transport) is not None

    def _room_changed(
        self, now: Instant, wall: WallTime, room_id: str, users: frozenset[str] | None
    ) -> Outputs:
        self._cascade.room_changed(room_id)
        return [
            *self._places.room_changed(now, wall, room_id, users),
            *self._mailbox.rooms_changed(now, wall),
        ]


def _ending_due(now: Instant, leg: Leg) -> Ending | None:
    if isinstance(leg.connection, Connecting) and now >= leg.connection.until:
        return Ending.NEVER_CONNECTED
    if isinstance(leg.channel, OpenChannel) and leg.channel.is_dead(now):
        return Ending.SILENT
    return None


def _state_ignored(why: str) -> Count:
    return Count("signalling_messages", {"direction": "received", "type": "state", "outcome": why})


def _transport_of(given: _AboutLeg) -> TransportId:
    return given.transport if isinstance(given, (PairSelected, ConsentLost)) else given.leg
