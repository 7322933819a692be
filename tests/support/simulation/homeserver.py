"""A homeserver: room state and to-device messages, which arrive in order and after a while."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from signalling.events.room_state import CALL_MEMBER_TYPES, CALL_TYPES, ROOM_MEMBER, call_content
from signalling.events.to_device import ToDeviceMessage, UnreadableInvite, parse_to_device
from signalling.focus.turn import MessageReceived, RoomState, SendToDevice, StateEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from signalling.focus.turn import FocusInput
    from tests.support.simulation.clock import VirtualClock

LATENCY_MS: Final = 40
"""From the sender's request to the receiver's sync."""

ROOM_ID: Final = "!room:example.org"
CONF_ID: Final = "conference"
FOCUS_USER_ID: Final = "@focus:example.org"
FOCUS_DEVICE_ID: Final = "FOCUS"

_CALL: Final = CALL_TYPES[0]
_CALL_MEMBER: Final = CALL_MEMBER_TYPES[0]


@dataclass(slots=True)
class HomeserverCounts:
    """What went through."""

    to_device: Counter[str] = field(default_factory=Counter)
    """Messages of the focus by type."""
    undeliverable: int = 0


class SimHomeserver:
    """One room with one call, and everybody's to-device messages.

    Args:
        clock: when things arrive.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self.counts = HomeserverCounts()
        self.tell_focus: Callable[[FocusInput], None] = lambda _: None
        self._clock = clock
        self._devices: dict[tuple[str, str], Callable[[ToDeviceMessage], None]] = {}

    def begin(self) -> None:
        """The focus is in the room, and there is a call."""
        events = (
            StateEvent(_CALL, CONF_ID, "@admin:example.org", call_content()),
            _membership(FOCUS_USER_ID, FOCUS_USER_ID, "join"),
        )
        self.tell_focus(RoomState(ROOM_ID, events, is_complete=True))

    def log_in(self, user_id: str, device_id: str, take: Callable[[ToDeviceMessage], None]) -> None:
        """A device syncs."""
        self._devices[user_id, device_id] = take

    def join_room(self, user_id: str) -> None:
        """A user joins the room."""
        self._change(_membership(user_id, user_id, "join"))

    def leave_room(self, user_id: str) -> None:
        """A user leaves the room."""
        self._change(_membership(user_id, user_id, "leave"))

    def kick(self, user_id: str) -> None:
        """Somebody removes a user from the room."""
        self._change(_membership("@admin:example.org", user_id, "leave"))

    def put_member(self, user_id: str, content: dict[str, Any]) -> None:
        """A user writes their member event of the call."""
        self._change(StateEvent(_CALL_MEMBER, user_id, user_id, json.loads(json.dumps(content))))

    def end_call(self) -> None:
        """Somebody ends the call for everybody."""
        self._change(StateEvent(_CALL, CONF_ID, "@admin:example.org", call_content(terminated=True)))

    def send_to_focus(self, user_id: str, message: ToDeviceMessage) -> None:
        """A device sends the focus a message."""
        parsed = _through_json(message)
        self._after_latency(lambda: self.tell_focus(MessageReceived(user_id, parsed, age_ms=LATENCY_MS)))

    def send_to_device(self, sent: SendToDevice) -> None:
        """The focus sends a device a message."""
        self.counts.to_device[sent.message.type] += 1
        parsed = _through_json(sent.message)
        take = self._devices.get((sent.user_id, sent.device_id))
        if take is None:
            self.counts.undeliverable += 1
            return
        self._after_latency(lambda: take(parsed))

    def _change(self, event: StateEvent) -> None:
        self._after_latency(lambda: self.tell_focus(RoomState(ROOM_ID, (event,))))

    def _after_latency(self, action: Callable[[], None]) -> None:
        self._clock.call_after_ms(LATENCY_MS, action)


def _membership(sender: str, user_id: str, membership: str) -> StateEvent:
    return StateEvent(ROOM_MEMBER, user_id, sender, {"membership": membership})


def _through_json(message: ToDeviceMessage) -> ToDeviceMessage:
    parsed = parse_to_device(message.type, json.loads(json.dumps(message.content())))
    assert parsed is not None, message.type
    assert not isinstance(parsed, UnreadableInvite), parsed
    return parsed
