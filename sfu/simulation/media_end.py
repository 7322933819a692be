"""One media flow of a run: its publisher, its subscriber, and what was seen of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from sfu.dataplane.wire import WireProtocol, protocol_of
from sfu.rows import LOST
from sfu.simulation.publisher import AUDIO_PAYLOAD_TYPE, SOUND_BPS, SOUND_BYTES, Publisher, sound_number
from sfu.simulation.recording import PACKET_DTYPE, TICK_DTYPE, FlowRecording
from sfu.simulation.scenario import START, at_s
from sfu.simulation.subscriber import Subscriber
from sfu.units import NS_PER_MS, NS_PER_S, Instant, earliest

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from sfu.bwe.estimate import BweUpdate
    from sfu.rows import StructArray
    from sfu.simulation.scenario import MediaFlow
    from sfu.simulation.stand import Stand

HELD_MS: Final = 20
"""Sound that waits longer than this in the plane is hurt: a packet's own length."""
_LEAVING_MS: Final = 100
"""What was published so shortly before the end may still be on its way."""

_SSRC_AT: Final = slice(8, 12)


class Carried(NamedTuple):
    """A datagram on a line."""

    data: bytes
    number: int | None
    """Of an RTP packet, among those of its flow; None of RTCP."""


class MediaEnd:
    """Both ends of a flow.

    Args:
        stand: where they stand.
        number: of the flow.
        flow: what it is about.
        round_trip_ms: of its path, queues apart.
        rng: for the encoder.
    """

    def __init__(
        self, stand: Stand, number: int, flow: MediaFlow, round_trip_ms: float, rng: random.Random
    ) -> None:
        self.number: Final = number
        self.flow: Final = flow
        self.publisher_address: Final = stand.address(stand.publisher(number))
        self.subscriber_address: Final = stand.address(stand.subscriber(number))
        self._transport = stand.subscriber(number)
        starts_at = at_s(flow.starts_at_s)
        ends_at = None if flow.ends_at_s is None else at_s(flow.ends_at_s)
        pauses = [(at_s(begin), at_s(end)) for begin, end in flow.pauses]
        self._publisher = Publisher(flow, *stand.published(number), starts_at, ends_at, pauses, rng)
        numbers = stand.numbers(number)
        self._subscriber = Subscriber(numbers, round_trip_ms, starts_at)
        self._audio_ssrc = numbers.audio.to_bytes(4, "big")
        self.layer = 0
        """The encoding that is to be shown."""
        self._ticks: list[tuple[float, ...]] = []
        self._packets: list[list[float]] = []
        self._waiting_sounds: dict[int, Instant] = {}
        self._audio_published = self._audio_held = 0
        self._bytes_sent = self._padding_sent = 0

    def next_timeout(self) -> Instant | None:
        """When `published` or `reported` next has something to say."""
        return earliest(self._publisher.next_timeout(), self._subscriber.next_timeout())

    def published(self, now: Instant) -> list[bytes]:
        """What the publisher sends now."""
        packets = self._publisher.poll(now)
        for packet in packets:
            if len(packet) < 2 * SOUND_BYTES and packet[1] & 0x7F == AUDIO_PAYLOAD_TYPE:
                self._waiting_sounds[sound_number(packet[-SOUND_BYTES:])] = now
                self._audio_published += 1
        return packets

    def reported(self, now: Instant) -> list[bytes]:
        """What the subscriber says now."""
        return self._subscriber.poll(now)

    def asked(self, data: bytes) -> None:
        """The plane tells the publisher something."""
        if protocol_of(data) is WireProtocol.RTCP:
            self._publisher.receive(data)

    def left(self, now: Instant, data: bytes) -> Carried:
        """The plane sends something to the subscriber."""
        if protocol_of(data) is not WireProtocol.RTP:
            return Carried(data, None)
        is_audio = data[_SSRC_AT] == self._audio_ssrc
        if is_audio:
            published_at = self._waiting_sounds.pop(sound_number(data[-SOUND_BYTES:]))
            self._audio_held += now - published_at > HELD_MS * NS_PER_MS
        self._packets.append([_seconds(now), math.nan, len(data), is_audio])
        return Carried(data, len(self._packets) - 1)

    def received(self, now: Instant, carried: Carried) -> None:
        """Something reaches the subscriber."""
        if carried.number is not None:
            self._packets[carried.number][1] = _seconds(now)
        self._subscriber.receive(now, carried.data)

    def wish(self, now: Instant) -> tuple[int, float, float, float]:
        """A row of `sfu.bwe.estimate.WISH_DTYPE`: as much again is withheld, up to its most."""
        if self._publisher.is_paused(now):
            return self._transport, SOUND_BPS, SOUND_BPS, 0.0
        layers = self.flow.layers_bps
        if layers:
            shown, above = layers[self.layer], layers[min(self.layer + 1, len(layers) - 1)]
            return self._transport, shown + SOUND_BPS, layers[-1] + SOUND_BPS, above - shown
        allocated = self._publisher.video_bps
        withheld = min(allocated, self.flow.max_bps - allocated)
        return self._transport, allocated + SOUND_BPS, self.flow.max_bps + SOUND_BPS, withheld

    def ticked(self, now: Instant, feedback: StructArray, transports: StructArray, update: BweUpdate) -> None:
        """Take what was estimated, and note it."""
        ours = feedback[(feedback["transport"] == self._transport) & (feedback["arrived_at"] != LOST)]
        row = transports[transports["transport"] == self._transport][0]
        estimates = update.estimates[update.estimates["transport"] == self._transport]
        target_bps = float(estimates["target_bps"][0]) if len(estimates) else math.inf
        stable_bps = float(estimates["stable_bps"][0]) if len(estimates) else math.inf
        self._publisher.set_target(target_bps)
        self.layer = chosen_layer(self.flow.layers_bps, self.layer, target_bps, stable_bps)
        sent, padding = int(row["bytes_sent"]), int(row["padding_bytes_sent"])
        self._ticks.append(
            (
                _seconds(now),
                target_bps,
                stable_bps,
                *(
                    float(estimates[name][0]) if len(estimates) else math.nan
                    for name in ("acked_bps", "queue_ms", "loss")
                ),
                int(estimates["state"][0]) if len(estimates) else 0,
                float(ours["size_bytes"].sum()),
                sent - self._bytes_sent,
                padding - self._padding_sent,
                int((update.probes["transport"] == self._transport).sum()),
            )
        )
        self._bytes_sent, self._padding_sent = sent, padding

    def recording(self, end: Instant) -> FlowRecording:
        """All that was seen until the end."""
        dropped = sum(end - at > _LEAVING_MS * NS_PER_MS for at in self._waiting_sounds.values())
        return FlowRecording(
            ticks=np.array(self._ticks, TICK_DTYPE),
            packets=np.array([tuple(packet) for packet in self._packets], PACKET_DTYPE),
            audio_published=self._audio_published,
            audio_held=self._audio_held,
            audio_dropped=dropped,
        )


def chosen_layer(layers_bps: Sequence[int], layer: int, target_bps: float, stable_bps: float) -> int:
    """The encoding to show: it must fit the target, and a step up what the path has carried for a while.

    The lowest is always shown.
    """
    costs = [bps + SOUND_BPS for bps in layers_bps]
    if costs and costs[layer] > target_bps:
        return max((index for index, cost in enumerate(costs) if cost <= target_bps), default=0)
    fitting = (index for index, cost in enumerate(costs) if cost <= stable_bps)
    return max(layer, *fitting, 0)


def _seconds(now: Instant) -> float:
    return (now - START) / NS_PER_S
