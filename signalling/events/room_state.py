"""Calls and their members in room state (MSC3401; foci by MSC3898; protocol: section 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sfu.errors import ParseError
from sfu.units import WallTime
from signalling.events.fields import MAX_ID_LENGTH, JsonObject, as_object, identifier, one_of

if TYPE_CHECKING:
    from collections.abc import Mapping

CALL_TYPES: Final = ("org.matrix.msc3401.call", "m.call")
"""Unstable first: the only one that was ever sent."""
CALL_MEMBER_TYPES: Final = ("org.matrix.msc3401.call.member", "m.call.member")
ROOM_MEMBER: Final = "m.room.member"
TOMBSTONE: Final = "m.room.tombstone"

_INTENTS: Final = ("m.ring", "m.prompt", "m.room")
_KINDS: Final = ("m.voice", "m.video")
_FOCI_ACTIVE: Final = ("org.matrix.msc3898.foci.active", "m.foci.active")
_FOCI_PREFERRED: Final = ("org.matrix.msc3898.foci.preferred", "m.foci.preferred")

MAX_CALLS: Final = 16
"""Calls in one member event; every client writes one."""
MAX_DEVICES: Final = 64
MAX_FOCI: Final = 32


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a room; `conf_id` is its state key."""

    conf_id: str
    intent: str
    type: str
    terminated: bool


@dataclass(frozen=True, slots=True)
class FocusDevice:
    """A focus as others name it."""

    user_id: str
    device_id: str

    def content(self) -> JsonObject:
        """As in every list of foci."""
        return {"user_id": self.user_id, "device_id": self.device_id}


@dataclass(frozen=True, slots=True)
class MemberDevice:
    """One device of a member in one call. Whether it has expired is the reader's to judge."""

    device_id: str
    session_id: str
    expires_at: WallTime
    purposes: tuple[str, ...] = ()
    foci_active: tuple[FocusDevice, ...] = ()
    foci_preferred: tuple[FocusDevice, ...] = ()


@dataclass(frozen=True, slots=True)
class CallMember:
    """The member event of one user: devices by call."""

    user_id: str
    calls: tuple[tuple[str, tuple[MemberDevice, ...]], ...]

    def devices(self, conf_id: str) -> tuple[MemberDevice, ...]:
        """The user's devices in a call."""
        return tuple(device for call, devices in self.calls if call == conf_id for device in devices)


def parse_focus(value: object) -> FocusDevice:
    """Read one focus of a list of which every entry must be one.

    Raises:
        ParseError: not an object, or without usable ids.
    """
    source = as_object(value, "focus")
    return FocusDevice(identifier(source, "user_id"), identifier(source, "device_id"))


def parse_call(state_key: str, content: object) -> Call | None:
    """Read a call event; None where it isn't a call for a focus (no intent, or LiveKit's).

    Raises:
        ParseError: not an object, or no usable state key.
    """
    source = as_object(content, "call")
    conf_id = identifier({"state_key": state_key}, "state_key")
    if "io.element.livekit_service_url" in source:
        return None
    intent, call_type = source.get("m.intent"), source.get("m.type")
    if not one_of(intent, _INTENTS) or not one_of(call_type, _KINDS):
        return None
    return Call(conf_id, str(intent), str(call_type), terminated=bool(source.get("m.terminated")))


def parse_call_member(state_key: str, content: object) -> CallMember | None:
    """Read a member event; None for MatrixRTC's look-alike (no `m.calls` array).

    Device entries that clients would ignore too are left out.

    Raises:
        ParseError: not an object.
    """
    source = as_object(content, "call member")
    calls = source.get("m.calls")
    if not isinstance(calls, list):
        return CallMember(state_key, ()) if not source else None
    return CallMember(state_key, tuple(_parse_calls(calls[:MAX_CALLS])))


def member_content(conf_id: str, devices: tuple[MemberDevice, ...]) -> JsonObject:
    """The content of a member event with one call; without devices, that of leaving it."""
    if not devices:
        return {"m.calls": []}
    return {"m.calls": [{"m.call_id": conf_id, "m.devices": [_device_content(d) for d in devices]}]}


def call_content(*, terminated: bool = False) -> JsonObject:
    """The content of a call event as Element Call wrote it."""
    content: JsonObject = {"m.intent": "m.room", "m.type": "m.video", "io.element.ptt": False}
    return content | {"m.terminated": "call_ended"} if terminated else content


def _parse_calls(calls: list[Any]) -> list[tuple[str, tuple[MemberDevice, ...]]]:
    parsed = []
    for call in calls:
        if not isinstance(call, dict):
            continue
        conf_id, devices = call.get("m.call_id"), call.get("m.devices")
        if not isinstance(conf_id, str) or not isinstance(devices, list):
            continue
        valid = [_parse_device(device) for device in devices[:MAX_DEVICES]]
        parsed.append((conf_id, tuple(device for device in valid if device is not None)))
    return parsed


def _parse_device(value: object) -> MemberDevice | None:
    if not isinstance(value, dict):
        return None
    expires_at, feeds = value.get("expires_ts"), value.get("feeds")
    if (
        isinstance(expires_at, bool)
        or not isinstance(expires_at, (int, float))
        or not isinstance(feeds, list)
    ):
        return None
    if not 0 <= expires_at < 2**63:  # also refuses NaN
        return None
    try:
        device_id, session_id = identifier(value, "device_id"), identifier(value, "session_id")
    except ParseError:
        return None
    return MemberDevice(
        device_id=device_id,
        session_id=session_id,
        expires_at=WallTime(int(expires_at)),
        purposes=tuple(
            str(feed["purpose"])
            for feed in feeds[:MAX_FOCI]
            if isinstance(feed, dict) and isinstance(feed.get("purpose"), str)
        ),
        foci_active=_parse_foci(value, _FOCI_ACTIVE),
        foci_preferred=_parse_foci(value, _FOCI_PREFERRED),
    )


def _parse_foci(source: Mapping[str, Any], names: tuple[str, ...]) -> tuple[FocusDevice, ...]:
    for name in names:
        foci = source.get(name)
        if isinstance(foci, list):
            return tuple(
                FocusDevice(focus["user_id"], focus["device_id"])
                for focus in foci[:MAX_FOCI]
                if isinstance(focus, dict) and _is_id(focus.get("user_id")) and _is_id(focus.get("device_id"))
            )
    return ()


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_ID_LENGTH


def _device_content(device: MemberDevice) -> JsonObject:
    return {
        "device_id": device.device_id,
        "session_id": device.session_id,
        "expires_ts": device.expires_at,
        "feeds": [{"purpose": purpose} for purpose in device.purposes],
        _FOCI_ACTIVE[0]: [focus.content() for focus in device.foci_active],
        _FOCI_PREFERRED[0]: [focus.content() for focus in device.foci_preferred],
    }
