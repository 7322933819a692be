"""Another network, at the far end of a line of this machine's kernel: a veth pair with a `tbf` on either end.

For programs that run in a network of their own already (`tests.support.namespace.inside`): there we are root.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import enum
import os
import shlex
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadtest.lifeline import bound
from tests.support.namespace import environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

NEAR, FAR = "10.98.0.1", "10.98.0.2"
"""Our address on the line, and the other network's."""
LOOPBACK: Final = "127.0.0.1"
MAX_FRAME_BYTES: Final = 1_514
"""The kernel drops what is larger than a bucket."""
START_PATIENCE_S: Final = 10.0
_POLL_S: Final = 0.02
_CLONE_NEWNET: Final = 0x4000_0000
_CHUNK_BYTES: Final = 65_536


class Direction(enum.Enum):
    """The way a line is limited in; the value is the device whose queue it is."""

    THERE = "near"
    BACK = "far"


class OtherNetwork:
    """A network at the other end of a line.

    Args:
        keeper: a process in it, without which it is gone.
    """

    def __init__(self, keeper: int) -> None:
        self._keeper = keeper

    @property
    def inside(self) -> tuple[str, ...]:
        """What makes a command run in it. The process is the command's."""
        return ("nsenter", "-t", str(self._keeper), "-n")

    def program(self, program: str, folder: Path) -> str:
        """A program's twin that runs in it; its file is put into an own folder."""
        file = folder / f"far-{Path(program).name}"
        words = shlex.join((*self.inside, program))
        file.write_text(f'#!/bin/sh\nPATH={environment()["PATH"]}\nexec {words} "$@"\n', encoding="utf-8")
        file.chmod(0o755)
        return str(file)

    def open_socket(self, kind: socket.SocketKind, address: tuple[str, int]) -> socket.socket:
        """A socket that is in it; ours to use."""
        with Path("/proc/self/ns/net").open() as ours, Path(f"/proc/{self._keeper}/ns/net").open() as theirs:
            _enter(theirs.fileno())
            try:
                end = socket.socket(socket.AF_INET, kind)
            finally:
                _enter(ours.fileno())
        end.setblocking(False)
        end.bind(address)
        return end

    def limit(
        self, direction: Direction, rate_bps: float, *, queue_bytes: int, burst_bytes: int = MAX_FRAME_BYTES
    ) -> None:
        """From now on it carries and queues so much in a direction, with Ethernet's headers."""
        self._queue(
            direction,
            *("replace", "root", "tbf", "rate", f"{round(rate_bps)}bit"),
            *("burst", str(burst_bytes), "limit", str(queue_bytes)),
        )

    def unlimit(self, direction: Direction) -> None:
        """From now on it carries what comes."""
        self._queue(direction, "replace", "root", "pfifo", "limit", "1000")

    @contextlib.asynccontextmanager
    async def reaches(self, *ports: int) -> AsyncIterator[None]:
        """TCP ports of our loopback are ports of its loopback, too; what goes there is not on the line."""
        async with contextlib.AsyncExitStack() as stack:
            for port in ports:
                door = _Door(port)
                listener = self.open_socket(socket.SOCK_STREAM, (LOOPBACK, port))
                server = await asyncio.start_server(door.pass_through, sock=listener)
                stack.push_async_callback(door.close, server)
            yield

    def _queue(self, direction: Direction, action: str, *words: str) -> None:
        device = direction.value
        command = ("tc", "qdisc", action, "dev", device, *words)
        _run(*(self.inside if direction is Direction.BACK else ()), *command)


@contextlib.contextmanager
def other_network() -> Iterator[OtherNetwork]:
    """A network at the other end of a line that carries what comes."""
    keep_open = bound(("unshare", "-n", "sleep", "infinity"))
    with subprocess.Popen(keep_open, env=_environment()) as keeper:  # noqa: S603  # our own words
        try:
            network = OtherNetwork(keeper.pid)
            _wait_for(keeper.pid)
            for command in (
                ("ip", "link", "add", "near", "type", "veth", "peer", "name", "far"),
                ("ip", "link", "set", "far", "netns", str(keeper.pid)),
                ("ip", "address", "add", f"{NEAR}/24", "dev", "near"),
                ("ip", "link", "set", "near", "up"),
                (*network.inside, "ip", "link", "set", "lo", "up"),
                (*network.inside, "ip", "address", "add", f"{FAR}/24", "dev", "far"),
                (*network.inside, "ip", "link", "set", "far", "up"),
                # Browsers look for the address that leads to the world.
                (*network.inside, "ip", "route", "add", "default", "via", NEAR),
            ):
                _run(*command)
            yield network
            _run("ip", "link", "delete", "near")
        finally:
            keeper.kill()


class _Door:
    """Passes on what comes to one port in the other network, and its answers."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: set[asyncio.StreamWriter] = set()

    async def pass_through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        self._open.add(writer)
        with contextlib.suppress(OSError):
            there, back = await asyncio.open_connection(LOOPBACK, self._port)
            self._open.add(back)
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, back))
                group.create_task(_pump(there, writer))
            self._open.discard(back)
        writer.close()
        self._open.discard(writer)

    async def close(self, server: asyncio.Server) -> None:
        """Nobody comes any more, and who is here leaves."""
        server.close()
        for writer in self._open:
            writer.close()
        await server.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    writer.close()


def _wait_for(keeper: int) -> None:
    """Until it has left our network: `unshare` has to be loaded first."""
    ours = Path("/proc/self/ns/net").readlink()
    deadline = time.monotonic() + START_PATIENCE_S
    while Path(f"/proc/{keeper}/ns/net").readlink() == ours:
        assert time.monotonic() < deadline, "no network of its own"
        time.sleep(_POLL_S)


def _enter(namespace: int) -> None:
    """What is opened from now on belongs to this network."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, env=_environment())  # noqa: S603  # our own words


def _environment() -> dict[str, str]:
    return {**os.environ, **environment()}
