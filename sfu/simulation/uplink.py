"""A publisher's way to the plane: a line of its own that its layers share, or none worth mentioning.

A publisher behind a line does what libwebrtc does: it numbers its packets, hears by transport-wide feedback
what became of them, estimates, paces video and lets sound pass, probes, and sends again what it is asked for.
How it estimates is ours (`sfu.bwe`), which begins, gives way and grows much as libwebrtc's does.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from sfu.bwe.estimate import WISH_DTYPE
from sfu.bwe.estimators import Estimators
from sfu.errors import ParseError
from sfu.netem.link import Link, LinkProfile
from sfu.netem.network import UDP_OVERHEAD_BYTES
from sfu.rows import FEEDBACK_DTYPE, TRANSPORT_DTYPE
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import Nack, parse_compound
from sfu.rtp.twcc import TransportFeedback
from sfu.simulation.encoder import HEADER_BYTES, PACKET_BYTES, VIDEO_PAYLOAD_TYPE
from sfu.simulation.publisher import AUDIO_PAYLOAD_TYPE, SOUND_BPS
from sfu.streams.pacer import Pacer, Turn
from sfu.streams.twcc_sender import TwccSender
from sfu.units import Instant, Ssrc, TransportId, after_ms, earliest

if TYPE_CHECKING:
    import random

    from sfu.rows import StructArray
    from sfu.simulation.scenario import MediaFlow

TRANSPORT_CC: Final = 2
"""The id of the header extension that numbers packets."""

PACING_FACTOR: Final = 2.5
QUEUE_LIMIT_MS: Final = 2_000
"""libwebrtc's."""
ESTIMATE_MS: Final = 25
"""How often a publisher estimates, as libwebrtc's process interval."""
MAX_REMEMBERED: Final = 600
"""Packets that can be sent again."""

_US: Final = TransportId(1)
_PADDING_SSRC: Final = Ssrc(0)
"""Of what is sent for its size alone: it is of no stream, as in libwebrtc's first probes."""


class Uplink(Protocol):
    """What a publisher's packets pass on their way to the plane, and the plane's RTCP on its way back."""

    target_bps: float
    """What sound and video may come to; infinite: anything."""

    def send(self, now: Instant, packets: list[bytes]) -> None: ...
    def hear(self, now: Instant, data: bytes) -> None: ...
    def poll(self, now: Instant) -> tuple[list[bytes], list[bytes]]:
        """What reaches the plane now, and what reaches the publisher."""
        ...

    def next_timeout(self) -> Instant | None: ...


class NoLine:
    """Everything arrives at once."""

    target_bps = math.inf

    def __init__(self) -> None:
        self._up: list[bytes] = []
        self._down: list[bytes] = []

    def send(self, now: Instant, packets: list[bytes]) -> None:
        """The publisher sends RTP."""
        del now
        self._up += packets

    def hear(self, now: Instant, data: bytes) -> None:
        """The plane sends RTCP."""
        del now
        self._down.append(data)

    def poll(self, now: Instant) -> tuple[list[bytes], list[bytes]]:
        """What was sent."""
        del now
        passed = self._up, self._down
        self._up, self._down = [], []
        return passed

    def next_timeout(self) -> None:
        """Whoever sends polls."""


class Line:
    """A line each way, and what a publisher's network stack makes of it.

    Args:
        flow: what is published.
        forward: the publisher's line to the plane; back, only its delay holds.
        starts_at: when it begins to estimate.
        rng: for what the line draws.
    """

    def __init__(self, flow: MediaFlow, forward: LinkProfile, starts_at: Instant, rng: random.Random) -> None:
        self._desired_bps = SOUND_BPS + float(sum(sum(camera.layers_bps) for camera in flow.cameras))
        self._up: Link[bytes] = Link(forward, rng)
        self._down: Link[bytes] = Link(LinkProfile(delay_ms=forward.delay_ms), rng)
        self._stack = _Stack()
        self._estimators = Estimators()
        self._estimate_at = starts_at
        self.target_bps = 0.0
        self._estimate(starts_at)

    def send(self, now: Instant, packets: list[bytes]) -> None:
        """The publisher sends RTP."""
        for packet in packets:
            self._stack.take(now, packet)

    def hear(self, now: Instant, data: bytes) -> None:
        """The plane sends RTCP."""
        self._down.send(now, data, len(data) + UDP_OVERHEAD_BYTES)

    def poll(self, now: Instant) -> tuple[list[bytes], list[bytes]]:
        """What comes out at either end."""
        heard = self._down.poll(now)
        for data in heard:
            self._stack.hear(now, data)
        if now >= self._estimate_at:
            self._estimate(now)
        for packet in self._stack.poll(now):
            self._up.send(now, packet, len(packet) + UDP_OVERHEAD_BYTES)
        return self._up.poll(now), heard

    def next_timeout(self) -> Instant | None:
        """When to poll next."""
        return earliest(
            self._up.next_timeout(),
            self._down.next_timeout(),
            self._stack.next_timeout(),
            self._estimate_at,
        )

    def _estimate(self, now: Instant) -> None:
        self._estimate_at = after_ms(now, ESTIMATE_MS)
        allocated_bps = min(self.target_bps, self._desired_bps)
        withheld_bps = self._desired_bps - allocated_bps
        wishes = np.array([(_US, allocated_bps, self._desired_bps, withheld_bps)], WISH_DTYPE)
        update = self._estimators.update(now, *self._stack.counted(), wishes)
        self.target_bps = float(update.estimates["target_bps"][0])
        self._stack.pace(now, self.target_bps, update.probes)


class _Stack:
    """Numbers, paces and remembers what is sent."""

    def __init__(self) -> None:
        self._numbers = TwccSender()
        self._pacer: Pacer[RtpPacket, RtpPacket] = Pacer()
        self._leaving: list[bytes] = []
        self._remembered: OrderedDict[tuple[Ssrc, int], RtpPacket] = OrderedDict()
        self._rows: list[tuple[int, ...]] = []
        self._counters = np.zeros(1, TRANSPORT_DTYPE)
        self._counters["transport"] = _US
        self._counters["round_trip_time_ms"] = math.nan

    def counted(self) -> tuple[StructArray, StructArray]:
        """Feedback since the last call, and counters, as an estimate wants them."""
        rows, self._rows = np.array(self._rows, FEEDBACK_DTYPE), []
        return rows, self._counters.copy()

    def pace(self, now: Instant, target_bps: float, probes: StructArray) -> None:
        """Send as fast as is known to be right now."""
        self._pacer.set_pacing(now, PACING_FACTOR * target_bps, 0.0, QUEUE_LIMIT_MS)
        for probe in probes:
            self._pacer.probe(now, int(probe["cluster"]), float(probe["rate_bps"]), int(probe["size_bytes"]))

    def take(self, now: Instant, data: bytes) -> None:
        """Send a packet of sound at once, and one of video when it may leave."""
        packet = RtpPacket.parse(data)
        if packet.payload_type == AUDIO_PAYLOAD_TYPE:
            self._leave(now, packet)
            return
        key = packet.ssrc, packet.sequence_number
        self._remembered[key] = packet
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        self._pacer.wait(now, packet.ssrc, len(packet.payload) + HEADER_BYTES, packet)

    def hear(self, now: Instant, data: bytes) -> None:
        """Take RTCP of the plane."""
        try:
            packets = parse_compound(data)
        except ParseError:
            return
        for packet in packets:
            if isinstance(packet, TransportFeedback):
                for one in self._numbers.report(now, packet):
                    self._rows.append(
                        (_US, one.seq, one.cluster, one.size_bytes, one.sent_at, one.arrived_at, now)
                    )
            elif isinstance(packet, Nack):
                for number in packet.sequence_numbers:
                    again = self._remembered.get((packet.media_ssrc, number))
                    if again is not None:
                        self._pacer.wait_resend(now, again.ssrc, len(again.payload) + HEADER_BYTES, again)

    def poll(self, now: Instant) -> list[bytes]:
        """What leaves now."""
        while (flow := self._pacer.overdue(now)) is not None:
            self._pacer.forget(flow)
        while (turn := self._pacer.turn(now, can_fill=True)) is not None:
            if turn is Turn.FILLER:
                self._leave(now, RtpPacket(VIDEO_PAYLOAD_TYPE, 0, 0, _PADDING_SSRC, bytes(PACKET_BYTES)))
            else:
                queued = self._pacer.take_resend() if turn is Turn.RESEND else self._pacer.take()
                self._leave(now, queued.item)
        leaving, self._leaving = self._leaving, []
        return leaving

    def next_timeout(self) -> Instant | None:
        """When to poll next."""
        return self._pacer.next_timeout(can_fill=True)

    def _leave(self, now: Instant, packet: RtpPacket) -> None:
        number = self._numbers.next_number.to_bytes(2, "big")
        data = packet.serialise(((TRANSPORT_CC, number),))
        self._numbers.stamp(now, len(data), self._pacer.cluster)
        self._pacer.sent(now, len(data))
        self._counters["numbered_packets_sent"] += 1
        self._counters["bytes_sent"] += len(data)
        self._leaving.append(data)
