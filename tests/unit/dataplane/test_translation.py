from __future__ import annotations

from dataclasses import replace

from sfu.dataplane.translation import Stamping, Translation
from sfu.plane import Extension
from sfu.units import NS_PER_S, Instant, PayloadType, TransportId
from tests.support.plane_media import (
    DOWN_EXTENSIONS,
    DOWN_VP8,
    EXTENSIONS,
    H264,
    VP8,
    camera,
    video_route,
)

TRACK, ROUTE = camera(TransportId(1)), video_route(TransportId(2))


def test_a_codec_is_the_subscribers_first_with_its_key() -> None:
    second = replace(DOWN_VP8, payload_type=PayloadType(35))
    translation = Translation(TRACK, replace(ROUTE, formats=(DOWN_VP8, second)))
    assert translation.format_of(VP8.payload_type) == DOWN_VP8
    assert translation.format_of(H264.payload_type) is None
    assert translation.format_of(PayloadType(1)) is None


def test_what_is_made_for_each_leg_is_never_copied() -> None:
    every = {uri: number for number, uri in enumerate(Extension, start=1)}
    translation = Translation(
        replace(TRACK, extensions=every), replace(ROUTE, extensions=every, mixed_extensions=True)
    )
    elements = translation.elements(tuple((number, b"value") for number in every.values()), b"rewritten")
    told = {number: value for number, value in elements if number != every[Extension.MID]}
    assert dict(elements)[every[Extension.MID]] == b"7"
    assert told.pop(every[Extension.DEPENDENCY_DESCRIPTOR]) == b"rewritten"
    assert set(told.values()) == {b"value"}
    assert set(told) == {
        every[uri]
        for uri in Extension
        if uri
        not in (
            Extension.MID,
            Extension.RID,
            Extension.REPAIRED_RID,
            Extension.TRANSPORT_CC,
            Extension.ABS_SEND_TIME,
            Extension.DEPENDENCY_DESCRIPTOR,
        )
    }


def test_a_dependency_descriptor_is_sent_rewritten_or_not_at_all() -> None:
    up, down = {Extension.DEPENDENCY_DESCRIPTOR: 12}, {Extension.DEPENDENCY_DESCRIPTOR: 5}
    translation = Translation(replace(TRACK, extensions=up), replace(ROUTE, extensions=down))
    assert translation.elements(((12, b"abc"),), b"def") == ((5, b"def"),)
    assert translation.elements(((12, b"abc"),)) == ()
    assert translation.elements((), b"def") == ()
    assert Translation(TRACK, replace(ROUTE, extensions=down)).elements(((12, b"abc"),), b"def") == ()


def test_an_extension_that_only_one_end_has_is_left_out() -> None:
    ids = {**EXTENSIONS, Extension.PLAYOUT_DELAY: 12}
    translation = Translation(replace(TRACK, extensions=ids), ROUTE)
    assert translation.elements(((12, b"abc"),)) == ((DOWN_EXTENSIONS[Extension.MID], b"7"),)


def test_stamps_are_those_that_were_agreed_on() -> None:
    now = Instant(3 * NS_PER_S)
    assert Stamping().elements(now, 5) == ()
    assert Stamping(transport_cc=3).elements(now, 5) == ((3, b"\x00\x05"),)
    assert Stamping(transport_cc=3, abs_send_time=2).elements(now, 0xFFFF) == (
        (2, (3 << 18).to_bytes(3, "big")),
        (3, b"\xff\xff"),
    )
