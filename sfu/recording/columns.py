"""Columns of numbers as few bytes: differences from step to step, the bytes of equal weight together.

Nothing is rounded. Floats are taken for the integers that their bits are: near ones have near bits.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from sfu.errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Sequence

Column = NDArray[Any]
"""(steps, ...) numbers of one kind."""

_UNSIGNED: Final = {size: np.dtype(f"<u{size}") for size in (1, 2, 4, 8)}


def packed(columns: Sequence[Column]) -> bytes:
    """Columns one behind the other; as many bytes as they have, most of them 0 where little changes."""
    return b"".join(_packed(column) for column in columns)


def unpacked(data: bytes, shapes: Sequence[tuple[np.dtype[Any], tuple[int, ...]]]) -> list[Column]:
    """What `packed` made.

    Args:
        data: of any origin.
        shapes: dtype and shape of each column.

    Raises:
        ParseError: there are not as many bytes as that takes.
    """
    sizes = [dtype.itemsize * math.prod(shape) for dtype, shape in shapes]
    if sum(sizes) != len(data):
        raise ParseError("not_a_recording", f"{len(data)} bytes of columns in place of {sum(sizes)}")
    found, at = [], 0
    for (dtype, shape), size in zip(shapes, sizes, strict=True):
        found.append(_unpacked(data[at : at + size], dtype, shape))
        at += size
    return found


def _packed(column: Column) -> bytes:
    if not column.size:
        return b""
    bits = np.ascontiguousarray(column).reshape(len(column), -1).view(_UNSIGNED[column.dtype.itemsize])
    differences = np.diff(bits, axis=0)
    flat = np.concatenate([bits[0], differences.T.ravel()])
    return flat.view(np.uint8).reshape(-1, column.dtype.itemsize).T.tobytes()


def _unpacked(data: bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Column:
    if not data:
        return np.zeros(shape, dtype)
    unsigned = _UNSIGNED[dtype.itemsize]
    flat = np.frombuffer(data, np.uint8).reshape(dtype.itemsize, -1).T.copy().view(unsigned).ravel()
    width = len(flat) // shape[0]
    differences = flat[width:].reshape(width, -1).T
    bits = np.cumsum(np.concatenate([flat[None, :width], differences]), axis=0, dtype=unsigned)
    return np.ascontiguousarray(bits).view(dtype).reshape(shape)
