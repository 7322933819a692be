"""The cascade bench: its doors between people and foci, and one short round as it is typed."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from loadtest.bench.cascade.relay import TrunkRelay, door_host, focus_host
from loadtest.bench.cascade.tap import Tap
from loadtest.lifeline import bound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.integration

LOADTEST: Final = Path(sys.executable).parent / "loadtest"
PATIENCE_S: Final = 20.0
"""A limit against hanging, not a measure."""
MEDIA: Final = bytes((0x80, 96)) + (7).to_bytes(2, "big") + (90).to_bytes(4, "big") + (5).to_bytes(4, "big")


@contextlib.contextmanager
def udp(host: str, port: int = 0) -> Iterator[socket.socket]:
    with socket.socket(type=socket.SOCK_DGRAM) as opened:
        opened.bind((host, port))
        opened.settimeout(PATIENCE_S)
        yield opened


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_what_foci_send_each_other_is_counted_and_cut_and_what_people_send_is_neither() -> None:
    with (
        udp(focus_host(1)) as dialler,
        udp(focus_host(2)) as callee,
        udp("127.0.0.1") as person,
        TrunkRelay({number: one.getsockname()[1] for number, one in ((1, dialler), (2, callee))}) as relay,
    ):
        door = (door_host(2), callee.getsockname()[1])
        dialler.sendto(MEDIA, door)
        data, upstream = callee.recvfrom(2_048)
        assert data == MEDIA
        callee.sendto(b"\x00back", upstream)
        assert dialler.recvfrom(2_048) == (b"\x00back", door)
        counted = relay.reading()
        assert (counted[1, 2].total, counted[2, 1].total) == (len(MEDIA), 5)
        assert counted[1, 2].by_ssrc == {5: len(MEDIA)}

        relay.is_cut = True
        dialler.sendto(b"lost", door)
        until(lambda: relay.reading()[1, 2].dropped == 1)
        person.sendto(b"from a person", door)
        data, theirs = callee.recvfrom(2_048)
        assert data == b"from a person", "what was cut did not come, and people don't notice"
        callee.sendto(b"to a person", theirs)
        assert person.recvfrom(2_048) == (b"to a person", door)
        relay.is_cut = False
        dialler.sendto(b"again", door)
        assert callee.recvfrom(2_048) == (b"again", upstream)
        assert relay.reading().keys() == {(1, 2), (2, 1)}


def test_a_tap_notes_what_comes_from_the_focus_by_the_kernels_clock() -> None:
    with udp("127.0.0.1") as focus, udp("127.0.0.1") as person, Tap(focus.getsockname()) as tap:
        person.sendto(b"\x00hello", ("127.0.0.1", tap.port))
        data, upstream = focus.recvfrom(2_048)
        assert data == b"\x00hello"
        before = time.time_ns()
        focus.sendto(MEDIA + bytes(20), upstream)
        focus.sendto(b"\x00no media", upstream)
        assert person.recvfrom(2_048)[0] == MEDIA + bytes(20)
        assert person.recvfrom(2_048)[0] == b"\x00no media"
        (arrival,) = tap.arrivals
        assert before <= arrival.at_ns <= time.time_ns()
        assert (arrival.ssrc, arrival.number, arrival.timestamp, arrival.size) == (5, 7, 90, 32)


def test_a_tap_stands_in_descriptions_where_the_focus_stood() -> None:
    with udp("127.0.0.1") as focus, Tap(focus.getsockname()) as tap:
        said = f"a=candidate:1 1 udp 5 127.0.0.1 {focus.getsockname()[1]} typ host\r\n"
        assert tap.rerouted(said) == f"a=candidate:1 1 udp 5 127.0.0.1 {tap.port} typ host\r\n"


@pytest.mark.timeout(240)
def test_a_cut_is_measured_as_it_is_typed(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    command = bound((LOADTEST, "bench", "cascade", "--part", "cut", "--rounds", "1", "--json", str(out)))
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)  # noqa: S603  # our own console script
    assert done.returncode == 0, done.stdout + done.stderr
    content: dict[str, Any] = json.loads(out.read_text())
    assert content["faults"] == []
    (measured,) = content["raw"]["cut"]
    assert content["cut_recovery_s"] == pytest.approx(measured["cut_recovery_s"], abs=0.001)
    assert measured["cut_recovery_s"] > 0
    assert measured["dropped"] > 0
    assert (content["rounds"], content["foci"]) == (1, 2)
    assert content["plane"] is not None
    assert content["machine"]["cores"] > 0
