"""Browsers and participants who meet in a call: what they see, hear and are told of each other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from loadtest.client.scene import AUDIO, VIDEO
from tests.e2e.watching import all_receive, until, until_decoded, until_told

if TYPE_CHECKING:
    from loadtest.client.participant import Participant
    from loadtest.client.scene import Party
    from tests.e2e.browsers import Tab
    from tests.e2e.venue import Call


async def everybody_meets(tabs: list[Tab], people: list[Participant]) -> None:
    """Wait until everybody sees and hears everybody else, browsers and participants."""
    parties = [tab.party for tab in tabs] + [one.party for one in people]
    async with asyncio.TaskGroup() as group:
        group.create_task(all_receive(people))
        for tab in tabs:
            for party in parties:
                if party != tab.party:
                    group.create_task(tab.sees(party))
                    group.create_task(tab.hears(party))
            for one in people:
                group.create_task(until_decoded(one, tab.party, AUDIO, VIDEO))


async def live_encodings(call: Call, party: Party) -> dict[str, int]:
    """The bit rates of those encodings of somebody's camera that arrive."""
    member = (await call.members()).get(party.user_id, {"tracks": []})
    videos = [track for track in member["tracks"] if track["kind"] == "video"]
    return {
        encoding["rid"]: encoding["bitrate_bps"]
        for track in videos
        for encoding in track["encodings"]
        if encoding["live"] and encoding["bitrate_bps"] > 0
    }


async def is_told_of_mute(one: Participant, party: Party, kind: str, *, muted: bool) -> None:
    """Wait until a participant is told that somebody has muted or unmuted."""
    track = one.observations.track(party, kind)
    await until(lambda: track.is_muted is muted, f"{one.party.user_id} is told of a mute: {kind}")


async def tab_is_told(tab: Tab, party: Party, expected: dict[str, bool]) -> None:
    """Wait until a browser is told this of one of somebody's streams."""

    async def is_told() -> bool:
        return any(
            stream["user_id"] == party.user_id and expected.items() <= stream.items()
            for stream in await tab.streams()
        )

    await until_told(is_told, f"{tab.party.user_id} is told {expected} of {party.user_id}")


async def shows_no_share(tab: Tab) -> None:
    """Wait until a browser is told of no shared screen any more."""

    async def none_is_left() -> bool:
        return all(stream["purpose"] != "m.screenshare" for stream in await tab.streams())

    await until_told(none_is_left, f"{tab.party.user_id} is told that all shares are over")
