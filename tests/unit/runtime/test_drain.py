from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from sfu.metrics import Metrics
from sfu.plane import Batch, PairSelected
from sfu.runtime.drain import RETRY_S, PlaneDrain
from sfu.runtime.failures import Failures
from sfu.units import TransportId
from tests.support.fake_plane import FakePlane
from tests.support.virtual_time import clock, virtually

if TYPE_CHECKING:
    from collections.abc import Iterator

LEG = TransportId(1)


class Drained:
    """A fake plane and what was drained of it."""

    def __init__(self) -> None:
        self.plane = FakePlane(clock)
        self.batches: list[Batch] = []
        self.metrics = Metrics()
        self.drain = PlaneDrain(self.plane, self.batches.append, Failures(self.metrics, clock))


@contextlib.contextmanager
def drained() -> Iterator[Drained]:
    one = Drained()
    try:
        yield one
    finally:
        one.drain.close()
        one.plane.close()


@virtually
async def test_what_comes_up_is_taken_at_once_in_order() -> None:
    with drained() as one:
        one.drain.open()
        one.plane.bring_datagram(LEG, b"one")
        one.plane.bring_datagram(LEG, b"two")
        one.plane.bring(PairSelected(LEG))
        await asyncio.sleep(0.001)
        assert one.batches == [Batch(((LEG, b"one"), (LEG, b"two")), (PairSelected(LEG),))]


@virtually
async def test_while_it_is_closed_everything_waits_in_the_plane() -> None:
    with drained() as one:
        one.drain.open()
        one.drain.close()
        assert not one.drain.is_open
        one.plane.bring_datagram(LEG, b"later")
        await asyncio.sleep(1)
        assert one.batches == []
        one.drain.open()
        one.drain.open()
        await asyncio.sleep(0.001)
        assert [batch.datagrams for batch in one.batches] == [((LEG, b"later"),)]
        one.drain.close()
        one.drain.close()


@virtually
async def test_a_failing_drain_is_counted_and_tried_again_after_a_pause() -> None:
    with drained() as one:
        tries = []

        def fail_twice() -> None:
            tries.append(clock())
            if len(tries) <= 2:
                raise OSError("the plane is gone")

        one.plane.before_drain = fail_twice
        one.drain.open()
        one.plane.bring(PairSelected(LEG))
        await asyncio.sleep(10 * RETRY_S)
        assert len(tries) == 3
        assert len(one.batches) == 1
        assert (
            one.metrics.registry.get_sample_value("focus_internal_failures_total", {"where": "drain"})
            == len(tries) - 1
        )


@virtually
async def test_closing_ends_the_tries() -> None:
    with drained() as one:

        def fail() -> None:
            raise OSError("the plane is gone")

        one.plane.before_drain = fail
        one.drain.open()
        one.plane.bring(PairSelected(LEG))
        await asyncio.sleep(RETRY_S / 2)
        one.drain.close()
        await asyncio.sleep(10 * RETRY_S)
        assert not one.drain.is_open
