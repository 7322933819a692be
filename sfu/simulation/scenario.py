"""Scenarios as rows: who sends what over which bottleneck, what is measured, and what must be seen."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Final

from sfu.netem.link import LinkProfile
from sfu.units import NS_PER_S, Instant, after_s

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfu.simulation.machine import Starved
    from sfu.simulation.recording import Recording

START: Final = Instant(10_000 * NS_PER_S)
"""When every simulation begins."""

GOOD: Final = LinkProfile(delay_ms=25)
"""A line that carries everything."""


def at_s(seconds: float) -> Instant:
    """So many seconds after the beginning."""
    return after_s(START, seconds)


CAMERA_BPS: Final = (150_000, 500_000, 2_000_000)
"""A camera's encodings, lowest first. On a line of 3 Mbit/s the highest fits, and on one of 0.8 that in the
middle."""


@dataclass(frozen=True, slots=True)
class Camera:
    """One picture that a subscriber is shown: encodings of fixed rates, each in three steps of frame rate."""

    layers_bps: tuple[int, ...] = CAMERA_BPS
    """Rates of its encodings, lowest first."""
    tile: tuple[int, int] = (1280, 720)
    """In which it is shown, in pixels."""
    starts_at_s: float = 0.0
    """When it is published and subscribed to, after its flow has begun."""
    is_screen: bool = False
    """A shared screen."""
    is_pinned: bool = False


@dataclass(frozen=True, slots=True)
class MediaFlow:
    """One subscriber of a publisher who speaks, and whose video is as much as the estimate allows.

    With cameras, it is of a call: what is shown of them is allocated.
    """

    starts_at_s: float = 0.0
    ends_at_s: float | None = None
    max_bps: int = 10_000_000
    """The most that its video comes to."""
    min_bps: int = 50_000
    """And the least."""
    delay_ms: float = 0.0
    """Beyond the bottleneck's, each way."""
    is_forward: bool = True
    """False: its media goes where the others' feedback goes."""
    cameras: tuple[Camera, ...] = ()
    """Without, there is one encoding that follows the target."""
    uplink: LinkProfile | None = None
    """The publisher's own line, to which its cameras adapt; None: one that carries everything."""
    pauses: tuple[tuple[float, float], ...] = ()
    """From when to when its video is paused."""
    starved: tuple[Starved, ...] = ()
    """When the subscriber's machine has too much else to do."""


@dataclass(frozen=True, slots=True)
class TcpFlow:
    """A download beside them."""

    starts_at_s: float = 0.0
    size_bytes: int | None = None
    """None: as long as the scenario goes."""
    later: tuple[tuple[float, int], ...] = ()
    """More files after it: how many seconds after the one before has come, and of how many bytes."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What a measure should be, limits included."""

    low: float = float("-inf")
    high: float = float("inf")

    def holds(self, value: float) -> bool:
        """Whether a value is as it should be; one that could not be had (NaN) is not."""
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Figure:
    """Something measured of a run."""

    key: str
    measure: Callable[[Recording], float]
    goal: Bound | None = None
    """None: it is reported, and nothing is asked of it."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a scenario is about: true of it, and not of its control."""

    measure: Callable[[Recording], float]
    bound: Bound

    def is_seen(self, recording: Recording) -> bool:
        """Whether a run shows it."""
        return self.bound.holds(self.measure(recording))


@dataclass(frozen=True, slots=True)
class Control:
    """What a scenario is without the cause of its effect; None: that stays as it is."""

    forward: LinkProfile | None = None
    backward: LinkProfile | None = None
    flows: tuple[MediaFlow, ...] | None = None
    tcp: tuple[TcpFlow, ...] | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row."""

    name: str
    about: str
    """A sentence."""
    duration_s: float
    forward: LinkProfile
    """The bottleneck of most media."""
    figures: tuple[Figure, ...]
    effect: Effect
    control: Control
    backward: LinkProfile = GOOD
    """The other way: of feedback."""
    flows: tuple[MediaFlow, ...] = (MediaFlow(),)
    tcp: tuple[TcpFlow, ...] = ()

    @property
    def is_call(self) -> bool:
        """Whether what is shown is allocated; else every flow has one source, which follows the estimate."""
        return any(flow.cameras for flow in self.flows)

    def as_control(self) -> Scenario:
        """The same row without the cause."""
        given = {item.name: getattr(self.control, item.name) for item in fields(self.control)}
        return replace(
            self,
            name=f"{self.name}_control",
            **{name: value for name, value in given.items() if value is not None},
        )
