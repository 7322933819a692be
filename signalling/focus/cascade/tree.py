"""Which foci are connected as a tree, by configuration, and what of it is ours (cascade: section 3).

A tree saves trunks: of `n` foci each has a few, where a mesh has `n - 1` and each origin sends a copy to all.
Who writes the lists may err, and lists of several foci may contradict each other: nothing here keeps media
from going round. That is what paths are for (`trust.py`, `hearing.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from signalling.focus.cascade.foci import dials_first

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from signalling.events.room_state import FocusDevice


class Tree:
    """What one focus knows of its tree.

    Args:
        me: this focus.
        parents: of all foci that have one.
        relays: foci for which the operator vouches.
    """

    def __init__(
        self,
        me: FocusDevice,
        parents: Mapping[FocusDevice, FocusDevice],
        relays: frozenset[FocusDevice] = frozenset(),
    ) -> None:
        self.me: Final = me
        self.relays: Final = relays
        """Which need no member who names them."""
        self.is_relay: Final = me in relays
        self.parent: Final = parents.get(me)
        """To which we dial, whatever the order of names; None: we have none."""
        self.children: Final = frozenset(child for child, parent in parents.items() if parent == me)
        """Who dial us, and are not dialled by us."""
        members = frozenset(parents) | frozenset(parents.values())
        self._members = members if me in members else frozenset()
        self._below = _below(me, parents)

    def dials_first(self, focus: FocusDevice) -> bool:
        """Whether we dial another focus at once, of the two of us."""
        if focus == self.parent:
            return True
        return focus not in self.children and dials_first(self.me, focus)

    def wanted(
        self, others: Iterable[FocusDevice], *, has_people: bool, has_children: bool
    ) -> frozenset[FocusDevice]:
        """The foci that we dial.

        Args:
            others: that people of the call are on, without us.
            has_people: whether there are any of our own.
            has_children: whether children of ours have a trunk to us now.
        """
        foci = frozenset(others)
        wanted = foci - self._members if has_people else frozenset()
        if self.parent is not None and (has_people or has_children) and foci - self._below:
            wanted |= {self.parent}
        return wanted


def _below(me: FocusDevice, parents: Mapping[FocusDevice, FocusDevice]) -> frozenset[FocusDevice]:
    """Children, their children, and so on; never `me`, however wrong the list is."""
    found: set[FocusDevice] = set()
    for focus in parents:
        way = {focus}
        at = parents.get(focus)
        while at is not None and at != me and at not in way:
            way.add(at)
            at = parents.get(at)
        if at == me and focus != me:
            found.add(focus)
    return frozenset(found)
