"""pion, as the plain forwarder of `sources/pion/main.go`."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from loadtest.peers.cache import built
from loadtest.peers.process import PeerProcess, peer_process
from loadtest.peers.sfu import PeerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadtest.peers.seats import Seats


class Pion:
    """The forwarder on this machine."""

    name = "pion"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[PionServing]:
        """Start it, and end it.

        Raises:
            PeerMissingError: it is not built.
            PeerError: it does not start.
        """
        program = built("pion", "forwarder")
        with tempfile.TemporaryDirectory(prefix="peer-pion-") as folder:
            async with (
                peer_process(self.name, [program], Path(folder)) as process,
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http,
            ):
                yield PionServing(process, http, await process.line())


class PionServing:
    """The forwarder with nobody in it.

    Args:
        process: it.
        http: to ask with.
        base_url: where it answers.
    """

    def __init__(self, process: PeerProcess, http: aiohttp.ClientSession, base_url: str) -> None:
        self._process = process
        self._http = http
        self._base_url = base_url

    @property
    def pid(self) -> int:
        """The process whose run time counts."""
        return self._process.pid

    async def join(self, seats: Seats) -> None:
        """Let everybody in.

        Raises:
            PeerError: it refused somebody.
        """
        publisher = seats.publisher()
        publisher.accept_answer(await self._ask("publish", publisher.offer))
        for receiver in seats.receiving():
            receiver.accept_answer(await self._ask("subscribe", receiver.offer))

    async def _ask(self, what: str, offer: str) -> str:
        try:
            async with self._http.post(f"{self._base_url}/{what}", data=offer.encode()) as answer:
                text = await answer.text()
                if answer.status != 200:
                    raise PeerError(f"pion: {what}: {answer.status} {text.strip()}")
                return text
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._process.trouble(f"{what}: {error}") from error
