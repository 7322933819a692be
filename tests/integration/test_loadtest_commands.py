"""`loadtest demo` and `loadtest run` as they are typed: what they print, write, return and leave behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from loadtest.lifeline import bound
from signalling.cli.admin import ask
from signalling.web.paths import CALLS
from tests.support.focus_process import running_focus
from tests.support.homeserver import join, new_room, new_user

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.homeserver.server import Homeserver

pytestmark = pytest.mark.integration

LOADTEST: Final = Path(sys.executable).parent / "loadtest"
PATIENCE_S: Final = 60.0
"""A limit against hanging, not a measure."""
SMALL: Final = ("--width", "160", "--height", "128")


class Command:
    """One command in a temporary folder of its own, in which it may leave nothing."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder / "tmp"
        self.folder.mkdir()
        self.output = folder / "output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(  # noqa: S603  # our own console script
                bound((LOADTEST, *arguments)),
                stdout=output,
                stderr=output,
                env=os.environ | {"TMPDIR": str(self.folder), "COLUMNS": "120"},
            )

    def said(self) -> str:
        return self.output.read_text()

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until something is so; the command must not end before."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)

    def until_said(self, text: str) -> None:
        self.until(lambda: text in self.said())

    def wait(self) -> int:
        return self.process.wait(PATIENCE_S)

    def others(self) -> dict[int, str]:
        """The processes that live in the command's folder, without the command itself, by command line."""
        mark = f"TMPDIR={self.folder}".encode()
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != self.process.pid:
                try:
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        words = (entry / "cmdline").read_bytes().split(b"\0")
                        found[int(entry.name)] = b" ".join(words).decode(errors="replace")
                except OSError:
                    continue  # gone in the meantime, or not ours to look at
        return {pid: line for pid, line in found.items() if line}

    def focus(self) -> int:
        """The process of the focus."""
        (pid,) = [pid for pid, line in self.others().items() if " serve " in line]
        return pid

    def video_flows(self) -> bool:
        """Whether somebody's pictures have reached the focus."""
        (admin_url,) = re.findall(r"admin API at (http://[^;\s]+)", self.said())
        members = [member for call in ask(admin_url, CALLS)["calls"] for member in call["members"]]
        tracks = [track for member in members for track in member["tracks"] if track["kind"] == "video"]
        return any(one["packets_received"] for track in tracks for one in track["encodings"])

    def left_nothing(self) -> bool:
        return not self.others() and not list(self.folder.iterdir())


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Command]:
    return lambda *arguments: Command(tmp_path, *arguments)


def test_a_demo_judges_itself_writes_what_it_measured_and_leaves_nothing(
    tmp_path: Path, command: Callable[..., Command]
) -> None:
    out, logs = tmp_path / "out.json", tmp_path / "logs"
    running = command(
        "demo", "--participants", "2", "--seconds", "4", "--check", "--json", str(out), "--logs", str(logs)
    )
    assert running.wait() == 0, running.said()
    assert running.said().splitlines()[-1] == "check: PASS"
    assert running.left_nothing()
    content: dict[str, Any] = json.loads(out.read_text())
    assert {(p["from"].split(":")[0], p["to"].split(":")[0], p["kind"]) for p in content["pairs"]} == {
        (sender, receiver, kind)
        for sender, receiver in (("@alice", "@bob"), ("@bob", "@alice"))
        for kind in ("audio", "video")
    }
    for pair in content["pairs"]:
        assert pair["frames_decoded"] >= 0.8 * pair["frames_sent"] > 0
        assert pair["first_frame_ms"] > 0
        assert pair["wrong_frames"] == 0
    assert content["plane"] is not None
    assert content["ok"] is True
    assert {path.name for path in logs.iterdir()} == {"focus.log", "homeserver.log"}


def test_a_demo_that_is_interrupted_in_the_call_leaves_nothing(command: Callable[..., Command]) -> None:
    running = command("demo", "--participants", "2", *SMALL)
    running.until_said("2/2 in the call")
    assert not running.left_nothing()
    running.until(running.video_flows)
    running.process.send_signal(signal.SIGTERM)
    running.process.send_signal(signal.SIGINT)  # somebody impatient
    assert running.wait() == 0, running.said()  # it was to last until then
    # A picture that was sent is told of; whether one was decoded so soon, a busy machine decides.
    assert re.search(r"^(alice +bob|bob +alice) +video ", running.said(), re.MULTILINE), running.said()
    assert running.left_nothing()


@pytest.mark.parametrize("said", ["starting a throw-away homeserver", "starting the focus"])
def test_a_demo_that_is_interrupted_while_it_starts_leaves_nothing(
    command: Callable[..., Command], said: str
) -> None:
    running = command("demo", "--participants", "2")
    running.until_said(said)
    running.process.send_signal(signal.SIGTERM)
    assert running.wait() == 128 + signal.SIGTERM, running.said()
    assert running.left_nothing()


def test_a_demo_cut_short_says_so_by_its_exit_status(command: Callable[..., Command]) -> None:
    running = command("demo", "--participants", "2", "--seconds", "600", *SMALL)
    running.until_said("2/2 in the call")
    running.process.send_signal(signal.SIGINT)
    assert running.wait() == 128 + signal.SIGINT, running.said()
    assert running.left_nothing()


def test_a_focus_that_dies_fails_the_check_and_is_named(
    tmp_path: Path, command: Callable[..., Command]
) -> None:
    out = tmp_path / "out.json"
    running = command("demo", "--participants", "2", "--seconds", "5", "--check", "--json", str(out), *SMALL)
    running.until_said("2/2 in the call")
    os.kill(running.focus(), signal.SIGKILL)
    assert running.wait() == 1
    assert "the focus ended with status -9 during the call" in running.said()
    assert running.said().splitlines()[-1] == "check: FAIL"
    assert json.loads(out.read_text())["ok"] is False
    assert running.left_nothing()


async def test_participants_join_a_call_of_others(
    tmp_path: Path, command: Callable[..., Command], homeserver: Homeserver
) -> None:
    folder = tmp_path / "focus"
    folder.mkdir()
    async with running_focus(homeserver, folder) as focus:
        alice, bob = new_user(homeserver, "alice"), new_user(homeserver, "bob")
        room = new_room(alice, focus.user, room_alias_name=f"call-{alice.user_id[1:].split(':')[0]}")
        alias = f"#call-{alice.user_id[1:].split(':')[0]}:{homeserver.server_name}"
        join(bob, room)
        lent = tmp_path / "accounts"
        lent.write_text(f"{alice.user_id} {alice.password}\n{bob.user_id} {bob.password}\n")
        running = command(
            "run", "--homeserver", homeserver.base_url, "--room", alias, "--participants", "2",
            "--focus", f"{focus.device.user_id}/{focus.device.device_id}", "--accounts", str(lent),
            "--seconds", "3", "--check", *SMALL,
        )  # fmt: skip
        status = await focus.until(lambda _: running.process.poll() is not None)
        assert running.wait() == 0, running.said()
        assert status["ready"]
    assert "check: PASS" in running.said()
    assert running.left_nothing()


def test_a_run_without_accounts_says_how_to_get_some(command: Callable[..., Command]) -> None:
    running = command("run", "--homeserver", "http://127.0.0.1:1", "--room", "!a:here")
    assert running.wait() == 1
    assert "loadtest: http://127.0.0.1:1 cannot be reached" in running.said()
