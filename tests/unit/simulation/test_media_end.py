from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sfu.control import Control
from sfu.netem.link import LinkProfile
from sfu.rows import MAX_TEMPORAL, PAUSED
from sfu.simulation.cores import native_core
from sfu.simulation.publisher import SOUND_BPS
from sfu.simulation.run import run
from sfu.simulation.scenario import Camera, MediaFlow
from tests.unit.simulation.test_run import SCENARIO

pytest.importorskip("sfu.dataplane._native", reason="the Python twin is too slow for several pictures")

LADDER = (100_000, 300_000, 900_000)
WIDE = LinkProfile(delay_ms=20)
CALL = replace(SCENARIO, duration_s=5, forward=WIDE, flows=(MediaFlow(cameras=(Camera(LADDER),)),))


@pytest.mark.parametrize(("tile", "encoding"), [((320, 180), 0), ((640, 360), 1), ((1280, 720), 2)], ids=str)
def test_the_encoding_that_fits_the_tile_is_given_and_arrives(tile: tuple[int, int], encoding: int) -> None:
    camera = Camera(LADDER, tile)
    (flow,) = run(replace(CALL, flows=(MediaFlow(cameras=(camera,)),)), native_core(), Control(), 1).flows
    (picture,) = flow.pictures
    assert picture.layers[-1] // MAX_TEMPORAL == encoding
    arrived = flow.ticks["acknowledged_bytes"][-20:].sum() * 8
    assert arrived == pytest.approx(LADDER[encoding] + SOUND_BPS, rel=0.15)


def test_a_line_that_carries_less_is_given_less() -> None:
    narrow = replace(WIDE, rate_bps=300_000, queue_ms=300)
    (flow,) = run(replace(CALL, forward=narrow), native_core(), Control(), 1).flows
    assert flow.pictures[0].layers[-1] < MAX_TEMPORAL * 2
    assert flow.audio_held + flow.audio_dropped == 0


def test_cameras_are_subscribed_to_when_they_join() -> None:
    cameras = (Camera(LADDER, (320, 180)), Camera(LADDER, (320, 180), starts_at_s=2))
    (flow,) = run(replace(CALL, flows=(MediaFlow(cameras=cameras),)), native_core(), Control(), 1).flows
    at_s = flow.ticks["at_s"]
    first, second = flow.pictures
    assert (first.layers[at_s > 0.2] != PAUSED).all()
    assert (second.layers[at_s < 2] == PAUSED).all()
    assert (second.layers[at_s > 2.2] != PAUSED).all()
    assert (first.wanted_at_s, second.wanted_at_s) == (0, 2)
    assert first.whole_at_s[0] < 0.3
    assert 2 < second.whole_at_s[0] < 2.3
    assert np.diff(second.whole_at_s).max() < 0.1
