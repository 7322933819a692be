from __future__ import annotations

from typing import Any

import pytest

from signalling.cli.why import pairs_of, why_lines
from tests.unit.signalling.test_tables import rendered

WISH: dict[str, Any] = {
    "kind": "video",
    "source": "camera",
    "from": "@bob:b",
    "device_id": "PHONE",
    "stream_id": "s",
    "track_id": "t1",
    "width": 640,
    "height": 360,
    "pinned": False,
    "visible": True,
    "current": "q",
    "wanted": "h",
    "chosen": "q",
    "cause": "budget",
    "hop": None,
    "why": "You get 160x90 instead of 640x360: your connection carries 300 kbit/s for everything.",
    "packets_sent": 1,
    "packets_lost": 0,
    "decision": {
        "allowed": "h",
        "temporal": 1,
        "frame_rate": 7.5,
        "rate_bps": 80_400,
        "next_rate_bps": 120_000,
        "best_rate_bps": 400_000,
        "budget_bps": 300_000,
        "rank": 2,
    },
}
SCREEN = WISH | {"source": "screen", "track_id": "t2"}
SOUND = WISH | {"kind": "audio", "track_id": "t3"}
UNKNOWN = WISH | {
    "kind": "track",
    "source": None,
    "from": "nobody",
    "device_id": None,
    "track_id": "t4",
    "why": "",
    "cause": "not_published",
    "current": None,
    "wanted": None,
    "decision": None,
}
ALICE: dict[str, Any] = {"user_id": "@alice:a", "device_id": "LAPTOP", "subscriptions": [WISH, SCREEN, SOUND]}
ALICES_PHONE = ALICE | {"device_id": "PHONE", "subscriptions": [UNKNOWN]}
CALLS: list[dict[str, Any]] = [{"conf_id": "conf", "members": [ALICE, ALICES_PHONE]}]


@pytest.mark.parametrize(
    ("subscriber", "track", "meant"),
    [
        ("alice", None, ["t1", "t2", "t3", "t4"]),
        ("@alice:a", None, ["t1", "t2", "t3", "t4"]),
        ("alice/PHONE", None, ["t4"]),
        ("@alice:a/LAPTOP", "bob", ["t1", "t2", "t3"]),
        ("alice", "@bob:b", ["t1", "t2", "t3"]),
        ("alice", "bob/PHONE", ["t1", "t2", "t3"]),
        ("alice", "bob/camera", ["t1"]),
        ("alice", "@bob:b/screen", ["t2"]),
        ("alice", "bob/PHONE/microphone", ["t3"]),
        ("alice", "t4", ["t4"]),
        ("alice", "bob/LAPTOP", []),
        ("alice", "carol", []),
        ("bob", None, []),
        ("ali", None, []),
    ],
)
def test_who_and_what_are_named_as_people_name_them(
    subscriber: str, track: str | None, meant: list[str]
) -> None:
    assert [pair["track_id"] for pair in pairs_of(CALLS, subscriber, track)] == meant


def test_the_sentence_comes_with_the_numbers_that_were_decided_by() -> None:
    assert rendered(why_lines(pairs_of(CALLS, "alice", "t1")), width=200) == [
        "@alice:a LAPTOP, camera of @bob:b",
        f"  {WISH['why']} (budget)",
        "  wanted h, allowed h, chosen q, flowing q, temporal layers up to 1, 8 frames/s, it takes 80 kbit/s,"
        " the next layer 120 kbit/s, the best 400 kbit/s, budget 300 kbit/s, rank 2",
    ]


@pytest.mark.parametrize(("cause", "said"), [("budget", "budget"), (None, "no connection")])
def test_a_hop_that_is_the_limit_is_named(cause: str | None, said: str) -> None:
    hop = {"user_id": "@focus:b", "device_id": "FOCUS", "cause": cause}
    member = ALICE | {"subscriptions": [WISH | {"cause": "hop", "hop": hop, "why": "Less."}]}
    lines = rendered(why_lines(pairs_of([{"conf_id": "c", "members": [member]}], "alice", None)), width=200)
    assert lines[1] == f"  Less. (hop @focus:b FOCUS: {said})"


def test_what_is_pinned_or_out_of_sight_is_said() -> None:
    member = ALICE | {"subscriptions": [WISH | {"pinned": True, "visible": False, "decision": None}]}
    lines = rendered(why_lines(pairs_of([{"conf_id": "c", "members": [member]}], "alice", None)), width=200)
    assert lines[-1] == "  wanted h, pinned, out of sight"


def test_what_was_not_decided_yet_has_no_numbers() -> None:
    assert rendered(why_lines(pairs_of(CALLS, "alice", "t4")), width=200) == [
        "@alice:a PHONE, track of nobody",
        "  Its client was told nothing yet (not_published)",
        "  wanted none",
    ]


def test_without_a_limit_the_numbers_say_so() -> None:
    decision = WISH["decision"] | {"budget_bps": None, "temporal": None, "next_rate_bps": 0, "frame_rate": 0}
    member = ALICE | {"subscriptions": [WISH | {"decision": decision}]}
    (*_, numbers) = rendered(
        why_lines(pairs_of([{"conf_id": "c", "members": [member]}], "alice", None)), width=200
    )
    assert numbers == (
        "  wanted h, allowed h, chosen q, flowing q, it takes 80 kbit/s, the best 400 kbit/s, no limit known,"
        " rank 2"
    )
