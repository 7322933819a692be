"""Installations with and without Rust: what `pip install .` makes of this tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

ROOT: Final = Path(__file__).parents[2]
NEEDED: Final = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "sfu", "signalling", "loadtest")
LEFT_OUT: Final = ("target", "__pycache__", "*.so", "*.egg-info", "vendor", "Cargo.lock")
EXTENSIONS: Final = ("sfu/dataplane/_native.abi3.so", "loadtest/_swarm.abi3.so")
NOT_TO_RUN: Final = (
    "sfu/dataplane/native/",
    "loadtest/swarm/",
    "sfu/allocation/DESIGN.md",
    "sfu/bwe/DESIGN.md",
    "sfu/dataplane/DESIGN.md",
    "signalling/web/package.json",
)
"""What is in a package's folder for those who work on it."""
VERSION: Final = "rustc 1.95.0 (000000000 2026-01-01)\nhost: x86_64-unknown-linux-gnu\nrelease: 1.95.0"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A clean copy of the sources."""
    folder = tmp_path / "tree"
    folder.mkdir()
    for name in NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns(*LEFT_OUT))
        else:
            shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """All that is on the PATH: nothing."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def environment(tools: Path) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in {"PATH", "PYTHONPATH", "CARGO"}}
    return kept | {"PATH": str(tools)}


def install(tree: Path, target: Path, tools: Path) -> None:
    """Install without the dependencies, which are here already, and without a network."""
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            *options,
            "--no-compile",
            "--target",
            str(target),
            str(tree),
        ],
        environment(tools),
    )


def run(command: list[str], environment: Mapping[str, str]) -> str:
    done = subprocess.run(  # noqa: S603  # ourselves
        command, check=False, capture_output=True, text=True, env=environment, cwd="/"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files(folder: Path) -> set[str]:
    """The names of all files in a folder, but for what Python compiles."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return {path.relative_to(folder).as_posix() for path in found}


def python(installed: Path, tools: Path, *arguments: str) -> str:
    """What Python says where this is installed beside our dependencies.

    Without `site`: an editable installation of the sources would give what this one lacks.
    """
    folders = f"{installed}{os.pathsep}{sysconfig.get_path('purelib')}"
    return run([sys.executable, "-S", *arguments], {**environment(tools), "PYTHONPATH": folders})


def is_there(module: str, installed: Path, tools: Path) -> bool:
    script = f"""
try:
    import {module}
except ImportError:
    print("no")
else:
    print("yes")
"""
    return python(installed, tools, "-c", script) == "yes\n"


def version(installed: Path, tools: Path) -> str:
    """What `focus version` of an installation says."""
    return python(installed, tools, str(installed / "bin" / "focus"), "version")


def leave_earlier_build(tree: Path) -> None:
    """What a build that had Rust leaves in the tree, and nobody may take for this one's."""
    built = f"build/lib.{sysconfig.get_platform()}-{sys.implementation.cache_tag}"
    for file in (*EXTENSIONS, *(f"{built}/{name}" for name in EXTENSIONS)):
        (tree / file).parent.mkdir(parents=True, exist_ok=True)
        (tree / file).write_bytes(b"old")


def test_without_rust_an_installation_is_complete_but_for_the_extensions_and_has_no_source_of_them(
    tree: Path, tools: Path, tmp_path: Path
) -> None:
    expected = {
        name
        for name in files(tree)
        if name.startswith(("sfu/", "signalling/", "loadtest/")) and not name.startswith(NOT_TO_RUN)
    }
    leave_earlier_build(tree)
    installed = tmp_path / "installed"
    install(tree, installed, tools)
    found = {name for name in files(installed) if not name.startswith(("bin/", "matrix_focus-"))}
    assert found == expected
    assert not is_there("sfu.dataplane._native", installed, tools)
    assert not is_there("loadtest._swarm", installed, tools)
    assert is_there("sfu.dataplane.reference", installed, tools)
    assert version(installed, tools).splitlines()[1] == "data plane: reference"


def test_a_rust_that_builds_nothing_is_no_reason_not_to_install(
    tree: Path, tools: Path, tmp_path: Path
) -> None:
    leave_earlier_build(tree)
    # As where crates can't be had: the compiler is there, and cargo refuses.
    for name, script in {"rustc": f"echo '{VERSION}'", "cargo": "exit 101"}.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    installed = tmp_path / "installed"
    install(tree, installed, tools)
    assert not list(installed.rglob("*.so"))
    assert version(installed, tools).splitlines()[1] == "data plane: reference"
