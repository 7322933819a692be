from __future__ import annotations

import pytest

from loadtest.bench.cascade.traffic import Carried, Content, Count, Traffic, content_of, ratio_of

SSRC = 0x01020304


def rtp(ssrc: int, size: int) -> bytes:
    return bytes((0x80, 96)) + bytes(6) + ssrc.to_bytes(4, "big") + bytes(size - 12)


@pytest.mark.parametrize(
    ("datagram", "content"),
    [
        (bytes((0, 1)), Content.STUN),
        (bytes((22, 254)), Content.DTLS),
        (rtp(SSRC, 12), Content.RTP),
        (bytes((0x81, 200)), Content.RTCP),
        (bytes((0x81, 205)), Content.RTCP),
        (b"", Content.DTLS),
    ],
)
def test_a_datagram_is_told_by_its_first_bytes(datagram: bytes, content: Content) -> None:
    assert content_of(datagram) is content


def test_bytes_are_counted_by_what_they_are_and_rtp_by_stream() -> None:
    count = Count()
    for datagram in (rtp(1, 100), rtp(1, 50), rtp(2, 30), bytes((0x81, 200, 0, 0)), bytes((0, 1))):
        count.add(datagram)
    count.drop()
    traffic = count.reading()
    assert traffic.total == 186
    assert traffic.by_content == {Content.RTP: 180, Content.RTCP: 4, Content.STUN: 2}
    assert traffic.by_ssrc == {1: 150, 2: 30}
    assert (traffic.streams, traffic.dropped) == (2, 1)


def test_of_two_readings_the_difference_is_what_passed_between_them() -> None:
    count = Count()
    count.add(rtp(1, 100))
    before = count.reading()
    count.add(rtp(2, 40))
    count.drop()
    since = count.reading() - before
    assert (since.total, since.streams, since.dropped) == (40, 1, 1)
    assert since.content() == {"bytes": 40, "rtp": 40, "streams": [40]}


def carried(forth: Traffic, **published: int) -> Carried:
    return Carried((1, 2), forth, Traffic(), {"": 60, **published})


def test_all_that_crossed_is_held_against_what_was_published_of_it() -> None:
    one = carried(Traffic({Content.RTP: 150, Content.RTCP: 10}, {1: 90, 2: 60}), f=100)
    other = carried(Traffic({Content.RTP: 160}, {1: 100, 2: 60}), f=100)
    assert one.ratio == other.ratio == 1.0
    assert ratio_of([one, other]) == 1.0
    assert ratio_of([one, carried(Traffic({Content.RTP: 320}, {1: 260, 2: 60}), f=100)]) == 1.5
    assert list(one.faults()) == []


def test_a_layer_that_was_not_published_makes_the_round_void() -> None:
    one = carried(Traffic({Content.RTP: 150}, {1: 90, 2: 60}), h=0)
    assert list(one.faults()) == ["trunk 1 → 2: h was wanted and not published"]


def test_a_layer_that_did_not_cross_makes_the_round_void() -> None:
    one = carried(Traffic({Content.RTP: 150}, {1: 150}), h=100)
    assert list(one.faults()) == ["trunk 1 → 2: 1 RTP streams crossed, of 2 wanted"]


def test_where_nothing_was_published_there_is_no_ratio() -> None:
    nothing = Carried((1, 2), Traffic(), Traffic(), {"": 0})
    assert nothing.ratio is None
    with pytest.raises(ValueError, match="nothing was published"):
        ratio_of([nothing])
    assert nothing.content()["ratio"] is None
