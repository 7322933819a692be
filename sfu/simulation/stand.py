"""A plane's core with publishers and subscribers, one of each for a flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from sfu.dataplane.stun import BINDING, Attribute, MessageClass, StunMessage
from sfu.plane import (
    AddTransport,
    Codec,
    Credentials,
    EncodingSpec,
    Extension,
    InstallSrtp,
    PayloadFormat,
    SetRoute,
    SetTrack,
    SrtpProfile,
)
from sfu.rows import ALL_TEMPORAL, MAX_ENCODINGS, TARGET_DTYPE
from sfu.simulation.encoder import VIDEO_PAYLOAD_TYPE
from sfu.simulation.publisher import AUDIO_PAYLOAD_TYPE
from sfu.simulation.subscriber import Numbers, VideoNumbers
from sfu.simulation.uplink import TRANSPORT_CC
from sfu.units import NO_RID, Kind, Mid, PayloadType, Rid, RouteId, Ssrc, TrackHandle, TransportId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfu.dataplane.wire import Address, Transmit
    from sfu.plane import Batch, PlaneOperation, PlaneStats
    from sfu.rows import StructArray
    from sfu.units import Instant

_VIDEO: Final = (PayloadFormat("VP8", Codec.VP8, VIDEO_PAYLOAD_TYPE, 90_000, PayloadType(97)),)
_AUDIO: Final = (PayloadFormat("opus", Codec.OPUS, AUDIO_PAYLOAD_TYPE, 48_000),)
_UP: Final = {Extension.MID: 1, Extension.TRANSPORT_CC: TRANSPORT_CC}
_DOWN: Final = {Extension.MID: 1, Extension.TRANSPORT_CC: TRANSPORT_CC, Extension.ABS_SEND_TIME: 3}
_KEY: Final = bytes(16 + 12)
_RIDS: Final = (Rid("q"), Rid("h"), Rid("f"))
_NUMBERS: Final = 64
"""Between the SSRCs, tracks and routes of two flows: enough for a microphone and `MAX_PICTURES`."""
MAX_PICTURES: Final = 15
"""Cameras of one flow."""


class Core(Protocol):
    """What a plane is without its socket (`sfu.dataplane.core.PlaneCore`, `native_core.NativeCore`).

    For a simulation it is in the clear: with `NullSrtp`, or not `is_encrypted`.
    """

    def apply(self, now: Instant, operations: Sequence[PlaneOperation]) -> list[Transmit]: ...
    def set_targets(self, now: Instant, targets: StructArray) -> None: ...
    def set_pacing(self, now: Instant, pacing: StructArray) -> None: ...
    def probe(self, now: Instant, probes: StructArray) -> None: ...
    def feedback(self) -> StructArray: ...
    def handle_datagram(self, now: Instant, address: Address, data: bytes) -> list[Transmit]: ...
    def poll(self, now: Instant) -> list[Transmit]: ...
    def next_timeout(self) -> Instant | None: ...
    def drain(self) -> Batch: ...
    def stats(self, now: Instant) -> PlaneStats: ...


class Stand:
    """The core, and who stands around it: publisher and subscriber `i` are of flow `i`.

    Args:
        core: new.
        now: when all join.
        encodings: of each flow, how many each of its cameras sends.
    """

    def __init__(self, core: Core, now: Instant, encodings: Sequence[Sequence[int]]) -> None:
        self.core: Final = core
        self.encodings: Final = encodings
        self.flows: Final = range(len(encodings))
        core.apply(now, [operation for flow in self.flows for operation in self._joining(flow)])
        for transport in (self.publisher(flow) for flow in self.flows):
            self._check(now, transport)
        for transport in (self.subscriber(flow) for flow in self.flows):
            self._check(now, transport)
        core.apply(now, [operation for flow in self.flows for operation in self._media(flow)])
        core.drain()

    def show_all(self, now: Instant) -> None:
        """Give everybody the sound and the lowest encodings, where nothing decides what is shown."""
        routes = [
            route
            for flow in self.flows
            for route in (self.audio(flow)[1], *(pair[1] for pair in self.videos(flow)))
        ]
        self.core.set_targets(now, np.array([(route, 0, ALL_TEMPORAL) for route in routes], TARGET_DTYPE))

    @staticmethod
    def publisher(flow: int) -> TransportId:
        """Who sends."""
        return TransportId(2 * flow + 1)

    @staticmethod
    def subscriber(flow: int) -> TransportId:
        """Who receives."""
        return TransportId(2 * flow + 2)

    @staticmethod
    def audio(flow: int) -> tuple[TrackHandle, RouteId]:
        """The microphone, and what carries it to the subscriber."""
        return TrackHandle(_NUMBERS * flow), RouteId(_NUMBERS * flow)

    def videos(self, flow: int) -> list[tuple[TrackHandle, RouteId]]:
        """The same of each camera."""
        first = _NUMBERS * flow + 1
        return [
            (TrackHandle(first + picture), RouteId(first + picture))
            for picture in range(len(self.encodings[flow]))
        ]

    @staticmethod
    def address(transport: TransportId) -> tuple[str, int]:
        """Where somebody is."""
        return "192.0.2.1", 40_000 + transport

    @staticmethod
    def flow_at(address: Address) -> int:
        """Whose publisher or subscriber is there."""
        return (address[1] - 40_001) // 2

    def published(self, flow: int) -> tuple[list[list[Ssrc]], Ssrc]:
        """The SSRCs of a publisher's cameras, lowest encoding first, and of its sound."""
        first = 10_000 + _NUMBERS * flow
        videos = [
            [Ssrc(first + 1 + MAX_ENCODINGS * picture + encoding) for encoding in range(count)]
            for picture, count in enumerate(self.encodings[flow])
        ]
        return videos, Ssrc(first)

    def numbers(self, flow: int) -> Numbers:
        """What a subscriber agreed on."""
        first = 1_000_000 + _NUMBERS * flow
        videos = tuple(
            VideoNumbers(Ssrc(first + 2 * picture + 1), Ssrc(first + 2 * picture + 2))
            for picture in range(len(self.encodings[flow]))
        )
        return Numbers(videos, Ssrc(first), TRANSPORT_CC)

    def _joining(self, flow: int) -> list[PlaneOperation]:
        return [
            AddTransport(transport, _credentials(transport))
            for transport in (self.publisher(flow), self.subscriber(flow))
        ]

    def _check(self, now: Instant, transport: TransportId) -> None:
        """Nominate the one pair there is."""
        credentials = _credentials(transport)
        attributes = (
            (Attribute.USERNAME, f"{credentials.ufrag}:theirs".encode()),
            (Attribute.USE_CANDIDATE, b""),
        )
        request = StunMessage(MessageClass.REQUEST, BINDING, transport.to_bytes(12, "big"), attributes)
        self.core.handle_datagram(now, self.address(transport), request.serialise(credentials.password))

    def _media(self, flow: int) -> list[PlaneOperation]:
        publisher, subscriber = self.publisher(flow), self.subscriber(flow)
        videos, audio = self.published(flow)
        numbers = self.numbers(flow)
        cname = f"publisher {flow}"
        operations: list[PlaneOperation] = [
            InstallSrtp(transport, SrtpProfile.AEAD_AES_128_GCM, _KEY, _KEY)
            for transport in (publisher, subscriber)
        ]
        microphone, sound = self.audio(flow)
        voice = (EncodingSpec(NO_RID, audio),)
        mid = Mid("audio")
        operations += [
            SetTrack(microphone, publisher, mid, Kind.AUDIO, _AUDIO, voice, _UP, cname),
            SetRoute(sound, microphone, subscriber, mid, numbers.audio, None, _AUDIO, _DOWN, cname),
        ]
        for number, (camera, route) in enumerate(self.videos(flow)):
            ssrcs = videos[number]
            rids = _RIDS if len(ssrcs) > 1 else (NO_RID,)
            specs = tuple(EncodingSpec(rid, ssrc) for rid, ssrc in zip(rids, ssrcs, strict=False))
            mid, (video, rtx) = Mid(f"video{number}"), numbers.videos[number]
            operations += [
                SetTrack(camera, publisher, mid, Kind.VIDEO, _VIDEO, specs, _UP, cname),
                SetRoute(route, camera, subscriber, mid, video, rtx, _VIDEO, _DOWN, cname),
            ]
        return operations


def _credentials(transport: TransportId) -> Credentials:
    return Credentials(f"ufrag{transport:04}", f"password-of-transport-{transport:04}")
