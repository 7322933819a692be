"""How legs end: for which reasons, and what the client is told."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sfu.conference.values import SignallingOutput
from signalling.events.to_device import Hangup
from signalling.focus.admission import Gone
from signalling.focus.cascade.trust import InviteRefusal
from signalling.focus.leg import Awaited, Connecting
from signalling.focus.refusals import Refusal
from signalling.focus.restart import record_key
from signalling.focus.turn import Count, ForgetLeg, Level, Note, SendToDevice

if TYPE_CHECKING:
    from sfu.units import Instant
    from signalling.focus.calls import Calls
    from signalling.focus.leg import Identity, Leg
    from signalling.focus.memory import Memory
    from signalling.focus.turn import Outputs


class Ending(enum.StrEnum):
    """Why a leg ended; a label of `focus_leaves`, and of trunks that of `focus_hop_…`."""

    HANGUP = "hangup"
    """The client said so."""
    REPLACED = "replaced"
    """It dialled again."""
    NEW_SESSION = "new_session"
    """It dialled again after a new start, or its member event names another session."""
    OTHER_PARTY = "other_party"
    """It chose somebody else's answer."""
    ROOM_GONE = "room_gone"
    ROOM_UPGRADED = "room_upgraded"
    CALL_ENDED = "call_ended"
    NOT_JOINED = "not_joined"
    """Kicked, banned, or left the room."""
    NOT_NAMED = "not_named"
    """Its member event names this device no more."""
    EXPIRED = "expired"
    NOT_ANNOUNCED = "not_announced"
    """Its member event did not come in time."""
    AMBIGUOUS = "ambiguous"
    """Its member events named it in another room, or in more than one."""
    NEVER_CONNECTED = "never_connected"
    SILENT = "silent"
    """It answered no ping."""
    CONSENT_LOST = "consent_lost"
    CLOSED = "closed"
    """It closed its transport: its word that it leaves may be slower, or may not come."""
    FAILED = "failed"
    """DTLS or SCTP failed."""
    UNUSABLE = "unusable"
    """It did not answer an offer."""
    INTERNAL = "internal"
    """Our own mistake."""
    REJECTED = "rejected"
    """Of a trunk: the other focus does not take it."""
    NOT_NEEDED = "not_needed"
    """Of a trunk: our last own people left while we were still dialling."""
    DOUBLE_DIAL = "double_dial"
    """Of a trunk: both foci dialled, and the other one's dial goes on."""
    IDLE = "idle"
    """Of a trunk: it was of no use."""
    DRAINED = "drained"
    """The focus is being taken away, and the time for leaving was over."""
    SHUTDOWN = "shutdown"


@dataclass(frozen=True, slots=True)
class Told:
    """A hangup with this reason, of those that clients know (MSC2746, and `keep_alive_timeout`)."""

    reason: str


@dataclass(frozen=True, slots=True)
class NothingTold:
    """The client ended it itself, or waits for another leg already."""


_TOLD: Final[dict[Ending, Told | NothingTold]] = {
    Ending.HANGUP: NothingTold(),
    Ending.REPLACED: NothingTold(),
    Ending.OTHER_PARTY: NothingTold(),
    Ending.NEW_SESSION: Told("user_hangup"),
    Ending.ROOM_GONE: Told("user_hangup"),
    Ending.ROOM_UPGRADED: Told("user_hangup"),
    Ending.CALL_ENDED: Told("user_hangup"),
    Ending.NOT_JOINED: Told("user_hangup"),
    Ending.NOT_NAMED: Told("user_hangup"),
    Ending.EXPIRED: Told("user_hangup"),
    Ending.NOT_ANNOUNCED: Told("unknown_error"),
    Ending.AMBIGUOUS: Told("unknown_error"),
    Ending.NEVER_CONNECTED: Told("ice_failed"),
    Ending.SILENT: Told("keep_alive_timeout"),
    Ending.CONSENT_LOST: Told("ice_timeout"),
    Ending.CLOSED: Told("user_hangup"),
    Ending.FAILED: Told("ice_failed"),
    Ending.UNUSABLE: Told("unknown_error"),
    Ending.INTERNAL: Told("unknown_error"),
    Ending.REJECTED: NothingTold(),
    Ending.NOT_NEEDED: Told("user_hangup"),
    Ending.DOUBLE_DIAL: Told("user_hangup"),
    Ending.IDLE: Told("user_hangup"),
    Ending.DRAINED: Told("unknown_error"),
    Ending.SHUTDOWN: Told("unknown_error"),
}

_BY_LOSS: Final = {
    Gone.ROOM_GONE: Ending.ROOM_GONE,
    Gone.ROOM_UPGRADED: Ending.ROOM_UPGRADED,
    Gone.CALL_ENDED: Ending.CALL_ENDED,
    Gone.NOT_JOINED: Ending.NOT_JOINED,
    Gone.NOT_NAMED: Ending.NOT_NAMED,
    Gone.OTHER_SESSION: Ending.NEW_SESSION,
    Gone.EXPIRED: Ending.EXPIRED,
}

_REASONS: Final = frozenset(str(one) for reasons in (InviteRefusal, Refusal) for one in reasons)
"""With which a focus may reject another one's dial."""

_FAILURES: Final = {
    "dtls_closed": Ending.CLOSED,
    "consent": Ending.CONSENT_LOST,
    "consent_lost": Ending.CONSENT_LOST,
    "internal": Ending.INTERNAL,
}


def told_to(ending: Ending) -> Told | NothingTold:
    """What the client of a leg that ends so is told."""
    return _TOLD[ending]


def told_to_focus(ending: Ending) -> Told | NothingTold:
    """What the other focus is told of a trunk that ends so: it may not know that another dial replaces it."""
    return Told("user_hangup") if ending is Ending.REPLACED else told_to(ending)


def ending_of_loss(gone: Gone) -> Ending:
    """The ending that the loss of a place in the room is."""
    return _BY_LOSS[gone]


def ending_of_failure(reason: str) -> Ending:
    """The ending that a `LegFailed` with this reason is."""
    return _FAILURES.get(reason, Ending.FAILED)


class Endings:
    """Ends legs: everything of it in one turn."""

    def __init__(self, identity: Identity, calls: Calls, memory: Memory) -> None:
        self._identity = identity
        self._calls = calls
        self._memory = memory

    def end(self, now: Instant, leg: Leg, ending: Ending) -> Outputs:
        """End a leg: its media stops, its client is told where it doesn't know, and it is forgotten."""
        call = self._calls.call_of(leg)
        conference = call.conference
        media = conference.remove_leg(now, leg.transport)
        self._calls.note_media(call, media)
        self._calls.remove(leg)
        self._memory.has_ended(leg.dialled)
        # To the others a conference says nothing at once.
        outputs: Outputs = [one for one in media if not isinstance(one, SignallingOutput)]
        is_trunk = leg.trunk is not None
        told = told_to_focus(ending) if is_trunk else told_to(ending)
        if isinstance(told, Told):
            message = Hangup(leg.envelope(self._identity), told.reason)
            outputs.append(
                SendToDevice(leg.key.user_id, leg.key.device_id, message, is_encrypted=leg.is_encrypted)
            )
        if isinstance(leg.standing, Awaited):
            outputs.append(Count("joins", {"step": "admission", "outcome": ending}))
        level = Level.WARNING if ending in {Ending.INTERNAL, Ending.UNUSABLE} else Level.INFO
        return [
            *outputs,
            ForgetLeg(record_key(leg.key)),
            _counted(leg, ending),
            Note(
                level,
                "trunk_ended" if is_trunk else "leg_ended",
                {"conference": conference.id, "leg": leg.transport, "reason": str(ending), **_said(leg)},
            ),
        ]


def _said(leg: Leg) -> dict[str, str]:
    """Why the other focus has rejected a dial, if it gave a reason that we know: it may say anything."""
    said = "" if leg.trunk is None else leg.trunk.rejected_as
    return {"said": said} if said in _REASONS else {}


def _counted(leg: Leg, ending: Ending) -> Count:
    if leg.trunk is None:
        return Count("leaves", {"reason": ending})
    if isinstance(leg.connection, Connecting):
        return Count("dials", {"outcome": ending})
    return Count("trunks_ended", {"reason": ending})
