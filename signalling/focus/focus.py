"""The focus: a pure engine of everything but I/O. One input, one turn, one list of what must happen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

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
from sfu.units import after_ms, earliest
from signalling.events.to_device import FOCUS_SESSION_ID, Candidates, Hangup, Invite
from signalling.focus.admission import Admission, Named, Standing
from signalling.focus.calls import Calls
from signalling.focus.channel import OpenChannel
from signalling.focus.endings import BY_STANDING, Ending, Endings, ending_of_failure
from signalling.focus.inward import Inward
from signalling.focus.joining import Joining
from signalling.focus.leg import Admitted, Awaited, Connected, Connecting, Dialled, Identity, Terms
from signalling.focus.memory import Memory
from signalling.focus.ordering import EarlyMessages
from signalling.focus.outward import Outward
from signalling.focus.refusals import Refusal
from signalling.focus.restart import Replies
from signalling.focus.rooms import Rooms
from signalling.focus.snapshot import calls_snapshot, counts_of
from signalling.focus.turn import (
    Count,
    FocusInput,
    LegsRestored,
    MessageReceived,
    RoomGone,
    RoomState,
    ShuttingDown,
)

if TYPE_CHECKING:
    import random

    from sfu.conference.conference import LocalMedia
    from sfu.conference.ids import IdSource
    from sfu.conference.turn import RuntimeInput
    from sfu.config import SfuConfig
    from sfu.units import Instant, TransportId, WallTime
    from signalling.events.to_device import ToDeviceMessage
    from signalling.focus.calls import LiveCall
    from signalling.focus.endings import Outputs
    from signalling.focus.leg import Leg
    from signalling.focus.settings import CallSettings

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
        local: LocalMedia,
        settings: CallSettings,
        config: SfuConfig,
        rng: random.Random,
        ids: IdSource,
    ) -> None:
        """Begin without a room or a call.

        Args:
            identity: user and device id of the focus's account.
            local: what legs are told of this server.
            settings: how calls are run.
            config: of the media server.
            rng: ICE passwords come from it: unpredictable but in tests.
            ids: the one of this process.
        """
        terms = Terms(Identity(*identity), settings, config.limits)
        self._terms = terms
        self._rooms = Rooms()
        self._admission = Admission(self._rooms, settings.clock_skew_s)
        self._calls = Calls(local, config, rng, ids)
        self._memory = Memory()
        self._endings = Endings(terms.identity, self._calls, self._memory)
        self._outward = Outward(terms.identity, self._calls, self._endings)
        self._inward = Inward(terms, self._calls, self._endings, self._outward)
        self._replies = Replies(terms.identity)
        self._joining = Joining(
            terms, self._calls, self._admission, self._endings, self._outward, self._replies, self._memory
        )
        self._early: EarlyMessages[Dialled, MessageReceived] = EarlyMessages(settings.seq_gap_s)

    # --- the engine ---------------------------------------------------------------------------------------

    def handle(self, now: Instant, wall: WallTime, given: FocusInput | RuntimeInput) -> Outputs:
        """Take one input; return what must happen, in order."""
        try:
            return self._handle(now, wall, given)
        finally:
            self._calls.turn_ended()

    def handle_timeout(self, now: Instant, wall: WallTime) -> Outputs:
        """Do what is due."""
        try:
            outputs: Outputs = []
            for call in self._calls.due(now):
                outputs += self._call_due(now, wall, call)
            outputs += self._joining.handle_timeout(now)
            for given in self._early.handle_timeout(now):
                outputs += self._unknown(now, given)
            return outputs
        finally:
            self._calls.turn_ended()

    def next_timeout(self) -> Instant | None:
        """When something is due."""
        return earliest(self._calls.next_timeout(), self._joining.next_timeout(), self._early.next_timeout())

    def snapshot(self) -> dict[str, Any]:
        """What is going on, for people: `calls` in full, and `counts` of everything."""
        calls = calls_snapshot(self._calls)
        counts = counts_of(calls) | {"invites_waiting": self._joining.waiting, "rooms": len(self._rooms)}
        return {"calls": calls, "counts": counts}

    # --- inputs -------------------------------------------------------------------------------------------

    def _handle(self, now: Instant, wall: WallTime, given: FocusInput | RuntimeInput) -> Outputs:
        match given:
            case MessageReceived():
                return self._message(now, wall, given)
            case RoomState():
                ignored = self._rooms.apply(given)
                counts = [Count("signalling_messages", _received("state", why)) for why in ignored]
                return [*counts, *self._room_changed(now, wall, given.room_id)]
            case RoomGone(room_id):
                self._rooms.drop(room_id)
                return self._room_changed(now, wall, room_id)
            case LegsRestored():
                return [*self._replies.restored(given)]
            case ShuttingDown():
                self._joining.close()
                return self._end_all(now)
            case MediaReport():
                outputs: Outputs = []
                for call in self._calls:
                    reported = call.conference.report(now, given)
                    if reported:
                        outputs += self._outward.pass_on(now, call, reported)
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
                self._calls.touch(self._calls.call_of(leg))
                return [Count("joins", {"step": "connected", "outcome": "ok"})]
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

    # --- to-device messages -------------------------------------------------------------------------------

    def _message(self, now: Instant, wall: WallTime, given: MessageReceived) -> Outputs:
        message, envelope = given.message, given.message.envelope
        if envelope.dest_session_id != FOCUS_SESSION_ID:
            return [_refused(message, "other_session")]
        if given.proven_device_id not in {None, envelope.device_id}:
            return self._refuse(now, given, Refusal.WRONG_DEVICE)
        if given.proven_device_id is None and self._terms.settings.require_olm:
            return self._refuse(now, given, Refusal.OLM_REQUIRED)
        dialled = Dialled.by(given)
        leg = self._calls.dialled(dialled)
        if leg is not None:
            return self._message_of_leg(now, leg, given)
        if dialled in self._memory:
            return [_refused(message, "ended")]
        if self._joining.is_waiting(dialled) and not isinstance(message, (Hangup, Candidates)):
            return [_refused(message, "repeated")]
        match message:
            case Invite():
                return self._invite(now, wall, given, message)
            case Hangup():
                self._joining.cancel(dialled)
                self._early.take(dialled)
                return []
            case Candidates() if self._early.keep(now, given.sender, dialled, given):
                return []
            case _:
                return self._unknown(now, given)

    def _invite(self, now: Instant, wall: WallTime, given: MessageReceived, invite: Invite) -> Outputs:
        outputs = self._joining.invite(now, wall, given, invite)
        return [*outputs, *self._early_heard(now, Dialled.by(given))]

    def _early_heard(self, now: Instant, dialled: Dialled) -> Outputs:
        """What overtook an invite comes after it, once that is answered."""
        leg = self._calls.dialled(dialled)
        if leg is None and self._joining.is_waiting(dialled):
            return []
        outputs: Outputs = []
        for given in self._early.take(dialled):
            if leg is not None:
                outputs += self._message_of_leg(now, leg, given)
        return outputs

    def _message_of_leg(self, now: Instant, leg: Leg, given: MessageReceived) -> Outputs:
        message, envelope = given.message, given.message.envelope
        if envelope.sender_session_id != leg.session_id:
            return [_refused(message, "other_session")]
        if leg.is_encrypted and given.proven_device_id is None:
            return [_refused(message, "not_encrypted")]
        in_order = leg.ordering.push(now, envelope.seq, given)
        self._calls.touch(self._calls.call_of(leg))
        if in_order is None:
            return [_refused(message, "late")]
        return self._heard(now, leg, in_order)

    def _heard(self, now: Instant, leg: Leg, in_order: list[MessageReceived]) -> Outputs:
        outputs: Outputs = []
        for given in in_order:
            if self._calls.leg(leg.transport) is None:
                outputs.append(_refused(given.message, "ended"))
            elif isinstance(given.message, Invite):
                outputs.append(_refused(given.message, "repeated"))
            else:
                outputs += self._inward.to_device(now, leg, given.message)
        return outputs

    def _refuse(self, now: Instant, given: MessageReceived, refusal: Refusal) -> Outputs:
        if isinstance(given.message, Invite):
            return self._joining.reject(now, given, refusal)
        return [_refused(given.message, refusal)]

    def _unknown(self, now: Instant, given: MessageReceived) -> Outputs:
        return [_refused(given.message, "unknown_leg"), *self._replies.unknown_leg(now, given)]

    # --- room state ---------------------------------------------------------------------------------------

    def _room_changed(self, now: Instant, wall: WallTime, room_id: str) -> Outputs:
        outputs: Outputs = []
        for call in self._calls:
            for leg in tuple(call.legs.values()):
                if call.key.room_id == room_id or isinstance(leg.standing, Awaited):
                    outputs += self._stand(now, wall, call, leg)
        outputs += self._joining.rooms_changed(now, wall)
        return outputs

    def _stand(self, now: Instant, wall: WallTime, call: LiveCall, leg: Leg) -> Outputs:
        """Look at how a leg stands with its room now: end it, admit it or leave it as it is."""
        standing = self._admission.standing(wall, leg.key, leg.session_id)
        match leg.standing:
            case Admitted():
                if isinstance(standing, Standing):
                    return self._endings.end(now, leg, BY_STANDING[standing])
                self._renew(now, wall, call, leg, standing)
                return []
            case Awaited():
                return self._await(now, wall, call, leg, standing)
            case _:
                assert_never(leg.standing)

    def _await(
        self, now: Instant, wall: WallTime, call: LiveCall, leg: Leg, standing: Named | Standing
    ) -> Outputs:
        if isinstance(standing, Standing) and standing not in {
            Standing.NOT_NAMED,
            Standing.OTHER_SESSION,
            Standing.EXPIRED,
        }:
            return self._endings.end(now, leg, BY_STANDING[standing])
        match self._admission.resolve(wall, leg.dialled, leg.session_id):
            case Named(room_id) as named if room_id == leg.key.call.room_id:
                self._renew(now, wall, call, leg, named)
                admitted = call.conference.admit(now, leg.transport)
                return [
                    *self._outward.pass_on(now, call, admitted),
                    Count("joins", {"step": "admitted", "outcome": "ok"}),
                ]
            case Named() | Refusal.AMBIGUOUS:
                return self._endings.end(now, leg, Ending.AMBIGUOUS)
            case _:
                return []

    def _renew(self, now: Instant, wall: WallTime, call: LiveCall, leg: Leg, named: Named) -> None:
        leg.standing = Admitted(after_ms(now, self._admission.left_ms(wall, named.expires_at)))
        self._calls.touch(call)

    # --- time ---------------------------------------------------------------------------------------------

    def _call_due(self, now: Instant, wall: WallTime, call: LiveCall) -> Outputs:
        outputs: Outputs = []
        for leg in tuple(call.legs.values()):
            due_at = leg.next_timeout()
            if due_at is not None and now >= due_at:
                outputs += self._leg_due(now, wall, call, leg)
        due_at = call.conference.next_timeout()
        if due_at is not None and now >= due_at:
            outputs += self._outward.pass_on(now, call, call.conference.handle_timeout(now))
        return outputs

    def _leg_due(self, now: Instant, wall: WallTime, call: LiveCall, leg: Leg) -> Outputs:
        ending = self._ending_due(now, leg)
        if ending is not None:
            return self._endings.end(now, leg, ending)
        outputs: Outputs = []
        if now >= leg.standing.until:
            # A member event is over by the clock, unless the clock was set back meanwhile.
            outputs += self._stand(now, wall, call, leg)
        if self._calls.leg(leg.transport) is not None:
            outputs += self._heard(now, leg, leg.ordering.handle_timeout(now))
        if self._calls.leg(leg.transport) is not None:
            outputs += self._outward.say_due(now, leg)
        return outputs

    def _ending_due(self, now: Instant, leg: Leg) -> Ending | None:
        if isinstance(leg.standing, Awaited) and now >= leg.standing.until:
            return Ending.NOT_ANNOUNCED
        if isinstance(leg.connection, Connecting) and now >= leg.connection.until:
            return Ending.NEVER_CONNECTED
        if isinstance(leg.channel, OpenChannel) and leg.channel.is_dead(now):
            return Ending.SILENT
        return None

    def _end_all(self, now: Instant) -> Outputs:
        return [output for leg in self._calls.legs for output in self._endings.end(now, leg, Ending.SHUTDOWN)]


def _transport_of(given: _AboutLeg) -> TransportId:
    return given.transport if isinstance(given, (PairSelected, ConsentLost)) else given.leg


def _refused(message: ToDeviceMessage, outcome: str) -> Count:
    return Count("signalling_messages", _received(message.type, outcome))


def _received(event_type: str, outcome: str) -> dict[str, str]:
    return {"direction": "received", "type": event_type, "outcome": outcome}
