"""One received video track: packets to frames, frames to a decoder that notices everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadtest.media.vp8_packetiser import Vp8Payload, depacketise
from sfu.units import NS_PER_MS, Instant, after_ms
from tests.support.simulation.label import VideoLabel, read_video_label
from tests.support.simulation.observations import SeenFrame
from tests.support.simulation.reception import Reception, Unwrapper

if TYPE_CHECKING:
    from sfu.rtp.packet import RtpPacket
    from sfu.units import Ssrc
    from tests.support.simulation.observations import TrackObservations

CLOCK_RATE: Final = 90_000
GAP_PATIENCE_MS: Final = 400
"""How long a gap may hold up the picture before the receiver gives it up and wants a key frame."""
KEY_FRAME_RETRY_MS: Final = 500
MAX_CLOCK_ERROR_MS: Final = 40.0
"""How far the RTP clock may stray from the capture clock between two frames. A switch between encodings whose
clocks are known by arrival only is off by what their ways differ."""

MAX_SAME_PICTURE_MS: Final = 100.0
"""How much later a picture may be shown again in another encoding."""

_TAG_BYTES: Final = 3
_KEY_TAG_BYTES: Final = 10


@dataclass(frozen=True, slots=True)
class _Packet:
    timestamp: int
    marker: bool
    payload: Vp8Payload | None
    label: VideoLabel | None


@dataclass(frozen=True, slots=True)
class _Frame:
    """The last frame that was decoded: what the next one is compared with."""

    label: VideoLabel
    ts: int


def label_of(payload: Vp8Payload) -> VideoLabel | None:
    """The label in a packet of video; None where it carries none."""
    tag = 0
    if payload.starts_frame:
        tag = _KEY_TAG_BYTES if payload.is_key_start else _TAG_BYTES
    return read_video_label(payload.data[tag:])


class VideoReceiver:
    """Judges one track as a decoder and a picky human would.

    Args:
        ssrc: of its RTP stream.
        sender: the number that its labels must carry.
        seen: takes what is seen.
    """

    def __init__(self, ssrc: Ssrc, sender: int, seen: TrackObservations) -> None:
        self.reception: Reception[_Packet] = Reception(ssrc, CLOCK_RATE, asks_again=True)
        self.newest: tuple[Instant, int] | None = None
        """Capture time and RTP timestamp of the newest frame."""
        self.ntp: tuple[int, int] | None = None
        """What the last sender report says: nanoseconds of an NTP clock, and the RTP timestamp then."""
        self._sender = sender
        self._seen = seen
        self._timestamps = Unwrapper(32)
        self._parts: list[_Packet] = []
        self._last: _Frame | None = None
        self._decoded: set[int] = set()
        self._needs_key_frame = True
        self._is_after_gap = False
        self._lead_ms = 0.0
        """How far the RTP clock is ahead of the capture clock, compared with the first frame."""
        self._payload: Vp8Payload | None = None
        """First of the frame that came last, also where a switch cut it."""
        self._asked_at: Instant | None = None
        self._began_at: Instant | None = None
        seen.receptions.append(self.reception)

    @property
    def is_waiting(self) -> bool:
        """For a packet that is missing, or for a key frame."""
        return self._needs_key_frame or self.reception.packets_missing > 0

    def received(self, now: Instant, packet: RtpPacket) -> None:
        """Take a packet of the media's SSRC."""
        if not packet.payload:
            self._seen.fault("a packet of padding on the media's SSRC")
            return
        self._began_at = self._began_at or now
        parsed = _read(packet.timestamp, packet.payload, marker=packet.marker)
        ready = self.reception.received(now, packet.sequence_number, packet.timestamp, parsed)
        self._take_all(now, ready or self._jump_to_key_frame(parsed))

    def repaired(self, now: Instant, packet: RtpPacket) -> None:
        """Take a packet of the RTX SSRC (RFC 4588)."""
        if len(packet.payload) <= 2:
            return
        number, payload = int.from_bytes(packet.payload[:2], "big"), packet.payload[2:]
        parsed = _read(packet.timestamp, payload, marker=packet.marker)
        self._take_all(now, self.reception.repaired(now, number, parsed) or self._jump_to_key_frame(parsed))

    def wants_key_frame(self, now: Instant) -> bool:
        """Whether a PLI is due; gives up on gaps that have lasted for too long."""
        blocked_since = self.reception.blocked_since()
        if blocked_since is not None and now >= after_ms(blocked_since, GAP_PATIENCE_MS):
            self._skip()
            self._take_all(now, self.reception.give_up())
        if not self._needs_key_frame or self._began_at is None:
            return False
        if self._asked_at is not None and now < after_ms(self._asked_at, KEY_FRAME_RETRY_MS):
            return False
        if now < after_ms(self._began_at, KEY_FRAME_RETRY_MS / 2):
            return False
        self._asked_at = now
        self._seen.pli_count += 1
        return True

    def _jump_to_key_frame(self, newest: _Packet) -> list[_Packet]:
        """Decoders don't wait for what was before a key frame that is there as a whole."""
        label = newest.label
        if label is None or not label.is_key:
            return []
        first = self.reception.newest_seq - label.index
        if not self.reception.holds(first, label.count):
            return []
        self._skip()
        return self.reception.give_up(first)

    def _skip(self) -> None:
        self._is_after_gap = True
        self._parts.clear()

    def _take_all(self, now: Instant, packets: list[_Packet]) -> None:
        for packet in packets:
            self._take(now, packet)

    def _take(self, now: Instant, packet: _Packet) -> None:
        """The next packet in order of sequence numbers."""
        payload, label = packet.payload, packet.label
        if payload is None or label is None:
            self._seen.fault("a payload that carries no label")
            return
        if label.sender != self._sender or label.source != self._seen.source:
            self._seen.fault(f"a frame of {label.sender}/{label.source.name} instead of {self._sender}")
            return
        if payload.starts_frame:
            if self._parts:
                self._cut(label)
            self._parts = [packet]
        elif not self._parts:
            if not self._is_after_gap and self._last is not None:
                self._seen.fault(f"packet {label.index} of frame {label.frame} without those before it")
            return
        else:
            self._parts.append(packet)
        if packet.marker:
            parts, self._parts = self._parts, []
            self._complete(now, parts)

    def _cut(self, label: VideoLabel) -> None:
        """A frame begins where another has not ended."""
        before = self._parts[0].label
        if before is not None and before.frame != label.frame and label.is_key:
            self._seen.cut_frames += 1
            self._payload = self._parts[0].payload
        elif not self._is_after_gap:
            self._seen.fault(f"frame {label.frame} begins before the one before it has ended")

    def _complete(self, now: Instant, parts: list[_Packet]) -> None:
        labels = [one.label for one in parts if one.label is not None]
        head, first = labels[0], parts[0]
        whole = [label.index for label in labels] == list(range(head.count))
        if not whole or len({(label.frame, label.encoding) for label in labels}) > 1:
            self._seen.fault(
                f"frame {head.frame}: packets {[label.index for label in labels]} of {head.count}"
            )
            return
        if len({one.timestamp for one in parts}) > 1:
            self._seen.fault(f"frame {head.frame} has several timestamps")
        payload = first.payload
        assert payload is not None
        frame = _Frame(head, self._timestamps.unwrap(first.timestamp))
        self._judge_clock(frame)
        self._judge_descriptor(frame, payload)
        is_decodable = head.is_key or (
            self._last is not None
            and self._last.label.encoding == head.encoding
            and head.needs in self._decoded
        )
        if not is_decodable:
            if not self._is_after_gap and not self._needs_key_frame:
                self._seen.fault(f"frame {head.frame} of encoding {head.encoding} without {head.needs}")
            self._seen.undecodable_frames += 1
            self._needs_key_frame = True
            return
        if head.is_key:
            self._decoded.clear()
        # Also where it is no key frame: then nothing was lost that is needed.
        self._needs_key_frame = self._is_after_gap = False
        self._decoded.add(head.frame)
        self._last, self._payload = frame, payload
        self.newest = head.captured_at, first.timestamp
        self._seen.frames.append(
            SeenFrame(now, head.encoding, head.frame, head.captured_at, is_key=head.is_key)
        )

    def _judge_clock(self, frame: _Frame) -> None:
        """Time goes forward, as fast as it did where the frame was captured."""
        before = self._last
        if before is None:
            return
        label = frame.label
        captured_ms = (label.captured_at - before.label.captured_at) / NS_PER_MS
        error_ms = (frame.ts - before.ts) * 1_000 / CLOCK_RATE - captured_ms
        self._seen.clock_errors_ms.append(error_ms)
        lead_ms, self._lead_ms = self._lead_ms, self._lead_ms + error_ms
        if frame.ts <= before.ts:
            self._seen.fault(f"frame {label.frame}: timestamp goes by {frame.ts - before.ts}")
        elif captured_ms < 0:
            # A key frame that came late, by RTX. The clock must not go back, so it is ahead for a while.
            self._seen.steps_back += 1
        elif captured_ms == 0 and 0 < error_ms <= MAX_SAME_PICTURE_MS:
            # The same picture in another encoding: those in between may have been forwarded and lost, or its
            # packets took longer while its clock was known by arrival only.
            return
        elif abs(error_ms) > MAX_CLOCK_ERROR_MS and not -lead_ms <= error_ms < 0:
            self._seen.fault(f"frame {label.frame}: {error_ms} ms off after {captured_ms} ms")

    def _judge_descriptor(self, frame: _Frame, payload: Vp8Payload) -> None:
        """Numbers go on from the frame before, cut or whole; after a gap they may jump."""
        before, number = self._payload, frame.label.frame
        if before is None or self._is_after_gap:
            return
        if payload.picture_id is not None and before.picture_id is not None:
            step = (payload.picture_id - before.picture_id) % 2**15
            if step != 1:
                self._seen.fault(f"frame {number}: picture id goes by {step}")
        if payload.tl0_picture_index is not None and before.tl0_picture_index is not None:
            step = (payload.tl0_picture_index - before.tl0_picture_index) % 256
            if step != (payload.temporal_id == 0):
                self._seen.fault(f"frame {number}: TL0PICIDX goes by {step}")


def _read(timestamp: int, payload: bytes, *, marker: bool) -> _Packet:
    parsed = depacketise(payload)
    if parsed is None:
        return _Packet(timestamp, marker, None, None)
    return _Packet(timestamp, marker, parsed, label_of(parsed))
