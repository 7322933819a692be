from __future__ import annotations

import pytest

from sfu.negotiation.encodings import (
    MAX_SSRC_LINES,
    all_ssrcs,
    cname_of,
    encodings_of,
    lowest_first,
    receive_rids,
    send_rids,
)
from sfu.plane import EncodingSpec
from sfu.rows import MAX_ENCODINGS
from sfu.units import NO_RID, Rid, Ssrc
from tests.unit.negotiation.texts import CHROMIUM, FIREFOX, media, remote_section, vector


def rids(*names: str) -> tuple[Rid, ...]:
    return tuple(Rid(name) for name in names)


def declared(*names: str) -> tuple[str, ...]:
    return tuple(f"a=rid:{name} send" for name in names)


@pytest.mark.parametrize("sdp", [CHROMIUM, FIREFOX])
def test_three_encodings_are_read_lowest_first(sdp: str) -> None:
    assert remote_section(sdp, "1").encodings == tuple(EncodingSpec(rid) for rid in rids("q", "h", "f"))


def test_firefox_lists_six_ssrcs_with_its_rids_and_does_not_say_whose_they_are() -> None:
    section = remote_section(vector("prototype/firefox-offer1"), "1")
    assert len(section.ssrcs) == 6
    assert section.encodings == tuple(EncodingSpec(rid) for rid in rids("l", "m", "h"))


@pytest.mark.parametrize(
    ("simulcast", "expected"),
    [
        ("send f;h;q", ("f", "h", "q")),
        ("recv a send f;~h", ("f", "h")),
        ("send f,h;q recv a", ("f", "q")),
        ("send f;f;x;q", ("f", "q")),
        ("send", ()),
        ("recv f;h", ()),
        ("", ()),
    ],
)
def test_rids_are_those_that_are_sent_in_the_order_of_the_client(
    simulcast: str, expected: tuple[str, ...]
) -> None:
    section = media(*declared("f", "h", "q"), f"a=simulcast:{simulcast}")
    assert send_rids(section) == rids(*expected)


def test_rids_that_are_received_are_told_apart_from_those_that_are_sent() -> None:
    section = media(
        *declared("f", "q"), "a=rid:l recv", "a=rid:h recv", "a=rid:x send", "a=simulcast:send f;q recv h;l;x"
    )
    assert send_rids(section) == rids("f", "q")
    assert receive_rids(section) == rids("h", "l")
    assert receive_rids(media(*declared("f"), "a=simulcast:send f")) == ()


@pytest.mark.parametrize(
    "line", ["a=rid:f recv", "a=rid:f", "a=rid:\u00e4 send", f"a=rid:{'f' * 17} send", "a=rid:f! send"]
)
def test_a_rid_must_be_declared_for_sending_and_fit(line: str) -> None:
    name = line[6:].split(maxsplit=1)[0]
    assert send_rids(media(line, f"a=simulcast:send {name}")) == ()


def test_at_most_three_rids_are_taken() -> None:
    section = media(*declared("a", "b", "c", "d"), "a=simulcast:send a;b;c;d")
    assert len(send_rids(section)) == MAX_ENCODINGS


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (("f", "h", "q"), ("q", "h", "f")),
        (("h", "q"), ("q", "h")),
        (("l", "m", "h"), ("l", "m", "h")),
        (("hi", "mid", "lo"), ("lo", "mid", "hi")),
        (("high", "medium", "low"), ("low", "medium", "high")),
        (("2", "10", "1"), ("1", "2", "10")),
        (("r0", "r1", "r2"), ("r0", "r1", "r2")),
        (("r0", "x1"), ("x1", "r0")),
        (("r0", "x"), ("x", "r0")),
        (("best", "worst"), ("worst", "best")),
    ],
)
def test_rids_are_ordered_by_what_their_names_say(told: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert lowest_first(rids(*told)) == rids(*expected)


def test_without_simulcast_there_is_one_encoding_named_by_its_ssrc() -> None:
    lines = ("a=ssrc-group:FID 10 11", "a=ssrc:11 cname:x", "a=ssrc:10 cname:x")
    assert encodings_of(media(*lines)) == (EncodingSpec(NO_RID, Ssrc(10), Ssrc(11)),)
    assert encodings_of(media(*lines[1:2])) == (EncodingSpec(NO_RID, Ssrc(11)),)
    assert encodings_of(media()) == (EncodingSpec(NO_RID),)


@pytest.mark.parametrize("group", ["FEC-FR 10 11", "FID 10 11 12", "FID 10", "FID x 11", "FID 10 0", "FID"])
def test_groups_that_are_no_repair_are_left_out(group: str) -> None:
    assert encodings_of(media(f"a=ssrc-group:{group}", "a=ssrc:10 cname:x")) == (
        EncodingSpec(NO_RID, Ssrc(10)),
    )


def test_what_is_no_ssrc_is_left_out() -> None:
    words = ("0", "4294967296", "x", "\u0661", "4294967295")
    section = media(*(f"a=ssrc:{word} cname:x" for word in words))
    assert all_ssrcs(section) == {4294967295}
    assert encodings_of(section) == (EncodingSpec(NO_RID, Ssrc(4294967295)),)


def test_ssrcs_are_read_up_to_their_limit() -> None:
    section = media(*(f"a=ssrc:{number} x" for number in range(1, 2 * MAX_SSRC_LINES)))
    assert len(all_ssrcs(section)) == MAX_SSRC_LINES


def test_the_cname_is_that_of_any_ssrc() -> None:
    assert cname_of(media("a=ssrc:1 msid:a b", "a=ssrc:1 cname:it")) == "it"
    assert cname_of(media("a=ssrc:1 msid:a b")) == ""
    assert cname_of(media(f"a=ssrc:1 cname:{'x' * 300}")) == "x" * 255


SIMULCAST = (*declared("f", "h", "q"), "a=simulcast:send f;h;q")


def test_ssrcs_that_are_named_by_rids_are_known_with_their_repair() -> None:
    lines = ("a=ssrc-group:FID 10 11", "a=ssrc:10 cname:x", "a=ssrc:10 rid:q", "a=ssrc:20 rid:f")
    assert encodings_of(media(*SIMULCAST, *lines)) == (
        EncodingSpec(Rid("q"), Ssrc(10), Ssrc(11)),
        EncodingSpec(Rid("h")),
        EncodingSpec(Rid("f"), Ssrc(20)),
    )


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("a=ssrc:10 rid:q", "a=ssrc:20 rid:q"), {"q": 10}),
        (("a=ssrc:10 rid:q", "a=ssrc:10 rid:f"), {"q": 10}),
        (("a=ssrc:10 rid:x", "a=ssrc:0 rid:q", "a=ssrc:x rid:h", "a=ssrc:10"), {}),
        (("a=ssrc:10 rid", "a=ssrc:11 rids:q", "a=ssrc:12 rid: q"), {}),
    ],
)
def test_an_encoding_has_one_ssrc_and_an_ssrc_one_encoding(
    lines: tuple[str, ...], expected: dict[str, int]
) -> None:
    found = encodings_of(media(*SIMULCAST, *lines))
    assert {one.rid: one.ssrc for one in found if one.ssrc is not None} == expected


def test_rids_of_ssrcs_say_nothing_where_there_is_no_simulcast() -> None:
    assert encodings_of(media("a=ssrc:10 rid:q")) == (EncodingSpec(NO_RID, Ssrc(10)),)
