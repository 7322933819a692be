from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.client import sdp
from loadtest.client.sdp import Description, Format, SdpError, Section, Transport
from tests.support.recordings import RUNS, recorded

TRANSPORT = Transport("ufrag", "password", (("sha-256", "AA:BB"),), "actpass")
VP8 = Format(96, "VP8", 90_000, feedback=("nack", "nack pli"))
RTX = Format(97, "rtx", 90_000, parameters="apt=96")
VIDEO = Section(
    mid="1",
    kind=sdp.VIDEO,
    formats=(VP8, RTX),
    extensions=((4, sdp.MID), (10, sdp.RID)),
    msid=("stream", "track"),
    send_rids=("f", "h", "q"),
)
CHANNEL = Section("2", sdp.APPLICATION)

WORDS = st.text(st.characters(whitelist_categories=("L", "N")), min_size=1, max_size=8)
RIDS = st.lists(WORDS, max_size=3, unique=True).map(tuple)


def written(*sections: Section, transport: Transport = TRANSPORT) -> str:
    return sdp.serialise(Description(transport, sections), session_id=1, version=2)


def fuzzed(mid: str, kind: str, direction: str, rids: tuple[str, ...], ssrcs: list[int]) -> Section:
    media, rtx = ssrcs[: len(ssrcs) // 2], ssrcs[len(ssrcs) // 2 :]
    return Section(
        mid=mid,
        kind=kind,
        direction=direction,
        formats=(VP8, RTX) if kind == sdp.VIDEO else (Format(111, "opus", 48_000, 2),),
        msid=("s" + mid, "t" + mid),
        send_rids=rids,
        ssrcs=tuple(media),
        rtx_ssrcs=tuple(zip(media, rtx, strict=False)),
        cname="cname" if media else "",
    )


SECTIONS = st.lists(
    st.builds(
        fuzzed,
        WORDS,
        st.sampled_from([sdp.AUDIO, sdp.VIDEO]),
        st.sampled_from(sorted(sdp.DIRECTIONS)),
        RIDS,
        st.lists(st.integers(1, 2**32 - 1), max_size=4, unique=True),
    ),
    max_size=5,
    unique_by=lambda section: section.mid,
)


@given(SECTIONS)
def test_what_is_written_is_read_back(sections: list[Section]) -> None:
    read = sdp.parse(written(*sections, CHANNEL))
    assert read.transport == TRANSPORT
    assert read.sections == (*sections, replace(CHANNEL, direction="sendrecv"))


@given(st.text())
def test_any_text_is_a_description_or_an_error(text: str) -> None:
    for source in (text, f"v=0\r\n{text}", f"{written(VIDEO)}{text}"):
        with contextlib.suppress(SdpError):
            sdp.parse(source)


@given(st.data())
def test_a_description_with_any_line_changed_is_read_or_refused(data: st.DataObject) -> None:
    lines = written(VIDEO, CHANNEL).splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    cut = data.draw(st.integers(0, len(lines[at])))
    lines[at] = lines[at][:cut] + data.draw(st.text(max_size=5))
    with contextlib.suppress(SdpError):
        sdp.parse("\n".join(lines))


@pytest.mark.parametrize("run", RUNS)
def test_browsers_own_descriptions_are_read(run: str) -> None:
    found = [entry for entry in recorded(run) if "v=0" in str(entry)]
    read = 0
    for entry in found:
        for text in descriptions(entry):
            description = sdp.parse(text)
            assert description.sections
            assert description.transport.fingerprints
            read += 1
    assert read


def descriptions(value: object) -> list[str]:
    """Every SDP in a recorded line, however deep."""
    if isinstance(value, str):
        return [value] if value.startswith("v=0") else []
    if isinstance(value, dict):
        return [text for item in value.values() for text in descriptions(item)]
    return [text for item in value for text in descriptions(item)] if isinstance(value, list) else []


def test_a_section_that_may_not_be_sent_in_is_known_by_its_direction() -> None:
    section = replace(VIDEO, direction="recvonly")
    assert (section.sends, section.receives) == (False, True)
    rejected = replace(VIDEO, is_rejected=True)
    assert (rejected.sends, rejected.receives) == (False, False)


def test_a_bundle_only_section_with_port_zero_is_not_rejected() -> None:
    text = written(VIDEO).replace("m=video 9", "m=video 0")
    assert sdp.parse(text).sections[0].is_rejected
    assert not sdp.parse(text + "a=bundle-only\r\n").sections[0].is_rejected


def test_rids_count_only_where_the_simulcast_line_names_them() -> None:
    text = written(replace(VIDEO, send_rids=())) + "a=rid:f send\r\na=rid:q send\r\na=rid:x recv\r\n"
    assert sdp.parse(text).sections[0].send_rids == ()
    found = sdp.parse(text + "a=simulcast:send q;~f recv x\r\n").sections[0]
    assert (found.send_rids, found.receive_rids) == (("q", "f"), ("x",))


def test_one_rtx_payload_type_repairs_one_other() -> None:
    assert RTX.repairs == 96
    assert VP8.repairs is None
    assert Format(98, "rtx", 90_000, parameters="rtx-time=1").repairs is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no v=0"),
        ("o=- 1 1 IN IP4 0\r\n", "no v=0"),
        (written(VIDEO).replace("a=mid:1\r\n", ""), "no mid"),
        (written(VIDEO).replace("a=ice-pwd", "a=x"), "no ice-ufrag"),
        (written(VIDEO, VIDEO), "mids repeat"),
        (written(*(replace(VIDEO, mid=str(n)) for n in range(sdp.MAX_SECTIONS + 1))), "513 sections"),
    ],
)
def test_a_description_that_cannot_be_used_is_refused(text: str, said: str) -> None:
    with pytest.raises(SdpError, match=said):
        sdp.parse(text)


def test_a_password_is_not_shown() -> None:
    assert "password" not in repr(TRANSPORT).replace("password=", "")


def test_a_lite_agent_says_so() -> None:
    assert sdp.parse(written(VIDEO, transport=replace(TRANSPORT, is_lite=True))).transport.is_lite
    assert not sdp.parse(written(VIDEO)).transport.is_lite
