from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sfu.errors import ConfigError
from signalling.store import FILE_NAME, Store, open_store

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
    store.set_followed_room("!one:a", '["@alice:a"]')
    store.set_followed_room("!two:a", "[]")
    store.set_followed_room("!one:a", '["@bob:a"]')
    store.forget_followed_room("!two:a")
    # No close: the process was killed.
    again = Store(tmp_path / "state" / "focus.sqlite3")
    assert again.fact("since") == "s2"
    assert again.legs() == [("b", "second"), ("c", "third")]
    assert again.followed_rooms() == [("!one:a", '["@bob:a"]')]
    again.set_fact("since", None)
    assert again.fact("since") is None
    again.close()
    store.close()


def test_nobody_else_may_read_what_is_kept(tmp_path: Path) -> None:
    with open_store(tmp_path / "data") as store:
        store.set_fact("access_token", "hush")
        files = list((tmp_path / "data").iterdir())
        assert FILE_NAME in {path.name for path in files}
        holding = [path for path in files if path.name.startswith(FILE_NAME)]
        assert [oct(path.stat().st_mode & 0o077) for path in holding] == ["0o0"] * len(holding)
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0


def test_a_folder_is_for_one_process_at_a_time(tmp_path: Path) -> None:
    with open_store(tmp_path), pytest.raises(ConfigError, match="another focus"), open_store(tmp_path):
        pass
    with open_store(tmp_path):
        pass


def test_a_folder_that_can_not_be_used_is_the_operators_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="data_dir"), open_store(tmp_path / "file"):
        pass
    (tmp_path / FILE_NAME).write_bytes(b"no database" * 100)
    with pytest.raises(ConfigError, match=rf"data_dir = .*{FILE_NAME}"), open_store(tmp_path):
        pass
