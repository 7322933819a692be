"""What subscribers say of packets, as it comes up to Python."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from sfu.dataplane import feedback_rows
from sfu.dataplane.feedback_rows import MAX_ROWS, FeedbackRows
from sfu.plane import Extension, RemoveRoute, RemoveTransport
from sfu.rows import FEEDBACK_DTYPE, LOST
from sfu.rtp.rtcp import Nack
from sfu.rtp.twcc import DELTA_NS, TransportFeedback
from sfu.streams.twcc_sender import Reported
from sfu.units import NS_PER_MS, Instant, RouteId, Ssrc, TransportId
from tests.support.plane_driver import PlaneDriver
from tests.support.plane_media import DOWN_EXTENSIONS, VIDEO, VIDEO_SSRC, Call, video_route

if TYPE_CHECKING:
    from tests.support.plane_driver import Heard

START_NS = 10_000 * DELTA_NS
"""On the subscriber's clock."""


@pytest.fixture
def flowing(call: Call) -> Call:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.subscriber.heard.clear()
    return call


def number(heard: Heard) -> int:
    value = heard.packet.extension(DOWN_EXTENSIONS[Extension.TRANSPORT_CC])
    assert value is not None
    return int.from_bytes(value, "big")


def report(call: Call, *arrivals: tuple[int, int | None]) -> None:
    call.subscriber.say(TransportFeedback(Ssrc(1), Ssrc(2), 0, arrivals))


def rows(call: Call) -> list[dict[str, Any]]:
    found = call.driver.core.feedback()
    assert found.dtype == FEEDBACK_DTYPE
    return [dict(zip(FEEDBACK_DTYPE.names or (), row, strict=True)) for row in found.tolist()]


def test_each_packet_has_a_row_with_what_is_known_of_it(flowing: Call) -> None:
    for _ in range(3):
        flowing.low.send_frame(size=500)
        flowing.driver.advance(20)
    first, second, third = flowing.subscriber.heard
    report(
        flowing, (number(first), START_NS), (number(second), None), (number(third), START_NS + 40 * DELTA_NS)
    )
    told = rows(flowing)
    assert rows(flowing) == []
    assert [row["seq"] for row in told] == [number(one) for one in (first, second, third)]
    assert [row["sent_at"] for row in told] == [one.at for one in (first, second, third)]
    assert [row["size_bytes"] for row in told] == [one.size_bytes for one in (first, second, third)]
    assert {row["transport"] for row in told} == {flowing.subscriber.transport}
    assert {row["reported_at"] for row in told} == {flowing.driver.now}
    assert {row["cluster"] for row in told} == {0}
    assert told[1]["arrived_at"] == LOST
    assert told[2]["arrived_at"] - told[0]["arrived_at"] == 40 * DELTA_NS


def test_what_was_lost_and_comes_after_all_has_a_second_row(flowing: Call) -> None:
    flowing.low.send_frame()
    flowing.low.send_frame()
    first, second = map(number, flowing.subscriber.heard)
    report(flowing, (first, None), (second, START_NS))
    report(flowing, (first, START_NS + DELTA_NS), (second, START_NS))
    assert [(row["seq"], row["arrived_at"] == LOST) for row in rows(flowing)] == [
        (first, True),
        (second, False),
        (first, False),
    ]


def test_what_was_never_sent_has_no_row(flowing: Call) -> None:
    report(flowing, (60_000, START_NS), (60_001, None))
    flowing.driver.apply(RemoveRoute(VIDEO))
    assert rows(flowing) == []


def test_rows_say_which_probe_a_packet_was_part_of(flowing: Call) -> None:
    flowing.driver.advance(10)
    flowing.driver.probe(flowing.subscriber.transport, 5, 1_000_000, 300)
    flowing.low.send_frame(size=500)
    flowing.driver.advance(10)
    flowing.low.send_frame(size=500)
    heard = flowing.subscriber.heard
    for index, one in enumerate(heard):
        report(flowing, (number(one), START_NS + index * DELTA_NS))
    clusters = [row["cluster"] for row in rows(flowing)]
    assert clusters == [5, 5, 0]


def test_a_ciphertext_that_is_sent_again_says_nothing_more(driver: PlaneDriver) -> None:
    call = Call.of(driver)
    driver.apply(RemoveRoute(VIDEO), video_route(call.subscriber.transport, RouteId(9), rtx_ssrc=None))
    driver.aim(RouteId(9), 0)
    call.low.send_frame(key=True, parts=2)
    first, second = call.subscriber.heard
    call.subscriber.say(Nack(Ssrc(1), VIDEO_SSRC, (first.packet.sequence_number,)))
    report(call, (number(first), START_NS), (number(second), START_NS))
    assert [row["seq"] for row in rows(call)] == [number(second)]


def test_a_packet_that_waited_for_its_name_was_sent_when_it_left(flowing: Call) -> None:
    call = flowing
    named, call.low.elements = call.low.elements, ()
    call.low.ssrc = Ssrc(77)
    call.low.send_frame(key=True)
    call.driver.advance(300)
    call.low.elements = named
    call.low.send_frame()
    waited, other = map(number, call.subscriber.heard)
    report(call, (waited, START_NS), (other, START_NS + DELTA_NS))
    assert [row["sent_at"] for row in rows(call)] == [call.driver.now] * 2


def test_rows_of_several_transports_come_in_the_order_in_which_they_were_reported(flowing: Call) -> None:
    other = flowing.second_subscriber()
    flowing.driver.aim(RouteId(11), 0)
    flowing.low.send_frame(key=True)
    flowing.driver.advance(3)
    other.say(TransportFeedback(Ssrc(1), Ssrc(2), 0, ((number(other.heard[0]), START_NS),)))
    flowing.driver.advance(4)
    report(flowing, (number(flowing.subscriber.heard[0]), START_NS))
    told = rows(flowing)
    assert [row["transport"] for row in told] == [other.transport, flowing.subscriber.transport]
    assert told[1]["reported_at"] - told[0]["reported_at"] == 4 * NS_PER_MS


def test_a_transport_that_is_gone_is_no_matter(flowing: Call) -> None:
    flowing.low.send_frame()
    report(flowing, (number(flowing.subscriber.heard[0]), START_NS))
    flowing.driver.apply(RemoveTransport(flowing.subscriber.transport))
    assert len(rows(flowing)) == 1


def test_feedback_alone_wakes_nobody(flowing: Call) -> None:
    flowing.low.send_frame()
    flowing.driver.core.drain()
    report(flowing, (number(flowing.subscriber.heard[0]), START_NS))
    assert not flowing.driver.core.has_output


class Peer:
    """A transport, as far as its rows are concerned."""

    def __init__(self, number: int) -> None:
        self.id = TransportId(number)
        self.feedback_lost = 0


def test_rows_that_wait_are_bounded_and_those_thrown_away_counted_where_they_belong() -> None:
    kept = FeedbackRows()
    first, second = Peer(1), Peer(2)
    reported = [Reported(seq, 0, 100, Instant(1), LOST) for seq in range(MAX_ROWS)]
    kept.add(Instant(2), first, reported[:10])  # type: ignore[arg-type]  # of a transport no more is needed
    kept.add(Instant(3), second, reported[:-5])  # type: ignore[arg-type]
    assert (first.feedback_lost, second.feedback_lost) == (5, 0)
    found = kept.take()
    assert len(found) == MAX_ROWS
    assert Counter(found["transport"].tolist()) == {1: 5, 2: MAX_ROWS - 5}
    assert found["seq"][0] == 5
    assert len(kept.take()) == 0


def test_how_many_rows_were_thrown_away_is_a_counter_of_the_transport(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feedback_rows, "MAX_ROWS", 10)
    call = Call.of(PlaneDriver())
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True, parts=14)
    report(call, *((number(one), START_NS) for one in call.subscriber.heard))
    assert call.driver.transport_row(call.subscriber.transport)["feedback_lost"] == 4
    assert [row["seq"] for row in rows(call)] == list(range(4, 14))
