"""The participants of one measurement, whichever server carries their call: a publisher and its receivers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtest._swarm import Swarm
    from loadtest.fleet.fleet import Fleet
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


@dataclass(frozen=True, slots=True)
class Seats:
    """Whom a server lets in.

    Attributes:
        publishers: fleet of the publisher: of its own, so that receivers do not disturb its pace.
        receivers: fleet of the others.
        schedule: what is sent.
        count: of receivers.
    """

    publishers: Fleet
    receivers: Fleet
    schedule: Schedule
    count: int

    def publisher(self) -> Seat:
        """Take the publisher's seat; once."""
        swarm = self.publishers.swarm
        return Seat(swarm, *swarm.add_publisher(self.schedule.frames, self.schedule.period_ms))

    def receiving(self) -> Iterator[Seat]:
        """Take the receivers' seats, for one video each; once."""
        swarm = self.receivers.swarm
        for _ in range(self.count):
            yield Seat(swarm, *swarm.add_receiver(audio=0, video=1))
