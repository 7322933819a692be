from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import TYPE_CHECKING

import pytest

from sfu.conference.turn import Dial, LegFailed, OpenChannel, SendData, StartDtls
from sfu.config import LimitsConfig
from sfu.errors import LocalError
from sfu.metrics import Metrics
from sfu.negotiation.parameters import Fingerprint
from sfu.plane import Credentials, PlaneOperation, RemoveTransport, SendDatagram, SendStun
from sfu.runtime.failures import Failures
from sfu.runtime.legs import Legs
from sfu.transport.leg_transport import LegTransport
from sfu.transport.sctp import SendOutcome
from sfu.units import TransportId
from tests.support.dtls_wire import Wire
from tests.support.fake_plane import FakePlane
from tests.support.stage import CERTIFICATE
from tests.support.virtual_time import clock, virtually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

ALICE, BOB = TransportId(1), TransportId(2)
FINGERPRINTS = (Fingerprint("sha-256", ":".join(["AB"] * 32)),)
DIAL = Dial(
    ALICE,
    Credentials("ourfragment", "our-password-of-22-chars"),
    Credentials("theirfragment", "their-password-of-22-chars"),
    (("198.51.100.7", 10_000),),
)
_ALERT = 21


class Registry:
    """Legs over a fake plane."""

    def __init__(self) -> None:
        self.plane = FakePlane(clock)
        self.metrics = Metrics()
        self.told: list[object] = []
        self.legs = Legs(
            CERTIFICATE,
            LimitsConfig(),
            consent_timeout_s=30.0,
            clock=clock,
            emit=self.told.append,
            apply=self.plane.apply,
            metrics=self.metrics,
            failures=Failures(self.metrics, clock),
        )

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@contextlib.contextmanager
def registry() -> Iterator[Registry]:
    one = Registry()
    try:
        yield one
    finally:
        one.plane.close()


@contextlib.asynccontextmanager
async def living() -> AsyncIterator[Registry]:
    with registry() as one:
        async with one.legs.living():
            yield one


class Client:
    """A client's end, whose wire leads to the plane."""

    def __init__(self, one: Registry, leg: TransportId) -> None:
        self.wire = Wire(certificate=CERTIFICATE, clock=clock)
        self.leg = leg
        self.wire.ice._give = lambda data: one.legs.feed(leg, data)
        self._one = one
        one.plane.send = self._deliver

    def _deliver(self, transport: TransportId, data: bytes) -> None:
        if transport == self.leg:
            self.wire.ice.inbox.put_nowait(data)

    def start(self) -> None:
        self._one.legs.add(self.leg)
        self._one.legs.start(StartDtls(self.leg, tuple(self.wire.client_fingerprints)))

    async def join(self) -> None:
        self.start()
        await self.wire.connect_client()

    async def leave(self) -> None:
        await self.wire.close_client()


def others() -> set[asyncio.Task[object]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


@virtually
async def test_a_leg_is_known_from_its_addition_to_its_close() -> None:
    async with living() as one:
        one.legs.add(ALICE)
        assert ALICE in one.legs
        assert len(one.legs) == one.counted("focus_legs") == 1
        one.legs.close(ALICE)
        assert ALICE not in one.legs
        assert len(one.legs) == one.counted("focus_legs") == 0
        assert one.plane.operations == [RemoveTransport(ALICE)]


@virtually
async def test_closing_what_is_gone_is_harmless() -> None:
    async with living() as one:
        one.legs.close(ALICE)
        assert one.plane.operations == []


@virtually
async def test_a_connected_client_is_told_before_the_plane_forgets_it() -> None:
    async with living() as one:
        client = Client(one, ALICE)
        await client.join()
        before = len(one.plane.operations)
        one.legs.close(ALICE)
        *said, last = one.plane.operations[before:]
        assert [type(operation) for operation in said] == [SendDatagram] * len(said)
        assert isinstance(said[-1], SendDatagram)
        assert said[-1].data[0] == _ALERT
        assert last == RemoveTransport(ALICE)
        await asyncio.sleep(1)
        assert client.wire.dtls.state == "closed"
        assert others() == set()


@virtually
async def test_all_are_told_at_the_end_and_all_tasks_have_ended() -> None:
    with registry() as one:
        async with one.legs.living():
            client = Client(one, ALICE)
            await client.join()
            one.legs.add(BOB)
            one.legs.start(StartDtls(BOB, FINGERPRINTS))
        await asyncio.sleep(1)
        assert client.wire.dtls.state == "closed"
        assert len(one.legs) == 0
        assert {operation.transport for operation in one.plane.of(RemoveTransport)} == {ALICE, BOB}
        await client.leave()
        assert others() == set()


@virtually
async def test_one_that_can_not_be_told_does_not_keep_the_others_from_it() -> None:
    with registry() as one:
        async with one.legs.living():
            client = Client(one, ALICE)
            await client.join()
            one.legs.add(BOB)

            def refuses(operation: PlaneOperation) -> None:
                if isinstance(operation, SendDatagram):
                    raise LocalError("a plane that is broken")

            one.plane.refuses = refuses
        assert {operation.transport for operation in one.plane.of(RemoveTransport)} == {ALICE, BOB}
        assert one.counted("focus_internal_failures_total", where="leg") == 1
        await client.leave()


@virtually
async def test_a_mistake_in_a_legs_task_ends_that_leg_and_no_other() -> None:
    async with living() as one:
        client = Client(one, ALICE)

        def refuses(operation: PlaneOperation) -> None:
            if isinstance(operation, SendDatagram) and operation.transport == ALICE:
                raise LocalError("a plane that is broken")

        one.plane.refuses = refuses
        one.legs.add(BOB)
        one.legs.start(StartDtls(BOB, FINGERPRINTS))
        async with asyncio.TaskGroup() as group:
            joining = group.create_task(client.join())
            await asyncio.sleep(1)
            joining.cancel()
        assert one.told == [LegFailed(ALICE, "internal")]
        assert one.counted("focus_internal_failures_total", where="leg") == 1
        assert len(others()) == 2, "Bob's task and the group within it"


@virtually
async def test_a_leg_is_started_once() -> None:
    async with living() as one:
        one.legs.add(ALICE)
        one.legs.start(StartDtls(ALICE, FINGERPRINTS))
        await asyncio.sleep(0)
        running = others()
        one.legs.start(StartDtls(ALICE, FINGERPRINTS))
        one.legs.start(StartDtls(BOB, FINGERPRINTS))
        await asyncio.sleep(0)
        assert len(others()) <= len(running) + 1, "the group's own child"
        await asyncio.sleep(120)
        assert one.told == [LegFailed(ALICE, "dtls_timeout")]


@virtually
async def test_a_leg_is_not_started_outside_of_its_group() -> None:
    with registry() as one:
        one.legs.add(ALICE)
        with pytest.raises(LocalError):
            one.legs.start(StartDtls(ALICE, FINGERPRINTS))


@virtually
async def test_what_is_for_a_leg_that_is_gone_is_dropped_and_counted() -> None:
    async with living() as one:
        one.legs.feed(ALICE, b"\x16")
        assert one.counted("focus_dtls_datagrams_dropped_total", reason="closed") == 1
        assert one.legs.send(SendData(ALICE, 0, "hello?")) is SendOutcome.NOT_OPEN


@virtually
async def test_a_leg_that_is_dialled_in_vain_ends_without_a_word_to_anybody() -> None:
    async with living() as one:
        one.legs.add(ALICE)
        one.legs.start(StartDtls(ALICE, FINGERPRINTS, is_client=True))
        one.legs.dial(DIAL)
        await asyncio.sleep(31)
        assert one.told == [LegFailed(ALICE, "unreachable")]
        assert {type(operation) for operation in one.plane.operations} == {SendStun}
        one.legs.close(ALICE)
        assert one.plane.operations[-1] == RemoveTransport(ALICE)
        assert others() == set()


@virtually
async def test_a_leg_that_is_closed_is_dialled_no_more() -> None:
    async with living() as one:
        one.legs.add(ALICE)
        one.legs.dial(DIAL)
        one.legs.close(ALICE)
        before = len(one.plane.operations)
        await asyncio.sleep(120)
        assert len(one.plane.operations) == before
        assert one.told == []


@virtually
async def test_a_leg_that_is_gone_is_neither_dialled_nor_given_channels() -> None:
    async with living() as one:
        one.legs.dial(DIAL)
        one.legs.open_channel(OpenChannel(ALICE, "datachannel"))
        one.legs.pair_selected(ALICE)
        one.legs.respond(ALICE, ("198.51.100.7", 10_000), b"late")
        await asyncio.sleep(120)
        assert one.plane.operations == one.told == []


@virtually
async def test_the_handshake_of_a_leg_that_we_dial_begins_with_its_pair() -> None:
    async with living() as one:
        one.legs.add(ALICE)
        one.legs.start(StartDtls(ALICE, FINGERPRINTS, is_client=True))
        await asyncio.sleep(1)
        assert one.plane.operations == []
        one.legs.pair_selected(ALICE)
        await asyncio.sleep(0.1)
        assert [type(operation) for operation in one.plane.operations] == [SendDatagram]


async def join_and_leave(one: Registry, leg: TransportId, reached: str) -> None:
    client = Client(one, leg)
    match reached:
        case "added":
            one.legs.add(leg)
        case "started":
            client.start()
            await asyncio.sleep(0.01)
        case _:
            await client.join()
    one.legs.close(leg)
    await client.leave()
    await asyncio.sleep(0)


@virtually
async def test_hundreds_of_joins_and_leaves_leave_nothing_behind() -> None:
    async with living() as one:
        for number in range(300):
            await join_and_leave(one, TransportId(number), ("added", "started", "connected")[number % 3])
        await asyncio.sleep(1)
        assert len(one.legs) == 0
        assert others() == set()
        one.plane.send = lambda transport, data: None
        gc.collect()
        assert sum(isinstance(thing, LegTransport) and thing._leg < 300 for thing in gc.get_objects()) == 0
