"""`loadtest demo`: from nothing to a call, with homeservers and foci of its own, and back to nothing."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from loadtest.client.signalling import Account
from loadtest.crowd import Crowd, attendees
from loadtest.grounds import several_grounds
from loadtest.media.clips import VideoFormat
from loadtest.performance import perform
from loadtest.report import Report
from loadtest.run import LOOPBACK
from loadtest.trunk_watch import trunk_watch
from loadtest.trunks import TrunkLedger

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from loadtest.ending import Ending
    from loadtest.grounds import Grounds
    from loadtest.homeserver.users import User
    from loadtest.stage import Stage

NAMES: Final = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy")
"""Who takes part; more than these are numbered."""

EVERYBODY_IS_HEARD: Final[Mapping[str, Mapping[str, Any]]] = {"conference": {"loudest": 0}}
"""Settings of the focus: its participants prove that they hear everybody, however many they are."""


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """How many people meet, and for how long."""

    participants: int = 3
    seconds: float | None = None
    """None: until somebody ends it."""
    video: VideoFormat = field(default_factory=VideoFormat)
    logs: Path | None = None
    """Folder that gets the logs of homeserver and focus; None: they go with the rest."""
    homeservers: int = 1
    """With a focus on each; participants are spread over them, each on the focus of their own homeserver."""


async def demo(settings: DemoSettings, stage: Stage, ending: Ending) -> Report:
    """Start everything, hold a call, and leave nothing behind.

    Raises:
        HomeserverError: a homeserver could not be installed or started.
        FocusProcessError: a focus could not be started.
    """
    several = settings.homeservers > 1
    async with several_grounds(stage, settings.homeservers, settings.logs, EVERYBODY_IS_HEARD) as grounds:
        names = [*NAMES, *(f"user{n}" for n in range(len(NAMES) + 1, settings.participants + 1))]
        places = list(islice(cycle(grounds), settings.participants))
        users = [await place.register(name) for place, name in zip(places, names, strict=False)]
        room = await grounds[0].room(users[0], "demo")
        for ground in grounds:
            who = ground.focus_user.user_id
            stage.say(f"focus {who}, admin API at {ground.focus.admin_url}; call in {room}")
            stage.say(f"Join with a browser: {page_address(ground.focus.page_url, room)}")
        foci = [place.device for place in places]
        crowd = Crowd(attendees(_accounts(users), room, foci, settings.video, (LOOPBACK,)))
        ledger = TrunkLedger()
        beside = trunk_watch(grounds, ledger) if several else contextlib.nullcontext()
        verdict, seconds = await perform(crowd, stage, ending, settings.seconds, beside)
        plane = (await grounds[0].focus.ask_status()).get("plane")
        verdict = replace(verdict, troubles=(*_deaths(grounds, stage), *verdict.troubles))
    return Report(
        verdict, settings.participants, seconds, None if plane is None else str(plane), ledger.figures()
    )


def page_address(page_url: str, room_id: str) -> str:
    """Where somebody with a browser is one click away from a call; homeserver and focus tell the rest."""
    return f"{page_url}#demo={quote(room_id, safe='!:')}"


def _deaths(grounds: tuple[Grounds, ...], stage: Stage) -> Iterator[str]:
    """Foci that did not live to see the end of the call; what they said last is shown."""
    for ground in grounds:
        if ground.focus.status is not None:
            stage.say(ground.focus.log_tail())
            which = "the focus" if len(grounds) == 1 else f"the focus of {ground.server.server_name}"
            yield f"{which} ended with status {ground.focus.status} during the call"


def _accounts(users: list[User]) -> list[Account]:
    return [Account(user.base_url, user.user_id, user.device_id, user.access_token) for user in users]
