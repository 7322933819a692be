"""To-device messages on their way: in order for each device, each until the homeserver confirms it."""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import structlog
from mautrix.errors import MatrixRequestError

from sfu.errors import ParseError, TransportError
from signalling.matrix.olm import ENCRYPTED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sfu.metrics import Metrics
    from signalling.matrix.encryption import Encryption
    from signalling.matrix.session import MatrixSession

_log = structlog.get_logger()

MAX_QUEUED_PER_DEVICE: Final = 500
"""Messages waiting for one device while the homeserver is away. Beyond it the newest is dropped, which ends
that leg sooner or later (a client waits for the missing `seq` for ever); it redials."""
MAX_QUEUED: Final = 20_000
"""Messages waiting for all devices, some KiB each. Beyond it the newest is dropped in the same way."""


@dataclass(frozen=True, slots=True)
class _Message:
    number: int
    event_type: str
    content: Mapping[str, Any] = field(repr=False)
    is_encrypted: bool


class Outbox:
    """One queue for each receiving device, one task for each queue that has something in it."""

    def __init__(
        self, session: MatrixSession, encryption: Encryption, metrics: Metrics, tasks: asyncio.TaskGroup
    ) -> None:
        self._session = session
        self._encryption = encryption
        self._metrics = metrics
        self._tasks = tasks
        self._queues: dict[tuple[str, str], deque[_Message]] = {}
        self._prefix = uuid.uuid4().hex
        self._unconfirmed: dict[int, None] = {}
        """Numbers of messages on their way, oldest first."""
        self._next = 0
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._unconfirmed)

    def send(
        self,
        user_id: str,
        device_id: str,
        event_type: str,
        content: Mapping[str, Any],
        *,
        is_encrypted: bool = False,
    ) -> None:
        """Queue a message; what is queued for one device arrives in order."""
        key = (user_id, device_id)
        queue = self._queues.get(key)
        if len(self) >= MAX_QUEUED or (queue is not None and len(queue) >= MAX_QUEUED_PER_DEVICE):
            self._count(event_type, "queue_full")
            _log.warning("to_device_dropped", type=event_type, queued=len(self))
            return
        message = _Message(self._next, event_type, content, is_encrypted)
        self._next += 1
        self._unconfirmed[message.number] = None
        if queue is not None:
            queue.append(message)
            return
        queue = self._queues[key] = deque((message,))
        self._empty.clear()
        self._tasks.create_task(self._drain(key, queue))

    def when_confirmed(self, act: Callable[[], None]) -> None:
        """Do something as soon as all that is queued now has been confirmed or given up; maybe at once."""
        self._waiting.append((self._next, act))
        self._act()

    async def flush(self, timeout_s: float) -> None:
        """Wait until everything is sent, at most so long."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        except TimeoutError:
            _log.warning("to_device_unsent", queued=len(self))

    async def _drain(self, key: tuple[str, str], queue: deque[_Message]) -> None:
        while queue:
            message = queue[0]
            try:
                outcome = await self._deliver(*key, message)
            except Exception:  # noqa: BLE001  # the supervisor of a device's queue: the others go on
                _log.exception("internal_failure", where="outbox")
                self._metrics.failures.labels("outbox").inc()
                outcome = "failed"
            self._count(message.event_type, outcome)
            queue.popleft()
            del self._unconfirmed[message.number]
            self._act()
        del self._queues[key]
        if not self._queues:
            self._empty.set()

    async def _deliver(self, user_id: str, device_id: str, message: _Message) -> str:
        event_type, content = message.event_type, message.content
        try:
            if message.is_encrypted:
                content = await self._encryption.encrypt(user_id, device_id, event_type, content)
                event_type = ENCRYPTED
            # The same transaction id on every try, so that the homeserver delivers once.
            transaction = f"{self._prefix}.{message.number}"
            await self._session.request(
                "PUT",
                f"/_matrix/client/v3/sendToDevice/{quote(event_type, safe='')}/{transaction}",
                {"messages": {user_id: {device_id: dict(content)}}},
            )
        except (ParseError, TransportError) as error:
            # Never in the clear instead: the client asked for more than that. Its leg ends unconnected.
            _log.warning("to_device_not_encrypted", type=message.event_type, reason=str(error)[:200])
            return "not_encrypted"
        except MatrixRequestError as error:
            _log.warning("to_device_refused", type=message.event_type, status=error.http_status)
            return "refused"
        return "ok"

    def _act(self) -> None:
        oldest = next(iter(self._unconfirmed), self._next)
        while self._waiting and self._waiting[0][0] <= oldest:
            self._waiting.popleft()[1]()

    def _count(self, event_type: str, outcome: str) -> None:
        self._metrics.signalling_messages.labels("sent", event_type, outcome).inc()
