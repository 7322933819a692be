from __future__ import annotations

import pytest
from hypothesis import given

from sfu.errors import RemoteError
from sfu.negotiation.candidates import MAX_CANDIDATE_LINES, MAX_REMOTE_CANDIDATES, host_candidates
from tests.unit.negotiation.texts import CHROMIUM, changed, mutations, remote, stopped


def told(*lines: str, mid: str = "0", offer: str = CHROMIUM) -> list[tuple[str, int]]:
    """The candidates of an offer with these ones in a section."""
    without = "a=candidate"
    return list(host_candidates(remote(changed(offer, mid, *lines, without=without))))


def line(address: str, port: object = 10_000, priority: int = 1) -> str:
    return f"a=candidate:1 1 udp {priority} {address} {port} typ host"


def test_hosts_are_told_best_first_and_each_once() -> None:
    lines = (line("192.0.2.1", priority=5), line("2001:db8::1", priority=9), line("192.0.2.1", priority=7))
    assert told(*lines, line("192.0.2.1", 10_001)) == [
        ("2001:db8::1", 10_000),
        ("192.0.2.1", 10_000),
        ("192.0.2.1", 10_001),
    ]


def test_of_one_priority_the_first_goes_first() -> None:
    assert told(line("192.0.2.2"), line("192.0.2.1")) == [("192.0.2.2", 10_000), ("192.0.2.1", 10_000)]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("fe80::1", "fe80::1"),
    ],
)
def test_addresses_are_in_their_canonical_form(address: str, expected: str) -> None:
    assert told(line(address)) == [(expected, 10_000)]


@pytest.mark.parametrize(
    "text",
    [
        line("focus.example"),
        line("f2c2.local"),
        line("fe80::1%eth0"),
        line("192.0.2"),
        line("192.0.2.256"),
        line("0.0.0.0"),  # noqa: S104  # nobody listens
        line("::"),
        line("224.0.0.1"),
        line("ff02::1"),
        line("255.255.255.255"),
        line("::ffff:224.0.0.1"),
        line("192.0.2.1", 0),
        line("192.0.2.1", 65_536),
        line("192.0.2.1", "x"),
        line("192.0.2.1", "\u0661"),
        line("192.0.2.1").replace(" 1 udp", " 2 udp"),
        line("192.0.2.1").replace(" udp", " tcp"),
        line("192.0.2.1").replace("typ host", "typ srflx raddr 10.0.0.1 rport 1"),
        line("192.0.2.1").replace("typ host", "typ hostile"),
        "a=candidate:",
        "a=candidate",
    ],
)
def test_what_is_no_udp_host_of_its_own_is_left_out(text: str) -> None:
    assert told(text) == []


def test_upper_case_and_extensions_are_no_matter() -> None:
    assert told("a=candidate:x/+ 1 UDP 1 192.0.2.1 9 TYP HOST generation 0") == [("192.0.2.1", 9)]


def test_only_the_section_that_carries_the_transport_counts() -> None:
    both = changed(CHROMIUM, "0", line("192.0.2.1"))
    assert told(line("192.0.2.2"), mid="1", offer=both)[-1] == ("192.0.2.1", 10_000)
    assert ("192.0.2.2", 10_000) in told(line("192.0.2.2"), mid="1", offer=stopped(both, "0"))
    nothing = stopped(stopped(stopped(CHROMIUM, "0"), "1"), "2")
    assert told(line("192.0.2.1"), offer=nothing) == []


def test_at_most_so_many_are_taken_and_so_many_lines_are_read() -> None:
    many = [line("192.0.2.1", port) for port in range(1, 2 * MAX_CANDIDATE_LINES)]
    assert len(told(*many)) == MAX_REMOTE_CANDIDATES
    assert told(*["a=candidate:x"] * MAX_CANDIDATE_LINES, line("192.0.2.1")) == []


@given(mutations())
def test_a_damaged_description_has_candidates_or_none(sdp: str) -> None:
    try:
        description = remote(sdp)
    except RemoteError:
        return
    found = host_candidates(description)
    assert len(found) <= MAX_REMOTE_CANDIDATES
    assert all(0 < port < 65_536 for _, port in found)
