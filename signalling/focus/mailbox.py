"""To-device messages on their way to the leg that they are about: whose, believed or not, in which order."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sfu.units import earliest
from signalling.events.to_device import (
    FOCUS_SESSION_ID,
    Answer,
    Candidates,
    Hangup,
    Invite,
    Reject,
    UnreadableInvite,
)
from signalling.focus.leg import Dialled
from signalling.focus.ordering import EarlyMessages
from signalling.focus.refusals import Refusal
from signalling.focus.turn import Count, MessageReceived

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfu.units import Instant, WallTime
    from signalling.events.to_device import ReceivedMessage
    from signalling.focus.calls import Calls
    from signalling.focus.cascade.cascade import AnyCascade
    from signalling.focus.inward import Inward
    from signalling.focus.joining import Joining
    from signalling.focus.leg import Leg, Terms
    from signalling.focus.memory import Memory
    from signalling.focus.restart import Replies
    from signalling.focus.turn import Outputs


class Mailbox:
    """Takes messages."""

    def __init__(
        self,
        terms: Terms,
        calls: Calls,
        joining: Joining,
        inward: Inward,
        replies: Replies,
        memory: Memory,
        cascade: AnyCascade,
    ) -> None:
        self._terms = terms
        self._calls = calls
        self._joining = joining
        self._inward = inward
        self._replies = replies
        self._memory = memory
        self._cascade = cascade
        self._early: EarlyMessages[Dialled, MessageReceived] = EarlyMessages(terms.settings.seq_gap_s)

    def take(self, now: Instant, wall: WallTime, given: MessageReceived) -> Outputs:
        """Take a message: its leg's, of a leg to come, of one that is over, or of one that never was."""
        message, envelope = given.message, given.message.envelope
        if envelope.dest_session_id != FOCUS_SESSION_ID:
            return [_refused(message, "other_session")]
        if given.proven_device_id not in {None, envelope.device_id}:
            return self._refuse(now, given, Refusal.WRONG_DEVICE)
        if given.proven_device_id is None and self._terms.settings.require_olm:
            return self._refuse(now, given, Refusal.OLM_REQUIRED)
        of_focus = self._cascade.invited(now, wall, given, self._joining.closed)
        if of_focus is not None:
            return of_focus
        dialled = Dialled.by(given)
        leg = self._calls.dialled(dialled)
        if leg is not None:
            return self._of_leg(now, leg, given)
        if dialled in self._memory:
            return [_refused(message, "ended")]
        return self._of_no_leg(now, wall, given, dialled)

    def leg_due(self, now: Instant, leg: Leg) -> Outputs:
        """Give up on what is missing of a leg's messages, and take those after it."""
        return self._hear(now, leg, leg.ordering.handle_timeout(now))

    def rooms_changed(self, now: Instant, wall: WallTime) -> Outputs:
        """Look again at the invites that wait for a member event."""
        waiting = self._joining.waiting
        outputs = self._joining.rooms_changed(now, wall)
        for dialled in waiting:
            outputs += self._settled(now, dialled)
        return outputs

    def handle_timeout(self, now: Instant) -> Outputs:
        """Reject invites that waited for too long; answer what never had one."""
        outputs = self._joining.handle_timeout(now)
        for given in self._early.handle_timeout(now):
            dialled = Dialled.by(given)
            if self._joining.is_waiting(dialled):
                self._keep(now, dialled, given)
            elif dialled not in self._memory:
                outputs += self._unknown(now, given)
        return outputs

    def next_timeout(self) -> Instant | None:
        """When `handle_timeout` has something to do."""
        return earliest(self._joining.next_timeout(), self._early.next_timeout())

    # --- within -------------------------------------------------------------------------------------------

    def _of_no_leg(self, now: Instant, wall: WallTime, given: MessageReceived, dialled: Dialled) -> Outputs:
        match given.message:
            case Hangup():
                self._joining.cancel(dialled)
                return []
            case Candidates() if self._keep(now, dialled, given):
                return []
            case Answer() | Reject():
                return [_refused(given.message, "ignored")]
            case Invite() as invite:
                if self._joining.is_waiting(dialled):
                    return [_refused(given.message, "repeated")]
                outputs = self._joining.invite(now, wall, given, invite)
                return [*outputs, *self._settled(now, dialled)]
            case UnreadableInvite() as invite:
                if self._joining.is_waiting(dialled):
                    return [_refused(given.message, "repeated")]
                outputs = self._joining.unreadable(now, given, invite)
                return [*outputs, *self._settled(now, dialled)]
            case _:
                return self._unknown(now, given)

    def _keep(self, now: Instant, dialled: Dialled, given: MessageReceived) -> bool:
        """Keep candidates that may have overtaken their invite, for the sake of their number alone.

        An ICE-lite agent has no use for the candidates themselves.
        """
        bare = replace(given, message=Candidates(given.message.envelope, ()))
        return self._early.keep(now, given.sender, dialled, bare)

    def _settled(self, now: Instant, dialled: Dialled) -> Outputs:
        """Take what came before its invite, now that this is answered, rejected, or goes on waiting."""
        if self._joining.is_waiting(dialled):
            return []
        leg = self._calls.dialled(dialled)
        early = self._early.take(dialled)
        if leg is None:
            return []
        return [output for given in early for output in self._of_leg(now, leg, given)]

    def _of_leg(self, now: Instant, leg: Leg, given: MessageReceived) -> Outputs:
        message, envelope = given.message, given.message.envelope
        if envelope.sender_session_id != leg.session_id:
            return [_refused(message, "other_session")]
        if leg.is_encrypted and given.proven_device_id is None:
            return [_refused(message, "not_encrypted")]
        in_order = leg.ordering.push(now, envelope.seq, given)
        self._calls.touch(self._calls.call_of(leg))
        return [_refused(message, "late")] if in_order is None else self._hear(now, leg, in_order)

    def _hear(self, now: Instant, leg: Leg, in_order: Sequence[MessageReceived]) -> Outputs:
        outputs: Outputs = []
        for given in in_order:
            if self._calls.leg(leg.transport) is None:
                outputs.append(_refused(given.message, "ended"))
            elif isinstance(given.message, Invite | UnreadableInvite):
                outputs.append(_refused(given.message, "repeated"))
            else:
                outputs += self._inward.to_device(now, leg, given.message)
        return outputs

    def _refuse(self, now: Instant, given: MessageReceived, refusal: Refusal) -> Outputs:
        if isinstance(given.message, Invite | UnreadableInvite):
            return self._joining.reject(now, given, refusal)
        return [_refused(given.message, refusal)]

    def _unknown(self, now: Instant, given: MessageReceived) -> Outputs:
        return [_refused(given.message, "unknown_leg"), *self._replies.unknown_leg(now, given)]


def _refused(message: ReceivedMessage, outcome: str) -> Count:
    # What was taken is counted where it was read.
    labels = {"direction": "received", "type": message.type, "outcome": outcome}
    return Count("signalling_messages", labels)
