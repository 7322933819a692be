"""Calls of real clients, as the twin's core met them: operations with their keys, datagrams as they came.

Written by `capture.py`. A line is a call of the core: when, what, and with which arguments.
"""

from __future__ import annotations

import enum
import gzip
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

import sfu.plane
import sfu.units
from sfu.rows import PACING_DTYPE, PROBE_DTYPE, TARGET_DTYPE
from sfu.units import Instant
from tests.support.plane_driver import START

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.differential.pair import Pair
    from tests.differential.tape import Tape

FOLDER: Final = Path(__file__).parent / "recordings"
_ROWS: Final = {"set_targets": TARGET_DTYPE, "set_pacing": PACING_DTYPE, "probe": PROBE_DTYPE}


class Entry(NamedTuple):
    """A call of the core."""

    at: Instant
    call: str
    """`apply`, `handle_datagram`, or a method that takes rows."""
    given: tuple[Any, ...]


def read(path: Path) -> Iterator[Entry]:
    """The entries of a recording, whose first happens at `START`."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            after_ns, call, given = json.loads(line)
            yield Entry(Instant(START + after_ns), call, tuple(map(_decoded, given)))


def line_of(after_ns: int, call: str, given: tuple[Any, ...]) -> str:
    """An entry as it is written."""
    return json.dumps([after_ns, call, [_encoded(one) for one in given]], separators=(",", ":"))


def replay(pair: Pair, entries: Sequence[Entry], tape: Tape) -> None:
    """Let a recorded call happen again.

    Args:
        pair: fresh ones.
        entries: of a recording.
        tape: spoils the way of some datagrams: they are lost, late, twice there, or changed. Zeros: of none.
    """
    late: list[tuple[Any, ...]] = []
    for number, (at, call, given) in enumerate(entries):
        pair.advance(max(0, at - pair.now) / 10**6)
        if call == "apply":
            pair.apply(*given)
        elif call in _ROWS:
            getattr(pair, call)(np.array([tuple(row) for row in given], _ROWS[call]))
            pair.poll()
        else:
            fate = tape.below(32)
            if fate < 27:
                pair.feed(*given)
            if fate in (26, 27):
                late.append(given)
            elif fate == 28:
                address, data = given
                pair.feed(address, _changed(data, tape))
            elif fate == 29 and late:
                pair.feed(*late.pop())
        if number % 50 == 49:
            pair.settle()
    pair.advance(200)
    pair.settle()


def _changed(data: bytes, tape: Tape) -> bytes:
    at = tape.below(len(data))
    return data[:at] + bytes((data[at] ^ 1 << tape.below(8),)) + data[at + 1 :]


def _encoded(value: object) -> object:
    if isinstance(value, enum.Enum):
        return {"enum": type(value).__name__, "name": value.name}
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, Mapping):
        return {"map": [[_encoded(key), _encoded(one)] for key, one in value.items()]}
    if is_dataclass(value):
        told = {one.name: _encoded(getattr(value, one.name)) for one in fields(value)}
        return {"type": type(value).__name__, **told}
    if isinstance(value, (tuple, list)):
        return [_encoded(one) for one in value]
    return value


def _decoded(value: Any) -> Any:  # noqa: ANN401  # what JSON gives
    match value:
        case {"enum": kind, "name": name}:
            return (getattr(sfu.plane, kind, None) or getattr(sfu.units, kind))[name]
        case {"hex": digits}:
            return bytes.fromhex(digits)
        case {"map": pairs}:
            return {_decoded(key): _decoded(one) for key, one in pairs}
        case {"type": kind, **told}:
            return getattr(sfu.plane, kind)(**{str(name): _decoded(one) for name, one in told.items()})
        case list():
            return tuple(map(_decoded, value))
        case _:
            return value
