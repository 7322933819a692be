"""Every query of the dashboards, by Debian's Prometheus while a call is in progress."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import pytest

from loadtest.client.participant import JoinFailedError
from tests.e2e.venue import open_venue
from tests.e2e.watching import all_receive, until_told
from tests.support.dashboards import filled_in, metric_names, panels
from tests.support.prometheus import prometheus

if TYPE_CHECKING:
    from pathlib import Path

    from loadtest.homeserver.server import Homeserver
    from tests.e2e.venue import Venue
    from tests.support.prometheus import Prometheus

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

WINDOW: Final = "30s"
PATIENCE_S: Final = 40.0
EMPTY_WHEN_ALL_IS_WELL: Final = frozenset(
    {
        "focus_leg_failures_total",
        "focus_messages_refused_total",
        "focus_hop_dials_total",
        "focus_hop_trunks_ended_total",
        "focus_hop_trunks_refused_total",
        "focus_hop_streams_refused_total",
    }
)
"""What has no series before the first of its troubles happens, or before there is another focus."""


async def make_something_of_everything_happen(venue: Venue) -> None:
    """A stranger is rejected, and somebody comes and goes."""
    async with venue.call() as call:
        mallory = await call.enter(
            "mallory", room_id=await venue.room(await venue.user("m"), with_focus=False)
        )
        with pytest.raises(JoinFailedError, match="rejected"):
            await mallory.join()
        await call.join("carol")
    left = "focus_leaves_total"

    async def is_gone() -> bool:
        return await venue.admin.counted(left) > 0

    await until_told(is_gone, "somebody has left")


async def test_every_query_of_every_dashboard_is_answered(homeserver: Homeserver, tmp_path: Path) -> None:
    for folder in ("focus", "prometheus"):
        (tmp_path / folder).mkdir()
    async with open_venue(homeserver, tmp_path / "focus") as venue:
        target = venue.focus.admin_url.removeprefix("http://")
        async with prometheus(tmp_path / "prometheus", target) as asked, venue.call() as call:
            await make_something_of_everything_happen(venue)
            people = await call.join("alice", "bob")
            await all_receive(people)
            queries = [query for panel in panels() for query in panel.queries]
            assert queries
            async with asyncio.TaskGroup() as group:
                for query in queries:
                    group.create_task(is_answered(asked, query))
            participants = await asked.ask("sum(focus_legs)")
            assert float(participants[0]["value"][1]) == 2.0
            forwarded = await asked.ask(
                f'sum(rate(focus_rtp_packets_total{{direction="forwarded"}}[{WINDOW}]))'
            )
            assert float(forwarded[0]["value"][1]) > 0


async def is_answered(asked: Prometheus, query: str) -> None:
    filled = filled_in(query, WINDOW)
    if metric_names(query) & EMPTY_WHEN_ALL_IS_WELL:
        await asked.ask(filled)
        return

    async def has_series() -> bool:
        return bool(await asked.ask(filled))

    await until_told(has_series, f"Prometheus has something for {filled}", PATIENCE_S)


async def test_a_query_that_prometheus_does_not_understand_is_a_failure(tmp_path: Path) -> None:
    async with prometheus(tmp_path, "127.0.0.1:9") as asked:
        with pytest.raises(ValueError, match="parse error"):
            await asked.ask("sum by (")
        assert await asked.ask("focus_calls") == []
