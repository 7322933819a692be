"""Two legs of ours joined by a wire in memory: one is the DTLS client and opens the channel."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Any

import pytest
from aiortc.rtcsctptransport import DATA_CHANNEL_ACK, WEBRTC_DCEP

from sfu.conference.turn import DataChannelOpened, DataReceived, LegConnected, LegFailed
from sfu.config import LimitsConfig
from sfu.dataplane.srtp import LibSrtp
from sfu.metrics import Metrics
from sfu.negotiation.parameters import Fingerprint
from sfu.plane import InstallSrtp, SendDatagram
from sfu.runtime.clocks import monotonic_clock
from sfu.transport.certificate import Certificate
from sfu.transport.dtls import HANDSHAKE_TIMEOUT_S
from sfu.transport.handshakes import HandshakeSlots
from sfu.transport.leg_transport import ARRIVAL_TIMEOUT_S, LegTransport
from sfu.transport.sctp import SendOutcome
from sfu.units import NS_PER_S, TransportId
from tests.support.dtls_wire import DATA_PORT
from tests.support.virtual_time import clock, virtually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from sfu.plane import PlaneOperation
    from sfu.units import Instant

pytestmark = pytest.mark.integration

CERTIFICATES = Certificate.generate(), Certificate.generate()
LABEL = "focus"
_ALERT, _HANDSHAKE = 21, 22


class End:
    """One leg. What it sends goes to `deliver`, by way of the loop as from a plane."""

    def __init__(self, number: int, clock: Callable[[], Instant]) -> None:
        self.number = TransportId(number)
        self.certificate = CERTIFICATES[number - 1]
        self.metrics = Metrics()
        self.told: list[Any] = []
        self.keys: list[InstallSrtp] = []
        self.sent: list[bytes] = []
        self.deliver: Callable[[bytes], None] = lambda data: None
        self._heard = asyncio.Event()
        self.leg = LegTransport(
            self.number,
            self.certificate,
            LimitsConfig(),
            clock=clock,
            emit=self._emit,
            program=self._program,
            slots=HandshakeSlots(4),
            metrics=self.metrics,
        )

    @property
    def fingerprints(self) -> tuple[Fingerprint, ...]:
        return (self.certificate.fingerprint,)

    def of(self, kind: type) -> list[Any]:
        return [one for one in self.told if isinstance(one, kind)]

    async def hears(self, kind: type, count: int = 1) -> Any:  # noqa: ANN401  # of that kind
        """Wait until that was told `count` times; return the last one."""
        while len(self.of(kind)) < count:
            self._heard.clear()
            await self._heard.wait()
        return self.of(kind)[count - 1]

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def _emit(self, given: object) -> None:
        self.told.append(given)
        self._heard.set()

    def _program(self, operation: PlaneOperation) -> None:
        match operation:
            case InstallSrtp():
                self.keys.append(operation)
            case SendDatagram(_, data):
                self.sent.append(data)
                asyncio.get_running_loop().call_soon(self.deliver, data)
            case _:
                raise AssertionError(operation)


@contextlib.asynccontextmanager
async def trunk(
    *,
    loses: Callable[[bytes], bool] = lambda data: False,
    expected: Sequence[Fingerprint] | None = None,
    clock: Callable[[], Instant] = clock,
) -> AsyncIterator[tuple[End, End]]:
    """The dialling and the called end, running; the wire loses what `loses` names.

    Args:
        loses: of both directions.
        expected: what the dialling end takes for the called end's fingerprints.
        clock: monotonic now.
    """
    caller, callee = End(1, clock), End(2, clock)
    for one, other in ((caller, callee), (callee, caller)):
        one.deliver = lambda data, other=other: None if loses(data) else other.leg.feed(data)  # type: ignore[misc]
    async with asyncio.TaskGroup() as group:
        theirs = callee.fingerprints if expected is None else expected
        tasks = [
            group.create_task(caller.leg.run(theirs, DATA_PORT, is_client=True)),
            group.create_task(callee.leg.run(caller.fingerprints, DATA_PORT)),
        ]
        yield caller, callee
        for task, end in zip(tasks, (caller, callee), strict=True):
            end.leg.close()
            task.cancel()


async def opened(caller: End, callee: End) -> None:
    """Let a pair be selected, and wait for the channel."""
    caller.leg.open_channel(LABEL)
    caller.leg.pair_selected()
    await caller.hears(DataChannelOpened)
    await callee.hears(DataChannelOpened)


@virtually
async def test_the_client_begins_when_a_pair_is_selected_and_not_before() -> None:
    async with trunk() as (caller, callee):
        await asyncio.sleep(10)
        assert caller.sent == callee.sent == []
        caller.leg.pair_selected()
        await caller.hears(LegConnected)
        await callee.hears(LegConnected)
        assert caller.sent[0][0] == _HANDSHAKE
        assert caller.counted("focus_joins_total", step="dtls", outcome="ok") == 1


@virtually
async def test_a_pair_that_was_selected_before_the_fingerprints_were_known_is_not_forgotten() -> None:
    end = End(1, clock)
    end.leg.pair_selected()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(end.leg.run((CERTIFICATES[1].fingerprint,), DATA_PORT, is_client=True))
        await asyncio.sleep(0.1)
        assert len(end.sent) == 1
        end.leg.close()
        task.cancel()


@virtually
async def test_both_ends_have_the_same_keys_in_opposite_order() -> None:
    async with trunk() as (caller, callee):
        await opened(caller, callee)
        (ours,), (theirs,) = caller.keys, callee.keys
        assert ours.profile is theirs.profile
        assert (ours.send_key, ours.receive_key) == (theirs.receive_key, theirs.send_key)
        session = LibSrtp(ours.profile, ours.receive_key, ours.send_key)
        packet = bytes.fromhex("80600001000000010000000a") + bytes(50)
        other = LibSrtp(theirs.profile, theirs.receive_key, theirs.send_key)
        protected = session.protect(packet)
        assert isinstance(protected, bytes)
        assert other.unprotect(protected) == packet


@virtually
async def test_a_channel_of_ours_is_told_when_the_far_side_has_acknowledged_it() -> None:
    async with trunk() as (caller, callee):
        await opened(caller, callee)
        assert caller.of(DataChannelOpened) == [DataChannelOpened(caller.number, 0, LABEL)]
        assert callee.of(DataChannelOpened) == [DataChannelOpened(callee.number, 0, LABEL)]
        assert caller.leg._streams == [0], "the DTLS client's streams are even (RFC 8832 section 6)"
        assert caller.counted("focus_joins_total", step="data_channel", outcome="ok") == 1


@virtually
async def test_a_channel_is_opened_once_however_often_it_is_acknowledged() -> None:
    async with trunk() as (caller, callee):
        await opened(caller, callee)
        for one in (caller, callee):
            assert one.leg._sctp is not None
            await one.leg._sctp._send(0, WEBRTC_DCEP, bytes([DATA_CHANNEL_ACK]))
        caller.leg.send(0, "after it")
        callee.leg.send(0, "after it")
        for one in (caller, callee):
            await one.hears(DataReceived)
            assert len(one.of(DataChannelOpened)) == 1


@virtually
async def test_nothing_can_be_sent_on_a_channel_that_is_not_acknowledged() -> None:
    async with trunk() as (caller, callee):
        caller.leg.open_channel(LABEL)
        assert caller.leg.send(0, "early") is SendOutcome.NOT_OPEN
        caller.leg.pair_selected()
        await caller.hears(LegConnected)
        assert caller.leg.send(0, "early") is SendOutcome.NOT_OPEN
        await caller.hears(DataChannelOpened)
        assert caller.leg.send(0, "in time") is SendOutcome.SENT
        assert (await callee.hears(DataReceived)).text == "in time"


@virtually
async def test_texts_pass_in_both_directions() -> None:
    async with trunk() as (caller, callee):
        await opened(caller, callee)
        assert caller.leg.send(0, "question " * 1_000) is SendOutcome.SENT
        assert (await callee.hears(DataReceived)).text == "question " * 1_000
        assert callee.leg.send(0, "answer") is SendOutcome.SENT
        assert (await caller.hears(DataReceived)).text == "answer"


@virtually
async def test_a_channel_can_be_opened_later_and_from_either_end() -> None:
    async with trunk() as (caller, callee):
        caller.leg.pair_selected()
        await caller.hears(LegConnected)
        await callee.hears(LegConnected)
        callee.leg.open_channel("theirs")
        await caller.hears(DataChannelOpened)
        await callee.hears(DataChannelOpened)
        caller.leg.open_channel("ours")
        assert await caller.hears(DataChannelOpened, 2) == DataChannelOpened(caller.number, 1, "ours")
        assert await callee.hears(DataChannelOpened, 2) == DataChannelOpened(callee.number, 1, "ours")
        assert caller.leg._streams == callee.leg._streams == [1, 0]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_trunk_comes_up_although_a_fifth_of_all_datagrams_is_lost(seed: int) -> None:
    # On the real clock: the timers of OpenSSL know no other.
    chance = random.Random(seed)
    async with trunk(loses=lambda _: chance.random() < 0.2, clock=monotonic_clock) as (caller, callee):
        await opened(caller, callee)
        caller.leg.send(0, "hello")
        assert (await callee.hears(DataReceived)).text == "hello"


@virtually
async def test_a_far_side_with_another_certificate_gets_no_keys_of_ours() -> None:
    another = Fingerprint("sha-256", ":".join(["AB"] * 32))
    async with trunk(expected=[another]) as (caller, _):
        caller.leg.pair_selected()
        assert await caller.hears(LegFailed) == LegFailed(caller.number, "fingerprint")
        assert caller.keys == []


@virtually
async def test_without_a_pair_it_is_given_up_after_the_arrival_timeout() -> None:
    began_at = clock()
    async with trunk() as (caller, _):
        assert await caller.hears(LegFailed) == LegFailed(caller.number, "dtls_timeout")
        assert clock() - began_at == pytest.approx(ARRIVAL_TIMEOUT_S * NS_PER_S)


@virtually
async def test_a_far_side_that_never_answers_is_given_up_after_the_handshake_timeout() -> None:
    began_at = clock()
    async with trunk(loses=lambda _: True) as (caller, _):
        caller.leg.pair_selected()
        assert await caller.hears(LegFailed) == LegFailed(caller.number, "dtls_timeout")
        assert clock() - began_at == pytest.approx(HANDSHAKE_TIMEOUT_S * NS_PER_S)


@virtually
async def test_either_end_tells_the_other_that_it_closes() -> None:
    async with trunk() as (caller, callee):
        await opened(caller, callee)
        caller.leg.close()
        assert (await callee.hears(LegFailed)).reason in {"sctp_aborted", "dtls_closed"}
        assert caller.of(LegFailed) == []
    async with trunk() as (caller, callee):
        await opened(caller, callee)
        callee.leg.close()
        assert (await caller.hears(LegFailed)).reason in {"sctp_aborted", "dtls_closed"}


@virtually
async def test_a_leg_whose_path_is_lost_says_so_once_and_sends_nothing_more() -> None:
    async with trunk() as (caller, callee):
        await opened(caller, callee)
        await asyncio.sleep(1)
        sent = len(caller.sent)
        caller.leg.lose("consent_lost")
        caller.leg.lose("unreachable")
        caller.leg.close()
        await asyncio.sleep(5)
        assert caller.of(LegFailed) == [LegFailed(caller.number, "consent_lost")]
        assert len(caller.sent) == sent
        assert callee.of(LegFailed) == []


@virtually
async def test_a_leg_that_is_lost_before_its_handshake_counts_no_handshake() -> None:
    async with trunk() as (caller, _):
        await asyncio.sleep(1)
        caller.leg.lose("unreachable")
        await asyncio.sleep(1)
        assert caller.told == [LegFailed(caller.number, "unreachable")]
        assert caller.sent == []
        assert caller.counted("focus_joins_total", step="dtls", outcome="dtls_closed") == 0
