"""The long poll: what the homeserver has to tell, one answer after the other."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import structlog
from mautrix.errors import MatrixRequestError

from signalling.matrix.answers import read_sync

if TYPE_CHECKING:
    from collections.abc import Mapping

    from signalling.matrix.answers import SyncAnswer
    from signalling.matrix.invitations import Invitations
    from signalling.matrix.rooms import Rooms
    from signalling.matrix.source import SourceParts
    from signalling.matrix.to_device import ToDeviceInbox

_log = structlog.get_logger()

REFUSED_WAIT_S: Final = 5.0
"""Pause after a sync that was refused. Lower: a homeserver that says no is asked all the time."""
MALFORMED_WAIT_S: Final = 1.0
"""Pause after an answer that can't be gone on from: most likely the next one is no better."""
EMPTY_WAIT_S: Final = 0.05
"""Pause after an answer without anything new, which a homeserver keeps until the time asked for is over.
Lower: one that does not is asked all the time. Higher: an invite waits longer."""

_PATH: Final = "/_matrix/client/v3/sync"


class Sync:
    """Asks, and has each answer dealt with before the next: invitations, then rooms, then messages.

    `since` moves on in the store only when an answer has been dealt with: what comes while this process dies
    comes again.

    Args:
        given: what every source is given.
        timeout_ms: how long one sync waits for news.
        wanted: what to be told (a filter of the client-server API).
        invitations: are told first: entering a room takes longest.
        rooms: come next, so that messages are judged by the newest state.
        to_device: come last.
    """

    def __init__(
        self,
        given: SourceParts,
        timeout_ms: int,
        wanted: Mapping[str, Any],
        *,
        invitations: Invitations,
        rooms: Rooms,
        to_device: ToDeviceInbox,
    ) -> None:
        session = given.session
        self._session = session
        self._store = given.store
        self._timeout_ms = timeout_ms
        self._wanted = wanted
        self._invitations = invitations
        self._rooms = rooms
        self._to_device = to_device
        self._encryption = given.encryption
        self._refusals = given.refusals
        self._metrics = given.metrics
        self._since_fact = f"since {session.user_id} {session.device_id}"
        self.is_caught_up = False
        """Whether the state of all rooms is known, so that an invite can be judged."""

    async def run(self) -> None:
        """Sync until cancelled."""
        since = self._store.fact(self._since_fact)
        while True:
            try:
                answer = await self._ask(since)
            except MatrixRequestError as error:
                _log.error("sync_refused", status=error.http_status, error=str(error)[:200])
                since = None
                self._start_over()
                await asyncio.sleep(REFUSED_WAIT_S)
                continue
            if answer is None:
                self._refusals.refuse("sync", "malformed", reason="next_batch")
                await asyncio.sleep(MALFORMED_WAIT_S)
                continue
            is_old, since = answer.next_batch == since, answer.next_batch
            try:
                await self._deal_with(answer)
            except Exception:  # noqa: BLE001  # a supervisor: one odd answer must not be the last, nor come for ever
                _log.exception("internal_failure", where="sync")
                self._metrics.failures.labels("sync").inc()
                self._start_over()
            if answer.is_empty or is_old:
                await asyncio.sleep(EMPTY_WAIT_S)

    async def _ask(self, since: str | None) -> SyncAnswer | None:
        timeout_ms = self._timeout_ms if self.is_caught_up else 0
        query = {
            "filter": json.dumps(self._wanted, separators=(",", ":")),
            "set_presence": "offline",
            "timeout": str(timeout_ms),
        }
        if since is not None:
            query["since"] = since
        answer = await self._session.request(
            "GET", _PATH, query=query, timeout_s=self._session.request_timeout_s + timeout_ms / 1000.0
        )
        return read_sync(answer, self._session.user_id)

    async def _deal_with(self, answer: SyncAnswer) -> None:
        self._refusals.refuse("sync", "malformed", answer.malformed, reason="parts", parts=answer.malformed)
        self._invitations.take(answer.invitations)
        await self._rooms.follow(answer.joined, answer.left)
        if not self.is_caught_up:
            await self._rooms.read_all()
        await self._to_device.take(answer.to_device)
        self._store.set_fact(self._since_fact, answer.next_batch)
        if not self.is_caught_up:
            _log.info("rooms_known", rooms=len(self._rooms))
            self.is_caught_up = True
        if answer.one_time_keys is not None:
            await self._encryption.fill_up(answer.one_time_keys)

    def _start_over(self) -> None:
        self.is_caught_up = False
        self._rooms.distrust()
