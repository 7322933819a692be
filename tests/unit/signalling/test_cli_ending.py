"""A command that can't do what it is asked for says so in one line, and ends with a status."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from signalling.app import app
from signalling.cli.ending import EXIT_CONFIG, EXIT_FAILED
from tests.support.recordings import VECTORS

if TYPE_CHECKING:
    from pathlib import Path

NOBODY = "http://127.0.0.1:1"
JOIN = str(VECTORS / "traces" / "join.jsonl")


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("serve -c {nowhere}", EXIT_CONFIG),
        ("serve -c {folder}", EXIT_CONFIG),
        ("serve -c {noise}", EXIT_CONFIG),
        (f"status --url {NOBODY}", EXIT_FAILED),
        ("status --url nonsense", EXIT_FAILED),
        (f"why @alice:x --url {NOBODY}", EXIT_FAILED),
        (f"drain --url {NOBODY}", EXIT_FAILED),
        ("trace show {nowhere}", EXIT_FAILED),
        ("trace show {folder}", EXIT_FAILED),
        ("trace show {noise}", EXIT_FAILED),
        (f"trace record --everybody -o {{nowhere}} --url {NOBODY}", EXIT_FAILED),
        (f"trace record --everybody -o {{file}} --url {NOBODY}", EXIT_FAILED),
        (f"trace record -o {{file}} --url {NOBODY}", EXIT_FAILED),
        (f"trace replay {JOIN} -o {{nowhere}}", EXIT_FAILED),
        ("media show {nowhere}", EXIT_FAILED),
        ("media show {folder}", EXIT_FAILED),
        ("media show {noise}", EXIT_FAILED),
        (f"media record -o {{nowhere}} --url {NOBODY}", EXIT_FAILED),
        ("bench bwe --scenario nonsense", EXIT_FAILED),
    ],
)
def test_what_goes_wrong_is_said_in_one_line(tmp_path: Path, command: str, status: int) -> None:
    noise = tmp_path / "noise"
    noise.write_bytes(bytes(range(256)))
    names = {
        "nowhere": tmp_path / "no" / "such",
        "folder": tmp_path,
        "noise": noise,
        "file": tmp_path / "new",
    }
    done = CliRunner().invoke(app, command.format(**names).split())
    assert done.exit_code == status
    assert isinstance(done.exception, SystemExit)
    (line,) = done.stderr.splitlines()
    assert "Errno" not in line or "Connection refused" in line


def test_no_minutes_are_measured_for_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    for name in ("plane", "bwe", "allocation"):
        done = CliRunner().invoke(app, ["bench", name, "--json", str(tmp_path / "no" / "such")])
        assert done.exit_code == EXIT_CONFIG
        assert "no such folder" in " ".join(done.stderr.replace("│", " ").split())
