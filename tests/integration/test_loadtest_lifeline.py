"""What is started does not outlive who started it, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from loadtest.lifeline import bound
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.integration

STUBBORN: Final = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
FOCUS: Final = f"""
import asyncio, pathlib, sys, time
from loadtest.focus_process import FocusProcess, FocusSettings
folder = pathlib.Path(sys.argv[1])
program = folder / "stand-in"
program.write_text("#!{sys.executable}\\n{STUBBORN}")
program.chmod(0o700)
process = FocusProcess(folder, FocusSettings("http://127.0.0.1:1", "@focus:here", "secret"), program)
async def start():
    await process.start()
    print(process.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(start())
"""
"""Starts a focus, says its process, and waits."""


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie, which are left where nobody collects orphans."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def started() -> Iterator[Callable[..., tuple[subprocess.Popen[str], int]]]:
    """Runs a script which says the number of a process that it started."""
    scripts: list[subprocess.Popen[str]] = []
    children: list[int] = []

    def run(script: str, *arguments: str) -> tuple[subprocess.Popen[str], int]:
        process = subprocess.Popen(  # noqa: S603  # ourselves
            [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True
        )
        scripts.append(process)
        assert process.stdout is not None
        children.append(int(process.stdout.readline()))
        return process, children[-1]

    yield run
    for process in scripts:
        process.kill()
        process.communicate()
    for pid in filter(is_running, children):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_focus_ends_with_who_started_it(
    started: Callable[..., tuple[subprocess.Popen[str], int]], tmp_path: Path, number: signal.Signals
) -> None:
    parent, focus = started(FOCUS, str(tmp_path))
    assert is_running(focus)
    parent.send_signal(number)
    assert parent.wait(20) == -number
    await eventually(lambda: not is_running(focus))


def test_a_command_that_is_bound_is_its_process_and_says_how_it_ended() -> None:
    says = [sys.executable, "-c", "import os, sys; print(os.getpid()); sys.exit(7)"]
    with subprocess.Popen(bound(says), stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  # ourselves
        out, _ = process.communicate()
    assert (int(out), process.returncode) == (process.pid, 7)


def test_a_command_whose_starter_is_gone_before_it_begins_does_not() -> None:
    command = bound([sys.executable, "-c", "print('begins')"])
    # Of somebody else: our own parent.
    command[command.index(str(os.getpid()))] = str(os.getppid())
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603  # ourselves
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "who started this is gone\n")
