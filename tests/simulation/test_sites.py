"""What simulated sites have in common: homeservers that federate, lines that are metered."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from sfu.netem.link import LinkProfile
from sfu.netem.network import Network
from sfu.rtp.packet import RtpPacket
from sfu.units import NS_PER_MS, Instant, PayloadType, Ssrc, after_ms
from signalling.events.to_device import Envelope, Hangup
from signalling.focus.turn import FocusInput, MessageReceived, RoomState, SendToDevice
from tests.support.simulation.backbone import Backbone
from tests.support.simulation.clock import START, VirtualClock
from tests.support.simulation.homeserver import FEDERATION_MS, LATENCY_MS, SimHomeserver
from tests.support.simulation.label import AudioLabel, Source
from tests.support.simulation.meter import Layer, Meter
from tests.support.simulation.sites import site_of

if TYPE_CHECKING:
    from collections.abc import Callable

HERE, THERE = site_of(0), site_of(1)
NEAR_MS, FAR_MS = LATENCY_MS, LATENCY_MS + FEDERATION_MS


class Matrix:
    """Two foci who write down what they are told, with the time in milliseconds."""

    def __init__(self) -> None:
        self.clock = VirtualClock(Network(random.Random(1)))
        self.homeserver = SimHomeserver(self.clock)
        self.told: dict[str, list[tuple[int, FocusInput]]] = {HERE.domain: [], THERE.domain: []}
        for site in (HERE, THERE):
            self.homeserver.log_in_focus(site.focus, self.teller(site.domain))
        self.homeserver.begin()
        for told in self.told.values():
            told.clear()

    def teller(self, domain: str) -> Callable[[FocusInput], None]:
        return lambda given: self.told[domain].append((self.ms, given))

    @property
    def ms(self) -> int:
        return (self.clock.now - START) // NS_PER_MS

    def run_ms(self, duration_ms: int) -> None:
        self.clock.run_until(after_ms(self.clock.now, duration_ms))

    def when(self, domain: str) -> list[int]:
        return [at for at, _ in self.told[domain]]

    def post(self) -> None:
        """The focus there sends the one here a message."""
        self.homeserver.send_to_device(
            THERE.focus, SendToDevice(HERE.focus.user_id, HERE.focus.device_id, hangup("sfu"))
        )


def hangup(sender_session_id: str) -> Hangup:
    return Hangup(Envelope("call", "FOCUS", "conference", "FOCUS", sender_session_id, "sfu", 0))


def test_room_state_is_seen_on_all_homeservers_later_on_others() -> None:
    matrix = Matrix()
    matrix.homeserver.join_room(THERE.user_id("bob"))
    matrix.run_ms(500)
    assert matrix.when(THERE.domain) == [NEAR_MS]
    assert matrix.when(HERE.domain) == [FAR_MS]


def test_messages_of_foci_reach_each_other_with_their_age_and_sender() -> None:
    matrix = Matrix()
    matrix.post()
    matrix.run_ms(500)
    ((at, given),) = matrix.told[HERE.domain]
    assert at == FAR_MS
    assert given == MessageReceived(THERE.focus.user_id, hangup("sfu"), None, FAR_MS)
    assert matrix.homeserver.counts.undeliverable == 0


def test_what_is_said_while_homeservers_are_parted_arrives_in_order_when_they_are_not() -> None:
    matrix = Matrix()
    matrix.homeserver.part(HERE.domain, THERE.domain)
    matrix.homeserver.join_room(THERE.user_id("bob"))
    matrix.post()
    matrix.run_ms(1_000)
    assert matrix.when(HERE.domain) == []
    assert matrix.when(THERE.domain) == [NEAR_MS]
    matrix.homeserver.rejoin(HERE.domain, THERE.domain)
    matrix.run_ms(500)
    assert matrix.when(HERE.domain) == [1_000 + FAR_MS] * 2
    assert [type(given) for _, given in matrix.told[HERE.domain]] == [RoomState, MessageReceived]


def test_a_focus_that_syncs_again_is_told_the_whole_state_and_what_waits_for_it() -> None:
    matrix = Matrix()
    matrix.homeserver.log_out_focus(HERE.focus)
    matrix.homeserver.join_room(THERE.user_id("bob"))
    matrix.post()
    matrix.run_ms(1_000)
    assert matrix.told[HERE.domain] == []
    matrix.homeserver.log_in_focus(HERE.focus, matrix.teller(HERE.domain))
    (_, state), (_, message) = matrix.told[HERE.domain]
    assert isinstance(state, RoomState)
    assert state.is_complete
    assert THERE.user_id("bob") in {event.state_key for event in state.events}
    assert isinstance(message, MessageReceived)
    assert message.age_ms == 1_000


def rtp(ssrc: int, payload: bytes) -> bytes:
    return RtpPacket(PayloadType(111), 1, 2, Ssrc(ssrc), payload).serialise()


def sound(frame: int) -> bytes:
    return AudioLabel(3, is_silence=False, frame=frame, captured_at=Instant(5)).serialise()


def test_a_meter_tells_media_from_repairs_and_padding_and_finds_what_comes_twice() -> None:
    meter = Meter()
    for data in (rtp(7, sound(1)), rtp(7, sound(2)), rtp(8, b"\0\1" + sound(1)), rtp(8, bytes(50))):
        meter.take(START, data)
    layer = Layer(3, Source.MICROPHONE)
    assert meter.bytes_by_layer() == {layer: 2 * len(rtp(7, sound(1)))}
    assert meter.streams_of(layer) == {7}
    assert meter.bytes_by_stream()[8] == len(rtp(8, b"\0\1" + sound(1))) + len(rtp(8, bytes(50)))
    assert (meter.duplicates, meter.senders) == (0, {3})
    meter.take(START, rtp(9, sound(2)))
    assert meter.duplicates == 1


def test_a_line_delivers_after_its_delay_to_whom_it_leads_and_to_nobody_else() -> None:
    clock = VirtualClock(Network(random.Random(1)))
    backbone = Backbone(clock, random.Random(2))
    delivered: list[tuple[int, bytes]] = []
    backbone.deliver = lambda datagrams: delivered.extend(
        ((clock.now - START) // NS_PER_MS, one.data) for one in datagrams
    )
    backbone.connect(HERE.address, THERE.address, LinkProfile(delay_ms=30))
    assert not backbone.leads(HERE.address, site_of(2).address)
    for number in range(3):
        clock.run_until(after_ms(START, 10 * number))
        backbone.send(HERE.address, THERE.address, bytes((number,)))
    clock.run_until(after_ms(START, 500))
    assert delivered == [(30, b"\0"), (40, b"\1"), (50, b"\2")]
    assert len(backbone.meter(HERE.address, THERE.address).crossings) == 3
    assert backbone.meter(THERE.address, HERE.address).crossings == []
