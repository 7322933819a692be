from __future__ import annotations

import functools
import zlib
from dataclasses import fields

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.control import ControlMemory
from sfu.errors import ParseError
from sfu.recording import file
from sfu.recording.file import (
    ALIVE,
    COLUMNS,
    MAGIC,
    MAX_FRAME_BYTES,
    Beginning,
    End,
    Header,
    beginning_of,
    contents_of,
    framed,
    frames_of,
    memory_of,
    written,
)
from sfu.recording.steps import Block
from tests.unit.recording.calls import VERSION, Call

HEADER = written(Header(VERSION, "utility", COLUMNS))


@functools.cache
def recorded() -> bytes:
    call = Call()
    tape = call.record()
    call.play(25)
    return tape.file()


@functools.cache
def memory() -> ControlMemory:
    call = Call()
    call.play(20)
    found = call.control.control.memory()
    assert found is not None
    return found


def test_a_file_is_a_header_a_beginning_blocks_and_an_end() -> None:
    kinds = [type(frame) for frame in frames_of([recorded()])]
    assert kinds == [Header, Beginning, Block, Block, End]


@given(st.integers(1, 5_000))
def test_it_may_come_in_pieces_of_any_size(size: int) -> None:
    data = recorded()
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert list(frames_of(pieces)) == list(frames_of([data]))


def test_what_says_nothing_is_left_out() -> None:
    with_more = MAGIC + ALIVE + recorded().removeprefix(MAGIC) + ALIVE
    assert list(frames_of([with_more])) == list(frames_of([recorded()]))
    assert MAGIC + b"".join(map(framed, contents_of([with_more]))) == recorded()


@given(st.integers(len(MAGIC), 20_000))
def test_of_one_that_was_cut_off_all_whole_frames_are_read(size: int) -> None:
    frames = list(frames_of([recorded()]))
    found = list(frames_of([recorded()[:size]]))
    assert found == frames[: len(found)]


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_refused(data: bytes) -> None:
    for source in (data, MAGIC + data, MAGIC + framed(data), MAGIC + framed(zlib.compress(data))):
        try:
            assert all(isinstance(frame, file.Frame) for frame in frames_of([source]))
        except ParseError:
            continue


@given(st.data())
def test_a_recording_with_a_wrong_byte_is_read_or_refused(data: st.DataObject) -> None:
    source = bytearray(recorded())
    source[data.draw(st.integers(0, len(source) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        list(frames_of([bytes(source)]))
    except ParseError:
        return


def test_a_frame_is_never_larger_than_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ParseError):
        list(frames_of([MAGIC, (MAX_FRAME_BYTES + 1).to_bytes(4, "little"), bytes(MAX_FRAME_BYTES + 1)]))
    monkeypatch.setattr(file, "MAX_CONTENT_BYTES", 10)
    with pytest.raises(ParseError):
        list(frames_of([MAGIC + HEADER]))


def test_a_header_comes_first_and_once() -> None:
    for data in (MAGIC + written(End("x")), MAGIC + HEADER + HEADER, b"focus trace"):
        with pytest.raises(ParseError):
            list(frames_of([data]))


def test_a_recording_of_other_columns_is_refused_by_name_of_who_made_it() -> None:
    other = Header("0.9", "utility", {**COLUMNS, "step_estimates": "another"})
    with pytest.raises(ParseError, match=r"0\.9"):
        list(frames_of([MAGIC + written(other)]))


def test_what_is_remembered_comes_back_to_the_bit() -> None:
    again = memory_of(beginning_of(memory()))
    for field in fields(ControlMemory):
        one, other = getattr(again, field.name), getattr(memory(), field.name)
        assert one.tobytes() == other.tobytes() if isinstance(one, np.ndarray) else one == other


@pytest.mark.parametrize("name", ["demand", "past_rows", "past_subscribers", "decisions", "rates"])
def test_a_beginning_that_contradicts_itself_is_refused(name: str) -> None:
    array = getattr(memory(), name)
    assert len(array) > 1
    twice = np.concatenate([array, array])
    for other in (array[:-1], twice) if name != "rates" else (twice, array[::-1]):
        refuse(name, other.tobytes())
    refuse(name, array.tobytes()[:-1])


def refuse(name: str, data: bytes) -> None:
    """A beginning with these bytes in place of one of its arrays is none."""
    beginning = beginning_of(memory())
    with pytest.raises(ParseError):
        memory_of(msgspec.structs.replace(beginning, rows={**beginning.rows, name: data}))
