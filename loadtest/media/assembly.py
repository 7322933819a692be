"""RTP payloads to whole VP8 frames, in order and without waiting longer than it must.

A frame is handed out the moment it is complete and everything before it was. Where a gap stays open, the
stream is dead until the next key frame: nothing that was predicted from a lost frame is ever decoded, so a
picture that cannot be read was put together wrongly by somebody else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadtest.media.vp8_packetiser import PICTURE_IDS, TL0_INDEXES, Vp8Payload
from sfu.units import Instant, after_ms

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_GAP_MS: Final = 500
"""How long a gap may wait for its resend. Longer: more delay after a loss. Shorter: more key frames."""
MAX_HELD_PACKETS: Final = 2_048
MAX_KEY_FRAME_PACKETS: Final = 256
"""Held while a key frame is awaited: the largest one that can arrive."""


@dataclass(frozen=True, slots=True)
class WholeFrame:
    """One frame; `after_gap` where frames before it are missing."""

    data: bytes
    is_key: bool
    timestamp: int
    arrived_at: Instant
    after_gap: bool
    capture_ntp: int | None


@dataclass(frozen=True, slots=True)
class _Held:
    payload: Vp8Payload | None
    """None: a packet without media, which only fills its place."""
    timestamp: int
    marker: bool
    arrived_at: Instant
    capture_ntp: int | None


class FrameAssembler:
    """Puts the frames of one RTP stream together; sequence numbers are unwrapped."""

    def __init__(self) -> None:
        self._held: dict[int, _Held] = {}
        self._next_seq: int | None = None
        self._gap_since: Instant | None = None
        self._after_gap = False
        self._last_ids: tuple[int | None, int | None] = (None, None)
        self.id_jumps = 0
        """Picture ids or TL0 indexes that do not follow on where no packet is missing."""
        self.cut_frames = 0
        """Frames that another one followed before their end: who can't keep up is sent no more of them."""

    @property
    def wants_key_frame(self) -> bool:
        """Whether nothing can be decoded before the next key frame."""
        return self._next_seq is None

    def insert(
        self,
        now: Instant,
        seq: int,
        payload: Vp8Payload | None,
        *,
        timestamp: int,
        marker: bool,
        capture_ntp: int | None = None,
    ) -> list[WholeFrame]:
        """Take one packet; return the frames that are complete now."""
        if self._next_seq is not None and seq < self._next_seq:
            return []
        self._held.setdefault(seq, _Held(payload, timestamp, marker, now, capture_ntp))
        if len(self._held) > (MAX_HELD_PACKETS if self._next_seq is not None else MAX_KEY_FRAME_PACKETS):
            self.give_up()
            return []
        return self._complete(now)

    def poll(self, now: Instant) -> list[WholeFrame]:
        """Give up on a gap that has been open for too long."""
        if self._gap_since is None or now < after_ms(self._gap_since, MAX_GAP_MS):
            return []
        self._next_seq, self._gap_since, self._after_gap = None, None, True
        return self._complete(now)

    def give_up(self) -> None:
        """Start again at the next key frame."""
        self._held.clear()
        self._next_seq, self._gap_since, self._after_gap = None, None, True

    def _complete(self, now: Instant) -> list[WholeFrame]:
        frames: list[WholeFrame] = []
        while True:
            start = self._next_seq if self._next_seq is not None else self._key_start()
            if start is None:
                break
            cut_at = self._cut_at(start)
            if cut_at is not None:
                self._cut(cut_at)
                continue
            end = self._end_of_frame(start)
            if end is None:
                break
            frame = self._take(start, end)
            self._next_seq = end + 1
            if frame is not None:
                frames.append(frame)
        has_gap = self._next_seq is not None and self._next_seq not in self._held and bool(self._held)
        waits_inside = self._next_seq in self._held
        if not has_gap and not waits_inside:
            self._gap_since = None
        elif self._gap_since is None or frames:
            self._gap_since = now
        return frames

    def _key_start(self) -> int | None:
        """The first held packet that begins a complete key frame; what is before it is let go."""
        for seq in sorted(self._held):
            payload = self._held[seq].payload
            if payload is not None and payload.is_key_start and self._end_of_frame(seq) is not None:
                self._held = {s: held for s, held in self._held.items() if s >= seq}
                self._last_ids = (None, None)
                return seq
        return None

    def _end_of_frame(self, start: int) -> int | None:
        """The last packet of the frame (or of the filler) that begins at `start`, where all are held."""
        seq = start
        while (held := self._held.get(seq)) is not None:
            if held.timestamp != self._held[start].timestamp and held.payload is not None:
                return None
            if held.marker or held.payload is None:
                return seq
            seq += 1
        return None

    def _cut_at(self, start: int) -> int | None:
        """Where another frame begins before this one has ended, if it does."""
        seq = start
        while (held := self._held.get(seq)) is not None and held.payload is not None:
            if held.timestamp != self._held[start].timestamp:
                return seq
            if held.marker:
                return None
            seq += 1
        return None

    def _cut(self, at: int) -> None:
        """Let go of what is before; nothing can be decoded before the next key frame."""
        self.cut_frames += 1
        self._held = {seq: held for seq, held in self._held.items() if seq >= at}
        self._next_seq, self._after_gap = None, True

    def _take(self, start: int, end: int) -> WholeFrame | None:
        held = [self._held.pop(seq) for seq in range(start, end + 1)]
        payloads = [h.payload for h in held if h.payload is not None]
        if not payloads:
            return None
        first = payloads[0]
        self._check_ids(first)
        if not first.starts_frame:
            # The middle of a frame whose beginning never came in this place: not decodable.
            self._after_gap = True
            return None
        frame = WholeFrame(
            data=b"".join(payload.data for payload in payloads),
            is_key=first.is_key_start,
            timestamp=held[0].timestamp,
            arrived_at=held[-1].arrived_at,
            after_gap=self._after_gap,
            capture_ntp=_first(h.capture_ntp for h in held),
        )
        self._after_gap = False
        return frame

    def _check_ids(self, first: Vp8Payload) -> None:
        picture_id, tl0 = self._last_ids
        if picture_id is not None and first.picture_id is not None:
            self.id_jumps += first.picture_id != (picture_id + 1) % PICTURE_IDS
        if tl0 is not None and first.tl0_picture_index is not None and first.temporal_id == 0:
            self.id_jumps += first.tl0_picture_index != (tl0 + 1) % TL0_INDEXES
        self._last_ids = (first.picture_id, first.tl0_picture_index)


def _first(values: Iterable[int | None]) -> int | None:
    return next((value for value in values if value is not None), None)
