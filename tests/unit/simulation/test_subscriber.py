from __future__ import annotations

from dataclasses import replace

from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import Nack, Pli, ReceiverReport, SenderReport, parse_compound, serialise_compound
from sfu.rtp.twcc import TransportFeedback
from sfu.simulation.scenario import START, at_s
from sfu.simulation.subscriber import Numbers, Subscriber, VideoNumbers
from sfu.streams.nack import MAX_MISSING
from sfu.streams.resend import encapsulate
from sfu.units import PayloadType, Ssrc, after_ms

VIDEO, OTHER = VideoNumbers(Ssrc(1_000), Ssrc(1_001)), VideoNumbers(Ssrc(1_003), Ssrc(1_004))
NUMBERS = Numbers((VIDEO, OTHER), Ssrc(1_002), 2)


def packet(number: int, seq: int | None = None, ssrc: Ssrc = VIDEO.ssrc) -> RtpPacket:
    """`number` is its transport-wide one."""
    seq = number if seq is None else seq
    extensions = ((NUMBERS.transport_cc, number.to_bytes(2, "big")),)
    return RtpPacket(PayloadType(96), seq, 90 * number, ssrc, b"payload", extensions=extensions)


def receive(subscriber: Subscriber, *packets: RtpPacket, at_ms: float = 0) -> None:
    for one in packets:
        subscriber.receive(after_ms(START, at_ms), one.serialise())


def said(subscriber: Subscriber, kind: type, end_s: float) -> list:  # type: ignore[type-arg]  # of that kind
    """What is said up to then, of one kind."""
    compounds = []
    while (at := subscriber.next_timeout()) is not None and at < at_s(end_s):
        compounds += subscriber.poll(at)
    return [one for data in compounds for one in parse_compound(data) if isinstance(one, kind)]


def test_everything_that_came_is_told_by_its_number() -> None:
    subscriber = Subscriber(NUMBERS, 50, START)
    sound = replace(packet(1, 7, NUMBERS.audio), payload=b"sound")
    padding = RtpPacket(PayloadType(1), 0, 0, Ssrc(0), padding_bytes=200, extensions=packet(2).extensions)
    receive(subscriber, packet(0), sound, padding, packet(4))
    (feedback,) = said(subscriber, TransportFeedback, 0.5)
    assert [(number, at is not None) for number, at in feedback.arrivals] == [
        (0, True),
        (1, True),
        (2, True),
        (3, False),
        (4, True),
    ]


def test_what_is_missing_is_asked_for_until_it_comes_over_rtx() -> None:
    subscriber = Subscriber(NUMBERS, 50, START)
    receive(subscriber, packet(0), packet(2))
    first, *_ = said(subscriber, Nack, 0.03)
    assert first.sequence_numbers == (1,)
    repair = replace(packet(3, 0, VIDEO.rtx), payload=encapsulate(1, b"payload"))
    receive(subscriber, repair, at_ms=40)
    assert said(subscriber, Nack, 2) == []


def test_each_picture_is_asked_for_by_itself() -> None:
    subscriber = Subscriber(NUMBERS, 50, START)
    receive(subscriber, packet(0), packet(1, 7, OTHER.ssrc), packet(2, 9, OTHER.ssrc), packet(3, 2))
    asked = [(one.media_ssrc, one.sequence_numbers) for one in said(subscriber, Nack, 0.03)]
    assert asked == [(VIDEO.ssrc, (1,)), (OTHER.ssrc, (8,))]


def test_a_picture_is_whole_when_a_frame_has_ended_and_nothing_is_missing() -> None:
    subscriber = Subscriber(NUMBERS, 50, START)
    receive(subscriber, packet(0))
    receive(subscriber, replace(packet(1), marker=True), at_ms=10)
    receive(subscriber, replace(packet(3), marker=True), at_ms=20)
    repair = replace(packet(4, 0, VIDEO.rtx), payload=encapsulate(2, b"payload"))
    receive(subscriber, repair, at_ms=50)
    assert subscriber.whole_at == [[after_ms(START, 10), after_ms(START, 50)], []]


def test_padding_on_rtx_repairs_nothing() -> None:
    subscriber = Subscriber(NUMBERS, 50, START)
    receive(subscriber, packet(0), packet(2))
    receive(subscriber, replace(packet(3, 0, VIDEO.rtx), payload=b"", padding_bytes=100))
    assert said(subscriber, Nack, 0.03)[0].sequence_numbers == (1,)


def test_where_too_much_is_missing_a_key_frame_is_asked_for() -> None:
    subscriber = Subscriber(NUMBERS, 50, START)
    receive(subscriber, packet(0), packet(1, MAX_MISSING + 10))
    assert len(said(subscriber, Pli, 1)) == 1


def test_receiver_reports_echo_the_sender_report() -> None:
    subscriber = Subscriber(NUMBERS, 50, START)
    receive(subscriber, *(packet(number) for number in range(10)))
    report = SenderReport(VIDEO.ssrc, 0x1234_5678_9ABC_DEF0, 0, 10, 0)
    subscriber.receive(after_ms(START, 500), serialise_compound([report]))
    (told,) = said(subscriber, ReceiverReport, 1.5)
    (block,) = told.reports
    assert block.last_sender_report == 0x5678_9ABC
    assert block.delay_since_last_sender_report == 0x8000


def test_a_subscriber_who_gets_nothing_reports_nothing_of_it() -> None:
    (told,) = said(Subscriber(NUMBERS, 50, START), ReceiverReport, 1.5)
    assert told.reports == ()
