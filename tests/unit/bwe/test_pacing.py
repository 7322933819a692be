from __future__ import annotations

import numpy as np
import pytest

from sfu.bwe.pacing import BEGINNING_BPS, CHANGE, FACTOR, QUEUE_LIMIT_MS, PacingRows

from .arrays import sized

IDS = np.array([4, 9], np.uint32)
NO_PADDING = np.zeros(2)
KNOWN = np.zeros(2, np.bool_)


def rows_of() -> PacingRows:
    rows = PacingRows()
    sized(rows.table, 2)
    return rows


def test_without_limits_there_is_nothing_to_say() -> None:
    assert not len(rows_of().update(IDS, np.full(2, np.inf), NO_PADDING, KNOWN))


def test_a_rate_is_told_once_and_again_when_it_is_another() -> None:
    rows = rows_of()
    first = rows.update(IDS, np.array([np.inf, 1e6]), NO_PADDING, KNOWN)
    assert first["transport"].tolist() == [9]
    assert first["rate_bps"][0] == pytest.approx(FACTOR * 1e6)
    assert first["queue_limit_ms"][0] == QUEUE_LIMIT_MS
    assert not len(rows.update(IDS, np.array([np.inf, 1e6 * (1 + CHANGE / 2)]), NO_PADDING, KNOWN))
    assert len(rows.update(IDS, np.array([np.inf, 1e6 * (1 + 2 * CHANGE)]), NO_PADDING, KNOWN)) == 1
    assert np.isinf(rows.update(IDS, np.full(2, np.inf), NO_PADDING, KNOWN)["rate_bps"]).all()


def test_small_steps_add_up() -> None:
    rows = rows_of()
    told = sum(
        len(rows.update(IDS[:2], np.array([np.inf, 1e6 + 1e4 * step]), NO_PADDING, KNOWN))
        for step in range(20)
    )
    assert 3 <= told <= 5


def test_padding_is_told_as_well() -> None:
    rows = rows_of()
    rows.update(IDS, np.full(2, 1e6), NO_PADDING, KNOWN)
    told = rows.update(IDS, np.full(2, 1e6), np.array([0.0, 5e5]), KNOWN)
    assert told["transport"].tolist() == [9]
    assert told["padding_bps"].tolist() == [5e5]


def test_a_call_begins_with_key_frames_that_do_not_wait() -> None:
    rows = rows_of()
    began = rows.update(IDS, np.full(2, 1e6), NO_PADDING, ~KNOWN)
    assert began["rate_bps"].tolist() == [BEGINNING_BPS] * 2
    assert rows.update(IDS, np.full(2, 1e6), NO_PADDING, KNOWN)["rate_bps"].tolist() == [FACTOR * 1e6] * 2
    assert rows.update(IDS, np.full(2, 1e7), NO_PADDING, ~KNOWN)["rate_bps"].tolist() == [FACTOR * 1e7] * 2
