from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sfu.errors import ParseError
from sfu.recording.columns import packed, unpacked

DTYPES = [np.dtype(one) for one in ("<u8", "<i8", "<u4", "<f8", "<f4", "<u2", "i1", "?")]

columns = st.lists(
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: arrays.arrays(
            dtype, arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6)
        )
    ),
    max_size=4,
)


@given(columns)
def test_what_goes_in_comes_out_to_the_bit(given: list[np.ndarray]) -> None:
    shapes = [(column.dtype, column.shape) for column in given]
    found = unpacked(packed(given), shapes)
    assert [one.tobytes() for one in found] == [one.tobytes() for one in given]
    assert [(one.dtype, one.shape) for one in found] == shapes


@given(st.binary(max_size=64))
def test_bytes_of_another_size_are_refused(data: bytes) -> None:
    shapes = [(np.dtype("<u4"), (2, 3)), (np.dtype("?"), (5,))]
    if len(data) == 29:
        assert len(unpacked(data, shapes)) == 2
        return
    with pytest.raises(ParseError):
        unpacked(data, shapes)


def test_a_shape_beyond_all_memory_is_refused_before_it_is_made() -> None:
    with pytest.raises(ParseError):
        unpacked(b"", [(np.dtype("<u8"), (2**40, 2**40))])


def test_what_does_not_change_costs_next_to_nothing_and_what_counts_on_little() -> None:
    rng = np.random.default_rng(0)
    still = np.tile(rng.integers(0, 2**63, 50), (100, 1))
    counter = np.cumsum(rng.integers(0, 256, (100, 50)), axis=0) + 2**40
    assert len(zlib.compress(packed([still]))) < 1.5 * still[0].nbytes
    assert len(zlib.compress(packed([counter]))) < 1.2 * counter.size
    assert len(zlib.compress(counter.tobytes())) > 2 * counter.size
