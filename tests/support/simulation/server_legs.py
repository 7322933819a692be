"""What DTLS, SCTP and ICE would keep of the legs of one focus, as `sfu/runtime` and `sfu/transport` do."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from sfu.conference.turn import DataChannelOpened, DataReceived, LegConnected, LegFailed
from sfu.plane import (
    InstallSrtp,
    RemoveTransport,
    SelectAddress,
    SendDatagram,
    SendStun,
    SrtpProfile,
)
from sfu.transport.dialling import DialFailed, Dialler, Selected, SendCheck
from tests.support.simulation.association import Association, Role

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from sfu.conference.turn import Dial, RuntimeInput, StartDtls
    from sfu.netem.network import Address
    from sfu.plane import PlaneOperation
    from sfu.transport.dialling import DialOutput
    from sfu.units import Instant, TransportId


class Frame(enum.StrEnum):
    """What a message of an association is, by its first character."""

    OPEN = "O"
    """A client opens a channel."""
    OPEN_DIALLED = "Q"
    """A focus that has dialled does, and waits for `OPENED`."""
    OPENED = "A"
    TEXT = "T"


@dataclass(slots=True)
class _Leg:
    association: Association
    is_client: bool
    is_begun: bool = False
    has_channel: bool = False
    is_trunk: bool = False
    """Whichever side has dialled."""


@dataclass(slots=True)
class _Dial:
    dialler: Dialler
    planned_at: Instant | None = None
    """The appointment that counts; others are stale."""


class ServerLegs:
    """Every leg from `AddTransport` to its end.

    Args:
        now: what the clock shows.
        later: does something then, unless the focus has ended.
        apply: takes operations for the plane.
        emit: takes inputs for the engine.
        rng: for what is drawn of dials.
        consent_timeout_s: of dialled legs.
    """

    def __init__(
        self,
        now: Callable[[], Instant],
        later: Callable[[Instant, Callable[[], None]], None],
        apply: Callable[[Sequence[PlaneOperation]], None],
        emit: Callable[[RuntimeInput], None],
        rng: random.Random,
        consent_timeout_s: float,
    ) -> None:
        self._now = now
        self._later = later
        self._apply = apply
        self._emit = emit
        self._rng = rng
        self._consent_timeout_s = consent_timeout_s
        self._open: set[TransportId] = set()
        self._selected: set[TransportId] = set()
        """Those that have somewhere to send to."""
        self._legs: dict[TransportId, _Leg] = {}
        self._labels: dict[TransportId, str] = {}
        """Of channels to open on legs that are not started yet."""
        self._dials: dict[TransportId, _Dial] = {}

    def __contains__(self, transport: TransportId) -> bool:
        return transport in self._open

    def add(self, transport: TransportId) -> None:
        """The plane is about to listen for it."""
        self._open.add(transport)

    def is_trunk(self, transport: TransportId) -> bool:
        """Whether a leg leads to another focus, as far as it has said anything."""
        leg = self._legs.get(transport)
        return leg is not None and leg.is_trunk

    def start(self, given: StartDtls) -> None:
        """Await the handshake of a leg, or begin it as soon as there is somewhere to send to."""
        transport = given.leg
        if transport in self._legs:
            return
        association = Association(
            Role.CLIENT if given.is_client else Role.SERVER,
            send=lambda data: self._apply([SendDatagram(transport, data)]),
            connected=lambda: self._connected(transport),
            received=lambda text: self._received(transport, text),
            closed=lambda: self._emit(LegFailed(transport, "dtls_closed")),
        )
        self._legs[transport] = _Leg(association, given.is_client, is_trunk=given.is_client)
        label = self._labels.pop(transport, None)
        if label is not None:
            self._say(transport, Frame.OPEN_DIALLED, label)
        if not given.is_client or transport in self._selected:
            self._begin(transport)

    def feed(self, transport: TransportId, data: bytes) -> None:
        """Take a datagram of DTLS."""
        leg = self._legs.get(transport)
        if leg is not None:
            leg.association.receive(self._now(), data)
            self._plan(transport, leg)

    def pair_selected(self, transport: TransportId) -> None:
        """There is somewhere to send to."""
        self._selected.add(transport)
        leg = self._legs.get(transport)
        if leg is not None and leg.is_client:
            self._begin(transport)

    def send(self, transport: TransportId, text: str) -> None:
        """Say something on the channel."""
        self._say(transport, Frame.TEXT, text)

    def open_channel(self, transport: TransportId, label: str) -> None:
        """Open a channel of ours as soon as the leg is connected; until then the association keeps it."""
        if transport in self._legs:
            self._say(transport, Frame.OPEN_DIALLED, label)
        else:
            self._labels[transport] = label

    def close(self, transport: TransportId) -> None:
        """End a leg, and tell the peer."""
        self._open.discard(transport)
        self._selected.discard(transport)
        self._dials.pop(transport, None)
        self._labels.pop(transport, None)
        leg = self._legs.pop(transport, None)
        if leg is not None:
            leg.association.close()
        self._apply([RemoveTransport(transport)])

    # --- dials --------------------------------------------------------------------------------------------

    def dial(self, given: Dial) -> None:
        """Look for the far side of a leg, or look for it anew."""
        if given.leg not in self._open:
            return
        ours, theirs, addresses = given.credentials, given.remote, given.addresses
        dial = self._dials.get(given.leg)
        if dial is None:
            dialler = Dialler(self._now(), ours, theirs, addresses, self._rng, self._consent_timeout_s)
            dial = self._dials[given.leg] = _Dial(dialler)
        else:
            dial.dialler.restart(self._now(), ours, theirs, addresses)
        self._follow(given.leg, dial, dial.dialler.poll(self._now()))

    def respond(self, transport: TransportId, address: Address, data: bytes) -> None:
        """Take what came back to a check."""
        dial = self._dials.get(transport)
        if dial is not None:
            self._follow(transport, dial, dial.dialler.response(self._now(), address, data))

    def _follow(self, transport: TransportId, dial: _Dial, outputs: Sequence[DialOutput]) -> None:
        for output in outputs:
            match output:
                case SendCheck((host, port), data):
                    self._apply([SendStun(transport, host, port, data)])
                case Selected((host, port)):
                    self._apply([SelectAddress(transport, host, port)])
                case DialFailed(reason):
                    self._dials.pop(transport, None)
                    self._emit(LegFailed(transport, reason.value))
                case _:
                    assert_never(output)
        due_at = dial.dialler.next_timeout()
        if due_at is not None and (dial.planned_at is None or due_at < dial.planned_at):
            dial.planned_at = due_at
            self._later(due_at, lambda: self._poll_dial(transport, dial, due_at))

    def _poll_dial(self, transport: TransportId, dial: _Dial, planned_at: Instant) -> None:
        if self._dials.get(transport) is dial and dial.planned_at == planned_at:
            dial.planned_at = None
            self._follow(transport, dial, dial.dialler.poll(self._now()))

    # --- associations -------------------------------------------------------------------------------------

    def _begin(self, transport: TransportId) -> None:
        leg = self._legs[transport]
        if not leg.is_begun:
            leg.is_begun = True
            leg.association.start(self._now())
            if leg.is_client:
                self._plan(transport, leg)

    def _connected(self, transport: TransportId) -> None:
        key = bytes(28)
        self._apply([InstallSrtp(transport, SrtpProfile.AEAD_AES_128_GCM, key, key)])
        self._emit(LegConnected(transport))

    def _received(self, transport: TransportId, text: str) -> None:
        leg = self._legs[transport]
        match Frame(text[0]):
            case Frame.OPEN_DIALLED:
                leg.is_trunk = True
                self._say(transport, Frame.OPENED, text[1:])
                self._opened(transport, leg, text[1:])
            case Frame.OPEN | Frame.OPENED:
                self._opened(transport, leg, text[1:])
            case Frame.TEXT:
                self._emit(DataReceived(transport, 0, text[1:]))
            case frame:
                assert_never(frame)

    def _opened(self, transport: TransportId, leg: _Leg, label: str) -> None:
        assert not leg.has_channel, f"leg {transport} opens a second channel"
        leg.has_channel = True
        self._emit(DataChannelOpened(transport, 0, label))

    def _say(self, transport: TransportId, frame: Frame, text: str) -> None:
        leg = self._legs.get(transport)
        if leg is not None:
            leg.association.say(self._now(), f"{frame}{text}")
            self._plan(transport, leg)

    def _plan(self, transport: TransportId, leg: _Leg) -> None:
        due_at = leg.association.next_timeout()
        if due_at is not None:
            self._later(due_at, lambda: self._poll(transport, leg))

    def _poll(self, transport: TransportId, leg: _Leg) -> None:
        due_at = leg.association.next_timeout()
        if transport not in self._legs or due_at is None or self._now() < due_at:
            return
        leg.association.poll(self._now())
        self._plan(transport, leg)
