from __future__ import annotations

import pytest

from loadtest.bench.peers import BURST, PACKET_BYTES, PACKETS_PER_S, workloads


def test_all_workloads_send_the_same_number_of_packets_a_second() -> None:
    assert {name: schedule.packets_per_s for name, schedule in workloads().items()} == {
        "burst8": pytest.approx(PACKETS_PER_S),
        "real_sizes": pytest.approx(PACKETS_PER_S),
        "single": pytest.approx(PACKETS_PER_S),
    }


def test_they_differ_in_how_packets_come() -> None:
    sent = workloads()
    assert sent["burst8"].frames == ((PACKET_BYTES,) * BURST,)
    assert sent["single"].frames == ((PACKET_BYTES,),)
    sizes = {size for frame in sent["real_sizes"].frames for size in frame}
    assert len(sizes) > 100
    assert len({len(frame) for frame in sent["real_sizes"].frames}) > 3
