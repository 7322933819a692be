from __future__ import annotations

import contextlib
from struct import pack

import pytest
from aiortc.rtcsctptransport import (
    RECONFIG_PARAM_TYPES,
    AbortChunk,
    Chunk,
    CookieAckChunk,
    CookieEchoChunk,
    DataChunk,
    ErrorChunk,
    ForwardTsnChunk,
    HeartbeatAckChunk,
    HeartbeatChunk,
    InitAckChunk,
    InitChunk,
    ReconfigChunk,
    SackChunk,
    ShutdownAckChunk,
    ShutdownChunk,
    ShutdownCompleteChunk,
    StreamAddOutgoingParam,
    StreamResetOutgoingParam,
    StreamResetResponseParam,
    parse_packet,
    serialize_packet,
)
from google_crc32c import value as crc32c
from hypothesis import given
from hypothesis import strategies as st

from sfu.transport.sctp_check import MAX_STREAMS, SctpFault, chunk_count, fault_of

NEXT_TSN = 1_000
HEADER = pack("!HHL", 5000, 5000, 1)


def packet_of(*chunks: bytes) -> bytes:
    """A packet with the right checksum."""
    body = b"".join(chunks)
    return HEADER + pack("<L", crc32c(HEADER + bytes(4) + body)) + body


def chunk_of(kind: int, body: bytes, length: int | None = None) -> bytes:
    padding = bytes(-len(body) % 4)
    return pack("!BBH", kind, 0, 4 + len(body) if length is None else length) + body + padding


def parameter(kind: int, value: bytes, length: int | None = None) -> bytes:
    return pack("!HH", kind, 4 + len(value) if length is None else length) + value + bytes(-len(value) % 4)


INIT = pack("!LLHHL", 1, 2, 3, 4, 5)


def init() -> InitChunk:
    chunk = InitChunk(body=INIT)
    chunk.params = [(0xC000, b""), (0x8008, b"\x82\xc0")]
    return chunk


def init_ack() -> InitAckChunk:
    chunk = InitAckChunk(body=INIT)
    chunk.params = [(7, bytes(24)), (0x8008, b"\x82")]
    return chunk


def data(stream: int = 0, text: bytes = b"hello") -> DataChunk:
    return DataChunk(flags=3, body=pack("!LHHL", 17, stream, 0, 51) + text)


def sack(cumulative: int, gaps: list[tuple[int, int]], duplicates: int = 0) -> SackChunk:
    chunk = SackChunk()
    chunk.cumulative_tsn, chunk.gaps = cumulative % 2**32, gaps
    chunk.duplicates = list(range(duplicates))
    return chunk


def forward(*streams: int) -> ForwardTsnChunk:
    chunk = ForwardTsnChunk()
    chunk.cumulative_tsn, chunk.streams = 7, [(stream, 0) for stream in streams]
    return chunk


def heartbeat(kind: type[HeartbeatChunk | HeartbeatAckChunk]) -> Chunk:
    chunk = kind()
    chunk.params = [(1, b"information")]
    return chunk


def reconfig(
    *parameters: StreamAddOutgoingParam | StreamResetOutgoingParam | StreamResetResponseParam,
) -> ReconfigChunk:
    kinds = {cls: kind for kind, cls in RECONFIG_PARAM_TYPES.items()}
    chunk = ReconfigChunk()
    chunk.params = [(kinds[type(one)], bytes(one)) for one in parameters]
    return chunk


WELL_FORMED = [
    data(),
    data(stream=MAX_STREAMS - 1),
    init(),
    init_ack(),
    sack(NEXT_TSN - 1, []),
    sack(NEXT_TSN - 10, [(2, 3), (5, 9)], duplicates=2),
    heartbeat(HeartbeatChunk),
    heartbeat(HeartbeatAckChunk),
    AbortChunk(),
    ShutdownChunk(body=pack("!L", 7)),
    ShutdownAckChunk(),
    ShutdownCompleteChunk(),
    ErrorChunk(),
    CookieEchoChunk(body=bytes(24)),
    CookieAckChunk(),
    reconfig(StreamResetOutgoingParam(1, 2, 3, [0, 2])),
    reconfig(StreamResetOutgoingParam(1, 2, 3, []), StreamResetResponseParam(1, 1)),
    reconfig(StreamAddOutgoingParam(1, 2)),
    forward(),
    forward(0, 1, MAX_STREAMS - 1),
]


@pytest.mark.parametrize("chunk", WELL_FORMED, ids=repr)
def test_what_aiortc_itself_sends_has_no_fault(chunk: Chunk) -> None:
    assert fault_of(serialize_packet(5000, 5000, 1, chunk), NEXT_TSN) is None


def test_several_chunks_in_one_packet_have_no_fault_and_are_counted() -> None:
    packet = packet_of(bytes(sack(NEXT_TSN - 1, [])), bytes(data()), bytes(data(text=b"x")))
    assert fault_of(packet, NEXT_TSN) is None
    assert chunk_count(packet) == 3


def test_chunks_of_unknown_kinds_have_no_fault() -> None:
    assert fault_of(packet_of(chunk_of(63, b"abc"), chunk_of(255, b"")), NEXT_TSN) is None


FAULTY = [
    ("nothing", b"", SctpFault.LENGTH),
    ("a header and no chunk", packet_of(), SctpFault.LENGTH),
    ("a chunk shorter than its header", packet_of(chunk_of(0, bytes(20), length=3)), SctpFault.LENGTH),
    ("a chunk of no length", packet_of(chunk_of(63, b"", length=0)), SctpFault.LENGTH),
    ("a chunk beyond the packet", packet_of(chunk_of(0, bytes(20), length=100)), SctpFault.LENGTH),
    ("a short DATA", packet_of(chunk_of(0, bytes(11))), SctpFault.LENGTH),
    ("a short INIT", packet_of(chunk_of(1, bytes(15))), SctpFault.LENGTH),
    ("a short INIT ACK", packet_of(chunk_of(2, bytes(15))), SctpFault.LENGTH),
    ("a short SACK", packet_of(chunk_of(3, bytes(11))), SctpFault.LENGTH),
    ("a short SHUTDOWN", packet_of(chunk_of(7, bytes(3))), SctpFault.LENGTH),
    ("a short FORWARD TSN", packet_of(chunk_of(192, bytes(3))), SctpFault.LENGTH),
    ("an odd FORWARD TSN", packet_of(chunk_of(192, bytes(6))), SctpFault.LENGTH),
    ("a DATA without data", packet_of(chunk_of(0, bytes(12))), SctpFault.NO_DATA),
    ("a stream beyond the last", packet_of(bytes(data(stream=MAX_STREAMS))), SctpFault.STREAM),
    ("a FORWARD TSN of such a stream", packet_of(bytes(forward(0, MAX_STREAMS))), SctpFault.STREAM),
    ("an INIT with company", packet_of(bytes(init()), bytes(data())), SctpFault.INIT_BUNDLED),
    ("an INIT behind others", packet_of(bytes(data()), bytes(init())), SctpFault.INIT_BUNDLED),
    (
        "more gaps than bytes",
        packet_of(chunk_of(3, pack("!LLHH", 999, 0, 2, 0) + bytes(4))),
        SctpFault.LENGTH,
    ),
    ("more duplicates", packet_of(chunk_of(3, pack("!LLHH", 999, 0, 0, 1))), SctpFault.LENGTH),
    ("an acknowledgement of the future", packet_of(bytes(sack(NEXT_TSN, []))), SctpFault.ACKNOWLEDGED_UNSENT),
    ("a gap block of the future", packet_of(bytes(sack(NEXT_TSN - 3, [(2, 3)]))), SctpFault.GAPS),
    ("gap blocks out of order", packet_of(bytes(sack(NEXT_TSN - 20, [(5, 6), (2, 3)]))), SctpFault.GAPS),
    ("a gap block backwards", packet_of(bytes(sack(NEXT_TSN - 20, [(6, 5)]))), SctpFault.GAPS),
    ("a gap block of nothing", packet_of(bytes(sack(NEXT_TSN - 20, [(0, 5)]))), SctpFault.GAPS),
    ("a parameter of no length", packet_of(chunk_of(1, INIT + parameter(7, b"", 0))), SctpFault.PARAMETER),
    ("a parameter beyond", packet_of(chunk_of(1, INIT + parameter(7, b"", 99))), SctpFault.PARAMETER),
    ("one in a HEARTBEAT", packet_of(chunk_of(4, parameter(1, b"", 3))), SctpFault.PARAMETER),
    ("one in an ABORT", packet_of(chunk_of(6, parameter(1, b"", 0))), SctpFault.PARAMETER),
    ("one in an ERROR", packet_of(chunk_of(9, parameter(1, b"", 0))), SctpFault.PARAMETER),
    ("a short reset", packet_of(chunk_of(130, parameter(13, bytes(11)))), SctpFault.PARAMETER),
    ("an odd reset", packet_of(chunk_of(130, parameter(13, bytes(13)))), SctpFault.PARAMETER),
    ("a short response", packet_of(chunk_of(130, parameter(16, bytes(7)))), SctpFault.PARAMETER),
    ("a short addition", packet_of(chunk_of(130, parameter(17, bytes(7)))), SctpFault.PARAMETER),
]


@pytest.mark.parametrize(("packet", "fault"), [row[1:] for row in FAULTY], ids=[row[0] for row in FAULTY])
def test_each_fault_is_named(packet: bytes, fault: SctpFault) -> None:
    assert fault_of(packet, NEXT_TSN) is fault


@pytest.mark.parametrize("next_tsn", [0, 1, 2**15, 2**31 - 1, 2**31, 2**32 - 1])
def test_acknowledgements_are_judged_across_the_wrap(next_tsn: int) -> None:
    def judged(*given: SackChunk) -> list[SctpFault | None]:
        return [fault_of(packet_of(bytes(one)), next_tsn) for one in given]

    assert judged(sack(next_tsn - 1, []), sack(next_tsn - 5, [(2, 4)])) == [None, None]
    assert judged(sack(next_tsn, []), sack(next_tsn - 5, [(2, 5)])) == [
        SctpFault.ACKNOWLEDGED_UNSENT,
        SctpFault.GAPS,
    ]


@given(st.binary(max_size=400), st.integers(0, 2**32 - 1))
def test_any_bytes_have_a_verdict(packet: bytes, next_tsn: int) -> None:
    assert fault_of(packet, next_tsn) in {None, *SctpFault}


CHUNKS = st.builds(
    chunk_of,
    st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 63, 130, 192, 255]),
    st.one_of(
        st.binary(max_size=60),
        st.builds(lambda *rows: b"".join(rows), *[st.builds(parameter, st.integers(0, 20), st.binary())] * 2),
        st.builds(lambda rest: INIT + rest, st.binary(max_size=30)),
    ),
)


@given(st.lists(CHUNKS, min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_whatever_has_no_fault_aiortc_reads_to_its_end(chunks: list[bytes], next_tsn: int) -> None:
    """A length of 0 would keep its reader in a loop for ever, a short one would raise `struct.error`."""
    packet = packet_of(*chunks)
    if fault_of(packet, next_tsn) is None:
        with contextlib.suppress(ValueError):
            _, _, _, read = parse_packet(packet)
            for chunk in read:
                for kind, value in getattr(chunk, "params", []) if chunk.type == ReconfigChunk.type else []:
                    if kind in RECONFIG_PARAM_TYPES:
                        RECONFIG_PARAM_TYPES[kind].parse(value)
        assert chunk_count(packet) == len(chunks)


@given(st.sampled_from(WELL_FORMED), st.data())
def test_a_truncated_packet_has_a_verdict(chunk: Chunk, draw: st.DataObject) -> None:
    packet = serialize_packet(5000, 5000, 1, chunk)
    cut = packet[: draw.draw(st.integers(0, len(packet) - 1))]
    assert fault_of(cut, NEXT_TSN) in {None, *SctpFault}
