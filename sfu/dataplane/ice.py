"""The lite side of ICE (RFC 8445 section 2.5): answers checks, and adopts what the peer nominates.

Where we are the ones who check, that is done above: here is known which answers are waited for.

Integrity comes first: before a check is authenticated, nothing is allocated, bound or refreshed for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sfu.dataplane.allowance import Allowance
from sfu.dataplane.requests import Requests
from sfu.dataplane.stun import BINDING, Attribute, ErrorCode, MessageClass, StunMessage, error, success
from sfu.dataplane.wire import OwnPort, own_port_of, udp_address
from sfu.errors import LocalError, ParseError
from sfu.plane import DropReason
from sfu.units import after_s, earliest

if TYPE_CHECKING:
    from sfu.dataplane.wire import Address
    from sfu.plane import Credentials
    from sfu.units import Instant, TransportId

MAX_ADDRESSES: Final = 16
"""Addresses bound to one transport at once. A browser with several networks checks from a handful."""

MAX_REFUSALS_PER_S: Final = 100
"""Errors answered to the unauthenticated, over all of them. Lower: under a flood, a client with outdated
credentials waits for its own timeout. Higher: we are of more use to who forges the address of a victim."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a STUN datagram came to."""

    answer: bytes | None = field(default=None, repr=False)
    drop: DropReason | None = None
    selected: TransportId | None = None
    """The peer of this transport has nominated another pair, or the first."""
    asked_by: TransportId | None = None
    """It answers a request that was sent for this transport."""


@dataclass(slots=True)
class _Peer:
    transport: TransportId
    own_port: OwnPort | None
    """Where alone it is heard; None: where all others are."""
    passwords: dict[str, str] = field(default_factory=dict)
    """By fragment, the one in use first; at most two, during an ICE restart."""
    addresses: dict[Address, None] = field(default_factory=dict)
    selected: Address | None = None
    selected_ufrag: str = ""
    checked_at: Instant | None = None
    """None: no consent (yet, or any more)."""

    def unbind(self, address: Address) -> None:
        """An address is somebody else's now, or nobody's."""
        del self.addresses[address]
        if self.selected == address:
            self.selected = None


class LiteAgent:
    """ICE of all transports that share the port, and of those that have one of their own.

    Args:
        consent_timeout_s: a peer whose checks stay away for this long is gone (RFC 7675 section 5.1).
    """

    def __init__(self, consent_timeout_s: float) -> None:
        self._consent_timeout_s = consent_timeout_s
        self._peers: dict[TransportId, _Peer] = {}
        self._by_ufrag: dict[str, _Peer] = {}
        self._by_address: dict[Address, _Peer] = {}
        self._refusals = Allowance(MAX_REFUSALS_PER_S)
        self._requests = Requests()

    def add(self, transport: TransportId, credentials: Credentials, *, own_port: bool = False) -> None:
        """Answer checks that name these credentials, on the port that transports share or on one of its own.

        Raises:
            LocalError: the fragment is taken.
        """
        peer = _Peer(transport, OwnPort(transport) if own_port else None)
        self._accept(peer, credentials)
        self._peers[transport] = peer

    def restart(self, transport: TransportId, credentials: Credentials) -> None:
        """Accept these beside the ones in use, until a check with these arrives.

        Raises:
            LocalError: the fragment is taken.
        """
        peer = self._peers[transport]
        if peer.passwords.get(credentials.ufrag) == credentials.password:
            return
        self._accept(peer, credentials)
        for ufrag in list(peer.passwords)[1:-1]:  # a restart that never came to a check
            self._retire(peer, ufrag)

    def remove(self, transport: TransportId) -> None:
        """Forget a peer."""
        peer = self._peers.pop(transport)
        for ufrag in list(peer.passwords):
            self._retire(peer, ufrag)
        self._unbind(peer)
        self._requests.forget(transport)

    def forget(self, address: Address) -> None:
        """Forget an address that nothing can come from any more: a connection has ended."""
        peer = self._by_address.pop(address, None)
        if peer is not None:
            peer.unbind(address)

    def transport_of(self, address: Address) -> TransportId | None:
        """Whose address this is; None: nobody has proved that it is theirs."""
        peer = self._by_address.get(address)
        return None if peer is None else peer.transport

    def has_own_port(self, transport: TransportId) -> bool:
        """Whether a transport has a port of its own. Who is gone has none."""
        peer = self._peers.get(transport)
        return peer is not None and peer.own_port is not None

    def is_heard_from(self, transport: TransportId, address: Address) -> bool:
        """Whether what comes from an address comes by a port that is for this transport."""
        return self._peers[transport].own_port == own_port_of(address)

    def address_for(self, transport: TransportId, host: str, port: int) -> Address:
        """The address of a host in numbers for who sends to it by UDP, on behalf of a transport.

        Raises:
            LocalError: it is no address.
        """
        address, own_port = udp_address(host, port), self._peers[transport].own_port
        return address if own_port is None else (*address, own_port)

    def selected(self, transport: TransportId) -> Address | None:
        """Where to send to the peer; None: it has nominated nothing, or is gone."""
        return self._peers[transport].selected

    def reachable(self, transport: TransportId) -> Address | None:
        """Where a handshake may go: before a nomination, to the newest address that was checked.

        Browsers begin DTLS after their first check that was answered, and nominate later. Both sides may use
        any valid pair meanwhile (RFC 8445 section 12.1).
        """
        peer = self._peers[transport]
        return peer.selected if peer.selected is not None else next(reversed(peer.addresses), None)

    def move(self, transport: TransportId, address: Address) -> None:
        """The peer, which has a selected address, has proved in another way that it sends from this one."""
        peer = self._peers[transport]
        self._bind(peer, address)
        peer.selected = address

    def select(self, transport: TransportId, address: Address) -> bool:
        """Send to an address that we have checked ourselves; whether it is another than before."""
        is_news = self._peers[transport].selected != address
        self.move(transport, address)
        return is_news

    def ask(self, transport: TransportId, address: Address, data: bytes) -> None:
        """A request of ours goes to an address: wait for its answer from there.

        Raises:
            LocalError: it is no request that ICE makes.
        """
        try:
            message = StunMessage.parse(data)
        except ParseError as error:
            raise LocalError(f"a request that can't be read: {error}") from error
        if message.message_class is not MessageClass.REQUEST or message.method != BINDING:
            raise LocalError(f"a {message.message_class.name} of method {message.method} is asked of nobody")
        self._requests.add(transport, address, message.transaction_id)

    def handle(self, now: Instant, address: Address, data: bytes) -> CheckResult:
        """Take a STUN datagram."""
        try:
            message = StunMessage.parse(data)
        except ParseError:
            return CheckResult(drop=DropReason.STUN_MALFORMED)
        if message.message_class is MessageClass.INDICATION and address in self._by_address:
            return CheckResult()  # RFC 8445 section 11: a keepalive, which nobody answers
        if message.message_class is not MessageClass.REQUEST or message.method != BINDING:
            return self._answered(address, message)
        username = message.attribute(Attribute.USERNAME)
        if username is None or message.signature is None:
            return self._refuse(now, message, ErrorCode.BAD_REQUEST)
        ufrag = username.partition(b":")[0].decode("ascii", "replace")
        peer = self._by_ufrag.get(ufrag)
        if peer is None or not message.is_signed_with(peer.passwords[ufrag]):
            return self._refuse(now, message, ErrorCode.UNAUTHENTICATED)
        if not self.is_heard_from(peer.transport, address):
            # It is meant, but that is not where it listens: nothing that it said would come from there.
            return CheckResult(drop=DropReason.UNKNOWN_PEER)
        return self._check(now, peer, ufrag, address, message)

    def poll(self, now: Instant) -> list[TransportId]:
        """The transports whose peers have been silent for too long; nothing is sent to them any more."""
        lost = [peer for peer in self._peers.values() if (at := self._lost_at(peer)) and now >= at]
        for peer in lost:
            peer.checked_at = None
            self._unbind(peer)
        return [peer.transport for peer in lost]

    def next_timeout(self) -> Instant | None:
        """When `poll` may next have something to say."""
        return earliest(*map(self._lost_at, self._peers.values()))

    def _check(
        self, now: Instant, peer: _Peer, ufrag: str, address: Address, message: StunMessage
    ) -> CheckResult:
        password = peer.passwords[ufrag]
        if message.attribute(Attribute.ICE_CONTROLLED) is not None:
            # RFC 8445 section 7.3.1.1: a lite agent is always the controlled one.
            answer = error(message, ErrorCode.ROLE_CONFLICT, password)
            return CheckResult(answer, DropReason.STUN_ROLE_CONFLICT)
        for older in list(peer.passwords):
            if older == ufrag:
                break
            self._retire(peer, older)
        peer.checked_at = now
        self._bind(peer, address)
        selected = None
        if message.attribute(Attribute.USE_CANDIDATE) is not None:
            if (peer.selected, peer.selected_ufrag) != (address, ufrag):
                selected = peer.transport
            peer.selected, peer.selected_ufrag = address, ufrag
        return CheckResult(success(message, address, password), selected=selected)

    def _answered(self, address: Address, message: StunMessage) -> CheckResult:
        """Who waits for what is no request. What nobody has asked for is nobody's."""
        is_answer = message.message_class is not MessageClass.INDICATION and message.method == BINDING
        asked_by = self._requests.take(address, message.transaction_id) if is_answer else None
        return CheckResult(drop=DropReason.UNKNOWN_PEER if asked_by is None else None, asked_by=asked_by)

    def _refuse(self, now: Instant, message: StunMessage, code: ErrorCode) -> CheckResult:
        if not self._refusals.admit(now):
            return CheckResult(drop=DropReason.STUN_RATE)
        return CheckResult(error(message, code), DropReason.STUN_UNAUTHENTICATED)

    def _accept(self, peer: _Peer, credentials: Credentials) -> None:
        if credentials.ufrag in self._by_ufrag:
            raise LocalError(f"ICE fragment of transport {peer.transport} is taken")
        peer.passwords[credentials.ufrag] = credentials.password
        self._by_ufrag[credentials.ufrag] = peer

    def _retire(self, peer: _Peer, ufrag: str) -> None:
        del peer.passwords[ufrag]
        del self._by_ufrag[ufrag]

    def _bind(self, peer: _Peer, address: Address) -> None:
        owner = self._by_address.get(address)
        if owner is peer:
            return
        if owner is not None:  # the address was given to another socket, as after a redial behind a NAT
            owner.unbind(address)
        peer.addresses[address] = None
        self._by_address[address] = peer
        if len(peer.addresses) > MAX_ADDRESSES:
            oldest = next(one for one in peer.addresses if one != peer.selected)
            del peer.addresses[oldest], self._by_address[oldest]

    def _unbind(self, peer: _Peer) -> None:
        for address in peer.addresses:
            del self._by_address[address]
        peer.addresses.clear()
        peer.selected = None

    def _lost_at(self, peer: _Peer) -> Instant | None:
        return None if peer.checked_at is None else after_s(peer.checked_at, self._consent_timeout_s)
