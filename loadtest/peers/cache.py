"""Where `make peers` leaves what it builds."""

from __future__ import annotations

import os
from pathlib import Path

from loadtest.peers.sfu import PeerMissingError


def built(name: str, *parts: str) -> Path:
    """A file of a server that `make peers` has built.

    Raises:
        PeerMissingError: it is not there.
    """
    folder = cache_folder() / name
    path = folder.joinpath(*parts)
    if not (folder / ".made-from").is_file() or not path.exists():
        raise PeerMissingError(f"{name} is not built: make peers ({path} is missing)")
    return path


def cache_folder() -> Path:
    """The folder of all of them."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "matrix-focus" / "peers"
