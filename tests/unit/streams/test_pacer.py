"""Queues, debts and probes of one peer together: what leaves, when, and in which order."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.streams.pacer import (
    DEFAULT_QUEUE_LIMIT_MS,
    MAX_QUEUE_LIMIT_MS,
    MAX_QUEUED,
    Pacer,
    Queued,
    Turn,
)
from sfu.units import NS_PER_MS, Instant, after_ms

START = Instant(10**13)


@dataclass
class Wire:
    """A pacer whose packets go out as soon as they may, on a virtual clock."""

    pacer: Pacer[str, str] = field(default_factory=Pacer)
    now: Instant = START
    can_fill: bool = True
    filler_bytes: int = 300
    left: list[tuple[float, str, int, int]] = field(default_factory=list)
    """(ms after the start, what, bytes, cluster)"""
    cut: list[tuple[float, int]] = field(default_factory=list)

    def media(self, size: int, name: str, flow: int = 1) -> None:
        if self.pacer.admits(self.now, size):
            self._leave(name, size)
        else:
            self.pacer.wait(self.now, flow, size, name)

    def resend(self, size: int, name: str, flow: int = 1) -> None:
        if self.pacer.admits_resend(self.now, size):
            self._leave(name, size)
        else:
            assert self.pacer.wait_resend(self.now, flow, size, name)

    def sound(self, size: int) -> None:
        self._leave("sound", size)

    def until(self, duration_ms: float) -> None:
        end = after_ms(START, duration_ms)
        while True:
            self._poll()
            at = self.pacer.next_timeout(can_fill=self.can_fill)
            assert at is None or at > self.now, "something was left undone"
            if at is None or at > end:
                break
            self.now = at
        self.now = end

    def names(self) -> list[str]:
        return [name for _, name, _, _ in self.left]

    def times(self, name: str) -> list[float]:
        return [round(at, 2) for at, left, _, _ in self.left if left == name]

    def _poll(self) -> None:
        while (flow := self.pacer.overdue(self.now)) is not None:
            self.cut.append(((self.now - START) / NS_PER_MS, flow))
            self.pacer.sift(flow, lambda _: None)
        while (turn := self.pacer.turn(self.now, can_fill=self.can_fill)) is not None:
            match turn:
                case Turn.RESEND:
                    resend = self.pacer.take_resend()
                    self._leave(resend.item, resend.size_bytes)
                case Turn.MEDIA:
                    queued = self.pacer.take()
                    self._leave(queued.item, queued.size_bytes)
                case Turn.FILLER:
                    self._leave("filler", self.filler_bytes)

    def _leave(self, name: str, size: int) -> None:
        self.left.append(((self.now - START) / NS_PER_MS, name, size, self.pacer.cluster))
        self.pacer.sent(self.now, size)


@pytest.fixture
def wire() -> Wire:
    return Wire()


def paced(rate_bps: float, padding_bps: float = 0, limit_ms: float = 250) -> Wire:
    wire = Wire()
    wire.pacer.set_pacing(START, rate_bps, padding_bps, limit_ms)
    return wire


def test_before_a_rate_is_set_all_leaves_at_once(wire: Wire) -> None:
    for index in range(100):
        wire.media(1_400, str(index))
    assert wire.names() == [str(index) for index in range(100)]
    assert wire.pacer.next_timeout(can_fill=True) is None
    assert not wire.pacer.wants_fillers


def test_a_burst_is_spread_by_the_rate() -> None:
    wire = paced(2_000_000)
    for _ in range(4):
        wire.media(1_100, "video")
    assert wire.pacer.waiting_packets == 3
    wire.until(100)
    assert wire.times("video") == [0, 3.4, 7.8, 12.2]
    assert wire.pacer.waiting_packets == 0


def test_resends_go_before_video_and_fillers_after_all() -> None:
    wire = paced(1_000_000, padding_bps=1_000_000)
    for name in ("a", "b"):
        wire.media(1_000, name)
    for name in ("c", "d"):
        wire.resend(1_000, name)
    wire.until(33)
    assert wire.names() == ["a", "c", "d", "b", "filler"]


def test_sound_leaves_at_once_and_is_charged() -> None:
    wire = paced(1_000_000)
    wire.media(1_000, "video")
    wire.media(1_000, "video")
    wire.sound(500)
    wire.until(100)
    assert wire.times("sound") == [0]
    assert wire.times("video") == [0, 11]


def test_what_comes_while_others_wait_goes_behind_them() -> None:
    wire = paced(1_000_000)
    for name in ("a", "b", "c"):
        wire.media(1_000, name)
    wire.until(7)
    wire.media(1, "small")
    wire.until(100)
    assert wire.names() == ["a", "b", "c", "small"]


def test_a_resend_may_leave_at_once_while_video_waits() -> None:
    wire = paced(10_000_000)
    while wire.pacer.admits(START, 1_000):
        wire.media(1_000, "video")
    wire.media(1_000, "video")
    wire.resend(100, "resend")
    assert wire.names()[-1] == "resend"


def test_an_infinite_rate_lets_all_go_that_waits() -> None:
    wire = paced(100_000)
    for _ in range(5):
        wire.media(1_000, "video")
    wire.pacer.set_pacing(START, math.inf, 0, 250)
    wire.until(0)
    assert wire.times("video") == [0] * 5


def test_what_has_waited_for_too_long_is_overdue() -> None:
    wire = paced(100_000, limit_ms=200)
    wire.media(1_000, "x", flow=1)
    wire.media(1_000, "y", flow=2)
    wire.until(20)
    wire.media(1_000, "z", flow=1)
    wire.until(50)
    for _ in range(4):
        wire.media(1_000, "y", flow=2)
    wire.until(500)
    # At 100 kbit/s a packet takes 80 ms: the one that came at 20 leaves at 159, those after it can't by 250.
    assert wire.times("x") + wire.times("z") == [0, 159]
    assert wire.times("y") == [79, 239]
    assert wire.cut == [(250, 2)]


@pytest.mark.parametrize(
    ("limit_ms", "expected"),
    [(0, 0.0), (-1, 0.0), (math.nan, 0.0), (30, 30.0), (math.inf, MAX_QUEUE_LIMIT_MS)],
)
def test_a_limit_is_a_time_within_reason(limit_ms: float, expected: float) -> None:
    wire = paced(30_000, limit_ms=limit_ms)
    wire.media(1_400, "a")
    for _ in range(40):
        wire.media(1_400, "a")
    wire.until(20_000)
    assert wire.cut == [(expected, 1)]


def test_the_limit_is_what_it_is_by_default_before_any_is_set() -> None:
    pacer: Pacer[str, str] = Pacer()
    pacer.wait(START, 1, 100, "held")
    assert pacer.overdue(Instant(after_ms(START, DEFAULT_QUEUE_LIMIT_MS) - 1)) is None
    assert pacer.overdue(after_ms(START, DEFAULT_QUEUE_LIMIT_MS)) == 1


def test_queues_are_bounded() -> None:
    pacer = paced(30_000).pacer
    pacer.sent(START, 1_400)
    for index in range(MAX_QUEUED):
        assert not pacer.is_full
        pacer.wait(START, 1, 100, str(index))
        assert pacer.wait_resend(START, 1, 100, str(index))
    assert pacer.is_full
    assert not pacer.wait_resend(START, 1, 100, "one too many")
    assert pacer.waiting_packets == 2 * MAX_QUEUED


def test_what_has_no_size_keeps_its_place_and_costs_nothing() -> None:
    wire = paced(1_000_000)
    wire.media(1_000, "a")
    wire.media(1_000, "b")
    wire.pacer.wait(START, 1, 0, "note")
    wire.pacer.wait(START, 1, 0, "note")
    wire.media(1_000, "c")
    assert wire.pacer.waiting_packets == 2
    wire.until(100)
    assert wire.names() == ["a", "b", "note", "note", "c"]
    assert wire.times("note") == wire.times("b") * 2


def test_what_waits_of_a_flow_can_be_changed_or_taken_away() -> None:
    wire = paced(1_000_000)
    for index, flow in enumerate((9, 1, 2, 1, 2)):
        wire.media(1_000, str(index), flow)
    wire.pacer.wait_resend(START, 1, 10, "resend of 1")
    wire.pacer.wait_resend(START, 2, 10, "resend of 2")

    def judge(queued: Queued[str]) -> Queued[str] | None:
        return None if queued.item == "1" else replace(queued, size_bytes=0)

    wire.pacer.sift(1, judge)
    assert [(one.item, one.size_bytes) for one in wire.pacer.of(1)] == [("3", 0)]
    assert [one.item for one in wire.pacer.of(2)] == ["2", "4"]
    oldest = wire.pacer.oldest
    assert oldest is not None
    assert oldest.item == "2"
    assert wire.pacer.first_flow() == 2
    assert wire.pacer.holds(2)
    assert not wire.pacer.holds(9)
    wire.pacer.forget(2)
    wire.until(100)
    assert wire.names() == ["0", "3", "resend of 1"]


def test_padding_fills_up_to_its_rate_and_no_further() -> None:
    wire = paced(math.inf, padding_bps=200_000)
    wire.until(1_000)
    assert len(wire.times("filler")) == pytest.approx(200_000 / 8 / 300, abs=1)
    wire = paced(math.inf, padding_bps=200_000)
    for at in range(0, 1_000, 10):
        wire.until(at)
        wire.media(250, "video")
    wire.until(1_000)
    assert len(wire.times("filler")) <= 2


def test_padding_never_owes_more_than_the_rate_pays() -> None:
    wire = paced(100_000, padding_bps=1_000_000)
    wire.until(1_000)
    assert len(wire.left) <= 100_000 / 8 / 300 + 2


def test_padding_ends_when_it_is_not_wanted_any_more() -> None:
    wire = paced(math.inf, padding_bps=200_000)
    wire.until(100)
    wire.pacer.set_pacing(wire.now, math.inf, 0, 250)
    before = len(wire.left)
    wire.until(1_000)
    assert len(wire.left) == before


def test_without_a_carrier_there_are_no_fillers_and_nothing_to_wait_for() -> None:
    wire = paced(math.inf, padding_bps=200_000)
    wire.pacer.probe(START, 1, 1_000_000, 5_000)
    wire.can_fill = False
    wire.until(1_000)
    assert wire.left == []
    assert wire.pacer.wants_fillers


def test_a_probe_is_filled_up_at_its_rate_whatever_the_pacing_rate_is() -> None:
    wire = paced(300_000)
    wire.filler_bytes = 1_144
    wire.pacer.probe(START, 7, 4_000_000, 7_500)
    wire.until(100)
    assert [(name, cluster) for _, name, _, cluster in wire.left] == [("filler", 7)] * 7
    assert wire.times("filler") == [round(2.288 * index, 2) for index in range(7)]


def test_media_that_waits_is_part_of_a_probe_before_any_filler() -> None:
    wire = paced(300_000)
    for name in ("a", "b", "c"):
        wire.media(1_000, name)
    wire.pacer.probe(START, 7, 4_000_000, 3_000)
    wire.until(20)
    assert [(name, cluster) for _, name, _, cluster in wire.left] == [
        ("a", 0),
        ("b", 7),
        ("c", 7),
        ("filler", 7),
        ("filler", 7),
        ("filler", 7),
        ("filler", 7),
    ]
    assert wire.times("c") == [2]


def test_resends_are_part_of_a_probe_too() -> None:
    wire = paced(300_000)
    wire.media(1_000, "video")
    wire.resend(1_000, "resend")
    wire.pacer.probe(START, 7, 4_000_000, 1_000)
    wire.until(20)
    assert [(name, cluster) for _, name, _, cluster in wire.left] == [("video", 0), ("resend", 7)]


def test_what_a_probe_sent_is_owed() -> None:
    wire = paced(2_000_000)
    wire.filler_bytes = 1_144
    wire.pacer.probe(START, 7, 4_000_000, 7_500)
    wire.until(14)
    wire.media(1_000, "video")
    wire.until(100)
    # 8,008 bytes at 2 Mbit/s, a millisecond of which was paid in advance; 4 ms may be owed.
    assert wire.times("video") == [31.03]


@given(
    rate_bps=st.integers(100_000, 50_000_000),
    arrivals=st.lists(
        st.tuples(st.integers(0, 20), st.integers(1, 3), st.integers(1, 1_400), st.sampled_from("vrs")),
        max_size=60,
    ),
)
def test_sound_never_waits_flows_keep_their_order_and_nothing_is_lost(
    rate_bps: int, arrivals: list[tuple[int, int, int, str]]
) -> None:
    wire = paced(rate_bps, limit_ms=math.inf)
    at = 0
    sent: dict[tuple[str, int], list[str]] = {}
    for index, (wait_ms, flow, size, kind) in enumerate(arrivals):
        at += wait_ms
        wire.until(at)
        name = f"{kind}{flow}.{index}"
        if kind == "s":
            before = len(wire.left)
            wire.sound(size)
            assert len(wire.left) == before + 1
            continue
        sent.setdefault((kind, flow), []).append(name)
        (wire.media if kind == "v" else wire.resend)(size, name, flow)
    wire.until(at + 10_000)
    for (kind, flow), names in sent.items():
        assert [name for name in wire.names() if name.startswith(f"{kind}{flow}.")] == names
    assert wire.pacer.waiting_packets == 0
