"""One media flow of a run: its publisher, its subscriber, and what was seen of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from sfu.conference.turn import SetDemand
from sfu.dataplane.wire import WireProtocol, protocol_of
from sfu.rows import LOST, MAX_TEMPORAL, PAUSED
from sfu.simulation.machine import Machine
from sfu.simulation.publisher import AUDIO_PAYLOAD_TYPE, SOUND_BPS, SOUND_BYTES, Publisher, sound_number
from sfu.simulation.recording import PACKET_DTYPE, TICK_DTYPE, FlowRecording, PictureRecording
from sfu.simulation.scenario import START, at_s
from sfu.simulation.subscriber import Subscriber
from sfu.simulation.uplink import Line, NoLine
from sfu.units import NS_PER_MS, NS_PER_S, Instant, Kind, after_s, earliest

if TYPE_CHECKING:
    import random

    from sfu.rows import StructArray
    from sfu.simulation.deciding import Decided
    from sfu.simulation.scenario import Camera, MediaFlow
    from sfu.simulation.stand import Stand
    from sfu.simulation.uplink import Uplink
    from sfu.units import RouteId, TrackHandle, TransportId

HELD_MS: Final = 20
"""Sound that waits longer than this in the plane is hurt: a packet's own length."""
_LEAVING_MS: Final = 100
"""What was published so shortly before the end may still be on its way."""
_COMING_S: Final = 1.0
"""And what was sent so shortly before the end, on its way to the plane."""

_SSRC_AT: Final = slice(8, 12)
_CAMERA_SIZE: Final = (1280, 720)
_SCREEN_SIZE: Final = (1920, 1080)


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
        rng: for the encoder, and for the publisher's line.
    """

    def __init__(
        self, stand: Stand, number: int, flow: MediaFlow, round_trip_ms: float, rng: random.Random
    ) -> None:
        self.number: Final = number
        self.flow: Final = flow
        self.publisher_address: Final = stand.address(stand.publisher(number))
        self.subscriber_address: Final = stand.address(stand.subscriber(number))
        self._transport = stand.subscriber(number)
        self._starts_at = at_s(flow.starts_at_s)
        self._publisher = Publisher(flow, *stand.published(number), rng)
        self._uplink: Uplink = NoLine()
        if flow.uplink is not None:
            self._uplink = Line(flow, flow.uplink, self._starts_at, rng)
        numbers = stand.numbers(number)
        self._subscriber = Subscriber(numbers, round_trip_ms, self._starts_at)
        self._machine = Machine[Carried](flow.starved, self._starts_at)
        self._audio_ssrc = numbers.audio.to_bytes(4, "big")
        self._routes = [route for _, route in stand.videos(number)]
        self._demands = self._demands_of(stand)
        self._ticks: list[tuple[float, ...]] = []
        self._layers: list[list[int]] = []
        self._packets: list[list[float]] = []
        self._coming_sounds: dict[int, Instant] = {}
        self._waiting_sounds: dict[int, Instant] = {}
        self._audio_published = self._audio_held = 0
        self._bytes_sent = self._padding_sent = 0
        self._path_bps = math.inf

    def next_timeout(self) -> Instant | None:
        """When there is next something to do."""
        return earliest(
            self._publisher.next_timeout(),
            self._uplink.next_timeout(),
            self._machine.next_timeout() or self._subscriber.next_timeout(),
            self._demands[0][0] if self._demands else None,
        )

    def wants(self, now: Instant) -> list[SetDemand]:
        """What is subscribed to now."""
        due = [demand for at, demand in self._demands if at <= now]
        del self._demands[: len(due)]
        return due

    def published(self, now: Instant) -> list[bytes]:
        """What reaches the plane of what the publisher sends."""
        self._publisher.set_target(self._target_bps())
        packets = self._publisher.poll(now)
        for number in _sounds(packets):
            self._coming_sounds[number] = now
            self._audio_published += 1
        self._uplink.send(now, packets)
        came, heard = self._uplink.poll(now)
        for number in _sounds(came):
            del self._coming_sounds[number]
            self._waiting_sounds[number] = now
        for data in heard:
            self._publisher.receive(data)
        return came

    def reported(self, now: Instant) -> list[bytes]:
        """What the subscriber says now, if its machine lets it."""
        if self._machine.is_asleep(now):
            return []
        for carried in self._machine.poll(now):
            if carried.number is not None:
                self._packets[carried.number][1] = _seconds(now)
            self._subscriber.receive(now, carried.data)
        return self._subscriber.poll(now)

    def asked(self, now: Instant, data: bytes) -> None:
        """The plane tells the publisher something."""
        if protocol_of(data) is WireProtocol.RTCP:
            self._uplink.hear(now, data)

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

    def received(self, carried: Carried) -> None:
        """Something reaches the subscriber's machine."""
        self._machine.take(carried)

    def wish(self, now: Instant) -> tuple[int, float, float, float]:
        """A row of `sfu.bwe.estimate.WISH_DTYPE`: as much again is withheld, up to its most."""
        if self._publisher.is_paused(now):
            return self._transport, SOUND_BPS, SOUND_BPS, 0.0
        allocated = self._publisher.video_bps
        withheld = min(allocated, self.flow.max_bps - allocated)
        return self._transport, allocated + SOUND_BPS, self.flow.max_bps + SOUND_BPS, withheld

    def ticked(self, now: Instant, feedback: StructArray, transports: StructArray, decided: Decided) -> None:
        """Take what was decided, and note it."""
        ours = feedback[(feedback["transport"] == self._transport) & (feedback["arrived_at"] != LOST)]
        row = transports[transports["transport"] == self._transport][0]
        estimates = decided.estimates[decided.estimates["transport"] == self._transport]
        self._path_bps = float(estimates["target_bps"][0]) if len(estimates) else math.inf
        sent, padding = int(row["bytes_sent"]), int(row["padding_bytes_sent"])
        self._ticks.append(
            (
                _seconds(now),
                self._path_bps,
                float(estimates["stable_bps"][0]) if len(estimates) else math.inf,
                *(
                    float(estimates[name][0]) if len(estimates) else math.nan
                    for name in ("acked_bps", "queue_ms", "loss")
                ),
                int(estimates["state"][0]) if len(estimates) else 0,
                float(ours["size_bytes"].sum()),
                sent - self._bytes_sent,
                padding - self._padding_sent,
                int((decided.probes["transport"] == self._transport).sum()),
            )
        )
        self._layers.append(_layers(decided.decisions, self._routes))
        self._bytes_sent, self._padding_sent = sent, padding

    def recording(self, end: Instant) -> FlowRecording:
        """All that was seen until the end."""
        dropped = sum(end - at > _LEAVING_MS * NS_PER_MS for at in self._waiting_sounds.values())
        lost = sum(end - at > _COMING_S * NS_PER_S for at in self._coming_sounds.values())
        layers = np.array(self._layers, np.int64).reshape(len(self._layers), len(self._routes))
        return FlowRecording(
            ticks=np.array(self._ticks, TICK_DTYPE),
            packets=np.array([tuple(packet) for packet in self._packets], PACKET_DTYPE),
            audio_published=self._audio_published,
            audio_held=self._audio_held,
            audio_dropped=dropped,
            audio_lost_before=lost,
            pictures=tuple(
                PictureRecording(
                    self.flow.starts_at_s + camera.starts_at_s,
                    layers[:, picture],
                    np.array([_seconds(at) for at in self._subscriber.whole_at[picture]]),
                )
                for picture, camera in enumerate(self.flow.cameras)
            ),
        )

    def _target_bps(self) -> float:
        """What the publisher may send: what its own line carries, or one source what the other's does."""
        return self._uplink.target_bps if self.flow.cameras else self._path_bps

    def _demands_of(self, stand: Stand) -> list[tuple[Instant, SetDemand]]:
        """What is subscribed to when, by time."""
        microphone, sound = stand.audio(self.number)
        demands = [(self._starts_at, SetDemand(sound, self._transport, microphone, Kind.AUDIO))]
        videos = stand.videos(self.number)
        for camera, (track, route) in zip(self.flow.cameras, videos, strict=False):
            at = after_s(self._starts_at, camera.starts_at_s)
            demands.append((at, _demand(camera, self._transport, track, route)))
        return sorted(demands, key=lambda due: due[0])


def _demand(camera: Camera, subscriber: TransportId, track: TrackHandle, route: RouteId) -> SetDemand:
    return SetDemand(
        route,
        subscriber,
        track,
        Kind.VIDEO,
        *camera.tile,
        *(_SCREEN_SIZE if camera.is_screen else _CAMERA_SIZE),
        encodings=len(camera.layers_bps),
        screen_share=camera.is_screen,
        is_pinned=camera.is_pinned,
    )


def _sounds(packets: list[bytes]) -> list[int]:
    """Numbers of the packets of sound among some."""
    return [
        sound_number(packet[-SOUND_BYTES:])
        for packet in packets
        if len(packet) < 2 * SOUND_BYTES and packet[1] & 0x7F == AUDIO_PAYLOAD_TYPE
    ]


def _layers(decisions: StructArray, routes: list[RouteId]) -> list[int]:
    """What is given of each route."""
    given = {
        int(row["route"]): int(row["chosen_encoding"]) * MAX_TEMPORAL
        + min(int(row["temporal"]), MAX_TEMPORAL - 1)
        for row in decisions[decisions["chosen_encoding"] != PAUSED]
    }
    return [given.get(route, PAUSED) for route in routes]


def _seconds(now: Instant) -> float:
    return (now - START) / NS_PER_S
