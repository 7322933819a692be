from __future__ import annotations

import numpy as np
import pytest

from sfu.bwe.aimd import (
    ACKED_MARGIN_BPS,
    BACKOFF,
    FREE_BPS,
    FREE_FACTOR,
    GREW_ON_MS,
    GROWTH,
    KNOWN_ACKED_FACTOR,
    MAX_ACKED_FACTOR,
    MAX_DRAIN,
    MIN_BPS,
    RIVAL_ACKED_FACTOR,
    RIVAL_BACKOFF,
    RIVAL_LOSS,
    SILENT_FACTOR,
    START_BPS,
    DelayRate,
    DelayRates,
    PathSigns,
)
from sfu.bwe.overuse import Signal
from sfu.units import NS_PER_MS

from .arrays import at_ms, sized


def rate_of(rate_bps: float = START_BPS) -> DelayRate:
    rate = DelayRate()
    sized(rate.table, 1)
    rate.table.rows["rate_bps"] = rate_bps
    rate.update(at_ms(0), signs())
    rate.table.rows["rate_bps"] = rate_bps
    return rate


def signs(
    signal: Signal = Signal.NORMAL,
    *,
    acked_bps: float = np.nan,
    short_acked_bps: float | None = None,
    served_bps: float = np.nan,
    queue_ms: float = 0.0,
    inherent_loss: float = 0.0,
    has_rival: bool = False,
    excess_loss: float = 0.0,
    is_silent: bool = False,
) -> PathSigns:
    return PathSigns(
        np.array([signal], np.int8),
        np.array([queue_ms]),
        np.array([acked_bps if short_acked_bps is None else short_acked_bps]),
        np.array([acked_bps]),
        np.array([served_bps]),
        np.array([50 * NS_PER_MS]),
        np.array([inherent_loss]),
        np.array([has_rival]),
        np.array([excess_loss]),
        np.array([is_silent]),
    )


def play(rate: DelayRate, begin_ms: int, end_ms: int, one: PathSigns) -> DelayRates:
    *_, rates = [rate.update(at_ms(ms), one) for ms in range(begin_ms, end_ms, 50)]
    return rates


def test_it_grows_by_a_part_a_second_where_no_limit_is_known() -> None:
    rates = play(rate_of(1e6), 50, 1_050, signs(acked_bps=1e6))
    assert rates.rate_bps[0] == pytest.approx(1e6 * (1 + GROWTH), rel=0.01)


def test_it_does_not_grow_past_what_arrives_nor_without_proof() -> None:
    rates = play(rate_of(1e6), 50, 60_050, signs(acked_bps=8e5))
    assert rates.rate_bps[0] == pytest.approx(MAX_ACKED_FACTOR * 8e5 + ACKED_MARGIN_BPS)
    assert play(rate_of(1e6), 50, 60_050, signs()).rate_bps[0] == 1e6


@pytest.mark.parametrize(
    ("limit_bps", "acked_bps", "most_bps"),
    [(1e6, 8e5, 1e6), (1e6, 9.8e5, KNOWN_ACKED_FACTOR * 9.8e5), (2.4e5, 1.5e5, FREE_BPS)],
    ids=["to the limit", "past it with what arrives", "past it where that is little"],
)
def test_where_a_limit_is_known_it_grows(limit_bps: float, acked_bps: float, most_bps: float) -> None:
    rate = rate_of(acked_bps)
    rate.table.rows["limit_bps"] = limit_bps
    assert play(rate, 50, 60_050, signs(acked_bps=acked_bps)).rate_bps[0] == pytest.approx(most_bps)


def test_a_source_that_sends_less_does_not_lower_it() -> None:
    assert play(rate_of(1e6), 50, 5_050, signs(acked_bps=1e5)).rate_bps[0] == 1e6


def test_overuse_takes_it_below_what_arrives_at_once() -> None:
    rate = rate_of(3e6)
    rates = play(rate, 50, 100, signs(Signal.OVER, acked_bps=2.8e6, short_acked_bps=8e5))
    assert rates.rate_bps[0] == pytest.approx(BACKOFF * 8e5)
    assert rate.knows_limit[0]


def test_overuse_lowers_it_also_where_more_arrived_than_it_is() -> None:
    assert play(rate_of(1e6), 50, 100, signs(Signal.OVER, acked_bps=1.2e6)).rate_bps[0] < 0.9e6


def test_a_burst_does_not_take_it_to_what_was_sent_before() -> None:
    over = signs(Signal.OVER, acked_bps=6e5, served_bps=3e6)
    assert play(rate_of(2.8e6), 50, 100, over).rate_bps[0] == pytest.approx(BACKOFF * 2.8e6)
    over = signs(Signal.OVER, acked_bps=6e5)
    assert play(rate_of(2.8e6), 50, 100, over).rate_bps[0] == pytest.approx(BACKOFF * 6e5)


def test_one_overuse_is_one_decrease() -> None:
    rates = play(rate_of(1e6), 50, 350, signs(Signal.OVER, acked_bps=1e6))
    assert rates.rate_bps[0] == pytest.approx(BACKOFF * 1e6)


def test_overuse_that_lasts_is_answered_again() -> None:
    rate = rate_of(1e6)
    play(rate, 50, 100, signs(Signal.OVER, acked_bps=1e6))
    rates = play(rate, 100, 1_000, signs(Signal.OVER, acked_bps=5e5, short_acked_bps=5e5))
    assert rates.rate_bps[0] <= BACKOFF * 5e5


def test_loss_that_is_there_anyway_counts_as_arrived() -> None:
    rates = play(rate_of(1e6), 50, 100, signs(Signal.OVER, acked_bps=9e5, inherent_loss=0.1))
    assert rates.rate_bps[0] == pytest.approx(BACKOFF * 1e6)


def test_a_queue_is_sent_off_after_a_decrease_and_only_then() -> None:
    assert play(rate_of(1e6), 50, 100, signs(queue_ms=300)).drained_bps[0] == 1e6
    rate = rate_of(1e6)
    rates = play(rate, 50, 100, signs(Signal.OVER, acked_bps=1e6, queue_ms=300))
    assert rates.drained_bps[0] < 0.5 * rates.rate_bps[0]
    rates = play(rate, 100, 2_000, signs(Signal.UNDER, acked_bps=1e6, queue_ms=300))
    assert rates.drained_bps[0] == rates.rate_bps[0]


def test_a_queue_that_shrinks_is_waited_for() -> None:
    assert play(rate_of(1e6), 50, 1_050, signs(Signal.UNDER, acked_bps=1e6)).rate_bps[0] == 1e6


def test_near_a_limit_it_grows_slowly_until_it_is_past_it() -> None:
    rate = rate_of(3e6)
    play(rate, 50, 100, signs(Signal.OVER, acked_bps=3e6))
    slow = play(rate, 100, 1_600, signs(acked_bps=2.6e6)).rate_bps[0]
    assert BACKOFF * 3e6 < slow < BACKOFF * 3e6 + 2e5
    outgrown = False
    for ms in range(1_600, 20_000, 50):
        outgrown |= bool(rate.update(at_ms(ms), signs(acked_bps=3.5e6)).outgrew[0])
    assert outgrown
    assert not rate.knows_limit[0]


def test_proof_raises_it_and_takes_the_limit_away() -> None:
    rate = rate_of(1e6)
    play(rate, 50, 100, signs(Signal.OVER, acked_bps=1e6))
    rate.raise_to(np.array([np.nan]))
    assert rate.knows_limit[0]
    rate.raise_to(np.array([2 * FREE_FACTOR * 1e6]))
    assert rate.table.rows["rate_bps"][0] == 2 * FREE_FACTOR * 1e6
    assert not rate.knows_limit[0]


def test_it_is_never_less_than_sound_needs() -> None:
    assert play(rate_of(1e5), 50, 100, signs(Signal.OVER, acked_bps=1e3)).drained_bps[0] == MIN_BPS


def test_silence_lowers_it_bit_by_bit() -> None:
    rates = play(rate_of(1e6), 50, 1_050, signs(acked_bps=1e6, is_silent=True))
    assert rates.rate_bps[0] == pytest.approx(1e6 * SILENT_FACTOR, rel=0.01)


def test_beside_a_rival_it_falls_when_the_rivals_does_and_grows_faster() -> None:
    rate = rate_of(1e6)
    beside = signs(Signal.UNDER, acked_bps=1e6, queue_ms=200, has_rival=True)
    rates = play(rate, 50, 1_000, beside)
    assert rates.rate_bps[0] == pytest.approx(RIVAL_BACKOFF * 1e6)
    assert rates.drained_bps[0] == rates.rate_bps[0]
    grown = play(rate, 1_000, 1_500, signs(acked_bps=1e6, queue_ms=200, has_rival=True)).rate_bps[0]
    assert grown > 1.2 * RIVAL_BACKOFF * 1e6


def test_beside_a_rival_it_falls_as_well_where_our_own_packets_are_lost() -> None:
    lossy = signs(acked_bps=1e6, queue_ms=300, has_rival=True, excess_loss=2 * RIVAL_LOSS)
    assert play(rate_of(1e6), 50, 100, lossy).rate_bps[0] == pytest.approx(RIVAL_BACKOFF * 1e6)
    once = signs(acked_bps=1e6, queue_ms=300, has_rival=True, excess_loss=RIVAL_LOSS / 2)
    assert play(rate_of(1e6), 50, 100, once).rate_bps[0] > 1e6
    alone = signs(acked_bps=1e6, excess_loss=2 * RIVAL_LOSS)
    assert play(rate_of(1e6), 50, 100, alone).rate_bps[0] > 1e6


def test_beside_a_rival_a_camera_that_takes_little_may_take_its_next_step() -> None:
    rate = rate_of(1e6)
    play(rate, 50, 100, signs(Signal.OVER, acked_bps=3e5))
    assert play(rate, 100, 60_000, signs(acked_bps=2e5)).rate_bps[0] < 3.1e5
    beside = signs(acked_bps=2e5, queue_ms=200, has_rival=True)
    most_bps = RIVAL_ACKED_FACTOR * 2e5 + ACKED_MARGIN_BPS
    assert play(rate, 60_000, 120_000, beside).rate_bps[0] == pytest.approx(most_bps)


def test_a_queue_that_grows_on_after_a_decrease_is_a_rivals_and_not_sent_off_for_long() -> None:
    rate = rate_of(3e6)
    first = play(rate, 50, 100, signs(Signal.OVER, acked_bps=2e6, queue_ms=50))
    assert not first.grew_on[0]
    longer = signs(Signal.OVER, acked_bps=1e6, queue_ms=60 + GREW_ON_MS)
    again = play(rate, 600, 650, longer)
    assert again.grew_on[0]
    assert again.rate_bps[0] == pytest.approx(BACKOFF * 1e6)
    full = signs(Signal.OVER, acked_bps=4e5, queue_ms=1_000, has_rival=True)
    later = play(rate, 650, 700, full)
    assert later.rate_bps[0] == again.rate_bps[0]
    assert later.drained_bps[0] == pytest.approx((1 - MAX_DRAIN) * later.rate_bps[0])
    settled = play(rate, 700, 2_200, signs(acked_bps=4e5, queue_ms=1_000, has_rival=True))
    assert settled.drained_bps[0] == settled.rate_bps[0]


def test_a_queue_that_is_shorter_then_is_our_own() -> None:
    rate = rate_of(3e6)
    play(rate, 50, 100, signs(Signal.OVER, acked_bps=2e6, queue_ms=150))
    again = play(rate, 600, 650, signs(Signal.OVER, acked_bps=1e6, queue_ms=150))
    assert not again.grew_on[0]
    assert again.drained_bps[0] < again.rate_bps[0]
