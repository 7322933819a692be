"""When to probe, and how fast: at the start, while something is withheld, and on when a probe has passed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.bwe.aimd import MAX_BPS, START_BPS
from sfu.bwe.clusters import Clusters
from sfu.bwe.roster import Table
from sfu.rows import PROBE_DTYPE
from sfu.units import NS_PER_S

if TYPE_CHECKING:
    from sfu.bwe.clusters import ProbeResults
    from sfu.bwe.roster import BoolArray, FloatArray, IdArray, IntArray, Move
    from sfu.rows import StructArray
    from sfu.units import Instant

START_FACTORS: Final = (1.0, 2.0)
"""The first probes, of `START_BPS`. Lower: more round trips to a fast link's rate. Higher: a slow one begins
with a longer queue."""

KNOWN_BPS: Final = 6_000_000.0
"""At the start they go on up to here, whatever is desired: each only where the one before has passed. Lower:
who asks for more later waits for a probe. Higher: fast links carry probes for nothing."""

STEP_FACTOR: Final = 2.0
"""After one that passed the next is so much faster, while more is desired."""

MAX_FACTOR: Final = 3.0
"""A probe is at most so much faster than what is known to pass."""

GOAL_MARGIN: Final = 1.2
"""A step up counts as so much more than it costs now. Lower: it is undone by the next frame. Higher: what
would fit is not tried."""

GREW: Final = 1.25
GREW_S: Final = 5.0
GREW_GAP_NS: Final = NS_PER_S // 2
"""Where so many times the first as much is desired as in the last seconds (the second), somebody has asked
for more, and it is looked for at once, but for the third after a probe. Lower: a camera that wavers causes
probes. Higher: a tile that is made larger waits for the next probe that is due."""

FEEL_FACTOR: Final = 1.4
FEEL_NS: Final = 4 * NS_PER_S
"""In between, a path that withholds something is tried with so much more than is known to pass, so often. It
is little more than it carries, and no burden where nothing has changed; where it passes, larger ones follow.
Faster or less often: that a path became wider is found later. Slower: what was gained and lost again looks
like what had been before. More often: a burden after all."""

FEEL_LATER_NS: Final = 10 * NS_PER_S
"""So long not after a probe that has failed after all: the next would as well. Lower: behind a policer more
is lost. Higher: that a path became wider is found later."""

PROBE_S: Final = 0.025
MIN_PROBE_BYTES: Final = 5_500
"""A probe lasts so long, and has five packets at least. Shorter: jitter decides. Longer: what the path does
not carry waits in its queue for so much longer."""

MIN_INTERVAL_NS: Final = 3 * NS_PER_S
MAX_INTERVAL_NS: Final = 30 * NS_PER_S
"""Between probes while something is withheld: the first, doubled by each that fails, up to the second. Lower:
the path is filled by trying. Higher: that it became wider is found later."""

PAUSED_INTERVAL_NS: Final = 5 * NS_PER_S
"""The most where nothing is sent at all: then nothing else can tell, and nothing is disturbed."""

WATCH_NS: Final = 3 * NS_PER_S
SURVIVES: Final = 0.75
"""A probe has failed after all where less than the second of what it found is left within the first: a
policer's bucket was full, or others shared the path."""

_BLANK: Final = np.zeros(
    1,
    np.dtype(
        [
            ("has_begun", "?"),
            ("begins", "?"),
            ("starts", "?"),
            ("goes_on", "?"),
            ("feels", "?"),
            ("returns", "?"),
            ("next_at", "<i8"),
            ("feels_at", "<i8"),
            ("asked_at", "<i8"),
            ("interval_ns", "<i8"),
            ("raised_at", "<i8"),
            ("raised_bps", "<f8"),
            ("desired_bps", "<f8"),
            ("updated_at", "<i8"),
        ]
    ),
)
_BLANK["interval_ns"] = MIN_INTERVAL_NS
_BLANK["raised_bps"] = np.nan

NO_PROBES: Final = np.zeros(0, PROBE_DTYPE)


@dataclass(frozen=True, slots=True)
class ProbeNeeds:
    """What decides on probes; all arrays are (subscribers,)."""

    target_bps: FloatArray
    allocated_bps: FloatArray
    desired_bps: FloatArray
    next_bps: FloatArray
    may_probe: BoolArray
    """The peer tells of packets, and no queue stands on the way."""
    is_untried: BoolArray
    """Nothing was ever sent there, so that the peer can't have told of it."""
    has_reports: BoolArray
    """The peer has ever told of a packet."""
    fell: BoolArray
    """The rate was lowered."""
    returns: BoolArray
    """It was, though little of it was used, and nothing speaks against the path any more (`Falls`)."""
    outgrew: BoolArray
    """The rate grew past what was known as the path's limit."""


class Prober:
    """Asks for probes and judges them."""

    def __init__(self) -> None:
        self.table = Table(_BLANK)
        self.clusters = Clusters()

    def arrange(self, move: Move) -> None:
        """Take up the new order."""
        self.table.arrange(move)
        self.clusters.table.arrange(move)

    def clear(self, which: BoolArray) -> None:
        """Probe as at the start. Numbers of clusters go on: the old ones may still be told of."""
        given = self.clusters.table.rows["given"][which].copy()
        self.table.clear(which)
        self.clusters.table.clear(which)
        self.clusters.table.rows["given"][which] = given

    @property
    def begins(self) -> BoolArray:
        """(subscribers,) whether the first probes are under way."""
        begins: BoolArray = self.table.rows["begins"]
        return begins

    def disproven(self, results: ProbeResults) -> FloatArray:
        """What paths carry at most, as the first probes say; NaN where they say nothing of that.

        An estimate begins with what nobody has seen pass.
        """
        is_held = self.begins & results.has_ended & ~results.is_full
        return np.where(is_held, results.rate_bps, np.nan)

    def judge(
        self, now: Instant, results: ProbeResults, rate_bps: FloatArray, knows_limit: BoolArray
    ) -> FloatArray:
        """What probes have proven.

        Args:
            now: time.
            results: of clusters that ended.
            rate_bps: what was thought to pass.
            knows_limit: it is known where the path ends. There, a probe that was held up proves nothing: for
                its moment it took from others what they have.

        Returns:
            (subscribers,) bit/s that paths carry; NaN where nothing new is proven.
        """
        rows = self.table.rows
        counts = results.is_full | ~knows_limit
        is_proof = results.has_ended & counts & (np.nan_to_num(results.rate_bps) > rate_bps)
        # The first two may pass and prove nothing: media that left beside them has.
        passes = results.is_full & (is_proof | rows["starts"])
        fails = results.has_ended & ~is_proof & ~passes & ~self.clusters.is_probing
        # What becomes of a return is not held against other probes.
        fails &= ~rows["feels"] & ~rows["returns"]
        rows["goes_on"] = np.where(results.has_ended, passes, rows["goes_on"])
        # Where the first say nothing, the peer was not ready: it has its keys a little later than we.
        is_early = rows["starts"] & results.has_ended & np.isnan(results.rate_bps)
        rows["starts"] &= self.clusters.is_probing
        rows["begins"] &= self.clusters.is_probing | rows["goes_on"]
        rows["raised_at"][is_proof] = now
        is_watched = is_proof & ~rows["returns"]
        rows["raised_bps"] = np.where(is_watched, results.rate_bps, rows["raised_bps"])
        self._back_off(now, fails & ~is_early)
        rows["next_at"][is_early] = now
        return np.where(is_proof, results.rate_bps, np.nan)

    def ask(self, now: Instant, transports: IdArray, needs: ProbeNeeds) -> StructArray:
        """Probes to send now, (n,) of `PROBE_DTYPE`."""
        rows = self.table.rows
        self._watch(now, needs)
        if needs.fell.any():
            for name in ("next_at", "feels_at"):
                rows[name][needs.fell] = np.maximum(rows[name][needs.fell], now + MIN_INTERVAL_NS)
        rows["next_at"][needs.returns] = now
        grew = self._grew(now, needs)
        is_new = needs.outgrew | grew
        rows["next_at"][is_new] = now
        rows["interval_ns"][is_new] = MIN_INTERVAL_NS
        rows["goes_on"] |= grew
        # What is too large for a path that nobody knows is never given, and nobody would know the path.
        knocks = needs.is_untried & (needs.next_bps > 0)
        rows["has_begun"] &= needs.has_reports | self.clusters.is_probing
        begins = (needs.may_probe | knocks) & ~rows["has_begun"]
        rows["has_begun"] |= begins
        rows["next_at"][begins] = rows["feels_at"][begins] = now + MIN_INTERVAL_NS
        asked = []
        if begins.any():
            which = begins.nonzero()[0]
            rows["begins"][which] = rows["starts"][which] = True
            asked += [
                self._probe(now, transports, which, slot, np.full(len(rows), factor * START_BPS))
                for slot, factor in enumerate(START_FACTORS)
            ]
        is_free = needs.may_probe & ~self.clusters.is_probing
        goal = needs.allocated_bps + GOAL_MARGIN * needs.next_bps
        misses = (needs.next_bps > 0) & (goal > needs.target_bps)
        # On after a probe that passed, with what is desired; else up to the step that is withheld.
        is_unknown = rows["begins"] & (needs.target_bps < KNOWN_BPS)
        further = np.maximum(GOAL_MARGIN * needs.desired_bps, np.where(misses, goal, 0.0))
        further = np.where(is_unknown, np.maximum(further, KNOWN_BPS), further)
        goes_on = is_free & rows["goes_on"] & (misses | is_unknown | (needs.desired_bps > needs.target_bps))
        rows["begins"] &= goes_on | ~is_free
        due_at = np.where(
            needs.allocated_bps > 0,
            rows["next_at"],
            np.minimum(rows["next_at"], rows["asked_at"] + PAUSED_INTERVAL_NS),
        )
        is_due = is_free & (now >= due_at) & misses
        # The next step may be in sight, and all the others are not.
        withholds = misses | ((needs.next_bps > 0) & (needs.desired_bps > needs.target_bps))
        feels = is_free & withholds & ~goes_on & ~is_due & (now >= rows["feels_at"])
        feels &= needs.allocated_bps > 0
        rows["goes_on"] &= ~is_free
        most = np.maximum(MAX_FACTOR * needs.target_bps, START_BPS)
        rate = np.where(feels, FEEL_FACTOR * needs.target_bps, np.minimum(goal, most))
        rate = np.where(goes_on, np.minimum(STEP_FACTOR * needs.target_bps, further), rate)
        which = (goes_on | is_due | feels).nonzero()[0]
        if len(which):
            asked.append(self._probe(now, transports, which, 0, rate))
            rows["feels"][which] = feels[which]
            rows["returns"][which] = needs.returns[which] | (rows["returns"] & goes_on)[which]
            rows["feels_at"][which] = now + FEEL_NS
            later = now + rows["interval_ns"][which]
            rows["next_at"][which] = np.where(feels[which], rows["next_at"][which], later)
        return np.concatenate(asked) if asked else NO_PROBES

    def _grew(self, now: Instant, needs: ProbeNeeds) -> BoolArray:
        """(subscribers,) who desires much more than a moment ago."""
        rows = self.table.rows
        weight = -np.expm1((rows["updated_at"] - now) / (GREW_S * NS_PER_S))
        before = rows["desired_bps"]
        may_ask = rows["has_begun"] & (now >= rows["asked_at"] + GREW_GAP_NS)
        grew: BoolArray = (needs.desired_bps > GREW * before) & may_ask
        followed = before + weight * (needs.desired_bps - before)
        rows["desired_bps"] = np.where(grew | ~rows["has_begun"], needs.desired_bps, followed)
        rows["updated_at"] = now
        return grew

    def _watch(self, now: Instant, needs: ProbeNeeds) -> None:
        """See what is left of what probes raised."""
        rows = self.table.rows
        raised = rows["raised_bps"]
        if np.isnan(raised).all():
            return
        is_lost = needs.target_bps < SURVIVES * raised
        survives = now - rows["raised_at"] >= WATCH_NS
        self._back_off(now, is_lost)
        rows["feels_at"][is_lost] = now + FEEL_LATER_NS
        lasts = np.isfinite(raised) & survives & ~is_lost
        rows["interval_ns"][lasts] = MIN_INTERVAL_NS
        rows["next_at"] = np.where(lasts, np.minimum(rows["next_at"], now + MIN_INTERVAL_NS), rows["next_at"])
        rows["raised_bps"] = np.where(is_lost | survives, np.nan, raised)

    def _back_off(self, now: Instant, which: BoolArray) -> None:
        rows = self.table.rows
        longer = np.minimum(2 * rows["interval_ns"], MAX_INTERVAL_NS)
        rows["interval_ns"] = np.where(which, longer, rows["interval_ns"])
        rows["next_at"] = np.where(which, now + rows["interval_ns"], rows["next_at"])

    def _probe(
        self, now: Instant, transports: IdArray, which: IntArray, slot: int, rate_bps: FloatArray
    ) -> StructArray:
        probes = np.zeros(len(which), PROBE_DTYPE)
        rates = np.minimum(rate_bps[which], MAX_BPS)
        sizes = np.maximum(rates * PROBE_S / 8, MIN_PROBE_BYTES).astype(np.int64)
        self.table.rows["asked_at"][which] = now
        probes["transport"] = transports[which]
        probes["cluster"] = self.clusters.ask(now, which, slot, sizes)
        probes["rate_bps"] = rates
        probes["size_bytes"] = sizes
        return probes
