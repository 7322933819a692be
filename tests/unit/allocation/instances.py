"""Problems for property tests: anything that the allocator could make, of a few subscribers."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from sfu.allocation.problem import LAYERS, NEVER, NEVER_SPOKE, Problem
from sfu.rows import MAX_ENCODINGS, MAX_TEMPORAL, PAUSED
from sfu.units import NS_PER_S, Instant

NOW = Instant(1_000 * NS_PER_S)


@st.composite
def problems(
    draw: st.DrawFn, max_rows: int = 12, max_subscribers: int = 3, *, is_new: bool | None = None
) -> Problem:
    """Drawn by one seed: hypothesis need not know what is in the arrays to vary them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = draw(st.integers(1, max_rows))
    count = draw(st.integers(1, min(rows, max_subscribers)))
    new = draw(st.booleans()) if is_new is None else is_new
    subscriber = np.sort(np.concatenate([np.arange(count), rng.integers(0, count, rows - count)]))
    is_audio = rng.random(rows) < 0.2
    heights = np.sort(rng.choice([90, 180, 270, 360, 540, 720, 1080], (rows, MAX_ENCODINGS)), axis=1)
    heights = np.repeat(heights, MAX_TEMPORAL, axis=1).astype(np.float64)
    rates = np.sort(np.exp(rng.uniform(np.log(20_000), np.log(4e6), (rows, MAX_ENCODINGS))), axis=1)
    parts = np.cumsum(rng.dirichlet([2, 1, 2], rows), axis=1)
    costs = (rates[:, :, None] * parts[:, None, :]).reshape(rows, LAYERS)
    costs[is_audio] = 40_000.0
    usable = rng.random((rows, LAYERS)) < rng.choice([0.3, 0.7, 1.0])
    usable[is_audio] = np.arange(LAYERS) == 0
    needs = np.bincount(subscriber, np.where(usable, costs, 0).max(axis=1), count)
    keep = needs * rng.uniform(0, 1.3, count)
    previous = np.where(is_audio, 0, rng.integers(PAUSED, LAYERS, rows))
    return Problem(
        now=NOW,
        subscriber=subscriber,
        track=rng.permutation(rows),
        rank=rng.permutation(rows),
        is_audio=is_audio,
        is_screen=rng.random(rows) < 0.2,
        is_pinned=rng.random(rows) < 0.2,
        is_visible=rng.random(rows) < 0.9,
        speaker=np.where(rng.random(rows) < 0.5, NEVER_SPOKE, rng.integers(0, 9, rows)),
        width=rng.choice([0, 320, 640, 1280], rows).astype(np.float64),
        height=rng.choice([0, 180, 360, 720], rows).astype(np.float64),
        layer_widths=heights * 16 / 9,
        layer_heights=heights,
        frame_rates=np.tile([7.5, 15.0, 30.0], (rows, MAX_ENCODINGS)),
        costs_bps=costs,
        usable=usable,
        previous=np.full(rows, PAUSED) if new else previous,
        previous_at=np.full(rows, NEVER) if new else rng.integers(0, NOW, rows),
        changed=np.full(rows, new),
        lowered_at=np.full(rows, NEVER),
        keep_bps=keep,
        change_bps=keep * rng.choice([1.0, 0.8, 0.3]),
        reordered=rng.random(count) < 0.3,
        decided_at=np.full(count, NEVER),
        decided_bps=np.zeros(count),
    )
