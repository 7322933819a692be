"""Whatever an authenticated peer sends, nothing is raised, and the others' media goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from sfu.rtp.packet import RtpPacket
from sfu.units import PayloadType, Ssrc
from tests.support.plane_driver import CORES, PlaneDriver
from tests.support.plane_media import EXTENSIONS, RTX_SSRC, VIDEO, VIDEO_SSRC, Call

if TYPE_CHECKING:
    from collections.abc import Callable

SSRCS = st.sampled_from((0, 1, 10, 11, 20, 1_010, VIDEO_SSRC, RTX_SSRC)) | st.integers(0, 2**32 - 1)
words = st.integers(0, 2**32 - 1).map(lambda word: word.to_bytes(4, "big"))


def rtcp(kind: int, count: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    return bytes((0x80 | count, kind)) + (len(body) // 4).to_bytes(2, "big") + body


rtcp_packets = st.builds(
    rtcp,
    st.sampled_from((200, 201, 202, 203, 205, 206, 207)),
    st.sampled_from((0, 1, 4, 15)) | st.integers(0, 31),
    st.lists(words | SSRCS.map(lambda ssrc: ssrc.to_bytes(4, "big")), max_size=14).map(b"".join),
)
rtp_packets = st.builds(
    RtpPacket,
    payload_type=st.sampled_from((96, 97, 102, 103, 111, 0, 127)).map(PayloadType),
    sequence_number=st.integers(0, 2**16 - 1),
    timestamp=st.integers(0, 2**32 - 1),
    ssrc=SSRCS.map(Ssrc),
    payload=st.binary(max_size=30),
    marker=st.booleans(),
    extensions=st.lists(
        st.tuples(
            st.sampled_from(tuple(EXTENSIONS.values())) | st.integers(1, 14),
            st.sampled_from((b"0", b"1", b"q", b"h", b"\xff", b"")) | st.binary(min_size=1, max_size=20),
        ),
        max_size=6,
    ).map(tuple),
    padding_bytes=st.integers(0, 20),
).map(RtpPacket.serialise)
datagrams = st.one_of(
    st.binary(max_size=80),
    st.binary(max_size=60).map(lambda rest: b"\x00\x01" + rest),
    st.binary(max_size=60).map(lambda rest: b"\x90\x60" + rest),
    st.binary(max_size=60).map(lambda rest: b"\x81\xc8" + rest),
    rtp_packets,
    st.lists(rtcp_packets, min_size=1, max_size=4).map(b"".join),
)


@given(
    make=st.sampled_from(tuple(CORES.values())),
    steps=st.lists(
        st.tuples(st.integers(0, 2), datagrams, st.sampled_from((0, 0, 0, 1, 60, 700))), max_size=40
    ),
)
def test_garbage_raises_nothing_and_stops_nobody(
    make: Callable[..., object], steps: list[tuple[int, bytes, int]]
) -> None:
    call = Call.of(PlaneDriver(make))  # type: ignore[arg-type]  # a core, as the driver knows it
    driver = call.driver
    vandal = call.second_subscriber()
    driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    senders = (call.publisher.address, vandal.address, ("203.0.113.9", 9))
    for sender, data, wait_ms in steps:
        driver.feed(senders[sender], data)
        driver.advance(wait_ms)
    driver.core.drain()
    driver.core.stats(driver.now)
    # A publisher that never sent garbage under its SSRC goes on, or anew at a key frame.
    call.video()
    driver.advance(1_001)
    honest = replace(call.low, ssrc=Ssrc(77_777_777), seq=1, ts=1)
    for _ in range(3):
        honest.send_frame(key=True)
    assert len(call.video()) == 3
