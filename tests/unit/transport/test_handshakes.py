from __future__ import annotations

import asyncio

import pytest

from sfu.transport.handshakes import SLOT_S, HandshakeSlots
from sfu.units import NS_PER_S
from tests.support.virtual_time import clock, virtually


async def began_at_s(slots: HandshakeSlots, hold_s: float, start_s: float) -> float:
    async with slots.hold():
        began = clock() / NS_PER_S - start_s
        await asyncio.sleep(hold_s)
    return began


async def beginnings(slots: HandshakeSlots, holds_s: list[float]) -> list[float]:
    start_s = clock() / NS_PER_S
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(began_at_s(slots, hold_s, start_s)) for hold_s in holds_s]
    return [task.result() for task in tasks]


@virtually
async def test_as_many_run_at_once_as_there_are_slots_and_the_others_wait_their_turn() -> None:
    assert await beginnings(HandshakeSlots(2), [1.0] * 5) == pytest.approx([0, 0, 1, 1, 2])


@virtually
async def test_whoever_dawdles_keeps_nobody_waiting_longer_than_a_slot_lasts() -> None:
    assert await beginnings(HandshakeSlots(1), [60.0, 60.0, 0.0]) == pytest.approx([0, SLOT_S, 2 * SLOT_S])


@virtually
async def test_a_slot_that_was_taken_back_is_not_given_back_twice() -> None:
    slots = HandshakeSlots(1)
    await beginnings(slots, [SLOT_S + 1])
    assert await beginnings(slots, [1.0, 1.0]) == pytest.approx([0, 1])


@virtually
async def test_a_failed_handshake_gives_its_slot_back() -> None:
    slots = HandshakeSlots(1)
    with pytest.raises(ValueError, match="failed"):
        async with slots.hold():
            raise ValueError("failed")
    assert await beginnings(slots, [0.0]) == [0]


@virtually
async def test_a_leg_that_ends_while_it_waits_takes_no_slot() -> None:
    slots = HandshakeSlots(1)
    async with asyncio.TaskGroup() as group:
        group.create_task(began_at_s(slots, 1.0, 0))
        waiting = group.create_task(began_at_s(slots, 1.0, 0))
        await asyncio.sleep(0.5)
        waiting.cancel()
    assert await beginnings(slots, [0.0]) == [0]
