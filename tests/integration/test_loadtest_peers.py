"""Processes of the servers that a focus is compared with, by small programs that behave like them."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import pytest

from loadtest.peers.cost import RunTime
from loadtest.peers.process import peer_process
from loadtest.peers.sfu import PeerError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

ECHO = (
    "import sys\nprint('ready', flush=True)\nfor line in sys.stdin: print(line.upper(), end='', flush=True)"
)

DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("on", flush=True)
time.sleep(60)
"""


async def test_lines_go_both_ways_until_the_context_is_left(tmp_path: Path) -> None:
    async with peer_process("echo", [sys.executable, "-c", ECHO], tmp_path) as process:
        assert await process.line() == "ready"
        await process.say("hello")
        assert await process.line() == "HELLO"
        assert RunTime.of(process.pid).threads
        assert not process.has_ended
    assert not RunTime.of(process.pid).threads


async def test_who_ends_says_why(tmp_path: Path) -> None:
    program = "import sys; print('no such device', file=sys.stderr); sys.exit(3)"
    async with peer_process("broken", [sys.executable, "-c", program], tmp_path) as process:
        with pytest.raises(PeerError, match=r"broken: ended\nno such device"):
            await process.line()


async def test_a_program_that_is_not_there_says_so(tmp_path: Path) -> None:
    async with peer_process("absent", [tmp_path / "absent"], tmp_path) as process:
        with pytest.raises(PeerError, match="absent: ended"):
            await process.line()


async def test_who_does_not_talk_speaks_into_the_log(tmp_path: Path) -> None:
    program = "import os; print(os.getcwd(), os.environ['SAID'])"
    command = [sys.executable, "-c", program]
    async with peer_process("quiet", command, tmp_path, {"SAID": "something"}, talks=False) as process:
        async with asyncio.timeout(10):
            while not process.has_ended:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert (tmp_path / "log").read_text() == f"{tmp_path} something\n"


async def test_who_does_not_listen_to_a_polite_word_is_ended_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadtest.peers.process.STOP_TIMEOUT_S", 0.2)
    async with peer_process("deaf", [sys.executable, "-c", DEAF], tmp_path) as process:
        assert await process.line() == "on"
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
