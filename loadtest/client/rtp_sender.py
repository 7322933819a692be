"""One RTP stream of ours: numbers, header extensions, resends and sender reports."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from loadtest.client import sdp
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import SenderReport
from sfu.units import NS_PER_S, Instant, PayloadType, Ssrc, after_ms

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Sequence

    from loadtest.client.negotiation import SendSection

MAX_CACHED_PACKETS: Final = 512
MIN_RESEND_INTERVAL_MS: Final = 20
"""A packet is not sent again sooner than this after its last time."""
CLOCK_RATES: Final = {sdp.AUDIO: 48_000, sdp.VIDEO: 90_000}


@dataclass(slots=True)
class _Cached:
    packet: RtpPacket
    sent_at: Instant


class SendStream:
    """One encoding of one track on its way out.

    Mid and rid ride on every packet until a receiver report acknowledges the SSRC, as in browsers
    (protocol: 7.2); the RTX stream does likewise with the repaired rid.
    """

    def __init__(self, section: SendSection, rid: str, rng: random.Random) -> None:
        self.section = section
        self.rid = rid
        track = section.track
        self.ssrc = Ssrc(track.ssrc if track.ssrc is not None else rng.randrange(1, 2**32))
        self.rtx_ssrc = Ssrc(track.rtx_ssrc if track.rtx_ssrc is not None else rng.randrange(1, 2**32))
        self.clock_rate = CLOCK_RATES[track.kind]
        self._sequence_number = rng.randrange(2**15)
        self._rtx_sequence_number = rng.randrange(2**15)
        self._timestamp_offset = rng.randrange(2**32)
        self._is_acknowledged = False
        self._is_rtx_acknowledged = False
        self._cache: OrderedDict[int, _Cached] = OrderedDict()
        self.packets_sent = 0
        self.octets_sent = 0
        self.packets_resent = 0

    def timestamp(self, moment: Instant) -> int:
        """The RTP timestamp of a moment of capture."""
        return (self._timestamp_offset + moment * self.clock_rate // NS_PER_S) % 2**32

    def packets(
        self,
        payloads: Sequence[bytes],
        captured_at: Instant,
        *,
        extra: tuple[tuple[str, bytes], ...] = (),
        marker: bool = True,
    ) -> list[RtpPacket]:
        """One frame's packets, without what is stamped at sending."""
        made = []
        for index, payload in enumerate(payloads):
            packet = RtpPacket(
                marker=marker and index == len(payloads) - 1,
                payload_type=PayloadType(self.section.payload_type),
                sequence_number=self._sequence_number,
                timestamp=self.timestamp(captured_at),
                ssrc=self.ssrc,
                extensions=self._extensions(sdp.RID, is_known=self._is_acknowledged, extra=extra),
                payload=payload,
            )
            self._sequence_number = (self._sequence_number + 1) % 2**16
            self.packets_sent += 1
            self.octets_sent += len(payload)
            made.append(packet)
        return made

    def remember(self, now: Instant, packet: RtpPacket) -> None:
        """Keep a packet as it was sent, for a NACK."""
        self._cache[packet.sequence_number] = _Cached(packet, now)
        if len(self._cache) > MAX_CACHED_PACKETS:
            self._cache.popitem(last=False)

    def resend(self, now: Instant, sequence_numbers: Iterable[int]) -> list[RtpPacket]:
        """Answer a NACK: by RTX (RFC 4588) where it was agreed, else with the very same packets."""
        made = []
        for sequence_number in sequence_numbers:
            cached = self._cache.get(sequence_number)
            if cached is None or now < after_ms(cached.sent_at, MIN_RESEND_INTERVAL_MS):
                continue
            cached.sent_at = now
            self.packets_resent += 1
            if self.section.rtx_payload_type is None:
                made.append(cached.packet)
                continue
            made.append(
                replace(
                    cached.packet,
                    payload_type=PayloadType(self.section.rtx_payload_type),
                    sequence_number=self._rtx_sequence_number,
                    ssrc=self.rtx_ssrc,
                    extensions=self._extensions(
                        sdp.REPAIRED_RID, is_known=self._is_rtx_acknowledged, extra=()
                    ),
                    payload=sequence_number.to_bytes(2, "big") + cached.packet.payload,
                )
            )
            self._rtx_sequence_number = (self._rtx_sequence_number + 1) % 2**16
        return made

    def acknowledge(self, ssrc: int) -> None:
        """A receiver report names one of our SSRCs: the other side knows it now."""
        self._is_acknowledged |= ssrc == self.ssrc
        self._is_rtx_acknowledged |= ssrc == self.rtx_ssrc

    def sender_report(self, now: Instant, ntp: int) -> SenderReport | None:
        """The report that maps this stream's timestamps to wall time; None before the first packet."""
        if not self.packets_sent:
            return None
        return SenderReport(
            ssrc=self.ssrc,
            ntp_timestamp=ntp,
            rtp_timestamp=self.timestamp(now),
            packet_count=self.packets_sent % 2**32,
            octet_count=self.octets_sent % 2**32,
            reports=(),
        )

    def _extensions(
        self, rid_uri: str, *, is_known: bool, extra: tuple[tuple[str, bytes], ...]
    ) -> tuple[tuple[int, bytes], ...]:
        ids = self.section.extensions
        wanted = list(extra)
        if not is_known:
            wanted.append((sdp.MID, self.section.mid.encode()))
            if self.rid:
                wanted.append((rid_uri, self.rid.encode()))
        return tuple((ids[uri], value) for uri, value in wanted if uri in ids)
