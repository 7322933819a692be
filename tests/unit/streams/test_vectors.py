from __future__ import annotations

import pytest

from tests.vectors.streams.record import FOLDER, MODULES, recording


@pytest.mark.parametrize("module", MODULES)
def test_what_the_native_plane_is_held_to_is_what_this_one_decides(module: str) -> None:
    assert recording(module) == (FOLDER / f"{module}.txt").read_text(encoding="utf-8"), (
        "a decision has changed: record anew and review (tests/vectors/streams/README.md)"
    )
