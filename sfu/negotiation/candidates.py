"""Where a focus that we call is found: the candidates of its descriptions. Those of clients are not read."""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sfu.negotiation.remote import RemoteDescription

MAX_REMOTE_CANDIDATES: Final = 16
"""Addresses that we send checks to. Lower: the one that works is missing where a host has many. Higher: who
answers a call of ours can have more strangers knocked at."""
MAX_CANDIDATE_LINES: Final = 64
"""Lines read of a description, ours and those that we have no use for."""

_CANDIDATE: Final = re.compile(
    r"[A-Za-z0-9+/]{1,32} 1 udp (?P<priority>[0-9]{1,10}) (?P<address>[0-9A-Fa-f:.]{2,45})"
    r" (?P<port>[0-9]{1,5}) typ host(?: .*)?",
    re.ASCII | re.IGNORECASE,
)
"""RFC 8839 section 5.1; RTP and RTCP share a component. Names of hosts are nothing that a focus tells."""


def host_candidates(description: RemoteDescription) -> tuple[tuple[str, int], ...]:
    """The UDP host candidates in the section that carries the transport, by priority, best first.

    Addresses are numeric and in their canonical form, so that they compare with those that packets come from.
    What is malformed or can't be one machine's is left out.
    """
    tagged = next((section for section in description.sections if not section.is_rejected), None)
    if tagged is None:
        return ()
    found: dict[tuple[str, int], int] = {}
    for value in tagged.media.values("candidate")[:MAX_CANDIDATE_LINES]:
        match = _CANDIDATE.fullmatch(value)
        address = None if match is None else _canonical(match["address"])
        if match is not None and address is not None and 0 < int(match["port"]) < 65_536:
            found.setdefault((address, int(match["port"])), int(match["priority"]))
    return tuple(sorted(found, key=lambda one: -found[one]))[:MAX_REMOTE_CANDIDATES]


def _canonical(text: str) -> str | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    is_one = not address.is_multicast and not address.is_unspecified and not address.is_reserved
    return str(address) if is_one else None
