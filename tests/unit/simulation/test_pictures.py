from __future__ import annotations

import math

import numpy as np
import pytest

from sfu.rows import PAUSED
from sfu.simulation.pictures import (
    all_seen_after_s,
    freeze_s,
    given_after_s,
    mean_rate_bps,
    seen_after_s,
    shown_share,
    switches_per_min,
    uplink_audio_loss,
)
from sfu.simulation.recording import PACKET_DTYPE, TICK_DTYPE, FlowRecording, PictureRecording, Recording
from tests.unit.simulation.test_run import SCENARIO

TICKS = 200
"""Of 50 ms: 10 s."""
AT_S = np.arange(TICKS) / 20


def picture(
    *spans: tuple[float, int], wanted_at_s: float = 0.0, whole_at_s: tuple[float, ...] = ()
) -> PictureRecording:
    """Layers from so many seconds on."""
    layers = np.full(TICKS, PAUSED)
    for begin_s, layer in spans:
        layers[begin_s <= AT_S] = layer
    return PictureRecording(wanted_at_s, layers, np.array(whole_at_s))


def recording(*pictures: PictureRecording, flows: int = 1, lost: int = 0) -> Recording:
    ticks = np.zeros(TICKS, TICK_DTYPE)
    ticks["at_s"] = AT_S
    ticks["acknowledged_bytes"] = 1_000
    flow = FlowRecording(ticks, np.zeros(0, PACKET_DTYPE), 500, 0, 0, lost, pictures)
    return Recording(SCENARIO, (flow,) * flows, (), np.zeros(0), np.zeros(0))


def test_a_picture_is_seen_when_it_is_first_whole() -> None:
    seen = picture(wanted_at_s=2, whole_at_s=(2.25, 2.3, 4.0))
    one = recording(seen, picture(wanted_at_s=1, whole_at_s=(1.75,)))
    assert seen_after_s(one, 0) == pytest.approx(0.25)
    assert seen_after_s(one, 0, since_s=3) == pytest.approx(1)
    assert all_seen_after_s(one) == pytest.approx(0.75)
    never = recording(seen, picture())
    assert seen_after_s(never, 1) == all_seen_after_s(never) == math.inf


def test_a_picture_is_given_when_its_encoding_is_reached() -> None:
    one = recording(picture((1, 2), (3, 4), (6, 8)), picture((4, 0)))
    assert given_after_s(one, 0, encoding=1, since_s=2) == pytest.approx(1)
    assert given_after_s(one, 0, encoding=2, since_s=2) == pytest.approx(4)
    assert given_after_s(one, 1, encoding=1, since_s=0) == math.inf


def test_what_is_paused_is_not_shown() -> None:
    one = recording(picture((0, 8)), picture((5, 0)))
    assert shown_share(one, 0, 10) == pytest.approx(0.75)
    assert shown_share(one, 5, 10) == 1


def test_encodings_switch_and_frame_rates_do_not() -> None:
    steps = picture((0, 6), (2, 7), (4, 3), (6, PAUSED), (8, 3))
    assert switches_per_min(recording(steps), 0, 10) == 3 * 6
    assert switches_per_min(recording(steps, flows=2), 0, 10) == 3 * 6
    assert switches_per_min(recording(steps), 0, 3) == 0


def test_a_gap_is_a_freeze_unless_the_picture_was_paused() -> None:
    whole = (1.0, 1.03, 1.5, 4.0, 4.03)
    assert freeze_s(recording(picture((0, 0), whole_at_s=whole)), 0, 10) == pytest.approx(2.5)
    paused = picture((0, 0), (2, PAUSED), (3.9, 0), whole_at_s=whole)
    assert freeze_s(recording(paused), 0, 10) == pytest.approx(0.47)
    assert freeze_s(recording(paused), 2, 10) == 0


def test_rates_are_means_over_flows_and_sound_is_lost_before_the_plane() -> None:
    assert mean_rate_bps(recording(flows=3), 0, 10) == pytest.approx(160_000)
    assert uplink_audio_loss(recording(flows=2, lost=5)) == pytest.approx(0.01)
