"""The participants of one measurement, whichever server carries their call: a publisher and its receivers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtest._swarm import Swarm
    from loadtest.fleet.schedule import Schedule


@dataclass(frozen=True, slots=True)
class Seat:
    """One participant of the swarm who has not heard from the server yet."""

    swarm: Swarm
    id: int
    offer: str
    """Stands until either description of the server is accepted."""

    def accept_answer(self, sdp: str) -> None:
        """Connect as the answer to our offer says.

        Raises:
            ValueError: it cannot be read or does not fit.
        """
        self.swarm.accept_answer(self.id, sdp)

    def accept_offer(self, sdp: str) -> str:
        """Connect as an offer of the server says, instead of by ours; the answer.

        Raises:
            ValueError: it cannot be read.
        """
        return self.swarm.accept_offer(self.id, sdp)


class Seats:
    """Hands out each participant once.

    Args:
        publishers: swarm of the publisher: its own, so that receivers do not disturb its pace.
        receivers: swarm of the others.
        schedule: what is sent.
        count: of receivers.
    """

    def __init__(self, publishers: Swarm, receivers: Swarm, schedule: Schedule, count: int) -> None:
        self.count = count
        self._publishers = publishers
        self._receivers = receivers
        self._schedule = schedule

    def publisher(self) -> Seat:
        """Who sends."""
        identity, offer = self._publishers.add_publisher(self._schedule.frames, self._schedule.period_ms)
        return Seat(self._publishers, identity, offer)

    def receivers(self) -> Iterator[Seat]:
        """Who receives, one video each."""
        for _ in range(self.count):
            identity, offer = self._receivers.add_receiver(audio=0, video=1)
            yield Seat(self._receivers, identity, offer)
