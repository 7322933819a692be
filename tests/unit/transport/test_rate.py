from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from sfu.transport.rate import TokenBucket
from sfu.units import Instant, after_s

if TYPE_CHECKING:
    from collections.abc import Sequence

START = Instant(1_000_000_000_000)


def granted(bucket: TokenBucket, instants: Sequence[Instant]) -> int:
    return sum(bucket.take(now) for now in instants)


def test_a_burst_is_allowed_at_once_and_no_more() -> None:
    assert granted(TokenBucket(5, 10), [START] * 50) == 10


def test_tokens_come_back_with_time() -> None:
    bucket = TokenBucket(5, 10)
    granted(bucket, [START] * 50)
    assert granted(bucket, [after_s(START, 1)] * 50) == 5
    assert granted(bucket, [after_s(START, 1.1)] * 50) == 0
    assert granted(bucket, [after_s(START, 1.2)] * 50) == 1


def test_a_silence_saves_up_one_burst_and_not_more() -> None:
    bucket = TokenBucket(5, 10)
    granted(bucket, [START] * 50)
    assert granted(bucket, [after_s(START, 3_600)] * 50) == 10


def test_several_tokens_are_taken_together_or_not_at_all() -> None:
    bucket = TokenBucket(1, 10)
    assert bucket.take(START, 7)
    assert not bucket.take(START, 4)
    assert bucket.take(START, 3)
    assert not bucket.take(START)


@given(
    gaps=st.lists(st.integers(0, 3_000_000_000), min_size=1, max_size=200),
    rate=st.floats(0.1, 1_000),
    burst=st.floats(1, 1_000),
)
def test_never_more_than_the_burst_and_what_time_earns(gaps: list[int], rate: float, burst: float) -> None:
    bucket = TokenBucket(rate, burst)
    now, taken = START, 0
    for gap in gaps:
        now = Instant(now + gap)
        taken += bucket.take(now)
    elapsed_s = (now - START) / 1e9
    assert taken <= burst + rate * elapsed_s + 1e-6


@given(rate=st.floats(0.5, 1_000))
def test_whoever_keeps_to_the_rate_is_never_refused(rate: float) -> None:
    bucket = TokenBucket(rate, 2)
    instants = [after_s(START, number / rate) for number in range(300)]
    assert granted(bucket, instants) == 300
