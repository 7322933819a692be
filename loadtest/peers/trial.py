"""What one measurement of a server found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_LOSS: Final = 0.001
"""A server that loses more than this is not one whose cost can be compared."""
MIN_PACE: Final = 0.9
"""Part of its packets that a publisher must have found the time to send. Lower: servers are compared at paces
that differ, and what idle work costs falls on fewer packets. Higher: a busy machine measures nothing."""
_NS_PER_US: Final = 1_000


@dataclass(frozen=True, slots=True)
class Trial:
    """What one measurement found."""

    seconds: float
    packets_due: int
    """From the publisher, by its schedule."""
    packets_sent: int
    """By the publisher, who lets out what a machine that is too busy leaves no time for."""
    packets_received: int
    """By all receivers, each packet once for each of them."""
    packets_late: int
    """Of these, how many came after a later one: reordered, or sent again."""
    receivers: int
    """That received packets."""
    run_time_ns: int
    """Of the server."""
    delay_p50_ms: float
    delay_p99_ms: float
    rig_run_time_s: float
    """Of both swarms: what the measurement itself took."""
    kernel_drops: int
    """Datagrams that receivers had no room for: losses that are not the server's."""
    breaks: int
    """Picture ids, indices of the base layer and timestamps that did not go on as they should."""
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
        if self.packets_sent < MIN_PACE * self.packets_due:
            found.append(f"the publisher found time for {self.packets_sent} of {self.packets_due} packets")
        if self.receivers != receivers:
            found.append(f"{self.receivers} of {receivers} received anything")
        if self.loss(receivers) < 0:
            found.append(
                f"{self.packets_received} packets arrived of {self.packets_sent} for {receivers} each"
            )
        if self.loss(receivers) > MAX_LOSS:
            ours = f", {self.kernel_drops} of them by the receivers" if self.kernel_drops else ""
            found.append(f"{self.loss(receivers):.3%} of the packets were lost{ours}")
        if self.breaks:
            found.append(f"{self.breaks} times a stream did not go on as it should")
        return found
