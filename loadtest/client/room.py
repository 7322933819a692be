"""The room of a call, as a client sees and changes its state (protocol: sections 2 and 3)."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from typing import TYPE_CHECKING, Any, Final

from loadtest.client.signalling import MatrixClient, MatrixRefusedError, StateEvent
from sfu.errors import ParseError
from sfu.units import WallTime
from signalling.events.room_state import (
    CALL_MEMBER_TYPES,
    CALL_TYPES,
    ROOM_MEMBER,
    CallMember,
    FocusDevice,
    MemberDevice,
    call_content,
    member_content,
    parse_call,
    parse_call_member,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from loadtest.client.scene import Party

FOCUS_PATIENCE_S: Final = 20.0
"""How long an invited focus may take to join."""
_POLL_S: Final = 0.1
WELL_KNOWN_FOCI: Final = "org.matrix_focus.foci"


def call_room(name: str, invited: Iterable[str] = ()) -> dict[str, Any]:
    """What to create a room with that anybody may join and hold calls in, as Element Call made them.

    Args:
        name: of the room.
        invited: users who are invited at once.
    """
    free = dict.fromkeys((*CALL_TYPES, *CALL_MEMBER_TYPES), 0)
    return {
        "name": name,
        "preset": "public_chat",
        "room_version": "11",  # Element Call of the dialect's days cannot read 12 (protocol: section 2.3)
        "invite": list(invited),
        "power_level_content_override": {"state_default": 0, "invite": 0, "events": free},
    }


class Room:
    """One room in the name of one account."""

    def __init__(self, client: MatrixClient, room_id: str) -> None:
        self._client = client
        self.room_id = room_id

    async def join(self) -> None:
        """Join the room; harmless for members."""
        self.room_id = await self._client.join(self.room_id)

    async def find_call(self) -> str | None:
        """The live call; of several the newest (protocol: section 2.1)."""
        found: list[tuple[int, str]] = []
        for event in await self._client.state(self.room_id):
            if event.type not in CALL_TYPES:
                continue
            with contextlib.suppress(ParseError):
                call = parse_call(event.state_key, event.content)
                if call is not None and not call.terminated:
                    found.append((event.origin_server_ts, call.conf_id))
        return max(found)[1] if found else None

    async def start_call(self) -> str:
        """Write a new call event; its id."""
        conf_id = f"{int(time.time() * 1_000)}{secrets.token_hex(8)}"
        await self._client.put_state(self.room_id, CALL_TYPES[0], conf_id, call_content())
        return conf_id

    async def end_call(self, conf_id: str) -> None:
        """Terminate a call for everybody."""
        await self._client.put_state(self.room_id, CALL_TYPES[0], conf_id, call_content(terminated=True))

    async def find_focus(self, conf_id: str) -> FocusDevice | None:
        """The focus that another live member of the call uses, else the one the homeserver announces."""
        for member in self._members(await self._client.state(self.room_id)):
            for device in member.devices(conf_id):
                if device.foci_active and device.expires_at > time.time() * 1_000:
                    return device.foci_active[0]
        return await self._client.announced_focus(WELL_KNOWN_FOCI)

    async def invite_focus(self, user_id: str) -> str | None:
        """Invite the focus where the room lets us, and wait until it is there.

        Returns:
            Why it may know nothing of the room: our invitation was refused. None where it is there. Whoever
            is told so dials all the same: an application service sees rooms without being in them.

        Raises:
            TimeoutError: it was invited, and did not join.
        """
        if await self._is_joined(user_id):
            return None
        try:
            await self._client.invite(self.room_id, user_id)
        except MatrixRefusedError as error:
            # Somebody else may have been faster.
            if await self._is_joined(user_id):
                return None
            return f"{user_id} is not in the room, and our invitation was refused ({error})"
        try:
            async with asyncio.timeout(FOCUS_PATIENCE_S):
                while not await self._is_joined(user_id):  # noqa: ASYNC110  # the homeserver is asked, not an event
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            raise TimeoutError(f"not within {FOCUS_PATIENCE_S:g} s") from error
        return None

    async def put_member(
        self,
        party: Party,
        *,
        session_id: str,
        conf_id: str,
        focus: FocusDevice,
        lifetime_ms: int,
        purposes: tuple[str, ...],
    ) -> None:
        """Say that a device of ours takes part."""
        device = MemberDevice(
            device_id=party.device_id,
            session_id=session_id,
            expires_at=WallTime(int(time.time() * 1_000) + lifetime_ms),
            purposes=purposes,
            foci_active=(focus,),
        )
        content = member_content(conf_id, (device,))
        await self._client.put_state(self.room_id, CALL_MEMBER_TYPES[0], party.user_id, content)

    async def clear_member(self, user_id: str) -> None:
        """Say that no device of ours takes part."""
        await self._client.put_state(self.room_id, CALL_MEMBER_TYPES[0], user_id, member_content("", ()))

    async def leave(self) -> None:
        """Leave the room."""
        await self._client.leave(self.room_id)

    async def kick(self, user_id: str) -> None:
        """Remove somebody from the room."""
        await self._client.kick(self.room_id, user_id)

    async def _is_joined(self, user_id: str) -> bool:
        member = await self._client.state_event(self.room_id, ROOM_MEMBER, user_id)
        return member is not None and member.get("membership") == "join"

    @staticmethod
    def _members(state: list[StateEvent]) -> Iterator[CallMember]:
        for event in state:
            if event.type in CALL_MEMBER_TYPES:
                with contextlib.suppress(ParseError):
                    member = parse_call_member(event.state_key, event.content)
                    if member is not None:
                        yield member
