"""The data plane without its socket: datagrams in, datagrams out, time as an argument."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, assert_never

from sfu.dataplane.agenda import Agenda
from sfu.dataplane.allowance import Allowance
from sfu.dataplane.feedback_rows import FeedbackRows
from sfu.dataplane.ice import LiteAgent
from sfu.dataplane.program import Program
from sfu.dataplane.srtp import LibSrtp
from sfu.dataplane.stats import collect
from sfu.dataplane.upward import Upward
from sfu.dataplane.wire import MAX_DATAGRAM_BYTES, Transmit, WireProtocol, protocol_of
from sfu.plane import TARGETS_STALE_MS, ConsentLost, DropReason, PairSelected, PortRefused
from sfu.units import RouteId, TransportId, after_ms, after_s, earliest

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from sfu.config import MediaConfig
    from sfu.dataplane.srtp import SrtpFactory
    from sfu.dataplane.wire import Address
    from sfu.plane import Batch, PlaneOperation, PlaneStats
    from sfu.rows import StructArray
    from sfu.units import Instant

MAX_STRAYS_PER_S: Final = 200
"""Packets from unknown addresses that are looked at, over all of them. Lower: under a flood, who has changed
its port waits for its next check. Higher: a flood costs more."""


class PlaneCore:
    """All transports, tracks and routes of one port, and of those that transports have for themselves.

    What is returned is to be sent, in order. Whatever a remote party sends is counted where it is refused,
    and never raises. Call `poll` when `next_timeout` has come, `drain` when `has_output` says so.

    Args:
        config: of the media socket.
        rng: for numbers that must not be guessed; a seeded one makes a call repeat itself.
        srtp: makes the cryptography of a transport.
    """

    def __init__(self, config: MediaConfig, rng: random.Random, srtp: SrtpFactory = LibSrtp) -> None:
        self._consent_timeout_s = config.consent_timeout_s
        self._ice = LiteAgent(config.consent_timeout_s)
        self._ice_due_at: Instant | None = None
        self._strays = Allowance(MAX_STRAYS_PER_S)
        self._agenda = Agenda()
        self._upward = Upward()
        self._drops: Counter[DropReason] = Counter()
        self._rows = FeedbackRows()
        self._program = Program(
            config, rng, srtp, self._ice, self._agenda, self._upward, self._drops, self._rows
        )
        self._targets_at: Instant | None = None
        self._is_stale = False

    @property
    def has_output(self) -> bool:
        """Whether `drain` would return something."""
        return self._upward.has_output

    def drain(self) -> Batch:
        """Everything that came up since the last call."""
        return self._upward.drain()

    def feedback(self) -> StructArray:
        """What subscribers have said of packets since the last call, (n,) of `FEEDBACK_DTYPE`."""
        return self._rows.take()

    def stats(self, now: Instant) -> PlaneStats:
        """All counters now."""
        transports = [peer.transport for peer in self._program.peers.values()]
        return collect(
            now, transports, self._program.tracks.values(), self._program.routes.values(), self._drops
        )

    def count_drop(self, reason: DropReason) -> None:
        """A packet that was to be sent ended in the shell."""
        self._drops[reason] += 1

    def is_known(self, address: Address) -> bool:
        """Whether a peer has proved that an address is its own."""
        return self._ice.transport_of(address) is not None

    def has_own_port(self, transport: TransportId) -> bool:
        """Whether a transport lives that has a port of its own."""
        return self._ice.has_own_port(transport)

    def refuse_port(self, transport: TransportId) -> None:
        """There is none for a transport that was to have one. Of one that has ended meanwhile, nothing."""
        if self.has_own_port(transport):
            self._upward.tell(PortRefused(transport))

    def forget(self, address: Address) -> None:
        """Nothing comes from an address any more, nor reaches it: a connection has ended."""
        self._ice.forget(address)

    def apply(self, now: Instant, operations: Sequence[PlaneOperation]) -> list[Transmit]:
        """Carry out operations in order; what to send.

        Raises:
            LocalError: an operation contradicts an earlier one; those behind it are not carried out.
        """
        transmits: list[Transmit] = []
        for operation in operations:
            transmits += self._program.apply(now, operation)
        return transmits + self.poll(now)

    def set_targets(self, now: Instant, targets: StructArray) -> None:
        """Layer choices, (n,) of `TARGET_DTYPE`; routes not named keep theirs.

        Key frames that they need are asked for by the next `poll`, which is due at once.
        """
        self._targets_at = now
        if self._is_stale:
            self._is_stale = False
            for route in self._program.routes.values():
                route.recover(now)
        for number, encoding, temporal in targets.tolist():
            named = self._program.routes.get(RouteId(number))
            if named is not None:
                named.set_target(now, encoding, temporal)

    def set_pacing(self, now: Instant, pacing: StructArray) -> None:
        """How transports are sent to, (n,) of `PACING_DTYPE`; the next `poll` is due at once."""
        for number, rate_bps, padding_bps, queue_limit_ms in pacing.tolist():
            peer = self._program.peers.get(TransportId(number))
            if peer is not None:
                peer.departures.set_pacing(now, rate_bps, padding_bps, queue_limit_ms)

    def probe(self, now: Instant, probes: StructArray) -> None:
        """Measure what paths carry, (n,) of `PROBE_DTYPE`; the next `poll` is due at once."""
        for number, cluster, rate_bps, size_bytes in probes.tolist():
            peer = self._program.peers.get(TransportId(number))
            if peer is not None:
                peer.departures.probe(now, cluster, rate_bps, size_bytes)

    def handle_datagram(self, now: Instant, address: Address, data: bytes) -> list[Transmit]:
        """Take a datagram from the socket; what to send of it.

        Args:
            now: when it arrived, as exactly as can be told. It may lie before the last `poll`.
            address: where it came from.
            data: not longer than `MAX_DATAGRAM_BYTES`.
        """
        if len(data) > MAX_DATAGRAM_BYTES:
            self._drops[DropReason.TOO_LARGE] += 1
            return []
        protocol = protocol_of(data)
        if protocol is WireProtocol.STUN:
            return self._handle_stun(now, address, data)
        transport = self._ice.transport_of(address)
        if transport is None:
            return self._handle_stray(now, address, data, protocol)
        peer = self._program.peers[transport]
        peer.transport.received(now, len(data))
        match protocol:
            case WireProtocol.RTP | WireProtocol.RTCP:
                return peer.receive(now, now, data)
            case WireProtocol.DTLS:
                if not self._upward.pass_datagram(transport, data):
                    self._drops[DropReason.DTLS_QUEUE_FULL] += 1
            case WireProtocol.UNKNOWN:
                self._drops[DropReason.UNKNOWN_PROTOCOL] += 1
            case _:
                assert_never(protocol)
        return []

    def poll(self, now: Instant) -> list[Transmit]:
        """Do what is due; what to send."""
        if self._ice_due_at is not None and now >= self._ice_due_at:
            for lost in self._ice.poll(now):
                self._upward.tell(ConsentLost(lost))
            self._ice_due_at = self._ice.next_timeout()
        stale_at = self._stale_at()
        if stale_at is not None and now >= stale_at:
            self._is_stale = True
            for route in self._program.routes.values():
                route.fall_back(now)
        transmits = []
        while (transport := self._agenda.pop_due(now)) is not None:
            peer = self._program.peers[transport]
            transmits += peer.poll(now)
            self._agenda.plan(transport, peer.next_timeout())
        return transmits

    def next_timeout(self) -> Instant | None:
        """When `poll` next has something to do."""
        return earliest(self._agenda.next_timeout(), self._ice_due_at, self._stale_at())

    def _stale_at(self) -> Instant | None:
        if self._targets_at is None or self._is_stale or not self._program.routes:
            return None
        return after_ms(self._targets_at, TARGETS_STALE_MS)

    def _handle_stray(
        self, now: Instant, address: Address, data: bytes, protocol: WireProtocol
    ) -> list[Transmit]:
        """Take a packet from an address that nobody has checked.

        A peer whose NAT gave it another port goes on sending, and checks seconds later. A packet that only it
        can have made moves it at once (packet rule 9), before anything is sent that comes of it.
        """
        if protocol in {WireProtocol.RTP, WireProtocol.RTCP} and self._strays.admit(now):
            for transport, peer in self._program.peers.items():
                is_possible = peer.transport.can_send and self._ice.is_heard_from(transport, address)
                opened = peer.open_stray(now, data) if is_possible else None
                if opened is not None:
                    self._ice.move(transport, address)
                    self._upward.tell(PairSelected(transport))
                    peer.transport.received(now, len(data))
                    return peer.take(now, now, opened, len(data))
        self._drops[DropReason.UNKNOWN_PEER] += 1
        return []

    def _handle_stun(self, now: Instant, address: Address, data: bytes) -> list[Transmit]:
        result = self._ice.handle(now, address, data)
        if result.drop is not None:
            self._drops[result.drop] += 1
        else:
            self._ice_due_at = earliest(self._ice_due_at, after_s(now, self._consent_timeout_s))
            transport = self._ice.transport_of(address)
            if transport is not None:
                self._program.peers[transport].transport.received(now, len(data))
        if result.selected is not None:
            self._program.peers[result.selected].departures.wake(now)
            self._upward.tell(PairSelected(result.selected))
        if result.asked_by is not None:
            self._upward.pass_response(result.asked_by, (address[0], address[1]), data)
        return [] if result.answer is None else [Transmit(address, result.answer)]
