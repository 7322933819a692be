"""Two runtimes over two planes, as two foci are: one dials the other over UDP on loopback."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sfu.conference.turn import (
    CloseLeg,
    DataChannelOpened,
    DataReceived,
    Dial,
    LegConnected,
    LegFailed,
    OpenChannel,
    SendData,
    StartDtls,
)
from sfu.config import MediaConfig, SfuConfig
from sfu.metrics import Metrics
from sfu.plane import AddTransport, ConsentLost, Credentials, EncodingSpec, PairSelected, SetCredentials
from sfu.rows import ALL_TEMPORAL, TARGET_DTYPE
from sfu.rtp.rtcp import Pli
from sfu.runtime.clocks import monotonic_clock
from sfu.runtime.runtime import Runtime
from sfu.transport.certificate import Certificate
from sfu.transport.dialling import UNREACHABLE_S
from sfu.units import NO_RID, NS_PER_S, Ssrc, TransportId
from tests.support.eventually import eventually
from tests.support.plane_media import (
    DOWN_EXTENSIONS,
    DOWN_VP8,
    RTX_SSRC,
    SINGLE,
    VIDEO,
    VIDEO_SSRC,
    VP8,
    VideoSource,
    camera,
    elements,
    video_route,
)
from tests.support.plane_socket import PLANES, SocketPeer
from tests.support.scripted_engine import ScriptedEngine
from tests.support.virtual_time import clock as virtual_clock
from tests.support.virtual_time import virtually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sfu.dataplane.wire import UdpAddress
    from sfu.plane import Plane
    from sfu.units import Instant

pytestmark = pytest.mark.integration

LEG = TransportId(1)
LABEL = "focus"
CONSENT_S = 2.0
"""As short as an operator may make it: a test waits for it."""


@dataclass(frozen=True)
class Do:
    """An input that makes an engine say these outputs."""

    outputs: tuple[Any, ...]


class Focus:
    """A runtime with one leg to another focus."""

    def __init__(
        self,
        name: str,
        open_plane: Callable[[MediaConfig], Plane],
        clock: Callable[[], Instant] = monotonic_clock,
        consent_timeout_s: float = 30.0,
    ) -> None:
        media = MediaConfig(host="127.0.0.1", port=0, consent_timeout_s=consent_timeout_s)
        self.certificate = Certificate.generate()
        self.plane = open_plane(media)
        self.metrics = Metrics()
        self.engine = ScriptedEngine()
        self.engine.answer = lambda given: given.outputs if isinstance(given, Do) else ()
        self.runtime = Runtime(
            self.engine,
            self.plane,
            self.certificate,
            SfuConfig(media=media),
            self.metrics,
            lambda output: None,
            clock=clock,
        )
        self._name = name

    def credentials(self, generation: int = 0) -> Credentials:
        return Credentials(f"{self._name}{generation:04}", f"password-of-{self._name}-{generation:04}")

    @property
    def address(self) -> UdpAddress:
        return "127.0.0.1", self.plane.port

    def do(self, *outputs: object) -> None:
        assert self.runtime.submit(Do(outputs))

    def dial(self, other: Focus, *addresses: UdpAddress) -> None:
        """Dial another focus, with a channel."""
        self.do(
            AddTransport(LEG, self.credentials(), own_port=True),
            StartDtls(LEG, (other.certificate.fingerprint,), is_client=True),
            OpenChannel(LEG, LABEL),
            Dial(LEG, self.credentials(), other.credentials(), addresses),
        )

    def expect(self, other: Focus) -> None:
        """Let another focus dial us."""
        self.do(
            AddTransport(LEG, self.credentials()),
            StartDtls(LEG, (other.certificate.fingerprint,)),
        )

    def told(self, kind: type) -> list[Any]:
        return [one for one in self.engine.told if isinstance(one, kind)]

    def texts(self) -> list[str]:
        return [one.text for one in self.told(DataReceived)]

    async def is_told(self, expected: object) -> None:
        await eventually(lambda: expected in self.engine.told)


@contextlib.asynccontextmanager
async def running(*foci: Focus) -> AsyncIterator[None]:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(focus.runtime.run()) for focus in foci]
            yield
            for task in tasks:
                task.cancel()
    finally:
        for focus in foci:
            focus.plane.close()


@contextlib.asynccontextmanager
async def two_foci(
    open_plane: Callable[[MediaConfig], Plane], consent_timeout_s: float = 30.0
) -> AsyncIterator[tuple[Focus, Focus]]:
    caller = Focus("caller", open_plane, consent_timeout_s=consent_timeout_s)
    callee = Focus("callee", open_plane, consent_timeout_s=consent_timeout_s)
    async with running(caller, callee):
        callee.expect(caller)
        await callee.runtime.idle()
        yield caller, callee


class Path(asyncio.DatagramProtocol):
    """A way to a focus that can be cut: what comes to its near side goes on from its far side, and back."""

    def __init__(self) -> None:
        self.is_cut = False
        self._near: asyncio.DatagramTransport | None = None
        self._far: asyncio.DatagramTransport | None = None
        self._from: Any = None

    @classmethod
    @contextlib.asynccontextmanager
    async def to(cls, address: UdpAddress) -> AsyncIterator[Path]:
        path, loop = cls(), asyncio.get_running_loop()
        path._near, _ = await loop.create_datagram_endpoint(lambda: path, local_addr=("127.0.0.1", 0))
        path._far, _ = await loop.create_datagram_endpoint(lambda: _FarSide(path), remote_addr=address)
        try:
            yield path
        finally:
            path._near.close()
            path._far.close()

    @property
    def address(self) -> UdpAddress:
        assert self._near is not None
        host, port = self._near.get_extra_info("sockname")
        return host, port

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ANN401  # as asyncio has it
        self._from = addr
        if not self.is_cut and self._far is not None:
            self._far.sendto(data)

    def returned(self, data: bytes) -> None:
        """Take what the focus sends back."""
        if not self.is_cut and self._near is not None:
            self._near.sendto(data, self._from)


class _FarSide(asyncio.DatagramProtocol):
    def __init__(self, path: Path) -> None:
        self._path = path

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ANN401  # as asyncio has it
        self._path.returned(data)


async def connected(caller: Focus, callee: Focus, *addresses: UdpAddress) -> None:
    """Dial, and wait until both have the channel."""
    caller.dial(callee, *addresses)
    opened = DataChannelOpened(LEG, 0, LABEL)
    await caller.is_told(opened)
    await callee.is_told(opened)


async def talk(caller: Focus, callee: Focus, number: int = 0) -> None:
    """Let a text pass in either direction."""
    caller.do(SendData(LEG, 0, f"question {number}"))
    await eventually(lambda: f"question {number}" in callee.texts())
    callee.do(SendData(LEG, 0, f"answer {number}"))
    await eventually(lambda: f"answer {number}" in caller.texts())


@pytest.fixture(params=PLANES)
def open_plane(request: pytest.FixtureRequest) -> Callable[[MediaConfig], Plane]:
    return PLANES[request.param]


async def test_one_focus_dials_another_and_they_talk(open_plane: Callable[[MediaConfig], Plane]) -> None:
    async with two_foci(open_plane) as (caller, callee):
        await connected(caller, callee, callee.address)
        await talk(caller, callee)
        for focus in (caller, callee):
            kinds = [type(one) for one in focus.engine.told if not isinstance(one, Do)]
            assert kinds[:3] == [PairSelected, LegConnected, DataChannelOpened]
            assert focus.metrics.registry.get_sample_value("focus_legs") == 1


async def test_a_picture_passes_from_a_client_of_one_focus_to_a_client_of_the_other(
    open_plane: Callable[[MediaConfig], Plane],
) -> None:
    async with two_foci(open_plane) as (caller, callee):
        await connected(caller, callee, callee.address)
        publisher = await SocketPeer.joined(caller.plane, 2)
        subscriber = await SocketPeer.joined(callee.plane, 3)
        caller.plane.apply([camera(publisher.transport, SINGLE), video_route(LEG)])
        encodings = (EncodingSpec(NO_RID, VIDEO_SSRC, RTX_SSRC),)
        trunk = camera(LEG, encodings, mid="7", formats=(DOWN_VP8,), extensions=DOWN_EXTENSIONS)
        callee.plane.apply([trunk, video_route(subscriber.transport, formats=(VP8,))])
        for focus in (caller, callee):
            focus.plane.set_targets(np.array([(VIDEO, 0, ALL_TEMPORAL)], TARGET_DTYPE))
        source = VideoSource(publisher, Ssrc(10), VP8.payload_type, elements("0"))
        sent = source.send_frame(key=True, parts=3) + source.send_frame()
        await subscriber.has_received(len(sent))
        assert [packet.payload[-40:] for packet in subscriber.rtp] == [
            packet.payload[-40:] for packet in sent
        ]
        publisher.rtcp.clear()
        subscriber.say(Pli(Ssrc(1), VIDEO_SSRC))
        await publisher.until(lambda: any(isinstance(one, Pli) for one in publisher.rtcp))
        publisher.close()
        subscriber.close()


async def test_either_is_told_when_the_other_hangs_up(open_plane: Callable[[MediaConfig], Plane]) -> None:
    async with two_foci(open_plane) as (caller, callee):
        await connected(caller, callee, callee.address)
        caller.do(CloseLeg(LEG))
        await eventually(lambda: callee.told(LegFailed))
        assert callee.told(LegFailed)[0].reason in {"sctp_aborted", "dtls_closed"}
        assert caller.told(LegFailed) == []


async def test_an_address_that_leads_nowhere_does_not_keep_us_from_the_next(
    open_plane: Callable[[MediaConfig], Plane],
) -> None:
    async with two_foci(open_plane) as (caller, callee), Path.to(callee.address) as nowhere:
        nowhere.is_cut = True
        await connected(caller, callee, ("::1", 9), nowhere.address, callee.address)
        await talk(caller, callee)


async def test_a_path_that_is_cut_ends_both_legs(open_plane: Callable[[MediaConfig], Plane]) -> None:
    async with (
        two_foci(open_plane, consent_timeout_s=CONSENT_S) as (caller, callee),
        Path.to(callee.address) as path,
    ):
        await connected(caller, callee, path.address)
        began_at = monotonic_clock()
        await eventually(lambda: monotonic_clock() - began_at > 1.5 * CONSENT_S * NS_PER_S)
        assert caller.told(LegFailed) == callee.told(ConsentLost) == [], (
            "consent is kept while there is a path"
        )
        path.is_cut = True
        await caller.is_told(LegFailed(LEG, "consent_lost"))
        await callee.is_told(ConsentLost(LEG))
        lost = caller.metrics.registry.get_sample_value(
            "focus_leg_failures_total", {"reason": "consent_lost"}
        )
        assert lost == 1


async def test_an_ice_restart_moves_a_trunk_to_another_path(
    open_plane: Callable[[MediaConfig], Plane],
) -> None:
    async with two_foci(open_plane) as (caller, callee), Path.to(callee.address) as path:
        await connected(caller, callee, path.address)
        await talk(caller, callee, 1)
        path.is_cut = True
        callee.do(SetCredentials(LEG, callee.credentials(1)))
        await callee.runtime.idle()
        ours, theirs = caller.credentials(1), callee.credentials(1)
        caller.do(SetCredentials(LEG, ours), Dial(LEG, ours, theirs, (callee.address,)))
        await eventually(lambda: len(caller.told(PairSelected)) == len(callee.told(PairSelected)) == 2)
        await talk(caller, callee, 2)
        assert len(caller.told(LegConnected)) == 1, "DTLS is the same"


@virtually
async def test_a_far_side_that_is_not_there_is_unreachable(
    open_plane: Callable[[MediaConfig], Plane],
) -> None:
    # Virtual time passes whenever nothing arrives: nobody is there from whom anything could.
    nobody = Focus("nobody", open_plane)
    address = nobody.address
    nobody.plane.close()
    caller = Focus("caller", open_plane, clock=virtual_clock)
    async with running(caller):
        caller.dial(nobody, address, ("::1", 9))
        await asyncio.sleep(UNREACHABLE_S - 1)
        assert caller.told(LegFailed) == []
        await asyncio.sleep(2)
        assert caller.told(LegFailed) == [LegFailed(LEG, "unreachable")]
        assert len(caller.plane.stats().transports) == 0
