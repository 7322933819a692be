"""NTP timestamps of RTCP (RFC 3550 section 4)."""

from __future__ import annotations

from typing import Final

from sfu.units import NS_PER_S

NTP_UNIX_OFFSET_S: Final = 2_208_988_800
"""Seconds from 1900, where NTP starts, to 1970."""


def ntp_to_ns(ntp: int) -> int:
    """Nanoseconds since 1900 of a 64-bit NTP timestamp (32.32 fixed-point seconds)."""
    return (ntp * NS_PER_S) >> 32


def ns_to_ntp(ns: int) -> int:
    """The 64-bit NTP timestamp of nanoseconds since 1900; wraps after 136 years as NTP does."""
    return (ns << 32) // NS_PER_S & 0xFFFF_FFFF_FFFF_FFFF


def middle_bits(ntp: int) -> int:
    """The middle 32 of 64 bits, as in LSR (section 6.4.1)."""
    return ntp >> 16 & 0xFFFF_FFFF


def ns_to_compact(ns: int) -> int:
    """A short duration in units of 1/65536 s, as in DLSR; capped at its 32 bits."""
    return min((ns << 16) // NS_PER_S, 0xFFFF_FFFF)


def compact_to_ns(compact: int) -> int:
    """Nanoseconds of a duration in units of 1/65536 s."""
    return (compact * NS_PER_S) >> 16
