"""A plane with publishers and subscribers around it, ready for media."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from sfu.dataplane import _native
from sfu.plane import (
    AddTransport,
    Codec,
    Credentials,
    EncodingSpec,
    Extension,
    InstallSrtp,
    PayloadFormat,
    SetRoute,
    SetTrack,
    SrtpProfile,
)
from sfu.rows import ALL_TEMPORAL, TARGET_DTYPE
from sfu.units import NO_RID, Kind, Mid, PayloadType, RouteId, Ssrc, TrackHandle, TransportId

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sfu.plane import Plane, PlaneOperation

WORKER_THREAD: Final = "focus-plane"
"""What the native plane's threads are called."""

_KEY: Final = bytes(range(28))
_VIDEO: Final = (PayloadFormat("VP8", Codec.VP8, PayloadType(96), 90_000, PayloadType(97)),)
_SOUND: Final = (PayloadFormat("opus", Codec.OPUS, PayloadType(96), 48_000),)
_UPSTREAM: Final = {Extension.MID: 1, Extension.TRANSPORT_CC: 2}
_DOWNSTREAM: Final = {**_UPSTREAM, Extension.ABS_SEND_TIME: 3}
_FIRST_SSRC: Final = 100_000


class Run(NamedTuple):
    """What was seen in one run."""

    packets: int
    """That reached subscribers, over all of them."""
    elapsed_s: float
    cpu_us: float
    """On a core, for each packet."""
    delays_ms: np.ndarray[tuple[int], np.dtype[np.float64]]
    """(packets,) where they were measured, else (0,)."""


class Ground:
    """The rig around a plane. Publisher and subscriber `i` share nothing; who gets what is `subscribe`d.

    Args:
        plane: to be measured; on the loopback.
        publishers: how many.
        subscribers: how many.
        cameras: so many of the publishers, the first ones, have a camera; the others a microphone.
    """

    def __init__(self, plane: Plane, publishers: int, subscribers: int, cameras: int | None = None) -> None:
        self.plane: Final = plane
        self._cameras = publishers if cameras is None else cameras
        self.publishers: Final = publishers
        self.subscribers: Final = subscribers
        self.rig: Final = _native.Rig(plane.port, publishers, subscribers, _KEY)
        self._routes: list[RouteId] = []

    def program(self) -> None:
        """Make everybody known to the plane."""
        numbers = range(self.publishers + self.subscribers)
        self.plane.apply([AddTransport(TransportId(number), _credentials(number)) for number in numbers])

    def check(self) -> None:
        """Let everybody check its path; the plane must be running meanwhile."""
        for number in range(self.publishers + self.subscribers):
            credentials = _credentials(number)
            if number < self.publishers:
                self.rig.check_publisher(number, credentials.ufrag, credentials.password)
            else:
                subscriber = number - self.publishers
                self.rig.check_subscriber(subscriber, credentials.ufrag, credentials.password)

    def publish(self) -> None:
        """Agree on keys, and let every publisher have a track."""
        operations: list[PlaneOperation] = [
            InstallSrtp(TransportId(number), SrtpProfile.AEAD_AES_128_GCM, _KEY, _KEY)
            for number in range(self.publishers + self.subscribers)
        ]
        operations += [
            SetTrack(
                TrackHandle(publisher),
                TransportId(publisher),
                Mid("0"),
                Kind.VIDEO if publisher < self._cameras else Kind.AUDIO,
                self._formats(publisher),
                (EncodingSpec(NO_RID),),
                _UPSTREAM,
                f"publisher {publisher}",
            )
            for publisher in range(self.publishers)
        ]
        self.plane.apply(operations)

    def subscribe(self, subscriber: int, publishers: Sequence[int]) -> None:
        """Let a subscriber have these publishers' tracks."""
        first = len(self._routes)
        routes = [RouteId(first + index) for index in range(len(publishers))]
        self.plane.apply(
            [
                SetRoute(
                    route,
                    TrackHandle(publisher),
                    TransportId(self.publishers + subscriber),
                    Mid(str(index)),
                    Ssrc(_FIRST_SSRC + 2 * route),
                    Ssrc(_FIRST_SSRC + 2 * route + 1) if publisher < self._cameras else None,
                    self._formats(publisher),
                    _DOWNSTREAM,
                    f"publisher {publisher}",
                )
                for index, (route, publisher) in enumerate(zip(routes, publishers, strict=True))
            ]
        )
        self._routes += routes

    def _formats(self, publisher: int) -> tuple[PayloadFormat, ...]:
        return _VIDEO if publisher < self._cameras else _SOUND

    def aim(self) -> None:
        """Choose the one encoding for all."""
        rows = [(route, 0, ALL_TEMPORAL) for route in self._routes]
        self.plane.set_targets(np.array(rows, TARGET_DTYPE))
        self.plane.stats()  # it answers when it has taken notice

    def closed_loop(self, rounds: int, sizes: list[list[int]], share: int, window: int) -> Run:
        """Publish as fast as packets arrive, `window` of them on the way to each subscriber."""
        with worker_time() as spent:
            outcome = self.rig.closed_loop(rounds, sizes, share, window)
        return _run(outcome, spent.ns)

    def paced(self, rounds: int, sizes: list[list[int]], share: int, period_ns: int) -> Run:
        """Publish a round every so often."""
        with worker_time() as spent:
            outcome = self.rig.paced(rounds, sizes, share, period_ns)
        return _run(outcome, spent.ns)

    def floor(self, rounds: int, sizes: list[int], segments: int) -> Run:
        """Encrypt and send the same packets without a plane, `segments` in a message."""
        outcome = self.rig.floor(rounds, sizes, segments)
        return _run(outcome, outcome[4])


def lecture(plane: Plane, subscribers: int) -> Ground:
    """One publisher, whom all subscribers see."""
    ground = Ground(plane, 1, subscribers)
    ground.program()
    ground.check()
    ground.publish()
    for subscriber in range(subscribers):
        ground.subscribe(subscriber, [0])
    ground.aim()
    return ground


class Spent:
    """Time on a core."""

    ns = 0


@contextmanager
def worker_time() -> Iterator[Spent]:
    """What the native plane's threads spend on a core meanwhile, by the scheduler's own count."""
    spent = Spent()
    before = _workers_ns()
    yield spent
    spent.ns = _workers_ns() - before


def _workers_ns() -> int:
    tasks = Path("/proc/self/task")
    return sum(
        int((tasks / task / "schedstat").read_text().split()[0])
        for task in os.listdir(tasks)
        if (tasks / task / "comm").read_text().startswith(WORKER_THREAD)
    )


def _run(outcome: _native.RawOutcome, cpu_ns: int) -> Run:
    elapsed_ns, arrived, _, delays, _ = outcome
    delays_ms = np.frombuffer(delays, np.uint32) / 1e6
    return Run(arrived, elapsed_ns / 1e9, cpu_ns / arrived / 1e3, delays_ms)


def _credentials(number: int) -> Credentials:
    return Credentials(f"bench{number:05}", f"password-of-transport-{number:05}")
