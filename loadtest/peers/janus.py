"""Janus, as Debian ships it: one publisher and subscribers in a room of its video room plugin.

Whatever no configuration here says is Janus's own default; what it says has to do with where things are and
who may talk, not with how packets are forwarded.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp

from loadtest.homeserver.server import free_port
from loadtest.peers.cache import built
from loadtest.peers.janus_session import JanusSession, description
from loadtest.peers.process import START_TIMEOUT_S, PeerProcess, peer_process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadtest.peers.seats import Seats

ROOM: Final = 1
_CONNECT_POLL_S: Final = 0.05


class Janus:
    """Janus on this machine.

    Args:
        event_loops: how many threads all handles share; None: Janus's default, a thread for each handle.
    """

    def __init__(self, event_loops: int | None = None) -> None:
        self.name = "janus_default" if event_loops is None else "janus"
        self._event_loops = event_loops

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[JanusServing]:
        """Start it, and end it.

        Raises:
            PeerMissingError: it is not built.
            PeerError: it does not start.
        """
        root = built("janus")
        libraries = next((root / "usr" / "lib").glob("*-linux-gnu"))
        port = free_port()
        with tempfile.TemporaryDirectory(prefix="peer-janus-") as text:
            folder = Path(text)
            for name, content in self._settings(libraries, port).items():
                (folder / name).write_text(content, encoding="utf-8")
            environment = {
                "LD_LIBRARY_PATH": str(libraries),
                "LD_PRELOAD": str(built("janus", "show_loopback.so")),
            }
            program = built("janus", "usr", "bin", "janus")
            command: list[str | Path] = [program, f"--configs-folder={folder}"]
            async with (
                peer_process(self.name, command, folder, environment, talks=False) as process,
                aiohttp.ClientSession() as http,
                await _socket(process, http, port) as socket,
            ):
                session = JanusSession(socket)
                await session.open()
                yield JanusServing(process, session)

    def _settings(self, libraries: Path, port: int) -> dict[str, str]:
        plugins = libraries / "janus"
        loops = "" if self._event_loops is None else f"event_loops = {self._event_loops}"
        return {
            "janus.jcfg": f"""
general: {{
    plugins_folder = "{plugins}/plugins"
    transports_folder = "{plugins}/transports"
    events_folder = "{plugins}/events"
    loggers_folder = "{plugins}/loggers"
    session_timeout = 0
    {loops}
}}
nat: {{ ice_enforce_list = "127.0.0.1" }}
plugins: {{ disable = "{_others(plugins / "plugins", "videoroom")}" }}
transports: {{ disable = "{_others(plugins / "transports", "websockets")}" }}
""",
            "janus.transport.websockets.jcfg": f"""
general: {{
    ws = true
    ws_ip = "127.0.0.1"
    ws_port = {port}
}}
""",
        }


class JanusServing:
    """Janus with an empty room.

    Args:
        process: it.
        session: to talk to it.
    """

    def __init__(self, process: PeerProcess, session: JanusSession) -> None:
        self._process = process
        self._session = session

    @property
    def pid(self) -> int:
        """The process whose run time counts."""
        return self._process.pid

    async def join(self, seats: Seats) -> None:
        """Let everybody in.

        Raises:
            PeerError: it refused somebody.
        """
        session = self._session
        handle = await session.attach()
        await session.tell(handle, {"request": "create", "room": ROOM, "publishers": 1, "bitrate": 0})
        publisher = seats.publisher()
        joined = await session.tell(
            handle,
            {"request": "joinandconfigure", "ptype": "publisher", "room": ROOM},
            {"type": "offer", "sdp": publisher.offer},
        )
        publisher.accept_answer(description(joined))
        # Until then there is nothing to subscribe to.
        await session.connected(handle)
        feed = joined["plugindata"]["data"]["id"]
        for receiver in seats.receiving():
            handle = await session.attach()
            offered = await session.tell(
                handle,
                {"request": "join", "ptype": "subscriber", "room": ROOM, "streams": [{"feed": feed}]},
            )
            answer = receiver.accept_offer(description(offered))
            await session.tell(handle, {"request": "start"}, {"type": "answer", "sdp": answer})


async def _socket(
    process: PeerProcess, http: aiohttp.ClientSession, port: int
) -> aiohttp.ClientWebSocketResponse:
    url = f"ws://127.0.0.1:{port}/"
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while True:
                if process.has_ended:
                    raise process.trouble("ended")
                with contextlib.suppress(aiohttp.ClientError):
                    return await http.ws_connect(url, protocols=("janus-protocol",), max_msg_size=0)
                await asyncio.sleep(_CONNECT_POLL_S)
    except TimeoutError as error:
        raise process.trouble(f"does not answer at {url}") from error


def _others(folder: Path, name: str) -> str:
    """All of a folder's modules but one, as Janus takes a list."""
    return ",".join(sorted(path.name for path in folder.glob("*.so") if name not in path.name))
