"""Processes of the servers that we are compared with: they end with us, and their words are kept."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Final

from loadtest.lifeline import bound
from loadtest.peers.sfu import PeerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

STOP_TIMEOUT_S: Final = 5.0
START_TIMEOUT_S: Final = 20.0
_TAIL_LINES: Final = 15


class PeerProcess:
    """One process that runs.

    Args:
        name: of the server, for errors.
        process: it.
        log: gets what it writes to standard error.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    async def say(self, line: str) -> None:
        """Write a line to its standard input."""
        if self._process.stdin is not None:
            self._process.stdin.write(line.encode() + b"\n")
            await self._process.stdin.drain()

    async def line(self) -> str:
        """The next line of its standard output.

        Raises:
            PeerError: it ended, or wrote none.
        """
        if self._process.stdout is None:
            raise PeerError(f"{self.name}: nothing is read of it")
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                line = await self._process.stdout.readline()
        except TimeoutError as error:
            raise self.trouble(f"silent for {START_TIMEOUT_S:g} s") from error
        if not line:
            raise self.trouble("ended")
        return line.decode().rstrip("\n")

    @property
    def has_ended(self) -> bool:
        """Whether it is gone."""
        return self._process.returncode is not None

    def trouble(self, what: str) -> PeerError:
        """An error about this process, with the end of its log."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        return PeerError("\n".join([f"{self.name}: {what}", *lines[-_TAIL_LINES:]]))


@contextlib.asynccontextmanager
async def peer_process(
    name: str,
    command: Sequence[str | Path],
    folder: Path,
    environment: Mapping[str, str] | None = None,
    *,
    talks: bool = True,
) -> AsyncIterator[PeerProcess]:
    """A process, until the context is left.

    Args:
        name: of the server, for errors.
        command: what is run.
        folder: is where it works and leaves things, and gets its log: what it writes to standard error.
        environment: more of it than our own.
        talks: by standard input and output; otherwise the log gets that too.
    """
    pipe, log = asyncio.subprocess.PIPE, folder / "log"
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *bound(command),
            stdin=pipe if talks else asyncio.subprocess.DEVNULL,
            stdout=pipe if talks else output,
            stderr=output,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    try:
        yield PeerProcess(name, process, log)
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.communicate()  # reads on, or it could not end
    except TimeoutError:
        process.kill()
        await process.communicate()
