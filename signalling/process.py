"""The process around a service: event loop, signals, and what its end is called."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import structlog
import uvloop

from sfu.errors import ConfigError
from signalling.logs import set_up_logs
from signalling.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable

    from signalling.config import Config, Secrets

_log = structlog.get_logger()


def serve(config: Config, secrets: Secrets, announce: Callable[[str], None]) -> str | None:
    """Serve until SIGTERM or SIGINT.

    Args:
        config: all of it.
        secrets: of the account.
        announce: takes the .well-known fragment by which clients find this focus.

    Returns:
        What ended it, in one line; None: it was asked to, and had the time it needed.

    Raises:
        ConfigError: the operator must change something.
    """
    set_up_logs(config.log)
    wrong: BaseException | None = None
    trouble: str | None = None
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_signal(Service(config, secrets, announce)))
    except* ConfigError as group:
        wrong = _first(group)
    except* asyncio.CancelledError:
        trouble = "ended by a second signal, without telling anybody"
    except* Exception as group:  # noqa: BLE001  # the last supervisor
        _log.error("focus_crashed", exc_info=group)
        trouble = f"crashed: {type(_first(group)).__name__}: {_first(group)}"
    if wrong is not None:
        raise wrong
    return trouble


async def _until_signal(service: Service) -> None:
    stop = asyncio.Event()
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def on_signal() -> None:
        # The second one means it: no more goodbyes.
        if stop.is_set() and task is not None:
            task.cancel()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    await service.run(stop)


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    """The first error in a group, however deep."""
    first: BaseException = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
