"""What engine and runtime have programmed: transports, tracks and routes, and the operations on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from sfu.dataplane.peer import Peer
from sfu.dataplane.reports import KEY_BITS, ReportSchedule
from sfu.dataplane.route import Route
from sfu.dataplane.track import Track
from sfu.dataplane.transport import Transport
from sfu.dataplane.wire import Transmit
from sfu.errors import LocalError
from sfu.plane import (
    AddTransport,
    InstallSrtp,
    OfMedia,
    PairSelected,
    RemoveRoute,
    RemoveTrack,
    RemoveTransport,
    RequestKeyframe,
    SelectAddress,
    SendDatagram,
    SendStun,
    SetCredentials,
    SetRoute,
    SetTrack,
)
from sfu.streams.cache import CacheBudget

if TYPE_CHECKING:
    import random
    from collections import Counter

    from sfu.config import MediaConfig
    from sfu.dataplane.agenda import Agenda
    from sfu.dataplane.feedback_rows import FeedbackRows
    from sfu.dataplane.ice import LiteAgent
    from sfu.dataplane.srtp import SrtpFactory
    from sfu.dataplane.upward import Upward
    from sfu.plane import DropReason, PlaneOperation
    from sfu.units import Instant, RouteId, TrackHandle, TransportId

_CNAME_BITS: Final = 96
"""Of our own name as a receiver (RFC 7022 section 4.2)."""


class Program:
    """Everything that lives in a plane, by the ids that Python gave it.

    An operation that names what is gone does nothing.

    Args:
        config: of the media socket.
        rng: for numbers that must not be guessed.
        srtp: makes the cryptography of a transport.
        ice: of all transports.
        agenda: where timers go.
        upward: where events go.
        drops: where they are counted.
        rows: where goes what subscribers say of packets.
    """

    def __init__(
        self,
        config: MediaConfig,
        rng: random.Random,
        srtp: SrtpFactory,
        ice: LiteAgent,
        agenda: Agenda,
        upward: Upward,
        drops: Counter[DropReason],
        rows: FeedbackRows,
    ) -> None:
        self.peers: Final[dict[TransportId, Peer]] = {}
        self.tracks: Final[dict[TrackHandle, Track]] = {}
        self.routes: Final[dict[RouteId, Route]] = {}
        self._rng = rng
        self._srtp = srtp
        self._ice = ice
        self._agenda = agenda
        self._upward = upward
        self._drops = drops
        self._rows = rows
        self._budget = CacheBudget(config.packet_cache_bytes)
        self._cname = f"{rng.getrandbits(_CNAME_BITS):024x}"
        self._report_key = rng.getrandbits(KEY_BITS)

    def apply(self, now: Instant, operation: PlaneOperation) -> list[Transmit]:
        """Carry out an operation; what to send at once.

        Raises:
            LocalError: it contradicts an earlier one.
        """
        if isinstance(operation, OfMedia):
            return self._apply_to_media(now, operation)
        match operation:
            case AddTransport():
                self._add_transport(operation)
            case SetCredentials():
                self._set_credentials(operation)
            case InstallSrtp():
                return self._install_srtp(now, operation)
            case RemoveTransport(transport):
                return self._remove_transport(transport)
            case SendDatagram():
                return self._send_datagram(operation)
            case SendStun():
                return self._send_stun(operation)
            case SelectAddress():
                self._select_address(now, operation)
            case _:
                assert_never(operation)
        return []

    def _apply_to_media(self, now: Instant, operation: OfMedia) -> list[Transmit]:
        match operation:
            case SetTrack():
                return self._set_track(now, operation)
            case RemoveTrack(track):
                return self._remove_track(track)
            case SetRoute():
                self._set_route(now, operation)
            case RemoveRoute(route):
                return self._remove_route(route)
            case RequestKeyframe():
                self._request_keyframe(now, operation)
            case _:
                assert_never(operation)
        return []

    def _add_transport(self, operation: AddTransport) -> None:
        number = operation.transport
        if operation.worker:
            raise LocalError(f"transport {number} on worker {operation.worker} of 1, counted from 0")
        if number in self.peers:
            raise LocalError(f"transport {number} is there already")
        self._ice.add(number, operation.credentials, own_port=operation.own_port)
        transport = Transport(number, self._ice, ReportSchedule(number, self._agenda, self._report_key))
        self.peers[number] = Peer(transport, self._agenda, self._drops, self._rows, self._cname)

    def _set_credentials(self, operation: SetCredentials) -> None:
        if operation.transport in self.peers:
            self._ice.restart(operation.transport, operation.credentials)

    def _install_srtp(self, now: Instant, operation: InstallSrtp) -> list[Transmit]:
        peer = self.peers.get(operation.transport)
        if peer is None:
            return []
        peer.departures.wake(now)
        return peer.secure(now, self._srtp(operation.profile, operation.receive_key, operation.send_key))

    def _remove_transport(self, number: TransportId) -> list[Transmit]:
        peer = self.peers.get(number)
        if peer is None:
            return []
        for route in list(peer.routes.values()):
            self._remove_route(route.spec.route)  # nobody is there to hear of it
        transmits = []
        for track in peer.demux.tracks:
            transmits += self._remove_track(track.handle)
        del self.peers[number]
        self._ice.remove(number)
        self._agenda.cancel(number)
        self._upward.forget(number)
        return transmits

    def _set_track(self, now: Instant, spec: SetTrack) -> list[Transmit]:
        peer = self.peers.get(spec.transport)
        if peer is None:
            return []
        transmits = []
        replaced = peer.demux.track_of(spec.mid)
        if replaced is not None and replaced.handle != spec.track:
            transmits += self._remove_track(replaced.handle)
        track = self.tracks.get(spec.track)
        if track is None:
            track = Track(spec, peer.keyframes, self._upward, self._budget, self._drops)
            self.tracks[spec.track] = track
            return transmits + peer.set_track(now, track, [])
        if (track.transport, track.kind) != (spec.transport, spec.kind):
            raise LocalError(f"track {spec.track} was {track.kind} of transport {track.transport}")
        return transmits + peer.set_track(now, track, track.update(spec))

    def _remove_track(self, handle: TrackHandle) -> list[Transmit]:
        track = self.tracks.pop(handle, None)
        if track is None:
            return []
        transmits = []
        for route in list(track.routes):
            transmits += self._remove_route(route)
        self.peers[track.transport].demux.remove_track(track)
        return transmits

    def _set_route(self, now: Instant, spec: SetRoute) -> None:
        track, peer = self.tracks.get(spec.track), self.peers.get(spec.transport)
        if track is None or peer is None:
            return
        peer.departures.wake(now)
        route = self.routes.get(spec.route)
        if route is None:
            peer.admit(spec)
            route = Route(spec, track, peer.departures, self._budget, self._drops, self._rng)
            peer.add_route(route)
            self.routes[spec.route] = track.routes[spec.route] = route
            return
        before = route.spec
        if (before.track, before.transport, before.ssrc, before.rtx_ssrc) != (
            spec.track,
            spec.transport,
            spec.ssrc,
            spec.rtx_ssrc,
        ):
            raise LocalError(f"route {spec.route} has another track, transport or SSRC than before")
        route.update(spec)

    def _remove_route(self, number: RouteId) -> list[Transmit]:
        route = self.routes.pop(number, None)
        if route is None:
            return []
        del route.track.routes[number]
        return self.peers[route.transport.id].remove_route(route)

    def _request_keyframe(self, now: Instant, operation: RequestKeyframe) -> None:
        track = self.tracks.get(operation.track)
        if track is not None:
            track.request_keyframe(now, operation.encoding)

    def _send_datagram(self, operation: SendDatagram) -> list[Transmit]:
        peer = self.peers.get(operation.transport)
        if peer is None:
            return []
        outcome = peer.transport.send_datagram(operation.data)
        if isinstance(outcome, Transmit):
            return [outcome]
        self._drops[outcome] += 1
        return []

    def _send_stun(self, operation: SendStun) -> list[Transmit]:
        if operation.transport not in self.peers:
            return []
        address = self._ice.address_for(operation.transport, operation.host, operation.port)
        self._ice.ask(operation.transport, address, operation.data)
        return [Transmit(address, operation.data)]

    def _select_address(self, now: Instant, operation: SelectAddress) -> None:
        peer = self.peers.get(operation.transport)
        if peer is None:
            return
        address = self._ice.address_for(operation.transport, operation.host, operation.port)
        if self._ice.select(operation.transport, address):
            peer.departures.wake(now)
            self._upward.tell(PairSelected(operation.transport))
