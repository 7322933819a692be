"""The runtime over the reference plane: clients of aiortc join a real `Conference` over UDP on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import json
from typing import TYPE_CHECKING, Any, ParamSpec

import pytest
import uvloop
from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import AudioStreamTrack

from sfu.conference.conference import LocalMedia
from sfu.config import MediaConfig, SfuConfig
from sfu.dataplane.reference import ReferencePlane
from sfu.metrics import Metrics
from sfu.runtime.addresses import candidates_of
from sfu.runtime.runtime import Runtime
from sfu.transport.certificate import Certificate
from sfu.transport.leg_transport import LegTransport
from tests.support.eventually import eventually
from tests.support.small_call import Answered, EndAll, Join, Left, SmallCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from aiortc.mediastreams import MediaStreamTrack

pytestmark = pytest.mark.integration

P = ParamSpec("P")
LIMIT_S = 30.0
"""Whatever is waited for happens within this, or never."""


def on_uvloop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test on the loop that the focus itself runs on."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(asyncio.wait_for(test(*args, **kwargs), 3 * LIMIT_S))

    return run


class Server:
    """A runtime on loopback, with a call."""

    def __init__(self) -> None:
        config = SfuConfig(media=MediaConfig(host="127.0.0.1", port=0))
        certificate = Certificate.generate()
        self.metrics = Metrics()
        self.plane = ReferencePlane(config.media)
        self.call = SmallCall(
            LocalMedia(certificate.fingerprint, candidates_of(config.media, self.plane.port))
        )
        self.runtime = Runtime(self.call, self.plane, certificate, config, self.metrics, self._perform)
        self.left: list[Left] = []
        self._answers: dict[str, asyncio.Future[str]] = {}
        self._changed = asyncio.Event()

    def _perform(self, output: Any) -> None:  # noqa: ANN401  # of the small call's dialect, or of the conference
        match output:
            case Answered(name, sdp):
                self._answers.pop(name).set_result(sdp)
            case Left():
                self.left.append(output)
                self._changed.set()
            case _:
                return

    async def invite(self, name: str, sdp: str) -> str:
        """Join with an offer; return the answer."""
        self._answers[name] = asyncio.get_running_loop().create_future()
        answer = self._answers[name]
        assert self.runtime.submit(Join(name, sdp))
        return await asyncio.wait_for(answer, LIMIT_S)

    async def somebody_leaves(self, count: int = 1) -> None:
        """Wait until so many have left."""
        async with asyncio.timeout(LIMIT_S):
            while len(self.left) < count:
                self._changed.clear()
                await self._changed.wait()

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    server = Server()
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(server.runtime.run())
            yield server
            task.cancel()
    finally:
        server.plane.close()


class Client:
    """A participant made of aiortc's `RTCPeerConnection`."""

    def __init__(
        self,
        name: str,
        *tracks: MediaStreamTrack,
        bundling: RTCBundlePolicy = RTCBundlePolicy.BALANCED,
    ) -> None:
        self.name = name
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=bundling))
        for track in tracks:
            self.peer.addTrack(track)
        self.channel: RTCDataChannel = self.peer.createDataChannel("datachannel")
        self.texts: asyncio.Queue[str] = asyncio.Queue()
        self.tracks: asyncio.Queue[MediaStreamTrack] = asyncio.Queue()
        self.channel_closed = asyncio.Event()
        self.channel.on("message", self.texts.put_nowait)
        self.channel.on("close", self.channel_closed.set)
        self.peer.on("track", self.tracks.put_nowait)

    async def join(self, server: Server) -> list[list[str]]:
        """Call, connect and open the channel; return the first view."""
        await self.peer.setLocalDescription(await self.peer.createOffer())
        answer = await server.invite(self.name, self.peer.localDescription.sdp)
        await self.peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        view: list[list[str]] = await self.hears("view")
        return view

    async def hears(self, kind: str) -> Any:  # noqa: ANN401  # JSON
        """The next message of a kind; others are left out."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                message = json.loads(await self.texts.get())
                if kind in message:
                    return message[kind]

    def say(self, **message: object) -> None:
        self.channel.send(json.dumps(message))

    async def subscribe(self, tracks: list[list[str]]) -> MediaStreamTrack:
        """Ask for tracks, agree to the offer; return the first that arrives."""
        self.say(subscribe=tracks)
        offer = await self.hears("offer")
        await self.peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await self.peer.setLocalDescription(await self.peer.createAnswer())
        self.say(answer=self.peer.localDescription.sdp)
        return await asyncio.wait_for(self.tracks.get(), LIMIT_S)

    async def leave(self) -> None:
        await self.peer.close()


@on_uvloop
async def test_a_client_connects_opens_its_channel_gets_data_and_leaves() -> None:
    async with serving() as server:
        client = Client("alice")
        assert await client.join(server) == []
        client.channel.send("echo")
        assert await asyncio.wait_for(client.texts.get(), LIMIT_S) == "echo"
        assert server.counted("focus_legs") == 1
        await client.leave()
        await server.somebody_leaves()
        assert server.left[0] in {Left("alice", "dtls_closed"), Left("alice", "sctp_aborted")}
        assert server.counted("focus_legs") == 0
        assert server.call.events[:4] == ["Join", "PairSelected", "LegConnected", "DataChannelOpened"]
        assert server.counted("focus_joins_total", step="dtls", outcome="ok") == 1
        assert server.counted("focus_tick_seconds_count") > 0


@on_uvloop
async def test_one_client_hears_another_by_what_the_tick_decides() -> None:
    async with serving() as server:
        # This one reads our address in the last section of the bundle, not in the first.
        alice = Client("alice", AudioStreamTrack(), bundling=RTCBundlePolicy.MAX_BUNDLE)
        bob = Client("bob")
        await alice.join(server)
        view = await bob.join(server)
        while not view:
            view = await bob.hears("view")
        track = await bob.subscribe(view)
        for _ in range(20):
            frame = await asyncio.wait_for(track.recv(), LIMIT_S)
            assert frame.pts is not None
        assert server.call.decisions["chosen_encoding"].tolist() == [0]
        await eventually(lambda: server.counted("focus_rtp_packets_total", direction="forwarded") > 0)
        await alice.leave()
        await server.somebody_leaves()
        assert await bob.hears("view") == []
        await bob.leave()
        await server.somebody_leaves(2)


@on_uvloop
async def test_everybody_is_told_when_the_server_ends() -> None:
    async with serving() as server:
        alice, bob = Client("alice"), Client("bob")
        await alice.join(server)
        await bob.join(server)
    async with asyncio.timeout(LIMIT_S):
        await alice.channel_closed.wait()
        await bob.channel_closed.wait()
    await alice.leave()
    await bob.leave()


@on_uvloop
async def test_a_client_whose_leg_the_engine_closes_is_told() -> None:
    async with serving() as server:
        alice = Client("alice")
        await alice.join(server)
        server.runtime.submit(EndAll())
        await asyncio.wait_for(alice.channel_closed.wait(), LIMIT_S)
        assert server.left == [Left("alice", "asked")]
        await alice.leave()


def leg_transports() -> int:
    """How many of them are alive in this process."""
    gc.collect()
    return sum(isinstance(thing, LegTransport) for thing in gc.get_objects())


@on_uvloop
async def test_many_join_at_once_and_leave_and_nothing_is_left_of_them() -> None:
    before = leg_transports()
    async with serving() as server:
        clients = [Client(f"user{number}") for number in range(20)]
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(client.join(server))
        assert server.counted("focus_legs") == 20
        for client in clients:
            await client.leave()
        await server.somebody_leaves(20)
        assert server.counted("focus_legs") == 0
        assert len(server.plane.stats().transports) == 0
        clients.clear()
        await eventually(lambda: leg_transports() <= before)
