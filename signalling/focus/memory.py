"""Dials that are over: what still comes of them is late, and their invites are not taken again."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from signalling.focus.leg import Dialled

MAX_ENDED: Final = 10_000
"""Dials remembered; one that is forgotten is answered as an unknown one, which does no harm."""


class Memory:
    """The dials that ended last."""

    def __init__(self) -> None:
        self._ended: OrderedDict[Dialled, None] = OrderedDict()

    def has_ended(self, dialled: Dialled) -> None:
        """A leg has ended, or an invite was rejected or taken back."""
        self._ended[dialled] = None
        self._ended.move_to_end(dialled)
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)

    def __contains__(self, dialled: Dialled) -> bool:
        return dialled in self._ended
