"""A focus as an operator starts it: console script, configuration file, password in the environment."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from loadtest.lifeline import bound

if TYPE_CHECKING:
    from collections.abc import Mapping

START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 10.0
_READY_POLL_S: Final = 0.05
_REQUEST_TIMEOUT_S: Final = 5.0
_LOG_TAIL_LINES: Final = 30


class FocusProcessError(Exception):
    """The focus could not be started, or ended by itself; the text holds the end of its log."""


@dataclass(frozen=True, slots=True)
class FocusSettings:
    """What a focus must be told; everything else keeps its default."""

    homeserver_url: str
    user_id: str
    password: str = field(repr=False)
    device_id: str = "FOCUS"
    log_level: str = "info"
    more: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Further settings by table and key; an empty table name is the file's top."""


class FocusProcess:
    """One `focus serve` on loopback, with its configuration, data and log in a folder of its own.

    It does not outlive the thread that starts it.

    Args:
        folder: exists; is left behind for `start` to go on with what the focus remembers.
        settings: what is different from the defaults.
        program: the console script; by default the one beside our own interpreter.
    """

    def __init__(self, folder: Path, settings: FocusSettings, program: Path | None = None) -> None:
        self.folder = folder
        self.settings = settings
        self.media_port = _free_port(socket.SOCK_DGRAM, socket.SOCK_STREAM)
        self.admin_port = _free_port(socket.SOCK_STREAM)
        self.admin_url = f"http://127.0.0.1:{self.admin_port}"
        self.web_port = _free_port(socket.SOCK_STREAM)
        self.page_url = f"http://127.0.0.1:{self.web_port}/"
        self._program = program if program is not None else Path(sys.executable).parent / "focus"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process; None while there is none."""
        return None if self._process is None else self._process.pid

    @property
    def status(self) -> int | None:
        """How the process ended; None while it runs or was never started."""
        return None if self._process is None else self._process.returncode

    @property
    def log(self) -> Path:
        """Everything that the focus writes to standard output and error."""
        return self.folder / "focus.log"

    async def start(self) -> None:
        """Start the process; `wait_ready` says when it serves.

        Raises:
            FocusProcessError: there is no such program.
        """
        if not os.access(self._program, os.X_OK):
            raise FocusProcessError(f"{self._program} cannot be started: there is no such program")
        config = self.folder / "focus.toml"
        config.write_text(_toml(self._tables()), encoding="utf-8")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FOCUS_")}
        with self.log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *bound((self._program, "serve", "-c", config)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=inherited | {"FOCUS_PASSWORD": self.settings.password},
                # A Ctrl-C on the terminal is ours: the participants leave before the focus ends.
                start_new_session=True,
            )

    async def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until the focus says that it is ready.

        Raises:
            FocusProcessError: it ended, or was not ready in time.
        """
        said = "nothing"
        try:
            async with asyncio.timeout(timeout_s), _http() as http:
                while True:
                    if self._process is None or self._process.returncode is not None:
                        raise FocusProcessError(
                            f"the focus ended with status {self.status}\n{self.log_tail()}"
                        )
                    try:
                        async with http.get(f"{self.admin_url}/health/ready") as answer:
                            if answer.status == 200:
                                return
                            said = f"{answer.status} {await answer.text()}"
                    except (aiohttp.ClientError, TimeoutError) as error:
                        said = str(error) or type(error).__name__
                    await asyncio.sleep(_READY_POLL_S)
        except TimeoutError as error:
            text = f"the focus was not ready within {timeout_s:g} s: {said}\n{self.log_tail()}"
            raise FocusProcessError(text) from error

    async def ask_status(self) -> dict[str, Any]:
        """What `focus status` shows; empty where the focus does not answer."""
        return await self._ask("status")

    async def ask_calls(self) -> list[dict[str, Any]]:
        """What `focus calls` shows; empty where the focus does not answer."""
        calls = (await self._ask("calls")).get("calls")
        return calls if isinstance(calls, list) else []

    async def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End the process politely, and otherwise after a while; harmless when there is none."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(timeout_s):
                await process.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """End the process at once, as a power cut does."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def log_tail(self) -> str:
        """The end of the log."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-_LOG_TAIL_LINES:])

    async def _ask(self, what: str) -> dict[str, Any]:
        try:
            async with _http() as http, http.get(f"{self.admin_url}/_focus/admin/v1/{what}") as answer:
                said = await answer.json()
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return {}
        return said if isinstance(said, dict) else {}

    def _tables(self) -> dict[str, dict[str, Any]]:
        settings = self.settings
        tables: dict[str, dict[str, Any]] = {
            "": {"data_dir": str(self.folder / "data")},
            "matrix": {
                "homeserver_url": settings.homeserver_url,
                "user_id": settings.user_id,
                "device_id": settings.device_id,
            },
            "media": {"host": "127.0.0.1", "port": self.media_port},
            "admin": {"host": "127.0.0.1", "port": self.admin_port},
            "web": {"host": "127.0.0.1", "port": self.web_port},
            "log": {"level": settings.log_level},
        }
        for name, keys in settings.more.items():
            tables[name] = tables.get(name, {}) | dict(keys)
        return tables


def _toml(tables: Mapping[str, Mapping[str, Any]]) -> str:
    lines = []
    for name, keys in tables.items():
        lines += [f"[{name}]"] if name else []
        lines += [f"{key} = {_toml_value(value)}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"


def _toml_value(value: object) -> str:
    match value:
        case dict():
            return f"{{{', '.join(f'{key} = {_toml_value(one)}' for key, one in value.items())}}}"
        case list():
            return f"[{', '.join(_toml_value(one) for one in value)}]"
        case _:
            # Strings, numbers and booleans look the same in JSON and in TOML.
            return json.dumps(value, ensure_ascii=False)


def _http() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_REQUEST_TIMEOUT_S))


def _free_port(kind: socket.SocketKind, *more: socket.SocketKind) -> int:
    """A port that nobody has, of several kinds where several are named."""
    while True:
        with contextlib.ExitStack() as stack:
            probe = stack.enter_context(socket.socket(type=kind))
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
            try:
                for another in more:
                    stack.enter_context(socket.socket(type=another)).bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
