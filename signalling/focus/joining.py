"""Invites: who is answered, who has to wait for a member event, who is rejected and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, assert_never

from sfu.errors import RemoteError
from sfu.units import after_ms, after_s, earliest
from signalling.events.to_device import (
    DEFAULT_LIFETIME_MS,
    INVITE,
    Candidate,
    Candidates,
    Invite,
    UnreadableInvite,
)
from signalling.focus.admission import Named, NotYetNamed
from signalling.focus.allowance import Allowances
from signalling.focus.caps import caps_of
from signalling.focus.dialect import check_size, descriptions
from signalling.focus.endings import Ending
from signalling.focus.leg import Admitted, Awaited, CallKey, Connecting, Dialled, Leg, LegKey, Way
from signalling.focus.ordering import Ordering
from signalling.focus.refusals import OVERLOAD, Refusal
from signalling.focus.restart import record_key, record_of
from signalling.focus.turn import Count, KeepLeg, Level, MessageReceived, Note

if TYPE_CHECKING:
    from sfu.units import Instant, WallTime
    from signalling.focus.admission import Admission
    from signalling.focus.calls import Calls
    from signalling.focus.endings import Endings
    from signalling.focus.leg import Terms
    from signalling.focus.memory import Memory
    from signalling.focus.outward import Outward
    from signalling.focus.restart import Replies
    from signalling.focus.turn import Outputs

MAX_WAITING: Final = 256
"""Invites that wait for a member event to say which of several rooms they mean."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An invite that fits several rooms, and its member event has come in none."""

    given: MessageReceived
    invite: Invite
    until: Instant


class Joining:
    """Makes legs of invites."""

    def __init__(
        self,
        terms: Terms,
        calls: Calls,
        admission: Admission,
        endings: Endings,
        outward: Outward,
        replies: Replies,
        memory: Memory,
    ) -> None:
        self._terms = terms
        self._calls = calls
        self._admission = admission
        self._endings = endings
        self._outward = outward
        self._replies = replies
        self._memory = memory
        self._allowances = Allowances(terms.limits.invites_per_s, burst=terms.limits.invites_per_s)
        self._waiting: dict[Dialled, _Waiting] = {}
        self._closed: Refusal | None = None

    @property
    def closed(self) -> Refusal | None:
        """Why every invite is rejected; None: not all are."""
        return self._closed

    @property
    def waiting(self) -> tuple[Dialled, ...]:
        """The dials that are neither answered nor rejected."""
        return tuple(self._waiting)

    def is_waiting(self, dialled: Dialled) -> bool:
        """Whether the invite of this dial waits for its member event."""
        return dialled in self._waiting

    def close(self, now: Instant, why: Refusal) -> Outputs:
        """Reject every invite: those that wait, and those to come."""
        self._closed = why
        waiting, self._waiting = self._waiting, {}
        return [output for one in waiting.values() for output in self.reject(now, one.given, why)]

    def reopen(self) -> None:
        """Take invites again."""
        self._closed = None

    def invite(self, now: Instant, wall: WallTime, given: MessageReceived, invite: Invite) -> Outputs:
        """Answer an invite, let it wait or reject it."""
        refused = self._refused_at_sight(now, given, invite.lifetime_ms)
        return self._resolve(now, wall, given, invite) if refused is None else refused

    def unreadable(self, now: Instant, given: MessageReceived, invite: UnreadableInvite) -> Outputs:
        """Reject an invite that only says whose it is, so that its client does not wait for nothing."""
        refused = self._refused_at_sight(now, given, DEFAULT_LIFETIME_MS)
        return self.reject(now, given, Refusal.MALFORMED, invite.reason) if refused is None else refused

    def cancel(self, dialled: Dialled) -> None:
        """The client hung up before it was answered."""
        self._waiting.pop(dialled, None)
        self._memory.has_ended(dialled)

    def reject(self, now: Instant, given: MessageReceived, refusal: Refusal, text: str = "") -> Outputs:
        """Reject an invite: the only word that a client hears before an answer."""
        self._memory.has_ended(Dialled.by(given))
        outputs: Outputs = [
            Count("invites_refused", {"reason": refusal}),
            Count("joins", {"step": "invite", "outcome": refusal}),
        ]
        told = self._replies.reject(now, given, refusal)
        if not told:
            return outputs
        facts = {"reason": str(refusal), "text": text} if text else {"reason": str(refusal)}
        return [
            *told,
            *outputs,
            Note(Level.WARNING if refusal in OVERLOAD else Level.INFO, "invite_rejected", facts),
        ]

    # --- time and room state ------------------------------------------------------------------------------

    def rooms_changed(self, now: Instant, wall: WallTime) -> Outputs:
        """Look again at the invites that wait."""
        waiting, self._waiting = self._waiting, {}
        outputs: Outputs = []
        for one in waiting.values():
            outputs += self._resolve(now, wall, one.given, one.invite, until=one.until)
        return outputs

    def handle_timeout(self, now: Instant) -> Outputs:
        """Reject the invites that have waited for too long."""
        due = [dialled for dialled, one in self._waiting.items() if now >= one.until]
        outputs: Outputs = []
        for dialled in due:
            outputs += self.reject(now, self._waiting.pop(dialled).given, Refusal.NOT_ANNOUNCED)
        return outputs

    def next_timeout(self) -> Instant | None:
        """When the first has waited for too long."""
        return earliest(*(one.until for one in self._waiting.values()))

    # --- within -------------------------------------------------------------------------------------------

    def _refused_at_sight(self, now: Instant, given: MessageReceived, lifetime_ms: int) -> Outputs | None:
        """What is done with an invite without looking at what it wants; None: nothing."""
        if given.age_ms >= lifetime_ms:
            self._memory.has_ended(Dialled.by(given))
            return [Count("signalling_messages", _labels("expired"))]
        if self._closed is not None:
            return self.reject(now, given, self._closed)
        if not self._allowances.take(now, given.sender):
            return self.reject(now, given, Refusal.TOO_MANY_INVITES)
        return None

    def _resolve(
        self,
        now: Instant,
        wall: WallTime,
        given: MessageReceived,
        invite: Invite,
        until: Instant | None = None,
    ) -> Outputs:
        dialled = Dialled.by(given)
        until = after_s(now, self._terms.settings.member_grace_s) if until is None else until
        verdict = self._admission.resolve(wall, dialled, invite.envelope.sender_session_id)
        match verdict:
            case Refusal() as refusal:
                return self.reject(now, given, refusal)
            case Named(room_id, expires_at):
                expires_in_ms = self._admission.left_ms(wall, expires_at)
                standing = Admitted(after_ms(now, expires_in_ms))
                return self._open(now, given, invite, _leg_key(dialled, room_id), standing)
            case NotYetNamed([room_id]):
                return self._open(now, given, invite, _leg_key(dialled, room_id), Awaited(until))
            case NotYetNamed():
                if len(self._waiting) >= MAX_WAITING:
                    return self.reject(now, given, Refusal.TOO_MANY_LEGS)
                self._waiting[dialled] = _Waiting(given, invite, until)
                return []
            case _:
                assert_never(verdict)

    def _open(
        self, now: Instant, given: MessageReceived, invite: Invite, key: LegKey, standing: Admitted | Awaited
    ) -> Outputs:
        before = self._calls.leg_of(key)
        refusal = self._over_limit(key, before)
        if refusal is not None:
            return self.reject(now, given, refusal)
        outputs: Outputs = []
        session_id = invite.envelope.sender_session_id
        if before is not None:
            is_restarted = before.session_id != session_id
            outputs += self._endings.end(now, before, Ending.NEW_SESSION if is_restarted else Ending.REPLACED)
        call = self._calls.open(key.call)
        place = self._calls.place_in(call)
        admitted = isinstance(standing, Admitted)
        transport, added = call.conference.add_leg(
            now,
            admitted=admitted,
            local=place,
            caps=caps_of(self._terms.caps, key.user_id, key.call.room_id),
        )
        try:
            check_size(invite.sdp, self._terms.limits.sdp_bytes)
            answered = call.conference.offer_received(
                now, transport, invite.sdp, descriptions(invite.metadata)
            )
        except Exception as error:
            # Nobody was told of this leg yet.
            call.conference.remove_leg(now, transport)
            self._calls.close_if_empty(call)
            if not isinstance(error, RemoteError):
                raise
            return [*outputs, *self.reject(now, given, Refusal.BAD_OFFER, error.reason)]
        leg = Leg(
            key=key,
            dialled=Dialled.by(given),
            session_id=session_id,
            transport=transport,
            standing=standing,
            connection=Connecting(after_s(now, self._terms.settings.connect_timeout_s)),
            ordering=Ordering(self._terms.settings.seq_gap_s, _seq_after(invite)),
            is_encrypted=given.proven_device_id is not None,
            worker=place.worker,
        )
        self._calls.add(leg)
        return [
            *outputs,
            KeepLeg(record_key(key), record_of(leg)),
            *self._outward.pass_on(now, call, [*added, *answered], answer_by=Way.INVITE),
            # Our candidates are in the answer: no more will come (MSC2746).
            self._outward.to_device(leg, Candidates(leg.envelope(self._terms.identity), (Candidate(""),))),
            Count("joins", {"step": "invite", "outcome": "ok"}),
            Note(
                Level.INFO,
                "leg_answered",
                {
                    "conference": call.conference.id,
                    "leg": transport,
                    "admitted": admitted,
                    "encrypted": leg.is_encrypted,
                },
            ),
        ]

    def _over_limit(self, key: LegKey, before: Leg | None) -> Refusal | None:
        """Why there is no room for a leg; the one that it replaces does not count."""
        limits = self._terms.limits
        legs = [leg for leg in self._calls.legs if leg is not before]
        if len(legs) >= limits.legs:
            return Refusal.TOO_MANY_LEGS
        call = self._calls.call(key.call)
        if call is None:
            return Refusal.TOO_MANY_CALLS if len(self._calls) >= limits.calls else None
        in_call = [leg for leg in call.legs.values() if leg is not before]
        if len(in_call) >= limits.legs_per_call:
            return Refusal.TOO_MANY_IN_CALL
        of_user = [leg for leg in in_call if leg.key.user_id == key.user_id and leg.trunk is None]
        if len(of_user) >= limits.legs_per_user:
            return Refusal.TOO_MANY_OF_USER
        return None


def _leg_key(dialled: Dialled, room_id: str) -> LegKey:
    return LegKey(CallKey(room_id, dialled.conf_id), dialled.user_id, dialled.device_id)


def _seq_after(invite: Invite) -> int:
    seq = invite.envelope.seq
    return 0 if seq is None else seq + 1


def _labels(outcome: str) -> dict[str, str]:
    return {"direction": "received", "type": INVITE, "outcome": outcome}
