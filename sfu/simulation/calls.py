"""Scenarios of calls: cameras of several encodings, of which a focus chooses what is shown."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial
from typing import Final

from sfu.netem.link import LinkProfile, RateStep
from sfu.netem.loss import BurstLoss
from sfu.simulation.figures import BURSTS, DROP, HOME, JAIN_2, JAIN_5, JITTER, LOSS, POLICER, STEADY, TCP
from sfu.simulation.measures import (
    fairness,
    loss,
    media_share,
    overload_s,
    queue_ms,
    rate_bps,
    time_to_rate,
    time_to_use,
    use,
)
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
from sfu.simulation.scenario import (
    CAMERA_BPS,
    GOOD,
    Bound,
    Camera,
    Control,
    Effect,
    Figure,
    MediaFlow,
    Scenario,
    at_s,
)

_TOP_BPS: Final = 0.9 * CAMERA_BPS[-1]
_FULL: Final = Bound(high=1_900_000)
"""Less than a camera comes to whose highest encoding is shown."""
_CAMERA: Final = (MediaFlow(cameras=(Camera(),)),)
_ENDLESS: Final = Control(forward=GOOD)


def _with_camera(scenario: Scenario) -> tuple[MediaFlow, ...]:
    """The same flows, with a camera each."""
    return tuple(replace(flow, cameras=(Camera(),)) for flow in scenario.flows)


LAYERS_STEADY: Final = Scenario(
    name="layers_steady",
    about="As steady, with a camera of three encodings.",
    duration_s=60,
    forward=HOME,
    flows=_CAMERA,
    figures=(
        Figure("layers_start_s", partial(time_to_rate, bps=_TOP_BPS, since_s=0)),
        Figure("layers_steady_use", partial(use, begin_s=20, end_s=60)),
        Figure("layers_steady_queue_p95_ms", partial(queue_ms, rank=95, begin_s=20, end_s=60)),
    ),
    effect=Effect(partial(queue_ms, rank=95, begin_s=20, end_s=60), Bound(low=1)),
    control=STEADY.control,
)

LAYERS_DROP: Final = Scenario(
    name="layers_drop",
    about="As drop, with a camera of three encodings.",
    duration_s=90,
    forward=DROP.forward,
    flows=_CAMERA,
    figures=(
        Figure("layers_drop_overload_s", partial(overload_s, limit_ms=200, begin_s=30, end_s=60)),
        Figure("layers_drop_use", partial(use, begin_s=40, end_s=60)),
        Figure("layers_drop_freeze_s", partial(freeze_s, begin_s=5, end_s=88)),
        Figure("layers_rise_s", partial(time_to_rate, bps=_TOP_BPS, since_s=60)),
    ),
    effect=Effect(partial(queue_ms, rank=100, begin_s=30, end_s=33), Bound(low=150)),
    control=DROP.control,
)

LAYERS_NARROW: Final = Scenario(
    name="layers_narrow",
    about="The line falls from 3 to 0.3 Mbit/s for half a minute, on which only the lowest encoding fits.",
    duration_s=90,
    forward=replace(
        HOME, queue_ms=600, rate_steps=(RateStep(at_s(20), 300_000), RateStep(at_s(50), 3_000_000))
    ),
    flows=_CAMERA,
    figures=(
        Figure("layers_narrow_overload_s", partial(overload_s, limit_ms=200, begin_s=20, end_s=50)),
        Figure("layers_narrow_shown", partial(shown_share, begin_s=25, end_s=50)),
        Figure("layers_narrow_rise_s", partial(time_to_rate, bps=_TOP_BPS, since_s=50)),
    ),
    effect=Effect(partial(rate_bps, flow=0, begin_s=30, end_s=50), Bound(high=300_000)),
    control=Control(forward=HOME),
)

LAYERS_LOSS: Final = replace(
    LOSS,
    name="layers_loss10",
    about="As loss10, with a camera of three encodings.",
    flows=_CAMERA,
    figures=(
        Figure("layers_loss10_use", partial(use, begin_s=20, end_s=60)),
        Figure("layers_loss10_switches_per_min", partial(switches_per_min, begin_s=20, end_s=60)),
    ),
)

LAYERS_BURSTS: Final = replace(
    BURSTS,
    name="layers_bursty_loss",
    about="As bursty_loss, with a camera of three encodings.",
    flows=_CAMERA,
    figures=(Figure("layers_bursty_loss_use", partial(use, begin_s=20, end_s=60)),),
)

LAYERS_JITTER: Final = replace(
    JITTER,
    name="layers_jitter",
    about="As jitter, with a camera of three encodings.",
    flows=_CAMERA,
    figures=(Figure("layers_jitter_use", partial(use, begin_s=20, end_s=60)),),
)

LAYERS_POLICER: Final = replace(
    POLICER,
    name="layers_policer",
    about="As policer, with a camera of three encodings.",
    flows=_CAMERA,
    figures=(
        Figure("layers_policer_loss", partial(loss, flow=0, begin_s=5, end_s=58)),
        Figure("layers_policer_use", partial(use, begin_s=20, end_s=60)),
    ),
)

LAYERS_JAIN_2: Final = replace(
    JAIN_2,
    name="layers_jain_2",
    about="Two subscribers of a camera each behind one line of 3 Mbit/s; the second joins 5 s later.",
    forward=HOME,
    flows=_with_camera(JAIN_2),
    figures=(
        Figure("layers_jain_2", partial(fairness, begin_s=60, end_s=90)),
        Figure("layers_jain_2_use", partial(use, begin_s=60, end_s=90)),
    ),
    effect=Effect(partial(mean_rate_bps, begin_s=60, end_s=90), _FULL),
    control=Control(flows=_CAMERA),
)

LAYERS_JAIN_5: Final = replace(
    JAIN_5,
    name="layers_jain_5",
    about="As jain_5, with a camera of three encodings each.",
    flows=_with_camera(JAIN_5),
    figures=(
        Figure("layers_jain_5", partial(fairness, begin_s=60, end_s=90)),
        Figure("layers_jain_5_use", partial(use, begin_s=60, end_s=90)),
    ),
    effect=Effect(partial(mean_rate_bps, begin_s=60, end_s=90), _FULL),
    control=Control(flows=_CAMERA),
)

LAYERS_TCP: Final = replace(
    TCP,
    name="layers_tcp",
    about="A download begins beside a subscriber of a camera on a line of 3 Mbit/s, and goes on.",
    forward=HOME,
    flows=_CAMERA,
    figures=(
        Figure("layers_tcp_share", partial(media_share, begin_s=20, end_s=120)),
        Figure("layers_tcp_shown", partial(shown_share, begin_s=20, end_s=120)),
    ),
    effect=Effect(partial(rate_bps, flow=0, begin_s=20, end_s=120), _FULL),
)

_TILE: Final = (426, 240)
"""One of nine on a screen: of a camera's encodings, that in the middle fits."""
_NINE: Final = (MediaFlow(cameras=(Camera(tile=_TILE),) * 9),)

GRID: Final = Scenario(
    name="grid",
    about="A subscriber joins a call of nine cameras over a line of 3 Mbit/s, two thirds of what they are.",
    duration_s=60,
    forward=HOME,
    flows=_NINE,
    figures=(
        Figure("grid_seen_s", all_seen_after_s),
        Figure("grid_use", partial(use, begin_s=20, end_s=60)),
        Figure("grid_queue_p95_ms", partial(queue_ms, rank=95, begin_s=20, end_s=60)),
        Figure("grid_switches_per_min", partial(switches_per_min, begin_s=20, end_s=60)),
        Figure("grid_freeze_s", partial(freeze_s, begin_s=5, end_s=58)),
    ),
    effect=Effect(partial(rate_bps, flow=0, begin_s=20, end_s=60), Bound(high=3_000_000)),
    control=_ENDLESS,
)

GRID_DROP: Final = Scenario(
    name="grid_drop",
    about="The same call, while the line falls to 0.8 Mbit/s, too little for nine pictures, and rises.",
    duration_s=90,
    forward=DROP.forward,
    flows=_NINE,
    figures=(
        Figure("grid_drop_overload_s", partial(overload_s, limit_ms=200, begin_s=30, end_s=60)),
        Figure("grid_drop_shown", partial(shown_share, begin_s=40, end_s=60)),
        Figure("grid_drop_freeze_s", partial(freeze_s, begin_s=5, end_s=88)),
        Figure("grid_drop_rise_s", partial(time_to_use, share=0.7, since_s=60)),
    ),
    effect=Effect(partial(rate_bps, flow=0, begin_s=40, end_s=60), Bound(high=800_000)),
    control=Control(forward=HOME),
)

SCREEN: Final = Scenario(
    name="screen",
    about="Somebody shares a screen, beside four cameras in small tiles, over a line of 2 Mbit/s.",
    duration_s=60,
    forward=replace(HOME, rate_bps=2_000_000),
    flows=(
        MediaFlow(
            cameras=(
                Camera((200_000, 500_000, 1_800_000), (1600, 900), starts_at_s=15, is_screen=True),
                *(Camera(tile=(320, 180)),) * 4,
            )
        ),
    ),
    figures=(
        Figure("screen_seen_s", partial(seen_after_s, picture=0)),
        Figure("screen_sharp_s", partial(given_after_s, picture=0, encoding=2, since_s=15)),
        Figure("screen_use", partial(use, begin_s=30, end_s=60)),
        Figure("screen_cameras_shown", partial(shown_share, begin_s=30, end_s=60)),
    ),
    effect=Effect(partial(rate_bps, flow=0, begin_s=30, end_s=60), Bound(high=2_000_000)),
    control=_ENDLESS,
)

LATE: Final = Scenario(
    name="late",
    about="Of five cameras the last joins after 20 s, over a line of 2 Mbit/s that carries four of them.",
    duration_s=50,
    forward=replace(HOME, rate_bps=2_000_000),
    flows=(
        MediaFlow(
            cameras=(*(Camera(tile=(640, 360)),) * 4, Camera(tile=(640, 360), starts_at_s=20)),
        ),
    ),
    figures=(
        Figure("late_seen_s", partial(seen_after_s, picture=4)),
        Figure("late_freeze_s", partial(freeze_s, begin_s=18, end_s=48)),
        Figure("late_switches_per_min", partial(switches_per_min, begin_s=22, end_s=50)),
    ),
    effect=Effect(partial(rate_bps, flow=0, begin_s=30, end_s=50), Bound(high=2_000_000)),
    control=_ENDLESS,
)


def _wavering() -> LinkProfile:
    """A radio link: another rate every few seconds, jitter, and losses in bursts."""
    rng = random.Random(2)  # noqa: S311  # the same link in every run
    steps, at = [], 0.0
    while at < 120:
        at += rng.uniform(2, 8)
        steps.append(RateStep(at_s(at), round(rng.uniform(0.9e6, 3.2e6))))
    return LinkProfile(
        rate_bps=2_000_000,
        delay_ms=25,
        jitter_ms=10,
        queue_ms=400,
        loss=BurstLoss(0.001, 0.1),
        rate_steps=tuple(steps),
    )


WAVERING: Final = Scenario(
    name="wavering",
    about="Four cameras over a radio link of 0.9 to 3.2 Mbit/s, another rate every few seconds.",
    duration_s=120,
    forward=_wavering(),
    flows=(MediaFlow(cameras=(Camera(), *(Camera(tile=(640, 360)),) * 3)),),
    figures=(
        Figure("wavering_use", partial(use, begin_s=20, end_s=120)),
        Figure("wavering_overload_s", partial(overload_s, limit_ms=200, begin_s=20, end_s=120)),
        Figure("wavering_shown", partial(shown_share, begin_s=20, end_s=120)),
        Figure("wavering_switches_per_min", partial(switches_per_min, begin_s=20, end_s=120)),
        Figure("wavering_freeze_s", partial(freeze_s, begin_s=20, end_s=118)),
    ),
    effect=Effect(partial(rate_bps, flow=0, begin_s=20, end_s=120), Bound(high=3_000_000)),
    control=_ENDLESS,
)

_NARROW: Final = LinkProfile(rate_bps=600_000, delay_ms=25, queue_ms=300)

UPLINK: Final = Scenario(
    name="uplink",
    about="The publisher of a camera sits behind 600 kbit/s, of which the focus tells it by its feedback.",
    duration_s=60,
    forward=GOOD,
    flows=(MediaFlow(cameras=(Camera(),), uplink=_NARROW),),
    figures=(
        Figure("uplink_audio_loss", uplink_audio_loss, Bound(high=0.01)),
        Figure("uplink_shown", partial(shown_share, begin_s=5, end_s=60), Bound(low=0.99)),
        Figure("uplink_bps", partial(rate_bps, flow=0, begin_s=20, end_s=60)),
    ),
    effect=Effect(partial(rate_bps, flow=0, begin_s=20, end_s=60), Bound(high=600_000)),
    control=Control(flows=(MediaFlow(cameras=(Camera(),), uplink=GOOD),)),
)

CALLS: Final = (
    LAYERS_STEADY,
    LAYERS_DROP,
    LAYERS_NARROW,
    LAYERS_LOSS,
    LAYERS_BURSTS,
    LAYERS_JITTER,
    LAYERS_POLICER,
    LAYERS_JAIN_2,
    LAYERS_JAIN_5,
    LAYERS_TCP,
    GRID,
    GRID_DROP,
    SCREEN,
    LATE,
    WAVERING,
    UPLINK,
)
