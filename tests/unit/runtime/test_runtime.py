from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from sfu.conference.turn import (
    CloseLeg,
    Dial,
    DropDemand,
    LegConnected,
    LegFailed,
    MediaReport,
    SendData,
    SetDemand,
    StartDtls,
)
from sfu.dataplane.ice import LiteAgent
from sfu.negotiation.parameters import Fingerprint
from sfu.plane import (
    ConsentLost,
    Credentials,
    PairSelected,
    PlaneOperation,
    PortRefused,
    RemoveTransport,
    RequestKeyframe,
    SelectAddress,
    SendDatagram,
    SendStun,
    StreamBound,
    StreamEnded,
)
from sfu.runtime.inbox import MAX_WAITING
from sfu.runtime.runtime import TIMER_GAP_MS, TIMER_HOLD_S
from sfu.runtime.tick import ALIVE_MS
from sfu.units import NS_PER_MS, NS_PER_S, Kind, RouteId, Ssrc, TrackHandle, TransportId, after_s
from tests.support.dtls_wire import Wire
from tests.support.scripted_engine import add_transport
from tests.support.stage import CERTIFICATE, WALL, Stage, on_stage
from tests.support.virtual_time import clock, virtually

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping, Sequence

ALICE, BOB = TransportId(1), TransportId(2)
FINGERPRINTS = (Fingerprint("sha-256", ":".join(["AB"] * 32)),)
TRACK = TrackHandle(1)


def script(**answers: Sequence[Any]) -> Callable[[Any], Sequence[Any]]:
    """Answers to inputs that are words."""
    return lambda given: answers.get(given, ()) if isinstance(given, str) else ()


async def with_legs(stage: Stage, *legs: TransportId) -> None:
    """Let the engine have added legs."""
    stage.engine.answer = script(join=[add_transport(leg) for leg in legs])
    stage.runtime.submit("join")
    await stage.runtime.idle()
    stage.engine.told.clear()


def failing_on(*inputs: object) -> Callable[[Any], Sequence[Any]]:
    def answer(given: Any) -> Sequence[Any]:  # noqa: ANN401
        if given in inputs:
            raise RuntimeError(f"tripped over {given}")
        return ()

    return answer


# --- turns ------------------------------------------------------------------------------------------------


@virtually
async def test_inputs_have_their_turns_in_order_and_outputs_are_performed_in_order() -> None:
    async with on_stage() as stage:
        stage.engine.answer = script(one=["a", "b"], two=["c"])
        assert stage.runtime.submit("one")
        assert stage.runtime.submit("two")
        assert stage.runtime.waiting == 2
        await stage.runtime.idle()
        assert stage.engine.told == ["one", "two"]
        assert stage.performed == ["a", "b", "c"]
        assert stage.runtime.waiting == 0


@virtually
async def test_a_turn_is_told_both_times() -> None:
    async with on_stage() as stage:
        stage.runtime.submit("now?")
        await stage.runtime.idle()
        now, wall = stage.engine.times[-1]
        assert abs(now - clock()) < NS_PER_MS
        assert wall == WALL


@virtually
async def test_what_performing_leads_to_waits_for_the_end_of_the_turn() -> None:
    """One turn at a time, even where a performer answers at once."""
    async with on_stage() as stage:
        stage.engine.answer = script(one=["again", "b"], two=["c"])

        def performs(output: Any) -> None:  # noqa: ANN401
            stage.performed.append(output)
            if output == "again":
                stage.runtime.submit("two")

        stage.runtime._performer._dialect = performs
        stage.runtime.submit("one")
        await stage.runtime.idle()
        assert stage.performed == ["again", "b", "c"]


@virtually
async def test_inputs_that_came_before_the_start_are_not_lost() -> None:
    stage = Stage()
    stage.runtime.submit("early")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.runtime.run())
        await stage.runtime.idle()
        task.cancel()
    stage.plane.close()
    assert stage.engine.told == ["early"]


@virtually
async def test_while_too_many_wait_the_dialect_is_refused_and_can_wait_for_room() -> None:
    async with on_stage() as stage:
        assert all(stage.runtime.submit(number) for number in range(MAX_WAITING))
        assert not stage.runtime.submit("too much")
        assert stage.counted("focus_inputs_refused_total") == 1
        await stage.runtime.ready()
        assert stage.runtime.submit("after all")
        await stage.runtime.idle()
        assert stage.engine.told == [*range(MAX_WAITING), "after all"]


@virtually
async def test_while_too_many_wait_datagrams_stay_in_the_plane_and_come_later() -> None:
    async with on_stage() as stage:
        for number in range(MAX_WAITING + 5):
            stage.plane.bring(StreamEnded(TrackHandle(number), 0))
        while stage.runtime.waiting < MAX_WAITING:  # noqa: ASYNC110  # nothing tells when it is full
            await asyncio.sleep(0)
        stage.plane.bring(StreamEnded(TRACK, 1))
        for _ in range(10):
            await asyncio.sleep(0)
        assert stage.plane.waiting == 1
        await asyncio.sleep(0.1)
        assert stage.plane.waiting == 0
        assert len(stage.engine.told) == MAX_WAITING + 6
        assert stage.engine.told[-1] == StreamEnded(TRACK, 1)


@virtually
async def test_others_have_their_time_while_many_inputs_wait() -> None:
    async with on_stage() as stage:
        for number in range(1_000):
            stage.runtime.submit(number)
        for _ in range(10):
            await asyncio.sleep(0)
        assert 0 < len(stage.engine.told) < 20


# --- timers -----------------------------------------------------------------------------------------------


@virtually
async def test_a_timeout_is_handled_when_it_is_due_and_its_outputs_are_performed() -> None:
    async with on_stage() as stage:
        due_at = stage.engine.due_at = after_s(clock(), 3.7)

        def at_timeout() -> list[str]:
            stage.engine.due_at = None
            return ["hang up"]

        stage.engine.at_timeout = at_timeout
        stage.runtime.submit("sets the timer")
        await asyncio.sleep(10)
        assert len(stage.engine.timeouts) == 1
        assert 0 <= stage.engine.timeouts[0] - due_at < 5 * NS_PER_MS
        assert stage.performed == ["hang up"]


@virtually
async def test_timeouts_are_handled_while_inputs_keep_coming() -> None:
    async with on_stage() as stage:
        stage.engine.due_at = after_s(clock(), 0.01)

        def answer(given: Any) -> Sequence[Any]:  # noqa: ANN401
            if given == "for ever":
                stage.runtime.submit(given)
            return ()

        stage.engine.answer = answer
        stage.runtime.submit("for ever")
        while not stage.engine.timeouts:
            stage.lost_ns += NS_PER_MS
            await asyncio.sleep(0)
        assert stage.engine.told
        stage.engine.answer = lambda given: ()


@virtually
async def test_a_timer_that_does_not_move_on_does_not_take_the_processor() -> None:
    async with on_stage() as stage:
        stage.engine.due_at = clock()
        await asyncio.sleep(1)
        assert len(stage.engine.timeouts) == pytest.approx(1_000 / TIMER_GAP_MS, rel=0.2)


@virtually
async def test_a_failing_timeout_is_counted_and_tried_again_later() -> None:
    async with on_stage() as stage:

        def at_timeout() -> list[str]:
            if len(stage.engine.timeouts) < 3:
                raise RuntimeError("not yet")
            stage.engine.due_at = None
            return ["done"]

        stage.engine.at_timeout = at_timeout
        stage.engine.due_at = clock()
        stage.runtime.submit("sets the timer")
        await asyncio.sleep(10)
        assert stage.failures("turn") == 2
        assert stage.performed == ["done"]
        first, second, _ = stage.engine.timeouts
        assert second - first == pytest.approx(TIMER_HOLD_S * NS_PER_S, rel=0.01)


@virtually
async def test_an_engine_that_can_not_say_its_timeout_still_has_its_turns() -> None:
    async with on_stage() as stage:

        def fail() -> None:
            raise RuntimeError("no idea")

        stage.engine.before_next_timeout = fail
        stage.runtime.submit("input")
        await asyncio.sleep(0.2)
        assert stage.engine.told == ["input"]
        assert stage.failures("turn") > 0


# --- mistakes ---------------------------------------------------------------------------------------------


@virtually
async def test_an_exception_in_a_turn_about_a_leg_ends_that_leg_and_no_other(
    logs: list[MutableMapping[str, Any]],
) -> None:
    async with on_stage() as stage:
        await with_legs(stage, ALICE, BOB)
        stage.engine.answer = failing_on(PairSelected(ALICE))
        stage.plane.bring(PairSelected(ALICE), PairSelected(BOB))
        await asyncio.sleep(0.01)
        assert stage.engine.told == [
            PairSelected(ALICE),
            LegFailed(ALICE, "internal"),
            PairSelected(BOB),
        ]
        assert stage.plane.of(RemoveTransport) == [RemoveTransport(ALICE)]
        assert stage.failures("turn") == 1
        assert stage.counted("focus_leg_failures_total", reason="internal") == 1
        (entry,) = logs
        assert (entry["event"], entry["given"], entry["leg"]) == ("internal_failure", "PairSelected", ALICE)


@virtually
async def test_a_leg_ends_even_where_the_engine_fails_to_end_it() -> None:
    async with on_stage() as stage:
        await with_legs(stage, ALICE)
        stage.engine.answer = failing_on(PairSelected(ALICE), LegFailed(ALICE, "internal"))
        stage.plane.bring(PairSelected(ALICE))
        await asyncio.sleep(0.01)
        assert stage.failures("turn") == 2
        assert stage.plane.of(RemoveTransport) == [RemoveTransport(ALICE)]


@virtually
async def test_an_exception_in_any_other_turn_is_counted_and_the_next_one_comes() -> None:
    async with on_stage() as stage:
        await with_legs(stage, ALICE)
        stage.engine.answer = failing_on("a state event", StreamBound(TRACK, 0, Ssrc(1)))
        stage.runtime.submit("a state event")
        stage.plane.bring(StreamBound(TRACK, 0, Ssrc(1)))
        await asyncio.sleep(0.01)
        stage.runtime.submit("another")
        await stage.runtime.idle()
        assert stage.failures("turn") == 2
        assert stage.engine.told[-1] == "another"
        assert stage.plane.of(RemoveTransport) == []


@virtually
async def test_an_engine_that_fails_on_reports_goes_on() -> None:
    async with on_stage() as stage:

        def answer(given: Any) -> Sequence[Any]:  # noqa: ANN401
            if isinstance(given, MediaReport):
                raise TypeError("no such column")
            return ["answer"]

        stage.engine.answer = answer
        await asyncio.sleep(0.2)
        stage.runtime.submit("input")
        await asyncio.sleep(0.2)
        assert stage.performed == ["answer"]
        assert stage.failures("turn") == pytest.approx(8, abs=1)


@virtually
async def test_an_output_that_fails_ends_the_leg_of_its_turn_and_the_others_are_performed() -> None:
    async with on_stage() as stage:
        await with_legs(stage, ALICE)
        stage.engine.answer = lambda given: (
            [ValueError("no"), "after"] if given == PairSelected(ALICE) else ()
        )
        stage.plane.bring(PairSelected(ALICE))
        await asyncio.sleep(0.01)
        assert stage.performed[1] == "after"
        assert stage.engine.told == [PairSelected(ALICE), LegFailed(ALICE, "internal")]
        assert stage.failures("output") == 1


# --- legs -------------------------------------------------------------------------------------------------


@virtually
async def test_a_leg_that_failed_is_closed_once_the_engine_has_been_told() -> None:
    async with on_stage() as stage:
        stage.engine.answer = script(join=[add_transport(ALICE), StartDtls(ALICE, FINGERPRINTS)])
        stage.runtime.submit("join")
        await asyncio.sleep(120)
        assert stage.engine.told == ["join", LegFailed(ALICE, "dtls_timeout")]
        assert stage.counted("focus_leg_failures_total", reason="dtls_timeout") == 1
        assert stage.plane.of(RemoveTransport) == [RemoveTransport(ALICE)]
        assert stage.counted("focus_legs") == 0


@virtually
async def test_nothing_is_told_of_a_leg_that_has_been_closed() -> None:
    async with on_stage() as stage:
        await with_legs(stage, ALICE, BOB)
        stage.engine.answer = script(leave=[CloseLeg(ALICE)])
        stage.runtime.submit("leave")
        stage.plane.bring(PairSelected(ALICE), ConsentLost(ALICE), PairSelected(BOB))
        await asyncio.sleep(0.01)
        assert stage.engine.told == ["leave", PairSelected(BOB)]


@virtually
async def test_lost_consent_is_told_and_counted() -> None:
    async with on_stage() as stage:
        await with_legs(stage, ALICE)
        stage.plane.bring(ConsentLost(ALICE))
        await asyncio.sleep(0.01)
        assert stage.engine.told == [ConsentLost(ALICE)]
        assert stage.counted("focus_leg_failures_total", reason="consent") == 1


@virtually
async def test_a_client_connects_talks_and_is_told_of_the_end() -> None:
    wire = Wire(certificate=CERTIFICATE, clock=clock)
    async with on_stage() as stage:
        wire.ice._give = lambda data: stage.plane.bring_datagram(ALICE, data)
        stage.plane.send = lambda transport, data: wire.ice.inbox.put_nowait(data)
        join = [add_transport(ALICE), StartDtls(ALICE, tuple(wire.client_fingerprints))]
        stage.engine.answer = script(join=join, speak=[SendData(ALICE, 0, "welcome")])
        stage.runtime.submit("join")
        await wire.connect_client()
        await wire.start_sctp()
        channel = await wire.open_channel()
        channel.send("hello")
        await asyncio.sleep(0.1)
        assert [type(one).__name__ for one in stage.engine.told] == [
            "str",
            "LegConnected",
            "DataChannelOpened",
            "DataReceived",
        ]
        assert stage.engine.told[1] == LegConnected(ALICE)
        stage.runtime.submit("speak")
        assert await channel.received.get() == "welcome"
        assert stage.counted("focus_messages_total", direction="sent") == 1
    await asyncio.sleep(1)
    assert wire.dtls.state == "closed"
    await wire.close_client()


class FarSide:
    """A lite agent behind a plane: answers checks while it is there, and says what was selected."""

    address = ("198.51.100.7", 10_000)
    credentials = Credentials("theirfragment", "their-password-of-22-chars")

    def __init__(self, stage: Stage) -> None:
        self.is_there = True
        self._stage = stage
        self._agent = LiteAgent(30.0)
        self._agent.add(BOB, self.credentials)
        stage.plane.refuses = self._watch

    def dial(self) -> list[Any]:
        """What an engine says to dial it."""
        ours = Credentials("ourfragment", "our-password-of-22-chars")
        start = StartDtls(ALICE, FINGERPRINTS, is_client=True)
        return [add_transport(ALICE), start, Dial(ALICE, ours, self.credentials, (self.address,))]

    def _watch(self, operation: PlaneOperation) -> None:
        match operation:
            case SendStun(transport, host, port, data) if self.is_there:
                answer = self._agent.handle(self._stage.clock(), ("192.0.2.1", 1), data).answer
                assert answer is not None
                self._stage.plane.bring_response(transport, (host, port), answer)
            case SelectAddress(transport):
                self._stage.plane.bring(PairSelected(transport))
            case _:
                pass


@virtually
async def test_a_leg_that_we_dial_is_found_and_its_handshake_begins() -> None:
    async with on_stage() as stage:
        far = FarSide(stage)
        stage.engine.answer = script(dial=far.dial())
        stage.runtime.submit("dial")
        await asyncio.sleep(0.5)
        assert stage.plane.of(SelectAddress) == [SelectAddress(ALICE, *far.address)]
        assert stage.engine.told == ["dial", PairSelected(ALICE)]
        assert len(stage.plane.of(SendDatagram)) == 1


@virtually
async def test_a_leg_without_a_port_of_its_own_is_lost_and_closed() -> None:
    async with on_stage() as stage:
        stage.engine.answer = script(dial=FarSide(stage).dial()[:2])
        stage.runtime.submit("dial")
        await asyncio.sleep(0.1)
        stage.plane.bring(PortRefused(ALICE), PortRefused(BOB))
        await asyncio.sleep(0.1)
        assert stage.engine.told == ["dial", LegFailed(ALICE, "no_port")]
        assert stage.counted("focus_leg_failures_total", reason="no_port") == 1
        assert stage.plane.of(RemoveTransport) == [RemoveTransport(ALICE)]


@virtually
async def test_a_leg_that_we_dial_is_lost_with_its_consent_and_closed() -> None:
    async with on_stage() as stage:
        far = FarSide(stage)
        dial = [one for one in far.dial() if not isinstance(one, StartDtls)]
        stage.engine.answer = script(dial=dial)
        stage.runtime.submit("dial")
        await asyncio.sleep(60)
        assert stage.engine.told == ["dial", PairSelected(ALICE)]
        far.is_there = False
        await asyncio.sleep(31)
        assert stage.engine.told[2:] == [LegFailed(ALICE, "consent_lost")]
        assert stage.counted("focus_leg_failures_total", reason="consent_lost") == 1
        assert stage.plane.of(RemoveTransport) == [RemoveTransport(ALICE)]
        assert stage.plane.of(SendDatagram) == []


@virtually
async def test_after_the_end_no_task_and_no_reader_is_left() -> None:
    async with on_stage() as stage:
        await with_legs(stage, ALICE)
        stage.engine.answer = script(start=[StartDtls(ALICE, FINGERPRINTS)])
        stage.runtime.submit("start")
        await asyncio.sleep(1)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert stage.plane.of(RemoveTransport) == [RemoveTransport(ALICE)]
    assert not asyncio.get_running_loop().remove_reader(stage.plane.fileno())


# --- the tick ---------------------------------------------------------------------------------------------


@virtually
async def test_demands_reach_the_plane_and_reports_the_engine() -> None:
    async with on_stage() as stage:
        demand = SetDemand(RouteId(7), ALICE, TRACK, Kind.AUDIO)
        stage.engine.answer = script(subscribe=[demand], unsubscribe=[DropDemand(RouteId(7))])
        stage.runtime.submit("subscribe")
        await asyncio.sleep(0.1)
        assert [7] in [targets["route"].tolist() for targets in stage.plane.targets]
        assert stage.engine.reports[-1].decisions["route"].tolist() == [7]
        stage.runtime.submit("unsubscribe")
        await asyncio.sleep(0.1)
        assert len(stage.plane.targets[-1]) == 0
        assert len(stage.engine.reports[-1].decisions) == 0


@virtually
async def test_the_plane_is_told_of_life_also_while_the_engine_fails() -> None:
    async with on_stage() as stage:

        def answer(given: Any) -> Sequence[Any]:  # noqa: ANN401
            raise RuntimeError("always")

        stage.engine.answer = answer
        before = len(stage.plane.targets)
        await asyncio.sleep(1)
        assert len(stage.plane.targets) - before >= 1_000 // ALIVE_MS - 1


@virtually
async def test_operations_of_a_turn_go_down_before_what_follows_them() -> None:
    async with on_stage() as stage:
        keyframe = RequestKeyframe(TRACK, 0)
        stage.engine.answer = script(ask=[keyframe, keyframe, "say"])
        stage.runtime.submit("ask")
        await stage.runtime.idle()
        assert stage.plane.batches == [(keyframe, keyframe)]
        assert stage.counted("focus_turn_seconds_count") >= 1


@virtually
async def test_the_plane_that_runs_is_named_in_the_metrics() -> None:
    async with on_stage() as stage:
        await stage.runtime.idle()
        await asyncio.sleep(0.01)
        assert stage.counted("focus_plane_info", plane="fake") == 1
