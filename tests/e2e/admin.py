"""What a focus says of itself: metrics, the admin API, its log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from prometheus_client.samples import Sample

    from loadtest.focus_process import FocusProcess

_CALLS: Final = "/_focus/admin/v1/calls"


class Admin:
    """Reads one focus, as its operator would."""

    def __init__(self, focus: FocusProcess) -> None:
        self._focus = focus

    async def counted(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        return sum(
            sample.value
            for sample in await self._samples()
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    async def gauged(self, *names: str) -> dict[str, float]:
        """The sums of several metrics at one moment."""
        samples = await self._samples()
        return {name: sum(one.value for one in samples if one.name == name) for name in names}

    async def members(self, room_id: str, conf_id: str) -> dict[str, dict[str, Any]]:
        """Everybody in a call, by user id."""
        calls = json.loads(await self._get(_CALLS))["calls"]
        return {
            member["user_id"]: member
            for call in calls
            if (call["room_id"], call["conf_id"]) == (room_id, conf_id)
            for member in call["members"]
        }

    def log(self, event: str | None = None) -> list[dict[str, Any]]:
        """The lines of the log that are events, or one kind of event."""
        text = self._focus.log.read_text(encoding="utf-8", errors="replace")
        lines = [json.loads(line) for line in text.splitlines() if line.startswith('{"')]
        return [line for line in lines if event in {None, line.get("event")}]

    async def _samples(self) -> list[Sample]:
        families = text_string_to_metric_families(await self._get("/metrics"))
        return [sample for family in families for sample in family.samples]

    async def _get(self, path: str) -> str:
        async with aiohttp.ClientSession() as http, http.get(f"{self._focus.admin_url}{path}") as answer:
            answer.raise_for_status()
            return await answer.text()
