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


class Piece(NamedTuple):
    """One packet's worth of a layer."""

    layer: Layer
    frame: int
    packet: int
    """Its number in the frame."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """A datagram that has arrived at the other end."""

    at: Instant
    protocol: WireProtocol
    size_bytes: int
    """Without the headers of UDP and IP."""
    ssrc: int | None = None
    """Of RTP."""
    piece: Piece | None = None
    """The media in it; None: none, as in padding."""
    is_repair: bool = False
    """By RTX: the same may have come before, or is used to fill."""


class Meter:
    """One direction of one line."""

    def __init__(self) -> None:
        self.crossings: list[Crossing] = []
        self._repairs: dict[int, bool] = {}
        """Whether an SSRC is RTX's, of those of which that is known."""
        self._seen: set[Piece] = set()

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
        for one, piece in self._media():
            counts[piece.layer] += one.size_bytes
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
        return {one.ssrc for one, piece in self._media() if piece.layer == layer and one.ssrc is not None}

    def first_at(self, layer: Layer) -> Instant | None:
        """When the first packet of a layer came."""
        return next((one.at for one, piece in self._media() if piece.layer == layer), None)

    @property
    def senders(self) -> set[int]:
        """Whose media came."""
        return {layer.sender for layer in self.bytes_by_layer()}

    @property
    def duplicates(self) -> int:
        """Pieces of media that came more than once, and not as repairs."""
        pieces = Counter(piece for _, piece in self._media())
        return sum(count - 1 for count in pieces.values())

    def _media(self) -> Iterator[tuple[Crossing, Piece]]:
        return ((one, one.piece) for one in self.crossings if one.piece is not None and not one.is_repair)

    def _read(self, now: Instant, data: bytes) -> Crossing:
        protocol = protocol_of(data)
        if protocol is not WireProtocol.RTP:
            return Crossing(now, protocol, len(data))
        packet = RtpPacket.parse(data)
        # RTX puts the number of the original in front (RFC 4588). By chance either may look like the other.
        plain, behind = _piece(packet.payload), _piece(packet.payload[2:])
        if plain is None and behind is None:
            return Crossing(now, protocol, len(data), packet.ssrc)
        if plain is None or behind is None:
            self._repairs[packet.ssrc] = plain is None
        is_repair = self._repairs.get(packet.ssrc, plain in self._seen)
        piece = behind if is_repair else plain
        if piece is not None:
            self._seen.add(piece)
        return Crossing(now, protocol, len(data), packet.ssrc, piece, is_repair)


def _piece(payload: bytes) -> Piece | None:
    label = _label(payload)
    if label is None:
        return None
    if isinstance(label, AudioLabel):
        return Piece(Layer(label.sender, Source.MICROPHONE), label.frame, 0)
    return Piece(Layer(label.sender, label.source, label.encoding), label.frame, label.index)


def _label(payload: bytes) -> VideoLabel | AudioLabel | None:
    heard = read_audio_label(payload)
    if heard is not None:
        return heard
    parsed = depacketise(payload)
    return None if parsed is None else label_of(parsed)
