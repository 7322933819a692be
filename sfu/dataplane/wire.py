"""Datagrams: where they come from and go to, and what their first bytes say they are (RFC 7983)."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from sfu.errors import LocalError

if TYPE_CHECKING:
    from sfu.units import TransportId


@dataclass(frozen=True, slots=True)
class OwnPort:
    """The UDP port that a transport has for itself."""

    transport: TransportId


UdpAddress = tuple[str, int]
"""Host and port of a peer. IPv4 is never written as an IPv4-mapped IPv6 address."""

OwnAddress = tuple[str, int, OwnPort]
"""Likewise, and the port of ours by which it is reached, where that is not the one that transports share."""

TcpAddress = tuple[str, int, int]
"""Likewise, and the number of its connection, which is never used again."""

Address = UdpAddress | OwnAddress | TcpAddress
"""Where a peer's datagrams come from and go to. One host and port over two connections, or by two ports of
ours, are two addresses."""

MAX_DATAGRAM_BYTES: Final = 1_500
"""Longest datagram that is read. Nobody's packets are longer where every link is Ethernet or narrower."""

MAX_PACKET_BYTES: Final = 1_400
"""Longest RTP or RTCP packet that is sent, encrypted (packet rule 1). Lower: key frames of peers that fill
their packets do not pass. Higher: tunnels and PPPoE would cut them."""

_RTCP_TYPES: Final = range(192, 224)


class WireProtocol(enum.Enum):
    """What shares the one port."""

    STUN = enum.auto()
    DTLS = enum.auto()
    RTP = enum.auto()
    RTCP = enum.auto()
    UNKNOWN = enum.auto()


@dataclass(frozen=True, slots=True)
class Transmit:
    """A datagram to send."""

    address: Address
    data: bytes = field(repr=False)


def udp_address(host: str, port: int) -> UdpAddress:
    """An address as it is written where a datagram comes from it.

    Raises:
        LocalError: the host is not numeric, or names an interface; or the port is none.
    """
    if "%" in host or not 0 < port < 1 << 16:
        raise LocalError(f"an address with an interface, or with port {port}")
    try:
        ip = ip_address(host)
    except ValueError as error:
        raise LocalError("an address whose host is not numeric") from error
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return str(mapped or ip), port


def own_port_of(address: Address) -> OwnPort | None:
    """The port of ours by which an address is reached, where a transport has it for itself."""
    carrier = address[2] if len(address) == 3 else None
    return carrier if isinstance(carrier, OwnPort) else None


def protocol_of(data: bytes) -> WireProtocol:
    """Tell protocols apart by the first byte, RTP from RTCP by the second (RFC 5761 section 4)."""
    if not data:
        return WireProtocol.UNKNOWN
    first = data[0]
    if first < 4:
        return WireProtocol.STUN
    if 20 <= first < 64:
        return WireProtocol.DTLS
    if 128 <= first < 192:
        return WireProtocol.RTCP if len(data) > 1 and data[1] in _RTCP_TYPES else WireProtocol.RTP
    return WireProtocol.UNKNOWN
