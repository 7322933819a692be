from __future__ import annotations

import numpy as np

from sfu.bwe.roster import Roster, Table


def ids(*transports: int) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    return np.array(transports, np.uint32)


def test_the_same_transports_move_nothing() -> None:
    roster = Roster()
    roster.adopt(ids(3, 5))
    assert roster.adopt(ids(3, 5)) is None


def test_who_is_not_there_is_not_found() -> None:
    roster = Roster()
    assert not roster.find(ids(1))[1].any()
    roster.adopt(ids(3, 5))
    at, found = roster.find(ids(5, 4, 3, 9))
    assert at[found].tolist() == [1, 0]
    assert found.tolist() == [True, False, True, False]


def test_rows_move_with_their_transports_and_new_ones_are_blank() -> None:
    blank = np.full(1, 7, np.dtype([("value", "<i8")]))
    table, roster = Table(blank), Roster()
    move = roster.adopt(ids(3, 5))
    assert move is not None
    table.arrange(move)
    table.rows["value"] = [30, 50]
    move = roster.adopt(ids(2, 5, 8))
    assert move is not None
    table.arrange(move)
    assert table.rows["value"].tolist() == [7, 50, 7]


def test_a_cleared_row_is_blank_and_others_stay() -> None:
    table = Table(np.full(1, 7, np.dtype([("value", "<i8")])))
    roster = Roster()
    move = roster.adopt(ids(1, 2))
    assert move is not None
    table.arrange(move)
    table.rows["value"] = [1, 2]
    table.clear(np.array([True, False]))
    assert table.rows["value"].tolist() == [7, 2]
