"""A recording as bytes: frames one behind the other, and back again whatever the bytes are."""

from __future__ import annotations

import zlib
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from sfu.allocation.budgets import CAPS_DTYPE
from sfu.allocation.decision import DECISION_DTYPE
from sfu.allocation.past import PAST_ROW_DTYPE, PAST_SUBSCRIBER_DTYPE
from sfu.allocation.rates import RATES_DTYPE
from sfu.allocation.table import DEMAND_DTYPE
from sfu.bwe.estimate import ESTIMATE_DTYPE
from sfu.control import ControlMemory
from sfu.errors import ParseError
from sfu.recording.steps import Block
from sfu.recording.tables import TABLES
from sfu.units import ConferenceId, Instant, TrackHandle  # noqa: TC001  # msgspec reads them

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MAGIC: Final = b"matrix-focus media 1\n"
"""What a file begins with; the number is of the format."""

ALIVE: Final = bytes(4)
"""A frame that says nothing: that there is nothing yet."""

MAX_FRAME_BYTES: Final = 16 << 20
"""Of a compressed frame; nobody writes one that comes near it."""
MAX_CONTENT_BYTES: Final = 128 << 20
"""Of what a frame holds. Lower: a call of thousands can't be recorded. Higher: a file that is made for it
fills more memory."""

LEVEL: Final = 6
"""Of compression. Lower: larger files. Higher: more time for little."""


class Header(msgspec.Struct, tag="header", array_like=True, frozen=True):
    """What a reader must know of the rest."""

    version: str
    """Of matrix-focus."""
    policy: str
    """Its name in the configuration; of a file's, that of the file."""
    columns: dict[str, str]
    """The dtype of each array by its name; of other ones a recording can't be read."""


class Beginning(msgspec.Struct, tag="beginning", array_like=True, frozen=True):
    """A `ControlMemory`."""

    speech: tuple[tuple[ConferenceId, tuple[TrackHandle, ...], tuple[TrackHandle, ...]], ...]
    measured_at: Instant
    counted_at: Instant
    rows: dict[str, bytes]
    """By field, of `_MEMORY`."""


class End(msgspec.Struct, tag="end", array_like=True, frozen=True):
    """Why there is no more."""

    why: str


Frame = Header | Beginning | Block | End

_MEMORY: Final[Mapping[str, np.dtype[Any]]] = {
    "demand": DEMAND_DTYPE,
    "caps": CAPS_DTYPE,
    "rates": RATES_DTYPE,
    "past_rows": PAST_ROW_DTYPE,
    "past_subscribers": PAST_SUBSCRIBER_DTYPE,
    "estimates": ESTIMATE_DTYPE,
    "decisions": DECISION_DTYPE,
}
"""Arrays of a `ControlMemory`."""

COLUMNS: Final = {
    **{name: str(dtype) for name, dtype in _MEMORY.items()},
    **{f"step_{table.name}": f"{table.id_dtype} {table.value_dtype}" for table in TABLES},
}
"""What this version writes and reads."""

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Frame)


def beginning_of(memory: ControlMemory) -> Beginning:
    """As it stands in a file."""
    rows = {name: getattr(memory, name).tobytes() for name in _MEMORY}
    return Beginning(memory.speech, memory.measured_at, memory.counted_at, rows)


def memory_of(beginning: Beginning) -> ControlMemory:
    """As a control takes it up.

    Raises:
        ParseError: its arrays do not fit each other.
    """
    found: dict[str, Any] = {}
    for name, dtype in _MEMORY.items():
        data = beginning.rows.get(name, b"")
        if len(data) % dtype.itemsize:
            raise ParseError("not_a_recording", f"{name}: {len(data)} bytes in rows of {dtype.itemsize}")
        found[name] = np.frombuffer(data, dtype)
    demand, decisions = found["demand"], found["decisions"]
    subscribers = len(np.unique(demand["subscriber"]))
    if (
        len(np.unique(demand["route"])) != len(demand)
        or demand["route"].tobytes() != decisions["route"].tobytes()
        or len(found["past_rows"]) != len(demand)
        or len(found["past_subscribers"]) != subscribers
        or (np.diff(found["rates"]["keys"].astype(object)) <= 0).any()
    ):
        raise ParseError("not_a_recording", "what it begins with contradicts itself")
    found |= {name: getattr(beginning, name) for name in ("speech", "measured_at", "counted_at")}
    return ControlMemory(**{field.name: found[field.name] for field in fields(ControlMemory)})


def written(frame: Frame) -> bytes:
    """One frame, as it stands in a file."""
    return framed(zlib.compress(_encoder.encode(frame), LEVEL))


def framed(content: bytes) -> bytes:
    """The same of a frame that is compressed already."""
    return len(content).to_bytes(4, "little") + content


def frames_of(data: Iterable[bytes]) -> Iterator[Frame]:
    """Read a file, in pieces of any size.

    Of one that was cut off all whole frames are read.

    Raises:
        ParseError: it is no recording, or one of another version.
    """
    is_first = True
    for content in contents_of(data):
        frame = frame_of(content)
        _check_order(frame, is_first=is_first)
        is_first = False
        yield frame


def contents_of(data: Iterable[bytes]) -> Iterator[bytes]:
    """The frames of a file, compressed as they are, without those that say nothing.

    Raises:
        ParseError: it is no recording.
    """
    source = _Source(data)
    if source.take(len(MAGIC)) != MAGIC:
        raise ParseError("not_a_recording", f"it does not begin with {MAGIC!r}")
    while (length := source.take(4)) is not None:
        size = int.from_bytes(length, "little")
        if size > MAX_FRAME_BYTES:
            raise ParseError("too_long", f"a frame of {size} bytes")
        content = source.take(size)
        if content is None:
            return
        if content:
            yield content


def frame_of(content: bytes) -> Frame:
    """What is in a frame.

    Raises:
        ParseError: nothing that we write.
    """
    unpacker = zlib.decompressobj()
    try:
        plain = unpacker.decompress(content, MAX_CONTENT_BYTES)
        if not unpacker.eof:
            raise ParseError("too_long", f"a frame of more than {MAX_CONTENT_BYTES} bytes, or of too few")
        frame: Frame = _decoder.decode(plain)
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ParseError("not_a_recording", str(error)[:200]) from error
    return frame


def _check_order(frame: Frame, *, is_first: bool) -> None:
    if isinstance(frame, Header) is not is_first:
        raise ParseError("not_a_recording", "a header is what comes first, and only then")
    if isinstance(frame, Header) and frame.columns != COLUMNS:
        raise ParseError("other_version", f"matrix-focus {frame.version:.40} recorded other columns")


class _Source:
    """Bytes that come in pieces, and are taken in others."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._waiting = bytearray()

    def take(self, size: int) -> bytes | None:
        """So many; None: there are not so many any more."""
        while len(self._waiting) < size:
            piece = next(self._pieces, None)
            if piece is None:
                return None
            self._waiting += piece
        taken = bytes(self._waiting[:size])
        del self._waiting[:size]
        return taken
