from __future__ import annotations

import ipaddress
import random
import re

import pytest

from sfu.conference.conference import Conference, LocalMedia
from sfu.conference.ids import IdSource
from sfu.conference.reports import Reports
from sfu.conference.values import SendDescription
from sfu.config import ConferenceConfig, LimitsConfig, MediaConfig
from sfu.errors import ConfigError
from sfu.negotiation.parameters import Fingerprint
from sfu.runtime.addresses import MAX_FOUND, Address, candidates_of, interface_addresses
from sfu.units import Instant
from tests.unit.conference.caller import Caller, of_type

PORT = 10_000
WILDCARD = MediaConfig(host="0.0.0.0")  # noqa: S104  # what is tested
WILDCARD_6 = MediaConfig(host="::")
MACHINE = ["127.0.0.1", "::1", "169.254.3.4", "fe80::1", "2001:db8::5", "192.0.2.7", "172.17.0.1"]


def addresses(config: MediaConfig, machine: list[str] | None = None) -> list[str]:
    found = [ipaddress.ip_address(text) for text in (MACHINE if machine is None else machine)]
    return [one.address for one in candidates_of(config, PORT, machine=lambda: found)]


def never() -> list[Address]:
    raise AssertionError("nobody needs to know this machine's addresses")


def test_when_addresses_are_configured_these_are_told_in_their_order_and_no_other() -> None:
    config = MediaConfig(advertised_addresses=("203.0.113.9", "2001:db8::9"))
    told = candidates_of(config, PORT, machine=never)
    assert [(one.address, one.port) for one in told] == [("203.0.113.9", PORT), ("2001:db8::9", PORT)]


def test_when_a_single_address_is_bound_that_one_is_told() -> None:
    assert [one.address for one in candidates_of(MediaConfig(host="127.0.0.1"), PORT, machine=never)] == [
        "127.0.0.1"
    ]


def test_for_a_wildcard_what_others_can_reach_of_this_machine_is_told() -> None:
    assert addresses(WILDCARD) == ["192.0.2.7", "172.17.0.1"]


def test_a_wildcard_of_ipv6_is_bound_to_ipv4_as_well() -> None:
    assert addresses(WILDCARD_6) == ["192.0.2.7", "172.17.0.1", "2001:db8::5"]


def test_loopback_is_told_only_where_there_is_nothing_else() -> None:
    assert addresses(WILDCARD, ["127.0.0.1", "fe80::1", "169.254.3.4"]) == ["127.0.0.1"]


def test_an_address_of_several_interfaces_is_told_once() -> None:
    assert addresses(WILDCARD, ["192.0.2.7", "192.0.2.7"]) == ["192.0.2.7"]
    assert addresses(MediaConfig(advertised_addresses=("192.0.2.7", "192.0.2.7"))) == ["192.0.2.7"]


def test_a_host_of_many_bridges_tells_so_many_and_configured_ones_are_all_told() -> None:
    many = [f"10.0.{number}.1" for number in range(MAX_FOUND + 5)]
    assert addresses(WILDCARD, many) == many[:MAX_FOUND]
    assert addresses(MediaConfig(advertised_addresses=tuple(many))) == many


def test_priorities_are_those_of_host_candidates_and_fall_by_order() -> None:
    config = MediaConfig(advertised_addresses=("192.0.2.1", "192.0.2.2", "192.0.2.3"))
    priorities = [one.priority for one in candidates_of(config, PORT, machine=never)]
    assert priorities[0] == 2_130_706_431  # RFC 8445 section 5.1.2.1: 126, 65535, component 1
    assert priorities == [priorities[0], priorities[0] - 256, priorities[0] - 512]


def test_each_address_is_told_once_more_for_tcp_below_all_that_goes_over_udp() -> None:
    config = MediaConfig(advertised_addresses=("192.0.2.1", "2001:db8::1"))
    told = candidates_of(config, PORT, 443, machine=never)
    assert [(one.address, one.port, one.is_tcp) for one in told] == [
        ("192.0.2.1", PORT, False),
        ("2001:db8::1", PORT, False),
        ("192.0.2.1", 443, True),
        ("2001:db8::1", 443, True),
    ]
    # RFC 6544 section 4.2: 90 of its type, 4 of its direction, 8191 of ours, component 1.
    assert told[2].priority == (90 << 24) + ((4 << 13) + 8_191 << 8) + 255
    assert told[3].priority == told[2].priority - 256
    reflexive = 100 << 24
    assert told[2].priority < reflexive < told[1].priority


@pytest.mark.parametrize(
    ("config", "key"),
    [
        (MediaConfig(advertised_addresses=("focus.example.org",)), "media.advertised_addresses"),
        (MediaConfig(advertised_addresses=("192.0.2.1", "")), "media.advertised_addresses"),
        (MediaConfig(host="localhost"), "media.host"),
    ],
)
def test_a_name_in_place_of_an_address_is_refused_by_its_key(config: MediaConfig, key: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(key)):
        candidates_of(config, PORT, machine=never)


def test_a_machine_without_an_address_is_told_to_name_one() -> None:
    with pytest.raises(ConfigError, match="advertised_addresses"):
        addresses(WILDCARD, ["fe80::1"])


def test_this_machine_has_addresses() -> None:
    assert ipaddress.ip_address("127.0.0.1") in interface_addresses()


def test_no_address_but_the_configured_one_stands_in_an_answer() -> None:
    """The operator behind a 1:1 NAT, or one who hides where the focus is, relies on it."""
    local = LocalMedia(
        Fingerprint("sha-256", "AA"),
        candidates_of(MediaConfig(host="::", advertised_addresses=("203.0.113.9",)), PORT),
    )
    ids, rng = IdSource(), random.Random(1)
    conference = Conference(ids.conference(), ids, local, ConferenceConfig(), LimitsConfig(), rng, Reports())
    leg, _ = conference.add_leg(Instant(0), admitted=True)
    outputs = conference.offer_received(Instant(0), leg, Caller.with_media("a").offer(), None)
    (answer,) = of_type(outputs, SendDescription)
    candidates = {line for line in answer.sdp.splitlines() if line.startswith("a=candidate")}
    assert candidates == {"a=candidate:1 1 udp 2130706431 203.0.113.9 10000 typ host"}
    for own in interface_addresses():
        if not own.is_loopback:
            assert str(own) not in answer.sdp
