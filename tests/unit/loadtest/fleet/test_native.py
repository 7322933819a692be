"""Getting the native module, or being told how."""

from __future__ import annotations

import sys

import pytest

from loadtest.fleet.native import SwarmMissingError, load_swarm, swarm


def test_who_has_no_native_module_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "loadtest._swarm", None)
    with pytest.raises(SwarmMissingError, match="cargo"):
        load_swarm()
    with pytest.raises(SwarmMissingError), swarm():
        pass
