"""The legs of trunks: how one is dialled, how an invite of another focus is answered or rejected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.conference.turn import SetCaps
from sfu.errors import RemoteError
from sfu.units import after_s
from signalling.events.to_device import DEFAULT_LIFETIME_MS, FOCUS_SESSION_ID, INVITE, Invite
from signalling.focus.allowance import Allowances
from signalling.focus.cascade.dialling import DIAL_S
from signalling.focus.cascade.end import TrunkEnd
from signalling.focus.dialect import check_size
from signalling.focus.leg import Admitted, Connecting, Dialled, Leg, LegKey, Way
from signalling.focus.ordering import Ordering
from signalling.focus.refusals import OVERLOAD, Refusal
from signalling.focus.restart import record_key, record_of
from signalling.focus.turn import Count, KeepLeg, Level, Note

if TYPE_CHECKING:
    import enum

    from sfu.conference.conference import ConferenceOutput, LocalMedia
    from sfu.units import Instant, TransportId
    from signalling.events.room_state import FocusDevice
    from signalling.focus.calls import Calls, LiveCall
    from signalling.focus.leg import CallKey, Terms
    from signalling.focus.memory import Memory
    from signalling.focus.outward import Outward
    from signalling.focus.restart import Replies
    from signalling.focus.turn import MessageReceived, Outputs


class Ringing:
    """Opens the legs of trunks.

    Args:
        terms: of the focus.
        calls: everybody.
        outward: sends what is to be said.
        replies: says no.
        memory: of dials that are over.
        budget_bps: what one trunk is sent at most; 0: any.
    """

    def __init__(
        self,
        terms: Terms,
        calls: Calls,
        outward: Outward,
        replies: Replies,
        memory: Memory,
        budget_bps: int,
    ) -> None:
        self._terms = terms
        self._calls = calls
        self._outward = outward
        self._replies = replies
        self._memory = memory
        self._budget_bps = budget_bps
        self._allowances = Allowances(terms.limits.invites_per_s, burst=terms.limits.invites_per_s)

    def refused_at_sight(
        self, now: Instant, given: MessageReceived, closed: Refusal | None
    ) -> Outputs | None:
        """What is done with an invite without looking at what it wants; None: nothing.

        Args:
            now: of the turn.
            given: the invite.
            closed: why every invite is rejected; None: not all are.
        """
        message, dialled = given.message, Dialled.by(given)
        known = self._calls.dialled(dialled)
        if dialled in self._memory:
            return [_unheard("ended")]
        if known is not None and known.trunk is None:
            return [_unheard("repeated")]
        lifetime_ms = message.lifetime_ms if isinstance(message, Invite) else DEFAULT_LIFETIME_MS
        if given.age_ms >= lifetime_ms:
            self._memory.has_ended(dialled)
            return [_unheard("expired")]
        if closed is not None:
            return self.reject(now, given, closed)
        if not self._allowances.take(now, given.sender):
            return self.reject(now, given, Refusal.TOO_MANY_INVITES)
        return None

    def ignore(self, given: MessageReceived) -> Outputs:
        """Leave an invite alone: it was answered already, or our own dial goes on."""
        dialled = Dialled.by(given)
        if self._calls.dialled(dialled) is not None:
            return [_unheard("repeated")]
        self._memory.has_ended(dialled)
        return [_unheard("ignored")]

    def dial(
        self, now: Instant, call: LiveCall, focus: FocusDevice, call_id: str, *, is_encrypted: bool
    ) -> tuple[Leg | None, Outputs]:
        """Invite another focus; None: there is no room for a leg."""
        refusal = self.over_limit(call.key)
        if refusal is not None:
            return None, [_refused(refusal), _note(refusal)]
        place = self._calls.place_in(call)
        transport, offered = call.conference.add_trunk(now, dials=True, local=place)
        leg = self._leg(now, call, transport, place, _dialled(call.key, focus, call_id), 0)
        leg.is_encrypted = is_encrypted or self._terms.settings.require_olm
        leg.trunk = TrunkEnd(is_ringing=True)
        return leg, self._open(now, call, leg, offered)

    def answer(
        self, now: Instant, key: CallKey, given: MessageReceived, invite: Invite
    ) -> tuple[Leg | None, Outputs]:
        """Answer another focus, of which it is known that it may have a trunk; None: it is rejected."""
        refusal = self.over_limit(key)
        if refusal is not None:
            return None, self.reject(now, given, refusal)
        call = self._calls.open(key)
        place = self._calls.place_in(call)
        transport, added = call.conference.add_trunk(now, dials=False, local=place)
        try:
            check_size(invite.sdp, self._terms.limits.sdp_bytes)
            answered = call.conference.offer_received(now, transport, invite.sdp, None)
        except Exception as error:
            # Nobody was told of this leg yet.
            call.conference.remove_leg(now, transport)
            self._calls.close_if_empty(call)
            if not isinstance(error, RemoteError):
                raise
            return None, self.reject(now, given, Refusal.BAD_OFFER)
        seq = invite.envelope.seq
        leg = self._leg(now, call, transport, place, Dialled.by(given), 0 if seq is None else seq + 1)
        leg.is_encrypted = given.proven_device_id is not None
        leg.trunk = TrunkEnd()
        return leg, self._open(now, call, leg, [*added, *answered])

    def reject(self, now: Instant, given: MessageReceived, refusal: enum.StrEnum) -> Outputs:
        """Say to a focus why it gets no trunk."""
        self._memory.has_ended(Dialled.by(given))
        told = self._replies.reject(now, given, refusal)
        return [*told, _refused(refusal), *([_note(refusal)] if told else [])]

    def over_limit(self, key: CallKey) -> Refusal | None:
        """Why there is no room for one leg more."""
        limits = self._terms.limits
        call = self._calls.call(key)
        if len(self._calls.legs) >= limits.legs:
            return Refusal.TOO_MANY_LEGS
        if call is None:
            return Refusal.TOO_MANY_CALLS if len(self._calls) >= limits.calls else None
        return Refusal.TOO_MANY_IN_CALL if len(call.legs) >= limits.legs_per_call else None

    # --- within -------------------------------------------------------------------------------------------

    def _leg(
        self,
        now: Instant,
        call: LiveCall,
        transport: TransportId,
        place: LocalMedia,
        dialled: Dialled,
        next_seq: int,
    ) -> Leg:
        until = after_s(now, DIAL_S)
        return Leg(
            key=LegKey(call.key, dialled.user_id, dialled.device_id, is_trunk=True),
            dialled=dialled,
            session_id=FOCUS_SESSION_ID,
            transport=transport,
            standing=Admitted(until),
            connection=Connecting(until),
            ordering=Ordering(self._terms.settings.seq_gap_s, next_seq),
            worker=place.worker,
        )

    def _open(self, now: Instant, call: LiveCall, leg: Leg, given: list[ConferenceOutput]) -> Outputs:
        self._calls.add(leg)
        if self._budget_bps:
            given.append(SetCaps(leg.transport, max_bps=self._budget_bps))
        return [
            KeepLeg(record_key(leg.key), record_of(leg)),
            *self._outward.pass_on(now, call, given, answer_by=Way.INVITE),
        ]


def _dialled(call: CallKey, focus: FocusDevice, call_id: str) -> Dialled:
    return Dialled(focus.user_id, focus.device_id, call.conf_id, call_id)


def _unheard(outcome: str) -> Count:
    return Count("signalling_messages", {"direction": "received", "type": INVITE, "outcome": outcome})


def _refused(refusal: enum.StrEnum) -> Count:
    return Count("trunks_refused", {"reason": refusal})


def _note(refusal: enum.StrEnum) -> Note:
    level = Level.WARNING if refusal in OVERLOAD else Level.INFO
    return Note(level, "trunk_refused", {"reason": str(refusal)})
