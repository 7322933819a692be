"""One RTP stream on its way up: numbers, header extensions, reports, and what is kept for resending."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadtest.client import sdp
from sfu.rtp.packet import ExtensionElements, RtpPacket
from sfu.rtp.rtcp import SenderReport
from sfu.units import NS_PER_S, Instant, PayloadType, Ssrc
from tests.support.simulation.clock import START

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Sequence

    from loadtest.client.negotiation import SendSection

CLOCK_RATES: Final = {sdp.AUDIO: 48_000, sdp.VIDEO: 90_000}
MAX_CACHED_PACKETS: Final = 512


@dataclass(frozen=True, slots=True)
class StreamStart:
    """Where a stream's numbers begin; None draws them."""

    sequence_number: int | None = None
    timestamp: int | None = None
    """Of a picture taken when the clock began."""
    ssrc: Ssrc | None = None
    rtx_ssrc: Ssrc | None = None


class SendStream:
    """An encoding of a track of ours as one RTP stream and its RTX stream."""

    def __init__(self, section: SendSection, rid: str, start: StreamStart, rng: random.Random) -> None:
        self.section = section
        self.rid: Final = rid
        self.clock_rate: Final = CLOCK_RATES[section.track.kind]
        self.packets_sent = 0
        self.packets_resent = 0
        self.nack_count = 0
        self.pli_count = 0
        self.octets_sent = 0
        self._begin(start, rng)

    def _begin(self, start: StreamStart, rng: random.Random) -> None:
        self.ssrc = start.ssrc or Ssrc(rng.randrange(1, 2**32))
        self.rtx_ssrc = start.rtx_ssrc or Ssrc(rng.randrange(1, 2**32))
        drawn = rng.randrange(2**15), rng.randrange(2**32)
        self._sequence_number = drawn[0] if start.sequence_number is None else start.sequence_number
        self._offset = drawn[1] if start.timestamp is None else start.timestamp
        self._rtx_sequence_number = rng.randrange(2**15)
        self._is_acknowledged = self._is_rtx_acknowledged = False
        self._cache: OrderedDict[int, tuple[bytes, int, bool, ExtensionElements]] = OrderedDict()

    def begin_anew(self, rng: random.Random) -> tuple[Ssrc, Ssrc]:
        """Take other SSRCs and numbers, as a browser does that builds its encoder anew; the old SSRCs."""
        before = self.ssrc, self.rtx_ssrc
        self._begin(StreamStart(), rng)
        return before

    def timestamp(self, moment: Instant) -> int:
        """The RTP timestamp of a moment of capture, 32 bits."""
        return (self._offset + (moment - START) * self.clock_rate // NS_PER_S) % 2**32

    def packets(
        self, payloads: Sequence[bytes], captured_at: Instant, extra: ExtensionElements, *, marker: bool
    ) -> list[RtpPacket]:
        """One frame's packets, but for what is stamped at sending."""
        made = []
        timestamp = self.timestamp(captured_at)
        for index, payload in enumerate(payloads):
            number = self._sequence_number
            self._sequence_number = (number + 1) % 2**16
            has_marker = marker and index == len(payloads) - 1
            extensions = extra + self._names(sdp.RID, is_known=self._is_acknowledged)
            self._cache[number] = payload, timestamp, has_marker, extra
            if len(self._cache) > MAX_CACHED_PACKETS:
                self._cache.popitem(last=False)
            made.append(
                RtpPacket(
                    PayloadType(self.section.payload_type),
                    number,
                    timestamp,
                    self.ssrc,
                    payload,
                    has_marker,
                    extensions,
                )
            )
            self.octets_sent += len(payload)
        self.packets_sent += len(made)
        return made

    def resend(self, numbers: Iterable[int]) -> list[RtpPacket]:
        """Answer a NACK over RTX (RFC 4588)."""
        made = []
        for number in numbers:
            self.nack_count += 1
            cached = self._cache.get(number)
            if cached is None or self.section.rtx_payload_type is None:
                continue
            payload, timestamp, has_marker, extra = cached
            made.append(
                RtpPacket(
                    PayloadType(self.section.rtx_payload_type),
                    self._rtx_sequence_number,
                    timestamp,
                    self.rtx_ssrc,
                    number.to_bytes(2, "big") + payload,
                    has_marker,
                    extra + self._names(sdp.REPAIRED_RID, is_known=self._is_rtx_acknowledged),
                )
            )
            self._rtx_sequence_number = (self._rtx_sequence_number + 1) % 2**16
        self.packets_resent += len(made)
        return made

    def acknowledge(self, ssrc: int) -> None:
        """A report names an SSRC of ours: libwebrtc leaves mid and rid out from then on (packet rule 4)."""
        self._is_acknowledged |= ssrc == self.ssrc
        self._is_rtx_acknowledged |= ssrc == self.rtx_ssrc

    def sender_report(self, now: Instant, ntp: int) -> SenderReport | None:
        """The report that maps timestamps to the sender's NTP clock; None before the first packet."""
        if not self.packets_sent:
            return None
        return SenderReport(
            self.ssrc, ntp, self.timestamp(now), self.packets_sent % 2**32, self.octets_sent % 2**32
        )

    def _names(self, rid_uri: str, *, is_known: bool) -> ExtensionElements:
        if is_known:
            return ()
        ids = self.section.extensions
        elements = [(ids[sdp.MID], self.section.mid.encode())] if sdp.MID in ids else []
        if self.rid and rid_uri in ids:
            elements.append((ids[rid_uri], self.rid.encode()))
        return tuple(elements)
