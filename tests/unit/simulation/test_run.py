from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sfu.netem.link import PERFECT, LinkProfile
from sfu.netem.loss import RandomLoss
from sfu.rows import LOST
from sfu.simulation.cores import native_core, reference_core
from sfu.simulation.measures import audio_hurt, delay_ms, loss, media_share, rate_bps, use
from sfu.simulation.publisher import SOUND_BPS
from sfu.simulation.run import run
from sfu.simulation.scenario import Bound, Control, Effect, MediaFlow, Scenario, TcpFlow
from tests.support.fixed_target import FixedTarget

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfu.simulation.recording import Recording
    from sfu.simulation.stand import Core

SCENARIO = Scenario(
    name="short",
    about="A row.",
    duration_s=4,
    forward=LinkProfile(rate_bps=1_000_000, delay_ms=20, queue_ms=300),
    figures=(),
    effect=Effect(lambda recording: use(recording, 1, 4), Bound(high=1)),
    control=Control(forward=PERFECT, tcp=()),
)
TARGET_BPS = 800_000


def played(
    scenario: Scenario = SCENARIO,
    make_core: Callable[[], Core] = reference_core,
    target: FixedTarget | None = None,
) -> Recording:
    return run(scenario, make_core(), target or FixedTarget(TARGET_BPS), seed=1)


@pytest.mark.parametrize("make_core", [reference_core, native_core])
def test_what_is_sent_at_the_target_arrives_and_is_acknowledged(make_core: Callable[[], Core]) -> None:
    target = FixedTarget(TARGET_BPS)
    recording = played(make_core=make_core, target=target)
    assert rate_bps(recording, 0, 2, 4) == pytest.approx(TARGET_BPS, rel=0.07)
    assert loss(recording, 0, 0, 3) == 0
    assert audio_hurt(recording) == 0
    assert 20 < delay_ms(recording, 0, 50, 1, 3) < 60
    rows = np.concatenate(target.feedback)
    assert set(rows["transport"]) == {2}
    assert len(rows) > 250
    assert (rows["arrived_at"] != LOST).all()


def test_both_planes_make_the_same_run() -> None:
    pytest.importorskip("sfu.dataplane._native")
    twin, native = played(), played(make_core=native_core)
    assert twin.flows[0].packets.tobytes() == native.flows[0].packets.tobytes()
    assert twin.flows[0].ticks.tobytes() == native.flows[0].ticks.tobytes()


def test_a_narrow_line_is_seen_in_queue_and_loss() -> None:
    recording = played(target=FixedTarget(1_500_000))
    assert recording.queue_ms[-50:].mean() > 250
    assert loss(recording, 0, 1, 3) > 0.2
    assert use(recording, 2, 4) == pytest.approx(0.97, abs=0.03)


def test_the_control_has_what_the_row_says() -> None:
    control = replace(SCENARIO, tcp=(TcpFlow(),)).as_control()
    assert (control.forward, control.tcp, control.backward) == (PERFECT, (), SCENARIO.backward)
    recording = played(control, target=FixedTarget(1_500_000))
    assert recording.queue_ms.max() == 0
    assert loss(recording, 0, 0, 3) == 0


def test_what_is_lost_is_told_and_sent_again() -> None:
    target = FixedTarget(TARGET_BPS)
    lossy = replace(SCENARIO, forward=LinkProfile(delay_ms=20, loss=RandomLoss(0.2)))
    recording = played(lossy, target=target)
    assert loss(recording, 0, 1, 3) == pytest.approx(0.2, abs=0.05)
    rows = np.concatenate(target.feedback)
    assert (rows["arrived_at"] == LOST).sum() > 20
    clean = played(replace(SCENARIO, forward=PERFECT))
    assert len(recording.flows[0].packets) > 1.1 * len(clean.flows[0].packets)


def test_a_flow_the_other_way_is_not_held_up_by_the_first() -> None:
    flows = (MediaFlow(), MediaFlow(is_forward=False))
    recording = played(replace(SCENARIO, flows=flows), target=FixedTarget(1_500_000))
    assert loss(recording, 0, 1, 3) > 0.2
    assert loss(recording, 1, 1, 3) == 0


def test_a_flow_has_a_delay_of_its_own() -> None:
    flows = (MediaFlow(), MediaFlow(delay_ms=100))
    recording = played(replace(SCENARIO, forward=LinkProfile(delay_ms=20), flows=flows))
    assert delay_ms(recording, 0, 50, 1, 3) == pytest.approx(20)
    assert delay_ms(recording, 1, 50, 1, 3) == pytest.approx(120)


def test_a_download_takes_what_is_left() -> None:
    # At a higher target, resends of what the download displaces fill the line by themselves.
    beside = replace(SCENARIO, duration_s=8, tcp=(TcpFlow(starts_at_s=1),))
    recording = played(beside, target=FixedTarget(500_000))
    assert 0.3 < media_share(recording, 3, 8) < 0.8
    assert recording.tcp_acknowledged[0][:20].sum() == 0


def test_wishes_are_what_is_sent_and_as_much_again() -> None:
    target = FixedTarget(TARGET_BPS)
    played(replace(SCENARIO, flows=(MediaFlow(max_bps=1_000_000, pauses=((2, 4),)),)), target=target)
    before, after = target.wishes[20][0], target.wishes[60][0]
    assert before["allocated_bps"] == pytest.approx(TARGET_BPS)
    assert before["desired_bps"] == pytest.approx(1_000_000 + SOUND_BPS)
    assert before["next_bps"] == pytest.approx(1_000_000 - (TARGET_BPS - SOUND_BPS))
    assert after.item() == (2, SOUND_BPS, SOUND_BPS, 0)


def test_probes_are_sent_and_reported_by_their_number() -> None:
    target = FixedTarget(TARGET_BPS)
    target.probes = [(2, 7, 2_000_000, 20_000)]
    recording = played(replace(SCENARIO, forward=PERFECT), target=target)
    rows = np.concatenate(target.feedback)
    assert rows["size_bytes"][rows["cluster"] == 7].sum() >= 20_000
    assert recording.flows[0].ticks["probes"].sum() == 1
    assert recording.flows[0].ticks["padding_bytes"].sum() > 0
