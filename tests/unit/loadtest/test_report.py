from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console

from loadtest.client.scene import Party
from loadtest.judge import Row, Verdict
from loadtest.report import MAX_LINES, Report
from loadtest.trunks import CarriedTrack, Flow, TrunkFigures
from sfu.figures import machine

if TYPE_CHECKING:
    from pathlib import Path

ALICE, BOB = Party("@alice:here", "A"), Party("@bob:here", "B")
ROW = Row(ALICE, BOB, "video", 100, 99, 250.0, 1, 300.0, 12.0, ("q", "f"), 0)
TRUNK = TrunkFigures(
    foci=("@focus:here", "@focus:there"),
    states=("up", "up"),
    legs=1,
    flows=(
        Flow(
            "@focus:here",
            "@focus:there",
            bytes_sent=1_234_567,
            bytes_received=1_230_000,
            tracks=tuple(
                CarriedTrack(owner, kind, layers)
                for owner in ("@alice:here", "@carol:here")
                for kind, layers in (("audio", ()), ("video", ("q", "f")))
            ),
        ),
        Flow("@focus:there", "@focus:here", bytes_sent=0, bytes_received=0, tracks=()),
    ),
)
GOOD = Verdict((ROW, replace(ROW, sender=BOB, receiver=ALICE)), (), (), ())


def printed(verdict: Verdict, *trunks: TrunkFigures, checked: bool) -> str:
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as captured:
        Report(verdict, 2, 20.0, "reference", trunks).show(console, checked=checked)
    return captured.get()


def test_the_json_holds_every_key_that_is_promised(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    Report(GOOD, 2, 20.04, "reference").write(path)
    content = json.loads(path.read_text())
    assert set(content) == {
        "ok", "participants", "seconds", "first_frame_ms_p50", "wrong_frames", "failures", "violations",
        "plane", "machine", "commit", "date", "trunks", "pairs",
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


def test_trunks_are_told_in_both_directions() -> None:
    lines = [" ".join(line.split()) for line in printed(GOOD, TRUNK, checked=False).splitlines()]
    assert "here there 2 audio, 2 video q f 1235 1230" in lines
    assert "there here nothing 0 0" in lines
    assert "trunk" not in printed(GOOD, checked=False)
    assert Report(GOOD, 2, 1.0, None, (TRUNK,)).content()["trunks"] == [TRUNK.content()]


def test_over_several_foci_the_first_picture_may_take_longer() -> None:
    slow = Verdict((replace(ROW, first_frame_ms=1_500.0),), (), (), ())
    assert "1500 ms (PASS: up to 2,000 ms is good)" in printed(slow, TRUNK, checked=False)


def test_a_long_list_is_cut_and_says_so() -> None:
    text = printed(replace(GOOD, faults=tuple(f"fault {n}" for n in range(MAX_LINES + 5))), checked=True)
    assert f"fault {MAX_LINES - 1}" in text
    assert f"fault {MAX_LINES}" not in text
    assert "and 5 more" in text


def test_a_machine_has_cores() -> None:
    cores = machine()["cores"]
    assert isinstance(cores, int)
    assert cores >= 1
