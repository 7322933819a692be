"""What reports tell of all calls, and which of them a call need not hear of."""

from __future__ import annotations

import random
from typing import Any, Final

import pytest

from sfu.allocation.decision import DECISION_DTYPE, Cause
from sfu.conference.reports import NEXT_REPORT, Reports
from sfu.conference.turn import MediaReport, SetDemand
from sfu.conference.values import Wish
from sfu.rows import PAUSED, ROUTE_DTYPE
from sfu.units import NS_PER_MS, Instant, after_ms, after_s
from tests.unit.conference.caller import Call, Caller, described, encoding_rows, of_type, report_of
from tests.unit.conference.test_outcomes import rows_of

NOW: Final = Instant(1_000_000_000)


def test_before_any_report_there_is_nothing_in_the_newest() -> None:
    reports = Reports()
    assert len(reports.newest.decisions) == 0
    assert reports.newest.heard == {}
    assert reports.earlier is reports.newest
    assert reports.by_number.routes == {}


def test_the_earlier_report_is_one_of_a_second_or_two_ago() -> None:
    reports = Reports()
    for tick in range(100):
        now = after_ms(NOW, 50 * tick)
        reports.take(report_of(now))
        assert reports.newest.stats.now == now
        age_ms = (now - reports.earlier.stats.now) // NS_PER_MS
        assert min(1_000, 50 * tick) <= age_ms <= 2_050


def test_a_report_that_comes_twice_is_taken_once() -> None:
    reports = Reports()
    reports.take(report_of(NOW))
    report = report_of(after_s(NOW, 1.0), decisions=rows_of(DECISION_DTYPE, ({"route": 5},)))
    for _ in range(2):
        reports.take(report)
        assert reports.newest.outcomes.changed.tolist() == [5]
        assert reports.earlier.stats.now == NOW


def test_counters_by_number_are_of_the_newest_report() -> None:
    reports = Reports()
    for tick in range(3):
        rows = encoding_rows((1, 0, 127), (1, 2, 127))
        rows["bytes_received"] = 1_000 * tick
        reports.take(report_of(after_s(NOW, float(tick)), encodings=rows))
        counters = reports.by_number
        assert counters is reports.by_number
        assert counters.encodings[1, 2]["bytes_received"] == 1_000 * tick
        assert counters.bitrate_bps((1, 0)) == (8_000.0 if tick else 0.0)


def test_who_is_heard_is_looked_for_once() -> None:
    reports = Reports()
    reports.take(report_of(NOW, encodings=encoding_rows((1, 0, 127), (2, 0, 20), (3, 0, 45), (3, 1, 32))))
    assert reports.newest.heard == pytest.approx({2: 1.0, 3: 0.76})


def test_who_states_a_level_is_looked_for_once_and_need_not_be_heard() -> None:
    reports = Reports()
    reports.take(report_of(NOW, encodings=encoding_rows((1, 0, 127), (2, 0, 126), (3, 0, 45))))
    assert reports.newest.stating == {2, 3}
    assert reports.newest.stating is reports.newest.stating


# --- which reports a call must hear of --------------------------------------------------------------------


class Pair:
    """Alice's camera and voice, and Bob who wants both."""

    def __init__(self) -> None:
        self.call = Call()
        self.alice = self.call.join(Caller.with_media("alice"))
        self.bob = self.call.join(Caller.with_media("bob", "audio"))
        self.tracks = [one.track for leg in self.call.conference.snapshot().legs for one in leg.tracks]
        wishes = Wish("alice-stream", "alice-video", 640, 360), Wish("alice-stream", "alice-audio")
        self.demands = of_type(self.call.subscribe(self.bob, *wishes), SetDemand)

    def report(self, report: MediaReport) -> list[Any]:
        return self.call.conference.report(self.call.now, report)


class Aside(Pair):
    """The same, but told only of reports that it must hear of."""

    heard_of = 0

    def report(self, report: MediaReport) -> list[Any]:
        self.call.reports.take(report)
        newest = self.call.reports.newest
        due_at = self.call.conference.report_due_at
        routes = {demand.route for demand in self.demands}
        if (
            routes.isdisjoint(newest.outcomes.changed.tolist())
            and newest.heard.keys().isdisjoint(self.tracks)
            and (due_at is None or due_at > self.call.now)
        ):
            return []
        self.heard_of += 1
        return super().report(report)


def drawn(rng: random.Random, tick: int, pair: Pair) -> dict[str, Any]:
    """Decisions, what flows and who speaks; it changes now and then."""
    decisions, routes = [], []
    for demand in pair.demands:
        chosen = rng.choice((PAUSED, 0, 1, 2))
        fields = dict.fromkeys(("wanted_encoding", "allowed_encoding", "chosen_encoding"), max(chosen, 0))
        decisions.append(
            {"route": demand.route, "track": demand.track, "cause": rng.choice(list(Cause)[:4])} | fields
        )
        routes.append({"route": demand.route, "encoding": chosen, "bytes_sent": 100 * tick})
    return {
        "decisions": rows_of(DECISION_DTYPE, tuple(decisions)),
        "routes": rows_of(ROUTE_DTYPE, tuple(routes)),
        "encodings": encoding_rows(*((track, 0, rng.choice((20, 127, 127, 127))) for track in pair.tracks)),
    }


@pytest.mark.parametrize("seed", range(5))
def test_a_call_that_hears_only_of_what_concerns_it_says_what_it_always_says(seed: int) -> None:
    rng = random.Random(seed)
    pairs = Pair(), Aside()
    told: tuple[list[Any], ...] = [], []
    said = drawn(rng, 0, pairs[0])
    for tick in range(1_500):
        if rng.random() < 0.01:
            said = drawn(rng, tick, pairs[0])
        if rng.random() < 0.05:
            # People fall silent more often than they begin.
            said = said | {"encodings": encoding_rows(*((track, 0, 127) for track in pairs[0].tracks))}
        every_ms = rng.choice((0, 0, 300, 1_000)) if rng.random() < 0.01 else None
        is_muted = rng.random() < 0.5 if rng.random() < 0.01 else None
        for pair, heard in zip(pairs, told, strict=True):
            call = pair.call
            call.pass_ms(50)
            if every_ms is not None:
                call.conference.ask_stats(call.now, pair.bob, every_ms)
            if is_muted is not None:
                call.conference.streams_described(
                    call.now, pair.alice, described("alice", audio_muted=is_muted)
                )
            heard += [(tick, one) for one in pair.report(report_of(call.now, **said))]
    assert told[0] == told[1]
    assert len({type(one) for _, one in told[0]}) >= 4
    assert pairs[1].heard_of < 1_200


def test_where_nothing_happens_no_report_is_due() -> None:
    pair = Pair()
    assert pair.call.conference.report_due_at == NEXT_REPORT
    said = drawn(random.Random(1), 0, pair)
    said["encodings"] = encoding_rows()
    for _ in range(400):
        pair.call.pass_ms(50)
        pair.report(report_of(pair.call.now, **said))
    assert pair.call.conference.report_due_at is None
    pair.call.conference.ask_stats(pair.call.now, pair.bob, 1_000)
    assert pair.call.conference.report_due_at == after_s(pair.call.now, 1.0)
