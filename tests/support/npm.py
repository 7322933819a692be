"""Programs from npm for the browsers of the tests: installed once into the user's cache folder, then bundled.

The pins are in `tests/npm/package.json`, the programs that use them (entries) beside it. Node runs nothing
but npm and esbuild here: what is installed runs in a browser.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ENTRIES: Final = Path(__file__).parents[1] / "npm"
_INSTALL: Final = ("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock")
_BUNDLE: Final = ("--bundle", "--format=esm", "--platform=browser", "--define:global=globalThis")
_MARK: Final = ".complete"


class NpmError(Exception):
    """npm or esbuild refused, or is not there."""


def bundle(entry: Path) -> Path:
    """Bundle a program with what it imports, from npm or from files beside it; return the ES module.

    Its folder is named after what it contains, and has nothing else in it but an index.html which loads it:
    serve the folder, or the file.

    Args:
        entry: an ES module, in `tests/npm/` or elsewhere.

    Raises:
        NpmError: it cannot be installed or bundled; the message has what was said.
    """
    modules = node_modules()
    with tempfile.TemporaryDirectory(dir=modules.parent) as folder:
        made = Path(folder) / "bundle"
        output = made / f"{entry.stem}.js"
        _run(
            (
                str(modules / ".bin" / "esbuild"),
                str(entry),
                *_BUNDLE,
                "--log-level=warning",
                f"--outfile={output}",
            ),
            env={"NODE_PATH": str(modules)},
        )
        (made / "index.html").write_text(_page(entry.stem), encoding="utf-8")
        digest = hashlib.sha256(output.read_bytes()).hexdigest()[:16]
        kept = modules.parent / f"{entry.stem}-{digest}"
        try:
            made.rename(kept)
        except OSError:
            if not kept.is_dir():  # Else the same one is there, of this run or of another.
                raise
    return kept / output.name


def node_modules() -> Path:
    """The folder with what `tests/npm/package.json` names, installed when it is not.

    Raises:
        NpmError: npm could not install it.
    """
    pins = (ENTRIES / "package.json").read_bytes()
    folder = _cache_folder() / f"npm-{hashlib.sha256(pins).hexdigest()[:16]}"
    if not (folder / _MARK).exists():
        with _locked(folder.with_suffix(".lock")):
            if not (folder / _MARK).exists():
                _install(folder, pins)
    return folder / "node_modules"


def _install(folder: Path, pins: bytes) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        (folder / "package.json").write_bytes(pins)
        _run(_INSTALL, cwd=folder)
    except BaseException:
        # Half an installation is of no use to anybody.
        shutil.rmtree(folder, ignore_errors=True)
        raise
    (folder / _MARK).touch()


def _page(stem: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{stem}</title>
<script type="module" src="{stem}.js"></script>
<body></body>
</html>
"""


def _run(command: tuple[str, ...], *, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    try:
        result = subprocess.run(  # noqa: S603  # fixed programs, and paths of ours
            command, check=False, capture_output=True, text=True, cwd=cwd, env=os.environ | (env or {})
        )
    except FileNotFoundError as error:
        raise NpmError(f"{command[0]} is not installed (Debian: apt-get install npm)") from error
    if result.returncode:
        raise NpmError(f"{' '.join(command)}:\n{result.stdout}{result.stderr}")


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(base) if base else Path.home() / ".cache") / "matrix-focus"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
