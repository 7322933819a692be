from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import ParseError
from sfu.units import WallTime
from signalling.events.room_state import (
    Call,
    CallMember,
    FocusDevice,
    MemberDevice,
    call_content,
    member_content,
    parse_call,
    parse_call_member,
)
from tests.support.mangling import mangled
from tests.support.recordings import RUNS, recorded
from tests.unit.events.test_to_device import json_values

DEVICE = MemberDevice(
    "DEVICE",
    "session",
    WallTime(1_674_814_834_567),
    ("m.usermedia", "m.screenshare"),
    (FocusDevice("@sfu:a", "SFU"),),
    (FocusDevice("@sfu:b", "LON"),),
)


def test_a_member_event_is_read_as_it_was_written() -> None:
    member = parse_call_member("@a:b", member_content("conf", (DEVICE,)))
    assert member == CallMember("@a:b", (("conf", (DEVICE,)),))
    assert member.devices("conf") == (DEVICE,)
    assert member.devices("other") == ()


def test_leaving_is_an_empty_list_or_an_empty_event() -> None:
    assert parse_call_member("@a:b", member_content("conf", ())) == CallMember("@a:b", ())
    assert parse_call_member("@a:b", {}) == CallMember("@a:b", ())


def test_a_matrixrtc_look_alike_is_not_ours() -> None:
    content = {"application": "m.call", "call_id": "", "device_id": "D", "focus_active": {"type": "livekit"}}
    assert parse_call_member("_@a:b_D_m.call", content) is None


@pytest.mark.parametrize("run", RUNS)
def test_the_recorded_state_is_read(run: str) -> None:
    members = 0
    for line in recorded(run, "http"):
        kind, state_key = line["path"].split("/state/")[1].split("/")
        if kind == "org.matrix.msc3401.call":
            call = parse_call(state_key, line["body"])
            assert call is not None
            assert not call.terminated
        else:
            member = parse_call_member(state_key, line["body"])
            assert member is not None
            members += 1
            for _, devices in member.calls:
                assert len(devices) == 1
                assert devices[0].foci_active[0].user_id.startswith("@focus")
    assert members


@pytest.mark.parametrize("terminated", ["call_ended", True, {"reason": "x"}])
def test_any_truthy_termination_ends_a_call(terminated: object) -> None:
    call = parse_call("conf", call_content() | {"m.terminated": terminated})
    assert call is not None
    assert call.terminated


def test_a_live_call_is_live() -> None:
    call = parse_call("conf", call_content())
    assert call is not None
    assert not call.terminated
    ended = parse_call("conf", call_content(terminated=True))
    assert ended is not None
    assert ended.terminated


@pytest.mark.parametrize(
    "change",
    [
        {"io.element.livekit_service_url": "x"},
        {"m.intent": "m.knock"},
        {"m.intent": []},
        {"m.type": None},
        {"m.type": {}},
    ],
)
def test_a_call_that_is_not_for_a_focus_is_left_alone(change: dict[str, Any]) -> None:
    assert parse_call("conf", call_content() | change) is None


@pytest.mark.parametrize("key", ["device_id", "session_id", "expires_ts", "feeds"])
@pytest.mark.parametrize("value", [None, {}, True, "", float("nan")])
def test_a_device_that_clients_would_ignore_is_ignored(key: str, value: object) -> None:
    content = member_content("conf", (DEVICE,))
    content["m.calls"][0]["m.devices"][0][key] = value
    content["m.calls"][0]["m.devices"].append(member_content("conf", (DEVICE,))["m.calls"][0]["m.devices"][0])
    member = parse_call_member("@a:b", content)
    assert member is not None
    assert member.devices("conf") == (DEVICE,)


def test_the_unstable_foci_are_preferred_and_the_stable_ones_read() -> None:
    content = member_content("conf", (DEVICE,))
    device = content["m.calls"][0]["m.devices"][0]
    device["m.foci.active"] = [{"user_id": "@other:a", "device_id": "X"}]
    member = parse_call_member("@a:b", content)
    assert member is not None
    assert member.devices("conf")[0].foci_active == DEVICE.foci_active
    del device["org.matrix.msc3898.foci.active"]
    member = parse_call_member("@a:b", content)
    assert member is not None
    assert member.devices("conf")[0].foci_active == (FocusDevice("@other:a", "X"),)


def test_mangled_foci_and_feeds_are_left_out() -> None:
    content = member_content("conf", (DEVICE,))
    device = content["m.calls"][0]["m.devices"][0]
    device["org.matrix.msc3898.foci.active"] += ["@sfu:a", {"user_id": "@sfu:a"}]
    device["feeds"] += [7, {"purpose": 7}]
    content["m.calls"] += [7, {"m.call_id": "x"}, {"m.call_id": 7, "m.devices": []}]
    content["m.calls"][0]["m.devices"] += ["device"]
    assert parse_call_member("@a:b", content) == CallMember("@a:b", (("conf", (DEVICE,)),))


@given(content=json_values)
def test_any_json_is_a_value_none_or_a_parse_error(content: object) -> None:
    for parse in (parse_call, parse_call_member):
        try:
            value = parse("key", content)
        except ParseError:
            continue
        assert value is None or isinstance(value, CallMember)


@given(data=st.data())
def test_an_event_with_one_value_replaced_is_a_value_none_or_a_parse_error(data: st.DataObject) -> None:
    for parse, content in ((parse_call, call_content()), (parse_call_member, member_content("c", (DEVICE,)))):
        with contextlib.suppress(ParseError):
            value = parse("key", data.draw(mangled(content, json_values)))
            assert value is None or isinstance(value, Call | CallMember)
