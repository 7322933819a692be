"""One tick: what makes it decide anew, when it looks closely, and what it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

from sfu.allocation.decision import Cause
from sfu.allocation.policies.lowest_layers_first import lowest_layers_first
from sfu.allocation.rates import STALLED_AFTER_S
from sfu.bwe.estimate import EstimateState
from sfu.bwe.watch import AMISS_LOST, AMISS_MS
from sfu.control import CALM_MS, CLOSE_MS, Control
from sfu.plane import PlaneStats
from sfu.rows import ENCODING_DTYPE, FEEDBACK_DTYPE, LOST, PAUSED, ROUTE_DTYPE, TRANSPORT_DTYPE
from sfu.units import NS_PER_MS, ConferenceId, Instant, TrackHandle, TransportId, after_ms
from tests.unit.allocation.arrays import AUDIO, VIDEO, video

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sfu.conference.turn import SetDemand
    from sfu.control import ControlUpdate
    from sfu.rows import StructArray

TICK_MS: Final = 50
LADDER: Final = (100_000, 300_000, 1_500_000)
ENDS: Final = 2
"""In a decision: the highest encoding."""
LEG, CALL = TransportId(1), ConferenceId(9)
START: Final = Instant(500_000 * NS_PER_MS)
NOTHING: Final = np.zeros(0, FEEDBACK_DTYPE)


def packet(delay_ms: float | None, *, leg: int = LEG, seq: int = 0, at: int = START) -> tuple[int, ...]:
    """Feedback of one packet; without a delay it was lost."""
    arrived_at = LOST if delay_ms is None else at + round(delay_ms * NS_PER_MS)
    return leg, seq, 0, 1_000, at, arrived_at, at + 60 * NS_PER_MS


def feedback_of(rows: Iterable[tuple[int, ...]]) -> StructArray:
    return np.array(list(rows), FEEDBACK_DTYPE)


@dataclass
class Plane:
    """Counters of one subscriber, and of tracks that are sent steadily in all encodings of `LADDER`."""

    control: Control = field(default_factory=Control)
    tracks: list[int] = field(default_factory=lambda: [1])
    remb_bps: float = 0.0
    silent: set[tuple[int, int]] = field(default_factory=set)
    """Encodings that do not flow, by track and number."""
    packets: int = 0
    """Sent to the subscriber in `TICK_MS`, who says of each that it came."""
    tick_ms: int = TICK_MS
    delay_ms: float = 20.0
    now: Instant = START
    _seq: int = 0
    _heard_at: dict[tuple[int, int], Instant] = field(default_factory=dict)

    def tick(self, *more: tuple[int, ...], is_full: bool = False) -> ControlUpdate:
        """A tick's time later."""
        before, self.now = self.now, after_ms(self.now, self.tick_ms)
        rows = list(more)
        for number in range(self.packets * self.tick_ms // TICK_MS):
            sent_at = before + number * TICK_MS * NS_PER_MS // self.packets
            rows.append(packet(self.delay_ms, seq=self._seq, at=sent_at))
            self._seq += 1
        return self.control.tick(self.now, self._stats(), feedback_of(rows), is_full=is_full)

    def ticks(self, seconds: float) -> list[ControlUpdate]:
        return [self.tick() for _ in range(round(seconds * 1_000 / self.tick_ms))]

    def _stats(self) -> PlaneStats:
        transports = np.zeros(1, TRANSPORT_DTYPE)
        transports["transport"] = LEG
        transports["numbered_packets_sent"] = elapsed_ticks = (self.now - START) // (TICK_MS * NS_PER_MS)
        transports["bytes_sent"] = elapsed_ticks * 1_000 * max(self.packets, 1)
        transports["remb_bps"] = self.remb_bps
        transports["round_trip_time_ms"] = np.nan
        keys = [(track, encoding) for track in self.tracks for encoding in range(len(LADDER))]
        encodings = np.zeros(len(keys), ENCODING_DTYPE)
        for row, key in zip(encodings, keys, strict=True):
            row["track"], row["encoding"] = key
            row["bytes_received"] = LADDER[key[1]] / 8 * (self.now - START) / 1e9
            if key not in self.silent:
                self._heard_at[key] = self.now
            row["last_received_at"] = self._heard_at.get(key, START)
        return PlaneStats(self.now, transports, encodings, np.zeros(0, ROUTE_DTYPE), {})


def given(control: Control, route: int = 1) -> int:
    """The encoding that was decided on."""
    rows = control.decisions[control.decisions["route"] == route]
    return int(rows["chosen_encoding"][0])


def cause(control: Control, route: int = 1) -> Cause:
    return Cause(int(control.decisions[control.decisions["route"] == route]["cause"][0]))


def settled(**fields: object) -> Plane:
    """A plane whose subscriber wants the picture, after all that is found out in the beginning."""
    plane = Plane(tick_ms=5 * TICK_MS, **fields)  # type: ignore[arg-type]  # fields of Plane
    plane.control.set_demand(VIDEO)
    plane.ticks(8)
    plane.tick_ms = TICK_MS
    return plane


def awaited(plane: Plane, demand: SetDemand) -> tuple[int, int]:
    """The encoding that the plane is told of for a wish, and what was decided on."""
    plane.control.set_demand(demand)
    targets = plane.tick().targets
    assert targets is not None
    (told,) = targets[targets["route"] == demand.route]["encoding"].tolist()
    return told, given(plane.control, demand.route)


def test_a_picture_that_has_not_begun_is_taken_from_its_first_key_frame_on() -> None:
    plane = Plane(tracks=[])
    assert awaited(plane, VIDEO) == (0, PAUSED), "nothing is given, so nothing is paid for"
    plane.tracks = [1]
    targets = plane.tick().targets
    assert targets is not None
    assert targets["encoding"].tolist() == [given(plane.control)] != [PAUSED]


def test_a_route_for_one_encoding_waits_for_no_other() -> None:
    assert awaited(Plane(tracks=[]), video(3, only=1)) == (1, PAUSED)


def test_a_picture_that_has_stopped_is_not_taken_for_one_that_has_not_begun() -> None:
    plane = Plane(silent={(1, 0), (1, 1), (1, 2)})
    plane.ticks(3.0)
    assert awaited(plane, VIDEO) == (PAUSED, PAUSED)


def test_nobody_waits_for_a_picture_that_is_out_of_sight() -> None:
    assert awaited(Plane(tracks=[]), video(3, is_visible=False)) == (PAUSED, PAUSED)


def calm() -> Plane:
    """A plane whose subscriber has all it wants, which is a small picture, and says that all of it comes."""
    plane = Plane(packets=4, tick_ms=5 * TICK_MS)
    plane.control.set_demand(video(1, width=320, height=180))
    plane.ticks(4)
    plane.tick_ms = TICK_MS
    assert plane.control.is_calm
    return plane


# --- what makes it decide ---------------------------------------------------------------------------------


def test_who_wants_something_is_given_it_with_the_next_tick_and_then_nothing_is_decided() -> None:
    plane = Plane()
    plane.tick()
    plane.control.set_demand(VIDEO)
    assert plane.control.is_stale
    first, second = plane.tick(), plane.tick()
    assert first.targets is not None
    assert first.targets["route"].tolist() == [1]
    assert first.has_news
    assert not plane.control.is_stale
    assert second.targets is None
    assert not second.has_news
    assert second.decisions is first.decisions


def test_a_full_tick_decides_and_has_no_news() -> None:
    plane = settled()
    update = plane.tick(is_full=True)
    assert update.targets is not None
    assert not update.has_news


def test_what_nobody_wants_any_more_is_given_to_nobody() -> None:
    plane = settled()
    plane.control.drop_demand(VIDEO.route)
    update = plane.tick()
    assert update.has_news
    assert update.targets is not None
    assert not len(update.targets)


def test_it_decides_between_ticks_when_it_is_asked_to() -> None:
    plane = settled()
    plane.control.set_demand(AUDIO)
    assert plane.control.allocate()["route"].tolist() == [1, 2]
    assert not plane.control.is_stale
    assert not plane.tick().has_news


def test_an_encoding_that_stops_and_one_that_is_back_are_news() -> None:
    plane = settled()
    assert given(plane.control) == ENDS
    plane.silent = {(1, ENDS)}
    stopped = plane.ticks(STALLED_AFTER_S + 0.1)
    assert sum(update.has_news for update in stopped) == 1
    assert given(plane.control) == ENDS - 1
    plane.silent = set()
    assert any(update.has_news for update in plane.ticks(3))
    assert given(plane.control) == ENDS


def test_a_path_that_carries_less_than_is_given_is_news_at_once() -> None:
    plane = settled(remb_bps=4e6)
    assert given(plane.control) == ENDS
    plane.remb_bps = 400_000
    assert any(update.has_news for update in plane.ticks(CLOSE_MS / 1_000))
    assert given(plane.control) == ENDS - 1
    assert cause(plane.control) is Cause.BUDGET
    assert not any(update.has_news for update in plane.ticks(3))


def test_a_path_that_carries_more_is_news_when_it_has_for_a_while() -> None:
    plane = settled(remb_bps=400_000)
    plane.remb_bps = 4e6
    assert not any(update.has_news for update in plane.ticks(2))
    assert given(plane.control) == ENDS - 1
    assert any(update.has_news for update in plane.ticks(4))
    assert given(plane.control) == ENDS


def test_a_path_that_waves_between_two_encodings_is_no_news() -> None:
    plane = settled(remb_bps=400_000)
    for number in range(40):
        plane.remb_bps = 400_000 + 50_000 * (number % 3)
        assert not plane.tick().has_news


# --- how closely it looks ---------------------------------------------------------------------------------


def test_where_everybody_has_all_over_paths_that_carry_more_it_looks_now_and_then() -> None:
    plane = calm()
    updates = plane.ticks(2)
    looks = sum(later.estimates is not earlier.estimates for earlier, later in pairwise(updates))
    assert looks == pytest.approx(2_000 / CALM_MS, abs=1)


def test_what_is_said_in_a_calm_time_is_counted_when_it_looks() -> None:
    plane = calm()
    plane.ticks(2 * CALM_MS / 1_000)
    (row,) = plane.control.estimates
    assert row["state"] == EstimateState.NORMAL
    assert row["acked_bps"] == pytest.approx(4 * 8 * 1_000 * 1_000 / TICK_MS, rel=0.15)


@pytest.mark.parametrize(
    "rows",
    [
        [packet(20), packet(20 + AMISS_MS + 1)],
        [packet(20), *[packet(None)] * AMISS_LOST],
    ],
    ids=["a queue", "losses"],
)
def test_in_a_calm_time_what_is_amiss_is_looked_at_at_once(rows: list[tuple[int, ...]]) -> None:
    plane = calm()
    quiet, last = plane.tick(), plane.tick()
    if last.estimates is not quiet.estimates:
        last = plane.tick()
    assert plane.tick(*rows).estimates is not last.estimates


def test_while_a_path_carries_less_than_is_wanted_it_looks_at_every_other_tick() -> None:
    plane = settled(remb_bps=400_000)
    assert not plane.control.is_calm
    first, second, third = plane.ticks(3 * TICK_MS / 1_000)
    assert len({id(update.estimates) for update in (first, second, third)}) == 2


def test_where_something_is_amiss_besides_it_looks_at_once() -> None:
    plane = settled(remb_bps=400_000)
    queue = [packet(20), packet(20 + AMISS_MS + 1)]
    first, second, third = (plane.tick(*queue) for _ in range(3))
    assert len({id(update.estimates) for update in (first, second, third)}) == 3


def test_in_a_calm_time_who_wants_more_than_the_path_is_known_to_carry_is_looked_at_at_once() -> None:
    plane = calm()
    before = plane.tick()
    plane.control.set_demand(VIDEO)
    plane.control.allocate()
    assert not plane.control.is_calm
    assert plane.tick().estimates is not before.estimates


def test_pacing_follows_the_estimate() -> None:
    plane = settled(remb_bps=4e6)
    plane.remb_bps = 400_000
    (row,) = np.concatenate([update.pacing for update in plane.ticks(CLOSE_MS / 1_000)])
    assert row["transport"] == LEG
    assert 400_000 <= row["rate_bps"] <= 1_000_000


def test_of_a_peer_that_is_somewhere_else_nothing_is_known() -> None:
    plane = calm()
    plane.control.route_changed([LEG])
    plane.packets = 0
    (row,) = plane.tick().estimates
    assert np.isnan(row["acked_bps"])
    assert (row["queue_ms"], row["loss"]) == (0, 0)


# --- what it is told --------------------------------------------------------------------------------------


def test_caps_hold_at_once_and_end_with_the_leg() -> None:
    plane = settled()
    plane.control.set_caps(LEG, 400_000.0, 0, 0)
    assert plane.tick().has_news
    assert (given(plane.control), cause(plane.control)) == (ENDS - 1, Cause.CAP)
    plane.control.set_caps(LEG, np.inf, 180, 0)
    plane.tick()
    assert (given(plane.control), cause(plane.control)) == (0, Cause.CEILING)
    plane.control.forget(LEG)
    plane.tick()
    assert (given(plane.control), cause(plane.control)) == (ENDS, Cause.SIZE)
    plane.control.forget(LEG)
    assert not plane.control.is_stale


def test_of_so_many_pictures_those_who_spoke_last_are_given() -> None:
    plane = settled(tracks=[1, 2, 3])
    for route in (2, 3):
        plane.control.set_demand(video(route))
    plane.control.set_caps(LEG, np.inf, 0, 1)
    plane.control.set_speech(CALL, [TrackHandle(3), TrackHandle(1)], [])
    plane.tick()
    assert [given(plane.control, route) for route in (1, 2, 3)] == [PAUSED, PAUSED, ENDS]
    assert cause(plane.control, 1) is Cause.LAST_N


def test_who_is_unheard_is_given_to_nobody_until_somebody_else_speaks_or_the_call_is_over() -> None:
    plane = settled()
    plane.control.set_demand(AUDIO)
    other = ConferenceId(10)
    plane.control.set_speech(other, [TrackHandle(77)], [TrackHandle(78)])
    plane.control.set_speech(CALL, [], [AUDIO.track])
    assert plane.tick().has_news
    assert (given(plane.control, 2), cause(plane.control, 2)) == (PAUSED, Cause.UNHEARD)
    plane.control.set_speech(CALL, [], [])
    plane.tick()
    assert given(plane.control, 2) != PAUSED


def test_the_policy_decides() -> None:
    plane = settled(control=Control(lambda problem: np.zeros(len(problem.rank), np.int64)))
    assert given(plane.control) == 0
    other = settled(control=Control(lowest_layers_first))
    assert given(other.control) == ENDS
