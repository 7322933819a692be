"""Rounds of calls in which nothing goes wrong: what crosses a trunk, how soon, and how late."""

from __future__ import annotations

import asyncio
import statistics
from typing import TYPE_CHECKING, Final

from loadtest.bench.cascade.cast import ONLOOKER, seen, until
from loadtest.bench.cascade.figures import Round
from loadtest.bench.cascade.hop_delay import delays_ms
from loadtest.bench.cascade.traffic import Carried, Traffic, ratio_of
from loadtest.bench.tab import NothingSeenError
from loadtest.client.scene import AUDIO, VIDEO, Scene
from loadtest.fleet.fleet import Fleet
from loadtest.fleet.schedule import captured
from sfu.figures import percentile
from sfu.units import NS_PER_MS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loadtest.bench.cascade.cast import CascadeCall, Cast
    from loadtest.bench.cascade.relay import TrunkRelay
    from loadtest.bench.cascade.traffic import Way
    from loadtest.client.participant import Participant

HEIGHTS: Final = {"q": 90, "h": 180, "f": 360}
"""At which a layer of the camera is wanted."""
SOUND: Final = ""
"""The microphone among the encodings."""
DEMAND_PAUSE_S: Final = 4.0
"""Between two viewers: a focus goes on wanting what it has wanted for 3 s (cascade: section 7), and then the
publisher is told."""
WARM_JOINS: Final = 5
"""Viewers in each round on either focus."""
SETTLE_S: Final = 8.0
"""Before what crosses is counted: viewers begin with small layers, and foci go on wanting for 3 s what they
have wanted."""
DELAY_WARM_UP_S: Final = 3.0
MIN_PACE: Final = 0.95
"""Part of the packets that must be sent, and come."""
RANKS: Final = (0, 10, 50, 90, 99, 100)
_LOOK_S: Final = 0.5
"""A stream that brings nothing for so long does not flow."""


# --- what crosses ----------------------------------------------------------------------------------------


async def traffic_round(cast: Cast, relay: TrunkRelay, viewers: int, seconds: float) -> Round:
    """What crosses to two foci that want unlike layers; and to one with a single viewer, and with many."""
    apart = await _apart(cast, relay, seconds)
    one, many, receiving = await _behind_one(cast, relay, viewers, seconds)
    faults = [fault for carried in (*apart, one, many) for fault in carried.faults()]
    if receiving < viewers:
        faults.append(f"{receiving} of {viewers} viewers received media")
    return Round(
        {
            "trunk_bytes_ratio": ratio_of(apart),
            "trunk_bytes_20_vs_1_viewers": many.forth.total / one.forth.total,
        },
        {
            "apart": [carried.content() for carried in apart],
            "one_viewer": one.content(),
            "viewers": {"count": viewers, **many.content()},
        },
        tuple(faults),
    )


async def _apart(cast: Cast, relay: TrunkRelay, seconds: float) -> list[Carried]:
    """One publisher, and viewers of different sizes on two other foci."""
    wanted: dict[Way, tuple[str, ...]] = {(1, 2): ("q", "f"), (1, 3): ("h",)}
    with Fleet() as fleet:  # ends after those who are in it have said goodbye
        async with cast.call() as call:
            publisher = await call.join(1, "publisher")
            for (_, number), rids in wanted.items():
                for rid in rids:
                    await call.seat(number, [f"viewer-{rid}"], fleet, height=HEIGHTS[rid])
            return await _carried(publisher, relay, wanted, seconds)


async def _behind_one(
    cast: Cast, relay: TrunkRelay, viewers: int, seconds: float
) -> tuple[Carried, Carried, int]:
    """One viewer of the largest layer behind a trunk, and then many; how many received it."""
    names = [f"viewer-{number}" for number in range(viewers)]
    with Fleet() as fleet:
        async with cast.call() as call:
            publisher = await call.join(1, "publisher")
            found = []
            for crowd in (names[:1], names[1:]):
                await call.seat(2, crowd, fleet)
                found += await _carried(publisher, relay, {(1, 2): ("f",)}, seconds)
            streams = fleet.reading().streams
            one, many = found
            return one, many, len({int(row["participant"]) for row in streams if row["packets_received"]})


async def _carried(
    publisher: Participant, relay: TrunkRelay, wanted: Mapping[Way, tuple[str, ...]], seconds: float
) -> list[Carried]:
    """Wait until everything that is wanted flows, and count what crosses for a while."""
    before: dict[Way, Traffic] = {}

    def flows() -> bool:
        now = relay.reading()
        return all((now[way] - before[way]).streams > len(rids) for way, rids in wanted.items())

    await asyncio.sleep(SETTLE_S)
    for _ in range(2):  # in one stretch, and still in the next
        before = {way: relay.reading()[way] for way in wanted}
        await until(flows, f"all that is wanted crosses: {dict(wanted)}")
    start, published = relay.reading(), publisher.bytes_published()
    await asyncio.sleep(seconds)
    end, published_now = relay.reading(), publisher.bytes_published()
    return [
        Carried(
            way,
            end[way] - start[way],
            end[way[::-1]] - start[way[::-1]],
            {rid: published_now[rid] - published[rid] for rid in (SOUND, *rids)},
        )
        for way, rids in wanted.items()
    ]


# --- how soon --------------------------------------------------------------------------------------------


async def first_frame_round(cast: Cast, home: int, away: int) -> Round:
    """How soon who joins sees who publishes at `home`: there, and at `away`; trunk up, and not yet up."""
    async with cast.call(home) as call:
        publisher = await call.join(home, "publisher")
        keeper = await call.join(away, "keeper", ONLOOKER, height=0)
        await until(lambda: seen(keeper, publisher, AUDIO).frames_decoded, "the trunk is up")
        direct: list[float] = []
        across: list[float] = []
        for _ in range(WARM_JOINS):
            for number, times in ((home, direct), (away, across)):
                await asyncio.sleep(DEMAND_PAUSE_S)
                times.append(await _first_frame_ms(call, publisher, number))
    async with cast.call(home) as call:
        publisher = await call.join(home, "publisher")
        await asyncio.sleep(_LOOK_S)
        cold = await _first_frame_ms(call, publisher, away)
    faults = [] if keeper.observations.wrong_frames() == 0 else ["wrong frames"]
    return Round(
        {
            "first_frame_ratio_warm": statistics.median(across) / statistics.median(direct),
            "first_frame_cold_ms": cold,
        },
        {"home": home, "away": away, "direct_ms": _rounded(direct), "across_ms": _rounded(across)},
        tuple(faults),
    )


async def _first_frame_ms(call: CascadeCall, publisher: Participant, number: int) -> float:
    """From the invite to the first picture; whoever saw it leaves."""
    scene = Scene()
    scene.enter(publisher.party, publisher.config.sender)
    viewer = await call.join(number, "viewer", ONLOOKER, scene=scene)
    track = seen(viewer, publisher, VIDEO)
    await until(lambda: track.first_frame_at, f"a first picture at focus {number}")
    invited_at, first_at = scene.invited_at(viewer.party), track.first_frame_at
    await call.leave(viewer)
    if invited_at is None or first_at is None:
        raise NothingSeenError("a picture before its invite")
    return (first_at - invited_at) / NS_PER_MS


# --- how late --------------------------------------------------------------------------------------------


async def delay_round(cast: Cast, home: int, away: int, seconds: float) -> Round:
    """By how much later the same packets come to a viewer at `away` than to one at `home`."""
    schedule = captured()
    with Fleet() as publishers, Fleet() as viewers, cast.tap(home) as near, cast.tap(away) as far:
        async with cast.call(home) as call:
            await call.seat(home, ["publisher"], publishers, schedule)
            publishers.swarm.start_media()
            for number, name, tap in ((home, "near", near), (away, "far", far)):
                await call.seat(number, [name], viewers, height=720, reroute=tap.rerouted)
                await until(lambda tap=tap: tap.arrivals, f"media for the one who is {name}")  # type: ignore[misc]  # mypy knows no types of such defaults
            await asyncio.sleep(DELAY_WARM_UP_S)
            before, marks = publishers.reading(), (len(near.arrivals), len(far.arrivals))
            await asyncio.sleep(seconds)
            sent = (publishers.reading() - before).media_sent
            arrivals = near.arrivals[marks[0] :], far.arrivals[marks[1] :]
    delays = delays_ms(*arrivals)
    due = seconds * schedule.packets_per_s
    faults = [
        f"{count} packets {what}, of {due:.0f}"
        for what, count in (("sent", sent), ("found at both viewers", len(delays)))
        if count < MIN_PACE * due
    ]
    quantiles = {str(rank): percentile(delays, rank) for rank in RANKS}
    values = {"hop_delay_p50_ms": quantiles["50"], "hop_delay_p99_ms": quantiles["99"]}
    raw = {"home": home, "away": away, "sent": sent, "compared": len(delays), "added_ms": quantiles}
    return Round({key: value for key, value in values.items() if value is not None}, raw, tuple(faults))


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 1) for value in values]
