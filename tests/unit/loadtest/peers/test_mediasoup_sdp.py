from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from loadtest.client import sdp
from loadtest.peers import mediasoup_sdp

ABSOLUTE_TIME: Final = (3, sdp.ABS_SEND_TIME)
VIDEO: Final = sdp.Section(
    mid="vid",
    kind=sdp.VIDEO,
    direction="sendonly",
    formats=(
        sdp.Format(96, "VP8", 90_000, feedback=("nack", "nack pli", "transport-cc")),
        sdp.Format(97, "rtx", 90_000, parameters="apt=96"),
        sdp.Format(98, "VP9", 90_000),
        sdp.Format(99, "rtx", 90_000, parameters="apt=98"),
    ),
    extensions=((4, sdp.MID), ABSOLUTE_TIME, (10, sdp.RID)),
    msid=("stream", "track"),
    ssrcs=(1_111,),
    rtx_ssrcs=((1_111, 2_222),),
)
OFFER: Final = sdp.Description(
    sdp.Transport("theirs", "secret", (("sha-256", "AA:BB"),), "actpass"),
    (VIDEO, sdp.Section("dat", sdp.APPLICATION)),
)
OPENED: Final[dict[str, Any]] = {
    "ice": {"usernameFragment": "ours", "password": "hidden", "iceLite": True},
    "candidates": [
        {
            "foundation": "udp",
            "priority": 9,
            "ip": "127.0.0.1",
            "port": 4_000,
            "protocol": "udp",
            "type": "host",
        }
    ],
    "dtls": {
        "role": "auto",
        "fingerprints": [
            {"algorithm": "sha-1", "value": "11:22"},
            {"algorithm": "sha-256", "value": "CC:DD"},
        ],
    },
}
CONSUMED: Final[dict[str, Any]] = {
    "mid": "0",
    "codecs": [
        {
            "mimeType": "video/VP8",
            "payloadType": 96,
            "clockRate": 90_000,
            "parameters": {},
            "rtcpFeedback": [{"type": "nack"}, {"type": "nack", "parameter": "pli"}],
        },
        {
            "mimeType": "video/rtx",
            "payloadType": 100,
            "clockRate": 90_000,
            "parameters": {"apt": 96},
            "rtcpFeedback": [],
        },
    ],
    "headerExtensions": [
        {"uri": sdp.MID, "id": 1},
        {"uri": "urn:3gpp:video-orientation", "id": 11},
        {"uri": sdp.TRANSPORT_CC, "id": 5},
    ],
    "encodings": [{"ssrc": 3_333, "rtx": {"ssrc": 4_444}}],
    "rtcp": {"cname": "bench"},
}


def test_mediasoup_is_told_of_vp8_with_its_repairs() -> None:
    assert mediasoup_sdp.produced(OFFER, is_lean=False) == {
        "payloadType": 96,
        "rtxPayloadType": 97,
        "feedback": [("nack", ""), ("nack", "pli"), ("transport-cc", "")],
        "ssrc": 1_111,
        "rtxSsrc": 2_222,
        "mid": "vid",
        "extensions": ((4, sdp.MID), ABSOLUTE_TIME),
    }


def test_the_answer_takes_the_video_and_refuses_the_channel() -> None:
    answer = sdp.parse(mediasoup_sdp.answer(OFFER, OPENED, is_lean=False))
    video, channel = answer.sections
    assert (video.mid, video.direction, [form.payload_type for form in video.formats]) == (
        "vid",
        "recvonly",
        [96, 97],
    )
    assert (channel.mid, channel.is_rejected) == ("dat", True)
    assert answer.transport == sdp.Transport(
        "ours",
        "hidden",
        (("sha-256", "CC:DD"),),
        "passive",
        ("candidate:udp 1 udp 9 127.0.0.1 4000 typ host",),
        is_lite=True,
    )


def test_without_congestion_control_neither_side_hears_of_it() -> None:
    produced = mediasoup_sdp.produced(OFFER, is_lean=True)
    assert (produced["extensions"], produced["feedback"]) == (
        ((4, sdp.MID),),
        [("nack", ""), ("nack", "pli")],
    )
    video = sdp.parse(mediasoup_sdp.answer(OFFER, OPENED, is_lean=True)).sections[0]
    assert (video.extensions, video.formats[0].feedback) == (((4, sdp.MID),), ("nack", "nack pli"))


def test_a_receiver_is_offered_what_mediasoup_will_send() -> None:
    offer = sdp.parse(mediasoup_sdp.offer(OPENED, CONSUMED))
    (video,) = offer.sections
    assert (video.mid, video.direction, offer.transport.setup) == ("0", "sendonly", "actpass")
    assert video.formats == (
        sdp.Format(96, "VP8", 90_000, feedback=("nack", "nack pli")),
        sdp.Format(100, "rtx", 90_000, parameters="apt=96"),
    )
    assert (video.ssrcs, video.rtx_ssrcs) == ((3_333,), ((3_333, 4_444),))
    assert video.extensions == ((1, sdp.MID), (5, sdp.TRANSPORT_CC))


@pytest.mark.parametrize(
    ("setup", "role"), [("actpass", "client"), ("active", "client"), ("passive", "server")]
)
def test_mediasoup_learns_who_begins_the_handshake(setup: str, role: str) -> None:
    theirs = replace(OFFER, transport=replace(OFFER.transport, setup=setup))
    assert mediasoup_sdp.connected(theirs) == {"role": role, "algorithm": "sha-256", "fingerprint": "AA:BB"}


@pytest.mark.parametrize(
    "video",
    [
        replace(VIDEO, formats=VIDEO.formats[2:]),
        replace(VIDEO, formats=VIDEO.formats[:1]),
        replace(VIDEO, rtx_ssrcs=()),
    ],
)
def test_without_repairs_nothing_is_published(video: sdp.Section) -> None:
    with pytest.raises(sdp.SdpError, match="no VP8 is offered with RTX"):
        mediasoup_sdp.produced(replace(OFFER, sections=(video,)), is_lean=False)
