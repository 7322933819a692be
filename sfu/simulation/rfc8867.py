"""The test cases of RFC 8867, sections 5.1 to 5.8.

Capacities, delays, queues and times are the document's. Two things differ: a source may come to 10 Mbit/s
where the document stops at 1.5, so that the path and not the source is the limit; and jitter is uniform over
17 ms, which has the standard deviation (5 ms) of a Gaussian that is cut off at the document's 30.
"""

from __future__ import annotations

import random
from functools import partial
from typing import Final

from sfu.netem.link import LinkProfile, RateStep
from sfu.simulation.measures import (
    delay_ms,
    fairness,
    loss,
    media_share,
    queue_ms,
    rate_bps,
    use,
)
from sfu.simulation.scenario import Bound, Control, Effect, Figure, MediaFlow, Scenario, TcpFlow, at_s

DELAY_MS: Final = 50.0
JITTER_MS: Final = 17.0
QUEUE_MS: Final = 300.0
_BACK: Final = LinkProfile(delay_ms=DELAY_MS)


def _path(rate_bps: float, *steps: tuple[float, float], delay_ms: float = DELAY_MS) -> LinkProfile:
    """A bottleneck of the document, with (time, rate) of its changes."""
    return LinkProfile(
        rate_bps=round(rate_bps),
        delay_ms=delay_ms,
        jitter_ms=JITTER_MS,
        queue_ms=QUEUE_MS,
        rate_steps=tuple(RateStep(at_s(at), round(rate)) for at, rate in steps),
    )


def _of_path(case: str, begin_s: float, end_s: float) -> tuple[Figure, ...]:
    """What is reported of every case."""
    return (
        Figure(f"{case}_use", partial(use, begin_s=begin_s, end_s=end_s)),
        Figure(f"{case}_queue_p95_ms", partial(queue_ms, rank=95, begin_s=begin_s, end_s=end_s)),
        Figure(f"{case}_loss", partial(loss, flow=0, begin_s=begin_s, end_s=end_s - 2)),
    )


def _short_downloads() -> tuple[TcpFlow, ...]:
    """Ten people who fetch files of 100 KB to 1 MB with pauses of 10 s on average; two begin with a file."""
    rng = random.Random(8867)  # noqa: S311  # the same downloads in every run
    return tuple(_files(rng, starts_at_s=0.0 if person < 2 else _pause_s(rng)) for person in range(10))


def _files(rng: random.Random, starts_at_s: float) -> TcpFlow:
    """More than there is time for: who waits for a file fetches no other."""
    later = tuple((_pause_s(rng), _file_bytes(rng)) for _ in range(60))
    return TcpFlow(starts_at_s, _file_bytes(rng), later)


def _pause_s(rng: random.Random) -> float:
    return rng.expovariate(1 / 10)


def _file_bytes(rng: random.Random) -> int:
    return round(rng.uniform(100_000, 1_000_000))


_RISE_AND_FALL: Final = ((40, 2.5e6), (60, 0.6e6), (80, 1e6))
_FALL_AND_RISE: Final = ((25, 2e6), (50, 3.5e6), (75, 1e6), (100, 2e6))
_FORTH: Final = ((20, 1e6), (40, 0.5e6), (60, 2e6))
_BACK_STEPS: Final = ((35, 0.8e6), (70, 2e6))
_THREE: Final = tuple(MediaFlow(starts_at_s=20 * number, ends_at_s=119) for number in range(3))
_FAR: Final = tuple(
    MediaFlow(starts_at_s=10 * number, ends_at_s=299, delay_ms=delay - 10)
    for number, delay in enumerate((10, 25, 50, 100, 150))
)

CASES: Final = (
    Scenario(
        name="rfc8867_5_1",
        about="Variable available capacity with a single flow.",
        duration_s=100,
        forward=_path(1e6, *_RISE_AND_FALL),
        backward=_BACK,
        figures=_of_path("rfc8867_5_1", 10, 100),
        effect=Effect(partial(rate_bps, flow=0, begin_s=65, end_s=80), Bound(high=0.6e6)),
        control=Control(forward=_path(1e6)),
    ),
    Scenario(
        name="rfc8867_5_2",
        about="Variable available capacity with multiple flows.",
        duration_s=125,
        forward=_path(4e6, *_FALL_AND_RISE),
        backward=_BACK,
        flows=(MediaFlow(), MediaFlow()),
        figures=(
            *_of_path("rfc8867_5_2", 10, 125),
            Figure("rfc8867_5_2_fairness", partial(fairness, begin_s=10, end_s=125)),
        ),
        effect=Effect(partial(rate_bps, flow=0, begin_s=80, end_s=100), Bound(high=1e6)),
        control=Control(forward=_path(4e6)),
    ),
    Scenario(
        name="rfc8867_5_3",
        about="Congested feedback link with bi-directional media flows.",
        duration_s=100,
        forward=_path(2e6, *_FORTH),
        backward=_path(2e6, *_BACK_STEPS),
        flows=(MediaFlow(), MediaFlow(is_forward=False)),
        figures=_of_path("rfc8867_5_3", 10, 100),
        effect=Effect(partial(rate_bps, flow=1, begin_s=40, end_s=70), Bound(high=0.8e6)),
        control=Control(backward=_path(2e6)),
    ),
    Scenario(
        name="rfc8867_5_4",
        about="Competing media flows with the same congestion control algorithm.",
        duration_s=120,
        forward=_path(3.5e6),
        backward=_BACK,
        flows=_THREE,
        figures=(
            *_of_path("rfc8867_5_4", 10, 119),
            Figure("rfc8867_5_4_fairness", partial(fairness, begin_s=60, end_s=119)),
        ),
        effect=Effect(partial(rate_bps, flow=0, begin_s=60, end_s=119), Bound(high=2.2e6)),
        control=Control(flows=_THREE[:1]),
    ),
    Scenario(
        name="rfc8867_5_5",
        about="Round trip time fairness: one-way delays of 10, 25, 50, 100 and 150 ms.",
        duration_s=300,
        forward=_path(4e6, delay_ms=10),
        backward=LinkProfile(delay_ms=10),
        flows=_FAR,
        figures=(
            *_of_path("rfc8867_5_5", 50, 299),
            Figure("rfc8867_5_5_fairness", partial(fairness, begin_s=100, end_s=299)),
        ),
        effect=Effect(partial(delay_ms, flow=4, rank=1, begin_s=50, end_s=290), Bound(low=150)),
        control=Control(flows=_FAR[:1] * 5),
    ),
    Scenario(
        name="rfc8867_5_6",
        about="Media flow competing with a long TCP flow.",
        duration_s=120,
        forward=_path(2e6),
        backward=_BACK,
        flows=(MediaFlow(starts_at_s=5, ends_at_s=119),),
        tcp=(TcpFlow(),),
        figures=(
            *_of_path("rfc8867_5_6", 10, 119),
            Figure("rfc8867_5_6_share", partial(media_share, begin_s=20, end_s=119)),
        ),
        effect=Effect(partial(rate_bps, flow=0, begin_s=20, end_s=119), Bound(high=1.4e6)),
        control=Control(tcp=()),
    ),
    Scenario(
        name="rfc8867_5_7",
        about="Media flow competing with short TCP flows.",
        duration_s=300,
        forward=_path(2e6),
        backward=_BACK,
        flows=(MediaFlow(starts_at_s=5, ends_at_s=299),) * 2,
        tcp=_short_downloads(),
        figures=(
            *_of_path("rfc8867_5_7", 10, 299),
            Figure("rfc8867_5_7_share", partial(media_share, begin_s=20, end_s=299)),
        ),
        effect=Effect(partial(media_share, begin_s=20, end_s=299), Bound(high=0.98)),
        control=Control(tcp=()),
    ),
    Scenario(
        name="rfc8867_5_8",
        about="Media pause and resume: the first of three flows is silent from 40 to 60 s.",
        duration_s=120,
        forward=_path(3.5e6),
        backward=_BACK,
        flows=(MediaFlow(pauses=((40, 60),)), MediaFlow(), MediaFlow()),
        figures=(
            *_of_path("rfc8867_5_8", 10, 120),
            Figure("rfc8867_5_8_fairness", partial(fairness, begin_s=70, end_s=120)),
        ),
        effect=Effect(partial(rate_bps, flow=0, begin_s=45, end_s=60), Bound(high=0.1e6)),
        control=Control(flows=(MediaFlow(),) * 3),
    ),
)
"""By section."""
