"""The scenarios whose figures `focus bench bwe` is known for: sources that follow the estimate."""

from __future__ import annotations

from functools import partial
from typing import Final

from sfu.netem.link import LinkProfile, RateStep
from sfu.netem.loss import BurstLoss, RandomLoss
from sfu.netem.policer import Policer
from sfu.simulation.measures import (
    bunched,
    fairness,
    loss,
    media_share,
    overload_s,
    queue_ms,
    rate_bps,
    time_to_use,
    use,
)
from sfu.simulation.scenario import Bound, Control, Effect, Figure, MediaFlow, Scenario, TcpFlow, at_s

HOME: Final = LinkProfile(rate_bps=3_000_000, delay_ms=25, queue_ms=300)
"""A line of 3 Mbit/s with a router's queue, whose rate nobody has told the focus."""
_ENDLESS: Final = LinkProfile(delay_ms=25)
_TWO: Final = LinkProfile(rate_bps=4_000_000, delay_ms=25, queue_ms=300)
_FIVE: Final = LinkProfile(rate_bps=6_000_000, delay_ms=25, queue_ms=300)
_WITH_TCP: Final = LinkProfile(rate_bps=2_000_000, delay_ms=25, queue_ms=300)

STEADY: Final = Scenario(
    name="steady",
    about="A subscriber joins over a line of 3 Mbit/s and stays.",
    duration_s=60,
    forward=HOME,
    figures=(
        Figure("start_s", partial(time_to_use, share=0.9, since_s=0), Bound(high=3)),
        Figure("steady_use", partial(use, begin_s=20, end_s=60), Bound(low=0.85)),
        Figure("steady_queue_p95_ms", partial(queue_ms, rank=95, begin_s=20, end_s=60), Bound(high=60)),
    ),
    effect=Effect(partial(rate_bps, flow=0, begin_s=20, end_s=60), Bound(high=3_000_000)),
    control=Control(forward=_ENDLESS),
)

NARROW: Final = Scenario(
    name="narrow",
    about="A subscriber joins over a line that carries half of what an estimate begins with.",
    duration_s=20,
    forward=LinkProfile(rate_bps=500_000, delay_ms=25, queue_ms=1_500),
    figures=(
        Figure("narrow_overload_s", partial(overload_s, limit_ms=200, begin_s=0, end_s=20), Bound(high=1.0)),
        Figure("narrow_use", partial(use, begin_s=5, end_s=20)),
    ),
    effect=Effect(partial(queue_ms, rank=100, begin_s=0, end_s=2), Bound(low=100)),
    control=Control(forward=_ENDLESS),
)

DROP: Final = Scenario(
    name="drop",
    about="The line falls from 3 to 0.8 Mbit/s, and half a minute later it is as before.",
    duration_s=90,
    forward=LinkProfile(
        rate_bps=3_000_000,
        delay_ms=25,
        queue_ms=600,
        rate_steps=(RateStep(at_s(30), 800_000), RateStep(at_s(60), 3_000_000)),
    ),
    figures=(
        Figure(
            "drop_overload_s",
            partial(overload_s, limit_ms=200, begin_s=30, end_s=60),
            Bound(high=1.0),
        ),
        Figure("rise_s", partial(time_to_use, share=0.9, since_s=60), Bound(high=6)),
    ),
    effect=Effect(partial(queue_ms, rank=100, begin_s=30, end_s=33), Bound(low=150)),
    control=Control(forward=LinkProfile(rate_bps=3_000_000, delay_ms=25, queue_ms=600)),
)

LOSS: Final = Scenario(
    name="loss10",
    about="One packet in ten is lost on the way, whatever is sent.",
    duration_s=60,
    forward=LinkProfile(rate_bps=3_000_000, delay_ms=25, queue_ms=300, loss=RandomLoss(0.1)),
    figures=(Figure("loss10_use", partial(use, begin_s=20, end_s=60), Bound(low=0.75)),),
    effect=Effect(partial(loss, flow=0, begin_s=20, end_s=58), Bound(low=0.07)),
    control=Control(forward=HOME),
)

BURSTS: Final = Scenario(
    name="bursty_loss",
    about="Every few seconds some packets in a row are lost, as over a radio: 2 % in all.",
    duration_s=60,
    forward=LinkProfile(rate_bps=3_000_000, delay_ms=25, queue_ms=300, loss=BurstLoss(0.002, 0.1)),
    figures=(Figure("bursty_loss_use", partial(use, begin_s=20, end_s=60)),),
    effect=Effect(partial(loss, flow=0, begin_s=20, end_s=58), Bound(low=0.01)),
    control=Control(forward=HOME),
)

JITTER: Final = Scenario(
    name="jitter",
    about="Packets come up to 20 ms late without a queue, as over Wi-Fi.",
    duration_s=60,
    forward=LinkProfile(rate_bps=3_000_000, delay_ms=25, queue_ms=300, jitter_ms=20),
    figures=(Figure("jitter_use", partial(use, begin_s=20, end_s=60)),),
    effect=Effect(partial(bunched, flow=0, begin_s=20, end_s=58), Bound(low=0.1)),
    control=Control(forward=HOME),
)

POLICER: Final = Scenario(
    name="policer",
    about="A policer throws away at once what exceeds 1.5 Mbit/s.",
    duration_s=60,
    forward=LinkProfile(delay_ms=25, policer=Policer(1_500_000, 30_000)),
    figures=(
        Figure("policer_loss", partial(loss, flow=0, begin_s=5, end_s=58), Bound(high=0.05)),
        Figure("policer_use", partial(use, begin_s=20, end_s=60)),
    ),
    effect=Effect(partial(rate_bps, flow=0, begin_s=20, end_s=60), Bound(high=1_500_000)),
    control=Control(forward=_ENDLESS),
)

JAIN_2: Final = Scenario(
    name="jain_2",
    about="Two subscribers behind one line of 4 Mbit/s; the second joins 5 s later, its frames out of step.",
    duration_s=90,
    forward=_TWO,
    flows=(MediaFlow(), MediaFlow(starts_at_s=5.013)),
    figures=(
        Figure("jain_2", partial(fairness, begin_s=60, end_s=90), Bound(low=0.95)),
        Figure("jain_2_use", partial(use, begin_s=60, end_s=90)),
    ),
    effect=Effect(partial(rate_bps, flow=0, begin_s=60, end_s=90), Bound(high=2_900_000)),
    control=Control(flows=(MediaFlow(),)),
)

JAIN_5: Final = Scenario(
    name="jain_5",
    about="Five subscribers behind one line of 6 Mbit/s, joining 2 s apart, with frames out of step.",
    duration_s=90,
    forward=_FIVE,
    flows=tuple(MediaFlow(starts_at_s=2.007 * number) for number in range(5)),
    figures=(
        Figure("jain_5", partial(fairness, begin_s=60, end_s=90), Bound(low=0.95)),
        Figure("jain_5_use", partial(use, begin_s=60, end_s=90)),
    ),
    effect=Effect(partial(rate_bps, flow=0, begin_s=60, end_s=90), Bound(high=3_000_000)),
    control=Control(flows=(MediaFlow(),)),
)

TCP: Final = Scenario(
    name="tcp",
    about="A download begins beside a subscriber on a line of 2 Mbit/s, and goes on.",
    duration_s=120,
    forward=_WITH_TCP,
    tcp=(TcpFlow(starts_at_s=10),),
    figures=(
        Figure("tcp_share", partial(media_share, begin_s=20, end_s=120), Bound(0.3, 0.7)),
        Figure("tcp_queue_p95_ms", partial(queue_ms, rank=95, begin_s=20, end_s=120)),
    ),
    effect=Effect(partial(rate_bps, flow=0, begin_s=20, end_s=120), Bound(high=1_450_000)),
    control=Control(tcp=()),
)

SCENARIOS: Final = (STEADY, NARROW, DROP, LOSS, BURSTS, JITTER, POLICER, JAIN_2, JAIN_5, TCP)
