from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from loadtest.peers.cost import RunTime

if TYPE_CHECKING:
    from pathlib import Path


def thread(proc: Path, pid: int, tid: int, ran_ns: int, children: str = "") -> None:
    folder = proc / str(pid) / "task" / str(tid)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "schedstat").write_text(f"{ran_ns} 77 3\n")
    (folder / "children").write_text(children)


def test_all_threads_and_children_of_a_process_count(tmp_path: Path) -> None:
    thread(tmp_path, 10, 10, 1_000, children="20 ")
    thread(tmp_path, 10, 11, 200)
    thread(tmp_path, 20, 20, 30, children="30 ")
    thread(tmp_path, 30, 30, 4)
    thread(tmp_path, 99, 99, 1_000_000)
    assert RunTime.of(10, tmp_path).since(RunTime({})) == 1_234


def test_time_between_two_moments_is_that_of_threads_old_and_new(tmp_path: Path) -> None:
    thread(tmp_path, 10, 10, 1_000)
    before = RunTime.of(10, tmp_path)
    thread(tmp_path, 10, 10, 1_500)
    thread(tmp_path, 10, 11, 20)
    assert RunTime.of(10, tmp_path).since(before) == 520


def test_a_thread_that_has_ended_takes_nothing_away(tmp_path: Path) -> None:
    thread(tmp_path, 10, 10, 1_000)
    before = RunTime({(10, 10): 900, (10, 11): 5_000})
    assert RunTime.of(10, tmp_path).since(before) == 100


def test_a_process_that_is_gone_has_no_threads(tmp_path: Path) -> None:
    assert RunTime.of(10, tmp_path) == RunTime({})


def test_a_thread_that_ends_while_it_is_read_is_left_out(tmp_path: Path) -> None:
    thread(tmp_path, 10, 10, 1_000)
    (tmp_path / "10" / "task" / "11").mkdir()
    assert RunTime.of(10, tmp_path).threads == {(10, 10): 1_000}


def test_linux_tells_it_of_our_own_threads() -> None:
    assert RunTime.of(os.getpid()).threads[os.getpid(), threading.get_native_id()] > 0
