"""mediasoup 3.8.4, the newest that builds from package registries alone, with a small program around it."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from loadtest.client import sdp
from loadtest.peers import mediasoup_sdp
from loadtest.peers.cache import built
from loadtest.peers.process import PeerProcess, peer_process
from loadtest.peers.sfu import PeerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadtest.peers.mediasoup_sdp import Json
    from loadtest.peers.seats import Seats

SCRIPT: Final = Path(__file__).with_suffix(".js")
PUBLISHER: Final = "publisher"


class Mediasoup:
    """mediasoup on this machine.

    Args:
        is_lean: without what congestion control needs (transport-wide feedback, send times), so that it
            estimates and probes nothing. Browsers negotiate it.
    """

    def __init__(self, *, is_lean: bool = False) -> None:
        self.name = "mediasoup_lean" if is_lean else "mediasoup"
        self._is_lean = is_lean

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[MediasoupServing]:
        """Start it, and end it.

        Raises:
            PeerMissingError: it is not built.
            PeerError: it does not start.
        """
        modules = built("mediasoup", "node_modules")
        with tempfile.TemporaryDirectory(prefix="peer-mediasoup-") as folder:
            environment = {"NODE_PATH": str(modules)}
            # `env` finds node, or says that there is none.
            command: list[str | Path] = ["env", "node", SCRIPT]
            async with peer_process(self.name, command, Path(folder), environment) as process:
                yield MediasoupServing(process, is_lean=self._is_lean)


class MediasoupServing:
    """mediasoup with nobody in it.

    Args:
        process: the program, whose child the worker is.
        is_lean: without congestion control.
    """

    def __init__(self, process: PeerProcess, *, is_lean: bool) -> None:
        self._process = process
        self._is_lean = is_lean

    @property
    def pid(self) -> int:
        """The process whose run time counts."""
        return self._process.pid

    async def join(self, seats: Seats) -> None:
        """Let everybody in.

        Raises:
            PeerError: it refused somebody.
            SdpError: the swarm wrote something else than we expect.
        """
        publisher = seats.publisher()
        offer = sdp.parse(publisher.offer)
        produced = mediasoup_sdp.produced(offer, is_lean=self._is_lean)
        await self._ask("start", payloadType=produced["payloadType"], isLean=self._is_lean)
        opened = await self._ask("open", id=PUBLISHER)
        publisher.accept_answer(mediasoup_sdp.answer(offer, opened, is_lean=self._is_lean))
        await self._ask("connect", id=PUBLISHER, **mediasoup_sdp.connected(offer))
        await self._ask("produce", id=PUBLISHER, **produced)
        for number, receiver in enumerate(seats.receiving()):
            name = str(number)
            opened = await self._ask("open", id=name)
            consumed = (await self._ask("consume", id=name))["parameters"]
            answer = sdp.parse(receiver.accept_offer(mediasoup_sdp.offer(opened, consumed)))
            await self._ask("connect", id=name, **mediasoup_sdp.connected(answer))

    async def _ask(self, operation: str, **parameters: Any) -> Json:  # noqa: ANN401  # JSON
        await self._process.say(json.dumps({"operation": operation, **parameters}))
        answer: Json = json.loads(await self._process.line())
        if "error" in answer:
            raise PeerError(f"mediasoup: {operation}: {answer['error']}")
        return answer
