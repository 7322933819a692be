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
from sfu.rows import ALL_TEMPORAL, TARGET_DTYPE
from sfu.simulation.encoder import VIDEO_PAYLOAD_TYPE
from sfu.simulation.publisher import AUDIO_PAYLOAD_TYPE
from sfu.simulation.subscriber import Numbers
from sfu.units import NO_RID, Kind, Mid, PayloadType, Rid, RouteId, Ssrc, TrackHandle, TransportId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfu.dataplane.wire import Address, Transmit
    from sfu.plane import Batch, PlaneOperation, PlaneStats
    from sfu.rows import StructArray
    from sfu.units import Instant

_VIDEO: Final = (PayloadFormat("VP8", Codec.VP8, VIDEO_PAYLOAD_TYPE, 90_000, PayloadType(97)),)
_AUDIO: Final = (PayloadFormat("opus", Codec.OPUS, AUDIO_PAYLOAD_TYPE, 48_000),)
_TRANSPORT_CC: Final = 2
_DOWN: Final = {Extension.MID: 1, Extension.TRANSPORT_CC: _TRANSPORT_CC, Extension.ABS_SEND_TIME: 3}
_KEY: Final = bytes(16 + 12)
_RIDS: Final = (Rid("q"), Rid("h"), Rid("f"))
_SSRCS: Final = 8
"""Numbers between the SSRCs of two flows."""


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
        encodings: how many each camera sends, by flow.
    """

    def __init__(self, core: Core, now: Instant, encodings: Sequence[int]) -> None:
        self.core: Final = core
        self.encodings: Final = encodings
        self.flows: Final = range(len(encodings))
        core.apply(now, [operation for flow in self.flows for operation in self._joining(flow)])
        for transport in (self.publisher(flow) for flow in self.flows):
            self._check(now, transport)
        for transport in (self.subscriber(flow) for flow in self.flows):
            self._check(now, transport)
        core.apply(now, [operation for flow in self.flows for operation in self._media(flow)])
        routes = [route for flow in self.flows for route in (self.video_route(flow), _audio_route(flow))]
        core.set_targets(now, np.array([(route, 0, ALL_TEMPORAL) for route in routes], TARGET_DTYPE))
        core.drain()

    @staticmethod
    def publisher(flow: int) -> TransportId:
        """Who sends."""
        return TransportId(2 * flow + 1)

    @staticmethod
    def subscriber(flow: int) -> TransportId:
        """Who receives."""
        return TransportId(2 * flow + 2)

    @staticmethod
    def video_route(flow: int) -> RouteId:
        """What shows a flow's camera to its subscriber; it begins with the lowest encoding."""
        return RouteId(2 * flow)

    @staticmethod
    def address(transport: TransportId) -> tuple[str, int]:
        """Where somebody is."""
        return "192.0.2.1", 40_000 + transport

    @staticmethod
    def flow_at(address: Address) -> int:
        """Whose publisher or subscriber is there."""
        return (address[1] - 40_001) // 2

    def published(self, flow: int) -> tuple[list[Ssrc], Ssrc]:
        """The SSRCs of a publisher's video, lowest encoding first, and sound."""
        first = 1_000 + _SSRCS * flow
        return [Ssrc(first + 1 + encoding) for encoding in range(self.encodings[flow])], Ssrc(first)

    @staticmethod
    def numbers(flow: int) -> Numbers:
        """What a subscriber agreed on."""
        first = 1_000_000 + _SSRCS * flow
        return Numbers(Ssrc(first), Ssrc(first + 1), Ssrc(first + 2), _TRANSPORT_CC)

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
        video, audio = self.published(flow)
        rids = _RIDS if len(video) > 1 else (NO_RID,)
        numbers = self.numbers(flow)
        camera, microphone = TrackHandle(2 * flow), TrackHandle(2 * flow + 1)
        cname = f"publisher {flow}"
        keys: list[PlaneOperation] = [
            InstallSrtp(transport, SrtpProfile.AEAD_AES_128_GCM, _KEY, _KEY)
            for transport in (publisher, subscriber)
        ]
        return [
            *keys,
            SetTrack(
                camera,
                publisher,
                Mid("0"),
                Kind.VIDEO,
                _VIDEO,
                tuple(EncodingSpec(rid, ssrc) for rid, ssrc in zip(rids, video, strict=False)),
                {Extension.MID: 1},
                cname,
            ),
            SetTrack(
                microphone,
                publisher,
                Mid("1"),
                Kind.AUDIO,
                _AUDIO,
                (EncodingSpec(NO_RID, audio),),
                {Extension.MID: 1},
                cname,
            ),
            SetRoute(
                self.video_route(flow),
                camera,
                subscriber,
                Mid("0"),
                numbers.video,
                numbers.rtx,
                _VIDEO,
                _DOWN,
                cname,
            ),
            SetRoute(
                _audio_route(flow),
                microphone,
                subscriber,
                Mid("1"),
                numbers.audio,
                None,
                _AUDIO,
                _DOWN,
                cname,
            ),
        ]


def _audio_route(flow: int) -> RouteId:
    return RouteId(2 * flow + 1)


def _credentials(transport: TransportId) -> Credentials:
    return Credentials(f"ufrag{transport:04}", f"password-of-transport-{transport:04}")
