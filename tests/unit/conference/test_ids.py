from __future__ import annotations

from sfu.conference.ids import IdSource


def test_ids_begin_at_one_and_never_repeat() -> None:
    ids = IdSource()
    assert [ids.transport() for _ in range(3)] == [1, 2, 3]
    assert [ids.track() for _ in range(3)] == [1, 2, 3]
    assert [ids.route() for _ in range(3)] == [1, 2, 3]
    assert [ids.conference() for _ in range(3)] == [1, 2, 3]
