"""The other foci of one call, as its cascade knows them: the trunk to each, and what it has announced."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sfu.units import WallTime, after_ms, earliest
from signalling.focus.allowance import Window
from signalling.focus.cascade.dialling import (
    Answering,
    BackingOff,
    Dialling,
    Idle,
    Resting,
    State,
    Trunk,
    Up,
    Waiting,
)
from signalling.focus.cascade.trust import InviteRefusal
from signalling.focus.refusals import Refusal

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from sfu.conference.values import GuestDescription
    from sfu.units import Instant, TransportId
    from signalling.events.metadata import StreamMetadata
    from signalling.events.ours import HopStats
    from signalling.events.room_state import FocusDevice
    from signalling.focus.cascade.foci import Foci, Person
    from signalling.focus.cascade.tree import Tree
    from signalling.focus.cascade.trust import StreamRefusal
    from signalling.focus.leg import CallKey, Leg

MAX_HOPS: Final = 64
"""Foci of one call that are remembered, twice as many as are dialled. Lower: who dials us, and nobody is on,
finds no room. Higher: whoever has accounts in a room makes us remember more."""

STATES: Final[dict[type[State], str]] = {
    Idle: "idle",
    Waiting: "waiting",
    Dialling: "dialling",
    Answering: "answering",
    Up: "up",
    BackingOff: "backing_off",
    Resting: "resting",
}
"""What people are told of a trunk."""


@dataclass(slots=True, eq=False)
class Hop:
    """One other focus."""

    focus: FocusDevice
    trunk: Trunk
    since: WallTime
    """When its trunk came into the state that it is in."""
    leg: Leg | None = None
    """Of the dial that goes on, or of the trunk."""
    streams: tuple[StreamMetadata, ...] = ()
    """What it announced last. It stays so while the trunk is lost and tried again."""
    has_announced: bool = False
    """On this very leg."""
    described: tuple[GuestDescription, ...] | None = None
    """What the media side was told of it; None: nothing, on this leg."""
    refused: frozenset[tuple[str, StreamRefusal]] = frozenset()
    """What of it is not believed."""
    notes: Window = field(default_factory=lambda: Window(1))
    """Lines of the log about what is not believed: whoever lies fast fills no disk."""
    wants_olm: bool = False
    """It has rejected a dial in the clear."""
    is_off: bool = False
    """It has rejected the last dial since its operator lets it connect to no other."""
    _noted: str = ""

    @property
    def is_current(self) -> bool:
        """Whether it can be heard now, and has been."""
        return self.leg is not None and self.has_announced

    @property
    def is_up(self) -> bool:
        """Whether there is a trunk."""
        return isinstance(self.trunk.state, Up)

    @property
    def state(self) -> str:
        """How far its trunk is, in one word."""
        return STATES[type(self.trunk.state)]

    def take_leg(self, leg: Leg | None) -> None:
        """A dial begins, or is over."""
        if self.leg is not None and self.leg.trunk is not None:
            self.wants_olm |= self.leg.trunk.rejected_as == Refusal.OLM_REQUIRED
            self.is_off = self.leg.trunk.rejected_as == InviteRefusal.NO_TRUNKS
        self.leg, self.has_announced, self.described = leg, False, None

    def note_state(self, wall: WallTime) -> None:
        """Something was done to its trunk."""
        if self.state != self._noted:
            self._noted, self.since = self.state, wall


@dataclass(slots=True, eq=False)
class Neighbours:
    """All of one call."""

    call: CallKey
    foci: Foci
    read_at: tuple[Instant, WallTime]
    """When room state was."""
    own: frozenset[Person] = frozenset()
    """Who has a leg here."""
    has_people: bool = False
    """Whether any of them is admitted."""
    others: frozenset[FocusDevice] = frozenset()
    """That people are on, or that our own clients know of."""
    wanted: frozenset[FocusDevice] = frozenset()
    """Whom of them we dial."""
    asked: dict[TransportId, tuple[FocusDevice, ...]] = field(default_factory=dict)
    """Foci that our own clients want us to connect to, by leg."""
    hops: dict[FocusDevice, Hop] = field(default_factory=dict)
    is_stale: bool = True
    """Room state may say something else than when it was read."""
    version: int = 0
    """Of the call, when it was looked at last."""
    figures: tuple[Instant, tuple[HopStats, ...]] | None = None
    """What clients were told last of the trunks, and when it was found out."""
    look_at: Instant | None = None
    """When the first of the member events runs out."""

    def read(self, now: Instant, wall: WallTime, foci: Foci) -> None:
        """Room state says this now."""
        self.foci, self.read_at = foci, (now, wall)
        self.look_at = None if foci.until is None else self.instant(foci.until)

    @property
    def is_resting(self) -> bool:
        """Whether a trunk begins as soon as somebody has something to announce."""
        return any(isinstance(hop.trunk.state, Resting) for hop in self.hops.values())

    @property
    def up(self) -> frozenset[FocusDevice]:
        """The foci to which there is a trunk."""
        return frozenset(focus for focus, hop in self.hops.items() if hop.is_up)

    def instant(self, until: WallTime) -> Instant:
        """When that is, by the clocks as they were when room state was read."""
        now, wall = self.read_at
        return after_ms(now, until - wall)

    def next_timeout(self) -> Instant | None:
        """When something is due."""
        return earliest(self.look_at, *(hop.trunk.next_timeout() for hop in self.hops.values()))


class Neighbourhood:
    """Those of all calls.

    Args:
        tree: what this focus knows of it.
        rng: of all trunks.
    """

    def __init__(self, tree: Tree, rng: random.Random) -> None:
        self._tree = tree
        self._rng = rng
        self._by_call: dict[CallKey, Neighbours] = {}

    def __iter__(self) -> Iterator[Neighbours]:
        return iter(tuple(self._by_call.values()))

    def of(self, call: CallKey) -> Neighbours | None:
        """Of one call."""
        return self._by_call.get(call)

    def add(self, near: Neighbours) -> None:
        """A call has others."""
        self._by_call[near.call] = near

    def drop(self, near: Neighbours) -> None:
        """A call has no others, and nobody who could want one."""
        del self._by_call[near.call]

    def hop(self, near: Neighbours, focus: FocusDevice, wall: WallTime) -> Hop | None:
        """Another focus of a call, remembered from now on; None: there are too many."""
        hop = near.hops.get(focus)
        if hop is None and len(near.hops) < MAX_HOPS:
            is_first = self._tree.dials_first(focus)
            trunk = Trunk(self._tree.me, focus, self._rng, is_first=is_first)
            hop = near.hops[focus] = Hop(focus, trunk, wall)
        return hop

    def hop_of(self, leg: Leg) -> Hop | None:
        """The focus to which a leg leads; None: its trunk is another by now."""
        near = self._by_call.get(leg.key.call)
        hops = () if near is None else near.hops.values()
        return next((hop for hop in hops if hop.leg is leg), None)
