from __future__ import annotations

from dataclasses import replace
from typing import Final

from loadtest.peers.trial import Trial

GOOD: Final = Trial(
    seconds=4.3,
    packets_sent=4_000,
    packets_received=80_000,
    packets_repaired=0,
    receivers=20,
    run_time_ns=320_000_000,
    delay_p50_ms=0.3,
    delay_p99_ms=1.2,
    rig_run_time_ns=250_000_000,
    full_share=0.1,
    load_average=0.5,
)


def test_cost_is_run_time_over_packets_that_arrived() -> None:
    assert GOOD.us_per_packet == 4.0
    assert replace(GOOD, packets_received=40_000).us_per_packet == 8.0


def test_what_all_received_is_faultless() -> None:
    assert GOOD.loss(20) == 0.0
    assert GOOD.faults(20) == []


def test_one_lost_in_a_thousand_is_forgiven_and_no_more() -> None:
    assert replace(GOOD, packets_received=79_920).faults(20) == []
    (fault,) = replace(GOOD, packets_received=79_840).faults(20)
    assert fault == "0.200% of the packets were lost"


def test_receivers_without_packets_are_a_fault() -> None:
    faults = replace(GOOD, receivers=19, packets_received=76_000).faults(20)
    assert faults == ["19 of 20 received anything", "5.000% of the packets were lost"]
