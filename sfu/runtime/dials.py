"""The legs that we dial: when the dialler of each wakes, and what becomes of its outputs."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, assert_never

import structlog

from sfu.plane import SelectAddress, SendStun
from sfu.runtime.alarm import Alarm
from sfu.transport.dialling import DialFailed, Dialler, Selected, SendCheck
from sfu.units import earliest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sfu.conference.turn import Dial
    from sfu.dataplane.wire import UdpAddress
    from sfu.plane import PlaneOperation
    from sfu.runtime.failures import Failures
    from sfu.transport.dialling import DialOutput
    from sfu.units import Instant, TransportId

_log = structlog.get_logger()


class Dials:
    """One `Dialler` for each leg that is dialled, until it fails or the leg ends.

    Args:
        consent_timeout_s: as of `Dialler`.
        clock: monotonic now.
        apply: takes operations for the plane, at once.
        lose: ends a leg whose dial has failed, for a reason of `LegFailed`; it may call `forget`.
        failures: where its mistakes go.
        rng: of what nobody may guess.
    """

    def __init__(
        self,
        consent_timeout_s: float,
        *,
        clock: Callable[[], Instant],
        apply: Callable[[Sequence[PlaneOperation]], None],
        lose: Callable[[TransportId, str], None],
        failures: Failures,
        rng: random.Random | None = None,
    ) -> None:
        self._consent_timeout_s = consent_timeout_s
        self._clock = clock
        self._apply = apply
        self._lose = lose
        self._failures = failures
        self._rng = random.SystemRandom() if rng is None else rng
        self._diallers: dict[TransportId, Dialler] = {}
        self._alarm = Alarm(clock, self._ring)

    def __len__(self) -> int:
        return len(self._diallers)

    def dial(self, given: Dial) -> None:
        """Begin, or begin anew with other credentials (an ICE restart).

        Raises:
            LocalError: an address is none that the plane could send to.
        """
        now = self._clock()
        dialler = self._diallers.get(given.leg)
        if dialler is None:
            self._diallers[given.leg] = Dialler(
                now, given.credentials, given.remote, given.addresses, self._rng, self._consent_timeout_s
            )
        else:
            dialler.restart(now, given.credentials, given.remote, given.addresses)
        self._ring()

    def respond(self, leg: TransportId, address: UdpAddress, data: bytes) -> None:
        """Take what came back to a check; of a leg that is not dialled (any more), nothing."""
        self._step(leg, lambda dialler, now: dialler.response(now, address, data))
        self._wind()

    def forget(self, leg: TransportId) -> None:
        """The leg is over; harmless when it was not dialled."""
        self._diallers.pop(leg, None)
        self._wind()

    def _ring(self) -> None:
        for leg in list(self._diallers):
            self._step(leg, Dialler.poll)
        self._wind()

    def _wind(self) -> None:
        self._alarm.set(earliest(*(one.next_timeout() for one in self._diallers.values())))

    def _step(self, leg: TransportId, ask: Callable[[Dialler, Instant], Sequence[DialOutput]]) -> None:
        """Perform what a dialler says; a mistake in that ends its leg and no other."""
        dialler = self._diallers.get(leg)
        if dialler is None:
            return
        try:
            for output in ask(dialler, self._clock()):
                self._perform(leg, dialler, output)
        except Exception as error:  # noqa: BLE001  # a supervisor
            self._failures.note("leg", error, leg=leg)
            self._end(leg, "internal")

    def _perform(self, leg: TransportId, dialler: Dialler, output: DialOutput) -> None:
        match output:
            case SendCheck((host, port), data):
                self._apply((SendStun(leg, host, port, data),))
            case Selected((host, port)):
                self._apply((SelectAddress(leg, host, port),))
            case DialFailed(reason):
                stats = dialler.stats()
                _log.info(
                    "dial_failed",
                    leg=leg,
                    reason=reason.value,
                    checks=stats.checks,
                    disbelieved=stats.disbelieved,
                )
                self._end(leg, reason.value)
            case _:
                assert_never(output)

    def _end(self, leg: TransportId, reason: str) -> None:
        self._diallers.pop(leg, None)
        self._lose(leg, reason)
