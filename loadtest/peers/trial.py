"""What one measurement of a server found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_LOSS: Final = 0.001
"""A server that loses more than this is not one whose cost can be compared."""
_NS_PER_US: Final = 1_000


@dataclass(frozen=True, slots=True)
class Trial:
    """What one measurement found."""

    seconds: float
    packets_sent: int
    """By the publisher."""
    packets_received: int
    """By all receivers, each packet once for each of them."""
    packets_repaired: int
    """Of these, how many came by RTX."""
    receivers: int
    """That received packets."""
    run_time_ns: int
    """Of the server."""
    delay_p50_ms: float
    delay_p99_ms: float
    rig_run_time_ns: int
    """Of both swarms: what the measurement itself took."""
    full_share: float
    """Part of the receivers that are a whole WebRTC implementation."""
    load_average: float
    """Of the machine over the last minute."""

    @property
    def us_per_packet(self) -> float:
        """Processor microseconds for each packet that arrived."""
        return self.run_time_ns / self.packets_received / _NS_PER_US

    def loss(self, receivers: int) -> float:
        """Part of the packets that never arrived."""
        expected = self.packets_sent * receivers
        return (expected - self.packets_received) / expected

    def faults(self, receivers: int) -> list[str]:
        """Why it does not count, were it so."""
        found = []
        if self.receivers != receivers:
            found.append(f"{self.receivers} of {receivers} received anything")
        if self.loss(receivers) > MAX_LOSS:
            found.append(f"{self.loss(receivers):.3%} of the packets were lost")
        return found
