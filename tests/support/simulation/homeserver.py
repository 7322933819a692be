"""Homeservers: room state and to-device messages, which arrive in order and after a while.

Each account's homeserver is the one that its id names. What goes from one to another takes longer, and waits
while they can't reach each other.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sfu.units import NS_PER_MS
from signalling.events.room_state import CALL_MEMBER_TYPES, CALL_TYPES, ROOM_MEMBER, call_content
from signalling.events.to_device import ToDeviceMessage, UnreadableInvite, parse_to_device
from signalling.focus.turn import MessageReceived, RoomState, SendToDevice, StateEvent
from tests.support.simulation.sites import domain_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sfu.units import Instant
    from signalling.events.room_state import FocusDevice
    from signalling.focus.turn import FocusInput
    from tests.support.simulation.clock import VirtualClock

LATENCY_MS: Final = 40
"""From the sender's request to the receiver's sync."""
FEDERATION_MS: Final = 60
"""The same, beyond that, where they are on two homeservers."""

ROOM_ID: Final = "!room:example.org"
CONF_ID: Final = "conference"
ADMIN: Final = "@admin:example.org"

_CALL: Final = CALL_TYPES[0]
_CALL_MEMBER: Final = CALL_MEMBER_TYPES[0]


@dataclass(frozen=True, slots=True)
class Room:
    """A room, and the call in it."""

    room_id: str = ROOM_ID
    conf_id: str = CONF_ID


FIRST_ROOM: Final = Room()
OTHER_ROOM: Final = Room("!other:example.org", "another conference")


@dataclass(slots=True)
class HomeserverCounts:
    """What went through."""

    to_device: Counter[str] = field(default_factory=Counter)
    """Messages of foci by type."""
    undeliverable: int = 0


@dataclass(frozen=True, slots=True)
class _Letter:
    """A to-device message that waits for its focus."""

    sender: str
    message: ToDeviceMessage
    sent_at: Instant
    proven_device_id: str | None = None


class SimHomeserver:
    """Rooms with a call each on all homeservers, and everybody's to-device messages.

    People are in one of them, foci in all.

    Args:
        clock: when things arrive.
        federation_ms: how much longer the way is from one homeserver to another.
        rooms: all that there are.
    """

    def __init__(
        self,
        clock: VirtualClock,
        federation_ms: float = FEDERATION_MS,
        rooms: Sequence[Room] = (FIRST_ROOM,),
    ) -> None:
        self.counts = HomeserverCounts()
        self._clock = clock
        self._federation_ms = federation_ms
        self._foci: dict[FocusDevice, Callable[[FocusInput], None]] = {}
        """Those that sync."""
        self._letters: dict[FocusDevice, list[_Letter]] = {}
        """For those that were there, and don't sync."""
        self._rooms = rooms
        self._room_of: dict[str, Room] = {}
        """Of people; who is not here is in the first."""
        self._state: dict[tuple[str, Room], dict[tuple[str, str], StateEvent]] = {}
        """What each homeserver of a focus knows of each room."""
        self._devices: dict[tuple[str, str], Callable[[ToDeviceMessage], None]] = {}
        self._parted: dict[frozenset[str], list[tuple[float, Callable[[], None]]]] = {}
        """Of homeservers that can't reach each other, what waits: how long it takes, and what it does."""

    def begin(self) -> None:
        """All foci are in all rooms, and there is a call in each."""
        joined = [_membership(focus.user_id, focus.user_id, "join") for focus in self._foci]
        for room in self._rooms:
            events = StateEvent(_CALL, room.conf_id, ADMIN, call_content()), *joined
            for (_, known_room), known in self._state.items():
                if known_room == room:
                    known.update({(one.type, one.state_key): one for one in events})
            for tell in self._foci.values():
                tell(RoomState(room.room_id, events, is_complete=True))

    def log_in(
        self,
        user_id: str,
        device_id: str,
        take: Callable[[ToDeviceMessage], None],
        room: Room = FIRST_ROOM,
    ) -> None:
        """A device syncs, of somebody who is in this room if in any."""
        self._devices[user_id, device_id] = take
        self._room_of[user_id] = room

    def log_in_focus(self, focus: FocusDevice, tell: Callable[[FocusInput], None]) -> None:
        """A focus syncs; one that did before is told what it has missed."""
        domain = domain_of(focus.user_id)
        known = [(room, self._state.setdefault((domain, room), {})) for room in self._rooms]
        self._foci[focus] = tell
        letters = self._letters.pop(focus, None)
        if letters is None:
            return
        for room, state in known:
            tell(RoomState(room.room_id, tuple(state.values()), is_complete=True))
        for letter in letters:
            self._hand_over(focus, letter)

    def log_out_focus(self, focus: FocusDevice) -> None:
        """A focus syncs no more: messages for it wait."""
        del self._foci[focus]
        self._letters[focus] = []

    def part(self, one: str, other: str) -> None:
        """Two homeservers can't reach each other: what is said from now on waits."""
        self._parted.setdefault(frozenset((one, other)), [])

    def rejoin(self, one: str, other: str) -> None:
        """They can again."""
        for delay_ms, action in self._parted.pop(frozenset((one, other)), ()):
            self._clock.call_after_ms(delay_ms, action)

    # --- room state ---------------------------------------------------------------------------------------

    def join_room(self, user_id: str) -> None:
        """A user joins their room."""
        self._change(_membership(user_id, user_id, "join"))

    def leave_room(self, user_id: str) -> None:
        """A user leaves their room."""
        self._change(_membership(user_id, user_id, "leave"))

    def kick(self, user_id: str) -> None:
        """Somebody removes a user from their room."""
        self._change(_membership(ADMIN, user_id, "leave"))

    def put_member(self, user_id: str, content: dict[str, Any]) -> None:
        """A user writes their member event of the call."""
        self._change(StateEvent(_CALL_MEMBER, user_id, user_id, json.loads(json.dumps(content))))

    def end_call(self) -> None:
        """Somebody ends the call of the first room for everybody."""
        self._change(StateEvent(_CALL, CONF_ID, ADMIN, call_content(terminated=True)))

    def _change(self, event: StateEvent) -> None:
        room = self._room_of.get(event.state_key, FIRST_ROOM)
        for domain in {domain: None for domain, _ in self._state}:
            self._carry(event.sender, domain, partial(self._learn, domain, room, event))

    def _learn(self, domain: str, room: Room, event: StateEvent) -> None:
        self._state[domain, room][event.type, event.state_key] = event
        for focus, tell in tuple(self._foci.items()):
            if domain_of(focus.user_id) == domain:
                tell(RoomState(room.room_id, (event,)))

    # --- to-device messages -------------------------------------------------------------------------------

    def send_to_focus(self, user_id: str, focus: FocusDevice, message: ToDeviceMessage) -> None:
        """A device sends a focus a message."""
        self._post(focus, _Letter(user_id, _through_json(message), self._clock.now))

    def send_to_device(self, sender: FocusDevice, sent: SendToDevice) -> None:
        """A focus sends a device a message, or another focus."""
        self.counts.to_device[sent.message.type] += 1
        parsed = _through_json(sent.message)
        focus = next((one for one in (*self._foci, *self._letters) if _is_device(one, sent)), None)
        if focus is not None:
            proven = sender.device_id if sent.is_encrypted else None
            self._post(focus, _Letter(sender.user_id, parsed, self._clock.now, proven))
            return
        take = self._devices.get((sent.user_id, sent.device_id))
        if take is None:
            self.counts.undeliverable += 1
            return
        self._carry(sender.user_id, domain_of(sent.user_id), lambda: take(parsed))

    def _post(self, focus: FocusDevice, letter: _Letter) -> None:
        self._carry(letter.sender, domain_of(focus.user_id), lambda: self._hand_over(focus, letter))

    def _hand_over(self, focus: FocusDevice, letter: _Letter) -> None:
        tell = self._foci.get(focus)
        if tell is None:
            self._letters[focus].append(letter)
            return
        age_ms = (self._clock.now - letter.sent_at) // NS_PER_MS
        tell(MessageReceived(letter.sender, letter.message, letter.proven_device_id, age_ms))

    def _carry(self, sender: str, domain: str, action: Callable[[], None]) -> None:
        """Do something when it has come from somebody's homeserver to another."""
        home = domain_of(sender)
        delay_ms = LATENCY_MS if home == domain else LATENCY_MS + self._federation_ms
        waiting = self._parted.get(frozenset((home, domain)))
        if waiting is None:
            self._clock.call_after_ms(delay_ms, action)
        else:
            waiting.append((delay_ms, action))


def _is_device(focus: FocusDevice, sent: SendToDevice) -> bool:
    return (focus.user_id, focus.device_id) == (sent.user_id, sent.device_id)


def _membership(sender: str, user_id: str, membership: str) -> StateEvent:
    return StateEvent(ROOM_MEMBER, user_id, sender, {"membership": membership})


def _through_json(message: ToDeviceMessage) -> ToDeviceMessage:
    parsed = parse_to_device(message.type, json.loads(json.dumps(message.content())))
    assert parsed is not None, message.type
    assert not isinstance(parsed, UnreadableInvite), parsed
    return parsed
