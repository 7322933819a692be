from __future__ import annotations

from typing import Any

from sfu.metrics import Metrics
from signalling.focus.cascade.hops import STATES
from signalling.hop_metrics import HopMetrics

UP: dict[str, Any] = {
    "state": "up",
    "leg": 7,
    "guests": [{"user_id": "@bob:b", "device_id": "PHONE"}],
    "bytes_received": 1_000,
    "bytes_sent": 200,
}
WAITING: dict[str, Any] = UP | {
    "state": "waiting",
    "leg": None,
    "guests": [],
    "bytes_received": 0,
    "bytes_sent": 0,
}


def published(*scrapes: list[dict[str, Any]]) -> dict[str, float]:
    """All that is said of hops after these scrapes, what is 0 left out."""
    metrics = Metrics()
    hops = HopMetrics(metrics)
    for trunks in scrapes:
        hops.publish(trunks)
    return {
        "/".join((sample.name, *sample.labels.values())): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name.startswith("focus_hop_") and sample.value and not sample.name.endswith("_created")
    }


def test_trunks_are_counted_by_state_and_people_behind_them_all_together() -> None:
    shown = published([UP, UP | {"leg": 8}, WAITING])
    assert (shown["focus_hop_trunks/up"], shown["focus_hop_trunks/waiting"]) == (2, 1)
    assert shown["focus_hop_guests"] == 2


def test_every_state_is_there_from_the_first_scrape_on() -> None:
    metrics = Metrics()
    HopMetrics(metrics).publish([])
    samples = [sample for family in metrics.trunks.collect() for sample in family.samples]
    assert {sample.labels["state"]: sample.value for sample in samples} == dict.fromkeys(STATES.values(), 0)


def test_bytes_are_counted_once_however_often_they_are_read() -> None:
    more = UP | {"bytes_received": 1_500, "bytes_sent": 300}
    assert published([UP], [UP], [more]) == {
        "focus_hop_trunks/up": 1,
        "focus_hop_guests": 1,
        "focus_hop_bytes_total/received": 1_500,
        "focus_hop_bytes_total/sent": 300,
    }


def test_a_trunk_that_is_dialled_anew_counts_from_nothing_and_one_that_ended_is_still_counted() -> None:
    again = UP | {"leg": 9, "bytes_received": 50, "bytes_sent": 5}
    assert published([UP], [WAITING], [again]) == {
        "focus_hop_trunks/up": 1,
        "focus_hop_guests": 1,
        "focus_hop_bytes_total/received": 1_050,
        "focus_hop_bytes_total/sent": 205,
    }
