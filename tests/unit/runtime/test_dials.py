from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from sfu.conference.turn import Dial
from sfu.dataplane.ice import LiteAgent
from sfu.errors import LocalError
from sfu.metrics import Metrics
from sfu.plane import Credentials, PlaneOperation, SelectAddress, SendStun
from sfu.runtime.dials import Dials
from sfu.runtime.failures import Failures
from sfu.transport.dialling import CONSENT_CHECK_S, SPACING_MS, UNREACHABLE_S
from sfu.units import NS_PER_S, Instant, TransportId
from tests.support.virtual_time import clock, virtually

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence

ALICE, BOB = TransportId(1), TransportId(2)
FAR, OTHER = ("198.51.100.7", 10_000), ("2001:db8::7", 10_001)
HERE = ("192.0.2.1", 40_000)
OURS = Credentials("ourfragment", "our-password-of-22-chars")
THEIRS = Credentials("theirfragment", "their-password-of-22-chars")
NEXT = Credentials("theirnextone", "their-next-password-of-22")
CONSENT_S = 30.0


def dial_of(leg: TransportId, *addresses: tuple[str, int], remote: Credentials = THEIRS) -> Dial:
    return Dial(leg, OURS, remote, addresses)


class Exchange:
    """Dials whose operations go to lite agents, each behind an address; who is not there does not answer."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.operations: list[PlaneOperation] = []
        self.sent_at: list[Instant] = []
        self.lost: list[tuple[TransportId, str]] = []
        self.agents: dict[tuple[str, int], LiteAgent] = {}
        self.refuses: TransportId | None = None
        self.dials = Dials(
            CONSENT_S,
            clock=clock,
            apply=self._apply,
            lose=self._lose,
            failures=Failures(self.metrics, clock),
            rng=random.Random(1),
        )

    def listen(self, address: tuple[str, int], *credentials: Credentials) -> None:
        """Be somebody who answers there."""
        self.agents[address] = LiteAgent(CONSENT_S)
        for number, one in enumerate(credentials):
            self.agents[address].add(TransportId(100 + number), one)

    def of(self, kind: type) -> list[Any]:
        return [one for one in self.operations if isinstance(one, kind)]

    def _apply(self, operations: Sequence[PlaneOperation]) -> None:
        for one in operations:
            if isinstance(one, SendStun):
                self._send(one)
            self.operations.append(one)

    def _send(self, given: SendStun) -> None:
        if given.transport == self.refuses:
            raise RuntimeError("a plane that is broken")
        self.sent_at.append(clock())
        address = given.host, given.port
        agent = self.agents.get(address)
        answer = None if agent is None else agent.handle(clock(), HERE, given.data).answer
        if answer is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(0.02, self.dials.respond, given.transport, address, answer)

    def _lose(self, leg: TransportId, reason: str) -> None:
        self.lost.append((leg, reason))
        self.dials.forget(leg)


@virtually
async def test_addresses_are_tried_one_after_the_other() -> None:
    one = Exchange()
    began_at = clock()
    one.dials.dial(dial_of(ALICE, FAR, OTHER))
    assert [(sent.transport, sent.host, sent.port) for sent in one.of(SendStun)] == [(ALICE, *FAR)]
    await asyncio.sleep(0.2)
    assert [(sent.host, sent.port) for sent in one.of(SendStun)] == [FAR, OTHER]
    assert one.sent_at[1] - began_at == pytest.approx(SPACING_MS * 1e6, abs=2e6)
    one.dials.forget(ALICE)


@virtually
async def test_the_address_that_answers_is_selected_and_asked_for_consent_as_long_as_the_leg_lives() -> None:
    one = Exchange()
    one.listen(OTHER, THEIRS)
    one.dials.dial(dial_of(ALICE, FAR, OTHER))
    await asyncio.sleep(1)
    assert one.of(SelectAddress) == [SelectAddress(ALICE, *OTHER)]
    before = len(one.of(SendStun))
    await asyncio.sleep(10 * CONSENT_S)
    checks = one.of(SendStun)[before:]
    assert {(check.host, check.port) for check in checks} == {OTHER}
    assert len(checks) == pytest.approx(10 * CONSENT_S / CONSENT_CHECK_S, rel=0.25)
    assert one.lost == []
    one.dials.forget(ALICE)
    before = len(one.operations)
    await asyncio.sleep(100)
    assert len(one.operations) == before


@virtually
async def test_who_does_not_answer_is_unreachable_and_that_is_logged(
    logs: list[MutableMapping[str, Any]],
) -> None:
    one = Exchange()
    began_at = clock()
    one.dials.dial(dial_of(ALICE, FAR))
    await asyncio.sleep(UNREACHABLE_S - 1)
    assert one.lost == []
    await asyncio.sleep(2)
    assert one.lost == [(ALICE, "unreachable")]
    assert len(one.dials) == 0
    assert max(one.sent_at) - began_at < UNREACHABLE_S * NS_PER_S
    (line,) = logs
    assert (line["event"], line["reason"], line["checks"]) == ("dial_failed", "unreachable", 7)


@virtually
async def test_who_answers_no_longer_has_lost_consent() -> None:
    one = Exchange()
    one.listen(FAR, THEIRS)
    one.dials.dial(dial_of(ALICE, FAR))
    await asyncio.sleep(60)
    one.agents.clear()
    await asyncio.sleep(CONSENT_S + 1)
    assert one.lost == [(ALICE, "consent_lost")]
    assert len(one.dials) == 0


@virtually
async def test_a_second_dial_of_a_leg_is_a_restart() -> None:
    one = Exchange()
    one.listen(FAR, THEIRS)
    one.dials.dial(dial_of(ALICE, FAR))
    await asyncio.sleep(1)
    one.listen(OTHER, NEXT)
    one.dials.dial(dial_of(ALICE, OTHER, remote=NEXT))
    await asyncio.sleep(60)
    assert one.of(SelectAddress) == [SelectAddress(ALICE, *FAR), SelectAddress(ALICE, *OTHER)]
    assert len(one.dials) == 1
    one.dials.forget(ALICE)


@virtually
async def test_what_comes_for_a_leg_that_is_not_dialled_is_nothing() -> None:
    one = Exchange()
    one.dials.respond(BOB, FAR, b"late")
    one.dials.forget(BOB)
    assert one.operations == []


@virtually
async def test_a_mistake_in_one_dial_ends_that_leg_and_no_other() -> None:
    one = Exchange()
    one.listen(FAR, THEIRS)
    one.refuses = ALICE
    one.dials.dial(dial_of(ALICE, FAR))
    one.dials.dial(dial_of(BOB, FAR))
    await asyncio.sleep(60)
    assert one.lost == [(ALICE, "internal")]
    assert one.metrics.registry.get_sample_value("focus_internal_failures_total", {"where": "leg"}) == 1
    assert one.of(SelectAddress) == [SelectAddress(BOB, *FAR)]
    one.dials.forget(BOB)


@virtually
async def test_what_is_no_address_is_refused_to_whoever_dials() -> None:
    one = Exchange()
    with pytest.raises(LocalError):
        one.dials.dial(dial_of(ALICE, ("focus.example.org", 10_000)))
    assert len(one.dials) == 0
