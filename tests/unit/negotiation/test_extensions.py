from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.negotiation.extensions import (
    NegotiatedExtension,
    default_extensions,
    downstream,
    extension_ids_of,
    extensions_of,
    numbers_of,
    without_rids,
)
from sfu.plane import Extension
from sfu.units import Kind
from tests.unit.negotiation.texts import CHROMIUM, FIREFOX, media, remote_section

RIDS = {Extension.RID, Extension.REPAIRED_RID}


def read(*values: str, kind: str = "video") -> tuple[NegotiatedExtension, ...]:
    return extensions_of(media(*(f"a=extmap:{value}" for value in values), kind=kind))


@pytest.mark.parametrize(("sdp", "mid", "transport_cc"), [(CHROMIUM, 4, 3), (FIREFOX, 3, 7)])
def test_each_browser_has_ids_of_its_own(sdp: str, mid: int, transport_cc: int) -> None:
    numbers = numbers_of(remote_section(sdp, "1").extensions)
    assert (numbers[Extension.MID], numbers[Extension.TRANSPORT_CC]) == (mid, transport_cc)
    assert numbers.keys() >= RIDS


def test_firefox_only_sends_rids_so_we_only_receive_them() -> None:
    directions = {one.extension: one.direction for one in remote_section(FIREFOX, "1").extensions}
    assert directions[Extension.RID] == directions[Extension.REPAIRED_RID] == "recvonly"
    assert directions[Extension.PLAYOUT_DELAY] == "sendonly"
    assert directions[Extension.MID] == ""


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (f"4 {Extension.MID}", f"a=extmap:4 {Extension.MID}"),
        (f"4/sendonly {Extension.MID}", f"a=extmap:4/recvonly {Extension.MID}"),
        (f"4/recvonly {Extension.MID}", f"a=extmap:4/sendonly {Extension.MID}"),
        (f"4/sendrecv {Extension.MID}", f"a=extmap:4/sendrecv {Extension.MID}"),
        (f"255 {Extension.MID} and more", f"a=extmap:255 {Extension.MID}"),
    ],
)
def test_directions_are_answered_the_other_way_round(value: str, line: str) -> None:
    assert [one.line for one in read(value)] == [line]


@pytest.mark.parametrize(
    "value",
    [
        "4",
        "",
        f"0 {Extension.MID}",
        f"256 {Extension.MID}",
        f"4096 {Extension.MID}",
        f"x {Extension.MID}",
        f"\u0664 {Extension.MID}",
        f"4/inactive {Extension.MID}",
        "4 urn:unknown",
    ],
)
def test_what_is_malformed_or_unknown_is_left_out(value: str) -> None:
    assert read(value) == ()


def test_an_id_and_an_extension_count_once_each() -> None:
    extensions = read(f"4 {Extension.MID}", f"4 {Extension.RID}", f"5 {Extension.MID}")
    assert extensions == (NegotiatedExtension(4, Extension.MID),)


def test_audio_levels_are_of_audio_and_orientation_of_video() -> None:
    values = (f"1 {Extension.AUDIO_LEVEL}", f"2 {Extension.VIDEO_ORIENTATION}")
    assert [one.extension for one in read(*values, kind="audio")] == [Extension.AUDIO_LEVEL]
    assert [one.extension for one in read(*values)] == [Extension.VIDEO_ORIENTATION]


def test_the_rid_extensions_are_taken_for_both_kinds() -> None:
    values = (f"10 {Extension.RID}", f"11 {Extension.REPAIRED_RID}")
    assert (
        {one.extension for one in read(*values, kind="audio")}
        == RIDS
        == {one.extension for one in read(*values)}
    )


def test_every_id_is_taken_also_those_of_unknown_extensions() -> None:
    assert 14 in extension_ids_of(remote_section(CHROMIUM, "1").media)
    assert extension_ids_of(media("a=extmap:7 urn:unknown", "a=extmap:x urn:y", "a=extmap:8")) == {7}


def test_downstream_there_is_no_room_for_long_names_of_little_use() -> None:
    names = {one.extension for one in downstream(remote_section(CHROMIUM, "1").extensions)}
    assert names == {Extension.MID, Extension.TRANSPORT_CC, Extension.VIDEO_ORIENTATION, *RIDS}


def test_downstream_what_the_client_only_sends_is_left_out_and_the_rest_goes_both_ways() -> None:
    extensions = downstream(remote_section(FIREFOX, "1").extensions)
    assert {one.extension for one in extensions} == {Extension.MID, Extension.TRANSPORT_CC}
    assert {one.direction for one in extensions} == {""}


def test_send_times_go_down_only_where_remb_needs_them() -> None:
    send_time = NegotiatedExtension(2, Extension.ABS_SEND_TIME)
    transport_cc = NegotiatedExtension(3, Extension.TRANSPORT_CC)
    assert downstream((send_time,)) == (send_time,)
    assert downstream((send_time, transport_cc)) == (transport_cc,)


def test_rids_can_be_left_out() -> None:
    extensions = remote_section(CHROMIUM, "1").extensions
    assert set(numbers_of(extensions)) - set(numbers_of(without_rids(extensions))) == RIDS


def test_a_kind_the_client_said_nothing_of_keeps_ids_and_gets_free_ones() -> None:
    known = {Extension.MID: 4, Extension.TRANSPORT_CC: 3}
    video = numbers_of(default_extensions(Kind.VIDEO, known, {1, 2, 5}))
    assert video == {
        Extension.MID: 4,
        Extension.TRANSPORT_CC: 3,
        Extension.VIDEO_ORIENTATION: 6,
        Extension.RID: 7,
        Extension.REPAIRED_RID: 8,
    }
    assert numbers_of(default_extensions(Kind.AUDIO, {}, ())) == {
        Extension.MID: 1,
        Extension.TRANSPORT_CC: 2,
        Extension.AUDIO_LEVEL: 3,
    }


def test_what_finds_no_id_is_left_out() -> None:
    assert numbers_of(default_extensions(Kind.VIDEO, {Extension.MID: 20}, range(1, 15))) == {
        Extension.MID: 20
    }


@given(
    st.sampled_from(Kind),
    st.dictionaries(st.sampled_from(Extension), st.integers(1, 255)),
    st.sets(st.integers(1, 255)),
)
def test_an_id_never_means_two_things_on_a_leg(
    kind: Kind, known: dict[Extension, int], taken: set[int]
) -> None:
    for one in default_extensions(kind, known, taken):
        fresh = one.extension not in known
        assert not fresh or one.number not in taken | set(known.values())
        assert fresh or one.number == known[one.extension]
