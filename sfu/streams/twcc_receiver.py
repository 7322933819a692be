"""Transport-wide congestion control: telling a publisher when what it sent arrived.

By draft-holmer-rmcat-transport-wide-cc-extensions-01.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sfu.rtp.twcc import TransportFeedback, split_arrivals
from sfu.rtp.unwrap import Unwrapper
from sfu.units import Instant, Ssrc, after_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

FEEDBACK_INTERVAL_MS: Final = 50.0
"""The first arrival not yet told waits this long. Lower: more feedback packets. Above 100, the publisher's
estimate lags behind its link."""

MAX_PENDING: Final = 2_000
"""Arrivals waiting to be told: 40,000 packets a second. What exceeds it is as good as lost, and slows down
the publisher."""

MAX_LEADING_LOST: Final = 500
"""Numbers told as lost in front of the first that arrived. A longer jump is a counter that started anew."""

_COUNTER_BITS: Final = 16


class TwccReceiver:
    """Arrival times of one transport's packets as feedback packets (packet rule 5).

    Each number is told once, those that did not come included; one that comes after it was told as lost is
    told again by itself.

    Args:
        sender_ssrc: ours, of the feedback packets.
    """

    def __init__(self, sender_ssrc: Ssrc) -> None:
        self._sender_ssrc = sender_ssrc
        self._media_ssrc = Ssrc(0)
        self._unwrapper = Unwrapper(_COUNTER_BITS)
        self._pending: dict[int, Instant] = {}
        self._next_number: int | None = None
        self._feedback_count = 0
        self._due_at: Instant | None = None

    def received(self, at: Instant, ssrc: Ssrc, number: int) -> None:
        """A packet arrived, of any stream: libwebrtc's first probes have SSRC 0 and belong to none."""
        unwrapped = self._unwrapper.unwrap(number)
        if unwrapped in self._pending or len(self._pending) >= MAX_PENDING:
            return
        self._media_ssrc = ssrc or self._media_ssrc
        self._pending[unwrapped] = at
        if self._due_at is None:
            self._due_at = after_ms(at, FEEDBACK_INTERVAL_MS)

    def next_timeout(self) -> Instant | None:
        """When `poll` next has something to say; None while nothing is to be told."""
        return self._due_at

    def poll(self, now: Instant) -> list[TransportFeedback]:
        """The feedback to send now; more than one packet after a jump or for late packets."""
        if self._due_at is None or now < self._due_at:
            return []
        arrivals = sorted(self._pending.items())
        self._pending.clear()
        self._due_at = None
        return [self._feedback(run) for run in self._runs(arrivals)]

    def _runs(self, arrivals: list[tuple[int, Instant]]) -> Iterator[list[tuple[int, int | None]]]:
        """What each feedback packet tells: entries from a base, ascending."""
        start = self._next_number
        told = 0 if start is None else sum(number < start for number, _ in arrivals)
        for late in _adjacent(arrivals[:told]):
            yield from map(list, split_arrivals(late))
        for run in split_arrivals(arrivals[told:]):
            first = run[0][0]
            lost = 0 if start is None else first - start
            leading: list[tuple[int, int | None]] = (
                [(first - lost, None)] if 0 < lost <= MAX_LEADING_LOST else []
            )
            yield leading + list(run)
            start = self._next_number = run[-1][0] + 1

    def _feedback(self, run: list[tuple[int, int | None]]) -> TransportFeedback:
        count = self._feedback_count
        self._feedback_count = (count + 1) % 256
        entries = tuple((number % (1 << _COUNTER_BITS), at) for number, at in run)
        return TransportFeedback(self._sender_ssrc, self._media_ssrc, count, entries)


def _adjacent(arrivals: list[tuple[int, Instant]]) -> list[list[tuple[int, Instant]]]:
    """Ascending arrivals in runs without holes: nothing between two of them is told again."""
    runs: list[list[tuple[int, Instant]]] = []
    for number, at in arrivals:
        if runs and runs[-1][-1][0] == number - 1:
            runs[-1].append((number, at))
        else:
            runs.append([(number, at)])
    return runs
