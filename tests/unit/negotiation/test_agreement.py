from __future__ import annotations

from dataclasses import replace

from sfu.negotiation.agreement import agreed_on
from sfu.negotiation.codecs import codecs_of
from sfu.negotiation.extensions import NegotiatedExtension
from sfu.negotiation.parameters import LegParameters, SendEncoding, SendTrack
from sfu.negotiation.slots import MediaSlot, Sending, Slots, new_data_slot
from sfu.plane import Extension
from sfu.units import Kind, Mid, Rid, Ssrc
from tests.unit.negotiation.texts import CHROMIUM, media, remote, stopped

REPAIRED = codecs_of(media("a=rtpmap:96 VP8/90000", "a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96"))
STREAMS = (SendEncoding(Rid("q"), Ssrc(10), Ssrc(11)), SendEncoding(Rid("f"), Ssrc(20), Ssrc(21)))
TRACK = SendTrack(1, Kind.VIDEO, "stream", "track", ("VP8",), "cname", (Rid("q"), Rid("f")))
VIDEO = MediaSlot(
    Mid("c1"),
    Kind.VIDEO,
    is_ours=True,
    codecs=REPAIRED,
    extensions=(NegotiatedExtension(1, Extension.MID), NegotiatedExtension(2, Extension.RID)),
    send=Sending(TRACK, Ssrc(10), Ssrc(11), STREAMS),
)
DATA = new_data_slot(Mid("c0"))
HOST = (("192.0.2.1", 10_000),)


def agreed(
    *slots: MediaSlot,
    sdp: str = CHROMIUM,
    before: LegParameters | None = None,
    candidates: tuple[tuple[str, int], ...] = (),
) -> LegParameters:
    table: Slots = (DATA, *slots)
    known = before or LegParameters()
    return agreed_on(table, remote(sdp), known, receivable=frozenset({"VP8"}), candidates=candidates)


def test_a_section_that_sends_has_each_of_its_streams() -> None:
    (section,) = agreed(VIDEO).send
    assert (section.mid, section.key, section.cname) == ("c1", 1, "cname")
    assert (section.ssrc, section.rtx_ssrc, section.encodings) == (10, 11, STREAMS)
    assert section.extensions == {Extension.MID: 1}


def test_where_no_codec_is_repaired_no_stream_is() -> None:
    bare = replace(VIDEO, codecs=tuple(one.with_repair(None) for one in REPAIRED))
    (section,) = agreed(bare).send
    assert section.rtx_ssrc is None
    assert [(one.ssrc, one.rtx_ssrc) for one in section.encodings] == [(10, None), (20, None)]


def test_a_section_of_one_stream_lists_none() -> None:
    (section,) = agreed(replace(VIDEO, send=Sending(TRACK, Ssrc(10), Ssrc(11)))).send
    assert (section.ssrc, section.rtx_ssrc, section.encodings) == (10, 11, ())


def test_what_a_description_leaves_out_of_the_transport_is_as_it_was() -> None:
    before = agreed(candidates=HOST)
    assert (before.data_mid, before.remote_candidates) == ("c0", HOST)
    nothing = stopped(stopped(stopped(CHROMIUM, "1"), "2"), "0")
    assert agreed(sdp=nothing, before=before).remote_candidates == HOST
    assert agreed(before=before, candidates=(("192.0.2.2", 1),)).remote_candidates == (("192.0.2.2", 1),)
