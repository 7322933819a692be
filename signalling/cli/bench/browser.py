"""A browser's side of a negotiation, as far as it costs a focus memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sfu.conference.values import Source, StreamDescription, TrackDescription
from sfu.plane import Extension
from sfu.units import Kind

if TYPE_CHECKING:
    from sfu.units import Ssrc

_LINE: Final = "\r\n"
_SECURITY: Final = (
    "c=IN IP4 0.0.0.0",
    "a=rtcp:9 IN IP4 0.0.0.0",
    "a=ice-ufrag:abcd",
    "a=ice-pwd:abcdefghijklmnopqrstuvwx",
    "a=ice-options:trickle",
    f"a=fingerprint:sha-256 {':'.join(['AB'] * 32)}",
)
"""Browsers say it again in each section."""
_NUMBERS: Final = {Kind.AUDIO: "96", Kind.VIDEO: "96 97 102 103"}
"""What the rig sends is of payload type 96."""
_CODECS: Final = {
    Kind.AUDIO: (
        "a=rtpmap:96 opus/48000/2",
        "a=rtcp-fb:96 transport-cc",
        "a=fmtp:96 minptime=10;useinbandfec=1",
    ),
    Kind.VIDEO: (
        "a=rtpmap:96 VP8/90000",
        *(f"a=rtcp-fb:96 {what}" for what in ("transport-cc", "ccm fir", "nack", "nack pli")),
        "a=rtpmap:97 rtx/90000",
        "a=fmtp:97 apt=96",
        "a=rtpmap:102 H264/90000",
        *(f"a=rtcp-fb:102 {what}" for what in ("transport-cc", "ccm fir", "nack", "nack pli")),
        "a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
        "a=rtpmap:103 rtx/90000",
        "a=fmtp:103 apt=102",
    ),
}
"""A focus takes no others."""
_EXTENSIONS: Final = {
    Kind.AUDIO: (Extension.MID, Extension.TRANSPORT_CC, Extension.ABS_SEND_TIME, Extension.AUDIO_LEVEL),
    Kind.VIDEO: (
        Extension.MID,
        Extension.TRANSPORT_CC,
        Extension.ABS_SEND_TIME,
        Extension.VIDEO_ORIENTATION,
        Extension.RID,
        Extension.REPAIRED_RID,
    ),
}
"""From 1 on: the rig numbers the first two so."""
_ANSWERED: Final = ("m=", "a=mid:", "a=rtpmap:", "a=fmtp:", "a=rtcp-fb:", "a=extmap:", "a=rtcp-mux", "a=sctp")
_SECTIONS: Final = re.compile(r"^(?=m=)", re.MULTILINE)


def publisher_offer(kind: Kind, name: str, ssrc: Ssrc) -> str:
    """An offer to send one track, with a data channel."""
    sent = ("a=sendonly", f"a=msid:{name}-stream {name}-track", f"a=ssrc:{ssrc} cname:{name}")
    return _description("actpass", _section(kind, "0", sent), _data("1"))


def subscriber_offer() -> str:
    """An offer of who sends nothing and tells what it takes, with a data channel."""
    sections = (_section(kind, str(mid), ("a=recvonly",)) for mid, kind in enumerate(Kind))
    return _description("actpass", *sections, _data("2"))


def stream_of(kind: Kind, name: str) -> StreamDescription:
    """How a publisher describes what `publisher_offer` offers."""
    width, height = (1280, 720) if kind is Kind.VIDEO else (None, None)
    track = TrackDescription(f"{name}-track", kind, width, height)
    return StreamDescription(f"{name}-stream", Source.CAMERA, (track,))


def answer(offer: str) -> str:
    """Agree to everything."""
    return _description("active", *(_answered(section) for section in _SECTIONS.split(offer)[1:]))


def _answered(section: str) -> list[str]:
    lines = [line for line in section.splitlines() if line.startswith(_ANSWERED)]
    if "a=sendonly" in section:
        lines.append("a=recvonly")
    elif "a=recvonly" in section:
        lines.append("a=sendonly")
    elif "a=inactive" in section:
        lines.append("a=inactive")
    return lines


def _section(kind: Kind, mid: str, direction: tuple[str, ...]) -> list[str]:
    extensions = (f"a=extmap:{number} {uri}" for number, uri in enumerate(_EXTENSIONS[kind], 1))
    head = f"m={kind} 9 UDP/TLS/RTP/SAVPF {_NUMBERS[kind]}", f"a=mid:{mid}", "a=rtcp-mux", "a=rtcp-rsize"
    return [*head, *direction, *extensions, *_CODECS[kind]]


def _data(mid: str) -> list[str]:
    return ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel", f"a=mid:{mid}", "a=sctp-port:5000"]


def _description(setup: str, *sections: list[str]) -> str:
    lines = ["v=0", "o=- 4611731400430051336 2 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=extmap-allow-mixed"]
    for first, *others in sections:
        lines += [first, *_SECURITY, f"a=setup:{setup}", *others]
    return "".join(line + _LINE for line in lines)
