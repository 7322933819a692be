from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sfu.control import Control
from sfu.netem.link import LinkProfile
from sfu.rows import PAUSED
from sfu.simulation import stand
from sfu.simulation.cores import native_core
from sfu.simulation.measures import rate_bps
from sfu.simulation.pictures import uplink_audio_loss
from sfu.simulation.run import run
from sfu.simulation.scenario import GOOD, Camera, MediaFlow
from tests.unit.simulation.test_run import SCENARIO

if TYPE_CHECKING:
    from sfu.simulation.recording import Recording

pytest.importorskip("sfu.dataplane._native", reason="the Python twin is too slow for several encodings")

NARROW = LinkProfile(rate_bps=600_000, delay_ms=25, queue_ms=300)


def played(uplink: LinkProfile) -> Recording:
    flows = (MediaFlow(cameras=(Camera(),), uplink=uplink),)
    return run(replace(SCENARIO, duration_s=8, forward=GOOD, flows=flows), native_core(), Control(), 1)


def test_who_sits_behind_a_narrow_line_is_told_and_keeps_sound_and_the_lowest_encoding() -> None:
    recording = played(NARROW)
    assert uplink_audio_loss(recording) <= 0.01
    assert 300_000 < rate_bps(recording, 0, 4, 8) < 600_000
    (picture,) = recording.flows[0].pictures
    assert (picture.layers[20:] != PAUSED).all()


def test_who_is_told_nothing_loses_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    # As if no transport-wide numbers had been agreed on: the plane has nothing to tell of.
    monkeypatch.setattr(stand, "_UP", {})
    assert uplink_audio_loss(played(NARROW)) > 0.02


def test_over_a_wide_line_all_is_sent() -> None:
    assert rate_bps(played(replace(NARROW, rate_bps=10_000_000)), 0, 5, 8) > 1_900_000
