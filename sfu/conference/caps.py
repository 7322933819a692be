"""What an operator gives somebody at most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Caps:
    """Ceilings for one leg; 0 is none."""

    max_bps: int = 0
    """For everything that it is sent."""
    max_height: int = 0
    """Lines of one picture."""
    max_videos: int = 0
    """Pictures at a time."""


NO_CAPS: Final = Caps()


def lowest(caps: Iterable[Caps]) -> Caps:
    """What all of them allow: of each ceiling the lowest, such as that of a user, a room and the server."""
    found = tuple(caps)
    return Caps(
        _lowest(one.max_bps for one in found),
        _lowest(one.max_height for one in found),
        _lowest(one.max_videos for one in found),
    )


def _lowest(ceilings: Iterable[int]) -> int:
    return min((one for one in ceilings if one), default=0)
