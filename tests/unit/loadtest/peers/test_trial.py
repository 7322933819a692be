from __future__ import annotations

from dataclasses import replace
from typing import Final

from loadtest.peers.trial import Trial

GOOD: Final = Trial(
    seconds=4.3,
    packets_due=4_000,
    packets_sent=4_000,
    packets_received=80_000,
    packets_late=0,
    receivers=20,
    run_time_ns=320_000_000,
    delay_p50_ms=0.3,
    delay_p99_ms=1.2,
    rig_run_time_s=0.25,
    kernel_drops=0,
    breaks=0,
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


def test_losses_of_the_rig_and_broken_streams_are_told_apart() -> None:
    faults = replace(GOOD, packets_received=76_000, kernel_drops=3_990, breaks=2).faults(20)
    assert faults == [
        "5.000% of the packets were lost, 3990 of them by the receivers",
        "2 times a stream did not go on as it should",
    ]


def test_more_packets_than_were_sent_are_a_fault_of_counting() -> None:
    (fault,) = replace(GOOD, packets_received=80_001).faults(20)
    assert fault == "80001 packets arrived of 4000 for 20 each"


def test_a_publisher_may_fall_behind_by_a_tenth() -> None:
    assert replace(GOOD, packets_sent=3_600, packets_received=72_000).faults(20) == []
    (fault,) = replace(GOOD, packets_sent=3_599, packets_received=71_980).faults(20)
    assert fault == "the publisher found time for 3599 of 4000 packets"
