"""What an engine asked for, carried out in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sfu.conference.turn import (
    CloseLeg,
    Dial,
    DropDemand,
    OpenChannel,
    SendData,
    SetCaps,
    SetDemand,
    SetSpeech,
    StartDtls,
)
from sfu.plane import AddTransport, PlaneOperation, RemoveTransport
from sfu.transport.sctp import SendOutcome
from sfu.units import TransportId

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sfu.metrics import Metrics
    from sfu.plane import Plane
    from sfu.runtime.failures import Failures
    from sfu.runtime.legs import Legs
    from sfu.runtime.tick import Ticker


class Performer:
    """Outputs become effects; one that fails does not keep the others from theirs.

    Operations for the plane go down in batches: whatever may depend on them waits until they are there.

    Args:
        plane: takes operations.
        legs: take what is about a transport.
        ticker: takes demands, caps and who speaks.
        dialect: takes every other output.
        metrics: where it counts.
        failures: where mistakes go.
    """

    def __init__(
        self,
        plane: Plane,
        legs: Legs,
        ticker: Ticker,
        dialect: Callable[[Any], None],
        metrics: Metrics,
        failures: Failures,
    ) -> None:
        self._plane = plane
        self._legs = legs
        self._ticker = ticker
        self._dialect = dialect
        self._metrics = metrics
        self._failures = failures

    def perform(self, outputs: Sequence[Any], about: TransportId | None) -> list[TransportId]:
        """Carry out the outputs of one turn.

        Args:
            outputs: in order.
            about: the leg that the turn was about.

        Returns:
            The legs that must end because one of their outputs failed: the leg of that output, else `about`.
        """
        broken: list[TransportId] = []
        batch: list[PlaneOperation] = []
        for output in outputs:
            if isinstance(output, RemoveTransport):
                output = CloseLeg(output.transport)  # noqa: PLW2901  # the leg's task must go too
            if isinstance(output, PlaneOperation):
                batch.append(output)
                continue
            if not isinstance(output, (SetDemand, DropDemand)):
                broken += self._apply(batch, about)
                batch = []
            try:
                self._perform(output)
            except Exception as error:  # noqa: BLE001  # a supervisor: whose output it is, ends
                leg = leg_of(output)
                self._failures.note("output", error, output=type(output).__name__, leg=leg)
                broken += _some(leg if leg is not None else about)
        return broken + self._apply(batch, about)

    def _apply(self, batch: Sequence[PlaneOperation], about: TransportId | None) -> list[TransportId]:
        if not batch:
            return []
        try:
            for one in batch:
                if isinstance(one, AddTransport):
                    self._legs.add(one.transport)
            self._plane.apply(batch)
        except Exception as error:  # noqa: BLE001  # a supervisor
            self._failures.note("output", error, output="operations", leg=about)
            named = {leg for one in batch if (leg := leg_of(one)) is not None}
            return _some(about if about is not None or len(named) != 1 else named.pop())
        return []

    def _perform(self, output: Any) -> None:  # noqa: ANN401  # outputs of whatever dialect
        match output:
            case StartDtls():
                self._legs.start(output)
            case Dial():
                self._legs.dial(output)
            case OpenChannel():
                self._legs.open_channel(output)
            case CloseLeg(leg):
                self._ticker.forget(leg)
                self._legs.close(leg)
            case SendData():
                self._send(output)
            case SetDemand():
                self._ticker.set_demand(output)
            case DropDemand(route):
                self._ticker.drop_demand(route)
            case SetCaps():
                self._ticker.set_caps(output)
            case SetSpeech():
                self._ticker.set_speech(output)
            case _:
                self._dialect(output)

    def _send(self, output: SendData) -> None:
        outcome = self._legs.send(output)
        if outcome is SendOutcome.SENT:
            self._metrics.messages.labels("sent").inc()
        else:
            self._metrics.messages_refused.labels(outcome.value).inc()


def leg_of(value: Any) -> TransportId | None:  # noqa: ANN401  # inputs and outputs of whatever dialect
    """The leg that an input or an output is about; operations and events of the plane call it a transport."""
    leg = getattr(value, "leg", None)
    if leg is None:
        leg = getattr(value, "transport", None)
    return TransportId(leg) if isinstance(leg, int) else None


def _some(leg: TransportId | None) -> list[TransportId]:
    return [] if leg is None else [leg]
