"""To-device messages on their way: in order for each leg, each until the homeserver confirms it."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import structlog
from mautrix.errors import MatrixRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from signalling.matrix.session import MatrixSession

_log = structlog.get_logger()

MAX_QUEUED_PER_DEVICE: Final = 500
"""Messages waiting for one device while the homeserver is away. Beyond it the newest is dropped, which ends
that leg sooner or later (a client waits for the missing `seq` for ever); it redials."""


class Outbox:
    """One queue for each receiving device, one task for each queue that has something in it."""

    def __init__(self, session: MatrixSession, tasks: asyncio.TaskGroup) -> None:
        self._session = session
        self._tasks = tasks
        self._queues: dict[tuple[str, str], deque[tuple[str, str, Mapping[str, Any]]]] = {}
        self._prefix = uuid.uuid4().hex
        self._sent = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self.dropped = 0

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def send(self, user_id: str, device_id: str, event_type: str, content: Mapping[str, Any]) -> None:
        """Queue a message; what is queued for one device arrives in order."""
        key = (user_id, device_id)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = deque()
            self._empty.clear()
            self._tasks.create_task(self._drain(key, queue))
        if len(queue) >= MAX_QUEUED_PER_DEVICE:
            self.dropped += 1
            _log.warning("to_device_dropped", event_type=event_type, queued=len(queue))
            return
        self._sent += 1
        # The same transaction id on every try, so that the homeserver delivers once.
        queue.append((f"{self._prefix}.{self._sent}", event_type, content))

    async def flush(self, timeout_s: float) -> None:
        """Wait until everything is sent, at most so long."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        except TimeoutError:
            _log.warning("to_device_unsent", queued=len(self))

    async def _drain(self, key: tuple[str, str], queue: deque[tuple[str, str, Mapping[str, Any]]]) -> None:
        user_id, device_id = key
        while queue:
            transaction, event_type, content = queue[0]
            path = f"/_matrix/client/v3/sendToDevice/{quote(event_type, safe='')}/{transaction}"
            body = {"messages": {user_id: {device_id: dict(content)}}}
            try:
                await self._session.request("PUT", path, body)
            except MatrixRequestError as error:
                self.dropped += 1
                _log.warning("to_device_refused", event_type=event_type, status=error.http_status)
            queue.popleft()
        del self._queues[key]
        if not self._queues:
            self._empty.set()
