from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import ParseError
from sfu.streams.resend import (
    MAX_RESENDS,
    MAX_SPACING_MS,
    MAX_TRACKED,
    RESEND_BURST_BYTES,
    RESEND_SHARE,
    ResendBudget,
    ResendPolicy,
    decapsulate,
    encapsulate,
)
from sfu.units import Instant, after_ms

START = Instant(0)


@given(st.integers(0, 2**16 - 1), st.binary())
def test_what_is_encapsulated_comes_out_again(sequence_number: int, payload: bytes) -> None:
    assert decapsulate(encapsulate(sequence_number, payload)) == (sequence_number, payload)


def test_the_original_number_comes_first_and_big_endian() -> None:
    assert encapsulate(0x1234, b"ab") == b"\x12\x34ab"


@given(st.binary(max_size=8))
def test_any_payload_gives_a_packet_or_a_parse_error(payload: bytes) -> None:
    if len(payload) < 2:
        with pytest.raises(ParseError, match="rtx_malformed"):
            decapsulate(payload)
    else:
        assert encapsulate(*decapsulate(payload)) == payload


def test_a_first_request_is_answered_in_the_order_asked() -> None:
    assert ResendPolicy().answer(START, [5, 3, 4], None) == [5, 3, 4]


@pytest.mark.parametrize(
    ("round_trip_ms", "spacing_ms"), [(None, MAX_SPACING_MS), (10.0, 20.0), (80.0, MAX_SPACING_MS)]
)
def test_an_echo_of_a_request_is_not_answered(round_trip_ms: float | None, spacing_ms: float) -> None:
    policy = ResendPolicy()
    assert policy.answer(START, [1, 1], round_trip_ms) == [1]
    again = after_ms(START, spacing_ms)
    assert policy.answer(Instant(again - 1), [1, 2], round_trip_ms) == [2]
    assert policy.answer(again, [1], round_trip_ms) == [1]


def test_a_packet_is_sent_again_only_so_often() -> None:
    policy = ResendPolicy()
    answers = [policy.answer(after_ms(START, 1_000 * n), [1], 20.0) for n in range(MAX_RESENDS + 2)]
    assert answers == [[1]] * MAX_RESENDS + [[]] * 2


def test_what_is_remembered_is_bounded() -> None:
    policy = ResendPolicy()
    policy.answer(START, range(3 * MAX_TRACKED), None)
    assert len(policy._resent) == MAX_TRACKED
    assert policy.answer(START, [3 * MAX_TRACKED - 1], None) == []


def test_a_burst_is_sent_again_and_then_a_share_of_what_is_sent() -> None:
    budget = ResendBudget()
    assert sum(budget.take(1_000) for _ in range(1_000)) == RESEND_BURST_BYTES // 1_000
    for _ in range(10):
        budget.sent(1_000)
    assert sum(budget.take(1_000) for _ in range(100)) == 10 * RESEND_SHARE


def test_what_was_earned_is_no_more_than_a_burst() -> None:
    budget = ResendBudget()
    for _ in range(10_000):
        budget.sent(1_000)
    assert sum(budget.take(1_000) for _ in range(1_000)) == RESEND_BURST_BYTES // 1_000
