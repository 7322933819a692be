"""The names of things: ids, numbers and times that must not pass for one another."""

from __future__ import annotations

import enum
from typing import Final, NewType

Instant = NewType("Instant", int)
"""Nanoseconds of CLOCK_MONOTONIC. In Python, in the native plane and in every array."""

WallTime = NewType("WallTime", int)
"""Milliseconds since the Unix epoch, as Matrix counts them. Never compared with an `Instant`."""

Ssrc = NewType("Ssrc", int)
PayloadType = NewType("PayloadType", int)
Mid = NewType("Mid", str)
Rid = NewType("Rid", str)

ConferenceId = NewType("ConferenceId", int)
"""The media side of one call, unique in the process."""

TransportId = NewType("TransportId", int)
"""One bundled transport of one leg, unique in the process. Never reused."""

TrackHandle = NewType("TrackHandle", int)
"""One published track in the data plane, unique in the process. Never reused."""

RouteId = NewType("RouteId", int)
"""One track on its way to one subscriber, unique in the process. Never reused."""

NO_RID: Final = Rid("")
"""The rid of a track that is sent as one encoding."""

NS_PER_US: Final = 1_000
NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000


class Kind(enum.StrEnum):
    """What a track carries (SDP `m=` media types that we forward)."""

    AUDIO = "audio"
    VIDEO = "video"


def after_ms(now: Instant, delay_ms: float) -> Instant:
    """The instant `delay_ms` milliseconds from `now`."""
    return Instant(now + round(delay_ms * NS_PER_MS))


def after_s(now: Instant, delay_s: float) -> Instant:
    """The instant `delay_s` seconds from `now`."""
    return Instant(now + round(delay_s * NS_PER_S))


def earliest(*instants: Instant | None) -> Instant | None:
    """The first of the given instants; None when there is none."""
    return min((i for i in instants if i is not None), default=None)
