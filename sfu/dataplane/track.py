"""One published track: its encodings, and the routes that take it to subscribers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sfu.dataplane.encoding import Encoding
from sfu.dataplane.reception import Arrival
from sfu.errors import ParseError
from sfu.plane import DropReason, Extension, StreamBound, StreamEnded
from sfu.rtp.extensions import parse_audio_level
from sfu.units import NO_RID, Kind

if TYPE_CHECKING:
    from collections import Counter

    from sfu.dataplane.keyframes import KeyframeRequests
    from sfu.dataplane.reception import Received
    from sfu.dataplane.route import Route
    from sfu.dataplane.upward import Upward
    from sfu.dataplane.wire import Transmit
    from sfu.plane import PayloadFormat, SetTrack
    from sfu.rtp.packet import RtpPacket
    from sfu.streams.cache import CacheBudget
    from sfu.units import Instant, PayloadType, Rid, RouteId, TrackHandle, TransportId

FLOWS_WITHIN_S: Final = 2.0
"""An encoding without packets for this long does not flow: nobody falls back to it."""


class Track:
    """Takes the packets of one section of a publisher, and hands them to the routes.

    Args:
        spec: what the SDP says of it.
        keyframes: its publisher's.
        upward: where events go.
        budget: of all packets kept.
        drops: where they are counted.
    """

    def __init__(
        self,
        spec: SetTrack,
        keyframes: KeyframeRequests,
        upward: Upward,
        budget: CacheBudget,
        drops: Counter[DropReason],
    ) -> None:
        self.handle: Final[TrackHandle] = spec.track
        self.transport: Final[TransportId] = spec.transport
        self.kind: Final[Kind] = spec.kind
        self.routes: Final[dict[RouteId, Route]] = {}
        self.encodings: list[Encoding] = []
        self.spec = spec
        self._keyframes = keyframes
        self._upward = upward
        self._budget = budget
        self._drops = drops
        self._forms: dict[PayloadType, PayloadFormat] = {}
        self._repaired_forms: dict[PayloadType, PayloadFormat] = {}
        self.update(spec)

    def update(self, spec: SetTrack) -> list[Encoding]:
        """Take up what the SDP says now; encodings are known by their rids.

        Returns:
            Encodings that are gone.
        """
        count_before = len(self.encodings)
        before = {encoding.rid: encoding for encoding in self.encodings}
        numbers = {}
        self.encodings = []
        for index, wanted in enumerate(spec.encodings):
            encoding = before.pop(wanted.rid, None)
            if encoding is None:
                encoding = Encoding(index, wanted.rid, spec.kind, self._keyframes, self._budget)
            else:
                numbers[encoding.index] = index
                encoding.index = index
            self.encodings.append(encoding)
        are_changed = spec.encodings != self.spec.encodings
        self.spec = spec
        self._forms = {form.payload_type: form for form in spec.formats}
        self._repaired_forms = {
            form.rtx_payload_type: form for form in spec.formats if form.rtx_payload_type is not None
        }
        for route in self.routes.values():
            route.retranslate()
            if numbers != {number: number for number in range(count_before)}:
                route.renumber(numbers)
        if are_changed:
            for encoding in self.encodings:
                if not encoding.is_ended:
                    self._tell_bound(encoding)
        return list(before.values())

    def encoding_named(self, rid: Rid) -> Encoding | None:
        """The encoding of a rid. A track without rids has one, whatever a packet says."""
        if len(self.encodings) == 1 and NO_RID in (rid, self.encodings[0].rid):
            return self.encodings[0]
        return next((encoding for encoding in self.encodings if encoding.rid == rid), None)

    def repairs(self, payload_type: PayloadType) -> bool:
        """Whether this payload type is RTX here."""
        return payload_type in self._repaired_forms

    def carries(self, payload_type: PayloadType) -> bool:
        """Whether packets of this payload type may belong here."""
        return payload_type in self._forms or payload_type in self._repaired_forms

    def bind(self, now: Instant, encoding: Encoding, packet: RtpPacket) -> DropReason | None:
        """An encoding comes from this packet's SSRC from now on; a reason where it can't."""
        arrival = self._arrival(encoding, packet, 0, self._forms)
        if arrival is None:
            return DropReason.UNKNOWN_PAYLOAD_TYPE
        encoding.bind(now, packet.ssrc, arrival)
        for route in self.routes.values():
            route.source_changed(encoding.index)
        self._tell_bound(encoding)
        return None

    def bind_repair(self, encoding: Encoding, packet: RtpPacket) -> DropReason | None:
        """An encoding is repaired by this packet's SSRC from now on; a reason where it can't."""
        form = self._repaired_forms.get(packet.payload_type)
        if form is None:
            return DropReason.UNKNOWN_PAYLOAD_TYPE
        encoding.bind_repair(packet.ssrc, form.clock_rate)
        return None

    def receive(
        self, now: Instant, arrived_at: Instant, encoding: Encoding, packet: RtpPacket, size_bytes: int
    ) -> list[Transmit]:
        """Take a packet of an encoding's stream; what to send of it."""
        arrival = self._arrival(encoding, packet, size_bytes, self._forms)
        if arrival is None:
            self._drops[DropReason.UNKNOWN_PAYLOAD_TYPE] += 1
            return []
        if encoding.resumes(arrived_at):
            self._tell_bound(encoding)
        self._note_level(encoding, packet)
        return self._take(now, arrived_at, encoding.receive(arrived_at, arrival))

    def receive_repair(
        self, now: Instant, arrived_at: Instant, encoding: Encoding, packet: RtpPacket, size_bytes: int
    ) -> list[Transmit]:
        """Take a packet of the stream that repairs an encoding; what to send of it."""
        arrival = self._arrival(encoding, packet, size_bytes, self._repaired_forms)
        if arrival is None:
            self._drops[DropReason.UNKNOWN_PAYLOAD_TYPE] += 1
            return []
        return self._take(now, arrived_at, encoding.receive_repair(arrived_at, arrival))

    def end(self, now: Instant, encoding: Encoding) -> None:
        """The publisher says BYE for an encoding's stream."""
        if encoding.end(now):
            self._upward.tell(StreamEnded(self.handle, encoding.index))

    def request_keyframe(self, now: Instant, index: int) -> None:
        """Somebody needs a key frame of an encoding; of one that does not flow there is nothing to ask."""
        if self.kind is Kind.VIDEO and 0 <= index < len(self.encodings):
            encoding = self.encodings[index]
            if encoding.reception is not None and not encoding.is_ended:
                self._keyframes.request(now, encoding.reception.ssrc)

    def lowest_flowing(self, now: Instant) -> int | None:
        """The lowest encoding that flows."""
        return next(
            (encoding.index for encoding in self.encodings if encoding.flows(now, FLOWS_WITHIN_S)), None
        )

    def clock_known(self, now: Instant, encoding: Encoding) -> None:
        """The first sender report of its stream has come: subscribers can be told of its clock."""
        for route in self.routes.values():
            if route.current == encoding.index:
                route.transport.reports.hurry(now)

    def _take(self, now: Instant, arrived_at: Instant, outcome: Received | DropReason) -> list[Transmit]:
        if isinstance(outcome, DropReason):
            self._drops[outcome] += 1
            return []
        if outcome.is_descriptor_unread:
            self._drops[DropReason.DESCRIPTOR_MALFORMED] += 1
        if outcome.is_padding:
            self._drops[DropReason.PADDING_ONLY] += 1
            for route in self.routes.values():
                route.leave_out(arrived_at, outcome)
            return []
        reception = outcome.reception
        is_late = outcome.facts.seq < (reception.statistics.highest_seq or 0)
        if is_late and outcome.facts.starts_key_frame:
            return self._forward_late_key_frame(now, arrived_at, outcome)
        return [
            transmit
            for route in self.routes.values()
            if (transmit := route.forward(now, arrived_at, outcome)) is not None
        ]

    def _forward_late_key_frame(self, now: Instant, arrived_at: Instant, first: Received) -> list[Transmit]:
        """A key frame's first packet comes after others of it: who begins with it gets those as well."""
        transmits = []
        for route in self.routes.values():
            was_waiting = route.waits_for(first.facts.encoding)
            transmits.append(route.forward(now, arrived_at, first))
            if was_waiting and not route.waits_for(first.facts.encoding):
                later = first.reception.after(arrived_at, first.facts.seq)
                transmits.extend(route.forward(now, arrived_at, received) for received in later)
        return [transmit for transmit in transmits if transmit is not None]

    def _arrival(
        self,
        encoding: Encoding,
        packet: RtpPacket,
        size_bytes: int,
        forms: dict[PayloadType, PayloadFormat],
    ) -> Arrival | None:
        form = forms.get(packet.payload_type)
        if form is None:
            return None
        descriptor = packet.extension(self.spec.extensions.get(Extension.DEPENDENCY_DESCRIPTOR))
        return Arrival(packet, size_bytes, form, encoding.index, descriptor)

    def _note_level(self, encoding: Encoding, packet: RtpPacket) -> None:
        value = packet.extension(self.spec.extensions.get(Extension.AUDIO_LEVEL))
        if value is None:
            return
        try:
            level = parse_audio_level(value)
        except ParseError:
            return
        encoding.level.received(level.level, voice=level.voice)

    def _tell_bound(self, encoding: Encoding) -> None:
        if encoding.reception is not None:
            self._upward.tell(StreamBound(self.handle, encoding.index, encoding.reception.ssrc))
