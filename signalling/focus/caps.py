"""Ceilings for some: an operator's rules, and what they come to for one leg."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfu.conference.caps import Caps, lowest
from sfu.config import MAX_CAP, setting

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class CapRule:
    """The most that some are given. Everything named must fit: a room with a user is that user there."""

    user: str = setting("", "Whom it is for, by user id.")
    room: str = setting("", "Or everybody in a room, by its id.")
    server: str = setting("", "Or all users of a server, by its name.")
    max_bps: int = setting(0, "As in [allocation]; of all that holds for somebody, the lowest does.", low=0)
    max_height: int = setting(0, "As in [conference].", low=0, high=MAX_CAP)
    max_videos: int = setting(0, "As in [allocation].", low=0, high=MAX_CAP)

    @property
    def caps(self) -> Caps:
        """What it says, whomever it is for."""
        return Caps(self.max_bps, self.max_height, self.max_videos)

    def is_for(self, user_id: str, room_id: str) -> bool:
        """Whether it is for this user in this room."""
        server = user_id.partition(":")[2]
        pairs = (self.user, user_id), (self.room, room_id), (self.server, server)
        return all(wanted in ("", given) for wanted, given in pairs)


def caps_of(rules: Iterable[CapRule], user_id: str, room_id: str) -> Caps:
    """What all rules together give a user in a room."""
    return lowest(rule.caps for rule in rules if rule.is_for(user_id, room_id))
