"""`loadtest demo`: from nothing to a call, with a homeserver and a focus of its own, and back to nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from loadtest.client.signalling import Account
from loadtest.crowd import Crowd, attendees
from loadtest.grounds import grounds
from loadtest.media.clips import VideoFormat
from loadtest.performance import perform
from loadtest.report import Report
from loadtest.run import LOOPBACK

if TYPE_CHECKING:
    from pathlib import Path

    from loadtest.ending import Ending
    from loadtest.homeserver.users import User
    from loadtest.stage import Stage

NAMES: Final = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy")
"""Who takes part; more than these are numbered."""

EVERYBODY_IS_HEARD: Final = {"conference": {"loudest": 0}}
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


async def demo(settings: DemoSettings, stage: Stage, ending: Ending) -> Report:
    """Start everything, hold a call, and leave nothing behind.

    Raises:
        HomeserverError: the homeserver could not be installed or started.
        FocusProcessError: the focus could not be started.
    """
    async with grounds(stage, settings.logs, EVERYBODY_IS_HEARD) as ground:
        focus = ground.focus
        names = [*NAMES, *(f"user{n}" for n in range(len(NAMES) + 1, settings.participants + 1))]
        users = [await ground.register(name) for name in names[: settings.participants]]
        room = await ground.room(users[0], "demo")
        stage.say(f"focus {ground.focus_user.user_id}, admin API at {focus.admin_url}; call in {room}")
        stage.say(f"Join with a browser: {page_address(focus.page_url, room)}")
        crowd = Crowd(attendees(_accounts(users), room, ground.device, settings.video, (LOOPBACK,)))
        verdict, seconds = await perform(crowd, stage, ending, settings.seconds)
        plane = (await focus.ask_status()).get("plane")
        if focus.status is not None:
            stage.say(focus.log_tail())
            trouble = f"the focus ended with status {focus.status} during the call"
            verdict = replace(verdict, troubles=(trouble, *verdict.troubles))
    return Report(verdict, settings.participants, seconds, None if plane is None else str(plane))


def page_address(page_url: str, room_id: str) -> str:
    """Where somebody with a browser is one click away from a call; homeserver and focus tell the rest."""
    return f"{page_url}#demo={quote(room_id, safe='!:')}"


def _accounts(users: list[User]) -> list[Account]:
    return [Account(user.base_url, user.user_id, user.device_id, user.access_token) for user in users]
