"""Invites of calls that the focus has not heard of: it looks in the sender's rooms before it judges.

An application service is told what happens from now on. A call that began before it was there, or whose event
is still on its way, is found so.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

import structlog
from mautrix.errors import MatrixRequestError

from sfu.errors import ParseError, TransportError
from signalling.events.room_state import CALL_TYPES, parse_call
from signalling.events.to_device import INVITE, Invite
from signalling.focus.allowance import Allowances
from signalling.focus.turn import MessageReceived
from signalling.matrix.state_reader import JOINED_ROOMS, listed_rooms, state_path

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sfu.metrics import Metrics
    from sfu.units import Instant
    from signalling.focus.turn import FocusInput
    from signalling.matrix.followed import FollowedRooms
    from signalling.matrix.interest import Interest
    from signalling.matrix.refusals import Refusals
    from signalling.matrix.session import MatrixSession

SEARCH_S: Final = 5.0
"""How long a search may take. Lower: a user of many rooms is rejected while the homeserver is busy. Higher:
whoever is in no call waits longer for being told so."""
SEARCHES_PER_S: Final = 0.2
SEARCHES_AT_ONCE_OF_USER: Final = 5.0
"""Searches that one user's invites are worth. Lower: several devices that dial at once are rejected. Higher:
whoever sends invites of no call makes us ask more for nothing."""
MAX_SEARCHES: Final = 16
"""Searches at once, for all users; beyond it an invite is judged by what is known."""
ASKED_AT_ONCE: Final = 8
"""Requests at once of one search."""
MAX_SEARCHED: Final = 500
"""Rooms looked into, two requests each."""
MAX_ENTERED: Final = 2
"""Rooms with such a call that are read: it takes no more to see that an invite is ambiguous."""
MAX_HELD: Final = 100
"""Messages of one sender that wait behind the invite."""

_TRIES: Final = 2

_log = structlog.get_logger()


class Introductions:
    """Hands messages on, those of one sender in their order.

    What is held while the process dies is lost: that client dials again.

    Args:
        session: asks the homeserver.
        followed: knows who is a user of our homeserver.
        interest: takes the rooms that are found.
        knows_call: whether an invite of a user to a call would find its room.
        hand_on: takes each message.
        refusals: where what can't be held is counted.
        metrics: where our own mistakes are counted.
        tasks: lives as long as the shell does.
        clock: monotonic.
    """

    def __init__(
        self,
        session: MatrixSession,
        *,
        followed: FollowedRooms,
        interest: Interest,
        knows_call: Callable[[str, str], bool],
        hand_on: Callable[[FocusInput], Awaitable[None]],
        refusals: Refusals,
        metrics: Metrics,
        tasks: asyncio.TaskGroup,
        clock: Callable[[], Instant],
    ) -> None:
        self._session = session
        self._followed = followed
        self._interest = interest
        self._knows_call = knows_call
        self._hand_on = hand_on
        self._refusals = refusals
        self._metrics = metrics
        self._tasks = tasks
        self._clock = clock
        self._allowances = Allowances(SEARCHES_PER_S, SEARCHES_AT_ONCE_OF_USER)
        self._held: dict[str, deque[FocusInput]] = {}
        """For each sender whose call is being looked for, what waits for that."""

    async def take(self, given: FocusInput) -> None:
        """Hand on, now or when the room is known."""
        if not isinstance(given, MessageReceived):
            await self._hand_on(given)
            return
        held = self._held.get(given.sender)
        if held is not None:
            if len(held) < MAX_HELD:
                held.append(given)
            else:
                self._refusals.refuse(given.message.type, "too_many")
        elif self._is_worth_a_search(given):
            self._held[given.sender] = deque((given,))
            self._tasks.create_task(self._introduce(given.sender, given.message.envelope.conf_id))
        else:
            await self._hand_on(given)

    def _is_worth_a_search(self, given: MessageReceived) -> bool:
        if not isinstance(given.message, Invite) or not self._followed.is_local(given.sender):
            return False
        if self._knows_call(given.message.envelope.conf_id, given.sender):
            return False
        if len(self._held) < MAX_SEARCHES and self._allowances.take(self._clock(), given.sender):
            return True
        self._refusals.refuse(INVITE, "not_searched")
        return False

    async def _introduce(self, sender: str, conf_id: str) -> None:
        try:
            async with asyncio.timeout(SEARCH_S):
                found = await self._search(sender, conf_id)
                if found:
                    await self._interest.enter(found[:MAX_ENTERED], sender)
        except (MatrixRequestError, TransportError, TimeoutError) as error:
            self._refusals.refuse(INVITE, "search_failed", error=str(error)[:200] or type(error).__name__)
        except Exception:  # noqa: BLE001  # a supervisor: who was looked for gets a judgement, and the others go on
            _log.exception("internal_failure", where="introductions")
            self._metrics.failures.labels("introductions").inc()
        held = self._held[sender]
        while held:
            await self._hand_on(held.popleft())
        del self._held[sender]

    async def _search(self, sender: str, conf_id: str) -> list[str]:
        """The rooms of a user in which a call lives."""
        listed = listed_rooms(await self._session.request("GET", JOINED_ROOMS, as_user=sender, tries=_TRIES))
        room_ids = [room_id for room_id in listed or () if isinstance(room_id, str)][:MAX_SEARCHED]
        for call_type in CALL_TYPES:
            slots = asyncio.Semaphore(ASKED_AT_ONCE)
            async with asyncio.TaskGroup() as group:
                asked = {
                    room_id: group.create_task(self._lives(room_id, call_type, conf_id, sender, slots))
                    for room_id in room_ids
                }
            found = [room_id for room_id, task in asked.items() if task.result()]
            if found:
                return found
        return []

    async def _lives(
        self, room_id: str, call_type: str, conf_id: str, as_user: str, slots: asyncio.Semaphore
    ) -> bool:
        path = state_path(room_id, call_type, conf_id)
        try:
            async with slots:
                content = await self._session.request("GET", path, as_user=as_user, tries=_TRIES)
            call = parse_call(conf_id, content)
        except (MatrixRequestError, TransportError, ParseError):
            return False
        return call is not None and not call.terminated
