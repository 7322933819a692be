"""`focus media` on files: what a recording is shown as, and how policies are compared on it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from signalling.app import app
from signalling.cli.ending import EXIT_DIFFERENT, EXIT_FAILED
from tests.unit.recording.calls import VERSION, Call

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

MINE = """
from sfu.allocation.policies.utility import utility as allocate
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    call = Call()
    call.play(2)
    tape = call.record(has_packets=True)
    call.play(20)
    file = tmp_path_factory.mktemp("media") / "call.media"
    file.write_bytes(tape.file())
    return file


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["media", *map(str, arguments)])


def test_its_own_policy_chooses_the_same_and_the_command_says_so(recorded: Path) -> None:
    result = run("replay", recorded)
    assert result.exit_code == 0
    assert "utility chooses the same now" in result.stderr
    assert "all" in result.stdout


def test_another_policy_is_compared_with_it(recorded: Path) -> None:
    result = run("replay", recorded, "--policy", "signal_like", "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert set(told) == {"utility", "signal_like"}
    assert told["utility"]["agreement"]["different"] == 0
    assert told["signal_like"]["agreement"]["different"] > 0
    assert len(told["utility"]["subscribers"]) == 4
    assert 0 < told["utility"]["together"]["utility"] <= 1
    table = run("replay", recorded, "--policy", "signal_like").stdout
    assert table.count("signal_like") == 5


def test_paths_can_be_estimated_again(recorded: Path) -> None:
    result = run("replay", recorded, "--estimate", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["utility"]["agreement"]["targets"] > 0
    assert "% off what was found then" in result.stderr


def test_a_policy_of_a_file_can_be_either(recorded: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(MINE)
    result = run("replay", recorded, "--policy", mine, "--json")
    assert json.loads(result.stdout)[str(mine)]["agreement"]["different"] == 0
    assert run("replay", recorded, "--recorded", mine).exit_code == 0


def test_a_policy_that_chooses_otherwise_now_is_a_status_of_its_own(recorded: Path) -> None:
    result = run("replay", recorded, "--recorded", "signal_like")
    assert result.exit_code == EXIT_DIFFERENT
    assert "signal_like chooses otherwise now" in result.stderr


def test_all_that_is_in_it_is_shown(recorded: Path) -> None:
    result = run("show", recorded)
    assert result.exit_code == 0
    header, *steps = map(json.loads, result.stdout.splitlines())
    assert header == {"version": VERSION, "policy": "utility"}
    assert {step["kind"] for step in steps} == {"tick", "full", "allocate"}
    tables = {name for step in steps for name in step} - {"at_s", "kind", "told"}
    assert tables == {"encodings", "estimates", "decisions", "transports", "feedback"}
    assert steps[-1]["at_s"] == pytest.approx(2.0, abs=0.2)


def test_what_is_no_recording_is_told_in_a_line(tmp_path: Path) -> None:
    for file, text in ((tmp_path / "none", None), (tmp_path / "other", b"{}")):
        if text is not None:
            file.write_bytes(text)
        for command in ("show", "replay"):
            result = run(command, file)
            assert result.exit_code == EXIT_FAILED
            assert len(result.stderr.splitlines()) == 1


def test_an_unknown_policy_is_told_in_a_line(recorded: Path) -> None:
    result = run("replay", recorded, "--policy", "mine")
    assert result.exit_code == EXIT_FAILED
    assert "legal are utility" in result.stderr
