"""Watches what goes into the plane and what comes out of it: rules that no client can see broken."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sfu.dataplane.wire import WireProtocol, protocol_of
from sfu.plane import AddTransport, InstallSrtp, RemoveRoute, RemoveTrack, RemoveTransport, SetRoute

if TYPE_CHECKING:
    from sfu.netem.network import Address
    from sfu.plane import PlaneOperation
    from sfu.units import Instant, RouteId, TransportId

MAX_PACKET_BYTES: Final = 1_400
MAX_VIOLATIONS: Final = 50
PROBE_SSRC: Final = 0
"""Of padding for which there is no other stream (`sfu/dataplane/DESIGN.md`, "Fillers")."""
MAX_PROBE_BYTES: Final = 320


@dataclass(slots=True)
class PlaneWatch:
    """Every SSRC that goes out belongs to a route that was set, and none is used twice on a transport."""

    violations: list[str] = field(default_factory=list)
    rtp_packets: int = 0
    rtp_packets_by_address: dict[Address, int] = field(default_factory=dict)
    _routes: dict[RouteId, SetRoute] = field(default_factory=dict)
    _live: dict[int, int] = field(default_factory=dict)
    """SSRCs that may go out, with the number of transports on which they may."""
    _used: dict[TransportId, set[int]] = field(default_factory=dict)
    _has_keys: set[TransportId] = field(default_factory=set)

    def operation(self, now: Instant, operation: PlaneOperation) -> None:
        """An operation goes down."""
        match operation:
            case AddTransport(transport):
                self._used[transport] = set()
            case InstallSrtp(transport):
                self._has_keys.add(transport)
            case SetRoute():
                self._set_route(now, operation)
            case RemoveRoute(route):
                self._end(route)
            case RemoveTrack(track):
                self._end(*(one.route for one in self._routes.values() if one.track == track))
            case RemoveTransport(transport):
                self._end(*(one.route for one in self._routes.values() if one.transport == transport))
            case _:
                pass

    def transmit(self, now: Instant, address: Address, data: bytes) -> None:
        """A datagram goes out."""
        if len(data) > MAX_PACKET_BYTES:
            self._violated(now, f"{len(data)} bytes to {address}")
        if protocol_of(data) is not WireProtocol.RTP:
            return
        self.rtp_packets += 1
        self.rtp_packets_by_address[address] = self.rtp_packets_by_address.get(address, 0) + 1
        ssrc = int.from_bytes(data[8:12], "big")
        if ssrc == PROBE_SSRC:
            if len(data) > MAX_PROBE_BYTES:
                self._violated(now, f"{len(data)} bytes on the SSRC of probes to {address}")
        elif ssrc not in self._live:
            self._violated(now, f"SSRC {ssrc} of no route to {address}")

    def _set_route(self, now: Instant, route: SetRoute) -> None:
        before = self._routes.get(route.route)
        ssrcs = [route.ssrc] if route.rtx_ssrc is None else [route.ssrc, route.rtx_ssrc]
        if before is not None:
            if (before.ssrc, before.rtx_ssrc) != (route.ssrc, route.rtx_ssrc):
                self._violated(now, f"route {route.route} changes its SSRCs")
        else:
            used = self._used.setdefault(route.transport, set())
            if used & set(ssrcs):
                self._violated(now, f"an SSRC of route {route.route} is used twice")
            used.update(ssrcs)
            for ssrc in ssrcs:
                self._live[ssrc] = self._live.get(ssrc, 0) + 1
        self._routes[route.route] = route

    def _end(self, *routes: RouteId) -> None:
        for number in routes:
            route = self._routes.pop(number, None)
            if route is None:
                continue
            for ssrc in (route.ssrc, route.rtx_ssrc):
                if ssrc is not None:
                    self._live[ssrc] -= 1
                    if not self._live[ssrc]:
                        del self._live[ssrc]

    def _violated(self, now: Instant, text: str) -> None:
        if len(self.violations) < MAX_VIOLATIONS:
            self.violations.append(f"at {now}: {text}")
