"""Where clients find this server: the candidates of every description of ours."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

import ifaddr

from sfu.errors import ConfigError
from sfu.negotiation.parameters import Candidate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sfu.config import MediaConfig

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_FOUND: Final = 16
"""Addresses told of those that were found on this machine. Lower: the one that clients reach is missing on a
host with many bridges. Higher: every client checks every one of them. Configured ones are all told."""

_HOST_PREFERENCE: Final = 126
_TCP_HOST_PREFERENCE: Final = 90
"""As libwebrtc's. Below all that goes over UDP directly, reflexive addresses too (100, 110); above relays."""
_FIRST_LOCAL_PREFERENCE: Final = 65_535
_FIRST_TCP_PREFERENCE: Final = (4 << 13) + 8_191
"""RFC 6544 section 4.2: direction preference of passive host candidates, and 13 bits of ours."""
_RTP_COMPONENT: Final = 1


def interface_addresses() -> list[Address]:
    """Every address of every interface, in the order of the system.

    Asked of ifaddr, which aioice brings anyway: the standard library knows names of interfaces only, and the
    addresses of one's own host name are whatever the resolver was told.
    """
    texts = (
        one.ip if isinstance(one.ip, str) else one.ip[0]
        for adapter in ifaddr.get_adapters()
        for one in adapter.ips
    )
    return [ipaddress.ip_address(text) for text in texts]


def candidates_of(
    config: MediaConfig,
    port: int,
    tcp_port: int | None = None,
    machine: Callable[[], Iterable[Address]] = interface_addresses,
) -> tuple[Candidate, ...]:
    """The host candidates to tell of, those of TCP last.

    Those configured, and then no other; else the address that the socket is bound to; else, for a wildcard,
    what this machine has of its family (`::` is bound to both).

    Args:
        config: of the sockets.
        port: of UDP, that was bound.
        tcp_port: likewise; None: no TCP.
        machine: lists the addresses of this machine.

    Raises:
        ConfigError: something configured is no address, or there is nothing to tell of.
    """
    if config.advertised_addresses:
        told = [_parsed("media.advertised_addresses", text) for text in config.advertised_addresses]
    else:
        bound = _parsed("media.host", config.host)
        told = list(_reachable(bound.version, machine())) if bound.is_unspecified else [bound]
    if not told:
        raise ConfigError(
            f"media.advertised_addresses = []: {config.host} has no address to tell of; name one"
        )
    numbered = [(index, str(address)) for index, address in enumerate(dict.fromkeys(told))]
    candidates = [Candidate(address, port, _priority(index)) for index, address in numbered]
    if tcp_port is not None:
        candidates += [
            Candidate(address, tcp_port, _tcp_priority(index), is_tcp=True) for index, address in numbered
        ]
    return tuple(candidates)


def _parsed(key: str, text: str) -> Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError as error:
        raise ConfigError(f"{key} = {text!r}: legal is an IPv4 or IPv6 address, not a name") from error


def _reachable(version: int, addresses: Iterable[Address]) -> list[Address]:
    """What somebody else may reach, IPv4 first; loopback only where there is nothing else."""
    found = [one for one in dict.fromkeys(addresses) if version == 6 or one.version == 4]
    found.sort(key=lambda one: one.version)
    usable = [one for one in found if not (one.is_link_local or one.is_unspecified or one.is_multicast)]
    elsewhere = [one for one in usable if not one.is_loopback]
    return (elsewhere or usable)[:MAX_FOUND]


def _priority(index: int) -> int:
    """RFC 8445 section 5.1.2.1, the local preference falling by order."""
    return _weighed(_HOST_PREFERENCE, _FIRST_LOCAL_PREFERENCE - index)


def _tcp_priority(index: int) -> int:
    return _weighed(_TCP_HOST_PREFERENCE, _FIRST_TCP_PREFERENCE - index)


def _weighed(type_preference: int, local_preference: int) -> int:
    return (type_preference << 24) + (local_preference << 8) + 256 - _RTP_COMPONENT
