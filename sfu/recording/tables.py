"""Which columns of which arrays a recording holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sfu.allocation.decision import DECISION_DTYPE
from sfu.bwe.estimate import ESTIMATE_DTYPE
from sfu.rows import ENCODING_DTYPE, FEEDBACK_DTYPE, TRANSPORT_DTYPE

if TYPE_CHECKING:
    from sfu.rows import StructArray


@dataclass(frozen=True, slots=True)
class Rows:
    """What is recorded of one array."""

    ids: StructArray
    """(rows,) of the table's `id_dtype`; (0,) where it has none."""
    values: StructArray
    """(rows,) of its `value_dtype`."""


@dataclass(frozen=True, slots=True)
class Table:
    """One kind of rows of a step.

    Args:
        name: in a file.
        whole: the dtype that these columns are of.
        ids: say which row is which, and stay the same for many steps; none: each step has other rows.
        values: the others.
    """

    name: str
    whole: np.dtype[Any]
    ids: tuple[str, ...]
    values: tuple[str, ...]

    @property
    def id_dtype(self) -> np.dtype[Any]:
        """Of the ids alone."""
        return _part(self.whole, self.ids)

    @property
    def value_dtype(self) -> np.dtype[Any]:
        """Of the values alone."""
        return _part(self.whole, self.values)

    def rows_of(self, whole: StructArray) -> Rows:
        """What is recorded of an array, copied."""
        ids = np.empty(len(whole) if self.ids else 0, self.id_dtype)
        values = np.empty(len(whole), self.value_dtype)
        for part, names in ((ids, self.ids), (values, self.values)):
            for name in names:
                part[name] = whole[name]
        return Rows(ids, values)

    def whole_of(self, rows: Rows) -> StructArray:
        """(rows,) of the whole dtype, as they were, and 0 in columns that are not recorded."""
        whole = np.zeros(len(rows.values), self.whole)
        for part, names in ((rows.ids, self.ids), (rows.values, self.values)):
            for name in names:
                whole[name] = part[name]
        return whole


def _part(dtype: np.dtype[Any], names: tuple[str, ...]) -> np.dtype[Any]:
    return np.dtype([(name, dtype[name]) for name in names])


ENCODINGS: Final = Table(
    "encodings",
    ENCODING_DTYPE,
    ("track", "encoding"),
    ("bytes_received", "last_received_at", "temporal_bytes_received", "temporal_frames_received"),
)
ESTIMATES: Final = Table("estimates", ESTIMATE_DTYPE, ("transport",), ("target_bps", "stable_bps", "state"))
DECISIONS: Final = Table("decisions", DECISION_DTYPE, ("route",), ("chosen_encoding", "temporal", "cause"))
TRANSPORTS: Final = Table(
    "transports",
    TRANSPORT_DTYPE,
    ("transport",),
    (
        "numbered_packets_sent",
        "can_send",
        "bytes_sent",
        "padding_bytes_sent",
        "round_trip_time_ms",
        "remb_bps",
    ),
)
FEEDBACK: Final = Table("feedback", FEEDBACK_DTYPE, (), FEEDBACK_DTYPE.names or ())

TABLES: Final = (ENCODINGS, ESTIMATES, DECISIONS, TRANSPORTS, FEEDBACK)
"""A step's `has` has a bit for each, the first one the lowest."""
