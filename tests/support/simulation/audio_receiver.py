"""One received audio track: every packet in its place, on the right clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sfu.units import NS_PER_S, Instant, after_ms
from tests.support.simulation.label import AudioLabel, read_audio_label
from tests.support.simulation.observations import HeardPacket
from tests.support.simulation.reception import Reception, Unwrapper

if TYPE_CHECKING:
    from sfu.rtp.packet import RtpPacket
    from sfu.units import Ssrc
    from tests.support.simulation.observations import TrackObservations

CLOCK_RATE: Final = 48_000
GAP_PATIENCE_MS: Final = 60
"""How long playing waits for a packet."""


class AudioReceiver:
    """Judges one track; losses are concealed, not asked for again.

    Args:
        ssrc: of its RTP stream.
        sender: the number that its labels must carry.
        seen: takes what is heard.
    """

    def __init__(self, ssrc: Ssrc, sender: int, seen: TrackObservations) -> None:
        self.reception: Reception[tuple[int, AudioLabel | None]] = Reception(
            ssrc, CLOCK_RATE, asks_again=False
        )
        self.newest: tuple[Instant, int] | None = None
        """Capture time and RTP timestamp of the newest packet."""
        self.ntp: tuple[int, int] | None = None
        """What the last sender report says: nanoseconds of an NTP clock, and the RTP timestamp then."""
        self._sender = sender
        self._seen = seen
        self._timestamps = Unwrapper(32)
        self._last: tuple[int, AudioLabel] | None = None
        self._is_after_gap = False
        seen.receptions.append(self.reception)

    @property
    def is_waiting(self) -> bool:
        """For a packet that is missing."""
        return self.reception.packets_missing > 0

    def received(self, now: Instant, packet: RtpPacket) -> None:
        """Take a packet."""
        if not packet.payload:
            self._seen.fault("a packet of padding on the media's SSRC")
            return
        one = packet.timestamp, read_audio_label(packet.payload)
        for timestamp, label in self.reception.received(now, packet.sequence_number, packet.timestamp, one):
            self._take(now, timestamp, label)

    def skip_gaps(self, now: Instant) -> None:
        """Go on where a packet has not come for too long."""
        blocked_since = self.reception.blocked_since()
        if blocked_since is not None and now >= after_ms(blocked_since, GAP_PATIENCE_MS):
            self._is_after_gap = True
            for timestamp, label in self.reception.give_up():
                self._take(now, timestamp, label)

    def _take(self, now: Instant, timestamp: int, label: AudioLabel | None) -> None:
        if label is None:
            self._seen.fault("a payload that carries no label")
            return
        if label.sender != self._sender:
            self._seen.fault(f"sound of {label.sender} instead of {self._sender}")
            return
        ts = self._timestamps.unwrap(timestamp)
        if self._last is not None:
            self._judge(ts, label, *self._last)
        self._is_after_gap = False
        self._last = ts, label
        self.newest = label.captured_at, timestamp
        self._seen.sounds.append(HeardPacket(now, label.frame, label.captured_at, label.is_silence))

    def _judge(self, ts: int, label: AudioLabel, last_ts: int, last: AudioLabel) -> None:
        captured = (label.captured_at - last.captured_at) * CLOCK_RATE // NS_PER_S
        if abs(ts - last_ts - captured) > 1:
            self._seen.fault(f"sound {label.frame}: timestamp goes by {ts - last_ts}, capture by {captured}")
        is_withheld = self._seen.may_pause and label.frame > last.frame
        if label.frame != last.frame + 1 and not self._is_after_gap and not is_withheld:
            self._seen.fault(f"sound {label.frame} follows {last.frame}")
