"""How the commands of `focus` end: with a status, and one line where something went wrong."""

from __future__ import annotations

from typing import Final, NoReturn

import typer

EXIT_FAILED: Final = 1
EXIT_CONFIG: Final = 2
EXIT_DIFFERENT: Final = 3
"""What was recorded does not happen again."""

_SPOILT: Final = frozenset({"too_slow", "failed"})
"""Ends of recordings that nobody asked for, and that lack something."""


def say(text: str) -> None:
    """Tell whoever waits, beside what the command prints."""
    typer.echo(f"focus: {text}", err=True)


def fail(text: str, status: int = EXIT_FAILED) -> NoReturn:
    """Say what is wrong, and end."""
    say(text)
    raise typer.Exit(status)


def fail_at(path: object, error: OSError) -> NoReturn:
    """Likewise, where a file can't be read or written."""
    fail(f"{path}: {error.strerror or error}")


def recording_ended(why: str) -> None:
    """Say why a recording has ended, and end where that is no good."""
    say(f"the recording has ended: {why}")
    if why in _SPOILT:
        raise typer.Exit(EXIT_FAILED)
