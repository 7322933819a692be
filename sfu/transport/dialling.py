"""ICE of the side that dials another focus: the controlling one (RFC 8445), which keeps consent (RFC 7675).

Pure: checks go out, responses come in, time is an argument. The far side is a lite agent, as we are to our
clients: it asks nothing, so nothing is answered here. All checks go from one socket, whose address the far
side learns from them; there are as many pairs as it has addresses.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, assert_never

from sfu.dataplane.stun import BINDING, Attribute, ErrorCode, MessageClass, StunMessage
from sfu.dataplane.wire import udp_address
from sfu.errors import ParseError
from sfu.units import after_ms, after_s, earliest

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from sfu.dataplane.wire import UdpAddress
    from sfu.plane import Credentials
    from sfu.units import Instant

MAX_ADDRESSES: Final = 16
"""Addresses of the far side that are tried, the first ones. Lower: a host with many networks is not reached
at its last one. Higher: a description can make us knock at more doors that are not its own."""

SPACING_MS: Final = 50
"""Between the first checks to two addresses (Ta, RFC 8445 section 14.2). Lower: a NAT may drop what opens
many bindings at once. Higher: an address that stands late in the list is reached later."""

FIRST_WAIT_S: Final = 0.5
"""Before a check is sent again; doubled each time (RFC 8445 section 14.3). Lower: sent twice on a satellite
path. Higher: one lost datagram costs more of a join."""

MAX_WAIT_S: Final = 8.0
"""The most that it is doubled to. Lower: more is sent to who may never answer. Higher: a far side that comes
up late is found late."""

UNREACHABLE_S: Final = 30.0
"""Until a far side that has not answered is given up. Lower: one that is slow to read our offer is missed.
Higher: a trunk that can't be is waited for longer, and tried again later."""

CONSENT_CHECK_S: Final = 5.0
"""Between checks of consent, give or take a fifth (RFC 7675 section 5.1). Lower: more is sent for nothing.
Higher: a far side that is gone is sent to for longer, and a NAT may forget a silent trunk."""

CONSENT_CHECKS: Final = 6
"""Checks within the consent timeout, however short that is. Lower: a few lost datagrams end a trunk. Higher:
a short timeout makes many checks."""

SILENT_CHECKS: Final = 3
"""Checks of consent that were sent since the last answer, when the other addresses are tried again. Lower: a
few lost datagrams move a trunk that works. Higher: it is dead for longer, and nearer to its end."""

CONSENT_JITTER: Final = 0.2

_PRIORITY: Final = (110 << 24 | 65_535 << 8 | 255).to_bytes(4, "big")
"""Of a peer-reflexive candidate with one component and one local address (RFC 8445 section 5.1.2.1)."""


class DialFailure(enum.StrEnum):
    """Why a dial is over. A closed list: each is a reason of `LegFailed`."""

    UNREACHABLE = "unreachable"
    ROLE_CONFLICT = "role_conflict"
    CONSENT_LOST = "consent_lost"


@dataclass(frozen=True, slots=True)
class SendCheck:
    """Send a STUN request."""

    address: UdpAddress = field(repr=False)
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Selected:
    """Send everything to this address from now on: the far side has agreed."""

    address: UdpAddress = field(repr=False)


@dataclass(frozen=True, slots=True)
class DialFailed:
    """It is over; only `Dialler.restart` begins anew."""

    reason: DialFailure


DialOutput = SendCheck | Selected | DialFailed


@dataclass(frozen=True, slots=True)
class DialStats:
    """What became of checks."""

    checks: int
    """Sent, repetitions too."""
    disbelieved: int
    """Responses to checks of ours that did not prove to be the far side's, or refused."""


@dataclass(slots=True)
class _Check:
    """One transaction: the same bytes again until they are answered."""

    address: UdpAddress
    transaction_id: bytes
    data: bytes = field(repr=False)
    nominates: bool
    due_at: Instant
    wait_s: float = FIRST_WAIT_S

    def send(self, now: Instant) -> SendCheck:
        self.due_at = after_s(now, self.wait_s)
        self.wait_s = min(2 * self.wait_s, MAX_WAIT_S)
        return SendCheck(self.address, self.data)


@dataclass(slots=True)
class _Checking:
    """Every address is tried; once one has answered, the check that nominates it is the only one."""

    checks: list[_Check]
    until: Instant

    def awaits(self, address: UdpAddress, transaction_id: bytes) -> bool:
        return _among(self.checks, address, transaction_id) is not None


@dataclass(slots=True)
class _Consenting:
    """A pair is selected; `unanswered` are transactions since the last response, in order."""

    address: UdpAddress
    check_at: Instant
    until: Instant
    unanswered: list[bytes] = field(default_factory=list)
    checks: list[_Check] = field(default_factory=list)
    """Of the other addresses, while the selected one is silent; or the one that nominates one of them."""

    def awaits(self, address: UdpAddress, transaction_id: bytes) -> bool:
        if address == self.address:
            return transaction_id in self.unanswered
        return _among(self.checks, address, transaction_id) is not None


@dataclass(frozen=True, slots=True)
class _Over:
    """Failed."""


class Dialler:
    """Finds an address at which the far side answers, and sees that it goes on doing so.

    Args:
        now: when the first check is due.
        ours: of this leg; its fragment is named in the checks.
        theirs: from the far side's description; the password signs checks and responses.
        addresses: host (a numeric address) and port, best first; beyond `MAX_ADDRESSES` they are left out.
        rng: of transaction ids and the tie breaker, so one that can't be guessed.
        consent_timeout_s: without a response for this long, consent is lost.

    Raises:
        LocalError: an address is none that the plane could send to.
    """

    def __init__(
        self,
        now: Instant,
        ours: Credentials,
        theirs: Credentials,
        addresses: Sequence[UdpAddress],
        rng: random.Random,
        consent_timeout_s: float,
    ) -> None:
        self._rng = rng
        self._consent_timeout_s = consent_timeout_s
        self._consent_check_s = min(CONSENT_CHECK_S, consent_timeout_s / CONSENT_CHECKS)
        self._tie_breaker = rng.randbytes(8)
        self._sent = 0
        self._disbelieved = 0
        self._state: _Checking | _Consenting | _Over = _Over()
        self.restart(now, ours, theirs, addresses)

    def restart(
        self, now: Instant, ours: Credentials, theirs: Credentials, addresses: Sequence[UdpAddress]
    ) -> None:
        """Find an address anew, with other credentials (RFC 8445 section 9); what was selected stays so long.

        Raises:
            LocalError: an address is none that the plane could send to.
        """
        unlike = list(dict.fromkeys(udp_address(*one) for one in addresses))[:MAX_ADDRESSES]
        self._ours = ours
        self._theirs = theirs
        self._addresses = unlike
        checks = self._first_checks(now, unlike)
        self._state = _Checking(checks, after_s(now, UNREACHABLE_S) if checks else now)

    def poll(self, now: Instant) -> list[DialOutput]:
        """Return what is due."""
        match self._state:
            case _Checking(checks, until):
                if now >= until:
                    return self._fail(DialFailure.UNREACHABLE)
                return [self._send(now, check) for check in checks if now >= check.due_at]
            case _Consenting() as state:
                if now >= state.until:
                    return self._fail(DialFailure.CONSENT_LOST)
                asked = [self._ask_consent(now, state)] if now >= state.check_at else []
                return [*asked, *(self._send(now, check) for check in state.checks if now >= check.due_at)]
            case _Over():
                return []
            case _:
                assert_never(self._state)

    def response(self, now: Instant, address: UdpAddress, data: bytes) -> list[DialOutput]:
        """Take what came back from an address, which may be anybody's until it has proved to be theirs.

        What proves nothing changes nothing: the check goes on, or whoever can guess where we knock could end
        the dial by an error that nobody signed.
        """
        try:
            message = StunMessage.parse(data)
        except ParseError:
            self._disbelieved += 1
            return []
        state = self._state
        if isinstance(state, _Over) or not state.awaits(address, message.transaction_id):
            return []
        is_theirs = message.is_signed_with(self._theirs.password)
        if is_theirs and message.message_class is MessageClass.SUCCESS:
            return self._succeed(now, state, message.transaction_id)
        if is_theirs and _error_code(message) == ErrorCode.ROLE_CONFLICT:
            return self._fail(DialFailure.ROLE_CONFLICT)
        self._disbelieved += 1
        return []

    def next_timeout(self) -> Instant | None:
        """When `poll` next has something to say; None once the dial is over."""
        match self._state:
            case _Checking(checks, until):
                return earliest(until, *(check.due_at for check in checks))
            case _Consenting(_, check_at, until, _, checks):
                return earliest(check_at, until, *(check.due_at for check in checks))
            case _Over():
                return None
            case _:
                assert_never(self._state)

    def stats(self) -> DialStats:
        """Counts since the first dial."""
        return DialStats(self._sent, self._disbelieved)

    def _succeed(
        self, now: Instant, state: _Checking | _Consenting, transaction_id: bytes
    ) -> list[DialOutput]:
        """Take an authentic response to a check that is awaited."""
        until = after_s(now, self._consent_timeout_s)
        if isinstance(state, _Consenting) and transaction_id in state.unanswered:
            del state.unanswered[: state.unanswered.index(transaction_id) + 1]
            state.until = until
            state.checks = []
            return []
        check = next(one for one in state.checks if one.transaction_id == transaction_id)
        if check.nominates:
            self._state = _Consenting(check.address, self._next_consent(now), until)
            return [Selected(check.address)]
        nomination = self._check(check.address, now, nominates=True)
        state.checks = [nomination]
        return [self._send(now, nomination)]

    def _ask_consent(self, now: Instant, state: _Consenting) -> SendCheck:
        # A nomination each time: where a NAT has given us another port, a lite far side moves there.
        check = self._check(state.address, now, nominates=True)
        state.unanswered.append(check.transaction_id)
        if len(state.unanswered) >= SILENT_CHECKS and not state.checks:
            # One of them may work where the selected one does so no more, long before consent is over.
            others = [address for address in self._addresses if address != state.address]
            state.checks = self._first_checks(now, others)
        state.check_at = self._next_consent(now)
        return self._send(now, check)

    def _fail(self, reason: DialFailure) -> list[DialOutput]:
        self._state = _Over()
        return [DialFailed(reason)]

    def _send(self, now: Instant, check: _Check) -> SendCheck:
        self._sent += 1
        return check.send(now)

    def _next_consent(self, now: Instant) -> Instant:
        spread = self._rng.uniform(1 - CONSENT_JITTER, 1 + CONSENT_JITTER)
        return after_s(now, spread * self._consent_check_s)

    def _first_checks(self, now: Instant, addresses: Sequence[UdpAddress]) -> list[_Check]:
        return [
            self._check(address, after_ms(now, number * SPACING_MS))
            for number, address in enumerate(addresses)
        ]

    def _check(self, address: UdpAddress, due_at: Instant, *, nominates: bool = False) -> _Check:
        """A new transaction (RFC 8445 section 7.2.4)."""
        username = f"{self._theirs.ufrag}:{self._ours.ufrag}".encode()
        attributes = (
            (Attribute.USERNAME, username),
            (Attribute.PRIORITY, _PRIORITY),
            (Attribute.ICE_CONTROLLING, self._tie_breaker),
            *([(Attribute.USE_CANDIDATE, b"")] if nominates else []),
        )
        transaction_id = self._rng.randbytes(12)
        request = StunMessage(MessageClass.REQUEST, BINDING, transaction_id, attributes)
        data = request.serialise(self._theirs.password)
        return _Check(address, transaction_id, data, nominates, due_at)


def _among(checks: Sequence[_Check], address: UdpAddress, transaction_id: bytes) -> _Check | None:
    asked = (address, transaction_id)
    return next((one for one in checks if (one.address, one.transaction_id) == asked), None)


def _error_code(message: StunMessage) -> int | None:
    """The code of an error response (RFC 8489 section 14.8)."""
    value = message.attribute(Attribute.ERROR_CODE)
    if message.message_class is not MessageClass.ERROR or value is None or len(value) < 4:
        return None
    return 100 * (value[2] & 7) + value[3]
