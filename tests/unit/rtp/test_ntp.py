from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sfu.rtp.ntp import NTP_UNIX_OFFSET_S, compact_to_ns, middle_bits, ns_to_compact, ns_to_ntp, ntp_to_ns
from sfu.units import NS_PER_S


@given(ns=st.integers(0, 2**32 * NS_PER_S - 1))
def test_a_time_survives_ntp_to_the_nanosecond(ns: int) -> None:
    assert ns - 1 <= ntp_to_ns(ns_to_ntp(ns)) <= ns


def test_seconds_stand_in_the_upper_half() -> None:
    assert ns_to_ntp(3 * NS_PER_S // 2) == 1 << 32 | 1 << 31
    assert ntp_to_ns(NTP_UNIX_OFFSET_S << 32) == 2_208_988_800 * NS_PER_S


def test_ntp_wraps_after_136_years() -> None:
    assert ns_to_ntp((2**32 + 5) * NS_PER_S) == 5 << 32


def test_the_middle_bits_are_those_of_a_last_sender_report() -> None:
    assert middle_bits(0x0123_4567_89AB_CDEF) == 0x4567_89AB


@given(ns=st.integers(0, 60_000 * NS_PER_S))
def test_a_duration_survives_to_its_unit(ns: int) -> None:
    assert 0 <= ns - compact_to_ns(ns_to_compact(ns)) <= NS_PER_S >> 16


def test_a_duration_is_capped() -> None:
    assert ns_to_compact(NS_PER_S) == 65_536
    assert ns_to_compact(70_000 * NS_PER_S) == 2**32 - 1
