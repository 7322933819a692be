"""One tick of a media server, without its clock: counters and feedback in; layers, pacing and probes out.

What paths carry decides what is given, and what is given decides what is worth finding out about paths: here
the two meet. Whoever has the clock calls `tick` often enough, and carries out what it returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.allocation.allocate import Allocator
from sfu.allocation.budgets import BUDGET_DTYPE, CAPS_DTYPE
from sfu.allocation.decision import DECISION_DTYPE, targets_of
from sfu.allocation.flow import picked
from sfu.allocation.layout import layout_of
from sfu.allocation.meanwhile import bridge
from sfu.allocation.past import Past
from sfu.allocation.policies.utility import utility
from sfu.allocation.rates import EncodingRates
from sfu.allocation.speech import NO_SPEECH, speech_of
from sfu.allocation.table import DemandTable
from sfu.allocation.wishes import Wishes, wishes_of
from sfu.bwe.estimate import NO_ESTIMATES, WISH_DTYPE, EstimateState
from sfu.bwe.estimators import Estimators
from sfu.bwe.watch import Watch
from sfu.rows import FEEDBACK_DTYPE, PACING_DTYPE, PAUSED, PROBE_DTYPE, ROUTE_DTYPE
from sfu.units import after_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sfu.allocation.problem import Policy
    from sfu.allocation.rates import BoolArray, FloatArray
    from sfu.allocation.table import Demand
    from sfu.plane import PlaneStats
    from sfu.rows import StructArray
    from sfu.units import ConferenceId, Instant, RouteId, TrackHandle, TransportId

CALM_MS: Final = 1_000
"""Where everybody gets all they want and nothing is amiss, paths are looked at so often. Lower: more of a
core goes into what does not change. Higher: estimates that people are shown are older."""

CLOSE_MS: Final = 90
"""Else so often, that is at every other tick, unless something is amiss: then at once. Lower: more of a core
goes into paths on which nothing happens but a probe. Higher: a start takes longer, probe by probe."""

CALM_LOSS: Final = 0.02
"""Where more is lost, paths are looked at closely. Lower: at a wireless link, all day. Higher: what a lossy
path carries is learnt from a few large observations."""

ENOUGH: Final = 1.1
"""A path that carries so many times what is wanted is calm. Lower: a rise of a camera's rate finds it full.
Higher: paths are looked at closely on which nothing depends."""


@dataclass(frozen=True, slots=True)
class ControlUpdate:
    """What one tick has found, and what is to be done."""

    estimates: StructArray
    """(transports,) of `ESTIMATE_DTYPE`, ascending by transport."""
    decisions: StructArray
    """(routes,) of `DECISION_DTYPE`."""
    targets: StructArray | None
    """(routes,) of `TARGET_DTYPE`; None: nothing was decided anew."""
    has_news: bool
    """It was decided anew because something had changed."""
    pacing: StructArray
    """(n,) of `PACING_DTYPE`."""
    probes: StructArray
    """(n,) of `PROBE_DTYPE`."""


@dataclass(frozen=True, slots=True)
class ControlMemory:
    """What a control goes by when it decides, right after it has: all but how paths are estimated."""

    demand: StructArray
    """(routes,) of `DEMAND_DTYPE`."""
    caps: StructArray
    """(legs,) of `CAPS_DTYPE`."""
    speech: tuple[tuple[ConferenceId, tuple[TrackHandle, ...], tuple[TrackHandle, ...]], ...]
    """Of each call, as it was told."""
    rates: StructArray
    """(encodings,) of `RATES_DTYPE`."""
    measured_at: Instant
    counted_at: Instant
    past_rows: StructArray
    """(routes,) of `PAST_ROW_DTYPE`."""
    past_subscribers: StructArray
    """(subscribers,) of `PAST_SUBSCRIBER_DTYPE`."""
    estimates: StructArray
    decisions: StructArray


class Control:
    """Estimates every path and decides every route, and remembers both.

    Args:
        policy: divides what paths carry.
    """

    def __init__(self, policy: Policy = utility) -> None:
        self._estimators = Estimators()
        self._allocator = Allocator(policy)
        self._demand = DemandTable()
        self._rates = EncodingRates()
        self._caps: dict[TransportId, tuple[int, float, int, int]] = {}
        self._caps_rows = np.zeros(0, CAPS_DTYPE)
        self._speech_of: dict[ConferenceId, tuple[Sequence[TrackHandle], Sequence[TrackHandle]]] = {}
        self._speech: StructArray = NO_SPEECH
        self._is_stale = False
        self._allocated_changes = -1
        self._estimates = NO_ESTIMATES
        self._decisions = np.zeros(0, DECISION_DTYPE)
        self._wishes = _wish_rows(wishes_of(self._decisions))
        self._routes = np.zeros(0, ROUTE_DTYPE)
        self._waiting: list[StructArray] = []
        """Feedback that was not looked at yet."""
        self._watch = Watch()
        self._is_calm = True
        self._estimate_at: Instant | None = None
        self._matters: bool | None = False
        """Whether estimates ask for other decisions; None: one of both is new."""

    @classmethod
    def resumed(cls, memory: ControlMemory, policy: Policy = utility) -> Control:
        """One that goes on deciding where another was; of paths it knows what they carried, not why."""
        control = cls(policy)
        control._demand = DemandTable.of(memory.demand)
        for leg, *caps in memory.caps.tolist():
            control.set_caps(leg, *caps)
        for conference, cameras, unheard in memory.speech:
            control.set_speech(conference, cameras, unheard)
        control._rates = EncodingRates.resumed(memory.rates, memory.measured_at, memory.counted_at)
        layout = layout_of(memory.demand, control._speech, control._caps_rows)
        past = Past.of(layout, memory.past_rows, memory.past_subscribers)
        control._allocator = Allocator.resumed(policy, past)
        control._estimates, control._decisions = memory.estimates, memory.decisions
        control._wishes, control._matters = _wish_rows(wishes_of(memory.decisions)), None
        control._is_stale, control._allocated_changes = False, control._rates.changes
        return control

    def memory(self) -> ControlMemory | None:
        """What this one would be resumed from; None where something else is wanted than was decided about."""
        past = self._allocator.past
        if past is None or self._is_stale or self._rates.changes != self._allocated_changes:
            return None
        return ControlMemory(
            demand=self._demand.rows.copy(),
            caps=self._caps_rows.copy(),
            speech=tuple((call, tuple(one), tuple(other)) for call, (one, other) in self._speech_of.items()),
            rates=self._rates.remembered,
            measured_at=self._rates.measured_at,
            counted_at=self._rates.now,
            past_rows=past.rows,
            past_subscribers=past.subscribers,
            estimates=self._estimates.copy(),
            decisions=self._decisions.copy(),
        )

    # --- what is wanted -----------------------------------------------------------------------------------

    @property
    def is_stale(self) -> bool:
        """Whether something else is wanted than was decided about."""
        return self._is_stale

    @property
    def is_calm(self) -> bool:
        """Whether everybody gets all they want over paths that carry more."""
        return self._is_calm

    @property
    def decisions(self) -> StructArray:
        """(routes,) of `DECISION_DTYPE`, the newest."""
        return self._decisions

    @property
    def estimates(self) -> StructArray:
        """(transports,) of `ESTIMATE_DTYPE`, the newest."""
        return self._estimates

    def set_demand(self, demand: Demand) -> None:
        """Somebody wants a track, or wants it otherwise."""
        self._demand.set(demand)
        self._is_stale = True

    def drop_demand(self, route: RouteId) -> None:
        """Somebody wants a track no more."""
        self._demand.drop(route)
        self._is_stale = True

    def set_caps(self, leg: TransportId, max_bps: float, max_height: int, max_videos: int) -> None:
        """Give a leg at most this: bit/s (infinite: any), lines of a picture and pictures (0: any)."""
        self._caps[leg] = (leg, max_bps, max_height, max_videos)
        self._caps_changed()

    def set_speech(
        self, conference: ConferenceId, cameras: Sequence[TrackHandle], unheard: Sequence[TrackHandle]
    ) -> None:
        """Who speaks in a call.

        Args:
            conference: the call; with nothing else it is over.
            cameras: video of those who spoke, who did last first.
            unheard: sound that need not be given now.
        """
        if cameras or unheard:
            self._speech_of[conference] = cameras, unheard
        else:
            self._speech_of.pop(conference, None)
        self._speech = speech_of(self._speech_of.values())
        self._is_stale = True

    def route_changed(self, legs: Iterable[TransportId]) -> None:
        """These peers are somewhere else now: nothing known of their paths holds."""
        self._estimators.route_changed(legs)
        self._estimate_at = None

    def forget(self, leg: TransportId) -> None:
        """A leg is over."""
        if self._caps.pop(leg, None) is not None:
            self._caps_changed()

    # --- what is done -------------------------------------------------------------------------------------

    def tick(
        self, now: Instant, stats: PlaneStats, feedback: StructArray, *, is_full: bool = False
    ) -> ControlUpdate:
        """Advance to now.

        Args:
            now: time, not before any earlier one.
            stats: the plane's counters.
            feedback: (n,) of `FEEDBACK_DTYPE`, all since the last tick.
            is_full: decide anew although nothing seems to have changed.
        """
        self._count(stats)
        pacing, probes = self._estimate(now, stats, feedback)
        return self._decided(pacing, probes, is_full=is_full)

    def follow(self, stats: PlaneStats, estimates: StructArray, *, is_full: bool = False) -> ControlUpdate:
        """Advance like `tick`, by what was found of paths elsewhere: (n,) of `ESTIMATE_DTYPE`, ascending."""
        self._count(stats)
        self._estimates, self._matters = estimates, None
        return self._decided(_NO_PACING, _NO_PROBES, is_full=is_full)

    def allocate(self) -> StructArray:
        """Decide everything anew, by what is known: (routes,) of `TARGET_DTYPE`."""
        self._is_stale = False
        self._allocated_changes = self._rates.changes
        budgets = np.empty(len(self._estimates), BUDGET_DTYPE)
        for name, source in (
            ("transport", "transport"),
            ("keep_bps", "target_bps"),
            ("change_bps", "stable_bps"),
        ):
            budgets[name] = self._estimates[source]
        self._decisions = self._allocator.decide(
            self._demand, self._rates, budgets, self._caps_rows, self._speech
        )
        self._wishes, self._matters = _wish_rows(wishes_of(self._decisions)), None
        if self._is_calm and not self._carries_all():
            # More is wanted than before: what paths carry of it is asked with the next tick.
            self._is_calm, self._estimate_at = False, None
        return self._targets()

    # --- within -------------------------------------------------------------------------------------------

    def _count(self, stats: PlaneStats) -> None:
        self._rates.update(stats)
        self._routes = stats.routes

    def _decided(self, pacing: StructArray, probes: StructArray, *, is_full: bool) -> ControlUpdate:
        if self._matters is None:
            self._matters = self._estimates_matter()
        has_news = self._is_stale or self._rates.changes != self._allocated_changes or self._matters
        targets = self.allocate() if has_news or is_full else None
        return ControlUpdate(self._estimates, self._decisions, targets, has_news, pacing, probes)

    def _targets(self) -> StructArray:
        """What the plane is told: what was decided, or until it comes what does.

        Of pictures that have not begun it is the lowest encoding.

        What is asked of another focus begins with a key frame, before a tick can see that it flows. Who lets
        that go by asks for another, and waits for as long as such requests are apart.
        """
        targets = targets_of(self._decisions)
        bridge(targets, self._demand.rows, self._routes, self._rates)
        decisions = self._decisions
        is_hidden = decisions["is_audio"] | decisions["is_unseen"]
        awaited = np.flatnonzero((decisions["chosen_encoding"] == PAUSED) & ~is_hidden)
        if len(awaited):
            rows = self._demand.rows[awaited]
            # A route for one encoding only carries no other.
            first = np.maximum(rows["only"], 0)
            has_begun = picked(self._rates.places(rows["track"]).found, first)
            targets["encoding"][awaited] = np.where(has_begun, PAUSED, first)
        return targets

    def _caps_changed(self) -> None:
        self._caps_rows = np.array(list(self._caps.values()), CAPS_DTYPE)
        self._is_stale = True

    def _estimate(
        self, now: Instant, stats: PlaneStats, feedback: StructArray
    ) -> tuple[StructArray, StructArray]:
        """Pacing and probes, of what is known now."""
        if len(feedback):
            self._waiting.append(feedback)
        is_due = self._estimate_at is None or now >= self._estimate_at
        if not is_due and not self._watch.is_amiss(now, stats.transports, feedback):
            return _NO_PACING, _NO_PROBES
        together = np.concatenate(self._waiting) if self._waiting else _NO_FEEDBACK
        self._waiting = []
        update = self._estimators.update(now, together, stats.transports, self._wishes)
        self._estimates, self._matters = update.estimates, None
        is_unheard = np.isnan(update.estimates["acked_bps"])
        self._watch.looked(now, stats.transports, update.estimates["transport"][is_unheard])
        self._is_calm = self._carries_all()
        self._estimate_at = after_ms(now, CALM_MS if self._is_calm else CLOSE_MS)
        return update.pacing, update.probes

    def _carries_all(self) -> bool:
        """Whether every path to which anything goes carries well what is wanted of it."""
        estimates = self._estimates
        wishes = self._wishes
        target_bps = _of(estimates, "target_bps", wishes["transport"], np.inf)
        if (target_bps < ENOUGH * wishes["desired_bps"]).any():
            return False
        is_quiet = (estimates["state"] == _NORMAL) | (estimates["state"] == _UNKNOWN)
        is_lossy = estimates["loss"] > CALM_LOSS
        return bool((is_quiet & ~is_lossy & ~estimates["is_probing"]).all())

    def _estimates_matter(self) -> bool:
        """Whether somebody is given more than the path carries now, or could be given more than it is."""
        wishes = self._wishes
        if not len(wishes) or not len(self._estimates):
            return False
        allocated = wishes["allocated_bps"]
        target_bps = _of(self._estimates, "target_bps", wishes["transport"], np.inf)
        stable_bps = _of(self._estimates, "stable_bps", wishes["transport"], np.inf)
        is_over = allocated > target_bps
        has_room = (wishes["next_bps"] > 0) & (allocated + wishes["next_bps"] <= stable_bps)
        return bool((is_over | has_room).any())


# An enumeration's members are slow to look up.
_UNKNOWN, _NORMAL = np.int8(EstimateState.UNKNOWN), np.int8(EstimateState.NORMAL)
_NO_FEEDBACK: Final = np.zeros(0, FEEDBACK_DTYPE)
_NO_PACING: Final = np.zeros(0, PACING_DTYPE)
_NO_PROBES: Final = np.zeros(0, PROBE_DTYPE)


def _wish_rows(wishes: Wishes) -> StructArray:
    rows = np.empty(len(wishes.transports), WISH_DTYPE)
    rows["transport"] = wishes.transports
    for name in ("allocated_bps", "desired_bps", "next_bps"):
        rows[name] = getattr(wishes, name)
    return rows


def _of(estimates: StructArray, name: str, transports: np.ndarray, otherwise: float) -> FloatArray:
    """(len(transports),) one column of the estimates; `otherwise` of a transport that has none."""
    if not len(estimates):
        return np.full(len(transports), otherwise)
    at = np.minimum(np.searchsorted(estimates["transport"], transports), len(estimates) - 1)
    found: BoolArray = estimates["transport"][at] == transports
    values: FloatArray = np.where(found, estimates[name][at], otherwise)
    return values
