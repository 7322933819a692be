from __future__ import annotations

from dataclasses import replace

import pytest

from sfu.negotiation.codecs import codecs_of
from sfu.negotiation.extensions import NegotiatedExtension
from sfu.negotiation.parameters import Candidate, Fingerprint, ReceiveSection, SendEncoding
from sfu.negotiation.slots import DataSlot, MediaSlot, RejectedSlot, Sending, Slots
from sfu.negotiation.writer import LocalDescription, write_description
from sfu.plane import Credentials, Extension
from sfu.units import Kind, Mid, Rid, Ssrc
from tests.support.dialogue import CAMERA, MICROPHONE
from tests.unit.negotiation.texts import attributes, direction, head, lines, media

LOCAL = LocalDescription(
    Credentials("ufrag", "password"),
    Fingerprint("sha-256", "AB:CD"),
    (Candidate("192.0.2.1", 10_000, 2_130_706_431), Candidate("2001:db8::1", 10_000, 2_130_706_175)),
)
VP8 = codecs_of(
    media(
        "a=rtpmap:96 VP8/90000",
        "a=rtcp-fb:96 nack",
        "a=rtpmap:97 rtx/90000",
        "a=fmtp:97 apt=96",
    )
)
OPUS = codecs_of(media("a=rtpmap:111 opus/48000/2", kind="audio", formats="111"))
MID = (NegotiatedExtension(4, Extension.MID),)
RECEIVE = ReceiveSection(Mid("1"), Kind.VIDEO, "stream", "track", (), (), {})
VIDEO = MediaSlot(Mid("1"), Kind.VIDEO, True, VP8, MID)
SENDING = Sending(CAMERA, Ssrc(10), Ssrc(11))
DATA = DataSlot(Mid("2"), "UDP/DTLS/SCTP", ("webrtc-datachannel",), is_legacy=False)
REJECTED = RejectedSlot(Mid("3"), "video", "UDP/TLS/RTP/SAVPF", ("96",))


def written(*slots: MediaSlot | DataSlot | RejectedSlot, setup: str = "actpass", mixed: bool = True) -> str:
    table: Slots = slots
    return write_description(table, LOCAL, session_id=7, version=3, setup=setup, mixed_extensions=mixed)


def test_the_transport_stands_once_at_the_head() -> None:
    assert head(written(VIDEO, DATA, REJECTED)).splitlines() == [
        "v=0",
        "o=- 7 3 IN IP4 127.0.0.1",
        "s=-",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        "a=group:BUNDLE 1 2",
        "a=msid-semantic: WMS *",
        "a=ice-lite",
        "a=ice-options:trickle",
        "a=ice-ufrag:ufrag",
        "a=ice-pwd:password",
        "a=fingerprint:sha-256 AB:CD",
        "a=setup:actpass",
        "a=extmap-allow-mixed",
    ]
    assert "a=setup:passive\r\n" in written(VIDEO, setup="passive")
    assert "extmap-allow-mixed" not in written(VIDEO, mixed=False)


def test_a_downstream_section_names_its_track_and_binds_rtx_to_it() -> None:
    """Packet rule 6: `a=ssrc`, `ssrc-group:FID`, one CNAME; 5 rule 3: msid is exactly stream and track id."""
    assert lines(written(replace(VIDEO, send=SENDING)), "1") == [
        "m=video 9 UDP/TLS/RTP/SAVPF 96 97",
        "a=mid:1",
        "a=sendonly",
        "a=msid:stream-1 video-11",
        "a=rtcp-mux",
        "a=rtcp-rsize",
        "a=rtpmap:96 VP8/90000",
        "a=rtpmap:97 rtx/90000",
        "a=fmtp:97 apt=96",
        "a=rtcp-fb:* nack",
        f"a=extmap:4 {Extension.MID}",
        "a=ssrc-group:FID 10 11",
        "a=ssrc:10 cname:focus-1",
        "a=ssrc:11 cname:focus-1",
        *CANDIDATE_LINES,
    ]


CANDIDATE_LINES = [
    "a=candidate:1 1 udp 2130706431 192.0.2.1 10000 typ host",
    "a=candidate:2 1 udp 2130706175 2001:db8::1 10000 typ host",
    "a=end-of-candidates",
]


def test_candidates_of_tcp_are_passive() -> None:
    """RFC 6544 section 4.5: clients connect, we never do."""
    local = replace(
        LOCAL, candidates=(*LOCAL.candidates, Candidate("192.0.2.1", 443, 1_518_280_447, is_tcp=True))
    )
    text = write_description((VIDEO,), local, session_id=7, version=3, setup="passive", mixed_extensions=True)
    assert lines(text, "1")[-4:] == [
        *CANDIDATE_LINES[:-1],
        "a=candidate:3 1 tcp 1518280447 192.0.2.1 443 typ host tcptype passive",
        "a=end-of-candidates",
    ]
    # Where the others are repeated for aiortc, it has no use for them.
    text = write_description(
        (VIDEO, DATA), local, session_id=7, version=3, setup="passive", mixed_extensions=True
    )
    assert "tcptype passive" in "".join(lines(text, "1"))
    assert lines(text, "2")[-3:] == CANDIDATE_LINES


def test_audio_has_no_rtx() -> None:
    slot = MediaSlot(Mid("0"), Kind.AUDIO, True, OPUS, (), send=Sending(MICROPHONE, Ssrc(1), None))
    text = written(slot)
    assert "ssrc-group" not in text
    assert [line for line in lines(text, "0") if line.startswith("a=ssrc")] == ["a=ssrc:1 cname:focus-1"]


def test_a_track_without_a_stream_says_so() -> None:
    track = replace(CAMERA, stream_id="")
    assert "a=msid:- video-11" in lines(written(replace(VIDEO, send=replace(SENDING, track=track))), "1")


@pytest.mark.parametrize(
    ("send", "receive", "expected"),
    [
        (SENDING, RECEIVE, "sendrecv"),
        (SENDING, None, "sendonly"),
        (None, RECEIVE, "recvonly"),
        (None, None, "inactive"),
    ],
)
def test_the_direction_is_what_flows(
    send: Sending | None, receive: ReceiveSection | None, expected: str
) -> None:
    assert direction(written(replace(VIDEO, send=send, receive=receive)), "1") == expected


def test_simulcast_is_accepted_in_the_order_of_the_client() -> None:
    slot = replace(VIDEO, rids=(Rid("f"), Rid("h"), Rid("q")), receive=RECEIVE)
    assert lines(written(slot, DATA), "1")[-7:] == [
        "a=rid:f recv",
        "a=rid:h recv",
        "a=rid:q recv",
        "a=simulcast:recv f;h;q",
        *CANDIDATE_LINES,
    ]


Q_AND_F = (SendEncoding(Rid("q"), Ssrc(10), Ssrc(11)), SendEncoding(Rid("f"), Ssrc(20), None))


def test_simulcast_of_ours_is_told_with_the_ssrc_of_each_rid_the_highest_first() -> None:
    slot = replace(VIDEO, send=replace(SENDING, encodings=Q_AND_F))
    assert lines(written(DATA, slot, REJECTED, DATA), "1")[-9:] == [
        "a=ssrc-group:FID 10 11",
        "a=ssrc:10 cname:focus-1",
        "a=ssrc:11 cname:focus-1",
        "a=ssrc:10 rid:q",
        "a=ssrc:20 cname:focus-1",
        "a=ssrc:20 rid:f",
        "a=rid:f send",
        "a=rid:q send",
        "a=simulcast:send f;q",
    ]


def test_simulcast_both_ways_is_said_in_one_line() -> None:
    """RFC 8853 section 5.1: at most one in a section."""
    sending = replace(SENDING, encodings=Q_AND_F)
    slot = replace(VIDEO, rids=(Rid("2"), Rid("1")), receive=RECEIVE, send=sending)
    text = written(slot)
    assert attributes(text, "1", "simulcast") == ["send f;q recv 2;1"]
    assert attributes(text, "1", "rid") == ["f send", "q send", "2 recv", "1 recv"]


def test_a_full_agent_does_not_say_that_it_is_lite() -> None:
    for is_lite in (True, False):
        local = replace(LOCAL, is_lite=is_lite)
        text = write_description(
            (VIDEO,), local, session_id=7, version=3, setup="active", mixed_extensions=True
        )
        assert ("a=ice-lite" in text) == is_lite


def test_candidates_stand_in_the_first_section_that_lives_and_in_the_last() -> None:
    middle = replace(VIDEO, mid=Mid("7"))
    text = written(REJECTED, DATA, middle, VIDEO)
    assert text.count("a=end-of-candidates") == 2
    assert lines(text, "2")[-3:] == lines(text, "1")[-3:] == CANDIDATE_LINES


def test_a_rejected_section_has_port_0_and_no_more() -> None:
    assert lines(written(VIDEO, REJECTED), "3") == ["m=video 0 UDP/TLS/RTP/SAVPF 96", "a=mid:3", "a=inactive"]


def test_where_everything_is_rejected_the_bundle_is_empty() -> None:
    text = written(REJECTED)
    assert "a=group:BUNDLE\r\n" in text
    assert "candidate" not in text


def test_the_data_channel_is_written_as_the_client_wrote_it() -> None:
    assert lines(written(DATA, VIDEO), "2")[:-3] == [
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "a=mid:2",
        "a=sctp-port:5000",
        "a=max-message-size:262144",
    ]
    legacy = DataSlot(Mid("2"), "DTLS/SCTP", ("5000",), is_legacy=True)
    assert lines(written(VIDEO, legacy), "2")[:3] == [
        "m=application 9 DTLS/SCTP 5000",
        "a=mid:2",
        "a=sctpmap:5000 webrtc-datachannel 65535",
    ]


def test_a_protocol_is_answered_as_it_was_offered() -> None:
    assert lines(written(replace(VIDEO, protocol="RTP/SAVPF")), "1")[0] == "m=video 9 RTP/SAVPF 96 97"


def test_keys_are_not_shown() -> None:
    assert "password'" not in repr(LOCAL)
