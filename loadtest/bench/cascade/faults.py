"""Rounds of calls in which something breaks: a trunk that is cut, and a focus that is killed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from loadtest.bench.cascade.cast import all_see, now, seen, until
from loadtest.bench.cascade.figures import Round, longest_gap_ms
from loadtest.client.scene import AUDIO, VIDEO
from sfu.units import NS_PER_S, Instant, after_s

if TYPE_CHECKING:
    from collections.abc import Iterable

    from loadtest.bench.cascade.cast import Cast
    from loadtest.bench.cascade.relay import TrunkRelay
    from loadtest.client.participant import Participant

CUT_S: Final = 5.0
CALM_S: Final = 3.0
"""After everybody sees everybody, before something breaks."""
IN_FLIGHT_S: Final = 1.0
"""What had been sent before has been decoded by then."""
STANDSTILL_S: Final = 0.5
"""For so long nobody may see anybody then: a focus needs longer to start."""
WATCH_S: Final = 1.0
"""Sound is watched for so long before and after."""


async def cut_round(cast: Cast, relay: TrunkRelay) -> Round:
    """Cut the trunk; how long after the cut pictures are back in both directions."""
    async with cast.call() as call:
        alice, bob, local = [await call.join(*who) for who in ((1, "alice"), (2, "bob"), (1, "carol"))]
        await all_see((alice, bob, local))
        await asyncio.sleep(CALM_S)
        began, dropped = now(), _dropped(relay)
        relay.is_cut = True
        try:
            await asyncio.sleep(IN_FLIGHT_S)
            tracks = [seen(bob, alice), seen(alice, bob)]
            counts = [track.frames_decoded for track in tracks]
            await asyncio.sleep(CUT_S - IN_FLIGHT_S)
        finally:
            relay.is_cut = False
        ended = now()
        during = [track.frames_decoded - count for track, count in zip(tracks, counts, strict=True)]
        counts = [track.frames_decoded for track in tracks]
        back: list[Instant | None] = [None, None]

        def are_back() -> bool:
            for index, (track, count) in enumerate(zip(tracks, counts, strict=True)):
                if back[index] is None and track.frames_decoded > count:
                    back[index] = now()
            return None not in back

        await until(are_back, "pictures after the cut")
        await all_see((alice, bob, local))
        heard = seen(alice, local, AUDIO).arrivals
        local_gap_ms = longest_gap_ms(heard, began, now())
        dropped = _dropped(relay) - dropped
    faults = [f"{count} pictures crossed during the cut" for count in during if count]
    if not dropped:
        faults.append("nothing came to the relay during the cut")
    times = [(at - ended) / NS_PER_S for at in back if at is not None]
    return Round(
        {"cut_recovery_s": max(times)},
        {
            "forth_s": round(times[0], 3),
            "back_s": round(times[1], 3),
            "dropped": dropped,
            "local_gap_ms": round(local_gap_ms, 1),
        },
        tuple(faults),
    )


async def restart_round(cast: Cast) -> Round:
    """Kill the focus of two people and start it again; how long until everybody sees everybody again."""
    async with cast.call() as call:
        places = ((1, "alice"), (2, "bob"), (2, "dave"), (3, "carol"))
        alice, bob, dave, carol = people = [await call.join(*who) for who in places]
        await all_see(people)
        await asyncio.sleep(CALM_S)
        legs = [one.leg for one in (bob, dave)]
        broken = _Pairs([pair for pair in _pairs(people) if {bob, dave} & set(pair)])
        watched = [(alice, carol), (carol, alice)]
        focus = cast.ground(2).focus
        killed = now()
        await focus.kill()
        await focus.start()
        await asyncio.sleep(IN_FLIGHT_S)
        broken.begin()
        await asyncio.sleep(STANDSTILL_S)
        going_on = broken.are_any_back()
        await until(broken.are_back, "everybody sees everybody after a restart")
        back = now()
        trunks = {number: _trunks(await cast.ground(number).focus.ask_calls()) for number in (1, 2, 3)}
        await asyncio.sleep(WATCH_S)
        since, until_ = after_s(killed, -WATCH_S), now()
        gaps = [longest_gap_ms(seen(*pair, AUDIO).arrivals, since, until_) for pair in watched]
        sent = [
            longest_gap_ms(call.scene.moments(sender.party, AUDIO), since, until_) for _, sender in watched
        ]
    faults = [
        f"{one.party.user_id} kept its connection"
        for one, leg in zip((bob, dave), legs, strict=True)
        if one.leg is leg
    ]
    if going_on:
        faults.append("pictures went on while the focus was not there")
    faults += [
        f"focus {number} sees its trunks {states}"
        for number, states in trunks.items()
        if states != ["up"] * 2
    ]
    return Round(
        {"restart_recovery_s": (back - killed) / NS_PER_S, "others_gap_ms": max(gaps)},
        {
            "back_s": broken.content(killed),
            "gaps_ms": [round(gap, 1) for gap in gaps],
            "gaps_sent_ms": [round(gap, 1) for gap in sent],
        },
        tuple(faults),
    )


def _dropped(relay: TrunkRelay) -> int:
    """Datagrams that were not let through until now."""
    return sum(traffic.dropped for traffic in relay.reading().values())


Pair = tuple["Participant", "Participant"]
"""Receiver and sender."""


class _Pairs:
    """Pairs that don't see each other, until they do."""

    def __init__(self, pairs: list[Pair]) -> None:
        self._pairs = pairs
        self._counts: list[tuple[int, int]] = []
        self._back: list[Instant | None] = [None] * len(pairs)

    def begin(self) -> None:
        """From here on what is decoded is new."""
        self._counts = self._decoded()

    def are_any_back(self) -> bool:
        """Whether one of them sees the other."""
        self.are_back()
        return any(at is not None for at in self._back)

    def are_back(self) -> bool:
        """Whether all of them do."""
        for index, (counts, begun) in enumerate(zip(self._decoded(), self._counts, strict=True)):
            if self._back[index] is None and all(n > b for n, b in zip(counts, begun, strict=True)):
                self._back[index] = now()
        return None not in self._back

    def content(self, since: Instant) -> dict[str, float | None]:
        """When each pair was back."""
        return {
            f"{receiver.party.user_id} of {sender.party.user_id}": None
            if at is None
            else round((at - since) / NS_PER_S, 3)
            for (receiver, sender), at in zip(self._pairs, self._back, strict=True)
        }

    def _decoded(self) -> list[tuple[int, int]]:
        return [
            (seen(*pair, VIDEO).frames_decoded, seen(*pair, AUDIO).frames_decoded) for pair in self._pairs
        ]


def _pairs(people: Iterable[Participant]) -> list[Pair]:
    people = tuple(people)
    return [(receiver, sender) for receiver in people for sender in people if receiver is not sender]


def _trunks(calls: list[dict[str, Any]]) -> list[str]:
    return [trunk["state"] for call in calls for trunk in call["trunks"] if trunk["leg"] is not None]
