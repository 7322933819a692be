"""To-device messages on their way in: decrypted where need be, read, and handed on in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from sfu.errors import ParseError
from signalling.events.fields import MAX_ID_LENGTH, as_object
from signalling.events.to_device import (
    ANSWER,
    CANDIDATES,
    HANGUP,
    INVITE,
    METADATA_CHANGED,
    METADATA_CHANGED_UNSTABLE,
    NEGOTIATE,
    REJECT,
    SELECT_ANSWER,
    UnreadableInvite,
    parse_to_device,
)
from signalling.focus.turn import MessageReceived
from signalling.matrix.olm import ENCRYPTED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from signalling.focus.turn import FocusInput
    from signalling.matrix.answers import ToDeviceEvent
    from signalling.matrix.encryption import Encryption
    from signalling.matrix.refusals import Refusals

OTHER: Final = "other"
"""In counters: any event type that is none of ours."""

_COUNTED: Final = frozenset(
    {
        INVITE,
        ANSWER,
        CANDIDATES,
        SELECT_ANSWER,
        HANGUP,
        REJECT,
        NEGOTIATE,
        METADATA_CHANGED,
        METADATA_CHANGED_UNSTABLE,
    }
)


class ToDeviceInbox:
    """Makes inputs of the messages of one sync after the other.

    Args:
        encryption: ours.
        hand_on: takes each message.
        refusals: where those that can't be read are counted.
    """

    def __init__(
        self,
        encryption: Encryption,
        hand_on: Callable[[FocusInput], Awaitable[None]],
        refusals: Refusals,
    ) -> None:
        self._encryption = encryption
        self._hand_on = hand_on
        self._refusals = refusals

    async def take(self, events: Sequence[ToDeviceEvent]) -> None:
        """Hand on what can be read; those of one sender in their order.

        Senders that encrypt are dealt with side by side and after all others: for the keys of each the
        homeserver may have to ask another one, which may be slow, or mean to be.
        """
        encrypted: dict[str, list[ToDeviceEvent]] = {
            event.sender: [] for event in events if event.type == ENCRYPTED
        }
        for event in events:
            if event.sender in encrypted:
                encrypted[event.sender].append(event)
            else:
                await self._take_one(event)
        async with asyncio.TaskGroup() as group:
            for sent in encrypted.values():
                group.create_task(self._take_all(sent))

    async def _take_all(self, events: Sequence[ToDeviceEvent]) -> None:
        for event in events:
            await self._take_one(event)

    async def _take_one(self, event: ToDeviceEvent) -> None:
        if not 0 < len(event.sender) <= MAX_ID_LENGTH:
            self._refusals.refuse(OTHER, "malformed", reason="sender")
        elif event.type == ENCRYPTED:
            await self._take_encrypted(event)
        else:
            await self._read(event, event.type, event.content, None)

    async def _take_encrypted(self, event: ToDeviceEvent) -> None:
        try:
            content = as_object(event.content, "content")
            decrypted, device_id = await self._encryption.decrypt(event.sender, content)
        except ParseError as error:
            self._refusals.refuse(ENCRYPTED, "not_decrypted", reason=error.reason, text=error.text[:200])
            return
        await self._read(event, decrypted.type, decrypted.content, device_id)

    async def _read(
        self, event: ToDeviceEvent, event_type: str, content: object, proven_device_id: str | None
    ) -> None:
        counted = event_type if event_type in _COUNTED else OTHER
        try:
            message = parse_to_device(event_type, content)
        except ParseError as error:
            self._refusals.refuse(counted, "malformed", reason=error.reason, text=error.text[:200])
            return
        if message is None:
            self._refusals.accept(counted, "ignored")
            return
        if isinstance(message, UnreadableInvite):
            self._refusals.refuse(counted, "malformed", reason=message.reason, text=message.text[:200])
        else:
            self._refusals.accept(counted)
        came_as = as_object(content, "content")
        await self._hand_on(
            MessageReceived(event.sender, message, proven_device_id, event.age_ms, content=came_as)
        )
