from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.streams.clock import TICK_BITS, StreamClock
from sfu.units import Instant, after_s

START = Instant(5_000_000_000)
NTP = 0xE000_0000_0000_0000
RATE = 90_000


def reported(ts: int = 2**32, timestamp: int = 0, ntp: int = NTP) -> StreamClock:
    clock = StreamClock(RATE, START, ts)
    clock.sender_report(START, ntp, timestamp)
    return clock


def test_without_a_report_nothing_is_known() -> None:
    clock = StreamClock(RATE, START, 0)
    assert not clock.has_report
    assert clock.first_at == START
    assert clock.ntp_of(0) is None
    assert clock.ts_fixed_of(NTP) is None
    assert clock.ntp_at(START) is None


@given(st.integers(-(10 * RATE), 10 * RATE))
def test_a_timestamp_goes_to_ntp_and_back(ticks: int) -> None:
    clock = reported()
    ts = 2**32 + ticks
    ntp = clock.ntp_of(ts)
    assert ntp is not None
    fixed = clock.ts_fixed_of(ntp)
    assert fixed is not None
    assert abs(fixed - (ts << TICK_BITS)) <= RATE


@pytest.mark.parametrize(
    ("last_ts", "timestamp", "ts"),
    [
        (2**32 - 1, 5, 2**32 + 5),
        (2**32 + 1, 2**32 - 5, 2**32 - 5),
        (3 * 2**32 + 2**31 - 1, 2**31, 3 * 2**32 + 2**31),
    ],
)
def test_a_report_lies_near_the_last_packet_across_the_wrap(last_ts: int, timestamp: int, ts: int) -> None:
    clock = StreamClock(RATE, START, 0)
    clock.received(last_ts)
    clock.received(0)
    clock.sender_report(START, NTP, timestamp)
    assert clock.ntp_of(ts) == NTP


def test_a_later_report_replaces_the_one_before() -> None:
    clock = reported()
    clock.sender_report(after_s(START, 1), NTP + (1 << 32), RATE + 5)
    assert clock.has_report
    assert clock.ntp_of(2**32 + RATE + 5) == NTP + (1 << 32)


def test_the_publishers_clock_goes_on_after_its_report() -> None:
    assert reported().ntp_at(after_s(START, 1.5)) == NTP + (3 << 31)


def test_the_ntp_era_of_2036_does_no_harm() -> None:
    clock = reported(ntp=2**64 - (1 << 32))
    assert clock.ntp_at(after_s(START, 2)) == 1 << 32
    assert clock.ts_fixed_of(1 << 32) == (2**32 + 2 * RATE) << TICK_BITS
