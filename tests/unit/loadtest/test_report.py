from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console

from loadtest.client.scene import Party
from loadtest.judge import Row, Verdict
from loadtest.report import MAX_LINES, Report
from sfu.figures import machine

if TYPE_CHECKING:
    from pathlib import Path

ALICE, BOB = Party("@alice:here", "A"), Party("@bob:here", "B")
ROW = Row(ALICE, BOB, "video", 100, 99, 250.0, 1, 300.0, 12.0, ("q", "f"), 0)
GOOD = Verdict((ROW, replace(ROW, sender=BOB, receiver=ALICE)), (), (), ())


def printed(verdict: Verdict, *, checked: bool) -> str:
    console = Console(file=io.StringIO(), width=80)
    with console.capture() as captured:
        Report(verdict, 2, 20.0, "reference").show(console, checked=checked)
    return captured.get()


def test_the_json_holds_every_key_that_is_promised(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    Report(GOOD, 2, 20.04, "reference").write(path)
    content = json.loads(path.read_text())
    assert set(content) == {
        "ok", "participants", "seconds", "first_frame_ms_p50", "wrong_frames", "failures", "violations",
        "plane", "machine", "commit", "date", "pairs",
    }  # fmt: skip
    assert (content["ok"], content["participants"], content["seconds"]) == (True, 2, 20.0)
    assert (content["first_frame_ms_p50"], content["plane"]) == (250.0, "reference")
    assert set(content["machine"]) == {"cores", "cpu", "kernel"}
    assert [(pair["from"], pair["to"]) for pair in content["pairs"]] == [
        ("@alice:here", "@bob:here"),
        ("@bob:here", "@alice:here"),
    ]


def test_the_json_of_a_failed_run_says_why() -> None:
    verdict = replace(GOOD, troubles=("carol: gone",), faults=("alice → bob, video: wrong frames: 1",))
    content = Report(verdict, 3, 1.0, None).content()
    assert content["ok"] is False
    assert content["failures"] == ["carol: gone", "alice → bob, video: wrong frames: 1"]
    assert content["plane"] is None


def test_a_run_in_which_nobody_saw_anything_has_no_first_frame() -> None:
    verdict = Verdict((replace(ROW, first_frame_ms=None, frames_decoded=0),), (), (), ())
    assert Report(verdict, 2, 1.0, None).content()["first_frame_ms_p50"] is None
    assert "first picture" not in printed(verdict, checked=True)


def test_the_check_is_printed_last_with_what_failed_before_it() -> None:
    text = printed(replace(GOOD, faults=("alice → bob, video: wrong frames: 1",)), checked=True)
    assert text.splitlines()[-2:] == ["  alice → bob, video: wrong frames: 1", "check: FAIL"]
    assert printed(GOOD, checked=True).splitlines()[-1] == "check: PASS"


def test_without_a_check_pairs_are_not_judged_but_absence_is_told() -> None:
    verdict = replace(GOOD, troubles=("carol: gone",), faults=("alice → bob, video: wrong frames: 1",))
    text = printed(verdict, checked=False)
    assert "carol: gone" in text
    assert "wrong frames" not in text
    assert "check" not in text


def test_the_first_picture_is_a_figure_with_a_mark() -> None:
    assert "first picture, p50: 250 ms (PASS: up to 1,000 ms is good)" in printed(GOOD, checked=False)
    slow = Verdict((replace(ROW, first_frame_ms=1_500.0),), (), (), ())
    assert "1500 ms (FAIL" in printed(slow, checked=False)
    assert slow.is_good


def test_a_long_list_is_cut_and_says_so() -> None:
    text = printed(replace(GOOD, faults=tuple(f"fault {n}" for n in range(MAX_LINES + 5))), checked=True)
    assert f"fault {MAX_LINES - 1}" in text
    assert f"fault {MAX_LINES}" not in text
    assert "and 5 more" in text


def test_a_machine_has_cores() -> None:
    cores = machine()["cores"]
    assert isinstance(cores, int)
    assert cores >= 1
