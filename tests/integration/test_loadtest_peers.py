"""The comparison with other servers: their processes, one measurement, and the bench on a focus alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from loadtest.bench.peers import PEERS, PeersBenchSettings, bench_peers
from loadtest.fleet.schedule import bursts
from loadtest.peers.cost import RunTime
from loadtest.peers.measurement import TrialSettings, measure
from loadtest.peers.process import peer_process
from loadtest.peers.sfu import PeerError
from loadtest.stage import Stage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from loadtest.peers.seats import Seats

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


# --- measuring -------------------------------------------------------------------------------------------


class NobodyBetween:
    """No server: the publisher sends to one receiver by itself, and the others hear nothing."""

    name = "nobody"
    pid = os.getpid()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[NobodyBetween]:
        yield self

    async def join(self, seats: Seats) -> None:
        publisher = seats.publisher()
        first, *_ = seats.receiving()
        publisher.accept_answer(first.accept_offer(publisher.offer))


async def test_everything_between_two_silences_is_counted_once() -> None:
    trial = await measure(NobodyBetween(), TrialSettings(bursts(8, 1_100, 8.0), 1, seconds=0.5))
    assert trial.packets_received == trial.packets_sent > 0
    assert (trial.packets_due, trial.receivers, trial.loss(1)) == (500, 1, 0.0)
    assert trial.run_time_ns > 0
    assert 0 < trial.delay_p50_ms <= trial.delay_p99_ms


async def test_who_never_connects_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtest.peers.measurement.CONNECT_PATIENCE_S", 2.0)
    with pytest.raises(PeerError, match="nobody: 1 of 2 connected"):
        await measure(NobodyBetween(), TrialSettings(bursts(8, 1_100, 8.0), 2, seconds=0.5))


@pytest.mark.timeout(240)
async def test_a_focus_is_measured_and_who_is_not_here_is_no_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadtest.peers.cache.cache_folder", lambda: tmp_path)
    monkeypatch.setattr("loadtest.peers.measurement.WARM_UP_S", 0.1)  # figures are not what is tested
    console = Console(file=StringIO())
    settings = PeersBenchSettings(rounds=1, receivers=2, seconds=0.5)
    with Stage(console, console) as stage:
        figures = await bench_peers(settings, stage)
    content: dict[str, Any] = figures.content()
    assert {content[f"{workload}_vs_{peer}"] for workload in content["sfus"] for peer in PEERS} == {None}
    assert content["missing"].keys() == set(PEERS)
    measured = {trial["workload"]: trial for trial in content["raw"]["trials"]}
    assert measured.keys() == {"burst8", "real_sizes", "single"}
    for trial in measured.values():
        assert (trial["sfu"], trial["receivers"]) == ("focus", 2)
        assert trial["packets_received"] == 2 * trial["packets_sent"] > 0
    assert content["plane"] is not None
