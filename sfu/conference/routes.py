"""The routes of one call by number: whose wish each fulfils, and what was decided about it last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.allocation.decision import Cause
from sfu.conference.outcomes import NO_MARK, find
from sfu.conference.sender_layers import LOWEST, WantedEncodings
from sfu.rows import PAUSED

if TYPE_CHECKING:
    from sfu.conference.outcomes import BoolArray, IntArray, Outcomes, RouteArray
    from sfu.conference.view import TrackIds
    from sfu.units import RouteId, TrackHandle, TransportId

WishKey = tuple["TransportId", "TrackIds"]
"""A subscriber and the announced ids of what it wished for."""

_SHORT: Final = (Cause.BUDGET, Cause.CAP, Cause.PINNED_FIRST, Cause.SCREEN_FIRST, Cause.SPEAKER)
"""Less is given than is wanted, and how much changes with the link and with the others."""
_UNSEEN: Final = (Cause.NOT_VISIBLE, Cause.LAST_N)
"""Nothing is given whatever flows. The lowest encoding, which is always sent, is what it comes back with."""


class Routes:
    """Every tick looks at all of them, so that is done in arrays; people's changes touch one at a time."""

    def __init__(self) -> None:
        self._wishes: dict[RouteId, WishKey] = {}
        self._fixed: set[RouteId] = set()
        self._is_stale = False
        self._numbers: RouteArray = np.zeros(0, np.uint32)
        self._marks: IntArray = np.zeros(0, np.int64)
        self._is_fixed: BoolArray = np.zeros(0, np.bool_)
        self._token: object = None
        """Of the outcomes that were taken up last."""

    @property
    def is_stale(self) -> bool:
        """A route has come or gone since the last report."""
        return self._is_stale

    def has_news(self, outcomes: Outcomes) -> bool:
        """Whether `report` may find something: False for most ticks, at no cost."""
        return self._is_stale or outcomes.token is not self._token

    def set(self, route: RouteId, leg: TransportId, ids: TrackIds, *, is_fixed: bool = False) -> None:
        """A route begins; where it is fixed, it is for one encoding only."""
        self._wishes[route] = leg, ids
        if is_fixed:
            self._fixed.add(route)
        self._is_stale = True

    def drop(self, route: RouteId) -> None:
        """A route ends."""
        del self._wishes[route]
        self._fixed.discard(route)
        self._is_stale = True

    def report(self, outcomes: Outcomes) -> list[WishKey] | None:
        """Take up a tick's decisions.

        Returns:
            The wishes about which something else was decided than before; None where all is as it was, and no
            route came or went.
        """
        if not self.has_news(outcomes):
            return None
        was_stale, self._is_stale = self._is_stale, False
        self._token = outcomes.token
        if was_stale:
            self._renew()
        _, marks = outcomes.find(self._numbers)
        changed = np.flatnonzero(marks != self._marks)
        self._marks = marks
        if not len(changed):
            return [] if was_stale else None
        return [self._wishes[number] for number in self._numbers[changed].tolist()]

    def wanted_layers(self, outcomes: Outcomes) -> WantedEncodings:
        """Which encodings anybody wants of each track, by what was reported last.

        Wanted is what a size and the operator's ceiling ask for, whether it flows or not, and what is given.
        Where less can be given, each lower one is a step that may fit. Of what is not looked at, nothing is
        wanted.
        """
        at, is_fixed = self._decided(outcomes)
        cause = outcomes.decisions_at(at, "cause")
        # What is paused has no other cause; that of a layer by itself is known all the same.
        is_seen = ~np.isin(cause, _UNSEEN) & ~(is_fixed & outcomes.decisions_at(at, "is_unseen"))
        at, is_fixed, cause = at[is_seen], is_fixed[is_seen], cause[is_seen]
        highest = np.int64(1) << outcomes.decisions_at(at, "allowed_encoding").astype(np.int64)
        is_any_lower = np.isin(cause, _SHORT) & ~is_fixed
        bits = np.where(is_any_lower, 2 * highest - 1, highest)
        return _wanted(outcomes, at, bits, _given(outcomes, at))

    def demanded_layers(self, outcomes: Outcomes) -> WantedEncodings:
        """The same, of tracks of which nothing is sent unless somebody asks for it.

        Where what is wanted does not flow, what is given in its place goes on being wanted; and where nothing
        flows, each lower one: it may be that the way is too narrow for more. A track of which nothing is
        wanted now, but that somebody has a wish for, is needed with no bits.
        """
        at, is_fixed = self._decided(outcomes)
        cause = outcomes.decisions_at(at, "cause")
        allowed = outcomes.decisions_at(at, "allowed_encoding").astype(np.int64)
        chosen = outcomes.decisions_at(at, "chosen_encoding").astype(np.int64)
        lowest = np.where(np.isin(cause, _SHORT), 0, np.clip(chosen, 0, allowed))
        lowest = np.where(is_fixed, allowed, lowest)
        bits = (np.int64(2) << allowed) - (np.int64(1) << lowest)
        bits = np.where(outcomes.decisions_at(at, "is_unseen"), 0, bits)
        return _wanted(outcomes, at, bits, _given(outcomes, at))

    def _decided(self, outcomes: Outcomes) -> tuple[IntArray, BoolArray]:
        """Where the decisions about routes of the call stand, and whether each is for one encoding only."""
        at, marks = outcomes.find(self._numbers)
        is_decided = marks != NO_MARK
        return at[is_decided], self._is_fixed[is_decided]

    def _renew(self) -> None:
        numbers = np.sort(np.fromiter(self._wishes, np.uint32, len(self._wishes)))
        at, found = find(self._numbers, numbers)
        marks = np.full(len(numbers), NO_MARK, np.int64)
        marks[found] = self._marks[at[found]]
        self._numbers, self._marks = numbers, marks
        self._is_fixed = np.isin(numbers, np.fromiter(self._fixed, np.uint32, len(self._fixed)))


def _given(outcomes: Outcomes, at: IntArray) -> IntArray:
    """(len(at),) what was chosen, and what flows until it comes, as bits."""
    chosen = outcomes.decisions_at(at, "chosen_encoding").astype(np.int64)
    either = np.stack([chosen, np.where(chosen == PAUSED, PAUSED, outcomes.flowing_at(at))])
    bits = np.where(either == PAUSED, 0, np.int64(1) << np.maximum(either, 0))
    given: IntArray = np.bitwise_or.reduce(bits, axis=0)
    return given


def _wanted(outcomes: Outcomes, at: IntArray, bits: IntArray, given: IntArray) -> WantedEncodings:
    """Of what a budget withholds, only what is given is needed, and a lowest encoding always."""
    is_short = np.isin(outcomes.decisions_at(at, "cause"), _SHORT)
    needed = np.where(is_short, bits & LOWEST, bits) | given
    return WantedEncodings(
        _by_track(outcomes, at, needed), _by_track(outcomes, at, np.where(is_short, bits, 0))
    )


def _by_track(outcomes: Outcomes, at: IntArray, bits: IntArray) -> dict[TrackHandle, int]:
    tracks, track = np.unique(outcomes.decisions_at(at, "track"), return_inverse=True)
    wanted = np.zeros(len(tracks), np.int64)
    np.bitwise_or.at(wanted, track, bits)
    return dict(zip(tracks.tolist(), wanted.tolist(), strict=True))
