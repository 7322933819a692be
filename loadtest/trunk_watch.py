"""Asks the foci of a call of their trunks, as long as it lasts."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from loadtest.grounds import Grounds
    from loadtest.trunks import TrunkLedger

INTERVAL_S: Final = 1.0
"""Between two readings. Shorter: asking costs the foci what media needs. Longer: a leg that lives briefly is
missed, and so is a layer that is."""


@contextlib.asynccontextmanager
async def trunk_watch(grounds: Sequence[Grounds], ledger: TrunkLedger) -> AsyncIterator[None]:
    """Fill a ledger while inside, and with a last reading at the end."""
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(_read_on(grounds, ledger))
        yield
        reading.cancel()
    await _read(grounds, ledger)


async def _read_on(grounds: Sequence[Grounds], ledger: TrunkLedger) -> None:
    while True:
        await _read(grounds, ledger)
        await asyncio.sleep(INTERVAL_S)


async def _read(grounds: Sequence[Grounds], ledger: TrunkLedger) -> None:
    for ground in grounds:
        ledger.take(ground.device, await ground.focus.ask_calls())
