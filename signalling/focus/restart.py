"""What outlives the process: a record of each leg, so that its client can be told when it is gone.

A client can't tell a restarted focus from the one before: without a word it waits for ICE to fail, 40 s.
The hangup has the old ids and no `seq`: a counter that begins anew is held back or ignored by clients
(protocol: sections 4.4 and 8).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from sfu.errors import ParseError
from signalling.events.fields import as_object, flag, identifier
from signalling.events.to_device import FOCUS_SESSION_ID, Envelope, Hangup, Reject
from signalling.focus.allowance import Allowances
from signalling.focus.turn import Count, ForgetLeg, Level, Note, SendToDevice

if TYPE_CHECKING:
    from sfu.units import Instant
    from signalling.focus.leg import Identity, Leg, LegKey
    from signalling.focus.turn import FocusOutput, LegsRestored, MessageReceived

REPLIES_PER_S: Final = 5.0
REPLIES_AT_ONCE: Final = 20.0
"""Rejects and hangups to one user without a leg. Lower: a user whose many devices all lost their legs waits
for ICE to fail on some. Higher: whoever sends us messages for nothing makes us send more for nothing."""

_REASON: Final = "unknown_error"


def record_key(key: LegKey) -> str:
    """Under which a leg is kept."""
    names = [key.call.room_id, key.call.conf_id, key.user_id, key.device_id]
    return json.dumps([*names, FOCUS_SESSION_ID] if key.is_trunk else names)


def record_of(leg: Leg) -> str:
    """What is kept of a leg: all that a hangup needs."""
    return json.dumps(
        {
            "user_id": leg.key.user_id,
            "device_id": leg.key.device_id,
            "conf_id": leg.dialled.conf_id,
            "call_id": leg.dialled.call_id,
            "session_id": leg.session_id,
            "is_encrypted": leg.is_encrypted,
        }
    )


class Replies:
    """What is said to those who have no leg, at a bounded rate for each user."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._allowances = Allowances(REPLIES_PER_S, REPLIES_AT_ONCE)

    def restored(self, given: LegsRestored) -> list[FocusOutput]:
        """Hang up all legs of the process before; nobody is spared by the rate, each is told once."""
        outputs: list[FocusOutput] = []
        for key, record in given.legs:
            try:
                outputs.append(self._hangup_of_record(record))
            except (ParseError, ValueError):
                outputs.append(Note(Level.WARNING, "leg_record_unreadable"))
            outputs.append(ForgetLeg(key))
            outputs.append(Count("leaves", {"reason": "restart"}))
        return outputs

    def unknown_leg(self, now: Instant, given: MessageReceived) -> list[FocusOutput]:
        """Something that only a client with a leg sends came from one that has none."""
        envelope = given.message.envelope
        if not self._allowances.take(now, given.sender):
            return []
        hangup = self._hangup(envelope.conf_id, envelope.call_id, envelope.sender_session_id)
        return [SendToDevice(given.sender, envelope.device_id, hangup, is_encrypted=_is_encrypted(given))]

    def reject(self, now: Instant, given: MessageReceived, reason: str) -> list[FocusOutput]:
        """Reject an invite, if its sender is answered once more."""
        if not self._allowances.take(now, given.sender):
            return []
        envelope = given.message.envelope
        message = Reject(
            Envelope(
                call_id=envelope.call_id,
                party_id=self._identity.device_id,
                conf_id=envelope.conf_id,
                device_id=self._identity.device_id,
                sender_session_id=FOCUS_SESSION_ID,
                dest_session_id=envelope.sender_session_id,
                seq=0,
            ),
            reason,
        )
        device_id = given.proven_device_id or envelope.device_id
        return [SendToDevice(given.sender, device_id, message, is_encrypted=_is_encrypted(given))]

    def _hangup_of_record(self, record: str) -> SendToDevice:
        source = as_object(json.loads(record), "record")
        hangup = self._hangup(
            identifier(source, "conf_id"), identifier(source, "call_id"), identifier(source, "session_id")
        )
        return SendToDevice(
            identifier(source, "user_id"),
            identifier(source, "device_id"),
            hangup,
            is_encrypted=flag(source, "is_encrypted"),
        )

    def _hangup(self, conf_id: str, call_id: str, session_id: str) -> Hangup:
        envelope = Envelope(
            call_id=call_id,
            party_id=self._identity.device_id,
            conf_id=conf_id,
            device_id=self._identity.device_id,
            sender_session_id=FOCUS_SESSION_ID,
            dest_session_id=session_id,
        )
        return Hangup(envelope, _REASON)


def _is_encrypted(given: MessageReceived) -> bool:
    return given.proven_device_id is not None
