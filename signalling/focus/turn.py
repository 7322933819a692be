"""One turn of the focus: what the Matrix shell tells it, and what it asks of that shell.

Beside these, a `Focus` takes the `RuntimeInput`s of `sfu.conference.turn` and returns its `RuntimeOutput`s:
it is an `Engine` to the runtime, which hands on everything below to the shell, in order.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sfu.conference.turn import RuntimeOutput
    from signalling.events.room_state import FocusDevice
    from signalling.events.to_device import ReceivedMessage, ToDeviceMessage


# --- told by the shell ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A to-device message. The homeserver vouches for `sender`; its `device_id` is a claim unless proven."""

    sender: str
    message: ReceivedMessage
    proven_device_id: str | None = None
    """Whose keys it was encrypted with (Olm); None where it came in the clear. It is answered likewise."""
    age_ms: int = 0
    """How long the homeserver has kept it, where that is known."""
    content: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    """As it came, for recordings; what counts is in `message`."""


@dataclass(frozen=True, slots=True)
class StateEvent:
    """One state event as the homeserver gave it; `content` is read by the focus, and may be anything."""

    type: str
    state_key: str
    sender: str
    content: object = field(repr=False)


@dataclass(frozen=True, slots=True)
class RoomState:
    """What has changed in a room that the focus is in.

    With `is_complete` it is the whole state of the types that count: what is not in it, is not there.
    """

    room_id: str
    events: tuple[StateEvent, ...]
    is_complete: bool = False


@dataclass(frozen=True, slots=True)
class RoomGone:
    """The focus is in this room no more."""

    room_id: str


@dataclass(frozen=True, slots=True)
class LegsRestored:
    """At start, once: the legs that were open when the process ended, as (key, record) of `KeepLeg`."""

    legs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ShuttingDown:
    """The process is asked to end: every leg is hung up, so that its client dials again at once."""


@dataclass(frozen=True, slots=True)
class DrainAsked:
    """The focus is to be taken away: invites are rejected, and legs that are left then are hung up."""

    deadline_s: float
    foci: tuple[FocusDevice, ...] = ()
    """Others, that clients may dial instead."""


@dataclass(frozen=True, slots=True)
class DrainCancelled:
    """The focus stays: it takes invites again. Who was told to leave may still do so."""


FocusInput = (
    MessageReceived | RoomState | RoomGone | LegsRestored | DrainAsked | DrainCancelled | ShuttingDown
)


# --- asked of the shell -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SendToDevice:
    """Send a to-device message; those to one device arrive in this order."""

    user_id: str
    device_id: str
    message: ToDeviceMessage
    is_encrypted: bool = False


@dataclass(frozen=True, slots=True)
class KeepLeg:
    """Remember a leg over a restart, before anything else of this turn is done."""

    key: str
    record: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ForgetLeg:
    """A leg has ended and its client has been told."""

    key: str


@dataclass(frozen=True, slots=True)
class Count:
    """Add one to a counter of `sfu.metrics.Metrics`, by the name of its attribute."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)


class Level(enum.StrEnum):
    """Who reads a line: info is what an operator counts, warning what they may act on."""

    INFO = "info"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the log: the event's name, then facts. People and addresses are named by no fact."""

    level: Level
    event: str
    facts: Mapping[str, Any] = field(default_factory=dict)


FocusOutput = SendToDevice | KeepLeg | ForgetLeg | Count | Note

Outputs = list["FocusOutput | RuntimeOutput"]
"""Of one turn, in order: to the runtime what is its own, to the shell the rest."""
