"""Debian's Firefox as it is, driven over WebDriver BiDi: no geckodriver, no patched browser."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import tempfile
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from loadtest.lifeline import bound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

START_TIMEOUT_S: Final = 60.0
POLL_INTERVAL_S: Final = 0.05
ANSWER_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 10.0
_PREFERENCES: Final = {
    "remote.active-protocols": 1,
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.peerconnection.ice.loopback": True,
    # Addresses of the test's own network, and no names that have to be looked up.
    "media.peerconnection.ice.default_address_only": False,
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "media.autoplay.default": 0,
    # Nothing leaves this machine.
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.safebrowsing.downloads.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "media.gmp-provider.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "toolkit.telemetry.enabled": False,
}


class FirefoxPage:
    """One tab; several scripts may run in it at once."""

    def __init__(self, connection: _Connection, context: str) -> None:
        self._connection = connection
        self._context = context

    async def close(self) -> None:
        """Close the tab, as its user would: the page is told that it is going."""
        await self._connection.call("browsingContext.close", {"context": self._context})

    async def evaluate(self, expression: str) -> Any:  # noqa: ANN401  # JSON
        """The value of a JavaScript expression, promises awaited.

        Raises:
            RuntimeError: what the expression threw.
        """
        told = await self._connection.call(
            "script.evaluate",
            {
                "expression": f"(async () => JSON.stringify((await ({expression})) ?? null))()",
                "target": {"context": self._context},
                "awaitPromise": True,
                "userActivation": True,
            },
        )
        if told["type"] == "exception":
            raise RuntimeError(told["exceptionDetails"]["text"])
        return json.loads(told["result"]["value"])


class Firefox:
    """A running browser."""

    def __init__(self, connection: _Connection, version: str) -> None:
        self._connection = connection
        self.version = version

    async def open(self, url: str) -> FirefoxPage:
        """A new tab, loaded."""
        context = (await self._connection.call("browsingContext.create", {"type": "tab"}))["context"]
        await self._connection.call(
            "browsingContext.navigate", {"context": context, "url": url, "wait": "complete"}
        )
        return FirefoxPage(self._connection, context)


@asynccontextmanager
async def firefox(path: str = "/usr/bin/firefox-esr") -> AsyncIterator[Firefox]:
    """Start it with a profile of its own; it is gone at the end, profile and all."""
    with _profile() as profile:
        # To a file, since its chatter would fill a pipe that nobody reads.
        with (profile / "stderr").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *bound(
                    (path, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port=0")
                ),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, "HOME": str(profile), "MOZ_HEADLESS": "1"},
            )
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while (url := _debugging_url(profile / "stderr")) is None:  # noqa: ASYNC110  # it is a file
                    await asyncio.sleep(POLL_INTERVAL_S)
            async with (
                aiohttp.ClientSession() as http,
                http.ws_connect(f"{url}/session", max_msg_size=0) as socket,
            ):
                connection = _Connection(socket)
                told = await connection.call("session.new", {"capabilities": {}})
                yield Firefox(connection, told["capabilities"]["browserVersion"])
                await connection.call("browser.close", {})
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


class _Connection:
    """Commands in, results out, each to whoever asked. Of those who wait, one reads for all."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = count(1)
        self._reading = asyncio.Lock()
        self._answers: dict[int, dict[str, Any]] = {}

    async def call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            while number not in self._answers:
                async with self._reading:
                    if number not in self._answers:
                        told = await self._socket.receive_json()
                        self._answers[told.get("id")] = told
        told = self._answers.pop(number)
        if told["type"] == "error":
            raise RuntimeError(f"{method}: {told['message']}")
        result: dict[str, Any] = told["result"]
        return result


@contextmanager
def _profile() -> Iterator[Path]:
    profile = Path(tempfile.mkdtemp(prefix="firefox-"))
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in _PREFERENCES.items()]
    (profile / "user.js").write_text("\n".join(lines), encoding="utf-8")
    try:
        yield profile
    finally:
        shutil.rmtree(profile, ignore_errors=True)


def _debugging_url(log: Path) -> str | None:
    found = re.search(rb"WebDriver BiDi listening on (ws://\S+)\s", log.read_bytes())
    return None if found is None else found[1].decode()
