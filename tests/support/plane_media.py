"""What virtual peers publish and receive: tracks, routes, RTP streams, and a call of two."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

from sfu.plane import Codec, EncodingSpec, Extension, PayloadFormat, SetRoute, SetTrack
from sfu.rtp.ntp import ns_to_ntp
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import SenderReport
from sfu.streams.resend import encapsulate
from sfu.units import NO_RID, Kind, Mid, PayloadType, Rid, RouteId, Ssrc, TrackHandle
from tests.support.plane_driver import VirtualPeer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sfu.rtp.packet import ExtensionElements
    from sfu.rtp.rtcp import RtcpPacket
    from sfu.units import Instant, TransportId
    from tests.support.plane_driver import PlaneDriver

VP8: Final = PayloadFormat("VP8", Codec.VP8, PayloadType(96), 90_000, PayloadType(97))
H264: Final = PayloadFormat("H264", Codec.H264, PayloadType(102), 90_000, PayloadType(103))
OPUS: Final = PayloadFormat("opus", Codec.OPUS, PayloadType(111), 48_000)
EXTENSIONS: Final = {
    Extension.MID: 1,
    Extension.RID: 2,
    Extension.REPAIRED_RID: 3,
    Extension.TRANSPORT_CC: 4,
    Extension.ABS_SEND_TIME: 5,
    Extension.AUDIO_LEVEL: 6,
    Extension.VIDEO_ORIENTATION: 7,
}
"""Ids on the publisher's side."""
DOWN_EXTENSIONS: Final = {
    Extension.MID: 9,
    Extension.TRANSPORT_CC: 3,
    Extension.ABS_SEND_TIME: 2,
    Extension.AUDIO_LEVEL: 1,
    Extension.VIDEO_ORIENTATION: 4,
}
"""Ids on the subscriber's side: none is the publisher's."""
QHF: Final = (Rid("q"), Rid("h"), Rid("f"))

DOWN_VP8: Final = PayloadFormat("VP8", Codec.VP8, PayloadType(120), 90_000, PayloadType(124))
DOWN_OPUS: Final = PayloadFormat("opus", Codec.OPUS, PayloadType(109), 48_000)


CAMERA: Final = TrackHandle(1)
MICROPHONE: Final = TrackHandle(2)
VIDEO: Final = RouteId(1)
AUDIO: Final = RouteId(2)
VIDEO_SSRC: Final = Ssrc(50_000)
RTX_SSRC: Final = Ssrc(50_001)
AUDIO_SSRC: Final = Ssrc(50_002)
SIMULCAST: Final = tuple(EncodingSpec(rid) for rid in QHF)
SINGLE: Final = (EncodingSpec(NO_RID),)


class Sender(Protocol):
    """A peer, as far as its streams know it."""

    @property
    def now(self) -> Instant: ...
    def send(self, *packets: RtpPacket) -> None: ...
    def say(self, *packets: RtcpPacket) -> None: ...
    def next_transport_number(self) -> bytes: ...


@dataclass
class Source:
    """One RTP stream of a publisher. Each frame is a packet or several, with its mid and rid."""

    peer: Sender
    ssrc: Ssrc
    payload_type: PayloadType
    elements: ExtensionElements = ()
    seq: int = 1_000
    ts: int = 500_000
    sent: list[RtpPacket] = field(default_factory=list)

    def packet(self, payload: bytes, *, marker: bool = True, elements: ExtensionElements = ()) -> RtpPacket:
        """The next packet of the stream, not sent yet."""
        packet = RtpPacket(
            self.payload_type,
            self.seq & 0xFFFF,
            self.ts & 0xFFFF_FFFF,
            self.ssrc,
            payload,
            marker,
            self.elements + elements,
        )
        self.seq += 1
        return packet

    def _stamp(self) -> tuple[int, bytes]:
        return EXTENSIONS[Extension.TRANSPORT_CC], self.peer.next_transport_number()

    def send(self, *packets: RtpPacket) -> None:
        for packet in packets:
            stamped = replace(packet, extensions=(*packet.extensions, self._stamp()))
            self.sent.append(stamped)
            self.peer.send(stamped)

    def report(self) -> None:
        """Send a sender report: the stream's clock stands at `ts` now, on the publisher's one NTP clock."""
        ntp = ns_to_ntp(self.peer.now)
        self.peer.say(SenderReport(self.ssrc, ntp, self.ts & 0xFFFF_FFFF, len(self.sent), 0))


@dataclass
class VideoSource(Source):
    """VP8 with 15-bit picture ids and temporal layers."""

    picture_id: int = 100
    tl0: int = 7
    wide_picture_id: bool = True

    def frame(
        self, *, key: bool = False, parts: int = 1, temporal: int = 0, sync: bool = False, size: int = 40
    ) -> list[RtpPacket]:
        """The packets of the next frame, 33 ms after the one before; not sent yet."""
        self.ts += 3_000
        self.picture_id += 1
        if temporal == 0:
            self.tl0 += 1
        packets = []
        for part in range(parts):
            picture = (
                (0x8000 | self.picture_id % 2**15).to_bytes(2, "big")
                if self.wide_picture_id
                else bytes((self.picture_id % 2**7,))
            )
            head = bytes((0x80 | (part == 0) << 4, 0xE0)) + picture
            head += bytes((self.tl0 % 256, temporal << 6 | sync << 5))
            body = bytes((0 if key else 1,)) + b"vp8".ljust(size - 1, b".")
            packets.append(self.packet(head + body, marker=part == parts - 1))
        return packets

    def send_frame(
        self, *, key: bool = False, parts: int = 1, temporal: int = 0, sync: bool = False, size: int = 40
    ) -> list[RtpPacket]:
        """Make and send the next frame."""
        packets = self.frame(key=key, parts=parts, temporal=temporal, sync=sync, size=size)
        self.send(*packets)
        return packets


def repair_of(packet: RtpPacket, ssrc: Ssrc, seq: int, rid: Rid = NO_RID, mid: str = "0") -> RtpPacket:
    """A packet of the publisher once more, over RTX (RFC 4588)."""
    elements: ExtensionElements = ((EXTENSIONS[Extension.MID], mid.encode()),)
    if rid:
        elements += ((EXTENSIONS[Extension.REPAIRED_RID], rid.encode()),)
    return RtpPacket(
        PayloadType(packet.payload_type + 1),
        seq & 0xFFFF,
        packet.timestamp,
        ssrc,
        encapsulate(packet.sequence_number, packet.payload),
        packet.marker,
        elements,
    )


@dataclass
class Call:
    """A publisher with a simulcast camera and a microphone, and one subscriber to both."""

    driver: PlaneDriver
    publisher: VirtualPeer
    subscriber: VirtualPeer
    low: VideoSource
    middle: VideoSource
    high: VideoSource
    voice: Source

    @classmethod
    def of(cls, driver: PlaneDriver) -> Call:
        """Both joined, tracks and routes set, no target chosen."""
        publisher, subscriber = VirtualPeer.joined(driver, 1), VirtualPeer.joined(driver, 2)
        driver.apply(
            camera(publisher.transport),
            microphone(publisher.transport),
            video_route(subscriber.transport),
            audio_route(subscriber.transport),
        )
        low, middle, high = (
            VideoSource(
                publisher,
                Ssrc(10 + index),
                VP8.payload_type,
                elements("0", rid),
                seq=1_000 * (index + 1),
                ts=10**6 * (index + 1),
                picture_id=1_000 * index,
            )
            for index, rid in enumerate(QHF)
        )
        voice = Source(publisher, Ssrc(20), OPUS.payload_type, elements("1"))
        return cls(driver, publisher, subscriber, low, middle, high, voice)

    def video(self) -> list[RtpPacket]:
        """What of the camera has come since the last call, resends apart; the rest is forgotten."""
        return [packet for packet in self.subscriber.take_rtp() if packet.ssrc == VIDEO_SSRC]

    def second_subscriber(self) -> VirtualPeer:
        """Another viewer of the camera, by route 11."""
        peer = VirtualPeer.joined(self.driver, 3)
        self.driver.apply(video_route(peer.transport, RouteId(11)))
        return peer


def elements(mid: str, rid: str = "") -> ExtensionElements:
    """mid and rid as a browser sends them at first."""
    first = (EXTENSIONS[Extension.MID], mid.encode())
    return (first, (EXTENSIONS[Extension.RID], rid.encode())) if rid else (first,)


def camera(
    publisher: TransportId,
    encodings: tuple[EncodingSpec, ...] = SIMULCAST,
    *,
    track: TrackHandle = CAMERA,
    mid: str = "0",
    formats: tuple[PayloadFormat, ...] = (VP8, H264),
    extensions: Mapping[Extension, int] = EXTENSIONS,
) -> SetTrack:
    return SetTrack(track, publisher, Mid(mid), Kind.VIDEO, formats, encodings, extensions, cname="publisher")


def microphone(publisher: TransportId, encodings: tuple[EncodingSpec, ...] = SINGLE) -> SetTrack:
    return SetTrack(
        MICROPHONE,
        publisher,
        Mid("1"),
        Kind.AUDIO,
        (OPUS,),
        encodings,
        EXTENSIONS,
        "publisher",
    )


def video_route(
    subscriber: TransportId,
    route: RouteId = VIDEO,
    *,
    track: TrackHandle = CAMERA,
    ssrc: Ssrc = VIDEO_SSRC,
    rtx_ssrc: Ssrc | None = RTX_SSRC,
    formats: tuple[PayloadFormat, ...] = (DOWN_VP8,),
    extensions: Mapping[Extension, int] = DOWN_EXTENSIONS,
    mid: str = "7",
    mixed_extensions: bool = False,
) -> SetRoute:
    return SetRoute(
        route,
        track,
        subscriber,
        Mid(mid),
        ssrc,
        rtx_ssrc,
        formats,
        extensions,
        "publisher",
        mixed_extensions,
    )


def audio_route(subscriber: TransportId, route: RouteId = AUDIO) -> SetRoute:
    return SetRoute(
        route,
        MICROPHONE,
        subscriber,
        Mid("8"),
        AUDIO_SSRC,
        None,
        (DOWN_OPUS,),
        DOWN_EXTENSIONS,
        "publisher",
    )
