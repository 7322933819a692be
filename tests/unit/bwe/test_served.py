from __future__ import annotations

import numpy as np
import pytest

from sfu.bwe.served import MIN_BUSY_NS, PLACES, WINDOW_NS, ServedRates
from sfu.units import NS_PER_MS

from .arrays import SIZE, at_ms, packet, reports_of, sized


def rates_of(size: int = 1) -> ServedRates:
    rates = ServedRates()
    sized(rates.table, size)
    return rates


def burst(rates: ServedRates, ms: float, gap_ms: float, count: int, *, waited: bool = True) -> None:
    """Packets that were sent together and come `gap_ms` after one another."""
    reports = reports_of(packet(ms, 20 + i * gap_ms, seq=int(ms) * 100 + i) for i in range(count))
    rates.update(at_ms(ms + 50), reports, np.full(count, waited))


def test_a_burst_tells_what_the_path_carries_whatever_was_sent_before() -> None:
    rates = rates_of()
    burst(rates, 0, 2, 40)
    assert rates.rates(at_ms(50))[0] == pytest.approx(SIZE * 8 * 500)


def test_what_did_not_wait_tells_nothing() -> None:
    rates = rates_of()
    burst(rates, 0, 2, 40, waited=False)
    assert np.isnan(rates.rates(at_ms(50))[0])


def test_a_queue_must_have_been_at_work_for_a_while() -> None:
    rates = rates_of()
    count = MIN_BUSY_NS // NS_PER_MS // 10
    burst(rates, 0, 10, count)
    assert np.isnan(rates.rates(at_ms(50))[0])
    burst(rates, 50, 10, count)
    assert rates.rates(at_ms(100))[0] == pytest.approx(SIZE * 8 * 100)


def test_what_is_old_counts_no_more() -> None:
    rates = rates_of()
    burst(rates, 0, 2, 40)
    for step in range(PLACES):
        burst(rates, 200 + 50 * step, 8, 20)
    assert rates.rates(at_ms(400))[0] == pytest.approx(SIZE * 8 * 125)
    assert np.isnan(rates.rates(at_ms(400 + WINDOW_NS / NS_PER_MS))[0])


def test_one_subscribers_packets_say_nothing_of_another() -> None:
    rates = rates_of(2)
    rows = [packet(0, 20 + 2 * i, seq=i) for i in range(40)] + [packet(0, 500, seq=1, row=1)]
    rates.update(at_ms(50), reports_of(rows, 2), np.ones(41, np.bool_))
    assert np.isnan(rates.rates(at_ms(50))[1])
