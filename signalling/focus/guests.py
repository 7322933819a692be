"""Who is in a call by another focus, as the clients of this one are told of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sfu.units import TransportId
    from signalling.events.room_state import FocusDevice


@dataclass(frozen=True, slots=True)
class Guest:
    """One person on another focus."""

    user_id: str
    device_id: str
    path: tuple[FocusDevice, ...]
    """The foci that their media comes through, from their own one to the one that we hear it from."""

    @property
    def key(self) -> str:
        """What the media side calls them: the same by whichever trunk they come, another on another focus."""
        origin = self.path[0]
        return json.dumps([self.user_id, self.device_id, origin.user_id, origin.device_id])


NOBODY: Final[Mapping[TransportId, Guest]] = MappingProxyType({})
"""The guests of a call that is on this focus alone."""
