"""What people are shown of trunks."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from sfu.bwe.estimate import ESTIMATE_DTYPE, EstimateState
from sfu.conference.turn import SendData
from sfu.plane import SetRoute, SetTrack
from sfu.rows import ENCODING_DTYPE, ROUTE_DTYPE, TRANSPORT_DTYPE, StructArray
from sfu.units import Kind
from signalling.cli.hops import hops_of, hops_tables
from signalling.events import ours, to_device
from signalling.events.data_channel import parse_message
from signalling.focus.cascade.hops import STATES
from signalling.focus.cascade.showing import REFRESH_S
from signalling.focus.leg import CallKey
from tests.unit.conference.caller import of_type, report_of
from tests.unit.focus.cascade.circle import ALICE_VIDEO, Circle, Site, focus_of, notes, two
from tests.unit.focus.stage import CONF, ROOM, counted, letters, membership

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.unit.focus.stage import Client

NO_FIGURES = {
    "round_trip_time_ms": None,
    "bytes_received": 0,
    "bytes_sent": 0,
    "received_bps": 0,
    "sent_bps": 0,
    "loss_received": None,
    "loss_sent": None,
    "estimate_bps": None,
}


def filled(dtype: np.dtype[Any], *rows: Mapping[str, float]) -> StructArray:
    array = np.zeros(len(rows), dtype)
    for at, row in enumerate(rows):
        for name, value in row.items():
            array[at][name] = value
    return array


def flow(site: Site, other: Site, seconds: int) -> None:
    """A report: so long has the trunk been carrying, every second the same."""
    leg = site.end_to(other)
    routes = [one for one in of_type(site.outputs, SetRoute) if one.transport == leg]
    tracks = [
        one for one in of_type(site.outputs, SetTrack) if one.transport == leg and one.kind is Kind.VIDEO
    ]
    path: dict[str, float] = {
        "transport": leg,
        "bytes_received": 12_500 * seconds,
        "bytes_sent": 250_000 * seconds,
        "round_trip_time_ms": 23,
    }
    report = report_of(
        site.now,
        transports=filled(TRANSPORT_DTYPE, path),
        encodings=filled(
            ENCODING_DTYPE,
            *(
                {"track": one.track, "encoding": 0, "bytes_received": 10_000 * seconds, "audio_level": 127}
                for one in tracks
            ),
        ),
        routes=filled(ROUTE_DTYPE, *({"route": one.route, "encoding": 1} for one in routes)),
    )
    estimate = {"transport": leg, "target_bps": 5e6, "loss": 0.02, "state": EstimateState.NORMAL}
    site.give(replace(report, estimates=filled(ESTIMATE_DTYPE, estimate)))


def watched() -> Circle:
    """Bob, who is elsewhere, sees alice, and it flows."""
    circle, _, bob = two()
    circle.subscribe("b", bob, ALICE_VIDEO)
    for seconds in range(3):
        for here, there in (("a", "b"), ("b", "a")):
            flow(circle[here], circle[there], seconds)
        circle.pass_s(1)
    return circle


def test_a_trunk_shows_what_flows_on_it_and_what_its_path_carries() -> None:
    circle = watched()
    trunk = circle["a"].trunk(circle["b"])
    assert json.loads(json.dumps(trunk)) == trunk
    assert {name: trunk[name] for name in NO_FIGURES} == {
        "round_trip_time_ms": 23,
        "bytes_received": 25_000,
        "bytes_sent": 500_000,
        "received_bps": 100_000,
        "sent_bps": 2_000_000,
        "loss_received": None,
        "loss_sent": 0.02,
        "estimate_bps": 5_000_000,
    }
    assert {layer for track in trunk["layers_sent"] for layer in track["layers"]} == {"h"}
    assert trunk["layers_received"] == []


def test_what_one_end_sends_the_other_one_receives_under_the_same_ids() -> None:
    circle = watched()
    (sent,) = circle["a"].trunk(circle["b"])["layers_sent"]
    (received,) = circle["b"].trunk(circle["a"])["layers_received"]
    ids = {"stream_id": ALICE_VIDEO[0], "track_id": ALICE_VIDEO[1]}
    assert ids.items() <= sent.items()
    assert received == ids | {"layers": ["q"]}


def test_a_focus_to_which_there_is_no_leg_has_no_figures() -> None:
    circle = watched()
    circle.cut.add(frozenset("ab"))
    circle.lose("a", "b")
    trunk = circle["a"].trunk(circle["b"])
    assert trunk["leg"] is None
    assert {name: trunk[name] for name in NO_FIGURES} == NO_FIGURES
    assert [trunk[name] for name in ("layers_sent", "layers_received")] == [[], []]


def told(circle: Circle, client: Client) -> ours.Stats:
    """The figures that a client of the first focus was told last."""
    outputs = [one for one in of_type(circle["a"].outputs, SendData) if one.leg == client.leg]
    read = [parse_message(one.text) for one in outputs]
    return [one for one in read if isinstance(one, ours.Stats)][-1]


def test_a_client_that_asks_for_figures_is_told_of_each_hop() -> None:
    circle, alice, bob = two()
    circle.subscribe("b", bob, ALICE_VIDEO)
    circle.say("a", alice, ours.StatsRequest(200))
    for seconds in range(3):
        flow(circle["a"], circle["b"], seconds)
        circle.pass_s(1)
    (hop,) = told(circle, alice).hops
    trunk = circle["a"].trunk(circle["b"])
    assert hop == ours.HopStats(
        focus=ours.OtherFocus("@focus:b", "FOCUS"),
        state="up",
        since=trunk["since"],
        people=1,
        round_trip_time=0.023,
        estimate=5_000_000,
        received=ours.WayStats(0, 0, 100_000, None),
        sent=ours.WayStats(1, len(trunk["layers_sent"][0]["layers"]), 2_000_000, 0.02),
    )
    circle.cut.add(frozenset("ab"))
    circle.lose("a", "b")
    circle["a"].tick()
    circle.pass_s(REFRESH_S)
    circle["a"].tick()
    (gone,) = told(circle, alice).hops
    assert (gone.state == "up", gone.round_trip_time, gone.sent.bitrate) == (False, None, 0)


def test_figures_are_found_out_once_for_all_who_ask() -> None:
    circle, alice, _ = two()
    circle.say("a", alice, ours.StatsRequest(200))
    circle.pass_ms(250)
    circle["a"].tick()
    near = circle["a"].focus._neighbourhood.of(CallKey(ROOM, CONF))
    assert near is not None
    assert near.figures is not None
    (at, _) = near.figures
    circle.pass_ms(250)
    circle["a"].tick()
    assert near.figures[0] == at
    circle.pass_s(REFRESH_S)
    circle["a"].tick()
    assert near.figures[0] > at


def test_a_call_on_one_focus_has_no_hops_to_tell_of() -> None:
    circle = Circle()
    alice = circle.join("a", "alice")
    circle.say("a", alice, ours.StatsRequest(200))
    circle.pass_ms(250)
    circle["a"].tick()
    assert told(circle, alice).hops == ()


def test_the_command_line_can_show_it() -> None:
    circle = watched()
    calls = circle["a"].focus.snapshot()["calls"]
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(hops_tables(hops_of(calls, None), circle.wall))
    text = capture.get()
    for part in ("@focus:b", "up", "1 guest", "2,000 kbit/s", "2.0% lost", "carries 5,000 kbit/s"):
        assert part in text
    assert circle["a"].trunk(circle["b"])["state"] in STATES.values()


# --- what is counted and logged ---------------------------------------------------------------------------


def test_dials_are_counted_by_what_became_of_them_and_trunks_by_how_they_ended() -> None:
    circle, _, _ = two()
    circle.lose("a", "b")
    circle.cut.add(frozenset("ab"))
    circle.pass_s(40)
    outputs = circle["a"].outputs
    assert [one["reason"] for one in counted(outputs, "trunks_ended")] == ["consent_lost"]
    assert [one["outcome"] for one in counted(outputs, "dials")] == ["up", "never_connected"]


def test_the_log_says_why_the_other_focus_has_rejected_a_dial() -> None:
    circle = Circle()
    circle.state(membership(focus_of("b").user_id, "leave"))
    circle.join("a", "alice")
    circle.join("b", "bob")
    circle.pass_s(10)
    assert {(one["reason"], one["said"]) for one in notes(circle["b"], "trunk_ended")} == {
        ("rejected", "not_joined")
    }


def test_a_reason_that_another_focus_made_up_is_not_logged() -> None:
    circle = Circle(silent={"b"})
    circle.join("a", "alice")
    circle.join("b", "bob")
    (invite,) = letters(circle["a"].outputs, to_device.Invite)
    envelope = to_device.Envelope(invite.envelope.call_id, "FOCUS", CONF, "FOCUS", "sfu", "sfu", seq=0)
    circle.post("b", "a", to_device.Reject(envelope, "@alice:a did it"))
    assert [set(one) for one in notes(circle["a"], "trunk_ended")] == [{"conference", "leg", "reason"}]
