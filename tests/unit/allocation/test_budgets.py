from __future__ import annotations

import numpy as np

from sfu.allocation.budgets import BUDGET_DTYPE, NO_BUDGETS, rows_of

INFINITY = float("inf")


def test_who_was_given_nothing_has_what_is_otherwise() -> None:
    given = np.array([(9, 1e6, 5e5), (2, 3e6, 3e6)], BUDGET_DTYPE)
    found = rows_of(np.array([1, 2, 9, 12]), given, (INFINITY, INFINITY))
    assert found.tolist() == [(1, INFINITY, INFINITY), (2, 3e6, 3e6), (9, 1e6, 5e5), (12, INFINITY, INFINITY)]
    assert rows_of(np.array([1]), NO_BUDGETS, (INFINITY, 1.0)).tolist() == [(1, INFINITY, 1.0)]
