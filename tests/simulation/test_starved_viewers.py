"""Viewers whose machine has too much else to do, and who tell of packets as they look at them.

A machine that does not run makes no queue of the path. One that can't take what is sent looks like a narrow
path, and is sent less; but not for longer than it lasts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from sfu.bwe.falls import MIN_GAP_NS
from sfu.control import Control
from sfu.netem.link import LinkProfile, RateStep
from sfu.rows import MAX_TEMPORAL
from sfu.simulation.cores import native_core
from sfu.simulation.figures import HOME
from sfu.simulation.machine import Starved
from sfu.simulation.measures import audio_hurt, overload_s
from sfu.simulation.pictures import given_after_s, shown_share, switches_per_min
from sfu.simulation.run import run
from sfu.simulation.scenario import Bound, Camera, Effect, MediaFlow, Scenario, at_s
from sfu.simulation.scenario import Control as Unlike
from sfu.units import NS_PER_S

if TYPE_CHECKING:
    from sfu.simulation.recording import Recording

pytest.importorskip("sfu.dataplane._native", reason="the Python twin takes minutes")

SMALL: Final = (15_000, 35_000, 80_000)
USUAL: Final = (150_000, 500_000, 2_000_000)
LOOPBACK: Final = LinkProfile(delay_ms=0.2)
BEGIN_S: Final = 8.0
END_S: Final = 12.0
TOP: Final = 2
MIN_GAP_S: Final = MIN_GAP_NS / NS_PER_S
BACK_S: Final = 2.0
"""Of waiting for the highest encoding after it: a probe, and the step up. Three and more without a return."""


def seen(layers_bps: tuple[int, ...], forward: LinkProfile, *starved: Starved) -> Recording:
    """A viewer of one camera, starved at times."""
    row = Scenario(
        name="starved",
        about="A viewer's machine has too much to do.",
        duration_s=END_S + 8,
        forward=forward,
        flows=(MediaFlow(cameras=(Camera(layers_bps),), starved=starved),),
        figures=(),
        effect=Effect(audio_hurt, Bound(high=0)),
        control=Unlike(),
    )
    return run(row, native_core(), Control(), seed=1)


@pytest.mark.parametrize("stall_s", [0.1, 0.2, 0.5])
@pytest.mark.parametrize("forward", [LOOPBACK, HOME], ids=["loopback", "home"])
def test_who_stops_for_a_moment_again_and_again_is_given_what_was_given(
    forward: LinkProfile, stall_s: float
) -> None:
    stalls = [
        Starved(BEGIN_S + number, BEGIN_S + number + stall_s, 1_000 * stall_s)
        for number in range(round(END_S - BEGIN_S))
    ]
    recording = seen(USUAL, forward, *stalls)
    (picture,) = recording.flows[0].pictures
    after = recording.flows[0].ticks["at_s"] >= BEGIN_S
    assert (picture.layers[after] // MAX_TEMPORAL == TOP).all()
    assert audio_hurt(recording) == 0


@pytest.mark.parametrize(
    ("layers_bps", "datagrams"), [(SMALL, 5), (USUAL, 15)], ids=["small pictures", "usual pictures"]
)
def test_who_could_not_take_it_all_is_given_it_again_when_it_can(
    layers_bps: tuple[int, ...], datagrams: int
) -> None:
    recording = seen(layers_bps, LOOPBACK, Starved(BEGIN_S, BEGIN_S + 1, 100, datagrams))
    targets = recording.flows[0].ticks["target_bps"]
    told_at_s = recording.flows[0].ticks["at_s"]
    inside = (told_at_s >= BEGIN_S) & (told_at_s < BEGIN_S + 1)
    assert targets[inside].min() < 0.2 * targets[told_at_s < BEGIN_S][-1]
    assert given_after_s(recording, 0, TOP, BEGIN_S + 1) < BACK_S
    assert switches_per_min(recording, END_S, END_S + 8) == 0
    unlike = seen(layers_bps, LOOPBACK)
    assert switches_per_min(unlike, BEGIN_S, END_S + 8) == 0


def test_a_path_that_has_become_narrow_is_tried_now_and_then_and_no_more() -> None:
    narrow = replace(HOME, queue_ms=600, rate_steps=(RateStep(at_s(BEGIN_S), 120_000),))
    recording = seen(SMALL, narrow)
    ticks = recording.flows[0].ticks
    after = ticks["at_s"] >= BEGIN_S
    assert ticks["target_bps"][after].min() < 0.1 * ticks["target_bps"][~after][-1]
    assert ticks["probes"][after].sum() <= (END_S + 8 - BEGIN_S) / MIN_GAP_S
    assert overload_s(recording, limit_ms=200, begin_s=BEGIN_S, end_s=END_S + 8) < 2
    assert shown_share(recording, END_S, END_S + 8) == 1
