from __future__ import annotations

import random

from sfu.netem.link import Link, LinkProfile
from sfu.netem.loss import RandomLoss
from sfu.netem.tcp import INITIAL_WINDOW, MAX_WINDOW, MIN_TIMEOUT_NS, PACKET_BYTES, TcpSender
from sfu.units import NS_PER_MS, Instant, after_ms, earliest

START = Instant(10**12)
ROUND_TRIP_MS = 50
LINE = LinkProfile(rate_bps=3_000_000, delay_ms=25, queue_ms=100)


def acknowledged_after(
    profile: LinkProfile, seconds: float, sender: TcpSender, others: tuple[TcpSender, ...] = ()
) -> list[int]:
    """Bytes of each sender that came through one line together; acknowledgements always come back."""
    senders = (sender, *others)
    forth: Link[tuple[int, int]] = Link(profile, random.Random(3))
    back: Link[tuple[int, int]] = Link(LinkProfile(delay_ms=25), random.Random(4))
    now, end = START, after_ms(START, seconds * 1_000)
    while now < end:
        for arrived in forth.poll(now):
            back.send(now, arrived, 52)
        for which, number in back.poll(now):
            senders[which].acknowledged(now, number)
        for which, one in enumerate(senders):
            for number in one.poll(now):
                forth.send(now, (which, number), PACKET_BYTES)
        at = earliest(forth.next_timeout(), back.next_timeout(), *(one.next_timeout() for one in senders))
        if at is None:
            break
        now = max(now, at)
    return [one.acknowledged_bytes for one in senders]


def test_a_download_begins_with_the_initial_window_and_doubles_it_each_round_trip() -> None:
    sender = TcpSender()
    first = sender.poll(START)
    assert first == range(INITIAL_WINDOW)
    assert not sender.poll(START)
    later = after_ms(START, ROUND_TRIP_MS)
    for number in first:
        sender.acknowledged(later, number)
    assert len(sender.poll(later)) == 2 * INITIAL_WINDOW


def test_a_packet_that_three_overtook_is_lost_and_halves_the_window_once() -> None:
    sender = TcpSender()
    sender.poll(START)
    later = after_ms(START, ROUND_TRIP_MS)
    for number in (2, 3, 4, 5):  # 0 and 1 do not come
        sender.acknowledged(later, number)
    # 12 after two acknowledgements of slow start, halved; of ten, 4 have come and 2 are lost.
    assert len(sender.poll(later)) == 6 - 4


def test_reordering_by_two_is_no_loss() -> None:
    sender = TcpSender()
    sender.poll(START)
    later = after_ms(START, ROUND_TRIP_MS)
    for number in (1, 2, 0, 3, 4, 5, 6, 7, 8, 9):
        sender.acknowledged(later, number)
    assert len(sender.poll(later)) == 2 * INITIAL_WINDOW


def test_silence_makes_it_begin_anew_with_one_packet_and_wait_longer_each_time() -> None:
    sender = TcpSender()
    sender.poll(START)
    sender.acknowledged(after_ms(START, ROUND_TRIP_MS), 0)
    sender.poll(after_ms(START, ROUND_TRIP_MS))
    waits = []
    now = after_ms(START, ROUND_TRIP_MS)
    for _ in range(3):
        at = sender.next_timeout()
        assert at is not None
        waits.append(at - now)
        now = at
        assert len(sender.poll(now)) == 1
    assert waits[0] >= MIN_TIMEOUT_NS
    assert waits[1:] == [2 * waits[0], 4 * waits[0]]


def test_a_timeout_that_came_too_early_is_harmless() -> None:
    sender = TcpSender()
    first = sender.poll(START)
    at = sender.next_timeout()
    assert at is not None
    sender.poll(at)
    for number in first:
        sender.acknowledged(at, number)
    assert sender.acknowledged_bytes == 0


def test_a_file_ends_when_all_of_it_has_come() -> None:
    sender = TcpSender(100_000)
    (carried,) = acknowledged_after(LINE, 20, sender)
    assert sender.is_done
    assert 100_000 <= carried < 100_000 + PACKET_BYTES
    assert sender.next_timeout() is None
    assert not sender.poll(after_ms(START, 60_000))


def test_a_file_comes_whole_over_a_line_that_loses() -> None:
    sender = TcpSender(300_000)
    lossy = LinkProfile(rate_bps=3_000_000, delay_ms=25, queue_ms=100, loss=RandomLoss(0.05))
    acknowledged_after(lossy, 60, sender)
    assert sender.is_done


def test_a_long_download_fills_a_line() -> None:
    (carried,) = acknowledged_after(LINE, 30, TcpSender())
    assert 8 * carried / 30 > 0.9 * 3_000_000


def test_a_window_ends_where_the_receiver_has_no_room() -> None:
    sender, now, sent = TcpSender(), START, 0
    for _ in range(12):
        numbers = sender.poll(now)
        sent = len(numbers)
        now = after_ms(now, ROUND_TRIP_MS)
        for number in numbers:
            sender.acknowledged(now, number)
    assert sent == MAX_WINDOW


def test_loss_keeps_a_download_below_what_the_line_carries() -> None:
    lossy = LinkProfile(rate_bps=3_000_000, delay_ms=25, queue_ms=100, loss=RandomLoss(0.03))
    (carried,) = acknowledged_after(lossy, 30, TcpSender())
    # Mathis: 1.22 packets a round trip by the root of the loss, here 1.7 Mbit/s.
    assert 0.8e6 < 8 * carried / 30 < 2.3e6


def test_two_downloads_share_a_line() -> None:
    one, other = acknowledged_after(LINE, 60, TcpSender(), (TcpSender(),))
    assert 0.4 < one / (one + other) < 0.6


def test_the_timeout_follows_the_round_trip() -> None:
    sender, now = TcpSender(), START
    for _ in range(6):
        numbers = sender.poll(now)
        now = after_ms(now, 800)
        for number in numbers:
            sender.acknowledged(now, number)
    sender.poll(now)
    at = sender.next_timeout()
    assert at is not None
    assert 800 * NS_PER_MS <= at - now < 900 * NS_PER_MS


def test_a_connection_numbers_on_from_where_it_is_told() -> None:
    sender = TcpSender(100_000, 40)
    assert not sender.has_begun
    assert sender.poll(START) == range(40, 40 + INITIAL_WINDOW)
    assert sender.has_begun
    assert sender.next_number == 40 + INITIAL_WINDOW
