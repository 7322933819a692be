from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from aiortc import rtp as aiortc_rtp
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import ParseError
from sfu.rtp.rtcp import (
    MAX_BLOCKS,
    MAX_PACKETS,
    MAX_REMB_SSRCS,
    Bye,
    Fir,
    FirEntry,
    Nack,
    Pli,
    RawRtcp,
    ReceiverReport,
    Remb,
    ReportBlock,
    RtcpPacket,
    Sdes,
    SenderReport,
    parse_compound,
    serialise_compound,
)
from sfu.rtp.twcc import REFERENCE_NS, TransportFeedback
from sfu.units import Ssrc
from tests.unit.rtp.packets import refusal

REASONS = {
    None,
    "short",
    "version",
    "length",
    "padding",
    "sender_report",
    "receiver_report",
    "sdes",
    "bye",
    "feedback",
    "nack",
    "fir",
    "remb",
    "twcc",
}

ssrcs = st.integers(0, 2**32 - 1).map(Ssrc)
words = st.integers(0, 2**32 - 1)
names = st.text(max_size=60)
blocks = st.builds(
    ReportBlock,
    ssrc=ssrcs,
    fraction_lost=st.integers(0, 255),
    packets_lost=st.integers(-(2**23), 2**23 - 1),
    highest_sequence_number=words,
    jitter=words,
    last_sender_report=words,
    delay_since_last_sender_report=words,
)
reports = st.lists(blocks, max_size=4).map(tuple)
sender_reports = st.builds(
    SenderReport,
    ssrc=ssrcs,
    ntp_timestamp=st.integers(0, 2**64 - 1),
    rtp_timestamp=words,
    packet_count=words,
    octet_count=words,
    reports=reports,
)
nacks = st.builds(
    Nack,
    sender_ssrc=ssrcs,
    media_ssrc=ssrcs,
    sequence_numbers=st.lists(st.integers(0, 2**16 - 1), min_size=1, max_size=30).map(tuple),
)
rembs = st.builds(
    Remb,
    sender_ssrc=ssrcs,
    bitrate_bps=st.builds(
        lambda mantissa, exponent: mantissa << exponent, st.integers(0, 2**18 - 1), st.integers(0, 63)
    ),
    ssrcs=st.lists(ssrcs, max_size=5).map(tuple),
)
packets = st.one_of(
    sender_reports,
    st.builds(ReceiverReport, ssrc=ssrcs, reports=reports),
    st.builds(Sdes, st.lists(st.tuples(ssrcs, names), max_size=4).map(tuple)),
    st.builds(Bye, st.lists(ssrcs, max_size=4).map(tuple), names),
    nacks,
    st.builds(Pli, ssrcs, ssrcs),
    st.builds(
        Fir,
        ssrcs,
        st.lists(st.builds(FirEntry, ssrcs, st.integers(0, 255)), min_size=1, max_size=4).map(tuple),
    ),
    rembs,
    st.builds(RawRtcp, st.sampled_from([192, 204, 207, 255]), st.integers(0, 31), st.binary(max_size=40)),
)


def packet_of(packet_type: int, count: int, body: bytes, first: int = 0x80) -> bytes:
    assert len(body) % 4 == 0
    return struct.pack("!BBH", first | count, packet_type, len(body) // 4) + body


def one(data: bytes) -> RtcpPacket:
    (packet,) = parse_compound(data)
    return packet


def reason_of(data: bytes) -> str:
    with pytest.raises(ParseError) as caught:
        parse_compound(data)
    return caught.value.reason


def block_of(number: int) -> ReportBlock:
    return ReportBlock(Ssrc(number), 1, 2, 3, 4)


@given(compound=st.lists(packets, min_size=1, max_size=6))
def test_a_compound_survives_the_wire(compound: list[RtcpPacket]) -> None:
    data = serialise_compound(compound)
    assert len(data) % 4 == 0
    read = parse_compound(data)
    assert len(read) == len(compound)
    for ours, theirs in zip(compound, read, strict=True):
        if isinstance(ours, Nack) and isinstance(theirs, Nack):
            ours = replace(ours, sequence_numbers=tuple(sorted(set(ours.sequence_numbers))))  # noqa: PLW2901  # the order of asking is not the wire's
            theirs = replace(theirs, sequence_numbers=tuple(sorted(set(theirs.sequence_numbers))))  # noqa: PLW2901
        assert theirs == ours


@given(compound=st.lists(packets, min_size=1, max_size=3))
def test_every_beginning_of_a_compound_is_read_or_refused(compound: list[RtcpPacket]) -> None:
    data = serialise_compound(compound)
    ends = {0}
    for packet in compound:
        ends.add(max(ends) + len(serialise_compound([packet])))
    for end in range(len(data)):
        refused = refusal(parse_compound, data[:end])
        assert refused in REASONS
        assert (refused is None) is (end in ends - {0})


@given(
    data=st.binary(max_size=80)
    | st.lists(
        st.builds(
            lambda first, kind, body: packet_of(kind, first, body[: len(body) & ~3]),
            st.integers(0, 63),
            st.sampled_from([200, 201, 202, 203, 204, 205, 206, 207]),
            st.binary(max_size=60),
        ),
        max_size=3,
    ).map(b"".join)
)
def test_any_bytes_are_a_compound_or_refused(data: bytes) -> None:
    refused = refusal(parse_compound, data)
    assert refused in REASONS
    if refused is None:
        read = parse_compound(data)
        assert len(parse_compound(serialise_compound(read))) == len(read)


@given(report=sender_reports)
def test_aiortc_reads_our_sender_reports_and_we_read_its(report: SenderReport) -> None:
    (theirs,) = aiortc_rtp.RtcpPacket.parse(serialise_compound([report]))
    assert isinstance(theirs, aiortc_rtp.RtcpSrPacket)
    assert theirs.sender_info.ntp_timestamp == report.ntp_timestamp
    assert [
        (
            info.ssrc,
            info.fraction_lost,
            info.packets_lost,
            info.highest_sequence,
            info.jitter,
            info.lsr,
            info.dlsr,
        )
        for info in theirs.reports
    ] == [
        (
            block.ssrc,
            block.fraction_lost,
            block.packets_lost,
            block.highest_sequence_number,
            block.jitter,
            block.last_sender_report,
            block.delay_since_last_sender_report,
        )
        for block in report.reports
    ]
    assert one(bytes(theirs)) == report


@given(cname=st.text("abc-", min_size=1, max_size=20), sources=st.lists(ssrcs, max_size=3))
def test_aiortc_and_we_read_each_others_words_and_goodbyes(cname: str, sources: list[Ssrc]) -> None:
    words = aiortc_rtp.RtcpSdesPacket([aiortc_rtp.RtcpSourceInfo(1234, [(1, cname.encode())])])
    assert one(bytes(words)) == Sdes(((Ssrc(1234), cname),))
    assert aiortc_rtp.RtcpPacket.parse(serialise_compound([Sdes(((Ssrc(1234), cname),))])) == [words]
    goodbye = aiortc_rtp.RtcpByePacket(list(sources))
    assert one(bytes(goodbye)) == Bye(tuple(sources))
    assert aiortc_rtp.RtcpPacket.parse(serialise_compound([Bye(tuple(sources), cname)])) == [goodbye]


@given(bitrate=st.integers(0, 2**40), sources=st.lists(st.integers(0, 2**32 - 1), max_size=4))
def test_aiortc_and_we_read_each_others_bitrates(bitrate: int, sources: list[int]) -> None:
    theirs = aiortc_rtp.RtcpPsfbPacket(15, 1, 0, aiortc_rtp.pack_remb_fci(bitrate, sources))
    ours = one(bytes(theirs))
    assert isinstance(ours, Remb)
    assert list(ours.ssrcs) == sources
    assert 0 <= bitrate - ours.bitrate_bps <= bitrate >> 17
    assert aiortc_rtp.unpack_remb_fci(serialise_compound([ours])[12:]) == (ours.bitrate_bps, sources)


def test_a_report_is_where_the_rfc_puts_it() -> None:
    data = bytes.fromhex("81c8000c 0000cafe 83aa7e80 80000000 00015f90 00000064 0000c350")
    data += bytes.fromhex("0000babe 40ffffff 00010203 00000018 7e808000 00008000")
    assert one(data) == SenderReport(
        ssrc=Ssrc(0xCAFE),
        ntp_timestamp=0x83AA7E80_80000000,
        rtp_timestamp=90_000,
        packet_count=100,
        octet_count=50_000,
        reports=(ReportBlock(Ssrc(0xBABE), 64, -1, 0x10203, 24, 0x7E808000, 32_768),),
    )
    assert serialise_compound([one(data)]) == data


@pytest.mark.parametrize(
    ("lost", "wire"), [(2**23, 2**23 - 1), (10**9, 2**23 - 1), (-(2**23) - 1, -(2**23)), (-1, -1)]
)
def test_cumulative_loss_is_capped_at_its_24_bits(lost: int, wire: int) -> None:
    report = ReceiverReport(Ssrc(1), (replace(block_of(1), packets_lost=lost),))
    assert one(serialise_compound([report])) == ReceiverReport(
        Ssrc(1), (replace(block_of(1), packets_lost=wire),)
    )


def test_counters_of_a_sender_wrap() -> None:
    report = SenderReport(Ssrc(1), 0, 0, 2**32 + 5, 2**32 + 6)
    assert one(serialise_compound([report])) == SenderReport(Ssrc(1), 0, 0, 5, 6)


@pytest.mark.parametrize("count", [MAX_BLOCKS, MAX_BLOCKS + 1, 2 * MAX_BLOCKS + 1])
def test_more_blocks_than_fit_go_into_further_reports(count: int) -> None:
    many = tuple(block_of(number) for number in range(count))
    for report in (SenderReport(Ssrc(9), 1, 2, 3, 4, many), ReceiverReport(Ssrc(9), many)):
        read = parse_compound(serialise_compound([report]))
        assert type(read[0]) is type(report)
        assert len(read) == -(-count // MAX_BLOCKS)
        told: list[ReportBlock] = []
        for part in read:
            assert isinstance(part, SenderReport | ReceiverReport)
            assert part.ssrc == 9
            assert len(part.reports) <= MAX_BLOCKS
            told += part.reports
        assert told == list(many)


def test_more_sources_than_fit_go_into_further_packets() -> None:
    cnames = tuple((Ssrc(number), "c") for number in range(MAX_BLOCKS + 1))
    assert parse_compound(serialise_compound([Sdes(cnames)])) == [Sdes(cnames[:31]), Sdes(cnames[31:])]
    sources = tuple(Ssrc(number) for number in range(MAX_BLOCKS + 1))
    assert parse_compound(serialise_compound([Bye(sources, "gone")])) == [
        Bye(sources[:31], "gone"),
        Bye(sources[31:], "gone"),
    ]


def test_a_goodbye_may_name_nobody() -> None:
    assert one(packet_of(203, 0, b"")) == Bye(())
    assert serialise_compound([Bye(())]) == packet_of(203, 0, b"")


def test_a_reason_that_is_no_text_is_read_all_the_same() -> None:
    assert one(packet_of(203, 1, b"\x00\x00\x00\x01\x02\xff\xfe\x00")) == Bye((Ssrc(1),), "\ufffd\ufffd")


def test_long_words_are_cut() -> None:
    assert one(serialise_compound([Bye((Ssrc(1),), "x" * 300)])) == Bye((Ssrc(1),), "x" * 255)
    assert one(serialise_compound([Sdes(((Ssrc(1), "x" * 300),))])) == Sdes(((Ssrc(1), "x" * 255),))


def test_other_items_of_a_source_are_left_out() -> None:
    chunk = b"\x00\x00\x00\x01\x02\x03abc\x01\x02cn\x00" + b"\x00\x00"
    other = b"\x00\x00\x00\x02\x06\x04tool\x00\x00"
    assert one(packet_of(202, 2, chunk + other)) == Sdes(((Ssrc(1), "cn"),))


@given(base=st.sampled_from([0, 2**15, 2**16 - 17, 2**16 - 1]), steps=st.sets(st.integers(0, 60), min_size=1))
def test_a_nack_asks_for_the_same_packets_over_the_wrap(base: int, steps: set[int]) -> None:
    numbers = tuple((base + step) % 2**16 for step in sorted(steps))
    nack = Nack(Ssrc(1), Ssrc(2), numbers)
    data = serialise_compound([nack])
    assert one(data) == nack
    assert len(data) <= 12 + 4 * -(-61 // 17)


def test_a_nack_is_written_as_pid_and_following_bits() -> None:
    nack = Nack(Ssrc(1), Ssrc(2), (65_535, 0, 15, 16))
    assert serialise_compound([nack]) == packet_of(
        205, 1, bytes.fromhex("00000001 00000002 ffff 8001 0010 0000")
    )


def test_a_fir_names_its_streams_in_its_entries() -> None:
    data = packet_of(206, 4, bytes.fromhex("00000001 00000000 0000cafe 07000000 0000babe ff000000"))
    fir = Fir(Ssrc(1), (FirEntry(Ssrc(0xCAFE), 7), FirEntry(Ssrc(0xBABE), 255)))
    assert one(data) == fir
    assert serialise_compound([fir]) == data


def test_a_bitrate_is_a_mantissa_and_an_exponent() -> None:
    data = packet_of(206, 15, bytes.fromhex("00000001 00000000 52454d42 010bd090 0000cafe"))
    remb = Remb(Ssrc(1), 0x3D090 << 2, (Ssrc(0xCAFE),))
    assert one(data) == remb
    assert serialise_compound([remb]) == data


def test_no_more_streams_are_told_of_than_a_remb_can() -> None:
    remb = Remb(Ssrc(1), 1_000, tuple(Ssrc(number) for number in range(300)))
    assert one(serialise_compound([remb])) == replace(remb, ssrcs=remb.ssrcs[:MAX_REMB_SSRCS])


def test_other_application_layer_feedback_is_kept() -> None:
    data = packet_of(206, 15, bytes.fromhex("00000001 00000002 41424344"))
    assert one(data) == RawRtcp(206, 15, data[4:])
    assert serialise_compound([one(data)]) == data


@pytest.mark.parametrize("padding", [b"", b"\x01", b"\x00\x02", b"\x00\x00\x03", b"\x00\x00\x00\x04"])
def test_transport_feedback_is_read_with_any_padding(padding: bytes) -> None:
    """Browsers pad it to a word by the padding bit, with less than a word."""
    deltas = bytes((1,) * ((2 - len(padding)) % 4 + 4))
    body = (
        bytes.fromhex("00000001 00000002 0007") + struct.pack("!H", len(deltas)) + bytes.fromhex("00000105")
    )
    body += struct.pack("!H", 0x2000 | len(deltas)) + deltas + padding
    feedback = one(packet_of(205, 15, body, first=0xA0 if padding else 0x80))
    assert isinstance(feedback, TransportFeedback)
    assert (feedback.sender_ssrc, feedback.media_ssrc, feedback.feedback_count) == (1, 2, 5)
    assert feedback.arrivals[0] == (7, REFERENCE_NS + 250_000)
    assert len(feedback.arrivals) == len(deltas)
    assert parse_compound(serialise_compound([feedback])) == [feedback]


def test_feedback_is_read_behind_a_report() -> None:
    compound: list[RtcpPacket] = [ReceiverReport(Ssrc(1)), Pli(Ssrc(1), Ssrc(2)), Bye((Ssrc(1),), "bye")]
    assert parse_compound(serialise_compound(compound)) == compound


def test_an_extended_report_is_kept_unread() -> None:
    """RFC 3611: a receiver reference time, which Chromium sends."""
    data = packet_of(207, 0, bytes.fromhex("00000001 04000002 83aa7e80 80000000"))
    assert one(data) == RawRtcp(207, 0, data[4:])
    assert serialise_compound([one(data)]) == data


@pytest.mark.parametrize("padding", [b"\x01", b"\x00\x02", b"\x00\x00\x03", b"\x00\x00\x00\x04"])
def test_a_padded_packet_of_a_type_we_do_not_know_is_kept_without_its_padding(padding: bytes) -> None:
    body = b"\x00\x00\x00\x01" + b"body"[: 4 - len(padding)] + padding
    raw = one(packet_of(204, 3, body, first=0xA0))
    assert raw == RawRtcp(204, 3, body[: -len(padding)])
    assert parse_compound(serialise_compound([raw])) == [raw]


def test_as_many_packets_as_are_allowed_are_read() -> None:
    packet = packet_of(203, 0, b"")
    assert len(parse_compound(packet * MAX_PACKETS)) == MAX_PACKETS
    assert reason_of(packet * (MAX_PACKETS + 1)) == "length"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "short"),
        (b"\x80\xc9\x00", "short"),
        (packet_of(203, 0, b"") + b"\x80", "short"),
        (b"\x00\xc9\x00\x00", "version"),
        (b"\xc0\xc9\x00\x00", "version"),
        (b"\x80\xcb\x00\x01", "length"),
        (packet_of(203, 0, b"", first=0xA0), "padding"),
        (packet_of(203, 0, b"\x00\x00\x00\x00", first=0xA0), "padding"),
        (packet_of(203, 0, b"\x00\x00\x00\x05", first=0xA0), "padding"),
        (packet_of(200, 0, bytes(20)), "sender_report"),
        (packet_of(200, 1, bytes(44)), "sender_report"),
        (packet_of(201, 0, b""), "receiver_report"),
        (packet_of(201, 2, bytes(48)), "receiver_report"),
        (packet_of(202, 1, b""), "sdes"),
        (packet_of(202, 1, bytes(4)), "sdes"),
        (packet_of(202, 1, bytes(4) + b"\x01\x01a\x01"), "sdes"),
        (packet_of(202, 1, bytes(4) + b"\x01\x09ab"), "sdes"),
        (packet_of(202, 1, bytes(4) + b"\x01\x01\xff\x00"), "sdes"),
        (packet_of(203, 2, bytes(4)), "bye"),
        (packet_of(203, 1, bytes(4) + b"\x04abc"), "bye"),
        (packet_of(205, 1, bytes(4)), "feedback"),
        (packet_of(206, 1, b""), "feedback"),
        (packet_of(205, 1, bytes(8)), "nack"),
        (packet_of(205, 1, bytes(15) + b"\x01", first=0xA0), "nack"),
        (packet_of(206, 4, bytes(8)), "fir"),
        (packet_of(206, 4, bytes(20)), "fir"),
        (packet_of(206, 15, bytes(8) + b"REMB"), "remb"),
        (packet_of(206, 15, bytes(8) + b"REMB" + b"\x01\x00\x00\x00"), "remb"),
        (packet_of(205, 15, bytes(16)), "twcc"),
    ],
)
def test_what_is_malformed_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    assert reason_of(data) == reason
