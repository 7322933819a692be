from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from sfu.conference.turn import (
    CloseLeg,
    DataReceived,
    Dial,
    DropDemand,
    LegFailed,
    OpenChannel,
    SendData,
    SetDemand,
    StartDtls,
)
from sfu.config import LimitsConfig
from sfu.errors import LocalError
from sfu.metrics import Metrics
from sfu.plane import (
    AddTransport,
    ConsentLost,
    Credentials,
    PairSelected,
    PlaneOperation,
    RemoveRoute,
    RemoveTrack,
    RemoveTransport,
    RequestKeyframe,
    SendStun,
    StreamEnded,
)
from sfu.runtime.failures import Failures
from sfu.runtime.legs import Legs
from sfu.runtime.performer import Performer, leg_of
from sfu.runtime.tick import Ticker
from sfu.units import Kind, RouteId, TrackHandle, TransportId
from tests.support.fake_plane import FakePlane
from tests.support.scripted_engine import add_transport
from tests.support.stage import CERTIFICATE
from tests.support.virtual_time import clock, virtually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ALICE, BOB, CAROL = TransportId(1), TransportId(2), TransportId(3)
REMOVE_TRACK = RemoveTrack(TrackHandle(1))
REMOVE_ROUTE = RemoveRoute(RouteId(1))
KEYFRAME = RequestKeyframe(TrackHandle(1), 0)
DEMAND = SetDemand(RouteId(1), ALICE, TrackHandle(1), Kind.AUDIO)


class Workshop:
    """A performer and everything it works on.

    In `done` are the outputs of the dialect, each with how many operations the plane had by then.
    """

    def __init__(self) -> None:
        self.plane = FakePlane(clock)
        self.metrics = Metrics()
        self.told: list[object] = []
        self.done: list[tuple[Any, int]] = []
        failures = Failures(self.metrics, clock)
        self.legs = Legs(
            CERTIFICATE,
            LimitsConfig(),
            consent_timeout_s=30.0,
            clock=clock,
            emit=self.told.append,
            apply=self.plane.apply,
            metrics=self.metrics,
            failures=failures,
        )
        self.ticker = Ticker(self.plane, self.metrics, failures, clock=clock, report=lambda report: None)
        self.performer = Performer(self.plane, self.legs, self.ticker, self._dialect, self.metrics, failures)

    def perform(self, *outputs: Any, about: TransportId | None = None) -> list[TransportId]:  # noqa: ANN401
        return self.performer.perform(outputs, about)

    def refuse(self, kind: type) -> None:
        """Let the plane refuse operations of a kind."""

        def refuses(operation: PlaneOperation) -> None:
            if isinstance(operation, kind):
                raise LocalError("an id twice")

        self.plane.refuses = refuses

    def failures(self) -> float:
        return (
            self.metrics.registry.get_sample_value("focus_internal_failures_total", {"where": "output"})
            or 0.0
        )

    def _dialect(self, output: Any) -> None:  # noqa: ANN401
        self.done.append((output, len(self.plane.operations)))
        if isinstance(output, Exception):
            raise output


def dial_to(host: str) -> Dial:
    ours, theirs = Credentials("ours", "our-password"), Credentials("theirs", "their-password")
    return Dial(ALICE, ours, theirs, ((host, 10_000),))


class OfALeg(Exception):  # noqa: N818  # an output that can't be performed
    """An output of the dialect about a leg, that fails."""

    def __init__(self, leg: TransportId) -> None:
        self.leg = leg


@contextlib.asynccontextmanager
async def workshop() -> AsyncIterator[Workshop]:
    one = Workshop()
    try:
        async with one.legs.living():
            yield one
    finally:
        one.plane.close()


@virtually
async def test_operations_that_follow_each_other_go_down_together() -> None:
    async with workshop() as one:
        assert one.perform(REMOVE_ROUTE, REMOVE_TRACK, KEYFRAME) == []
        assert one.plane.batches == [(REMOVE_ROUTE, REMOVE_TRACK, KEYFRAME)]


@virtually
async def test_demands_do_not_divide_a_batch() -> None:
    async with workshop() as one:
        one.perform(REMOVE_ROUTE, DropDemand(RouteId(1)), REMOVE_TRACK, DEMAND, KEYFRAME)
        assert one.plane.batches == [(REMOVE_ROUTE, REMOVE_TRACK, KEYFRAME)]


@virtually
async def test_everything_else_waits_for_the_operations_before_it() -> None:
    async with workshop() as one:
        one.perform(REMOVE_ROUTE, "answer", REMOVE_TRACK, KEYFRAME, "news")
        assert one.done == [("answer", 1), ("news", 3)]


@virtually
async def test_nothing_to_do_is_no_batch() -> None:
    async with workshop() as one:
        one.perform("news")
        assert one.plane.batches == []


@virtually
async def test_a_leg_is_there_before_the_plane_can_bring_datagrams_of_it() -> None:
    async with workshop() as one:
        seen: list[bool] = []
        one.plane.refuses = lambda operation: seen.append(ALICE in one.legs)
        one.perform(add_transport(ALICE))
        assert seen == [True]


@pytest.mark.parametrize("ending", [CloseLeg(ALICE), RemoveTransport(ALICE)])
@virtually
async def test_a_leg_that_is_closed_or_removed_is_gone_everywhere(ending: object) -> None:
    async with workshop() as one:
        one.perform(add_transport(ALICE), StartDtls(ALICE, ()), REMOVE_TRACK, ending)
        assert ALICE not in one.legs
        assert one.plane.operations[1:] == [REMOVE_TRACK, RemoveTransport(ALICE)]


@virtually
async def test_a_text_that_can_not_be_sent_is_counted_by_its_reason() -> None:
    async with workshop() as one:
        one.perform(add_transport(ALICE), SendData(ALICE, 0, "early"), SendData(BOB, 0, "who?"))
        assert (
            one.metrics.registry.get_sample_value("focus_messages_refused_total", {"reason": "not_open"}) == 2
        )
        assert one.failures() == 0


@virtually
async def test_a_dial_finds_its_leg_in_the_plane_and_sends_its_first_check() -> None:
    async with workshop() as one:
        assert one.perform(add_transport(ALICE), dial_to("198.51.100.7"), OpenChannel(ALICE, "focus")) == []
        added, sent = one.plane.operations
        assert added == add_transport(ALICE)
        assert isinstance(sent, SendStun)
        assert (sent.transport, sent.host, sent.port) == (ALICE, "198.51.100.7", 10_000)


@virtually
async def test_a_dial_to_what_is_no_address_ends_its_leg() -> None:
    async with workshop() as one:
        assert one.perform(add_transport(ALICE), dial_to("focus.example.org")) == [ALICE]
        assert one.failures() == 1


@virtually
async def test_an_output_that_fails_is_counted_and_the_others_are_performed() -> None:
    async with workshop() as one:
        assert one.perform("before", ValueError("no"), "after", KEYFRAME) == []
        assert [output for output, _ in one.done if isinstance(output, str)] == ["before", "after"]
        assert one.plane.operations == [KEYFRAME]
        assert one.failures() == 1


@virtually
async def test_whose_output_failed_ends_and_else_whom_the_turn_was_about() -> None:
    async with workshop() as one:
        assert one.perform(OfALeg(BOB), about=ALICE) == [BOB]
        assert one.perform(ValueError("no"), about=ALICE) == [ALICE]
        assert one.perform(ValueError("no")) == []


@virtually
async def test_an_operation_that_is_refused_ends_whom_the_turn_was_about() -> None:
    async with workshop() as one:
        one.refuse(RemoveTrack)
        assert one.perform(REMOVE_TRACK, "after", about=ALICE) == [ALICE]
        assert [output for output, _ in one.done] == ["after"]
        assert one.failures() == 1


@virtually
async def test_of_a_turn_about_nobody_it_ends_the_only_leg_that_the_operations_name() -> None:
    async with workshop() as one:
        one.refuse(AddTransport)
        assert one.perform(add_transport(ALICE), REMOVE_TRACK) == [ALICE]
        assert one.perform(add_transport(BOB), add_transport(CAROL)) == []
        one.refuse(RemoveTrack)
        assert one.perform(REMOVE_TRACK) == []


def test_the_leg_of_an_input_or_output_is_found_under_either_name() -> None:
    assert leg_of(LegFailed(ALICE, "consent")) == ALICE
    assert leg_of(DataReceived(ALICE, 0, "")) == ALICE
    assert leg_of(PairSelected(BOB)) == BOB
    assert leg_of(ConsentLost(BOB)) == BOB
    assert leg_of(StreamEnded(TrackHandle(7), 0)) is None
    assert leg_of("an input of the dialect") is None
    assert leg_of(None) is None


@virtually
async def test_legs_can_be_started_only_while_they_can_live() -> None:
    one = Workshop()
    one.perform(add_transport(ALICE))
    assert one.perform(StartDtls(ALICE, ())) == [ALICE]
    await asyncio.sleep(0)
    one.plane.close()
