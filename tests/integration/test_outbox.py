"""To-device messages on their way out, against a scripted homeserver (a real one: test_sync)."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
import structlog

from signalling.config import MatrixConfig, Secrets
from signalling.events.to_device import Envelope, Hangup
from signalling.focus.turn import Count, ForgetLeg, KeepLeg, Level, Note, SendToDevice
from signalling.matrix import outbox as outbox_module
from signalling.matrix import session as session_module
from signalling.matrix.performer import MatrixPerformer
from signalling.store import Store
from tests.support.eventually import eventually
from tests.support.matrix_shell import MatrixShell, matrix_shell
from tests.support.scripted_homeserver import (
    DEVICE_ID,
    UNKNOWN_TOKEN,
    USER_ID,
    Answer,
    ScriptedHomeserver,
    error,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

ALICE, BOB = "@alice:localhost", "@bob:localhost"
HANGUP = "m.call.hangup"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "RETRY_FIRST_S", 0.02)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "focus.sqlite3")
    yield opened
    opened.close()


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedHomeserver]:
    async with ScriptedHomeserver() as homeserver:
        yield homeserver


@pytest.fixture
async def shell(scripted: ScriptedHomeserver, store: Store) -> AsyncIterator[MatrixShell]:
    config = MatrixConfig(homeserver_url=scripted.url, user_id=USER_ID, device_id=DEVICE_ID)
    async with matrix_shell(config, Secrets(access_token="token", password="secret"), store) as opened:
        yield opened


def numbers(scripted: ScriptedHomeserver, user_id: str) -> list[int]:
    """The numbers that a user was sent, retries included."""
    return [
        message["number"]
        for asked in scripted.requests("/sendToDevice/")
        for message in asked.body["messages"].get(user_id, {}).values()
    ]


async def test_messages_to_one_device_are_sent_in_order_one_at_a_time(
    shell: MatrixShell, scripted: ScriptedHomeserver
) -> None:
    scripted.script("/sendToDevice/", *[Answer(delay_s=0.05 - number / 100) for number in range(5)])
    for number in range(5):
        shell.outbox.send(ALICE, "A", HANGUP, {"number": number})
    assert len(shell.outbox) == 5
    await shell.outbox.flush(5)
    assert len(shell.outbox) == 0
    assert numbers(scripted, ALICE) == list(range(5))
    assert shell.counted(HANGUP, "ok", "sent") == 5


async def test_a_message_that_takes_long_keeps_no_other_device_waiting(
    shell: MatrixShell, scripted: ScriptedHomeserver
) -> None:
    scripted.script("/sendToDevice/", Answer(delay_s=30))
    shell.outbox.send(ALICE, "A", HANGUP, {"number": 1})
    await scripted.until("/sendToDevice/")
    shell.outbox.send(BOB, "B", HANGUP, {"number": 1})
    shell.outbox.send(ALICE, "A2", HANGUP, {"number": 2})
    await eventually(lambda: shell.counted(HANGUP, "ok", "sent") == 2)


@pytest.mark.parametrize(
    "bad",
    [
        error("M_UNKNOWN", 502),
        error("M_LIMIT_EXCEEDED", 429, retry_after_ms=20),
        UNKNOWN_TOKEN,
        Answer(b"{broken"),
    ],
)
async def test_a_message_is_tried_under_the_same_transaction_until_it_is_confirmed(
    shell: MatrixShell, scripted: ScriptedHomeserver, bad: Answer
) -> None:
    scripted.script("/sendToDevice/", bad, bad)
    shell.outbox.send(ALICE, "A", HANGUP, {"number": 0})
    shell.outbox.send(ALICE, "A", HANGUP, {"number": 1})
    await shell.outbox.flush(5)
    assert numbers(scripted, ALICE) == [0, 0, 0, 1]
    first, *repeated, other = [asked.path for asked in scripted.requests("/sendToDevice/")]
    assert repeated == [first, first]
    assert other != first


async def test_a_refused_message_is_counted_and_the_next_one_sent(
    shell: MatrixShell, scripted: ScriptedHomeserver
) -> None:
    scripted.script("/sendToDevice/", error("M_TOO_LARGE", 413))
    shell.outbox.send(ALICE, "A", HANGUP, {"number": 0})
    shell.outbox.send(ALICE, "A", HANGUP, {"number": 1})
    await shell.outbox.flush(5)
    assert shell.counted(HANGUP, "refused", "sent") == 1
    assert shell.counted(HANGUP, "ok", "sent") == 1


async def test_what_is_too_much_for_one_device_is_dropped_and_counted(
    shell: MatrixShell, scripted: ScriptedHomeserver
) -> None:
    scripted.script("/sendToDevice/", Answer(delay_s=30))
    for number in range(outbox_module.MAX_QUEUED_PER_DEVICE + 3):
        shell.outbox.send(ALICE, "A", HANGUP, {"number": number})
    assert len(shell.outbox) == outbox_module.MAX_QUEUED_PER_DEVICE
    assert shell.counted(HANGUP, "queue_full", "sent") == 3
    shell.outbox.send(BOB, "B", HANGUP, {"number": 0})
    await eventually(lambda: shell.counted(HANGUP, "ok", "sent") == 1)


async def test_what_is_too_much_for_all_devices_is_dropped_and_counted(
    shell: MatrixShell, scripted: ScriptedHomeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "MAX_QUEUED", 4)
    scripted.usual["/sendToDevice/"] = Answer(delay_s=30)
    for number in range(6):
        shell.outbox.send(ALICE, f"A{number}", HANGUP, {"number": number})
    assert len(shell.outbox) == 4
    assert shell.counted(HANGUP, "queue_full", "sent") == 2


async def test_a_flush_waits_no_longer_than_it_may(shell: MatrixShell, scripted: ScriptedHomeserver) -> None:
    await shell.outbox.flush(0.01)
    scripted.script("/sendToDevice/", Answer(delay_s=30))
    shell.outbox.send(ALICE, "A", HANGUP, {"number": 0})
    await shell.outbox.flush(0.05)
    assert len(shell.outbox) == 1


async def test_something_is_done_when_all_that_was_queued_before_is_confirmed(
    shell: MatrixShell, scripted: ScriptedHomeserver
) -> None:
    done: list[str] = []
    shell.outbox.when_confirmed(lambda: done.append("nothing was queued"))
    assert done == ["nothing was queued"]
    scripted.script("/sendToDevice/", Answer(delay_s=0.1), Answer(delay_s=30))
    shell.outbox.send(ALICE, "A", HANGUP, {"number": 0})
    await scripted.until("/sendToDevice/")
    shell.outbox.when_confirmed(lambda: done.append("alice"))
    shell.outbox.send(BOB, "B", HANGUP, {"number": 0})
    shell.outbox.when_confirmed(lambda: done.append("bob"))
    await eventually(lambda: len(done) > 1)
    assert done == ["nothing was queued", "alice"]


async def test_our_own_mistake_with_one_message_does_not_stop_the_others(shell: MatrixShell) -> None:
    shell.outbox.send(ALICE, "A", HANGUP, {"number": object()})
    shell.outbox.send(ALICE, "A", HANGUP, {"number": 1})
    await shell.outbox.flush(5)
    assert shell.counted(HANGUP, "failed", "sent") == 1
    assert shell.counted(HANGUP, "ok", "sent") == 1
    assert shell.metrics.registry.get_sample_value("focus_internal_failures_total", {"where": "outbox"}) == 1


@pytest.mark.parametrize(
    "directory",
    [
        Answer({"device_keys": {}}),
        Answer({"device_keys": {ALICE: {"A": {"keys": 7}}}}),
        Answer({"device_keys": [ALICE]}),
        error("M_FORBIDDEN", 403),
        error("M_UNKNOWN", 502),
    ],
)
async def test_what_can_not_be_encrypted_is_not_sent_at_all(
    shell: MatrixShell, scripted: ScriptedHomeserver, directory: Answer
) -> None:
    scripted.usual["/keys/query"] = directory
    shell.outbox.send(ALICE, "A", HANGUP, {"number": 0}, is_encrypted=True)
    await shell.outbox.flush(5)
    assert shell.counted(HANGUP, "not_encrypted", "sent") == 1
    assert scripted.requests("/sendToDevice/") == []
    assert shell.session.trouble is None


async def test_a_leg_is_forgotten_when_its_hangup_is_confirmed_and_a_redial_stays(
    shell: MatrixShell, scripted: ScriptedHomeserver, store: Store
) -> None:
    performer = MatrixPerformer(shell.outbox, store, shell.metrics)
    performer.perform(KeepLeg("leg", "first"))
    performer.perform(KeepLeg("other", "one"))
    scripted.script("/sendToDevice/", Answer(delay_s=0.1))
    shell.outbox.send(ALICE, "A", HANGUP, {"number": 0})
    performer.perform(ForgetLeg("leg"))
    performer.perform(ForgetLeg("other"))
    performer.perform(KeepLeg("other", "redialled"))
    assert dict(store.legs()) == {"leg": "first", "other": "redialled"}
    await shell.outbox.flush(5)
    assert dict(store.legs()) == {"other": "redialled"}
    performer.perform(ForgetLeg("other"))
    performer.perform(ForgetLeg("of a process before"))
    assert store.legs() == []


async def test_what_the_focus_asks_for_is_done(
    shell: MatrixShell, scripted: ScriptedHomeserver, store: Store
) -> None:
    performer = MatrixPerformer(shell.outbox, store, shell.metrics)
    envelope = Envelope("call", "FOCUS", "conf", "FOCUS", "sfu", "session", seq=0)
    with structlog.testing.capture_logs() as lines:
        performer.perform(SendToDevice(ALICE, "A", Hangup(envelope)))
        performer.perform(Count("joins", {"step": "invite", "outcome": "ok"}))
        performer.perform(Count("ticks_skipped"))
        performer.perform(Note(Level.INFO, "leg_answered", {"leg": 7}))
        performer.perform(Note(Level.WARNING, "leg_refused"))
    (asked,) = await scripted.until("/sendToDevice/m.call.hangup/")
    assert asked.body == {"messages": {ALICE: {"A": Hangup(envelope).content()}}}
    value = shell.metrics.registry.get_sample_value
    assert value("focus_joins_total", {"step": "invite", "outcome": "ok"}) == 1
    assert value("focus_ticks_skipped_total") == 1
    assert lines == [
        {"event": "leg_answered", "log_level": "info", "leg": 7},
        {"event": "leg_refused", "log_level": "warning"},
    ]


async def test_messages_wait_while_the_homeserver_is_away(store: Store) -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with ScriptedHomeserver() as scripted:
            url = scripted.url
            config = MatrixConfig(homeserver_url=url, user_id=USER_ID, device_id=DEVICE_ID)
            shell = await stack.enter_async_context(
                matrix_shell(config, Secrets(access_token="token"), store)
            )
        shell.outbox.send(ALICE, "A", HANGUP, {"number": 7})
        await eventually(lambda: shell.session.trouble is not None)
        again = await stack.enter_async_context(ScriptedHomeserver(port=int(url.rpartition(":")[2])))
        await shell.outbox.flush(10)
        assert numbers(again, ALICE) == [7]
