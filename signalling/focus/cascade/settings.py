"""Whether other foci are in calls with this one, and what the operator lets them do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sfu.config import setting
from signalling.events.cascade import MAX_PATH
from signalling.events.room_state import FocusDevice
from signalling.focus.cascade.tree import Tree
from signalling.focus.cascade.trust import Trust

if TYPE_CHECKING:
    from signalling.focus.leg import Identity


@dataclass(frozen=True, slots=True)
class RelayRule:
    """A focus that passes on what other foci announce."""

    user_id: str = setting("", "Its account.")
    device_id: str = setting("", "And its device.")

    @property
    def focus(self) -> FocusDevice:
        """Its name in calls."""
        return FocusDevice(self.user_id, self.device_id)


@dataclass(frozen=True, slots=True)
class BranchRule:
    """A focus and its parent in a tree."""

    user_id: str = setting("", "Its account.")
    device_id: str = setting("", "And its device.")
    parent_user_id: str = setting("", "The account of its parent, which is one of the relays.")
    parent_device_id: str = setting("", "And its device.")

    @property
    def focus(self) -> FocusDevice:
        """Its name in calls."""
        return FocusDevice(self.user_id, self.device_id)

    @property
    def parent(self) -> FocusDevice:
        """That of its parent."""
        return FocusDevice(self.parent_user_id, self.parent_device_id)


@dataclass(frozen=True, slots=True)
class CascadeSettings:
    """Calls with people on several foci (docs/cascade.md)."""

    enabled: bool = setting(
        True,
        "Whether this focus connects to the other foci of its calls, and lets them connect to it. Else "
        "nobody here sees people who are on others.",
    )
    max_hops: int = setting(
        1,
        "Trunks that media may have come over. 1: foci are a full mesh; more only where there are relays.",
        low=1,
        high=MAX_PATH,
    )
    relays: tuple[RelayRule, ...] = setting(
        (),
        "Foci that may pass on what others announce, as { user_id = …, device_id = … }. Where it comes from "
        "is their word: name your own only. A focus that finds itself here passes on.",
    )
    tree: tuple[BranchRule, ...] = setting(
        (),
        "Foci of yours that are connected as a tree, each with its parent, as { user_id = …, device_id = …, "
        "parent_user_id = …, parent_device_id = … }: of these each dials its parent and no other. Parents "
        "stand in relays. The same list on all of them; empty: a full mesh.",
    )
    budget_bps: int = setting(
        0, "Ceiling for what one trunk is sent, in bit/s, sound and all; 0 is none.", low=0
    )


ALONE: Final = CascadeSettings(enabled=False)
"""No other focus is in any call."""


def trust_of(identity: Identity, settings: CascadeSettings) -> Trust:
    """The judge of other foci."""
    me = FocusDevice(identity.user_id, identity.device_id)
    return Trust(me, max_hops=settings.max_hops, relays=relays_of(settings))


def relays_of(settings: CascadeSettings) -> frozenset[FocusDevice]:
    """The foci that the operator vouches for."""
    return frozenset(rule.focus for rule in settings.relays)


def tree_of(identity: Identity, settings: CascadeSettings) -> Tree:
    """What this focus has to know of the tree that it is in."""
    me = FocusDevice(identity.user_id, identity.device_id)
    return Tree(me, {rule.focus: rule.parent for rule in settings.tree}, relays_of(settings))


def relay_hops(identity: Identity, settings: CascadeSettings) -> int:
    """What has come over fewer trunks is passed on by this focus; 0: it is no relay."""
    me = FocusDevice(identity.user_id, identity.device_id)
    return settings.max_hops if me in relays_of(settings) else 0
