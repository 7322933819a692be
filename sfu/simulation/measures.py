"""What can be said of a run in a number. Rows of scenarios name these functions, with arguments bound.

Times are seconds from the beginning, and spans go from `begin_s` up to `end_s`. What a path carries is
counted as senders count it, by the acknowledged bytes of datagrams without UDP and IP headers; what a line
could carry, with them. A line that is full of packets of 1,128 bytes is thus used to 0.975.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.netem.network import UDP_OVERHEAD_BYTES
from sfu.simulation.scenario import START
from sfu.units import NS_PER_S

if TYPE_CHECKING:
    from sfu.netem.link import LinkProfile
    from sfu.simulation.recording import Floats, Recording

WINDOW_S: Final = 1.0
"""Rates are over so long. Lower: one late report looks like a collapse. Higher: all is seen late."""


def capacity_bps(profile: LinkProfile, at_s: Floats) -> Floats:
    """What a line carries at each instant; infinite where it has no limit."""
    limit = math.inf if profile.policer is None else profile.policer.rate_bps
    rates = [profile.rate_bps, *(step.rate_bps for step in profile.rate_steps)]
    steps = np.array([-math.inf, *((step.at - START) / NS_PER_S for step in profile.rate_steps)])
    of_rates = np.array([math.inf if rate is None else float(rate) for rate in rates])
    limited: Floats = np.minimum(of_rates[np.searchsorted(steps, at_s, side="right") - 1], limit)
    return limited


def rate_bps(recording: Recording, flow: int, begin_s: float, end_s: float) -> float:
    """What arrived of a flow, by the subscriber's word."""
    ticks = recording.flows[flow].ticks
    inside = _inside(ticks["at_s"], begin_s, end_s)
    return float(8 * ticks["acknowledged_bytes"][inside].sum() / (end_s - begin_s))


def use(recording: Recording, begin_s: float, end_s: float) -> float:
    """What arrived of all forward flows, of what the bottleneck carries."""
    at_s = recording.flows[0].ticks["at_s"]
    inside = _inside(at_s, begin_s, end_s)
    carried = capacity_bps(recording.scenario.forward, at_s[inside]).mean()
    rates = [rate_bps(recording, flow, begin_s, end_s) for flow in _forward(recording)]
    return sum(rates) / float(carried)


def time_to_use(recording: Recording, share: float, since_s: float) -> float:
    """How long after `since_s` the forward flows come to a share of the bottleneck; infinite: never."""
    at_s = recording.flows[0].ticks["at_s"]
    together = sum(rolling_bps(recording, flow) for flow in _forward(recording))
    reached = (at_s > since_s) & (together >= share * capacity_bps(recording.scenario.forward, at_s))
    return float(at_s[reached][0] - since_s) if reached.any() else math.inf


def time_to_rate(recording: Recording, bps: float, since_s: float) -> float:
    """How long after `since_s` the first flow comes to a rate; infinite: never."""
    at_s = recording.flows[0].ticks["at_s"]
    reached = (at_s > since_s) & (rolling_bps(recording, 0) >= bps)
    return float(at_s[reached][0] - since_s) if reached.any() else math.inf


def rolling_bps(recording: Recording, flow: int) -> Floats:
    """(ticks,), what arrived of a flow in the second before each tick."""
    ticks = recording.flows[flow].ticks
    arrived = np.concatenate(([0.0], np.cumsum(ticks["acknowledged_bytes"])))
    first = np.searchsorted(ticks["at_s"], ticks["at_s"] - WINDOW_S, side="right")
    return np.asarray(8 * (arrived[1:] - arrived[first]) / WINDOW_S)


def queue_ms(recording: Recording, rank: float, begin_s: float, end_s: float) -> float:
    """A percentile over time of what a datagram would have waited in front of the bottleneck."""
    return float(np.percentile(recording.queue_ms[_inside(recording.queue_at_s, begin_s, end_s)], rank))


def overload_s(recording: Recording, limit_ms: float, begin_s: float, end_s: float) -> float:
    """For how long a datagram would have waited longer than the limit."""
    over = recording.queue_ms[_inside(recording.queue_at_s, begin_s, end_s)] > limit_ms
    return float(over.mean() * (end_s - begin_s))


def loss(recording: Recording, flow: int, begin_s: float, end_s: float) -> float:
    """What never came of a flow's packets that were sent in the span, which must end before the run does."""
    packets = recording.flows[flow].packets
    inside = packets["arrived_at_s"][_inside(packets["sent_at_s"], begin_s, end_s)]
    return float(np.isnan(inside).mean()) if len(inside) else math.nan


def delay_ms(recording: Recording, flow: int, rank: float, begin_s: float, end_s: float) -> float:
    """A percentile of a flow's one-way delay, over the packets that came."""
    packets = recording.flows[flow].packets
    packets = packets[_inside(packets["sent_at_s"], begin_s, end_s)]
    delays = packets["arrived_at_s"] - packets["sent_at_s"]
    return float(np.nanpercentile(delays, rank) * 1_000)


def bunched(recording: Recording, flow: int, begin_s: float, end_s: float) -> float:
    """What of a flow's packets came at the same instant as the one before: only jitter lets them."""
    packets = recording.flows[flow].packets
    came = packets["arrived_at_s"][_inside(packets["sent_at_s"], begin_s, end_s)]
    came = came[~np.isnan(came)]
    return float((np.diff(came) == 0).mean()) if len(came) > 1 else math.nan


def padding_share(recording: Recording, begin_s: float, end_s: float) -> float:
    """What of all that was sent was sent for its size alone."""
    padding = sent = 0.0
    for flow in recording.flows:
        inside = _inside(flow.ticks["at_s"], begin_s, end_s)
        padding += float(flow.ticks["padding_bytes"][inside].sum())
        sent += float(flow.ticks["sent_bytes"][inside].sum())
    return padding / sent if sent else math.nan


def fairness(recording: Recording, begin_s: float, end_s: float) -> float:
    """Jain's index over the rates of the forward flows: 1 is equal, 1/n is all for one."""
    rates = np.array([rate_bps(recording, flow, begin_s, end_s) for flow in _forward(recording)])
    squares = float((rates**2).sum())
    return float(rates.sum()) ** 2 / len(rates) / squares if squares else math.nan


def media_share(recording: Recording, begin_s: float, end_s: float) -> float:
    """What of all that came through was media and no download, headers included."""
    media = 0.0
    for flow in _forward(recording):
        packets = recording.flows[flow].packets
        came = packets[_inside(packets["arrived_at_s"], begin_s, end_s)]
        media += float(came["size_bytes"].sum()) + UDP_OVERHEAD_BYTES * len(came)
    inside = _inside(recording.flows[0].ticks["at_s"], begin_s, end_s)
    downloads = sum(float(acknowledged[inside].sum()) for acknowledged in recording.tcp_acknowledged)
    return media / (media + downloads)


def audio_hurt(recording: Recording) -> float:
    """Packets of sound that the plane dropped, or held for longer than a packet of sound lasts."""
    return float(sum(flow.audio_held + flow.audio_dropped for flow in recording.flows))


def _forward(recording: Recording) -> list[int]:
    return [number for number, flow in enumerate(recording.scenario.flows) if flow.is_forward]


def _inside(at_s: Floats, begin_s: float, end_s: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return (at_s >= begin_s) & (at_s < end_s)
