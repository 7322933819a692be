from __future__ import annotations

from sfu.netem.tcp import INITIAL_WINDOW, PACKET_BYTES
from sfu.simulation.download import Download
from sfu.simulation.scenario import TcpFlow, at_s

FILE_BYTES = 4 * PACKET_BYTES


def fetched(download: Download, at: float) -> range:
    """What is sent at a time, and has come at once."""
    numbers = download.poll(at_s(at))
    for number in numbers:
        download.acknowledged(at_s(at), number)
    return numbers


def test_nothing_is_sent_before_it_starts() -> None:
    download = Download(3, TcpFlow(2.0))
    assert download.flow == 3
    assert download.next_timeout() == at_s(2)
    assert not download.poll(at_s(1.9))
    assert len(download.poll(at_s(2))) == INITIAL_WINDOW


def test_the_next_file_comes_so_long_after_the_one_before_has() -> None:
    download = Download(0, TcpFlow(1.0, FILE_BYTES, later=((5.0, 2 * FILE_BYTES),)))
    assert fetched(download, 1.5) == range(4)
    assert download.next_timeout() == at_s(6.5)
    assert not download.poll(at_s(6.4))
    assert fetched(download, 6.5) == range(4, 12)
    assert download.acknowledged_bytes == 3 * FILE_BYTES
    assert download.next_timeout() is None
    assert not download.poll(at_s(100))


def test_who_waits_for_a_file_fetches_no_other() -> None:
    download = Download(0, TcpFlow(0.0, FILE_BYTES, later=((1.0, FILE_BYTES),)))
    first = download.poll(at_s(0))
    for number in first[:-1]:
        download.acknowledged(at_s(0.1), number)
    assert not download.poll(at_s(0.15))
    download.acknowledged(at_s(30), first[-1])
    assert download.next_timeout() == at_s(31)
