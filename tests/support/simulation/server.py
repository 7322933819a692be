"""The focus on a virtual clock: the real engine over the real plane's core, and what wakes them.

It does what `sfu/runtime` does, turn by turn and tick by tick. DTLS and SCTP are stood in for by
`association.py`, kept in `server_legs.py`; the datagrams of both go through the plane as theirs would.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sfu.conference.conference import LocalMedia
from sfu.conference.ids import IdSource
from sfu.conference.turn import (
    CloseLeg,
    DataChannelOpened,
    DataReceived,
    Dial,
    DropDemand,
    Engine,
    LegConnected,
    LegFailed,
    MediaReport,
    OpenChannel,
    RuntimeInput,
    RuntimeOutput,
    SendData,
    SetCaps,
    SetDemand,
    SetSpeech,
    StartDtls,
)
from sfu.control import Control
from sfu.dataplane.core import PlaneCore
from sfu.dataplane.native_core import NativeCore
from sfu.dataplane.srtp import NullSrtp
from sfu.dataplane.wire import OwnPort, own_port_of
from sfu.metrics import Metrics
from sfu.negotiation.parameters import Candidate, Fingerprint
from sfu.plane import (
    AddTransport,
    ConsentLost,
    PairSelected,
    PlaneOperation,
    PortRefused,
    RemoveTransport,
)
from sfu.runtime.tick import NO_TARGETS
from sfu.units import TransportId, after_ms
from signalling.focus.cascade.settings import ALONE
from signalling.focus.focus import Focus
from signalling.focus.turn import (
    Count,
    FocusInput,
    FocusOutput,
    ForgetLeg,
    KeepLeg,
    LegsRestored,
    Level,
    Note,
    SendToDevice,
    ShuttingDown,
)
from tests.support.schemas import SampledCheck
from tests.support.simulation.server_legs import ServerLegs
from tests.support.simulation.sites import FIRST_SITE, Site
from tests.support.simulation.watch import PlaneWatch

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sfu.config import MediaConfig, SfuConfig
    from sfu.dataplane.wire import Address, Transmit
    from sfu.netem.network import Datagram
    from sfu.plane import PlaneStats
    from sfu.rows import StructArray
    from sfu.units import Instant
    from signalling.focus.caps import CapRule
    from signalling.focus.cascade.settings import CascadeSettings
    from signalling.focus.settings import CallSettings
    from tests.support.plane_driver import Core
    from tests.support.simulation.world import World

FIRST_OWN_PORT: Final = 30_000
"""Of the ports that transports have for themselves, which are counted on by the ids of these."""

TICK_MS: Final = 50
FULL_TICKS: Final = 20
"""Every so many ticks all is decided anew, as `sfu.runtime.tick` does."""

_AboutALeg = LegConnected | LegFailed | DataChannelOpened | DataReceived | PairSelected | ConsentLost

EngineInput = FocusInput | RuntimeInput
EngineOutput = FocusOutput | RuntimeOutput


@dataclass(slots=True)
class ServerRecord:
    """What the focus counted, noted and kept."""

    notes: list[Note] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """By counter and labels, as `invites_refused{reason=unknown_call}`."""
    kept: dict[str, str] = field(default_factory=dict)
    """Records of legs, by key."""
    turns: int = 0
    ticks: int = 0
    decisions: StructArray | None = None
    """Those of the last tick."""


def simulated_core(config: MediaConfig, rng: random.Random) -> Core:
    """The native plane's core, or its twin where SIMULATED_PLANE=reference asks for that."""
    if os.environ.get("SIMULATED_PLANE") == "reference":
        return PlaneCore(config, rng, srtp=NullSrtp)
    return NativeCore(config, rng.randbytes(32), is_encrypted=False)


class SimServer:
    """One focus.

    Args:
        world: where it lives.
        config: of the media server.
        settings: of calls.
        rng: everything that is drawn.
        caps: ceilings for some.
        site: its account and address.
        cascade: whether other foci are in its calls.
    """

    def __init__(
        self,
        world: World,
        config: SfuConfig,
        settings: CallSettings,
        rng: random.Random,
        caps: Sequence[CapRule] = (),
        site: Site = FIRST_SITE,
        cascade: CascadeSettings = ALONE,
    ) -> None:
        self.site: Final = site
        self.record = ServerRecord()
        self.watch = PlaneWatch()
        self.spoken = SampledCheck()
        self.core = simulated_core(config.media, rng)
        self.address: Final = site.address
        self._clock = world.clock
        self._network = world.network
        self._backbone = world.backbone
        self._homeserver = world.homeserver
        self._metrics = Metrics()
        self.local = LocalMedia(
            Fingerprint("sha-256", ":".join(["CD"] * 32)),
            (Candidate(*site.address, priority=2_130_706_431),),
        )
        identity = site.focus.user_id, site.focus.device_id
        self.focus = Focus(identity, (self.local,), settings, config, rng, IdSource(), caps, cascade)
        self.engine: Engine = self.focus
        """What has the turns; a test may put something in front of the focus."""
        self._legs = ServerLegs(
            lambda: self._clock.now,
            self._later,
            self._apply,
            self.feed,
            rng,
            config.media.consent_timeout_s,
        )
        self.control = Control()
        self._own_ports: set[TransportId] = set()
        """Transports that have a port for themselves."""
        self._inbox: deque[EngineInput] = deque()
        self._is_running = False
        self._has_ended = False
        self._stalled_until: Instant | None = None
        self._plane_at: Instant | None = None
        self._focus_at: Instant | None = None
        self._tick_at = self._clock.now
        self._network.attach(site.address)
        self._homeserver.log_in_focus(site.focus, self.feed)
        self._later(self._tick_at, self._tick)

    def restore(self, kept: Mapping[str, str]) -> None:
        """Begin with the records of legs that a process before has left."""
        self.feed(LegsRestored(tuple(kept.items())))

    def end(self, *, warned: bool = False) -> None:
        """Be a process no more: nothing is done, taken or sent from now on.

        Args:
            warned: it was asked to end, and has told everybody; else it was killed.
        """
        if warned:
            self.feed(ShuttingDown())
        self._has_ended = True
        self._network.detach(self.address)
        self._homeserver.log_out_focus(self.site.focus)

    def _later(self, at: Instant, action: Callable[[], None]) -> None:
        self._clock.call_at(at, lambda: None if self._has_ended else action())

    # --- the plane: never waits for anything below --------------------------------------------------------

    def receive(self, datagrams: Iterable[Datagram]) -> None:
        """Take datagrams from the network."""
        if self._has_ended:
            return
        now = self._clock.now
        for datagram in datagrams:
            address = self._known_as(datagram)
            if address is not None:
                self._transmit(self.core.handle_datagram(now, address, datagram.data))
        self._after_plane()

    def _known_as(self, datagram: Datagram) -> Address | None:
        """Where a datagram comes from, as the plane knows it; None: nobody listens where it goes to."""
        port = datagram.destination[1]
        if port == self.address[1]:
            return datagram.source
        transport = TransportId(port - FIRST_OWN_PORT)
        return (*datagram.source, OwnPort(transport)) if transport in self._own_ports else None

    def _poll_plane(self) -> None:
        now = self._clock.now
        if self._plane_at is None or now < self._plane_at:
            return
        self._plane_at = None
        self._transmit(self.core.poll(now))
        self._after_plane()

    def _apply(self, operations: Sequence[PlaneOperation]) -> None:
        if not operations:
            return
        for operation in operations:
            self.watch.operation(self._clock.now, operation)
            if isinstance(operation, AddTransport):
                self._legs.add(operation.transport)
                if operation.own_port:
                    self._own_ports.add(operation.transport)
        self._transmit(self.core.apply(self._clock.now, operations))
        self._own_ports -= {one.transport for one in operations if isinstance(one, RemoveTransport)}
        self._after_plane()

    def _transmit(self, transmits: Iterable[Transmit]) -> None:
        now = self._clock.now
        for one in transmits:
            host, port = one.address[:2]
            own_port = own_port_of(one.address)
            source = self.address
            if own_port is not None:
                source = self.address[0], FIRST_OWN_PORT + own_port.transport
            self.watch.transmit(now, (host, port), one.data)
            if self._backbone.leads(source, (host, port)):
                self._backbone.send(source, (host, port), one.data)
            else:
                self._network.send(now, self.address, (host, port), one.data)

    def _after_plane(self) -> None:
        due_at = self.core.next_timeout()
        if due_at is not None and (self._plane_at is None or due_at < self._plane_at):
            self._plane_at = due_at
            self._later(due_at, self._poll_plane)
        if self.core.has_output:
            self._wake()

    # --- Python: turns, one at a time ---------------------------------------------------------------------

    def feed(self, given: EngineInput) -> None:
        """Queue an input for the engine."""
        if self._has_ended:
            return
        self._inbox.append(given)
        self._wake()

    def stall(self, duration_ms: float) -> None:
        """Let Python do nothing for a while; the plane goes on."""
        self._stalled_until = after_ms(self._clock.now, duration_ms)
        self._later(self._stalled_until, self._resume)

    def _resume(self) -> None:
        if self._stalled_until is not None and self._clock.now >= self._stalled_until:
            self._stalled_until = None
            self._wake()

    def _wake(self) -> None:
        if self._is_running or self._stalled_until is not None:
            return
        self._is_running = True
        while True:
            if self.core.has_output:
                self._drain()
            elif self._inbox:
                self._turn(self._inbox.popleft())
            else:
                break
        self._is_running = False

    def _drain(self) -> None:
        batch = self.core.drain()
        for transport, data in batch.datagrams:
            self._legs.feed(transport, data)
        selected = [event.transport for event in batch.events if isinstance(event, PairSelected)]
        for transport in selected:
            self._legs.pair_selected(transport)
        self.control.route_changed(selected)
        assert not any(isinstance(event, PortRefused) for event in batch.events)
        self._inbox.extend(event for event in batch.events if not isinstance(event, PortRefused))
        for transport, (host, port), data in batch.responses:
            self._legs.respond(transport, (host, port), data)

    def _turn(self, given: EngineInput) -> None:
        if isinstance(given, _AboutALeg) and _leg_of(given) not in self._legs:
            return
        self.record.turns += 1
        self.spoken.given(given)
        self.perform(self.engine.handle(self._clock.now, self._clock.wall, given))
        if isinstance(given, LegFailed):
            self._legs.close(given.leg)
        self._plan_focus()

    def _plan_focus(self) -> None:
        due_at = self.engine.next_timeout()
        if due_at is not None and (self._focus_at is None or due_at < self._focus_at):
            self._focus_at = due_at
            self._later(due_at, self._focus_timeout)

    def _focus_timeout(self) -> None:
        now = self._clock.now
        if self._focus_at is None or now < self._focus_at:
            return
        if self._stalled_until is not None:
            self._focus_at = self._stalled_until
            self._later(self._focus_at, self._focus_timeout)
            return
        self._focus_at = None
        self.perform(self.engine.handle_timeout(now, self._clock.wall))
        self._plan_focus()
        self._wake()

    def perform(self, outputs: Sequence[EngineOutput]) -> None:
        """Carry out the outputs of a turn, or of a test that has taken one by hand."""
        batch: list[PlaneOperation] = []
        for output in outputs:
            if isinstance(output, PlaneOperation) and not isinstance(output, RemoveTransport):
                batch.append(output)
                continue
            match output:
                case SetDemand():
                    self.control.set_demand(output)
                    continue
                case DropDemand(route):
                    self.control.drop_demand(route)
                    continue
                case _:
                    self._apply(batch)
                    batch = []
                    self._perform_one(output)
        self._apply(batch)
        if self.control.is_stale:
            self._set_targets(self.control.allocate())

    def _perform_one(self, output: EngineOutput) -> None:
        self.spoken.said(output, to_focus=self._is_to_focus(output))
        match output:
            case StartDtls():
                self._legs.start(output)
            case Dial():
                self._legs.dial(output)
            case OpenChannel(leg, label):
                self._legs.open_channel(leg, label)
            case CloseLeg(leg) | RemoveTransport(leg):
                self.control.forget(leg)
                self._legs.close(leg)
            case SetCaps(leg, max_bps, max_height, max_videos):
                self.control.set_caps(leg, max_bps, max_height, max_videos)
            case SetSpeech(conference, cameras, unheard):
                self.control.set_speech(conference, cameras, unheard)
            case SendData(leg, _, text):
                self._legs.send(leg, text)
            case _:
                self._perform_dialect(output)

    def _is_to_focus(self, output: EngineOutput) -> bool:
        """Whether something is said to another focus."""
        match output:
            case SendToDevice(_, _, message):
                return message.envelope.sender_session_id == message.envelope.dest_session_id
            case SendData(leg):
                return self._legs.is_trunk(leg)
            case _:
                return False

    def _perform_dialect(self, output: EngineOutput) -> None:
        match output:
            case SendToDevice():
                self._homeserver.send_to_device(self.site.focus, output)
            case KeepLeg(key, record):
                self.record.kept[key] = record
            case ForgetLeg(key):
                self.record.kept.pop(key, None)
            case Count(name, labels):
                self._metrics.count(name, labels)  # refuses what is no counter
                text = ",".join(f"{label}={value}" for label, value in sorted(labels.items()))
                self.record.counts[f"{name}{{{text}}}" if text else name] += 1
            case Note():
                self.record.notes.append(output)
            case _:
                raise AssertionError(f"nobody performs {output}")

    # --- the tick -----------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._tick_at = after_ms(self._tick_at, TICK_MS)
        self._later(self._tick_at, self._tick)
        if self._stalled_until is not None:
            return
        now, stats = self._clock.now, self.stats()
        is_full = self.record.ticks % FULL_TICKS == 0
        update = self.control.tick(now, stats, self.core.feedback(), is_full=is_full)
        self.record.ticks += 1
        self.core.set_pacing(now, update.pacing)
        self.core.probe(now, update.probes)
        self._set_targets(NO_TARGETS if update.targets is None else update.targets)
        self.record.decisions = update.decisions
        self._metrics.publish(stats)
        self.feed(MediaReport(stats, update.decisions, update.estimates))

    def stats(self) -> PlaneStats:
        """All counters of the plane."""
        return self.core.stats(self._clock.now)

    def _set_targets(self, targets: StructArray) -> None:
        self.core.set_targets(self._clock.now, targets)
        self._after_plane()

    def warnings(self) -> list[Note]:
        """What an operator would be told to act on."""
        return [note for note in self.record.notes if note.level is Level.WARNING]


def _leg_of(given: _AboutALeg) -> TransportId:
    return given.transport if isinstance(given, PairSelected | ConsentLost) else given.leg
