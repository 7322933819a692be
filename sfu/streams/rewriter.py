"""Rewriting one route's packets so that its subscriber sees one RTP stream, whatever it is made of.

A packet's origin is its `source`, the SSRC it came from: an encoding that starts anew under another SSRC is
a switch like any other. Of each packet of the current source the rewriters are told whether it is forwarded
or dropped, in order of arrival. Those of other sources, and all while a route is paused, they never see.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sfu.rtp.vp8 import PICTURE_ID_MODULO, rewrite_vp8
from sfu.streams.clock import TICK_BITS, StreamClock
from sfu.streams.offsets import OffsetMap
from sfu.units import NS_PER_S, after_s

if TYPE_CHECKING:
    from sfu.rtp.vp8 import Vp8Descriptor
    from sfu.units import Instant, Ssrc

MAX_REPORT_WAIT_S: Final = 1.0
"""How long a switch waits for the sender report that would make it exact (packet rule 6). Lower: the first
switches may be a few ticks off. Higher: a publisher that sends no reports switches late."""

MAX_DEVIATION_S: Final = 2.0
"""Sender reports that put a switch further than this from where arrival puts it are not believed."""

_CATCH_UP: Final = 2
"""After a switch to an encoding that lags, its clock runs slower by this factor until it has caught up."""

_TL0PICIDX_BITS: Final = 8
_KEYIDX_BITS: Final = 5


class SequenceRewriter:
    """Outgoing sequence numbers: no gap for what we left out, a gap for what was lost on the way to us.

    The receiver NACKs the gaps, and a packet that comes late fills exactly its own.

    Args:
        first_seq: the first outgoing number, random below 2**15 (packet rule 3).
    """

    def __init__(self, first_seq: int) -> None:
        self._numbers = OffsetMap(first_seq)
        self._next_seq = first_seq
        self._source: Ssrc | None = None

    @property
    def next_seq(self) -> int:
        """The outgoing number after the highest so far, unwrapped: a NACKed 16-bit number lies below it."""
        return self._next_seq

    def forward(self, source: Ssrc, seq: int) -> int | None:
        """The outgoing number, unwrapped, of a packet that is forwarded.

        Another source than before is a switch, and its packets from before this one never pass.

        Returns:
            None where the packet is older than what is remembered: it can't be sent any more.
        """
        if source != self._source:
            self._numbers.rebase()
            self._source = source
        out = self._numbers.forward(seq)
        if out is not None:
            self._next_seq = max(self._next_seq, out + 1)
        return out

    def pause(self) -> None:
        """Nothing is forwarded for a while: what comes next is joined like another source."""
        self._source = None

    def drop(self, source: Ssrc, seq: int) -> None:
        """A packet was left out on purpose. Of another source than the current it leaves no trace anyway."""
        if source == self._source:
            self._numbers.drop(seq)


@dataclass(frozen=True, slots=True)
class _Joined:
    """How the clock of the stream that flows becomes the outgoing clock."""

    clock: StreamClock
    offset_fixed: int
    first_ts: int
    """The timestamp of its first packet that was forwarded."""
    floor: int
    """What that packet was sent with, at least."""

    def out_fixed(self, ts_fixed: int) -> int:
        return ts_fixed + self.offset_fixed

    def out(self, ts: int) -> int:
        since = ts - self.first_ts
        if since <= 0:
            return self.floor + since
        return max(_rounded(self.out_fixed(ts << TICK_BITS)), self.floor + since // _CATCH_UP)


class TimestampMapper:
    """One outgoing RTP clock out of several, aligned by what sender reports say (RFC 3550 section 6.4.1).

    At a switch, the first packet's capture time by its own clock's sender report is looked up on the clock
    that flowed before. So audio stays in step with video, and the picture does not jump. Where the new
    encoding's first picture is older than what was sent, time goes on at half speed until it is right again:
    an outgoing timestamp is never less than one before it.

    Args:
        first_ts: the first outgoing timestamp, random.
    """

    def __init__(self, first_ts: int) -> None:
        self._first_ts = first_ts
        self._joined: _Joined | None = None
        self._highest = first_ts
        self._highest_at: Instant | None = None

    def ready(self, now: Instant, clock: StreamClock) -> bool:
        """Whether a switch to this clock can be made, or has waited long enough for sender reports."""
        if self._joined is None or self._joined.clock is clock:
            return True
        return all(
            involved.has_report or now >= after_s(involved.first_at, MAX_REPORT_WAIT_S)
            for involved in (clock, self._joined.clock)
        )

    def map(self, now: Instant, clock: StreamClock, ts: int) -> int:
        """The outgoing timestamp, unwrapped, of a forwarded packet; packets of one frame get the same.

        Args:
            now: when it arrived.
            clock: of the stream it came in; another than before is a switch.
            ts: its timestamp there, unwrapped.
        """
        if self._joined is None or self._joined.clock is not clock:
            self._joined = self._join(now, clock, ts)
        out = self._joined.out(ts)
        if self._highest_at is None or out > self._highest:
            self._highest = out
            self._highest_at = now
        return out

    def sender_report_timestamp(self, ntp: int) -> int | None:
        """The outgoing timestamp, unwrapped, that belongs to a time of the publisher's NTP clock.

        The two make the outgoing sender report, `ntp` being the forwarded clock's `StreamClock.ntp_at`. All
        tracks of a publisher then speak of one NTP clock, which is what receivers align sound and picture by.

        Returns:
            None while nothing flows, or its publisher has sent no report: no report can be made then.
        """
        if self._joined is None:
            return None
        ts_fixed = self._joined.clock.ts_fixed_of(ntp)
        return None if ts_fixed is None else _rounded(self._joined.out_fixed(ts_fixed))

    def _join(self, now: Instant, clock: StreamClock, ts: int) -> _Joined:
        if self._joined is None or self._highest_at is None:
            return _Joined(clock, (self._first_ts - ts) << TICK_BITS, ts, self._first_ts)
        elapsed_fixed = ((now - self._highest_at) * clock.clock_rate << TICK_BITS) // NS_PER_S
        by_arrival = (self._highest << TICK_BITS) + elapsed_fixed
        exact = self._by_reports(self._joined, clock, ts)
        most_fixed = round(MAX_DEVIATION_S * clock.clock_rate) << TICK_BITS
        if exact is None or abs(exact - by_arrival) > most_fixed:
            exact = max(by_arrival, (self._highest + 1) << TICK_BITS)
        floor = max(self._highest + 1, _rounded(exact))
        return _Joined(clock, exact - (ts << TICK_BITS), ts, floor)

    @staticmethod
    def _by_reports(before: _Joined, clock: StreamClock, ts: int) -> int | None:
        ntp = clock.ntp_of(ts)
        before_fixed = None if ntp is None else before.clock.ts_fixed_of(ntp)
        return None if before_fixed is None else before.out_fixed(before_fixed)


def _rounded(fixed: int) -> int:
    """The nearest whole tick."""
    return (fixed + (1 << (TICK_BITS - 1))) >> TICK_BITS


class _Cyclic:
    """A counter of few bits, kept going over switches by an offset."""

    def __init__(self, bits: int) -> None:
        self._modulus = 1 << bits
        self._highest_out: int | None = None
        self._offset: int | None = 0

    def switch(self) -> None:
        """The next value comes from elsewhere, and continues the last."""
        self._offset = None

    def forward(self, value: int | None) -> int:
        """The outgoing value; 0 stands for a field that is not there."""
        if value is None:
            return 0
        if self._offset is None:
            self._offset = 0 if self._highest_out is None else self._highest_out + 1 - value
        out = (value + self._offset) % self._modulus
        if self._highest_out is None or (out - self._highest_out) % self._modulus < self._modulus // 2:
            self._highest_out = out
        return out


class Vp8Rewriter:
    """Keeps picture id, TL0PICIDX and KEYIDX going over switches and over pictures left out.

    Decoders take a jump of these for loss, and ask for a key frame. A late packet gets what the other packets
    of its picture got. Ids that go back in order of sequence number are an encoder that started anew.
    """

    def __init__(self) -> None:
        self._pictures = OffsetMap()
        self._tl0_pic_idx = _Cyclic(_TL0PICIDX_BITS)
        self._key_idx = _Cyclic(_KEYIDX_BITS)
        self._source: Ssrc | None = None
        self._newest_seq = 0
        self._newest_picture: int | None = None

    def rewrite(self, source: Ssrc, seq: int, payload: bytes, descriptor: Vp8Descriptor) -> bytes | None:
        """The payload of a forwarded packet with outgoing numbers in its descriptor, where it has them.

        Returns:
            None where the picture was left out, or is too old to know: no packet of it may be sent.
        """
        if source != self._source:
            self._source = source
            self._newest_seq = seq
            self._restart()
        number = self._number(seq, descriptor)
        picture_id = 0 if number is None else self._pictures.forward(number)
        if picture_id is None:
            return None
        return rewrite_vp8(
            payload,
            descriptor,
            picture_id % PICTURE_ID_MODULO,
            self._tl0_pic_idx.forward(descriptor.tl0_pic_idx),
            self._key_idx.forward(descriptor.key_idx),
        )

    def pause(self) -> None:
        """Nothing is forwarded for a while: what comes next is joined like another source."""
        self._source = None

    def drop(self, source: Ssrc, seq: int, descriptor: Vp8Descriptor) -> None:
        """A packet of a picture is left out, and with it the whole picture."""
        if source == self._source:
            number = self._number(seq, descriptor)
            if number is not None:
                self._pictures.drop(number)

    def _restart(self) -> None:
        self._newest_picture = None
        self._pictures.rebase()
        self._tl0_pic_idx.switch()
        self._key_idx.switch()

    def _number(self, seq: int, descriptor: Vp8Descriptor) -> int | None:
        """The picture's unwrapped id among those of its source."""
        newest_seq, self._newest_seq = self._newest_seq, max(self._newest_seq, seq)
        if descriptor.picture_id is None:
            return None
        if self._newest_picture is not None:
            modulus = 1 << descriptor.picture_id_bits
            half = modulus // 2
            ahead = (descriptor.picture_id - self._newest_picture + half) % modulus - half
            if ahead >= 0 or seq < newest_seq:
                number = self._newest_picture + ahead
                self._newest_picture = max(self._newest_picture, number)
                return number
            self._restart()
        self._newest_picture = descriptor.picture_id
        return descriptor.picture_id
