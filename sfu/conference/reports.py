"""What was counted and decided last, taken in once for all calls of the process.

Every tick there is a report of everything, and nearly nothing in it is news. It is looked through here, in
arrays, for whoever drives the calls: one in which nothing has happened need not hear of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.allocation.decision import DECISION_DTYPE
from sfu.conference.counters import CountersByNumber
from sfu.conference.loudest import stating_in
from sfu.conference.outcomes import Outcomes
from sfu.conference.speakers import heard_in
from sfu.conference.turn import MediaReport
from sfu.plane import PlaneStats
from sfu.rows import ENCODING_DTYPE, ROUTE_DTYPE, TRANSPORT_DTYPE
from sfu.units import NS_PER_S, Instant

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sfu.rows import StructArray
    from sfu.units import TrackHandle

NEXT_REPORT: Final = Instant(0)
"""When something is due that the next report brings, whenever it comes."""

_NOTHING: Final = MediaReport(
    PlaneStats(
        now=Instant(0),
        transports=np.zeros(0, TRANSPORT_DTYPE),
        encodings=np.zeros(0, ENCODING_DTYPE),
        routes=np.zeros(0, ROUTE_DTYPE),
        drops={},
    ),
    np.zeros(0, DECISION_DTYPE),
)


@dataclass(frozen=True)  # no slots: what is found in it is kept there for all calls
class Counted:
    """Counters of one tick, and what had been decided by then."""

    stats: PlaneStats
    decisions: StructArray
    """(routes,) of `DECISION_DTYPE`."""
    outcomes: Outcomes
    estimates: StructArray
    """(transports,) of `ESTIMATE_DTYPE`."""

    @cached_property
    def heard(self) -> Mapping[TrackHandle, float]:
        """How loud each track is that is not silent, from above 0 to 1."""
        return heard_in(self.stats.encodings)

    @cached_property
    def stating(self) -> Collection[TrackHandle]:
        """The tracks whose packets have stated a level, however low."""
        return stating_in(self.stats.encodings)

    @classmethod
    def of(cls, report: MediaReport, before: Counted | None = None) -> Counted:
        """A tick's report, after another one."""
        outcomes = Outcomes(
            report.decisions, report.stats.routes, None if before is None else before.outcomes
        )
        return cls(report.stats, report.decisions, outcomes, report.estimates)


class Reports:
    """The newest report, and one of a second or two ago to take rates against."""

    def __init__(self) -> None:
        self._report: MediaReport | None = None
        self._newest = Counted.of(_NOTHING)
        self._by_number: CountersByNumber | None = None
        self._spaced: tuple[Counted, ...] = ()

    @property
    def newest(self) -> Counted:
        """The last that was taken; before any, one with nothing in it."""
        return self._newest

    @property
    def earlier(self) -> Counted:
        """One of a second or two ago; in the beginning the first."""
        return self._spaced[0] if self._spaced else self._newest

    @property
    def by_number(self) -> CountersByNumber:
        """The newest, for people."""
        if self._by_number is None:
            self._by_number = CountersByNumber(self.newest, self.earlier)
        return self._by_number

    def take(self, report: MediaReport) -> None:
        """Take in a tick's report; harmless when it was taken last."""
        if report is self._report:
            return
        before, is_first = self._newest, self._report is None
        self._report = report
        self._newest = Counted.of(report, before)
        self._by_number = None
        last = self._newest if is_first else before
        if not self._spaced or last.stats.now - self._spaced[-1].stats.now >= NS_PER_S:
            self._spaced = (*self._spaced, last)[-2:]
