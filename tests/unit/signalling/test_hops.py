from __future__ import annotations

from typing import Any

import pytest

from signalling.cli.hops import NO_HOPS, hops_of, hops_tables
from tests.unit.signalling.test_tables import WIDTH, rendered

NOW_MS = 1_000_000_000.0


def layers(*rids: str) -> dict[str, Any]:
    return {"stream_id": "s", "track_id": "t", "layers": list(rids)}


UP: dict[str, Any] = {
    "user_id": "@focus:example.net",
    "device_id": "FOCUS",
    "state": "up",
    "since": NOW_MS - 182_000,
    "leg": 7,
    "guests": [{"user_id": "@bob:b", "device_id": "PHONE"}],
    "streams_refused": 0,
    "layers_received": [layers(""), layers("q", "h")],
    "layers_sent": [layers("")],
    "received_bps": 1_234_400,
    "sent_bps": 40_000,
    "loss_received": 0.0123,
    "loss_sent": 0.0,
    "round_trip_time_ms": 23.4,
    "estimate_bps": 8_000_000,
}
NEW: dict[str, Any] = UP | {
    "layers_received": [],
    "layers_sent": [],
    "received_bps": 0,
    "sent_bps": 0,
    "loss_received": None,
    "loss_sent": None,
    "round_trip_time_ms": None,
    "estimate_bps": None,
}
LOST: dict[str, Any] = NEW | {"state": "backing_off", "leg": None, "guests": []}
DIALLED: dict[str, Any] = LOST | {"state": "dialling", "leg": 8}
CALL: dict[str, Any] = {"conf_id": "conf", "room_id": "!room:a", "trunks": [UP]}


def shown(*trunks: dict[str, Any], now_ms: float = NOW_MS) -> list[str]:
    lines = rendered(hops_tables([CALL | {"trunks": list(trunks)}], now_ms))
    assert all(len(line) <= WIDTH for line in lines)
    return lines


def test_a_trunk_is_shown_with_what_goes_each_way_and_what_its_path_carries() -> None:
    assert shown(UP) == [
        "conf in !room:a",
        "focus               trunk      receives      sends      path",
        "@focus:example.net  up         2 tracks      1 track    round trip 23 ms",
        "FOCUS               3 min 2 s  3 layers      1 layer    carries 8,000 kbit/s",
        "                    1 guest    1,234 kbit/s  40 kbit/s",
        "                               1.2% lost     0.0% lost",
    ]


def test_what_is_not_known_yet_is_said_to_be_so() -> None:
    text = "\n".join(shown(NEW))
    assert "round trip not known" in text
    assert "carries not known" in text
    assert "lost" not in text


@pytest.mark.parametrize(("trunk", "state"), [(LOST, "backing off"), (DIALLED, "dialling")])
def test_a_trunk_that_is_not_up_shows_how_it_is_and_nothing_else(trunk: dict[str, Any], state: str) -> None:
    assert shown(trunk)[2:] == [
        f"@focus:example.net  {state}",
        "FOCUS               3 min 2 s",
        "                    0 guests",
    ]


def test_streams_that_are_not_believed_are_told_of() -> None:
    assert any("2 refused" in line for line in shown(UP | {"streams_refused": 2}))


def test_a_focus_whose_clock_is_ahead_of_ours_has_been_so_for_no_time() -> None:
    assert any("0 s" in line for line in shown(UP, now_ms=0))


def test_there_is_a_table_for_each_call_that_has_hops() -> None:
    calls = [CALL, CALL | {"conf_id": "alone", "trunks": []}, CALL | {"conf_id": "[b]other"}]
    lines = rendered(hops_tables(calls, NOW_MS))
    assert [line for line in lines if " in " in line] == ["conf in !room:a", "[b]other in !room:a"]
    assert rendered(hops_tables([CALL | {"trunks": []}], NOW_MS)) == [NO_HOPS]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [(None, ["conf", "other"]), ("conf", ["conf"]), ("!other:a", ["other"]), ("nothing", [])],
)
def test_a_call_is_named_by_its_id_or_its_room(wanted: str | None, found: list[str]) -> None:
    calls = [CALL | {"members": []}, CALL | {"conf_id": "other", "room_id": "!other:a"}]
    assert [call["conf_id"] for call in hops_of(calls, wanted)] == found
    assert all(call.keys() == {"conf_id", "room_id", "trunks"} for call in hops_of(calls, wanted))
