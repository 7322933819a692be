"""The Matrix shell of a focus without the focus: what it would hand on is kept."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

from sfu.metrics import Metrics
from sfu.runtime.clocks import monotonic_clock, wall_clock
from signalling.matrix.account import OrdinaryAccount
from signalling.matrix.appservice_account import AppserviceAccount
from signalling.matrix.appservice_source import AppserviceSource
from signalling.matrix.encryption import Encryption
from signalling.matrix.member_source import MemberSource
from signalling.matrix.olm import OlmMachine
from signalling.matrix.outbox import Outbox
from signalling.matrix.refusals import Refusals
from signalling.matrix.session import MatrixSession
from signalling.matrix.source import Source, SourceParts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from signalling.config import AppserviceConfig, MatrixConfig, Secrets
    from signalling.matrix.registration import Registration
    from signalling.store import Store

T = TypeVar("T")

PATIENCE_S = 20.0


class _Done(Exception):  # noqa: N818  # no error
    """Ends the task group of a shell from inside."""


@contextlib.asynccontextmanager
async def matrix_shell(config: MatrixConfig, secrets: Secrets, store: Store) -> AsyncIterator[MatrixShell]:
    """A shell of member mode that is logged in and syncs."""
    session = MatrixSession(config, OrdinaryAccount(config, secrets, store))
    async with _running(session, store, lambda _, given: MemberSource(config, given)) as shell:
        yield shell


@contextlib.asynccontextmanager
async def appservice_shell(
    config: MatrixConfig, listening: AppserviceConfig, registration: Registration, store: Store
) -> AsyncIterator[MatrixShell]:
    """A shell of appservice mode that listens and syncs."""
    session = MatrixSession(config, AppserviceAccount(config, registration))

    def make_source(shell: MatrixShell, given: SourceParts) -> AppserviceSource:
        return AppserviceSource(
            config,
            listening,
            registration,
            given,
            knows_call=lambda conf_id, _: conf_id in shell.known_calls,
            clock=monotonic_clock,
            wall_clock=lambda: shell.wall,
        )

    async with _running(session, store, make_source) as shell:
        yield shell


@contextlib.asynccontextmanager
async def _running(
    session: MatrixSession, store: Store, make_source: Callable[[MatrixShell, SourceParts], Source]
) -> AsyncIterator[MatrixShell]:
    try:
        await session.open()
        async with asyncio.TaskGroup() as tasks:
            shell = MatrixShell(session, store, tasks, make_source)
            tasks.create_task(shell.run())
            yield shell
            raise _Done
    except* _Done:
        pass
    finally:
        await session.close()


class MatrixShell:
    """All parts, with a list where the focus would be."""

    def __init__(
        self,
        session: MatrixSession,
        store: Store,
        tasks: asyncio.TaskGroup,
        make_source: Callable[[MatrixShell, SourceParts], Source],
    ) -> None:
        self.session = session
        self.metrics = Metrics()
        self.received: list[Any] = []
        self.fails_on: Callable[[Any], bool] = lambda _: False
        """Inputs that the one who takes them stumbles over."""
        self.machine = OlmMachine(store, session.user_id, session.device_id)
        self.encryption = Encryption(session, self.machine)
        self.outbox = Outbox(session, self.encryption, self.metrics, tasks)
        refusals = Refusals(self.metrics, monotonic_clock)
        given = SourceParts(session, store, self.encryption, self._take, refusals, self.metrics, tasks)
        self.known_calls: set[str] = set()
        """Calls whose rooms need not be looked for, as the focus would say."""
        self.wall = wall_clock()
        """The time of day."""
        self.source = make_source(self, given)
        self._news = asyncio.Condition()

    async def run(self) -> None:
        """Sync until cancelled."""
        await self.encryption.publish()
        await self.source.run()

    def of(self, kind: type[T]) -> list[T]:
        """What was handed on of one kind, in order."""
        return [given for given in self.received if isinstance(given, kind)]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something is so after an input."""
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(condition)

    def counted(self, event_type: str, outcome: str, direction: str = "received") -> int:
        """How many messages were counted so."""
        labels = {"direction": direction, "type": event_type, "outcome": outcome}
        value = self.metrics.registry.get_sample_value("focus_signalling_messages_total", labels)
        return int(value or 0)

    async def _take(self, given: Any) -> None:  # noqa: ANN401  # any input of the focus
        if self.fails_on(given):
            raise RuntimeError("as the test wants")
        async with self._news:
            self.received.append(given)
            self._news.notify_all()
