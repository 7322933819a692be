"""Synapse in a virtual environment of its own, installed once into the user's cache folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SYNAPSE_VERSION = os.environ.get("HOMESERVER_VERSION", "1.163.2")


class HomeserverError(Exception):
    """The homeserver could not be installed, started or talked to."""


def cache_folder() -> Path:
    """Where Synapse and its empty database are kept between runs."""
    configured = os.environ.get("HOMESERVER_CACHE")
    if configured:
        return Path(configured)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "matrix-test-homeserver"


def database_template() -> Path:
    """An empty database with the whole schema, which makes starts faster."""
    return cache_folder() / f"template-{SYNAPSE_VERSION}.db"


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Keep other processes out of one part of the cache."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install() -> Path:
    """Make sure that Synapse is installed (about 250 MB); return its Python interpreter.

    Raises:
        HomeserverError: pip failed.
    """
    major, minor = sys.version_info[:2]
    folder = cache_folder() / f"py{major}.{minor}-synapse-{SYNAPSE_VERSION}"
    python = folder / "bin" / "python"
    done = folder / ".complete"
    if done.exists():
        return python
    with locked("install"):
        if done.exists():
            return python
        sys.stderr.write(f"installing Synapse {SYNAPSE_VERSION} (once, into the cache)\n")
        shutil.rmtree(folder, ignore_errors=True)
        try:
            _fill(folder, python)
        except BaseException:
            # Half an installation is of no use to anybody; nor are pip's temporary files, which are in it.
            shutil.rmtree(folder, ignore_errors=True)
            raise
        done.touch()
    return python


def _fill(folder: Path, python: Path) -> None:
    venv.EnvBuilder(symlinks=True).create(folder)
    temporary = folder / "tmp"
    temporary.mkdir()
    options = ("--quiet", "--no-input", "--disable-pip-version-check")
    for arguments in (("ensurepip",), ("pip", "install", *options, f"matrix-synapse=={SYNAPSE_VERSION}")):
        result = subprocess.run(  # noqa: S603  # a fixed command line
            [str(python), "-m", *arguments],
            check=False,
            capture_output=True,
            text=True,
            env=os.environ | {"TMPDIR": str(temporary)},
        )
        if result.returncode:
            raise HomeserverError(
                f"{arguments[0]} could not install Synapse:\n{result.stdout}{result.stderr}"
            )
    shutil.rmtree(temporary, ignore_errors=True)
