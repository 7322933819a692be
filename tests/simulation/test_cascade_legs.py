"""Two foci whose planes are joined by a leg that one of them dials: by hand, without any signalling."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from sfu.conference.conference import Conference
from sfu.conference.ids import IdSource
from sfu.conference.reports import Reports
from sfu.conference.turn import (
    CloseLeg,
    DataChannelOpened,
    DataReceived,
    LegConnected,
    LegFailed,
    OpenChannel,
    SendData,
)
from sfu.conference.values import SendDescription
from sfu.config import MediaConfig, SfuConfig
from sfu.dataplane.wire import WireProtocol
from sfu.netem.link import LinkProfile
from sfu.netem.loss import RandomLoss
from sfu.plane import ConsentLost
from signalling.events.data_channel import CHANNEL_LABEL, MetadataChanged, Ping, Pong, serialise_message
from signalling.events.metadata import USERMEDIA, StreamMetadata
from signalling.events.room_state import FocusDevice
from tests.support.simulation.backbone import BETWEEN_SITES
from tests.support.simulation.simulation import Simulation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfu.conference.conference import ConferenceOutput
    from sfu.units import Instant, TransportId, WallTime
    from tests.support.simulation.server import SimServer

SHORT_CONSENT = SfuConfig(media=MediaConfig(consent_timeout_s=5.0))


class End:
    """One end: an engine with a conference and one leg in it, whose descriptions a test carries."""

    def __init__(self, server: SimServer, config: SfuConfig) -> None:
        ids = IdSource()
        self.server = server
        self.conference = Conference(
            ids.conference(),
            ids,
            server.local,
            config.conference,
            config.limits,
            random.Random(server.site.domain),
            Reports(),
        )
        self.leg: TransportId | None = None
        self.events: list[str] = []
        self.texts: list[str] = []
        self.said: list[str] = []
        """Descriptions."""
        server.engine = self

    def handle(self, now: Instant, wall: WallTime, given: Any) -> Sequence[Any]:  # noqa: ANN401  # as of `Engine`
        match given:
            case LegConnected():
                self.events.append("connected")
            case DataChannelOpened(leg, _, label):
                self.events.append(f"opened {label}")
                return self._keep(self.conference.channel_ready(now, leg))
            case DataReceived(text=text):
                self.texts.append(text)
            case LegFailed(_, reason):
                self.events.append(reason)
            case ConsentLost(transport):
                self.events.append("consent")
                return [CloseLeg(transport)]
            case _:
                pass
        return []

    def handle_timeout(self, now: Instant, wall: WallTime) -> Sequence[Any]:
        return []

    def next_timeout(self) -> Instant | None:
        return None

    def perform(self, outputs: Sequence[ConferenceOutput]) -> None:
        self.server.perform(self._keep(outputs))

    def say(self, text: str) -> None:
        assert self.leg is not None
        self.server.perform([SendData(self.leg, 0, text)])

    def _keep(self, outputs: Sequence[ConferenceOutput]) -> list[Any]:
        self.said += [one.sdp for one in outputs if isinstance(one, SendDescription)]
        return [one for one in outputs if not isinstance(one, SendDescription)]


class Pair:
    """Two foci, of which the first dials the second."""

    def __init__(self, between: LinkProfile = BETWEEN_SITES, config: SfuConfig | None = None) -> None:
        self.sim = Simulation(foci=2, config=config, between=between)
        ends = [End(server, config or SfuConfig()) for server in self.sim.servers]
        self.dialler, self.callee = ends

    def dial(self) -> None:
        """Offer, answer, and a channel, without any time passing."""
        now, dialler, callee = self.sim.clock.now, self.dialler, self.callee
        callee.leg, outputs = callee.conference.add_trunk(now, dials=False)
        callee.perform(outputs)
        dialler.leg, outputs = dialler.conference.add_trunk(now, dials=True)
        dialler.perform(outputs)
        callee.perform(callee.conference.offer_received(now, callee.leg, dialler.said.pop(), None))
        dialler.perform(dialler.conference.answer_received(now, dialler.leg, callee.said.pop(), None))
        dialler.server.perform([OpenChannel(dialler.leg, CHANNEL_LABEL)])


PING, PONG = serialise_message(Ping()), serialise_message(Pong())
STREAMS = tuple(
    StreamMetadata(
        f"stream{number}", USERMEDIA, user_id="@a:b", device_id="A", path=(FocusDevice("@focus:b", "FOCUS"),)
    )
    for number in range(60)
)
LONG = serialise_message(MetadataChanged(STREAMS))
BOTH = ["connected", f"opened {CHANNEL_LABEL}"]


def connected(between: LinkProfile = BETWEEN_SITES, config: SfuConfig | None = None) -> Pair:
    pair = Pair(between, config)
    pair.dial()
    pair.sim.run_s(1)
    assert pair.dialler.events == pair.callee.events == BOTH
    return pair


def test_a_dialled_leg_connects_two_servers_and_carries_texts_both_ways() -> None:
    pair = connected()
    pair.dialler.say(PING)
    pair.callee.say(PONG)
    pair.callee.say(LONG)
    pair.sim.run_s(1)
    assert (pair.callee.texts, pair.dialler.texts) == ([PING], [PONG, LONG])
    assert pair.sim.faults() == []


def test_what_is_lost_on_the_line_is_said_again() -> None:
    pair = connected(LinkProfile(delay_ms=20, loss=RandomLoss(0.2)))
    pair.callee.say(LONG)
    pair.sim.run_s(3)
    assert pair.dialler.texts == [LONG]


def test_the_line_between_two_servers_takes_its_time_in_both_directions() -> None:
    pair = Pair(LinkProfile(delay_ms=100))
    pair.dial()
    # There and back: a check that finds the far side, one that selects it, the handshake.
    pair.sim.run_s(0.59)
    assert pair.dialler.events == []
    pair.sim.run_s(0.02)
    assert pair.dialler.events == ["connected"]
    assert pair.callee.events == []


def test_each_direction_of_a_line_counts_what_has_come_through_and_nothing_else() -> None:
    pair = connected()
    there, back = pair.sim.meter(0, 1), pair.sim.meter(1, 0)
    before = there.bytes_by_protocol()[WireProtocol.DTLS], back.bytes_by_protocol()[WireProtocol.DTLS]
    pair.callee.say(LONG)
    pair.sim.run_s(1)
    assert back.bytes_by_protocol()[WireProtocol.DTLS] - before[1] > len(LONG)
    assert there.bytes_by_protocol()[WireProtocol.DTLS] - before[0] < 100
    assert there.bytes_by_protocol()[WireProtocol.STUN] > 0
    pair.sim.cut(0, 1)
    counted = sum(back.bytes_by_protocol().values())
    pair.callee.say(LONG)
    pair.sim.run_s(1)
    assert sum(back.bytes_by_protocol().values()) == counted


def test_what_was_said_during_a_short_cut_arrives_when_the_line_is_healed() -> None:
    pair = connected()
    pair.sim.cut(0, 1)
    pair.callee.say(LONG)
    pair.sim.run_s(5)
    assert pair.dialler.texts == []
    pair.sim.heal(0, 1)
    pair.sim.run_s(1)
    assert pair.dialler.texts == [LONG]
    assert pair.dialler.events == pair.callee.events == BOTH


def test_a_leg_whose_line_stays_cut_is_over_on_both_sides() -> None:
    pair = connected(config=SHORT_CONSENT)
    pair.sim.run_s(20)
    assert pair.dialler.events == pair.callee.events == BOTH
    pair.sim.cut(0, 1)
    pair.sim.run_s(8)
    assert pair.dialler.events == [*BOTH, "consent_lost"]
    assert pair.callee.events == [*BOTH, "consent"]


def test_a_far_side_that_does_not_answer_is_given_up() -> None:
    pair = Pair()
    pair.sim.cut(0, 1)
    pair.dial()
    pair.sim.run_s(29)
    assert pair.dialler.events == []
    pair.sim.run_s(2)
    assert pair.dialler.events == ["unreachable"]
    assert pair.sim.meter(0, 1).crossings == []


def test_a_server_that_has_ended_says_nothing_more() -> None:
    pair = connected()
    pair.sim.end_server(1)
    counted = len(pair.sim.meter(1, 0).crossings)
    pair.sim.run_s(10)
    assert len(pair.sim.meter(1, 0).crossings) == counted
