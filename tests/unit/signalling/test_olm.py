from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings

from sfu.errors import ParseError
from signalling.matrix.olm import MAX_SESSIONS_PER_SENDER, ONE_TIME_KEYS, OlmMachine, verified_keys
from signalling.store import Store
from tests.unit.events.test_to_device import json_values

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALICE, FOCUS = "@alice:a", "@focus:a"


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    alice, focus = Store(tmp_path / "alice"), Store(tmp_path / "focus")
    yield alice, focus
    alice.close()
    focus.close()


def open_session(sender: OlmMachine, receiver: OlmMachine, at_homeserver: int = 0) -> None:
    one_time = next(iter(receiver.one_time_keys(at_homeserver).values()))["key"]
    receiver.keys_published()
    sender.start_session(receiver.keys, one_time)


def test_an_invite_and_its_answer_are_encrypted_both_ways(stores: tuple[Store, Store]) -> None:
    alice, focus = OlmMachine(stores[0], ALICE, "A"), OlmMachine(stores[1], FOCUS, "F")
    assert not focus.has_session(alice.keys)
    open_session(alice, focus)
    invite = focus.decrypt(ALICE, alice.encrypt(FOCUS, focus.keys, "m.call.invite", {"call_id": "c"}))
    assert (invite.type, invite.content, invite.keys) == ("m.call.invite", {"call_id": "c"}, alice.keys)
    assert focus.has_session(alice.keys)
    answer = alice.decrypt(FOCUS, focus.encrypt(ALICE, alice.keys, "m.call.answer", {"call_id": "c"}))
    assert (answer.type, answer.keys) == ("m.call.answer", focus.keys)


def test_sessions_survive_a_restart(stores: tuple[Store, Store]) -> None:
    alice, focus = OlmMachine(stores[0], ALICE, "A"), OlmMachine(stores[1], FOCUS, "F")
    open_session(alice, focus)
    focus.decrypt(ALICE, alice.encrypt(FOCUS, focus.keys, "m.call.invite", {}))
    again = OlmMachine(stores[1], FOCUS, "F")
    assert again.keys == focus.keys
    assert again.decrypt(ALICE, alice.encrypt(FOCUS, focus.keys, "m.call.hangup", {})).type == "m.call.hangup"


def test_a_replayed_ciphertext_is_refused(stores: tuple[Store, Store]) -> None:
    alice, focus = OlmMachine(stores[0], ALICE, "A"), OlmMachine(stores[1], FOCUS, "F")
    open_session(alice, focus)
    encrypted = alice.encrypt(FOCUS, focus.keys, "m.call.invite", {})
    focus.decrypt(ALICE, encrypted)
    with pytest.raises(ParseError, match="olm_session"):
        focus.decrypt(ALICE, encrypted)


def test_another_senders_name_on_the_outside_is_refused(stores: tuple[Store, Store]) -> None:
    alice, focus = OlmMachine(stores[0], ALICE, "A"), OlmMachine(stores[1], FOCUS, "F")
    open_session(alice, focus)
    with pytest.raises(ParseError, match="olm_names"):
        focus.decrypt("@mallory:a", alice.encrypt(FOCUS, focus.keys, "m.call.invite", {}))


def test_a_message_for_another_user_or_device_is_refused(stores: tuple[Store, Store]) -> None:
    alice, focus = OlmMachine(stores[0], ALICE, "A"), OlmMachine(stores[1], FOCUS, "F")
    open_session(alice, focus)
    with pytest.raises(ParseError, match="olm_names"):
        focus.decrypt(ALICE, alice.encrypt("@other:a", focus.keys, "m.call.invite", {}))
    forged = type(focus.keys)(focus.keys.curve25519, alice.keys.ed25519)
    with pytest.raises(ParseError, match="olm_names"):
        focus.decrypt(ALICE, alice.encrypt(FOCUS, forged, "m.call.invite", {}))
    with pytest.raises(ParseError, match="olm_recipient"):
        alice.decrypt(ALICE, alice.encrypt(FOCUS, focus.keys, "m.call.invite", {}))


def test_old_sessions_of_a_device_are_forgotten(stores: tuple[Store, Store]) -> None:
    alice, focus = OlmMachine(stores[0], ALICE, "A"), OlmMachine(stores[1], FOCUS, "F")
    for _ in range(MAX_SESSIONS_PER_SENDER + 3):
        open_session(alice, focus)
        focus.decrypt(ALICE, alice.encrypt(FOCUS, focus.keys, "m.call.invite", {}))
    assert len(stores[1].olm_sessions(alice.keys.curve25519)) == MAX_SESSIONS_PER_SENDER


def test_one_time_keys_are_filled_up_only_when_they_run_out(stores: tuple[Store, Store]) -> None:
    focus = OlmMachine(stores[1], FOCUS, "F")
    assert len(focus.one_time_keys(0)) == ONE_TIME_KEYS
    focus.keys_published()
    assert focus.one_time_keys(ONE_TIME_KEYS) == {}
    assert focus.one_time_keys(ONE_TIME_KEYS // 2) == {}
    assert len(focus.one_time_keys(ONE_TIME_KEYS // 2 - 1)) == ONE_TIME_KEYS // 2 + 1


def test_device_keys_are_believed_only_as_signed(stores: tuple[Store, Store]) -> None:
    alice = OlmMachine(stores[0], ALICE, "A")
    device = alice.device_keys()
    assert verified_keys(ALICE, "A", device) == alice.keys
    assert verified_keys(ALICE, "A", device | {"unsigned": {"device_display_name": "x"}}) == alice.keys
    for forged in (
        device | {"algorithms": []},
        device | {"user_id": "@mallory:a"},
        device | {"signatures": {}},
        device | {"keys": {"curve25519:A": "x", "ed25519:A": "y"}},
        device | {"keys": 7},
        None,
    ):
        with pytest.raises(ParseError):
            verified_keys(ALICE, "A", forged)


@pytest.mark.parametrize(
    "own",
    [
        None,
        {},
        {"type": 2, "body": ""},
        {"type": [], "body": ""},
        {"type": 1.0, "body": "AAAA"},
        {"type": True, "body": "AAAA"},
        {"type": 0, "body": "!"},
        {"type": 0, "body": "ä"},
        {"type": 1, "body": "AAAA"},
    ],
)
def test_a_mangled_ciphertext_is_refused(stores: tuple[Store, Store], own: object) -> None:
    focus = OlmMachine(stores[1], FOCUS, "F")
    content: dict[str, Any] = {
        "algorithm": "m.olm.v1.curve25519-aes-sha2",
        "sender_key": base64.b64encode(b"k" * 32).decode(),
        "ciphertext": {focus.keys.curve25519: own},
    }
    with pytest.raises(ParseError):
        focus.decrypt(ALICE, content)
    with pytest.raises(ParseError):
        focus.decrypt(ALICE, content | {"algorithm": "m.megolm.v1.aes-sha2"})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(value=json_values)
def test_any_json_is_refused(stores: tuple[Store, Store], value: object) -> None:
    focus = OlmMachine(stores[1], FOCUS, "F")
    content = {"algorithm": "m.olm.v1.curve25519-aes-sha2", "sender_key": "k", "ciphertext": value}
    with pytest.raises(ParseError):
        focus.decrypt(ALICE, content)
