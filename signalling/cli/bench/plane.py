"""`focus bench plane`: what forwarding a packet costs, beside what the system lets it cost at best."""

from __future__ import annotations

import asyncio
import ctypes
import statistics
import threading
import time
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.config import MediaConfig
from sfu.dataplane.native_plane import NativePlane
from sfu.dataplane.reference import ReferencePlane
from sfu.units import Kind
from signalling.cli.bench.ground import Ground, lecture
from signalling.cli.bench.memory import bytes_per_subscription

if TYPE_CHECKING:
    from collections.abc import Callable

    from signalling.cli.bench.ground import Run

PACKET_BYTES: Final = 1_100
SUBSCRIBERS: Final = 20
MANY_SUBSCRIBERS: Final = 500
STALL_MS: Final = 300
"""For so long the interpreter's lock is held, and nothing else of Python runs."""

_SINGLE: Final = [[PACKET_BYTES]]
_BURST: Final = [[PACKET_BYTES] * 10]
_PERIOD_NS: Final = 2_000_000
_PEOPLE: Final = 20
_TILES: Final = 9

Raw = dict[str, list[float]]


def measure(rounds: int, say: Callable[[str], None]) -> tuple[dict[str, float | None], Raw]:
    """All figures, medians over rounds in which what is compared takes turns; and what they come from."""
    raw: Raw = {}
    for kind in Kind:
        say(f"memory of {kind} subscriptions")
        raw[f"bytes_per_{kind}_subscription"] = [bytes_per_subscription(kind)]
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for key, value in _one_round().items():
            raw.setdefault(key, []).append(value)
    medians = {key: statistics.median(values) for key, values in raw.items()}
    values: dict[str, float | None] = {
        "vs_sendmmsg_floor": _ratio(raw, "single_us", "floor_sendmmsg_us"),
        "vs_gso_floor": _ratio(raw, "burst_us", "floor_gso_us"),
        "saturated_vs_gso_floor": _ratio(raw, "saturated_packets_per_s", "floor_gso_packets_per_s"),
        "stall_delay_max_ms": max(raw["stall_delay_max_ms"]),
        "stall_p99_ratio": medians["stall_p99_ratio"],
        "stall_reference_ms": medians["stall_reference_ms"],
        "cost_500_vs_20": _ratio(raw, "burst_500_us", "burst_us"),
        "meeting_us_per_packet": medians["meeting_us_per_packet"],
        "bytes_per_video_subscription": medians["bytes_per_video_subscription"],
        "bytes_per_audio_subscription": medians["bytes_per_audio_subscription"],
    }
    absolute = ("single_us", "burst_us", "burst_500_us", "floor_sendmmsg_us", "floor_gso_us")
    values |= {key: medians[key] for key in (*absolute, "saturated_packets_per_s", "reference_us")}
    return values, raw


def _one_round() -> dict[str, float]:
    config = MediaConfig(host="127.0.0.1", port=0)
    row: dict[str, float] = {}
    plane = NativePlane(config)
    try:
        ground = lecture(plane, SUBSCRIBERS)
        ground.closed_loop(100, _SINGLE, 1, 16)  # caches warm, routes begun
        row["floor_sendmmsg_us"] = ground.floor(200, _BURST[0], 1).cpu_us
        row["single_us"] = ground.closed_loop(3_000, _SINGLE, 1, 16).cpu_us
        row["floor_gso_us"] = ground.floor(200, _BURST[0], 10).cpu_us
        row["burst_us"] = ground.closed_loop(600, _BURST, 10, 40).cpu_us
        saturated = ground.closed_loop(2_000, _BURST, 10, 600)
        row["saturated_packets_per_s"] = saturated.packets / saturated.elapsed_s
        row["floor_gso_packets_per_s"] = 1e6 / row["floor_gso_us"]
        row |= _stalled(ground)
    finally:
        plane.close()
    plane = NativePlane(config)
    try:
        many = lecture(plane, MANY_SUBSCRIBERS)
        many.closed_loop(4, _BURST, 10, 20)
        row["burst_500_us"] = many.closed_loop(24, _BURST, 10, 40).cpu_us
    finally:
        plane.close()
    row["meeting_us_per_packet"] = _meeting(config)
    row |= asyncio.run(_reference(config))
    return row


def _meeting(config: MediaConfig) -> float:
    """Twenty people see nine others each and hear all of them: video and sound at their own paces' mean."""
    plane = NativePlane(config)
    try:
        ground = Ground(plane, 2 * _PEOPLE, _PEOPLE, cameras=_PEOPLE)
        ground.program()
        ground.check()
        ground.publish()
        for person in range(_PEOPLE):
            seen = [(person + 1 + other) % _PEOPLE for other in range(_TILES)]
            heard = [_PEOPLE + other for other in range(_PEOPLE) if other != person]
            ground.subscribe(person, seen + heard)
        ground.aim()
        sizes = [[PACKET_BYTES] * 2] * _PEOPLE + [[120]] * _PEOPLE
        share = 2 * _TILES + _PEOPLE - 1
        ground.paced(10, sizes, share, 20_000_000)
        return ground.paced(50, sizes, share, 20_000_000).cpu_us
    finally:
        plane.close()


def _stalled(ground: Ground) -> dict[str, float]:
    """What forwarding notices of an interpreter that stands still."""
    calm = ground.paced(500, _SINGLE, 1, _PERIOD_NS)
    stalled = _meanwhile(lambda: ground.paced(500, _SINGLE, 1, _PERIOD_NS), _hold_the_lock)
    usual_ms = float(np.median(calm.delays_ms))
    calm_p99, stalled_p99 = (float(np.percentile(run.delays_ms, 99)) for run in (calm, stalled))
    return {
        "calm_p50_ms": usual_ms,
        "calm_p99_ms": calm_p99,
        "stall_delay_max_ms": float(stalled.delays_ms.max()) - usual_ms,
        "stall_p99_ratio": stalled_p99 / calm_p99,
    }


async def _reference(config: MediaConfig) -> dict[str, float]:
    """The Python twin in the same stall: the control; and what a packet costs there."""
    plane = ReferencePlane(config)
    try:
        ground = Ground(plane, 1, SUBSCRIBERS)
        ground.program()
        await asyncio.to_thread(ground.check)
        ground.publish()
        for subscriber in range(SUBSCRIBERS):
            ground.subscribe(subscriber, [0])
        ground.aim()
        before = time.thread_time_ns()
        cost = await asyncio.to_thread(ground.closed_loop, 300, _SINGLE, 1, 16)
        spent_ns = time.thread_time_ns() - before
        async with asyncio.TaskGroup() as group:
            task = group.create_task(asyncio.to_thread(ground.paced, 100, _SINGLE, 1, 10_000_000))
            await asyncio.sleep(0.3)
            _hold_the_lock()
        stalled = task.result()
        usual_ms = float(np.median(stalled.delays_ms))
        return {
            "reference_us": spent_ns / cost.packets / 1e3,
            "stall_reference_ms": float(stalled.delays_ms.max()) - usual_ms,
        }
    finally:
        plane.close()


def _meanwhile(run: Callable[[], Run], disturb: Callable[[], None]) -> Run:
    """The run, disturbed a little after its beginning."""
    outcome: list[Run] = []
    thread = threading.Thread(target=lambda: outcome.append(run()))
    thread.start()
    time.sleep(0.3)
    disturb()
    thread.join()
    return outcome[0]


def _hold_the_lock() -> None:
    """Sleep without giving the interpreter's lock away."""
    ctypes.PyDLL(None).usleep(STALL_MS * 1_000)


def _ratio(raw: Raw, above: str, below: str) -> float:
    """The median of the rounds' own ratios: what is compared was measured side by side."""
    return statistics.median(one / other for one, other in zip(raw[above], raw[below], strict=True))
