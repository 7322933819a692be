from __future__ import annotations

import asyncio

import numpy as np

from sfu.allocation.decision import DECISION_DTYPE
from sfu.conference.turn import MediaReport
from sfu.runtime.inbox import MAX_WAITING, ROOM_AGAIN, Inbox
from tests.support.fake_plane import FakePlane
from tests.support.virtual_time import clock, virtually


def report() -> MediaReport:
    plane = FakePlane(clock)
    try:
        return MediaReport(plane.stats(), np.zeros(0, DECISION_DTYPE))
    finally:
        plane.close()


def full() -> Inbox:
    inbox = Inbox()
    for number in range(MAX_WAITING):
        assert inbox.offer(number)
    return inbox


def test_inputs_are_taken_in_order_of_arrival_wherever_they_come_from() -> None:
    inbox = Inbox()
    inbox.put("runtime's")
    assert inbox.offer("dialect's")
    inbox.put("runtime's again")
    assert [inbox.take() for _ in range(4)] == ["runtime's", "dialect's", "runtime's again", None]


@virtually
async def test_a_report_goes_behind_everything_else_and_only_the_newest_waits() -> None:
    inbox = Inbox()
    first, second = report(), report()
    inbox.put_report(first)
    inbox.put("input")
    inbox.put_report(second)
    assert len(inbox) == 2
    assert inbox.take() == "input"
    assert inbox.take() is second
    assert inbox.take() is None


def test_a_full_inbox_refuses_the_dialect_and_loses_nothing() -> None:
    inbox = full()
    assert inbox.is_full
    assert not inbox.offer("too much")
    inbox.put("must not be lost")
    assert [inbox.take() for _ in range(MAX_WAITING + 1)] == [*range(MAX_WAITING), "must not be lost"]


def test_the_door_opens_again_when_half_is_done() -> None:
    inbox = full()
    while len(inbox) >= ROOM_AGAIN:
        assert inbox.is_full
        inbox.take()
    assert not inbox.is_full
    assert inbox.offer("welcome")


@virtually
async def test_whoever_waits_for_room_wakes_when_the_door_opens() -> None:
    inbox = full()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(inbox.room())
        await asyncio.sleep(1)
        assert not waiting.done()
        while inbox.is_full:
            inbox.take()
    await inbox.room()


@virtually
async def test_an_arrival_wakes_whoever_takes() -> None:
    inbox = Inbox()
    for kind in ("input", "report"):
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(inbox.arrival())
            await asyncio.sleep(1)
            assert not waiting.done()
            if kind == "input":
                inbox.put(kind)
            else:
                inbox.put_report(report())
        inbox.take()


@virtually
async def test_it_says_when_nothing_waits() -> None:
    inbox = Inbox()
    await inbox.emptied()
    inbox.put("input")
    inbox.put_report(report())
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(inbox.emptied())
        inbox.take()
        await asyncio.sleep(1)
        assert not waiting.done()
        inbox.take()


@virtually
async def test_who_waits_for_an_arrival_can_be_roused_once() -> None:
    inbox = Inbox()
    async with asyncio.timeout(1):
        inbox.rouse()
        await inbox.arrival()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(inbox.arrival())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        inbox.put("something")
