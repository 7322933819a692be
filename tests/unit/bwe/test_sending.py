from __future__ import annotations

import numpy as np
import pytest

from sfu.bwe.sending import SILENT_NS, SILENT_PACKETS, WINDOW_S, Sending, Sent
from sfu.units import NS_PER_MS

from .arrays import at_ms, packet, reports_of, sized, transports_of

SILENT_MS = SILENT_NS // NS_PER_MS


def sending_of() -> Sending:
    sending = Sending()
    sized(sending.table, 1)
    return sending


def play(
    sending: Sending, begin_ms: int, end_ms: int, bps: float, *, padding: bool = False, told: bool = False
) -> Sent:
    """Send at a rate; `told`: each tick the peer says something."""

    def tick(ms: int) -> Sent:
        sent = int((ms + 50) * bps / 8_000)
        reports = reports_of([packet(ms, 20, seq=ms, reported_ms=ms + 50)] if told else [])
        row = transports_of(0, bytes_sent=sent, padding=sent * padding, packets=ms)
        return sending.update(at_ms(ms + 50), row, reports)

    *_, last = [tick(ms) for ms in range(begin_ms, end_ms, 50)]
    return last


def test_the_rate_of_media_is_found_and_padding_is_none() -> None:
    assert play(sending_of(), 0, 5_000, 1e6).rate_bps[0] == pytest.approx(1e6, rel=0.01)
    assert play(sending_of(), 0, 5_000, 1e6, padding=True).rate_bps[0] == 0


def test_less_than_the_target_is_a_limit_of_ours_until_it_is_nearly_used() -> None:
    sending = sending_of()
    play(sending, 0, 5_000, 1e6)
    assert not sending.limited(np.array([1.3e6]))[0]
    assert sending.limited(np.array([2e6]))[0]
    assert sending.limited(np.array([1.3e6]))[0]
    assert not sending.limited(np.array([1.1e6]))[0]


def test_who_never_said_anything_is_waited_for_and_not_silent() -> None:
    sending = sending_of()
    assert np.isnan(sending.update(at_ms(0), transports_of(0), reports_of([])).unanswered_s[0])
    sent = play(sending, 50, 3_050, 1e6)
    assert sent.unanswered_s[0] == pytest.approx(3, abs=0.1)
    assert not sent.is_silent[0]
    assert not sent.has_reports[0]


def test_who_is_only_tried_is_waited_for_as_well() -> None:
    sending = sending_of()
    sending.update(at_ms(0), transports_of(0), reports_of([]))
    sending.tried(at_ms(100), np.array([True]))
    sending.tried(at_ms(500), np.array([True]))
    assert sending.update(at_ms(1_100), transports_of(0), reports_of([])).unanswered_s.tolist() == [1.0]


def test_who_says_nothing_any_more_is_silent_while_something_is_sent() -> None:
    sending = sending_of()
    assert not play(sending, 0, 1_000, 1e6, told=True).is_silent[0]
    assert not play(sending, 1_000, 1_000 + SILENT_MS - 100, 1e6).is_silent[0]
    assert play(sending, 1_000 + SILENT_MS - 100, 1_100 + SILENT_MS, 1e6).is_silent[0]
    assert not play(sending, 1_100 + SILENT_MS, 1_200 + SILENT_MS, 1e6, told=True).is_silent[0]


@pytest.mark.parametrize("look_ms", [50, 900])
def test_a_source_that_was_paused_makes_nobody_silent(look_ms: int) -> None:
    sending = sending_of()
    play(sending, 0, 1_000, 1e6, told=True)
    row = transports_of(0, bytes_sent=125_000, packets=950)
    for ms in range(1_000, 5_000, look_ms):
        sending.update(at_ms(ms), row, reports_of([]))
    row = transports_of(0, bytes_sent=130_000, packets=950 + 5 * SILENT_PACKETS)
    assert not sending.update(at_ms(5_000), row, reports_of([])).is_silent[0]
    assert sending.update(at_ms(5_000 + SILENT_MS), row, reports_of([])).is_silent[0]


def test_where_nothing_is_sent_nothing_is_awaited() -> None:
    sending = sending_of()
    play(sending, 0, 1_000, 1e6, told=True)
    row = transports_of(0, bytes_sent=125_000, packets=950 + SILENT_PACKETS - 1)
    assert not sending.update(at_ms(60_000), row, reports_of([])).is_silent[0]


def test_the_round_trip_is_the_least_of_a_report() -> None:
    sent = sending_of().update(
        at_ms(100),
        transports_of(0, packets=3),
        reports_of([packet(0, 20, seq=1, reported_ms=90), packet(50, 20, seq=2, reported_ms=90)]),
    )
    assert sent.round_trip_ns[0] == 40 * NS_PER_MS


def test_a_source_that_ends_is_noticed_within_a_few_windows() -> None:
    sending = sending_of()
    sent = play(sending, 0, 5_000, 1e6)
    for ms in range(5_000, 5_000 + int(3_000 * WINDOW_S), 50):
        sent = sending.update(at_ms(ms + 50), transports_of(0, bytes_sent=625_000, packets=9), reports_of([]))
    assert sent.rate_bps[0] < 1e5
