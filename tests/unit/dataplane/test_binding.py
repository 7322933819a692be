from __future__ import annotations

from sfu.dataplane.binding import MAX_NAMES, Bindings, StreamName
from sfu.plane import Extension
from sfu.rtp.packet import RtpPacket
from sfu.units import Mid, PayloadType, Rid, Ssrc
from tests.support.plane_media import EXTENSIONS


def packet(ssrc: int = 7, **names: str) -> RtpPacket:
    ids = {
        "mid": EXTENSIONS[Extension.MID],
        "rid": EXTENSIONS[Extension.RID],
        "repaired": EXTENSIONS[Extension.REPAIRED_RID],
    }
    extensions = tuple((ids[name], value.encode()) for name, value in names.items())
    return RtpPacket(PayloadType(96), 1, 1, Ssrc(ssrc), b"x", extensions=extensions)


def bindings() -> Bindings:
    made = Bindings()
    made.negotiated(EXTENSIONS)
    return made


def test_a_packet_names_its_stream() -> None:
    known = bindings()
    assert known.name_of(packet()) is None
    assert known.name_of(packet(rid="q")) is None
    assert known.name_of(packet(mid="0")) == StreamName(Mid("0"))
    assert known.name_of(packet(mid="0", rid="q")) == StreamName(Mid("0"), Rid("q"))
    assert known.name_of(packet(mid="0", repaired="q")) == StreamName(Mid("0"), Rid("q"), is_repair=True)


def test_what_is_remembered_counts_whatever_a_packet_says() -> None:
    known = bindings()
    known.remember(Ssrc(7), StreamName(Mid("1"), Rid("h")))
    assert known.name_of(packet(mid="0", rid="q")) == StreamName(Mid("1"), Rid("h"))
    assert known.name_of(packet()) == StreamName(Mid("1"), Rid("h"))


def test_without_ids_nothing_can_be_read() -> None:
    assert Bindings().name_of(packet(mid="0")) is None


def test_names_remembered_are_bounded_and_the_oldest_go() -> None:
    known = bindings()
    for ssrc in range(MAX_NAMES + 1):
        known.remember(Ssrc(ssrc), StreamName(Mid("0")))
    assert known.name_of(packet(0)) is None
    assert known.name_of(packet(1)) == StreamName(Mid("0"))
