from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.peers.cache import built, cache_folder
from loadtest.peers.sfu import PeerMissingError


def test_what_make_peers_has_built_is_found_in_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "matrix-focus" / "peers" / "pion"
    folder.mkdir(parents=True)
    (folder / ".made-from").touch()
    (folder / "forwarder").touch()
    assert built("pion", "forwarder") == folder / "forwarder"


def test_half_a_build_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "matrix-focus" / "peers" / "pion"
    folder.mkdir(parents=True)
    (folder / "forwarder").touch()
    with pytest.raises(PeerMissingError, match="pion is not built: make peers"):
        built("pion", "forwarder")
    (folder / ".made-from").touch()
    with pytest.raises(PeerMissingError, match="other is missing"):
        built("pion", "other")


def test_without_a_word_about_caches_there_is_the_usual_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path.home() / ".cache" / "matrix-focus" / "peers"
