from __future__ import annotations

from typing import TYPE_CHECKING

from signalling.store import Store

if TYPE_CHECKING:
    from pathlib import Path


def test_what_was_kept_is_there_after_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path / "state" / "focus.sqlite3")
    assert store.fact("since") is None
    store.set_fact("since", "s1")
    store.set_fact("since", "s2")
    store.set_leg("b", "second")
    store.set_leg("a", "first")
    store.set_leg("c", "third")
    store.forget_leg("a")
    # No close: the process was killed.
    again = Store(tmp_path / "state" / "focus.sqlite3")
    assert again.fact("since") == "s2"
    assert again.legs() == [("b", "second"), ("c", "third")]
    again.set_fact("since", None)
    assert again.fact("since") is None
    again.close()
    store.close()
