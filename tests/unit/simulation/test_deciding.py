from __future__ import annotations

from dataclasses import replace

import numpy as np

from sfu.bwe.estimate import WISH_DTYPE
from sfu.bwe.estimators import Estimators
from sfu.conference.turn import SetDemand
from sfu.control import Control
from sfu.plane import PlaneStats
from sfu.rows import ENCODING_DTYPE, FEEDBACK_DTYPE, ROUTE_DTYPE, TRANSPORT_DTYPE
from sfu.simulation.deciding import FULL_MS, Allocated, Followed, deciding, mind_of
from sfu.simulation.scenario import START, Camera, MediaFlow
from sfu.units import Instant, Kind, RouteId, TrackHandle, TransportId, after_ms
from tests.unit.simulation.test_run import SCENARIO

DEMAND = SetDemand(RouteId(7), TransportId(2), TrackHandle(5), Kind.AUDIO)
NO_FEEDBACK, NO_WISHES = np.zeros(0, FEEDBACK_DTYPE), np.zeros(0, WISH_DTYPE)


def counted(now: Instant) -> PlaneStats:
    transports = np.zeros(1, TRANSPORT_DTYPE)
    transports["transport"] = 2
    return PlaneStats(now, transports, np.zeros(0, ENCODING_DTYPE), np.zeros(0, ROUTE_DTYPE), {})


def test_a_call_is_allocated_and_other_sources_follow_the_estimate() -> None:
    call = replace(SCENARIO, flows=(MediaFlow(cameras=(Camera(),)),))
    assert isinstance(deciding(mind_of(call)), Allocated)
    assert isinstance(deciding(mind_of(SCENARIO)), Followed)


def test_who_follows_is_told_the_estimate_and_given_nothing() -> None:
    followed = Followed(Estimators())
    assert not len(followed.want([DEMAND]))
    decided = followed.tick(START, counted(START), NO_FEEDBACK, NO_WISHES)
    assert decided.estimates["transport"].tolist() == [2]
    assert (len(decided.targets), len(decided.decisions)) == (0, 0)


def test_what_is_wanted_is_given_at_once_and_anew_each_second() -> None:
    allocated = Allocated(Control())
    assert allocated.want([DEMAND])["route"].tolist() == [7]
    told_ms = []
    for elapsed_ms in range(0, 3 * FULL_MS, 50):
        now = after_ms(START, elapsed_ms)
        if len(allocated.tick(now, counted(now), NO_FEEDBACK, NO_WISHES).targets):
            told_ms.append(elapsed_ms)
    assert told_ms == [0, FULL_MS, 2 * FULL_MS]
