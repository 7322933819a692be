"""What the command line refuses before anything is started."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from loadtest.app import app

if TYPE_CHECKING:
    from pathlib import Path

CALL = ("run", "--homeserver", "http://127.0.0.1:1", "--room", "!a:here")


def refusal(*arguments: str) -> str:
    result = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, arguments)
    assert result.exit_code == 2, result.output
    return result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "--room", "!a:here"), "--homeserver"),
        (("run", "--homeserver", "http://127.0.0.1:1"), "--room"),
        (("run", "--homeserver", "example.org", "--room", "!a:here"), "example.org: not a URL"),
        (("run", "--homeserver", "http://h", "--room", "general"), "general: neither !id nor #alias:server"),
        ((*CALL, "--focus", "@focus:here"), "such as @focus:example.org/FOCUS"),
        ((*CALL, "--participants", "0"), "--participants"),
        ((*CALL, "--seconds", "0"), "--seconds"),
        ((*CALL, "--participants", "1", "--check"), "one alone has nobody to receive"),
        ((*CALL, "--width", "64"), "the shortest side must be 128 or more"),
        ((*CALL, "--fps", "0"), "--fps"),
        ((*CALL, "--json", "/no/such/folder/out.json"), "no such folder"),
        ((*CALL, "--accounts", "/no/such/file"), "--accounts"),
        (("bench", "peers", "--sfu", "nobody"), "nobody: not one of focus, mediasoup,"),
        (("bench", "peers", "--json", "/no/such/folder/out.json"), "no such folder"),
        (("bench", "cascade", "--part", "sleep"), "sleep: not one of traffic, first_frame, delay, cut,"),
        (("bench", "cascade", "--json", "/no/such/folder/out.json"), "no such folder"),
        (("demo", "--participants", "1", "--check"), "one alone has nobody to receive"),
        (("demo", "--homeservers", "0"), "--homeservers"),
        (("demo", "--homeservers", "3", "--participants", "2"), "nobody is on one of them"),
    ],
)
def test_a_wrong_argument_is_named(arguments: tuple[str, ...], said: str) -> None:
    assert said in refusal(*arguments)


def test_accounts_must_be_enough_and_well_written(tmp_path: Path) -> None:
    path = tmp_path / "accounts"
    path.write_text("@a:here secret\n")
    assert "1 accounts for 3 participants" in refusal(*CALL, "--accounts", str(path))
    path.write_text("@a:here\n")
    assert "line 1: not USER PASSWORD" in refusal(*CALL, "--accounts", str(path))
    path.write_bytes(b"\xff\xfe")
    assert "--accounts" in refusal(*CALL, "--accounts", str(path))


def test_accounts_and_a_shared_secret_exclude_each_other(tmp_path: Path) -> None:
    path = tmp_path / "accounts"
    path.write_text("@a:here secret\n")
    said = refusal(*CALL, "--accounts", str(path), "--registration-shared-secret", "s")
    assert "either a shared secret or accounts" in said
