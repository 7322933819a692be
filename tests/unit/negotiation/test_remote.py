from __future__ import annotations

import pytest
from hypothesis import given

from sfu.errors import ParseError
from sfu.negotiation.remote import DEFAULT_DATA_PORT, MAX_ID_LENGTH
from sfu.negotiation.sdp import MAX_SECTIONS
from sfu.units import Kind
from tests.unit.negotiation.texts import (
    CHROMIUM,
    ELEMENT_CALL,
    FIREFOX,
    NAMES,
    changed,
    head,
    mutations,
    remote,
    remote_section,
    sections,
    stopped,
    vector,
)

REASONS = {"too_long", "not_sdp", "media_line", "no_sections", "mid", "ice", "fingerprint"}


def refusal(sdp: str) -> str | None:
    """The reason of a `ParseError`; None where the text was read. Anything else that is raised goes on."""
    try:
        remote(sdp)
    except ParseError as error:
        return error.reason
    return None


@given(mutations())
def test_a_damaged_description_is_read_or_a_parse_error(sdp: str) -> None:
    assert refusal(sdp) in REASONS | {None}


def test_a_recording_cut_off_anywhere_is_read_or_a_parse_error() -> None:
    for name in NAMES:
        sdp = vector(name)
        assert {refusal(sdp[:end]) for end in range(1, len(sdp), 1_999)} <= REASONS | {None}
        assert refusal(head(sdp)) == "no_sections"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("v=0", "v=9", "not_sdp"),
        ("a=mid:", "a=mud:", "mid"),
        ("a=ice-pwd:", "a=ice-pwd:short\r\na=x:", "ice"),
        ("a=fingerprint:sha-256 ", "a=fingerprint:sha-256 0", "fingerprint"),
        ("\r\nm=", "\r\nm=audio\r\nm=", "media_line"),
    ],
)
def test_a_recording_with_a_mistake_in_it_is_refused(old: str, new: str, reason: str) -> None:
    assert {refusal(vector(name).replace(old, new)) for name in NAMES} == {reason}


@pytest.mark.parametrize("sdp", [CHROMIUM, FIREFOX, ELEMENT_CALL])
def test_a_first_offer_has_microphone_camera_and_data_channel(sdp: str) -> None:
    offer = remote(sdp)
    microphone, camera, data = offer.sections
    assert (microphone.kind, camera.kind, data.kind) == (Kind.AUDIO, Kind.VIDEO, None)
    assert [one.is_data for one in offer.sections] == [False, False, True]
    assert [one.sends and one.receives for one in offer.sections] == [True, True, False]
    assert not any(one.is_rejected for one in offer.sections)
    assert microphone.stream_id == camera.stream_id != ""
    assert microphone.track_id != camera.track_id
    assert camera.rids == ("f", "h", "q")
    assert (offer.setup, offer.is_lite, offer.mixed_extensions, offer.data_port) == (
        "actpass",
        False,
        True,
        5000,
    )
    assert [one.algorithm for one in offer.fingerprints] == ["sha-256"]
    assert len(offer.password) >= 22


def test_port_0_means_rejected_only_without_bundle_only() -> None:
    assert sections(FIREFOX)[1].startswith("m=video 0 ")
    assert not remote_section(FIREFOX, "1").is_rejected
    assert remote_section(changed(FIREFOX, "1", without="a=bundle-only"), "1").is_rejected


def test_firefox_says_its_fingerprint_once_for_the_session() -> None:
    assert "a=fingerprint" not in "".join(sections(FIREFOX))
    assert f"a=fingerprint:sha-256 {remote(FIREFOX).fingerprints[0].value}\r\n" in head(FIREFOX)


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_a_stopped_section_needs_no_transport(browser: str) -> None:
    camera = remote_section(vector(f"prototype/{browser}-offer2-stopped"), "1")
    assert camera.is_rejected
    assert (camera.sends, camera.receives, camera.codecs, camera.rids) == (False, False, (), ())


def test_the_transport_is_that_of_the_first_section_that_lives() -> None:
    sdp = changed(stopped(CHROMIUM, "0"), "0", without="a=(ice|fingerprint|setup)")
    sdp = changed(sdp, "1", "a=ice-ufrag:second", without="a=ice-ufrag")
    assert remote(sdp).ufrag == "second"


def test_what_is_left_out_of_the_bundle_is_rejected() -> None:
    sdp = CHROMIUM.replace("a=group:BUNDLE 0 1 2", "a=group:LS 0\r\na=group:BUNDLE 0 2\r\na=group:BUNDLE 1")
    assert [one.is_rejected for one in remote(sdp).sections] == [False, True, False]


def test_without_a_bundle_everything_gets_the_one_transport() -> None:
    sdp = CHROMIUM.replace("a=group:BUNDLE 0 1 2", "a=group:")
    assert not any(one.is_rejected for one in remote(sdp).sections)


def test_a_direction_may_be_said_once_for_the_session() -> None:
    silent = changed(FIREFOX, "0", without="a=sendrecv")
    assert (remote_section(silent, "0").sends, remote_section(silent, "0").receives) == (True, True)
    receiving = silent.replace("a=sendrecv", "a=recvonly", 1)
    assert (remote_section(receiving, "0").sends, remote_section(receiving, "0").receives) == (False, True)
    assert remote_section(receiving, "1").sends


def test_without_any_direction_both_are_meant() -> None:
    section = remote_section(changed(CHROMIUM, "0", without="a=sendrecv"), "0")
    assert (section.sends, section.receives) == (True, True)


@pytest.mark.parametrize("mid", ["", "x" * 17, "a b", "\u00e9", "a\x00", "(", "x:y"])
def test_a_mid_that_is_no_short_token_is_refused(mid: str) -> None:
    assert refusal(changed(CHROMIUM, "0", f"a=mid:{mid}", without="a=mid")) == "mid"


def test_a_section_without_a_mid_is_refused() -> None:
    assert refusal(changed(CHROMIUM, "0", without="a=mid")) == "mid"


def test_no_mid_stands_twice() -> None:
    assert refusal(changed(CHROMIUM, "0", "a=mid:1", without="a=mid")) == "mid"


@pytest.mark.parametrize("mid", ["0", "x" * 16, "s0", "-", "{1}"])
def test_a_token_of_sixteen_characters_is_a_mid(mid: str) -> None:
    sdp = changed(CHROMIUM, "0", f"a=mid:{mid}", without="a=mid").replace("BUNDLE 0", f"BUNDLE {mid}")
    assert remote(sdp).sections[0].mid == mid


@pytest.mark.parametrize(
    ("msid", "expected"),
    [
        ("a=msid:stream track", ("stream", "track")),
        ("a=msid:stream track more", ("stream", "track")),
        ("a=msid:- track", ("", "track")),
        ("a=msid:stream", ("stream", "mid-0")),
        ("a=msid:", ("", "mid-0")),
        ("a=x", ("", "mid-0")),
        (f"a=msid:stream {'x' * MAX_ID_LENGTH}", ("stream", "x" * MAX_ID_LENGTH)),
        (f"a=msid:stream {'x' * (MAX_ID_LENGTH + 1)}", ("", "mid-0")),
        (f"a=msid:{'x' * (MAX_ID_LENGTH + 1)} track", ("", "mid-0")),
    ],
)
def test_ids_are_the_two_halves_of_the_msid(msid: str, expected: tuple[str, str]) -> None:
    section = remote_section(changed(CHROMIUM, "0", msid, without="a=msid"), "0")
    assert (section.stream_id, section.track_id) == expected


@pytest.mark.parametrize(
    "line", ["a=ice-ufrag:abc", f"a=ice-ufrag:{'x' * 257}", f"a=ice-pwd:{'x' * 21}", f"a=ice-pwd:{'x' * 257}"]
)
def test_ice_credentials_out_of_bounds_are_refused(line: str) -> None:
    assert refusal(changed(CHROMIUM, "0", line, without=line.partition(":")[0])) == "ice"


def test_ice_credentials_must_be_there_while_anything_lives() -> None:
    assert refusal(changed(CHROMIUM, "0", without="a=ice-pwd")) == "ice"
    dead = stopped(stopped(stopped(CHROMIUM, "2"), "1"), "0")
    nothing = changed(dead, "0", without="a=(ice|fingerprint)")
    assert (remote(nothing).ufrag, remote(nothing).fingerprints) == ("", ())


def test_fingerprints_are_read_in_one_spelling_and_unknown_hashes_are_left_out() -> None:
    pairs = ":".join(["ab"] * 32)
    sdp = changed(
        CHROMIUM, "0", f"a=fingerprint:SHA-256 {pairs}", "a=fingerprint:md5 AB", without="a=fingerprint"
    )
    (one,) = remote(sdp).fingerprints
    assert (one.algorithm, one.value) == ("sha-256", pairs.upper())


@pytest.mark.parametrize(
    "value",
    [
        "md5 AB",
        "sha-256 AB:CD",
        f"sha-256 {':'.join(['XY'] * 32)}",
        f"sha-256 {':'.join(['A'] * 32)}",
        "sha-256",
        "",
    ],
)
def test_without_a_usable_fingerprint_there_is_no_leg(value: str) -> None:
    assert refusal(changed(CHROMIUM, "0", f"a=fingerprint:{value}", without="a=fingerprint")) == "fingerprint"


def test_an_ice_lite_client_says_so() -> None:
    assert remote(CHROMIUM.replace("s=-\r\n", "s=-\r\na=ice-lite\r\n")).is_lite


@pytest.mark.parametrize(
    ("line", "port"),
    [
        ("a=sctp-port:5001", 5001),
        ("a=sctp-port:65536", DEFAULT_DATA_PORT),
        ("a=sctp-port:0", DEFAULT_DATA_PORT),
        ("a=sctp-port:\u0665", DEFAULT_DATA_PORT),
        ("a=sctp-port:x", DEFAULT_DATA_PORT),
        ("a=x", DEFAULT_DATA_PORT),
    ],
)
def test_the_data_channel_has_a_port(line: str, port: int) -> None:
    assert remote(changed(CHROMIUM, "2", line, without="a=sctp-port")).data_port == port


def test_the_data_channel_of_old_had_its_port_in_the_media_line() -> None:
    line = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel"
    sdp = changed(CHROMIUM, "2", "a=sctpmap:5002 webrtc-datachannel 1024", without="a=sctp-port")
    assert remote(sdp.replace(line, "m=application 9 DTLS/SCTP 5002")).data_port == 5002


def test_a_rejected_data_channel_has_no_port() -> None:
    sdp = changed(stopped(CHROMIUM, "2"), "2", "a=sctp-port:6000", without="a=sctp-port")
    assert remote(sdp).data_port == DEFAULT_DATA_PORT


def test_mixed_header_extensions_are_agreed_on_where_every_live_section_has_them() -> None:
    assert "a=extmap-allow-mixed" not in head(FIREFOX)
    assert remote(FIREFOX).mixed_extensions
    partly = changed(FIREFOX, "1", without="a=extmap-allow-mixed")
    assert not remote(partly).mixed_extensions
    assert remote(stopped(partly.replace("a=bundle-only\r\n", ""), "1")).mixed_extensions
    assert not remote(vector("firefox/watcher-call/00-join-browser-offer")).mixed_extensions


@pytest.mark.parametrize("protocol", ["RTP/AVP", "RTP/AVPF", "UDP/TLS/UDPTL"])
def test_media_without_dtls_is_not_ours(protocol: str) -> None:
    sdp = CHROMIUM.replace("m=video 9 UDP/TLS/RTP/SAVPF", f"m=video 9 {protocol}")
    section = remote_section(sdp, "1")
    assert (section.kind, section.sends, section.codecs) == (None, False, ())


def test_other_media_is_not_ours() -> None:
    assert remote_section(CHROMIUM.replace("m=video", "m=text"), "1").kind is None


def test_a_description_without_sections_is_none() -> None:
    assert refusal("v=0\r\ns=-\r\n") == "no_sections"


def test_the_most_sections_are_read() -> None:
    first, second, third = sections(CHROMIUM)
    more = [second.replace("a=mid:1", f"a=mid:x{number}") for number in range(MAX_SECTIONS // 8)]
    sdp = head(CHROMIUM).replace("BUNDLE 0 1 2", "-") + first + third + "".join(more)
    assert len(remote(sdp).sections) == 2 + len(more)


def test_neither_password_nor_lines_are_shown() -> None:
    offer = remote(CHROMIUM)
    assert offer.password not in repr(offer)
    assert "a=" not in repr(offer)
