from __future__ import annotations

import random
from dataclasses import astuple
from itertools import pairwise

import numpy as np
import pytest

from sfu.allocation.rates import ASKED_FOR_S, RETURN_AFTER_S, STALLED_AFTER_S, EncodingRates, Measured
from sfu.units import Instant, after_ms, after_s
from tests.unit.allocation.arrays import NOW, stats_of


def of(rates: EncodingRates, track: int = 1) -> Measured:
    return rates.of(np.array([track], np.uint32))


def live(rates: EncodingRates) -> list[bool]:
    return of(rates).live[0].tolist()  # type: ignore[no-any-return]  # numpy


def test_before_any_counter_nothing_is_known() -> None:
    measured = of(EncodingRates())
    assert not measured.live.any()
    assert not measured.flowing.any()
    assert np.isnan(measured.rates_bps).all()


def test_an_encoding_is_live_as_soon_as_it_is_seen() -> None:
    rates = EncodingRates()
    rates.update(stats_of(NOW, {(1, 1): 100}))
    assert live(rates) == [False, True, False]
    assert np.isnan(of(rates).rates_bps).all()


def test_a_rate_is_known_from_the_second_reading_and_follows() -> None:
    rates, now, received = EncodingRates(), NOW, 0
    for rate_bps, seconds in ((800_000, 5), (80_000, 10)):
        for _ in range(seconds * 20):
            now = after_ms(now, 50)
            received += rate_bps // 8 // 20
            rates.update(stats_of(now, {(1, 0): received, (1, 2): 7}))
        assert of(rates).rates_bps[0, 0] == pytest.approx(rate_bps, rel=0.02)
    assert of(rates).rates_bps[0, 2] == 0
    assert np.isnan(of(rates).rates_bps[0, 1])


def test_a_key_frame_does_not_look_like_a_rate() -> None:
    rates = EncodingRates()
    rates.update(stats_of(NOW, {(1, 0): 0}))
    rates.update(stats_of(after_ms(NOW, 1_000), {(1, 0): 25_000}))
    rates.update(stats_of(after_ms(NOW, 1_050), {(1, 0): 45_000}))
    assert of(rates).rates_bps[0, 0] < 400_000


def test_readings_that_are_too_close_are_not_divided_by_their_distance() -> None:
    rates = EncodingRates()
    rates.update(stats_of(NOW, {(1, 0): 0}))
    rates.update(stats_of(after_ms(NOW, 1_000), {(1, 0): 10_000}))
    rates.update(stats_of(after_ms(NOW, 1_001), {(1, 0): 11_000, (1, 1): 5}))
    assert of(rates).rates_bps[0, 0] == pytest.approx(80_000)
    rates.update(stats_of(after_ms(NOW, 1_100), {(1, 0): 11_000, (1, 1): 5}))
    assert of(rates).rates_bps[0, 0] == pytest.approx(80_000)


def test_what_is_measured_is_the_same_object_until_something_changes() -> None:
    rates, seen = EncodingRates(), []
    for ms, rows in (
        (0, {(1, 0): 0}),
        (1, {(1, 0): 9}),
        (2, {(1, 0): 9, (2, 0): 0}),
        (100, {(1, 0): 9, (2, 0): 9}),
    ):
        rates.update(stats_of(after_ms(NOW, ms), rows))
        seen.append(rates.measured)
        assert len(rates.measured.live) == len(rows)
    assert [one is other for one, other in pairwise(seen)] == [True, False, False]


def test_the_first_key_frame_is_not_taken_for_the_rate() -> None:
    rates = EncodingRates()
    counted = 12_000
    for tick in range(50):
        rates.update(stats_of(after_ms(NOW, 100 * tick), {(1, 0): counted if tick else 0}))
        if tick:
            assert of(rates).rates_bps[0, 0] < 400_000
            counted += 2_500
    assert of(rates).rates_bps[0, 0] == pytest.approx(200_000, rel=0.05)


def test_an_encoding_that_is_back_is_measured_anew() -> None:
    rates = EncodingRates()
    for tick in range(60):
        give(rates, 0)
        counted = 10_000 * min(tick, 20) + 1_000 * max(0, tick - 50)
        at = after_ms(NOW, 100 * tick)
        flows_at = at if tick <= 20 or tick > 50 else after_ms(NOW, 2_000)
        rates.update(stats_of(at, {(1, 0): counted if tick else 0}, {(1, 0): flows_at}))
        if tick == 51:
            assert of(rates).settled[0, 0] < 0.5
    assert of(rates).rates_bps[0, 0] == pytest.approx(80_000, rel=0.1)
    assert of(rates).settled[0, 0] == 1


def test_counters_that_fall_are_no_negative_rate() -> None:
    rates = EncodingRates()
    rates.update(stats_of(NOW, {(1, 0): 5_000}))
    rates.update(stats_of(after_ms(NOW, 1_000), {(1, 0): 10}))
    assert of(rates).rates_bps[0, 0] == 0


def test_an_encoding_without_packets_for_two_seconds_flows_no_more() -> None:
    rates = EncodingRates()
    last_at = {(1, 0): NOW}
    rates.update(stats_of(NOW, {(1, 0): 0}))
    rates.update(stats_of(after_s(NOW, STALLED_AFTER_S), {(1, 0): 0}, last_at))
    assert live(rates) == [True, False, False]
    rates.update(stats_of(after_s(NOW, STALLED_AFTER_S + 0.05), {(1, 0): 0}, last_at))
    assert live(rates) == [False, False, False]


def give(rates: EncodingRates, *encodings: int) -> None:
    """Somebody is given these encodings of the first track, and nobody the others."""
    rates.give(np.ones(len(encodings), np.uint32), np.array(encodings, np.int64))


def test_one_that_failed_flows_at_once_when_it_is_back_and_is_live_after_a_while() -> None:
    rates = EncodingRates()
    rates.update(stats_of(NOW, {(1, 0): 0}))
    give(rates, 0)
    rates.update(stats_of(after_s(NOW, 10), {(1, 0): 0}, {(1, 0): NOW}))
    back = after_s(NOW, 20)
    for seconds, expected in ((0.0, False), (RETURN_AFTER_S - 0.1, False), (RETURN_AFTER_S, True)):
        rates.update(stats_of(after_s(back, seconds), {(1, 0): 0}))
        assert of(rates).flowing[0].tolist() == [True, False, False]
        assert live(rates) == [expected, False, False]


def back_again(rates: EncodingRates, stopped_at: Instant, back_at: Instant) -> list[bool]:
    """Whether each encoding is live as soon as the highest is back, which stopped a while ago."""
    rows = {(1, 0): 0, (1, 2): 0}
    for seconds in (0.5, 2.5, 3.0):
        rates.update(stats_of(after_s(stopped_at, seconds), rows, {(1, 2): stopped_at}))
    rates.update(stats_of(back_at, rows))
    return live(rates)


def test_one_that_stopped_while_nobody_was_given_it_is_live_as_soon_as_it_flows() -> None:
    rates = EncodingRates()
    rates.update(stats_of(NOW, {(1, 0): 0, (1, 2): 0}))
    give(rates, 0)
    stopped_at = NOW
    assert back_again(rates, stopped_at, after_s(NOW, 10)) == [True, False, True]
    # It is given now: when it stops again, it has failed.
    give(rates, 0, 2)
    stopped_at = after_s(NOW, 11)
    rates.update(stats_of(stopped_at, {(1, 0): 0, (1, 2): 0}))
    assert back_again(rates, stopped_at, after_s(NOW, 20)) == [True, False, False]


def test_one_that_is_back_for_less_than_a_second_is_not_live_afterwards() -> None:
    rates = EncodingRates()
    rates.update(stats_of(NOW, {(1, 0): 0}))
    give(rates, 0)
    rates.update(stats_of(after_s(NOW, 10), {(1, 0): 0}, {(1, 0): NOW}))
    for tenths in range(8):
        rates.update(stats_of(after_ms(after_s(NOW, 11), 100 * tenths), {(1, 0): 0}))
    last_at = {(1, 0): after_ms(after_s(NOW, 11), 700)}
    for seconds in (12.0, 12.5, 12.7):
        rates.update(stats_of(after_s(NOW, seconds), {(1, 0): 0}, last_at))
        assert of(rates).flowing[0].tolist() == [True, False, False]
        assert live(rates) == [False, False, False]


def test_one_that_is_asked_for_while_its_end_is_not_noticed_yet_has_not_failed() -> None:
    rates = EncodingRates()
    rates.update(stats_of(NOW, {(1, 0): 0, (1, 2): 0}))
    give(rates, 0)
    rates.update(stats_of(after_s(NOW, 1), {(1, 0): 0, (1, 2): 0}, {(1, 2): NOW}))
    give(rates, 2, 0, 2)
    rates.update(stats_of(after_s(NOW, 2.5), {(1, 0): 0, (1, 2): 0}, {(1, 2): NOW}))
    assert live(rates) == [True, False, False]
    rates.update(stats_of(after_s(NOW, 2.9), {(1, 0): 0, (1, 2): 0}))
    assert live(rates) == [True, False, True]


def at_rest() -> tuple[EncodingRates, Instant]:
    """The highest stopped while nobody was given it, at 800 kbit/s; a minute later it is still so."""
    rates, now = EncodingRates(), NOW
    for tick in range(700):
        now = after_ms(NOW, 100 * tick)
        stopped_at = after_ms(NOW, 100 * min(tick, 50))
        rates.update(
            stats_of(now, {(1, 0): 1_000 * tick, (1, 2): 10_000 * min(tick, 50)}, {(1, 2): stopped_at})
        )
        give(rates, 0)
    return rates, now


def test_one_that_stops_while_nobody_is_given_it_rests_and_its_rate_is_remembered() -> None:
    rates, _ = at_rest()
    measured = of(rates)
    assert measured.rests[0].tolist() == [False, False, True]
    assert live(rates) == [True, False, False]
    assert measured.rates_bps[0, 2] == pytest.approx(800_000, rel=0.02)
    assert measured.settled[0, 2] == 1


def test_silence_is_no_lower_rate_while_it_is_not_known_what_it_means() -> None:
    rates, stopped_at = EncodingRates(), NOW
    for tick in range(70):
        stopped_at = after_ms(NOW, 100 * min(tick, 50))
        rates.update(
            stats_of(after_ms(NOW, 100 * tick), {(1, 2): 10_000 * min(tick, 50)}, {(1, 2): stopped_at})
        )
        give(rates, 2)
        if tick > 50:
            assert of(rates).rates_bps[0, 2] == pytest.approx(800_000, rel=0.02)
    rates.update(stats_of(after_ms(NOW, 7_100), {(1, 2): 500_000}, {(1, 2): stopped_at}))
    assert of(rates).rests[0].tolist() == [False, False, False]
    for tick in range(20):
        rates.update(stats_of(after_ms(NOW, 7_200 + 100 * tick), {(1, 2): 500_000}, {(1, 2): stopped_at}))
    assert of(rates).rates_bps[0, 2] < 100_000


def test_one_that_rests_counts_as_soon_as_it_flows_and_by_the_rate_that_it_had() -> None:
    rates, now = at_rest()
    give(rates, 0, 2)
    assert rates.is_awaiting
    rates.update(stats_of(after_ms(now, 300), {(1, 0): 702_000, (1, 2): 510_000}))
    assert live(rates) == [True, False, True]
    assert not of(rates).rests.any()
    assert not rates.is_awaiting
    assert of(rates).rates_bps[0, 2] == pytest.approx(800_000, rel=0.3)


def test_one_that_is_given_and_does_not_come_for_a_while_has_failed() -> None:
    rates, now = at_rest()
    stopped_at = {(1, 2): after_ms(NOW, 5_000)}
    give(rates, 0, 2)
    changes = rates.changes
    for seconds, rests in ((ASKED_FOR_S - 0.1, True), (ASKED_FOR_S, False)):
        rates.update(stats_of(after_s(now, seconds), {(1, 0): 800_000, (1, 2): 500_000}, stopped_at))
        assert of(rates).rests[0, 2] == rests
        assert rates.changes == changes + (not rests)
    # Back after that, it has to show that it stays.
    rates.update(stats_of(after_s(now, 9), {(1, 0): 800_000, (1, 2): 510_000}))
    assert live(rates) == [True, False, False]


def test_what_rests_is_remembered_by_one_that_goes_on_where_another_was() -> None:
    rates, _ = at_rest()
    give(rates, 0, 2)
    again = EncodingRates.resumed(rates.remembered, rates.measured_at, rates.now)
    assert again.is_awaiting
    assert of(again).rests.tolist() == of(rates).rests.tolist()


def test_encodings_that_are_gone_are_forgotten_and_come_anew() -> None:
    rates = EncodingRates()
    rates.update(stats_of(NOW, {(1, 0): 0, (2, 0): 0}))
    rates.update(stats_of(after_s(NOW, 1), {(2, 0): 1_000}))
    assert live(rates) == [False, False, False]
    rates.update(stats_of(after_s(NOW, 2), {}))
    assert np.isnan(of(rates, 2).rates_bps).all()
    rates.update(stats_of(after_s(NOW, 3), {(1, 0): 10**9}))
    assert live(rates) == [True, False, False]
    assert np.isnan(of(rates).rates_bps).all()


def test_the_order_of_rows_does_not_matter() -> None:
    forward, backward = EncodingRates(), EncodingRates()
    for seconds in range(3):
        rows = {(track, encoding): seconds * 100 * track for track in (3, 1, 2) for encoding in (2, 0)}
        now = Instant(after_s(NOW, seconds))
        forward.update(stats_of(now, rows))
        backward.update(stats_of(now, dict(reversed(rows.items()))))
    tracks = np.array([1, 2, 3, 4], np.uint32)
    assert np.array_equal(forward.of(tracks).rates_bps, backward.of(tracks).rates_bps, equal_nan=True)
    assert np.array_equal(forward.of(tracks).live, backward.of(tracks).live)


@pytest.mark.parametrize("seed", range(3))
def test_ticks_that_find_the_same_encodings_know_what_others_know(seed: int) -> None:
    """Rows in another order are sorted anew; in the same order they are not."""
    rng = random.Random(seed)
    steady, shuffled = EncodingRates(), EncodingRates()
    last_at: dict[tuple[int, int], Instant] = {}
    received = dict.fromkeys([(1, 0), (1, 2), (2, 0)], 0)
    for tick in range(150):
        now = after_ms(NOW, 100 * tick)
        for key in received:
            # Each flows for a while, and pauses for a while.
            if rng.random() < 0.8 and (tick // 30 + key[0] + key[1]) % 2:
                received[key] += rng.randrange(5_000)
                last_at[key] = now
        present = {key: count for key, count in received.items() if key in last_at}
        keys = rng.sample(sorted(present), len(present))
        steady.update(stats_of(now, present, last_at))
        shuffled.update(stats_of(now, {key: present[key] for key in keys}, last_at))
        for rates in (steady, shuffled):
            give(rates, 0, *([2] if tick // 40 % 2 else []))
        assert steady.changes == shuffled.changes
        for track in (1, 2):
            for one, other in zip(astuple(of(steady, track)), astuple(of(shuffled, track)), strict=True):
                assert np.array_equal(one, other, equal_nan=True)
    assert steady.changes > 3
