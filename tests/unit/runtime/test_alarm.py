from __future__ import annotations

import asyncio

from sfu.runtime.alarm import Alarm
from sfu.units import NS_PER_MS, after_ms
from tests.support.virtual_time import clock, virtually


class Bell:
    """An alarm, and when it rang, in milliseconds since the beginning."""

    def __init__(self) -> None:
        self.began_at = clock()
        self.rang: list[int] = []
        self.alarm = Alarm(clock, lambda: self.rang.append(round((clock() - self.began_at) / NS_PER_MS)))

    def set(self, ms: float) -> None:
        self.alarm.set(after_ms(self.began_at, ms))


@virtually
async def test_it_rings_once_when_the_time_has_come_however_often_it_is_set() -> None:
    bell = Bell()
    for _ in range(5):
        bell.set(20)
        await asyncio.sleep(0.002)
    await asyncio.sleep(0.1)
    assert bell.rang == [20]


@virtually
async def test_it_rings_for_the_newest_instant_only_and_not_for_none() -> None:
    bell = Bell()
    bell.set(20)
    bell.set(10)
    bell.set(30)
    await asyncio.sleep(0.1)
    assert bell.rang == [30]
    bell.set(120)
    bell.alarm.set(None)
    await asyncio.sleep(0.1)
    assert bell.rang == [30]


@virtually
async def test_an_instant_that_has_passed_is_now_and_can_be_set_again() -> None:
    bell = Bell()
    bell.set(-5)
    await asyncio.sleep(0.01)
    bell.set(-5)
    await asyncio.sleep(0.01)
    assert len(bell.rang) == 2
