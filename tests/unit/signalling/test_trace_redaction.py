"""Nothing secret or personal is in a recording, and what is in it is still of the dialect."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.negotiation.remote import read_description
from sfu.negotiation.sdp import parse_sdp
from signalling.events.data_channel import parse_message
from signalling.events.to_device import parse_to_device
from signalling.trace import pseudonyms
from signalling.trace.compare import sections_of
from signalling.trace.pseudonyms import FOCUS_DEVICE, FOCUS_USER, Pseudonyms
from signalling.trace.redaction import MAX_DEPTH, Redactor
from signalling.trace.sdp import redacted_candidate, redacted_sdp
from tests.support.recordings import RUNS, VECTORS, recorded

if TYPE_CHECKING:
    from pathlib import Path

SDPS = sorted((VECTORS / "sdp").rglob("*.sdp"))
SECRET_LINES = ("a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=candidate:", "c=", "o=")


def names() -> Pseudonyms:
    return Pseudonyms(("@focus:example.org", "FOCUSDEVICE"))


def redactor() -> Redactor:
    return Redactor(names())


# --- names ------------------------------------------------------------------------------------------------


def test_the_same_thing_has_the_same_name_and_another_another() -> None:
    given_names = names()
    assert (
        given_names.user("@alice:example.org") == given_names.user("@alice:example.org") == "@user1:server1"
    )
    assert given_names.user("@alice:elsewhere.org") == "@user2:server2"
    assert given_names.user("no user id") == "user3"
    assert given_names.room("!abc:example.org") == "!room1:server1"
    assert given_names.room("!of-version-12") == "!room2"
    assert given_names.plain("stream", "a") != given_names.plain("stream", "b")
    assert given_names.plain("stream", "") == ""


def test_the_focus_is_called_the_focus() -> None:
    assert names().user("@focus:example.org") == FOCUS_USER
    assert names().device("FOCUSDEVICE") == FOCUS_DEVICE


def test_stand_ins_for_credentials_are_well_formed() -> None:
    given_names = names()
    first, second = given_names.ufrag("abcd"), given_names.ufrag("efgh")
    assert first != second
    assert len(first) >= 4
    assert len(given_names.password("x" * 24)) >= 22
    digest = ":".join(["AB"] * 32)
    assert given_names.fingerprint(digest) == given_names.fingerprint(digest.lower()) != digest
    assert len(given_names.fingerprint(digest).split(":")) == 32


def test_names_run_out_and_nothing_grows_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pseudonyms, "MAX_NAMES", 5)
    given_names = names()
    told = [given_names.plain("track", str(number)) for number in range(10)]
    assert told == ["track1", "track2", *["track0"] * 8]


# --- descriptions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SDPS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_browsers_description_keeps_its_sense_and_loses_its_secrets(path: Path) -> None:
    sdp = path.read_bytes().decode()
    told = redacted_sdp(sdp, names())
    before, after = read_description(parse_sdp(sdp)), read_description(parse_sdp(told))
    assert [
        (one.mid, one.kind, one.sends, one.receives, one.rids, one.codecs) for one in before.sections
    ] == [(one.mid, one.kind, one.sends, one.receives, one.rids, one.codecs) for one in after.sections]
    assert [one.extensions for one in before.sections] == [one.extensions for one in after.sections]
    assert [one.is_rejected for one in before.sections] == [one.is_rejected for one in after.sections]
    assert [one.encodings for one in before.sections] == [one.encodings for one in after.sections]
    assert (before.setup, before.is_lite, before.data_port) == (after.setup, after.is_lite, after.data_port)
    kept = set(told.splitlines())
    harmless = {"c=IN IP4 0.0.0.0", "a=candidate:"}
    secrets = [line for line in sdp.splitlines() if line.startswith(SECRET_LINES) and line not in harmless]
    assert [line for line in secrets if line in kept] == []
    assert len(told.splitlines()) == len(sdp.splitlines())


def test_a_restart_of_ice_is_still_one() -> None:
    given_names = names()
    first = redacted_sdp("a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n", given_names)
    second = redacted_sdp("a=ice-ufrag:efgh\r\na=ice-pwd:1123456789012345678901\r\n", given_names)
    again = redacted_sdp("a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n", given_names)
    assert first == again != second


def test_ids_of_streams_are_those_of_the_metadata() -> None:
    one = redactor()
    sdp = (
        "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=msid:my-stream my-track\r\na=ssrc:7 msid:my-stream my-track\r\n"
    )
    told = one.redact(
        {
            "description": {"type": "offer", "sdp": sdp},
            "sdp_stream_metadata": {"my-stream": {"tracks": {"my-track": {}}}},
        }
    )
    assert list(told["sdp_stream_metadata"]) == ["stream1"]
    assert list(told["sdp_stream_metadata"]["stream1"]["tracks"]) == ["track1"]
    assert "a=msid:stream1 track1\r\na=ssrc:7 msid:stream1 track1\r\n" in told["description"]["sdp"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("a=candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 10.0.0.3 rport 5",
         "a=candidate:1 1 udp 1677729535 192.0.2.1 9 typ srflx raddr 192.0.2.2 rport 9"),
        ("a=candidate:1 1 tcp 1518280447 2001:db8::1 9 typ host tcptype active",
         "a=candidate:1 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active"),
        ("a=candidate:1 1 udp 1 8e0a.local 9 typ host", "a=candidate:1 1 udp 1 192.0.2.1 9 typ host"),
        ("a=candidate:something else", "a=redacted"),
        ("o=alice 123 4 IN IP4 10.0.0.3", "o=- 1 4 IN IP4 0.0.0.0"),
        ("c=IN IP4 10.0.0.3", "c=IN IP4 0.0.0.0"),
        ("c=IN IP6 2001:db8::1", "c=IN IP6 ::"),
        ("s=Alice's call", "s=-"),
        ("e=alice@example.org", "e=-"),
        ("m=audio 46154 UDP/TLS/RTP/SAVPF 111", "m=audio 9 UDP/TLS/RTP/SAVPF 111"),
        ("m=audio 0 UDP/TLS/RTP/SAVPF 111", "m=audio 0 UDP/TLS/RTP/SAVPF 111"),
        ("a=rtcp:46155 IN IP4 10.0.0.3", "a=rtcp:9 IN IP4 0.0.0.0"),
        ("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:secret", "a=crypto:redacted"),
        ("a=identity:secret", "a=identity:redacted"),
        ("a=x-google-flag", "a=x-google-flag"),
        ("a=ssrc:7 cname:machine.example.org", "a=ssrc:7 cname:cname1"),
        ("a=ssrc:7 label:Alice", "a=ssrc:7 label"),
        ("a=msid:- my-track", "a=msid:- track1"),
        ("nonsense", "redacted"),
    ],
)  # fmt: skip
def test_each_line_is_told_without_what_it_gives_away(line: str, told: str) -> None:
    assert redacted_sdp(line, names()) == told


def test_the_end_of_candidates_is_told() -> None:
    assert redacted_candidate("", names()) == ""


@given(st.text(max_size=200))
def test_any_description_is_redacted_to_something(sdp: str) -> None:
    told = redacted_sdp(sdp, names())
    assert "\x00" not in told
    assert sections_of(told) is not None


# --- messages ---------------------------------------------------------------------------------------------


def test_unknown_fields_are_not_told() -> None:
    told = redactor().redact(
        {
            "access_token": "syt_secret",
            "org.matrix.msgid": "0b5e",
            "m.name": "Alice's call",
            "key with spaces": 1,
            "reason": "user_hangup",
            "text": "12 sections, over 10",
            "nested": {"password": "secret", "many": ["a", 2, None, True]},
        }
    )
    assert told == {
        "access_token": "redacted",
        "org.matrix.msgid": "redacted",
        "m.name": "redacted",
        "key1": 1,
        "reason": "user_hangup",
        "text": "12 sections, over 10",
        "nested": {"password": "redacted", "many": ["redacted", 2, None, True]},
    }


@pytest.mark.parametrize(
    "text",
    [
        "line 'c=IN IP4 10.0.0.3'",
        "@alice:example.org is gone",
        "in !room:b",
        "ice-ufrag abcd",
        "AB:CD:EF",
        "a.example.org",
    ],
)
def test_prose_that_may_name_somebody_is_not_told(text: str) -> None:
    assert redactor().redact({"text": text}) == {"text": "redacted"}


@pytest.mark.parametrize("reason", ["@alice:example.org", "because Alice said so", "x" * 65])
def test_a_word_that_is_none_is_not_told(reason: str) -> None:
    assert redactor().redact({"reason": reason}) == {"reason": "redacted"}


def test_nothing_gets_by_in_a_tuple_or_as_something_else_than_json() -> None:
    told = redactor().redact({"foci": ({"user_id": "@bob:example.org"},), "what": b"secret", "is": True})
    assert told == {"foci": [{"user_id": "@user1:server1"}], "what": "redacted", "is": True}


def test_what_is_no_object_is_told_as_an_empty_one() -> None:
    assert redactor().redact(["a"]) == {}
    assert redactor().redact({"sdp_stream_metadata": {"s": "x"}}) == {
        "sdp_stream_metadata": {"stream1": "redacted"}
    }


def test_objects_within_objects_end_somewhere() -> None:
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"in": deep}
    text = json.dumps(redactor().redact(deep))
    assert text.count("{") <= MAX_DEPTH + 2


@pytest.mark.parametrize("run", RUNS)
def test_messages_of_the_one_released_client_are_read_after_it_too(run: str) -> None:
    one = redactor()
    personal = ("@alice", "@bob", "localhost:", "127.0.0.1")
    for entry in recorded(run, "todevice_rx"):
        event = entry["event"]
        told = one.redact(event["content"])
        assert parse_to_device(event["type"], dict(told)) is not None
        assert not [word for word in personal if word in json.dumps(told)]
    for entry in recorded(run, "dc_rx"):
        if isinstance(entry["msg"], dict) and entry["msg"].get("type", "").startswith("m.call"):
            told = one.redact(entry["msg"]["content"])
            parse_message(json.dumps({"type": entry["msg"]["type"], "content": told}))
            assert not [word for word in personal if word in json.dumps(told)]
