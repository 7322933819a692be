from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from signalling.cli.tables import calls_tree, status_table

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH = 80

STATUS: dict[str, Any] = {
    "plane": "native",
    "policy": {"name": "utility", "failures": 0, "overruns": 0, "resting": False, "last_failure": None},
    "version": "1.2.3",
    "ready": True,
    "draining": None,
    "homeserver": "reachable",
    "user_id": "@focus:example.org",
    "device_id": "FOCUS",
    "addresses": ["203.0.113.7", "2001:db8::7"],
    "ports": [10_000],
    "tcp_port": 443,
    "workers": 1,
    "rooms": 3,
    "calls": 1,
    "participants": 2,
    "tracks": 4,
    "subscriptions": 4,
    "uptime_s": 3_725,
    "internal_failures": 0,
    "dropped_packets": {"other_layer": 120, "duplicate": 3},
    "waiting": {"inputs": 0, "messages": 2},
}

MEMBER: dict[str, Any] = {
    "user_id": "@alice:example.org",
    "device_id": "ALICEDEVICE",
    "state": "connected",
    "tracks": [
        {
            "kind": "audio",
            "source": "camera",
            "encodings": [{"rid": "", "live": True, "bitrate_bps": 32_400}],
        },
        {
            "kind": "video",
            "source": "screen",
            "encodings": [
                {"rid": "q", "live": True, "bitrate_bps": 120_000},
                {"rid": "h", "live": False, "bitrate_bps": 0},
            ],
        },
        {"kind": "video", "source": None, "encodings": []},
    ],
    "subscriptions": [
        {"kind": "video", "from": "@bob:b", "current": "h", "wanted": "f", "cause": "budget"},
        {"kind": "video", "from": "@bob:b", "current": None, "wanted": "q", "cause": "layer_not_sent"},
        {"kind": "audio", "from": "@bob:b", "current": "", "wanted": "", "cause": "size"},
    ],
}


def rendered(what: RenderableType, width: int = WIDTH) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(what)
    return [line.rstrip() for line in capture.get().splitlines()]


def facts(**changes: Any) -> dict[str, str]:  # noqa: ANN401  # JSON
    lines = rendered(status_table(STATUS | changes))
    assert all(len(line) <= WIDTH for line in lines)
    return {line[:17].strip(): line[17:] for line in lines}


def test_the_status_is_one_fact_a_line() -> None:
    assert facts() == {
        "plane": "native",
        "policy": "utility",
        "version": "1.2.3",
        "ready": "yes",
        "homeserver": "reachable",
        "account": "@focus:example.org, device FOCUS",
        "media": "203.0.113.7, 2001:db8::7, UDP port 10000, TCP port 443",
        "up for": "1 h 2 min",
        "rooms": "3",
        "calls": "1",
        "participants": "2",
        "tracks": "4",
        "subscriptions": "4",
        "packets dropped": "other_layer 120, duplicate 3",
        "waiting": "inputs 0, messages 2",
        "failures": "none",
    }


def test_a_focus_without_tcp_says_nothing_of_it() -> None:
    assert facts(tcp_port=None)["media"] == "203.0.113.7, 2001:db8::7, UDP port 10000"


def test_the_ports_of_several_workers_are_listed() -> None:
    shown = facts(addresses=["::1"], workers=2, ports=[10_000, 10_001])
    assert shown["plane"] == "native, 2 workers"
    assert shown["media"] == "::1, UDP ports 10000 10001, TCP port 443"


def test_a_focus_that_drains_says_until_when_and_when_it_is_done() -> None:
    left = facts(draining={"seconds_left": 90, "done": False})["draining"]
    assert left == "no invites are taken; who is left in 1 min 30 s is hung up"
    assert (
        facts(draining={"seconds_left": 90, "done": True})["draining"] == "nobody is left: it can be stopped"
    )


def test_trouble_is_told_in_words() -> None:
    shown = facts(
        plane="reference", ready=False, homeserver="can't be reached (TimeoutError)", internal_failures=3
    )
    assert shown["plane"] == "reference (the Python twin: for a handful of people)"
    assert shown["ready"] == "no"
    assert shown["homeserver"] == "can't be reached (TimeoutError)"
    assert shown["failures"] == "3: see the log"


@pytest.mark.parametrize(
    ("faults", "shown"),
    [
        ({"failures": 1, "last_failure": "KeyError: 7"}, "failed 1 time, took too long 0 times; KeyError: 7"),
        ({"overruns": 2}, "failed 0 times, took too long 2 times"),
        (
            {"overruns": 3, "resting": True},
            "failed 0 times, took too long 3 times; it rests, and utility decides",
        ),
    ],
)
def test_a_policy_that_does_harm_is_told_of(faults: dict[str, Any], shown: str) -> None:
    lines = rendered(status_table(STATUS | {"policy": STATUS["policy"] | {"name": "mine.py"} | faults}), 200)
    assert f"policy           mine.py: {shown}" in lines


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3_600, "1 h"), (90_061, "1 d 1 h"), (86_405, "1 d 5 s")],
)
def test_a_duration_has_its_two_greatest_units(seconds: int, shown: str) -> None:
    assert facts(uptime_s=seconds, dropped_packets={})["up for"] == shown


def test_no_calls_is_a_line_of_its_own() -> None:
    assert rendered(calls_tree([])) == ["0 calls"]


def test_a_call_shows_who_sends_and_receives_what_and_why() -> None:
    lines = rendered(calls_tree([{"conf_id": "conf", "room_id": "!room:a", "members": [MEMBER]}]))
    assert [line.lstrip("│├└─ ") for line in lines] == [
        "1 call",
        "conf in !room:a",
        "@alice:example.org ALICEDEVICE  connected",
        "sends microphone: single 32 kbit/s",
        "sends screen: q 120 kbit/s",
        "sends video: nothing now",
        "receives video of @bob:b: h, wants f (budget)",
        "receives video of @bob:b: none, wants q (layer_not_sent)",
        "receives audio of @bob:b: single (size)",
    ]


def test_ids_are_shown_as_they_are_and_not_as_markup() -> None:
    member = MEMBER | {"user_id": "@[red]alice[/red]:a", "device_id": "[/]"}
    lines = rendered(calls_tree([{"conf_id": "[b]", "room_id": "!r:a", "members": [member]}]))
    assert "[b] in !r:a" in lines[1]
    assert "@[red]alice[/red]:a [/]" in lines[2]
