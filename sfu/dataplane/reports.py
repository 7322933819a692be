"""RTCP on its way out: when reports are due, and how packets become compounds (RFC 3550 section 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sfu.dataplane.srtp import TAG_BYTES
from sfu.dataplane.wire import MAX_PACKET_BYTES
from sfu.rtp.rtcp import MAX_BLOCKS, Nack, ReceiverReport, Sdes, serialise_compound
from sfu.units import NS_PER_MS, Instant, Ssrc, after_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sfu.dataplane.agenda import Agenda
    from sfu.rtp.rtcp import ReportBlock, RtcpPacket
    from sfu.units import TransportId

FEEDBACK_SSRC: Final = Ssrc(1)
"""Who we are in what we say as a receiver; never one of our streams, whose SSRCs are drawn at random."""

REPORT_INTERVAL_MS: Final = 1_000
"""Between two reports to one peer, on average. Lower: more packets. Higher: receivers align sound and picture
late, and round trips are known late."""

FIRST_REPORT_MS: Final = 100.0
"""From the first packet to the first report, in which much can be told together."""

MAX_RTCP_BYTES: Final = MAX_PACKET_BYTES - TAG_BYTES - 4
"""Longest compound, before encryption adds a tag and an index."""

MAX_NACKED: Final = 256
"""Sequence numbers of one NACK packet, so that it fits a compound however far apart they lie."""

KEY_BITS: Final = 64
"""Of what nobody else knows of when we report."""

_SPREAD_MS: Final = REPORT_INTERVAL_MS // 5
"""Reports come at random by this much early or late (section 6.2): peers that joined together don't report
together for ever."""

_WORD: Final = (1 << 64) - 1


class ReportSchedule:
    """When one peer is next sent reports: never while there is nothing to say.

    Args:
        transport: its.
        agenda: where its timers go.
        key: of the plane, `KEY_BITS` that must not be guessed.
    """

    def __init__(self, transport: TransportId, agenda: Agenda, key: int) -> None:
        self._transport = transport
        self._agenda = agenda
        self._key = key
        self._due_at: Instant | None = None

    def active(self, now: Instant) -> None:
        """A packet passed in either direction."""
        if self._due_at is None:
            self._plan(after_ms(now, FIRST_REPORT_MS))

    def hurry(self, now: Instant) -> None:
        """There is something that a peer should know soon."""
        soon = after_ms(now, FIRST_REPORT_MS)
        if self._due_at is None or soon < self._due_at:
            self._plan(soon)

    def next_timeout(self) -> Instant | None:
        """When reports are due; None: not before `active`."""
        return self._due_at

    def take(self, now: Instant) -> bool:
        """Whether to make reports now. Say `reported` if there were any."""
        if self._due_at is None or now < self._due_at:
            return False
        self._due_at = None
        return True

    def reported(self, now: Instant) -> None:
        """There was something to say, so there will be again."""
        self._plan(Instant(now + interval_ns(self._key, self._transport, now)))

    def _plan(self, at: Instant) -> None:
        self._due_at = at
        self._agenda.plan(self._transport, at)


def interval_ns(key: int, transport: TransportId, now: Instant) -> int:
    """From a report to the next.

    A hash of time (the finaliser of SplitMix64), not a generator's next number: whose turn came first makes
    no difference, so all planes that have a key report at the same times.
    """
    mixed = key + now + transport * 0x9E37_79B9_7F4A_7C15 & _WORD
    mixed = (mixed ^ mixed >> 30) * 0xBF58_476D_1CE4_E5B9 & _WORD
    mixed = (mixed ^ mixed >> 27) * 0x94D0_49BB_1331_11EB & _WORD
    mixed ^= mixed >> 31
    spread_ns = _SPREAD_MS * NS_PER_MS
    return REPORT_INTERVAL_MS * NS_PER_MS - spread_ns + mixed % (2 * spread_ns + 1)


def receiver_reports(blocks: Sequence[ReportBlock], cname: str) -> list[tuple[RtcpPacket, ...]]:
    """Units that each begin a compound: reports on what we receive, and who says so."""
    sdes = Sdes(((FEEDBACK_SSRC, cname),))
    return [
        (ReceiverReport(FEEDBACK_SSRC, tuple(blocks[at : at + MAX_BLOCKS])), sdes)
        for at in range(0, len(blocks), MAX_BLOCKS)
    ]


def nacks(media_ssrc: Ssrc, seqs: Sequence[int]) -> list[tuple[RtcpPacket, ...]]:
    """Units that ask for these packets again, unwrapped numbers in ascending order."""
    return [
        (Nack(FEEDBACK_SSRC, media_ssrc, tuple(seq & 0xFFFF for seq in seqs[at : at + MAX_NACKED])),)
        for at in range(0, len(seqs), MAX_NACKED)
    ]


def compounds(units: Sequence[tuple[RtcpPacket, ...]]) -> Iterator[list[RtcpPacket]]:
    """Units in as few packets as can be, in order; none is cut or longer than `MAX_RTCP_BYTES`."""
    compound: list[RtcpPacket] = []
    size_bytes = 0
    for unit in units:
        unit_bytes = len(serialise_compound(unit))
        if compound and size_bytes + unit_bytes > MAX_RTCP_BYTES:
            yield compound
            compound, size_bytes = [], 0
        compound.extend(unit)
        size_bytes += unit_bytes
    if compound:
        yield compound
