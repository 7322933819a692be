"""A peer's RTP packets, sorted by SSRC to the encodings of its tracks (packet rule 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sfu.dataplane.binding import Bindings, HeldPacket, StreamName
from sfu.plane import DropReason, Extension
from sfu.units import NO_RID, earliest

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Sequence

    from sfu.dataplane.agenda import Agenda
    from sfu.dataplane.encoding import Encoding
    from sfu.dataplane.track import Track
    from sfu.dataplane.wire import Transmit
    from sfu.rtp.packet import RtpPacket
    from sfu.units import Instant, Mid, Ssrc, TransportId


@dataclass(frozen=True, slots=True)
class Stream:
    """Where the packets of a bound SSRC go."""

    track: Track
    encoding: Encoding
    is_repair: bool


class Demux:
    """The tracks that one peer publishes, and which of its SSRCs is what.

    Args:
        transport: of the peer.
        agenda: where timers go.
        drops: where they are counted.
    """

    def __init__(self, transport: TransportId, agenda: Agenda, drops: Counter[DropReason]) -> None:
        self._transport = transport
        self._agenda = agenda
        self._drops = drops
        self._tracks: dict[Mid, Track] = {}
        self._streams: dict[Ssrc, Stream] = {}
        self._bindings: Final = Bindings()

    @property
    def tracks(self) -> tuple[Track, ...]:
        """All of them."""
        return tuple(self._tracks.values())

    def track_of(self, mid: Mid) -> Track | None:
        """The track of a section."""
        return self._tracks.get(mid)

    def stream_of(self, ssrc: Ssrc) -> Stream | None:
        """Where an SSRC is bound to."""
        return self._streams.get(ssrc)

    def streams(self) -> Iterator[tuple[Ssrc, Stream]]:
        """All that are bound."""
        return iter(self._streams.items())

    def set_track(self, track: Track, gone: Sequence[Encoding]) -> list[HeldPacket]:
        """A track is new, or its SDP is.

        Args:
            track: it, with its new spec.
            gone: encodings that it had before.

        Returns:
            Packets that may find where they belong now.
        """
        for mid in [mid for mid, other in self._tracks.items() if other is track]:
            del self._tracks[mid]
        for encoding in gone:
            self._forget(encoding)
        spec = track.spec
        self._tracks[spec.mid] = track
        self._bindings.negotiated(spec.extensions)
        for wanted in spec.encodings:
            self._name(wanted.ssrc, StreamName(spec.mid, wanted.rid), track)
            self._name(wanted.rtx_ssrc, StreamName(spec.mid, wanted.rid, is_repair=True), track)
        return self._bindings.release()

    def remove_track(self, track: Track) -> None:
        """A track is gone; what its SSRCs were is remembered."""
        if self._tracks.get(track.spec.mid) is track:
            del self._tracks[track.spec.mid]
        for encoding in track.encodings:
            self._forget(encoding)

    def element(self, packet: RtpPacket, extension: Extension) -> bytes | None:
        """An extension's value in any packet of the peer."""
        return self._bindings.element(packet, extension)

    def receive(
        self, now: Instant, arrived_at: Instant, packet: RtpPacket, size_bytes: int
    ) -> list[Transmit]:
        """Take a packet; what to send of it, and of those that waited for its name."""
        stream = self._streams.get(packet.ssrc)
        if stream is not None:
            return self._deliver(now, arrived_at, stream, packet, size_bytes)
        bound = self._bind(arrived_at, packet)
        if isinstance(bound, Stream):
            transmits = []
            for held in self._bindings.release(packet.ssrc):
                transmits += self._deliver(now, held.at, bound, held.packet, held.size_bytes)
            return transmits + self._deliver(now, arrived_at, bound, packet, size_bytes)
        if bound is None and not self._bindings.hold(HeldPacket(arrived_at, packet, size_bytes)):
            bound = DropReason.UNKNOWN_SSRC
        if bound is None:
            self._agenda.plan(self._transport, self._bindings.next_timeout())
        else:
            self._drops[bound] += 1
        return []

    def expire(self, now: Instant) -> None:
        """Give up packets that nobody has told the name of."""
        self._drops[DropReason.UNKNOWN_SSRC] += self._bindings.expire(now)

    def next_timeout(self) -> Instant | None:
        """When packets are given up, or asked for again."""
        return earliest(
            self._bindings.next_timeout(),
            *(
                stream.encoding.reception.nacks.next_timeout()
                for stream in self._streams.values()
                if stream.encoding.reception is not None and not stream.is_repair
            ),
        )

    def _deliver(
        self, now: Instant, arrived_at: Instant, stream: Stream, packet: RtpPacket, size_bytes: int
    ) -> list[Transmit]:
        track, encoding = stream.track, stream.encoding
        take = track.receive_repair if stream.is_repair else track.receive
        transmits = take(now, arrived_at, encoding, packet, size_bytes)
        if encoding.reception is not None:
            self._agenda.plan(self._transport, encoding.reception.nacks.next_timeout())
        return transmits

    def _bind(self, now: Instant, packet: RtpPacket) -> Stream | DropReason | None:
        """Bind a packet's SSRC; None where nothing tells yet what it is."""
        name = self._bindings.name_of(packet) or self._by_payload_type(packet)
        track = None if name is None else self._tracks.get(name.mid)
        if name is None or track is None:
            return None if packet.payload else DropReason.PADDING_ONLY
        encoding = track.encoding_named(name.rid)
        if encoding is None:
            return None if name.rid == NO_RID else DropReason.UNKNOWN_SSRC
        is_repair = name.is_repair or track.repairs(packet.payload_type)
        if not packet.payload and not is_repair:
            return DropReason.PADDING_ONLY
        if not encoding.admits(now, packet.ssrc):
            return DropReason.UNKNOWN_SSRC
        before = encoding.repair if is_repair else encoding.reception
        drop = track.bind_repair(encoding, packet) if is_repair else track.bind(now, encoding, packet)
        if drop is not None:
            return drop
        if before is not None:
            self._streams.pop(before.ssrc, None)
        stream = self._streams[packet.ssrc] = Stream(track, encoding, is_repair)
        self._bindings.remember(packet.ssrc, StreamName(name.mid, name.rid, is_repair))
        return stream

    def _by_payload_type(self, packet: RtpPacket) -> StreamName | None:
        """The section whose packets don't say their mid, where it is the only one with this payload type."""
        candidates = [track for track in self._tracks.values() if track.carries(packet.payload_type)]
        if len(candidates) != 1 or Extension.MID in candidates[0].spec.extensions:
            return None
        return StreamName(candidates[0].spec.mid)

    def _name(self, ssrc: Ssrc | None, name: StreamName, track: Track) -> None:
        if ssrc is not None:
            self._bindings.remember(ssrc, name)
            stream = self._streams.get(ssrc)
            if stream is not None and stream.track is not track:
                del self._streams[ssrc]

    def _forget(self, encoding: Encoding) -> None:
        for ssrc in [ssrc for ssrc, stream in self._streams.items() if stream.encoding is encoding]:
            del self._streams[ssrc]
        encoding.close()
