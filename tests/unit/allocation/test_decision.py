from __future__ import annotations

import numpy as np

from sfu.allocation.decision import DECISION_DTYPE, Cause, targets_of
from sfu.rows import ALL_TEMPORAL, PAUSED, TARGET_DTYPE


def test_targets_name_each_route_with_what_was_chosen() -> None:
    decisions = np.zeros(2, DECISION_DTYPE)
    decisions["route"] = [5, 6]
    decisions["chosen_encoding"] = [2, PAUSED]
    decisions["temporal"] = ALL_TEMPORAL
    targets = targets_of(decisions)
    assert targets.dtype == TARGET_DTYPE
    assert targets.tolist() == [(5, 2, ALL_TEMPORAL), (6, PAUSED, ALL_TEMPORAL)]


def test_causes_have_names_for_people() -> None:
    assert [cause.label for cause in Cause] == [
        "size",
        "layer_not_sent",
        "ceiling",
        "budget",
        "codec",
        "paused",
        "not_visible",
        "last_n",
        "cap",
        "pinned_first",
        "screen_first",
        "speaker",
        "unheard",
    ]
