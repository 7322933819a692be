"""A call that a control decides about, over paths that tell what they carry by REMB; and its recording."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec import convert
from msgspec.structs import replace as changed

from sfu.allocation.policies.utility import utility
from sfu.control import Control
from sfu.recording.file import MAGIC, End, written
from sfu.recording.recorder import Recorder, encoded
from sfu.recording.told import DemandSet
from sfu.recording.watched import WatchedControl
from sfu.rows import FEEDBACK_DTYPE, TRANSPORT_DTYPE
from sfu.units import NS_PER_S, ConferenceId, Instant, Kind, TrackHandle
from signalling.cli.bench.allocation_scene import Scene

if TYPE_CHECKING:
    from sfu.allocation.problem import Policy
    from sfu.plane import PlaneStats
    from sfu.rows import StructArray

TICK_S: Final = 0.1
FULL_EVERY: Final = 10
"""Ticks."""
LATE_TICKS: Final = 5
"""After so many the last one's path is there."""
CALL: Final = ConferenceId(1)
VERSION: Final = "1.2.3"


class Tape(Recorder):
    """A recorder that is a `Tap`, and has its whole file."""

    has_failed = False

    def failed(self) -> None:
        self.has_failed = True

    def file(self) -> bytes:
        """What was recorded up to now, and no more."""
        parts = self.take(is_last=True)
        return b"".join([MAGIC, *map(encoded, parts), written(End("test"))])


class Call:
    """A call in which everything that a control can be told happens now and then.

    Args:
        policy: decides.
        members: how many there are.
    """

    def __init__(self, policy: Policy = utility, members: int = 4) -> None:
        self.scene = Scene(1, 1, members)
        self.control = WatchedControl(Control(policy))
        self.wishes = [_wish(row) for row in self.scene.demand.rows]
        for wish in self.wishes:
            self.control.set_demand(wish)
        self.ticks = 0
        self.now = Instant(1_000 * NS_PER_S)

    def record(self, *, has_packets: bool = False) -> Tape:
        """Record from now on."""
        tape = Tape(self.control.control, VERSION, "utility", has_packets=has_packets)
        self.control.tap = tape
        return tape

    def play(self, ticks: int) -> None:
        """Let time pass."""
        for _ in range(ticks):
            self.ticks += 1
            moment = self.scene.after(TICK_S)
            self.now = moment.stats.now
            self._happens(self.ticks)
            if self.ticks % 7 == 3:
                self.control.allocate(moment.stats.now)
            is_late = self.ticks < LATE_TICKS
            self.control.tick(
                moment.stats.now,
                _told_by_remb(moment.stats, moment.budgets[:-1] if is_late else moment.budgets),
                np.zeros(0, FEEDBACK_DTYPE),
                is_full=self.ticks % FULL_EVERY == 0,
            )

    def _happens(self, tick: int) -> None:
        wish = self.wishes[tick % len(self.wishes)]
        match tick % 12:
            case 1:
                self.control.set_demand(changed(wish, is_pinned=not wish.is_pinned))
            case 3:
                self.control.set_speech(CALL, (TrackHandle(tick % 4), TrackHandle(3)), (TrackHandle(6),))
            case 5:
                self.control.drop_demand(wish.route)
            case 7:
                self.control.set_caps(wish.subscriber, 600_000.0 + tick, 360, 3)
            case 8:
                self.control.set_demand(changed(wish, width=wish.width // 2, height=wish.height // 2))
            case 9:
                self.control.route_changed([wish.subscriber])
            case 11:
                self.control.forget(wish.subscriber)
            case _:
                pass


def _wish(row: StructArray) -> DemandSet:
    route, subscriber, track, is_audio, is_screen, encodings, *sizes, is_pinned, is_visible, only = row.item()
    *tile, max_height = sizes
    kind = Kind.AUDIO if is_audio else Kind.VIDEO
    flags = is_screen, is_pinned, is_visible
    fields = route, subscriber, track, kind, *tile, encodings, max_height, *flags, only
    return convert((DemandSet.__struct_config__.tag, *fields), DemandSet)


def _told_by_remb(stats: PlaneStats, budgets: StructArray) -> PlaneStats:
    transports = np.zeros(len(budgets), TRANSPORT_DTYPE)
    transports["transport"] = budgets["transport"]
    transports["packets_sent"] = stats.now // 10_000_000
    transports["remb_bps"] = budgets["keep_bps"]
    return replace(stats, transports=transports)
