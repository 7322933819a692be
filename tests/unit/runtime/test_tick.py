from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.bwe.estimate import EstimateState
from sfu.conference.speakers import SILENT_DBOV
from sfu.conference.turn import MediaReport, SetCaps, SetDemand, SetSpeech
from sfu.metrics import Metrics
from sfu.plane import TARGETS_STALE_MS
from sfu.rows import ALL_TEMPORAL, ENCODING_DTYPE, FEEDBACK_DTYPE, PAUSED, TRANSPORT_DTYPE
from sfu.runtime.failures import Failures
from sfu.runtime.tick import (
    ALIVE_MS,
    ALLOCATION_GAP_MS,
    FULL_MS,
    QUIET_AFTER_MS,
    QUIET_TICK_MS,
    TICK_MS,
    Ticker,
    following_tick,
)
from sfu.units import NS_PER_MS, ConferenceId, Instant, Kind, RouteId, TrackHandle, TransportId, after_ms
from tests.support.fake_plane import FakePlane
from tests.support.virtual_time import clock, virtually
from tests.unit.conference.caller import encoding_rows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sfu.rows import StructArray

PERIOD_NS = TICK_MS * NS_PER_MS
AUDIO = SetDemand(RouteId(1), TransportId(9), TrackHandle(5), Kind.AUDIO)
VIDEO = SetDemand(RouteId(2), TransportId(9), TrackHandle(6), Kind.VIDEO, 1280, 720, 1280, 720, encodings=3)


class Clockwork:
    """A ticker over a fake plane. `lost_ns` is time that somebody wasted without sleeping."""

    def __init__(self) -> None:
        self.lost_ns = 0
        self.plane = FakePlane(self.clock)
        self.metrics = Metrics()
        self.reports: list[MediaReport] = []
        self.ticker = Ticker(
            self.plane,
            self.metrics,
            Failures(self.metrics, self.clock),
            clock=self.clock,
            report=self.reports.append,
        )

    def clock(self) -> Instant:
        return Instant(clock() + self.lost_ns)

    def flow(self, track: TrackHandle, *encodings: int) -> None:
        """Let packets of these encodings have come just now."""
        rows = np.zeros(len(encodings), ENCODING_DTYPE)
        rows["track"], rows["encoding"], rows["last_received_at"] = track, encodings, self.clock()
        self.plane.encodings = rows

    def speak(self) -> None:
        """Let somebody be heard from now on."""
        self.plane.encodings = encoding_rows((AUDIO.track, 0, 30))

    def counted(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def targets(self) -> list[tuple[int, int, int]]:
        """The newest ones, as plain numbers."""
        return [tuple(row.tolist()) for row in self.chosen()[-1]]

    def chosen(self) -> list[StructArray]:
        """Targets that say something, other than that somebody is there."""
        return [targets for targets in self.plane.targets if len(targets)]


@contextlib.asynccontextmanager
async def ticking() -> AsyncIterator[Clockwork]:
    clockwork = Clockwork()
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(clockwork.ticker.run())
            await asyncio.sleep(0.001)
            yield clockwork
            task.cancel()
    finally:
        clockwork.plane.close()


@virtually
async def test_while_somebody_is_heard_there_are_twenty_ticks_a_second_each_with_a_report() -> None:
    async with ticking() as clockwork:
        clockwork.speak()
        await asyncio.sleep(10)
        assert len(clockwork.reports) == pytest.approx(201, abs=1)
        assert clockwork.counted("focus_tick_seconds_count") == len(clockwork.reports)
        assert clockwork.counted("focus_ticks_skipped_total") == 0
        gaps = [
            b.stats.now - a.stats.now for a, b in zip(clockwork.reports, clockwork.reports[1:], strict=False)
        ]
        assert gaps == pytest.approx([PERIOD_NS] * len(gaps), abs=2 * NS_PER_MS)


@virtually
async def test_where_nothing_happens_there_are_half_as_many() -> None:
    async with ticking() as clockwork:
        clockwork.plane.encodings = encoding_rows((AUDIO.track, 0, SILENT_DBOV))
        await asyncio.sleep(5)
        for happens in (clockwork.speak, lambda: clockwork.ticker.set_demand(AUDIO)):
            before = len(clockwork.reports)
            await asyncio.sleep(2)
            assert len(clockwork.reports) - before == pytest.approx(2_000 / QUIET_TICK_MS, abs=1)
            happens()
            await asyncio.sleep(QUIET_TICK_MS / 1_000)
            clockwork.plane.encodings = encoding_rows()
            before = len(clockwork.reports)
            await asyncio.sleep(QUIET_AFTER_MS / 1_000)
            assert len(clockwork.reports) - before == pytest.approx(QUIET_AFTER_MS / TICK_MS, abs=3)
            await asyncio.sleep(QUIET_AFTER_MS / 1_000)


@virtually
async def test_a_report_holds_the_planes_counters_and_a_decision_for_each_demand() -> None:
    async with ticking() as clockwork:
        clockwork.ticker.set_demand(AUDIO)
        clockwork.ticker.set_demand(VIDEO)
        clockwork.flow(VIDEO.track, 0, 1, 2)
        await asyncio.sleep(0.1)
        report = clockwork.reports[-1]
        assert report.stats.encodings["encoding"].tolist() == [0, 1, 2]
        assert report.decisions["route"].tolist() == [AUDIO.route, VIDEO.route]
        assert report.decisions["chosen_encoding"].tolist() == [0, 2]


@virtually
async def test_targets_follow_what_flows() -> None:
    async with ticking() as clockwork:
        clockwork.ticker.set_demand(VIDEO)
        clockwork.flow(VIDEO.track, 0)
        await asyncio.sleep(0.1)
        assert clockwork.targets() == [(VIDEO.route, 0, ALL_TEMPORAL)]
        clockwork.flow(VIDEO.track, 0, 1, 2)
        await asyncio.sleep(0.1)
        assert clockwork.targets() == [(VIDEO.route, 2, ALL_TEMPORAL)]


@virtually
async def test_where_nothing_changes_a_tick_only_says_that_somebody_is_there() -> None:
    async with ticking() as clockwork:
        clockwork.ticker.set_demand(VIDEO)
        clockwork.flow(VIDEO.track, 0, 1, 2)
        await asyncio.sleep(0.1)
        before = len(clockwork.chosen())
        said_at, silence_ns = clock(), 0
        for _ in range(4 * FULL_MS // TICK_MS):
            said = len(clockwork.plane.targets)
            clockwork.flow(VIDEO.track, 0, 1, 2)
            await asyncio.sleep(TICK_MS / 1_000)
            silence_ns = max(silence_ns, clock() - said_at)
            said_at = clock() if len(clockwork.plane.targets) > said else said_at
        assert ALIVE_MS <= silence_ns / NS_PER_MS <= TARGETS_STALE_MS / 1.5
        assert len(clockwork.chosen()) - before == pytest.approx(4, abs=1)
        assert clockwork.reports[-1].decisions["chosen_encoding"].tolist() == [2]


@virtually
async def test_a_new_demand_does_not_wait_for_the_next_tick() -> None:
    async with ticking() as clockwork:
        clockwork.flow(VIDEO.track, 0, 1, 2)
        await asyncio.sleep(0.06)
        clockwork.ticker.set_demand(VIDEO)
        began_at, reports = clock(), len(clockwork.reports)
        while not len(clockwork.plane.targets[-1]):  # noqa: ASYNC110  # the plane is no party that could wake us
            await asyncio.sleep(0.001)
        assert clock() - began_at < (ALLOCATION_GAP_MS + 2) * NS_PER_MS
        assert clockwork.targets() == [(VIDEO.route, 2, ALL_TEMPORAL)]
        assert len(clockwork.reports) == reports, "the engine is told at the tick only"


@virtually
async def test_a_dropped_demand_is_gone_from_the_targets() -> None:
    async with ticking() as clockwork:
        clockwork.ticker.set_demand(AUDIO)
        clockwork.ticker.set_demand(VIDEO)
        await asyncio.sleep(0.02)
        clockwork.ticker.drop_demand(VIDEO.route)
        await asyncio.sleep(0.02)
        assert [row[0] for row in clockwork.targets()] == [AUDIO.route]


@virtually
async def test_a_burst_of_demands_is_allocated_in_few_passes() -> None:
    async with ticking() as clockwork:
        await asyncio.sleep(0.005)
        before = len(clockwork.plane.targets)
        for number in range(200):
            clockwork.ticker.set_demand(replace(AUDIO, route=RouteId(number)))
            await asyncio.sleep(0.000_1)
        await asyncio.sleep(0.02)
        assert len(clockwork.targets()) == 200
        assert len(clockwork.plane.targets) - before <= 5


@pytest.mark.parametrize("failing_times", [1, 40])
@virtually
async def test_a_failing_tick_is_counted_and_the_next_one_comes(failing_times: int) -> None:
    async with ticking() as clockwork:
        left = failing_times

        def fail() -> None:
            nonlocal left
            left -= 1
            if left >= 0:
                raise RuntimeError("counters are gone")

        clockwork.plane.before_stats = fail
        before = len(clockwork.reports)
        await asyncio.sleep(failing_times * QUIET_TICK_MS / 1_000 + 0.5)
        assert clockwork.counted("focus_internal_failures_total", where="tick") == failing_times
        assert len(clockwork.reports) >= before + 3


@virtually
async def test_a_failing_allocation_is_counted_and_does_not_spin() -> None:
    async with ticking() as clockwork:
        refuse = ValueError("no targets")

        def raising(targets: object) -> None:
            raise refuse

        clockwork.plane.set_targets = raising  # type: ignore[method-assign]  # a plane that is broken
        clockwork.ticker.set_demand(VIDEO)
        await asyncio.sleep(1)
        assert 16 <= clockwork.counted("focus_internal_failures_total", where="tick") <= 23


@virtually
async def test_ticks_that_are_too_late_are_left_out_and_counted() -> None:
    async with ticking() as clockwork:
        clockwork.speak()
        await asyncio.sleep(0.2)

        def dawdle() -> None:
            clockwork.plane.before_stats = lambda: None
            clockwork.lost_ns += 4 * PERIOD_NS + PERIOD_NS // 2

        clockwork.plane.before_stats = dawdle
        before = len(clockwork.reports)
        await asyncio.sleep(0.5)
        assert clockwork.counted("focus_ticks_skipped_total") == 4
        assert len(clockwork.reports) - before == pytest.approx(10, abs=1)
        assert clockwork.counted("focus_tick_seconds_sum") >= 0.2


@virtually
async def test_the_tick_publishes_what_was_decided() -> None:
    async with ticking() as clockwork:
        clockwork.ticker.set_demand(VIDEO)
        clockwork.flow(VIDEO.track, 0)
        await asyncio.sleep((FULL_MS + QUIET_TICK_MS) / 1_000)
        assert clockwork.counted("focus_subscriptions", kind="video", layer="0") == 1
        assert clockwork.counted("focus_allocation_causes", cause="layer_not_sent") == 1


@given(due=st.integers(0, 2**62), late=st.integers(0, 10**12))
def test_the_next_tick_is_in_step_and_later_than_now_by_at_most_a_period(due: int, late: int) -> None:
    now = Instant(due + late)
    next_at, skipped = following_tick(Instant(due), now, TICK_MS)
    assert (next_at - due) % PERIOD_NS == 0
    assert now < next_at <= now + PERIOD_NS
    assert skipped == (next_at - due) // PERIOD_NS - 1


def test_a_tick_that_was_in_time_skips_none() -> None:
    assert following_tick(Instant(0), after_ms(Instant(0), TICK_MS - 1), TICK_MS) == (Instant(PERIOD_NS), 0)


# --- paths ------------------------------------------------------------------------------------------------


def sent_to(leg: TransportId) -> StructArray:
    rows = np.zeros(1, TRANSPORT_DTYPE)
    rows["transport"], rows["packets_sent"], rows["round_trip_time_ms"] = leg, 50, np.nan
    return rows


def arrived(leg: TransportId, now: Instant, packets: int) -> StructArray:
    """A leg tells that packets came over a line without a queue."""
    rows = np.zeros(packets, FEEDBACK_DTYPE)
    rows["transport"], rows["seq"], rows["size_bytes"] = leg, np.arange(packets) + 1, 1_000
    rows["sent_at"] = now - NS_PER_MS * np.arange(100, 100 - packets, -1)
    rows["arrived_at"], rows["reported_at"] = rows["sent_at"] + 20 * NS_PER_MS, now
    return rows


@virtually
async def test_what_is_found_out_about_paths_goes_down_and_into_reports() -> None:
    async with ticking() as clockwork:
        leg = VIDEO.subscriber
        clockwork.plane.transports = sent_to(leg)
        await asyncio.sleep(0.2)
        (paced,) = clockwork.plane.pacing
        assert paced["transport"].tolist() == [leg]
        assert np.isfinite(paced["rate_bps"]).all()
        assert clockwork.plane.probes == []
        clockwork.plane.told.append(arrived(leg, clockwork.clock(), 20))
        await asyncio.sleep(0.3)
        assert clockwork.plane.told == []
        assert {int(row["transport"]) for rows in clockwork.plane.probes for row in rows} == {leg}
        sent = sum(map(len, clockwork.plane.probes))
        assert clockwork.counted("focus_probes_total") == sent > 0
        estimates = clockwork.reports[-1].estimates
        assert estimates["transport"].tolist() == [leg]
        assert EstimateState(int(estimates["state"][0])) is EstimateState.NORMAL
        await asyncio.sleep(FULL_MS / 1_000)
        assert clockwork.counted("focus_paths", state="normal") == 1


@virtually
async def test_a_peer_that_is_somewhere_else_is_measured_anew() -> None:
    async with ticking() as clockwork:
        leg = VIDEO.subscriber
        clockwork.plane.transports = sent_to(leg)
        clockwork.plane.told.append(arrived(leg, clockwork.clock(), 20))
        await asyncio.sleep(2)
        before = sum(map(len, clockwork.plane.probes))
        clockwork.ticker.route_changed(leg)
        clockwork.plane.told.append(arrived(leg, clockwork.clock(), 20))
        await asyncio.sleep(2)
        assert sum(map(len, clockwork.plane.probes)) > before


@virtually
async def test_caps_and_speech_hold_at_once_and_end_with_the_leg_and_the_call() -> None:
    async with ticking() as clockwork:
        clockwork.flow(VIDEO.track, 0, 1, 2)
        clockwork.ticker.set_demand(AUDIO)
        clockwork.ticker.set_demand(VIDEO)
        await asyncio.sleep(0.05)
        audio, video = (AUDIO.route, 0, ALL_TEMPORAL), (VIDEO.route, 2, ALL_TEMPORAL)
        assert clockwork.targets() == [audio, video]
        clockwork.ticker.set_caps(SetCaps(VIDEO.subscriber, max_height=360))
        await asyncio.sleep(2 * ALLOCATION_GAP_MS / 1_000)
        assert clockwork.targets() == [audio, (VIDEO.route, 1, ALL_TEMPORAL)]
        clockwork.ticker.set_speech(SetSpeech(ConferenceId(1), unheard=(AUDIO.track,)))
        await asyncio.sleep(2 * ALLOCATION_GAP_MS / 1_000)
        assert clockwork.targets()[0] == (AUDIO.route, PAUSED, ALL_TEMPORAL)
        clockwork.ticker.set_speech(SetSpeech(ConferenceId(1)))
        clockwork.ticker.forget(VIDEO.subscriber)
        await asyncio.sleep(2 * ALLOCATION_GAP_MS / 1_000)
        assert clockwork.targets() == [audio, video]
