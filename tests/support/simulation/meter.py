"""What has gone over a line, by what it carried, counted by somebody who only sees datagrams."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from loadtest.media.vp8_packetiser import depacketise
from sfu.dataplane.wire import WireProtocol, protocol_of
from sfu.rtp.packet import RtpPacket
from sfu.units import Instant, after_s
from tests.support.simulation.clock import START
from tests.support.simulation.label import AudioLabel, Source, VideoLabel, read_audio_label
from tests.support.simulation.video_receiver import label_of

if TYPE_CHECKING:
    from collections.abc import Iterator


class Layer(NamedTuple):
    """One encoding of one track of somebody; sound has a single one."""

    sender: int
    """As in the labels: the number of a client."""
    source: Source
    encoding: int = 0


@dataclass(frozen=True, slots=True)
class Crossing:
    """A datagram that has arrived at the other end."""

    at: Instant
    protocol: WireProtocol
    size_bytes: int
    """Without the headers of UDP and IP."""
    ssrc: int | None = None
    """Of RTP."""
    layer: Layer | None = None
    """Whose media it carries; None: none, as padding does."""
    piece: tuple[int, int] | None = None
    """Which part of it: number of the frame, and of the packet in it."""
    is_repair: bool = False
    """By RTX: the same may have come before, or is used to fill."""


class Meter:
    """One direction of one line."""

    def __init__(self) -> None:
        self.crossings: list[Crossing] = []
        self._repairing: set[int] = set()
        """SSRCs that are known to be RTX's."""

    def take(self, now: Instant, data: bytes) -> None:
        """A datagram has come through."""
        self.crossings.append(self._read(now, data))

    def between(self, begin_s: float, end_s: float) -> Meter:
        """What came through in a stretch of time, in seconds since the clock began."""
        begin, end = after_s(START, begin_s), after_s(START, end_s)
        found = Meter()
        found.crossings = [one for one in self.crossings if begin <= one.at < end]
        return found

    def bytes_by_protocol(self) -> Counter[WireProtocol]:
        """Everything, by what kind of datagram it is."""
        counts: Counter[WireProtocol] = Counter()
        for one in self.crossings:
            counts[one.protocol] += one.size_bytes
        return counts

    def bytes_by_layer(self) -> Counter[Layer]:
        """Media as it was sent first, without repairs."""
        counts: Counter[Layer] = Counter()
        for one in self._media():
            if one.layer is not None:
                counts[one.layer] += one.size_bytes
        return counts

    def bytes_by_stream(self) -> Counter[int]:
        """RTP, by SSRC."""
        counts: Counter[int] = Counter()
        for one in self.crossings:
            if one.ssrc is not None:
                counts[one.ssrc] += one.size_bytes
        return counts

    def streams_of(self, layer: Layer) -> set[int]:
        """The SSRCs under which a layer came, without repairs."""
        return {one.ssrc for one in self._media() if one.layer == layer and one.ssrc is not None}

    def first_at(self, layer: Layer) -> Instant | None:
        """When the first packet of a layer came."""
        return next((one.at for one in self._media() if one.layer == layer), None)

    @property
    def senders(self) -> set[int]:
        """Whose media came."""
        return {layer.sender for layer in self.bytes_by_layer()}

    @property
    def duplicates(self) -> int:
        """Pieces of media that came more than once, and not as repairs."""
        pieces = Counter((one.layer, one.piece) for one in self._media())
        return sum(count - 1 for count in pieces.values())

    def _media(self) -> Iterator[Crossing]:
        return (one for one in self.crossings if one.layer is not None and not one.is_repair)

    def _read(self, now: Instant, data: bytes) -> Crossing:
        protocol = protocol_of(data)
        if protocol is not WireProtocol.RTP:
            return Crossing(now, protocol, len(data))
        packet = RtpPacket.parse(data)
        ssrc, payload = packet.ssrc, packet.payload
        label = None if ssrc in self._repairing else _label(payload)
        is_repair = label is None
        if label is None and len(payload) > 2:
            label = _label(payload[2:])  # behind the number of the original (RFC 4588)
            if label is not None:
                # By chance the number and what follows may look like media: only the stream tells.
                self._repairing.add(ssrc)
        if label is None:
            return Crossing(now, protocol, len(data), ssrc)
        if isinstance(label, AudioLabel):
            layer, piece = Layer(label.sender, Source.MICROPHONE), (label.frame, 0)
        else:
            layer, piece = Layer(label.sender, label.source, label.encoding), (label.frame, label.index)
        return Crossing(now, protocol, len(data), ssrc, layer, piece, is_repair)


def _label(payload: bytes) -> VideoLabel | AudioLabel | None:
    heard = read_audio_label(payload)
    if heard is not None:
        return heard
    parsed = depacketise(payload)
    return None if parsed is None else label_of(parsed)
