"""The rounds of the cascade bench, on homeservers that federate and a focus on each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from loadtest.bench.cascade.cast import Cast, attempt
from loadtest.bench.cascade.faults import cut_round, restart_round
from loadtest.bench.cascade.figures import KEYS, medians, raw_rounds
from loadtest.bench.cascade.relay import TrunkRelay, media_settings
from loadtest.bench.cascade.steady import delay_round, first_frame_round, traffic_round
from loadtest.demo import EVERYBODY_IS_HEARD
from loadtest.fleet.native import load_swarm
from loadtest.grounds import several_grounds
from sfu.figures import Figures

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from pathlib import Path

    from loadtest.bench.cascade.figures import Round
    from loadtest.grounds import Grounds
    from loadtest.stage import Stage

FOCI: Final = {"traffic": 3, "first_frame": 2, "delay": 2, "cut": 2, "restart": 3}
"""That each part needs."""
BEHIND_RELAY: Final = ("traffic", "cut")
"""Parts that look at what foci send each other; all others would be disturbed by it."""


@dataclass(frozen=True, slots=True)
class CascadeBenchSettings:
    """What is measured, and how often."""

    rounds: int = 3
    parts: tuple[str, ...] = tuple(KEYS)
    viewers: int = 20
    """Behind one trunk, beside one alone."""
    seconds: float = 8.0
    """For so long bytes and delays are counted: two loops of the publisher's clip."""
    logs: Path | None = None


async def bench_cascade(settings: CascadeBenchSettings, stage: Stage) -> Figures:
    """Measure.

    Raises:
        SwarmMissingError: the swarm was not built.
        HomeserverError: a homeserver could not be installed or started.
        FocusProcessError: a focus could not be started.
    """
    load_swarm()
    foci = max(FOCI[part] for part in settings.parts)
    rounds: dict[str, list[Round]] = {}
    async with several_grounds(stage, foci, settings.logs, EVERYBODY_IS_HEARD) as grounds:
        bench = _Bench(Cast(grounds), settings, stage)
        for part in settings.parts:
            if part not in BEHIND_RELAY:
                rounds[part] = await bench.hold(part)
        hidden = [part for part in settings.parts if part in BEHIND_RELAY]
        if hidden:
            stage.say("starting the foci again, behind a relay")
            for number, ground in enumerate(grounds, 1):
                await _hide(number, ground)
            with TrunkRelay({n: ground.focus.media_port for n, ground in enumerate(grounds, 1)}) as relay:
                for part in hidden:
                    rounds[part] = await bench.hold(part, relay)
        plane = (await grounds[0].focus.ask_status()).get("plane")
        faults = [*_faults(rounds), *_deaths(grounds)]
    return Figures(
        {key: value for part in settings.parts for key, value in medians(part, rounds[part]).items()},
        {part: raw_rounds(rounds[part]) for part in settings.parts},
        settings.rounds,
        None if plane is None else str(plane),
        {"foci": foci, "viewers": settings.viewers, "seconds": settings.seconds},
        digits=3,
        faults=tuple(faults),
    )


class _Bench:
    """The parts."""

    def __init__(self, cast: Cast, settings: CascadeBenchSettings, stage: Stage) -> None:
        self._cast = cast
        self._settings = settings
        self._stage = stage

    async def hold(self, part: str, relay: TrunkRelay | None = None) -> list[Round]:
        """Hold all rounds of a part."""
        held = []
        for number in range(self._settings.rounds):
            self._stage.say(f"{part}, {number + 1} of {self._settings.rounds}")
            held.append(await attempt(self._round(part, number, relay)))
            values = ", ".join(f"{key} {value:.3f}" for key, value in held[-1].values.items())
            self._stage.say("; ".join(filter(None, (values, *held[-1].faults))))
        return held

    def _round(self, part: str, number: int, relay: TrunkRelay | None) -> Callable[[], Awaitable[Round]]:
        cast, settings = self._cast, self._settings
        # Which of two foci dials depends on their names: rounds take turns.
        home, away = (1, 2) if number % 2 == 0 else (2, 1)
        match part:
            case "traffic" if relay is not None:
                return partial(traffic_round, cast, relay, settings.viewers, settings.seconds)
            case "cut" if relay is not None:
                return partial(cut_round, cast, relay)
            case "first_frame":
                return partial(first_frame_round, cast, home, away)
            case "delay":
                return partial(delay_round, cast, home, away, settings.seconds)
            case "restart":
                return partial(restart_round, cast)
            case _:
                raise ValueError(f"{part}: no part of the bench that can be held so")


async def _hide(number: int, ground: Grounds) -> None:
    """Start a focus again at an address that only the relay knows."""
    focus = ground.focus
    await focus.stop()
    focus.settings = replace(focus.settings, more={**focus.settings.more, "media": media_settings(number)})
    await focus.start()
    await focus.wait_ready()


def _faults(rounds: dict[str, list[Round]]) -> Iterator[str]:
    for part, held in rounds.items():
        for number, one in enumerate(held, 1):
            yield from (f"{part}, round {number}: {fault}" for fault in one.faults)


def _deaths(grounds: Sequence[Grounds]) -> Iterator[str]:
    for number, ground in enumerate(grounds, 1):
        if ground.focus.status is not None:
            yield f"focus {number} ended with status {ground.focus.status}\n{ground.focus.log_tail()}"
