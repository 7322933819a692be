from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from loadtest.client import sdp
from loadtest.client.negotiation import (
    LIKE_CHROMIUM,
    LIKE_FIREFOX,
    LegNumbers,
    LocalTrack,
    ReceiveSection,
    SendSection,
)
from loadtest.client.rtp_session import (
    MAX_UNACKNOWLEDGED,
    MAX_UNKNOWN_SSRCS,
    FrameArrived,
    KeyFrameWanted,
    RtpSession,
    SessionEvent,
    SoundArrived,
)
from loadtest.media.vp8_packetiser import Vp8Packetiser
from sfu.rtp import rtcp
from sfu.rtp.packet import RtpPacket
from sfu.rtp.twcc import TransportFeedback
from sfu.units import Instant, PayloadType, Ssrc, after_ms

T0 = Instant(10**12)
NTP = 0xE000_0000_8000_0000
STEP_MS = 20


def dice(seed: int) -> random.Random:
    return random.Random(seed)


def section(
    numbers: LegNumbers,
    kind: str = sdp.VIDEO,
    mid: str = "1",
    rids: tuple[str, ...] = (),
    *,
    rtx: bool = True,
) -> SendSection:
    ids = {uri: number for number, uri in numbers.ids(kind)}
    track = LocalTrack(kind, "stream", f"track{mid}", rids)
    payload_type = numbers.opus if kind == sdp.AUDIO else numbers.vp8
    return SendSection(
        mid, track, payload_type, numbers.rtx if rtx and kind == sdp.VIDEO else None, ids, rids
    )


def mirrored(sent: SendSection, numbers: LegNumbers) -> ReceiveSection:
    codec = "opus" if sent.track.kind == sdp.AUDIO else "vp8"
    repairs = {sent.rtx_payload_type: sent.payload_type} if sent.rtx_payload_type is not None else {}
    return ReceiveSection(
        mid=sent.mid,
        kind=sent.track.kind,
        stream_id=sent.track.stream_id,
        track_id=sent.track.track_id,
        codecs={sent.payload_type: codec},
        repairs=repairs,
        extensions=dict(numbers.ids(sent.track.kind)),
        ssrcs=(),
        rtx_ssrcs={},
    )


@dataclass
class Line:
    """Two sessions on a wire that loses packets by the test's say."""

    numbers: LegNumbers = LIKE_CHROMIUM
    kind: str = sdp.VIDEO
    rtx: bool = True
    loss: float = 0.0
    now: Instant = T0
    rng: random.Random = field(default_factory=lambda: dice(5))
    frames: list[bytes] = field(default_factory=list)
    got: list[SessionEvent] = field(default_factory=list)
    wanted: list[SessionEvent] = field(default_factory=list)
    wire: list[bytes] = field(default_factory=list)
    feedback: list[rtcp.RtcpPacket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.near = RtpSession("near", dice(1))
        self.far = RtpSession("far", dice(2))
        self.agreed = section(self.numbers, self.kind, rtx=self.rtx)
        self.near.agree([self.agreed], [])
        self.far.agree([], [mirrored(self.agreed, self.numbers)])
        self.packetiser = Vp8Packetiser()

    def send(self, data: bytes, *, is_key: bool = False, level: int | None = None) -> None:
        (stream,) = self.near.streams("track1")
        payloads = [data] if self.kind == sdp.AUDIO else self.packetiser.payloads(data, is_key=is_key)
        self.carry(self.near.send(self.now, stream, payloads, self.now, NTP, level=level))

    def carry(self, packets: list[bytes]) -> None:
        for packet in packets:
            self.wire.append(packet)
            if self.rng.random() >= self.loss:
                self.got += self.far.receive_rtp(self.now, packet)

    def tick(self) -> None:
        self.now = after_ms(self.now, STEP_MS)
        for compound in self.near.poll(self.now, NTP)[0]:
            self.far.receive_rtcp(self.now, compound)
        reports, events = self.far.poll(self.now, NTP)
        self.got += events
        for report in reports:
            self.feedback += rtcp.parse_compound(report)
            resent, wanted = self.near.receive_rtcp(self.now, report)
            self.wanted += wanted
            self.carry(resent)

    def whole(self) -> list[bytes]:
        return [event.frame.data for event in self.got if isinstance(event, FrameArrived)]


def frame(n: int, size: int = 2_500) -> bytes:
    return (b"\x10" if n == 0 else b"\x11") + n.to_bytes(2, "big") * (size // 2)


def test_frames_cross_a_perfect_wire() -> None:
    line = Line()
    sent = [frame(n) for n in range(50)]
    for n, data in enumerate(sent):
        line.send(data, is_key=n == 0)
        line.tick()
    assert line.whole() == sent
    assert line.far.stats.packets_unknown == 0


def test_resends_make_up_for_loss() -> None:
    line = Line(loss=0.1)
    sent = [frame(n) for n in range(100)]
    for n, data in enumerate(sent):
        line.loss = 0.1 if n else 0.0
        line.send(data, is_key=n == 0)
        line.tick()
    line.loss = 0.0
    for _ in range(30):
        line.tick()
    assert line.whole() == sent
    assert line.near.stats.nacks_received > 0
    track = line.far.track("1")
    assert track is not None
    assert track.log.packets_repaired > 0


def test_without_rtx_the_very_same_packet_is_sent_again() -> None:
    line = Line(rtx=False)
    line.send(frame(0), is_key=True)
    before = len(line.wire)
    line.loss = 1.0
    line.send(frame(1))
    line.loss = 0.0
    lost = line.wire[before:]
    line.tick()
    line.send(frame(2))
    for _ in range(5):
        line.tick()
    resent = line.wire[-len(lost) :]
    assert resent == lost
    assert line.whole() == [frame(0), frame(1), frame(2)]


def test_mid_and_rid_ride_until_a_report_acknowledges_them() -> None:
    agreed = section(LIKE_FIREFOX, rids=("f", "h", "q"))
    near = RtpSession("near", dice(1))
    near.agree([agreed], [])
    streams = near.streams("track1")
    assert [stream.rid for stream in streams] == ["f", "h", "q"]
    ids = agreed.extensions

    def extensions(index: int) -> dict[int, bytes]:
        (data,) = near.send(T0, streams[index], [b"\x10x"], T0, NTP)
        return dict(RtpPacket.parse(data).extensions)

    assert extensions(1)[ids[sdp.MID]] == b"1"
    assert extensions(1)[ids[sdp.RID]] == b"h"
    block = rtcp.ReportBlock(streams[1].ssrc, 0, 0, 1, 0)
    near.receive_rtcp(T0, rtcp.serialise_compound([rtcp.ReceiverReport(Ssrc(9), (block,))]))
    assert ids[sdp.MID] not in extensions(1)
    assert ids[sdp.RID] not in extensions(1)
    assert extensions(0)[ids[sdp.RID]] == b"f"


def test_rtx_names_the_encoding_it_repairs() -> None:
    agreed = section(LIKE_CHROMIUM, rids=("f",))
    near = RtpSession("near", dice(1))
    near.agree([agreed], [])
    (stream,) = near.streams("track1")
    (data,) = near.send(T0, stream, [b"\x10x"], T0, NTP)
    original = RtpPacket.parse(data)
    nack = rtcp.Nack(Ssrc(9), stream.ssrc, (original.sequence_number,))
    later = after_ms(T0, 50)
    resent, _ = near.receive_rtcp(later, rtcp.serialise_compound([nack]))
    repair = RtpPacket.parse(resent[0])
    assert repair.ssrc == stream.rtx_ssrc
    assert repair.payload_type == LIKE_CHROMIUM.rtx
    assert repair.payload == original.sequence_number.to_bytes(2, "big") + original.payload
    assert dict(repair.extensions)[agreed.extensions[sdp.REPAIRED_RID]] == b"f"
    assert near.receive_rtcp(later, rtcp.serialise_compound([nack]))[0] == []  # too soon again


def test_transport_numbers_run_over_all_streams() -> None:
    video, audio = section(LIKE_CHROMIUM), section(LIKE_CHROMIUM, sdp.AUDIO, mid="0")
    near = RtpSession("near", dice(1))
    near.agree([video, audio], [])
    numbers = []
    for track_id in ("track1", "track0", "track1"):
        (data,) = near.send(T0, near.streams(track_id)[0], [b"\x10x"], T0, NTP)
        value = RtpPacket.parse(data).extension(LIKE_CHROMIUM.extensions[sdp.TRANSPORT_CC])
        numbers.append(int.from_bytes(value or b"", "big"))
    assert [number - numbers[0] for number in numbers] == [0, 1, 2]


def test_feedback_tells_when_packets_arrived_and_which_did_not() -> None:
    line = Line()
    line.send(frame(0, 1_000), is_key=True)
    line.loss = 1.0
    line.send(frame(1, 1_000))
    line.loss = 0.0
    line.send(frame(2, 1_000))
    line.tick()
    (feedback,) = [packet for packet in line.feedback if isinstance(packet, TransportFeedback)]
    assert [at is None for _, at in feedback.arrivals] == [False, True, False]


def test_arrivals_kept_for_feedback_are_bounded() -> None:
    line = Line()
    for n in range(MAX_UNACKNOWLEDGED + 10):
        line.send(frame(n, 10), is_key=n == 0)
    reports, _ = line.far.poll(line.now, NTP)
    told = [p for r in reports for p in rtcp.parse_compound(r) if isinstance(p, TransportFeedback)]
    assert sum(len(feedback.arrivals) for feedback in told) <= MAX_UNACKNOWLEDGED


def test_a_picture_loss_indication_names_the_encoding() -> None:
    agreed = section(LIKE_CHROMIUM, rids=("f", "q"))
    near = RtpSession("near", dice(1))
    near.agree([agreed], [])
    low = near.streams("track1")[1]
    pli = rtcp.serialise_compound([rtcp.Pli(Ssrc(9), low.ssrc)])
    assert near.receive_rtcp(T0, pli)[1] == [KeyFrameWanted("track1", "q")]
    fir = rtcp.serialise_compound([rtcp.Fir(Ssrc(9), (rtcp.FirEntry(low.ssrc, 1),))])
    assert near.receive_rtcp(T0, fir)[1] == [KeyFrameWanted("track1", "q")]


def test_a_key_frame_is_asked_for_where_the_first_one_was_missed() -> None:
    line = Line(loss=1.0, rtx=False)
    line.send(frame(0), is_key=True)
    line.loss = 0.0
    for n in range(1, 12):
        line.send(frame(n))
        line.tick()
    assert line.wanted == [KeyFrameWanted("track1", "")]
    line.send(frame(0), is_key=True)
    assert line.whole() == [frame(0)]


def test_a_decoder_that_cannot_go_on_asks_at_once() -> None:
    line = Line()
    line.send(frame(0), is_key=True)
    line.far.need_key_frame("1")
    line.tick()
    assert line.wanted == [KeyFrameWanted("track1", "")]
    line.far.need_key_frame("none of ours")


def test_sound_passes_with_its_level_and_loss_is_told() -> None:
    line = Line(kind=sdp.AUDIO)
    line.send(b"one", level=-12)
    packet = RtpPacket.parse(line.wire[0])
    assert packet.extension(LIKE_CHROMIUM.extensions[sdp.AUDIO_LEVEL]) == bytes((0x80 | 12,))
    line.loss = 1.0
    line.send(b"two", level=-12)
    line.loss = 0.0
    line.send(b"three", level=-127)
    sounds = [event.packet for event in line.got if isinstance(event, SoundArrived)]
    assert [(sound.data, sound.after_gap) for sound in sounds] == [(b"one", False), (b"three", True)]
    assert sounds[0].capture_ntp == NTP


def test_reports_count_loss_and_answer_sender_reports() -> None:
    line = Line(kind=sdp.AUDIO)
    for n in range(100):
        line.loss = 1.0 if n % 4 == 3 else 0.0
        line.send(b"x")
        line.tick()
    blocks = [b for p in line.feedback if isinstance(p, rtcp.ReceiverReport) for b in p.reports]
    assert 50 <= blocks[-1].fraction_lost <= 80
    assert 10 <= blocks[-1].packets_lost <= 25
    assert blocks[-1].last_sender_report == NTP >> 16 & 0xFFFFFFFF


def test_packets_of_no_section_are_counted_and_bounded() -> None:
    session = RtpSession("far", dice(2))
    for ssrc in range(MAX_UNKNOWN_SSRCS + 5):
        packet = RtpPacket(PayloadType(96), sequence_number=1, timestamp=1, ssrc=Ssrc(ssrc))
        session.receive_rtp(T0, packet.serialise())
    assert session.stats.packets_unknown == MAX_UNKNOWN_SSRCS + 5
    assert len(session.stats.unknown_ssrcs) == MAX_UNKNOWN_SSRCS


def test_malformed_packets_are_counted() -> None:
    session = RtpSession("far", dice(2))
    session.receive_rtp(T0, b"\x80")
    session.receive_rtcp(T0, b"\x80")
    assert session.stats.malformed == 2


def test_a_new_ssrc_on_the_same_mid_starts_a_new_stream() -> None:
    line = Line()
    line.send(frame(0), is_key=True)
    line.near = RtpSession("near again", dice(77))
    line.near.agree([line.agreed], [])
    line.send(frame(0), is_key=True)
    line.send(frame(1))
    assert line.whole() == [frame(0), frame(0), frame(1)]


def test_a_section_that_ends_receives_no_more() -> None:
    line = Line()
    line.send(frame(0), is_key=True)
    line.far.agree([], [])
    line.send(frame(1))
    assert line.whole() == [frame(0)]
    assert line.far.stats.packets_unknown == 3


def test_a_stream_keeps_its_numbers_over_a_negotiation() -> None:
    line = Line()
    line.send(frame(0), is_key=True)
    (before,) = line.near.streams("track1")
    line.near.agree([replace(line.agreed, payload_type=99)], [])
    (after,) = line.near.streams("track1")
    assert after is before
    (data,) = line.near.send(T0, after, [b"\x11x"], T0, NTP)
    assert RtpPacket.parse(data).payload_type == 99


def test_goodbyes_name_our_streams() -> None:
    line = Line()
    _, bye = rtcp.parse_compound(line.near.bye())
    assert bye == rtcp.Bye((line.near.streams("track1")[0].ssrc,))
    line.far.receive_rtcp(T0, line.near.bye())
    assert line.far.stats.byes_received == 1


def test_another_track_on_a_used_section_has_streams_of_its_own() -> None:
    session = RtpSession("near", dice(1))
    first = section(LIKE_CHROMIUM)
    session.agree([first], [])
    (before,) = session.streams("track1")
    other = LocalTrack(sdp.VIDEO, "stream2", "track2", ssrc=77, rtx_ssrc=78)
    session.agree([replace(first, track=other)], [])
    (after,) = session.streams("track2")
    assert (after.ssrc, after.rtx_ssrc) == (77, 78)
    assert before.ssrc != after.ssrc
    assert session.streams("track1") == []


@given(st.lists(st.binary(max_size=80), max_size=20))
def test_any_bytes_are_taken_or_counted(datagrams: list[bytes]) -> None:
    line = Line()
    for data in datagrams:
        line.far.receive_rtp(T0, data)
        line.far.receive_rtcp(T0, data)
    line.send(frame(0), is_key=True)
    assert line.whole() == [frame(0)]


@given(st.lists(st.tuples(st.integers(0, 2**16 - 1), st.binary(max_size=60), st.booleans()), max_size=40))
def test_any_payloads_on_a_known_section_harm_nothing(payloads: list[tuple[int, bytes, bool]]) -> None:
    line = Line()
    mid = (LIKE_CHROMIUM.extensions[sdp.MID], b"1")
    for number, payload, is_rtx in payloads:
        packet = RtpPacket(
            payload_type=PayloadType(LIKE_CHROMIUM.rtx if is_rtx else LIKE_CHROMIUM.vp8),
            sequence_number=number,
            timestamp=0,
            ssrc=Ssrc(9 if is_rtx else 8),
            extensions=(mid,),
            payload=payload,
            marker=True,
        )
        line.far.receive_rtp(T0, packet.serialise())
    line.far.poll(after_ms(T0, 1_000), NTP)
