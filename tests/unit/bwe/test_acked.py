from __future__ import annotations

import numpy as np
import pytest

from sfu.bwe.acked import LONG_NS, PLACES, SHORT_NS, AckedRates

from .arrays import SIZE, at_ms, packet, reports_of, sized


def rates_of(size: int = 1) -> AckedRates:
    rates = AckedRates()
    sized(rates.table, size)
    return rates


def steadily(rates: AckedRates, begin_ms: int, end_ms: int, gap_ms: int) -> None:
    """A packet each `gap_ms`, reported each 50 ms."""
    for tick in range(begin_ms, end_ms, 50):
        sent = range(tick, tick + 50, gap_ms)
        rates.update(reports_of(packet(ms, 20, seq=ms, reported_ms=tick + 90) for ms in sent))


def test_a_steady_stream_has_its_rate_over_both_windows() -> None:
    rates = rates_of()
    steadily(rates, 0, 2_000, 10)
    for window in (SHORT_NS, LONG_NS):
        assert rates.over(at_ms(2_050), window)[0][0] == pytest.approx(SIZE * 8 * 100, rel=0.05)


def test_nothing_is_known_at_first() -> None:
    rates = rates_of(2)
    assert np.isnan(rates.over(at_ms(0), SHORT_NS)[0]).all()
    rates.update(reports_of([packet(0, 20)], 2))
    assert np.isnan(rates.over(at_ms(0), SHORT_NS)[0]).all()


def test_a_drop_is_seen_sooner_over_the_short_window() -> None:
    rates = rates_of()
    steadily(rates, 0, 1_000, 5)
    steadily(rates, 1_000, 1_200, 25)
    short, long = (rate[0] for rate in rates.over(at_ms(1_250), SHORT_NS, LONG_NS))
    assert short == pytest.approx(SIZE * 8 * 40, rel=0.1)
    assert long > 2 * short


def test_a_pause_counts_once_it_is_long() -> None:
    rates = rates_of()
    steadily(rates, 0, 1_000, 10)
    before = rates.over(at_ms(1_050), LONG_NS)[0][0]
    assert rates.over(at_ms(2_040), LONG_NS)[0][0] < before / 2


def test_another_clock_begins_anew() -> None:
    rates = rates_of()
    steadily(rates, 0, 1_000, 10)
    rates.update(reports_of([packet(1_000, 60_000, seq=5_000, reported_ms=1_050)]))
    assert np.isnan(rates.over(at_ms(1_050), LONG_NS)[0][0])


def test_places_bound_what_is_remembered() -> None:
    rates = rates_of()
    steadily(rates, 0, 50 * PLACES * 2, 10)
    assert rates.table.rows["used"][0] == PLACES
