"""`loadtest run`: participants for any call on any homeserver."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from loadtest.client.accounts import Credentials, logged_in, registered
from loadtest.crowd import Crowd, attendees
from loadtest.media.clips import VideoFormat
from loadtest.performance import perform
from loadtest.report import Report
from signalling.events.room_state import FocusDevice

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from loadtest.client.signalling import Account
    from loadtest.ending import Ending
    from loadtest.stage import Stage

LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Who joins what, and how long they stay."""

    homeserver: str
    room: str
    participants: int
    seconds: float | None = None
    """None: until somebody ends it."""
    focus: FocusDevice | None = None
    video: VideoFormat = field(default_factory=VideoFormat)
    shared_secret: str | None = field(default=None, repr=False)
    """Registers by it; None: openly."""
    lent: tuple[Credentials, ...] = ()
    """Accounts that exist; empty: they are registered."""
    addresses: tuple[str, ...] = ()
    """Of this machine, for ICE; empty: the one that leads to the homeserver."""


async def run(settings: RunSettings, stage: Stage, ending: Ending) -> Report:
    """Take part in a call.

    Raises:
        AccountsError: there are no accounts to do it with.
    """
    addresses = settings.addresses or await asyncio.to_thread(local_addresses, settings.homeserver)
    stage.say(f"getting {settings.participants} accounts on {settings.homeserver}")
    async with _accounts(settings) as accounts:
        stage.say(f"joining the call in {settings.room}")
        foci = [settings.focus] * len(accounts)
        crowd = Crowd(attendees(accounts, settings.room, foci, settings.video, addresses))
        verdict, seconds = await perform(crowd, stage, ending, settings.seconds)
        stage.say("giving the accounts back")
    return Report(verdict, settings.participants, seconds, plane=None)


def parse_focus(text: str) -> FocusDevice:
    """Read USER/DEVICE.

    Raises:
        ValueError: it is not.
    """
    user_id, slash, device_id = text.rpartition("/")
    if not slash or not device_id or not user_id.startswith("@") or ":" not in user_id:
        raise ValueError(f"{text!r} is not USER/DEVICE, such as @focus:example.org/FOCUS")
    return FocusDevice(user_id, device_id)


def local_addresses(url: str) -> tuple[str, ...]:
    """Our address on the way to a server, and loopback: the focus may be on this machine."""
    parts = urlsplit(url)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(address)  # sends nothing
            ours = str(probe.getsockname()[0])
    except OSError:
        return (LOOPBACK,)
    return (ours,) if ours == LOOPBACK else (ours, LOOPBACK)


def _accounts(settings: RunSettings) -> AbstractAsyncContextManager[list[Account]]:
    if settings.lent:
        return logged_in(settings.homeserver, settings.lent[: settings.participants])
    return registered(settings.homeserver, settings.participants, settings.shared_secret)
