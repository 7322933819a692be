"""What foci say of their trunks, added up."""

from __future__ import annotations

from typing import Any

from loadtest.trunks import CarriedTrack, TrunkLedger
from signalling.events.room_state import FocusDevice

Flowing = dict[str, tuple[str, list[str]]]
"""Stream and layers by track."""

NEAR, FAR = FocusDevice("@focus:a", "FOCUS"), FocusDevice("@focus:b", "FOCUS")


def member(user_id: str) -> dict[str, Any]:
    tracks = [{"kind": kind, "stream_id": user_id, "track_id": kind} for kind in ("audio", "video")]
    return {"user_id": user_id, "tracks": tracks}


def trunk(
    to: FocusDevice,
    layers: Flowing | None = None,
    *,
    leg: int | None = 1,
    sent: int = 0,
    received: int = 0,
) -> dict[str, Any]:
    """A trunk as a focus shows it; `layers` are those that flow, by track, with the stream."""
    return {
        "user_id": to.user_id,
        "device_id": to.device_id,
        "state": "idle" if leg is None else "up",
        "leg": leg,
        "worker": 0,
        "bytes_sent": sent,
        "bytes_received": received,
        "layers_sent": [
            {"stream_id": stream_id, "track_id": track_id, "layers": rids}
            for track_id, (stream_id, rids) in (layers or {}).items()
        ],
    }


def call(*trunks: dict[str, Any], members: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    return [{"members": [member(one) for one in members], "trunks": list(trunks)}]


def test_a_call_on_one_focus_has_no_trunk() -> None:
    ledger = TrunkLedger()
    ledger.take(NEAR, call(members=("@alice:a",)))
    ledger.take(NEAR, [])
    assert ledger.figures() == ()


def test_both_ends_are_one_trunk_with_a_flow_each_way() -> None:
    ledger = TrunkLedger()
    sent: Flowing = {"audio": ("@alice:a", [""]), "video": ("@alice:a", ["f"])}
    ledger.take(FAR, call(trunk(NEAR, sent=7, received=90), members=("@bob:b",)))
    ledger.take(NEAR, call(trunk(FAR, sent, sent=100, received=5), members=("@alice:a",)))
    (figures,) = ledger.figures()
    assert figures.foci == ("@focus:a", "@focus:b")
    assert figures.states == ("up", "up")
    there, back = figures.flows
    assert (there.sender, there.receiver, back.sender) == ("@focus:a", "@focus:b", "@focus:b")
    assert (there.bytes_sent, there.bytes_received) == (100, 90)
    assert (back.bytes_sent, back.bytes_received) == (7, 5)
    assert there.tracks == (
        CarriedTrack("@alice:a", "audio", ()),
        CarriedTrack("@alice:a", "video", ("f",)),
    )
    assert back.tracks == ()


def test_layers_that_flowed_at_any_time_were_carried() -> None:
    ledger = TrunkLedger()
    for rids in (["h"], [], ["f", "q"]):
        ledger.take(NEAR, call(trunk(FAR, {"video": ("@alice:a", rids)}), members=("@alice:a",)))
    ledger.take(NEAR, call(trunk(FAR)))
    (figures,) = ledger.figures()
    (carried,) = figures.flows[0].tracks
    assert carried.layers == ("q", "h", "f")
    assert figures.flows[0].layers == 3


def test_a_trunk_that_is_dialled_again_counts_on() -> None:
    ledger = TrunkLedger()
    for leg, sent in ((1, 10), (1, 40), (None, 0), (2, 2)):
        ledger.take(NEAR, call(trunk(FAR, leg=leg, sent=sent)))
    (figures,) = ledger.figures()
    assert figures.flows[0].bytes_sent == 42
    assert figures.legs == 2
    assert figures.states == ("up", "unknown")


def test_a_track_that_nobody_is_known_to_publish_is_told_all_the_same() -> None:
    ledger = TrunkLedger()
    ledger.take(NEAR, call(trunk(FAR, {"video": ("s", ["q"])})))
    assert ledger.figures()[0].flows[0].tracks == (CarriedTrack("unknown", "unknown", ("q",)),)


def test_three_foci_have_three_trunks_in_a_fixed_order() -> None:
    ledger = TrunkLedger()
    third = FocusDevice("@focus:c", "FOCUS")
    ledger.take(third, call(trunk(FAR), trunk(NEAR)))
    ledger.take(NEAR, call(trunk(third), trunk(FAR)))
    assert [one.foci for one in ledger.figures()] == [
        ("@focus:a", "@focus:b"),
        ("@focus:a", "@focus:c"),
        ("@focus:b", "@focus:c"),
    ]


def test_the_json_of_a_trunk_adds_up_both_directions_and_says_who_counts() -> None:
    ledger = TrunkLedger()
    sent: Flowing = {"audio": ("@alice:a", [""]), "video": ("@alice:a", ["q", "f"])}
    ledger.take(NEAR, call(trunk(FAR, sent, sent=100), members=("@alice:a",)))
    ledger.take(FAR, call(trunk(NEAR, {"audio": ("@bob:b", [""])}, sent=20), members=("@bob:b",)))
    assert ledger.figures()[0].content() == {
        "foci": ["@focus:a", "@focus:b"],
        "states": ["up", "up"],
        "legs": 1,
        "counted_by": "foci",
        "bytes": 120,
        "tracks": 3,
        "layers": 4,
        "directions": [
            {
                "from": "@focus:a",
                "to": "@focus:b",
                "bytes_sent": 100,
                "bytes_received": 0,
                "tracks": [
                    {"owner": "@alice:a", "kind": "audio", "layers": []},
                    {"owner": "@alice:a", "kind": "video", "layers": ["q", "f"]},
                ],
            },
            {
                "from": "@focus:b",
                "to": "@focus:a",
                "bytes_sent": 20,
                "bytes_received": 0,
                "tracks": [{"owner": "@bob:b", "kind": "audio", "layers": []}],
            },
        ],
    }
