from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import ParseError
from signalling.events import to_device
from signalling.events.metadata import STABLE_KEY, UNSTABLE_KEY, StreamMetadata, TrackMetadata
from signalling.events.to_device import (
    Answer,
    Candidate,
    Candidates,
    Envelope,
    Hangup,
    Invite,
    MetadataChanged,
    Negotiate,
    Reject,
    SelectAnswer,
    ToDeviceMessage,
    UnreadableInvite,
    parse_to_device,
)
from tests.support.mangling import mangled
from tests.support.recordings import RUNS, recorded

ENVELOPE = Envelope("call", "PARTY", "conf", "DEVICE", "session", "sfu", 7)
METADATA = (StreamMetadata("s", "m.usermedia", (TrackMetadata("t"),), user_id="@a:b", device_id="D"),)
MESSAGES: list[ToDeviceMessage] = [
    Invite(ENVELOPE, "v=0", 30_000, METADATA, "@focus:b"),
    Invite(ENVELOPE, "v=0", metadata=(), room_id="!room:b"),
    Answer(ENVELOPE, "v=0", METADATA),
    Candidates(ENVELOPE, (Candidate("candidate:1", "0", 0), Candidate(""))),
    SelectAnswer(ENVELOPE, "PARTY"),
    Hangup(ENVELOPE, "ice_failed"),
    Reject(ENVELOPE, "overloaded"),
    Negotiate(ENVELOPE, "offer", "v=0", 1, METADATA),
    MetadataChanged(ENVELOPE, METADATA),
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: m.type)
def test_what_is_written_is_read_back(message: ToDeviceMessage) -> None:
    assert parse_to_device(message.type, message.content()) == message


@pytest.mark.parametrize("run", RUNS)
def test_everything_that_the_recorded_client_sent_is_read(run: str) -> None:
    count = 0
    for line in recorded(run, "todevice_rx"):
        event = line["event"]
        message = parse_to_device(event["type"], event["content"])
        assert message is not None, event["type"]
        assert message.envelope.dest_session_id == "sfu"
        assert message.envelope.seq is not None
        count += 1
    assert count > 10


def test_the_recorded_invite_is_understood() -> None:
    line = next(line for line in recorded("run1", "todevice_rx") if line["event"]["type"] == "m.call.invite")
    invite = parse_to_device("m.call.invite", line["event"]["content"])
    assert isinstance(invite, Invite)
    assert invite.lifetime_ms == 60_000
    assert invite.metadata is not None
    (stream,) = invite.metadata
    assert stream.purpose == "m.usermedia"
    assert {(t.kind, t.width, t.height) for t in stream.tracks} == {
        ("audio", None, None),
        ("video", 1280, 720),
    }


def test_metadata_is_written_under_both_keys_and_read_under_either() -> None:
    content = Answer(ENVELOPE, "v=0", METADATA).content()
    assert content[STABLE_KEY] == content[UNSTABLE_KEY]
    for missing in (STABLE_KEY, UNSTABLE_KEY):
        one = {key: value for key, value in content.items() if key != missing}
        assert parse_to_device("m.call.answer", one) == Answer(ENVELOPE, "v=0", METADATA)


def test_the_prefixed_metadata_event_is_the_same_event() -> None:
    content = MetadataChanged(ENVELOPE, METADATA).content()
    assert parse_to_device("org.matrix.call.sdp_stream_metadata_changed", content) == MetadataChanged(
        ENVELOPE, METADATA
    )


def test_another_event_type_is_not_ours() -> None:
    assert parse_to_device("m.room_key", {}) is None
    assert parse_to_device("m.call.replaces", {}) is None


@pytest.mark.parametrize("version", ["1", 1, "0", "org.example", 2])
def test_any_version_but_the_number_zero_is_taken(version: object) -> None:
    assert parse_to_device("m.call.hangup", ENVELOPE.content() | {"version": version}) is not None


@pytest.mark.parametrize("version", [0, None, 1.5, True, []])
def test_the_legacy_version_is_refused(version: object) -> None:
    with pytest.raises(ParseError):
        parse_to_device("m.call.hangup", ENVELOPE.content() | {"version": version})


@pytest.mark.parametrize(
    "name", ["call_id", "party_id", "conf_id", "device_id", "sender_session_id", "dest_session_id"]
)
@pytest.mark.parametrize("value", [None, "", 7, [], "x" * 256, "\ud800"])
def test_an_id_that_is_missing_or_mangled_is_refused(name: str, value: object) -> None:
    content = ENVELOPE.content()
    if value is None:
        del content[name]
    else:
        content[name] = value
    with pytest.raises(ParseError):
        parse_to_device("m.call.hangup", content)


def test_an_invite_without_ids_is_refused() -> None:
    with pytest.raises(ParseError, match="call_id"):
        parse_to_device("m.call.invite", {"version": "1", "offer": {"type": "offer", "sdp": "v=0"}})


@pytest.mark.parametrize("reason", [None, 7, "", "x" * 300])
def test_a_hangup_without_a_usable_reason_is_the_users(reason: object) -> None:
    message = parse_to_device("m.call.hangup", ENVELOPE.content() | {"reason": reason})
    assert message == Hangup(ENVELOPE, "user_hangup")


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: m.type)
def test_no_message_without_its_own_part_is_taken(message: ToDeviceMessage) -> None:
    own = set(message.content()) - set(ENVELOPE.content())
    needed = own & {"offer", "answer", "candidates", "selected_party_id", "description"}
    for name in needed:
        content = {key: value for key, value in message.content().items() if key != name}
        if message.type == to_device.INVITE:
            assert parse_to_device(message.type, content) == UnreadableInvite(
                message.envelope, "missing", name
            )
            continue
        with pytest.raises(ParseError):
            parse_to_device(message.type, content)


def test_a_metadata_event_without_metadata_is_refused() -> None:
    with pytest.raises(ParseError, match="missing"):
        parse_to_device("m.call.sdp_stream_metadata_changed", ENVELOPE.content())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lifetime", "long"),
        ("lifetime", -1),
        ("offer", "v=0"),
        ("offer", {"sdp": 7}),
        ("offer", {"sdp": "x" * (to_device.MAX_SDP_LENGTH + 1)}),
    ],
)
def test_of_a_mangled_invite_is_known_whose_it_is(name: str, value: object) -> None:
    invite = parse_to_device("m.call.invite", MESSAGES[0].content() | {name: value})
    assert isinstance(invite, UnreadableInvite)
    assert invite.content() == MESSAGES[0].envelope.content()
    assert name in invite.text or "sdp" in invite.text


@pytest.mark.parametrize(
    ("name", "value"), [("seq", float("nan")), ("seq", 2**60), ("call_id", ""), ("device_id", 7)]
)
def test_an_invite_whose_envelope_is_mangled_is_refused(name: str, value: object) -> None:
    with pytest.raises(ParseError):
        parse_to_device("m.call.invite", MESSAGES[0].content() | {name: value})


@pytest.mark.parametrize("kind", ["pranswer", None, 7, [], {}])
def test_anything_but_offer_and_answer_is_no_description_of_ours(kind: object) -> None:
    content = MESSAGES[6].content() | {"description": {"type": kind, "sdp": "v=0"}}
    with pytest.raises(ParseError, match="description_type"):
        parse_to_device("m.call.negotiate", content)


def test_too_many_candidates_are_refused() -> None:
    content = ENVELOPE.content() | {"candidates": [{"candidate": ""}] * (to_device.MAX_CANDIDATES + 1)}
    with pytest.raises(ParseError, match="too_long"):
        parse_to_device("m.call.candidates", content)


def test_a_candidate_without_section_is_taken() -> None:
    content = ENVELOPE.content() | {"candidates": [{"candidate": "", "sdpMid": 7}]}
    assert parse_to_device("m.call.candidates", content) == Candidates(ENVELOPE, (Candidate(""),))


@given(event_type=st.sampled_from([m.type for m in MESSAGES]), content=json_values)
def test_any_json_is_a_message_or_a_parse_error(event_type: str, content: object) -> None:
    try:
        parse_to_device(event_type, content)
    except ParseError:
        return
    raise AssertionError(f"taken: {content!r}")


@given(message=st.sampled_from(MESSAGES), data=st.data())
def test_a_message_with_one_value_replaced_is_a_message_or_a_parse_error(
    message: ToDeviceMessage, data: st.DataObject
) -> None:
    try:
        parsed = parse_to_device(message.type, data.draw(mangled(message.content(), json_values)))
    except ParseError:
        return
    assert isinstance(parsed, (type(message), UnreadableInvite))
    assert parsed.type == message.type
