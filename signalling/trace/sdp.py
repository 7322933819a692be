"""Session descriptions without what is secret or personal in them, still what they are to a negotiation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from signalling.trace.pseudonyms import Pseudonyms

REDACTED: Final = "redacted"

_KEPT: Final = frozenset(
    {
        *(
            "bundle-only",
            "candidates-end",
            "content",
            "end-of-candidates",
            "extmap",
            "extmap-allow-mixed",
            "fmtp",
        ),
        *("framerate", "group", "ice-lite", "ice-options", "inactive", "max-message-size", "maxptime", "mid"),
        *("ptime", "recvonly", "rid", "rtcp-fb", "rtcp-mux", "rtcp-mux-only", "rtcp-rsize", "rtpmap"),
        *("sctp-port", "sctpmap", "sendonly", "sendrecv", "setup", "simulcast", "ssrc-group"),
    }
)
"""Attributes that hold nothing but what is negotiated."""
_MODEST: Final = re.compile(r"[\w .,:;=/*?+~^#<>()-]*", re.ASCII)
"""What the value of one of those is made of."""
_CANDIDATE: Final = re.compile(r"(candidate:)?\S+ (\d+) (\w+) (\d+) (\S+) (\d+) typ (\w+)(.*)", re.ASCII)
_RELATED: Final = re.compile(r" raddr (\S+)", re.ASCII)
_TCP_TYPE: Final = re.compile(r" tcptype (\w+)", re.ASCII)


def redacted_sdp(sdp: str, names: Pseudonyms) -> str:
    """A description in which identities, keys and addresses are replaced by well-formed others."""
    ending = "\r\n" if "\r\n" in sdp else "\n"
    lines = sdp.replace("\r", "\n").split("\n")
    return ending.join(_line(line, names) if line else line for line in _single(lines))


def redacted_candidate(candidate: str, names: Pseudonyms) -> str:
    """One candidate; an empty one, which ends them, stays."""
    if not candidate:
        return candidate
    found = _CANDIDATE.fullmatch(candidate)
    if found is None:
        return REDACTED
    prefix, component, protocol, priority, address, _, kind, more = found.groups()
    text = f"{prefix or ''}1 {component} {protocol} {priority} {names.address(address)} 9 typ {kind}"
    related = _RELATED.search(more)
    if related is not None:
        text += f" raddr {names.address(related[1])} rport 9"
    tcp_type = _TCP_TYPE.search(more)
    return text if tcp_type is None else f"{text} tcptype {tcp_type[1]}"


def _single(lines: list[str]) -> list[str]:
    # "\r\n" was one end of line, and is two now.
    return [line for index, line in enumerate(lines) if line or index == len(lines) - 1]


def _line(line: str, names: Pseudonyms) -> str:
    kind, separator, value = line[:1], line[1:2], line[2:]
    if separator != "=":
        return REDACTED
    match kind:
        case "a":
            return f"a={_attribute(value, names)}"
        case "m":
            return f"m={_media(value)}"
        case "c":
            return "c=IN IP6 ::" if "IP6" in value else "c=IN IP4 0.0.0.0"
        case "o":
            words = value.split()
            version = words[2] if len(words) > 2 and words[2].isdecimal() else "1"
            return f"o=- 1 {version} IN IP4 0.0.0.0"
        case "v" | "t" | "b" if _MODEST.fullmatch(value):
            return line
        case _:
            return f"{kind}=-"


def _media(value: str) -> str:
    words = value.split(" ")
    if len(words) < 2 or not _MODEST.fullmatch(value):
        return REDACTED
    # Whether there is a port says whether the section is refused; which one is nobody's business.
    words[1] = "9" if words[1].isdecimal() and int(words[1]) else words[1]
    return " ".join(words)


def _attribute(value: str, names: Pseudonyms) -> str:
    name, separator, rest = value.partition(":")
    if name in _KEPT and _MODEST.fullmatch(rest):
        return value
    match name:
        case "ice-ufrag":
            return f"ice-ufrag:{names.ufrag(rest)}"
        case "ice-pwd":
            return f"ice-pwd:{names.password(rest)}"
        case "fingerprint":
            algorithm, _, digest = rest.partition(" ")
            return f"fingerprint:{algorithm} {names.fingerprint(digest.strip())}"
        case "candidate":
            return redacted_candidate(value, names)
        case "msid":
            return f"msid:{_msid(rest, names)}"
        case "msid-semantic":
            semantic, *streams = rest.split()
            told = (stream if stream == "*" else names.plain("stream", stream) for stream in streams)
            return " ".join([f"msid-semantic:{semantic}", *told])
        case "ssrc":
            return f"ssrc:{_ssrc(rest, names)}"
        case "rtcp":
            return "rtcp:9 IN IP4 0.0.0.0"
        case _:
            shown = name if re.fullmatch(r"[a-z][a-z0-9-]{0,40}", name) else REDACTED
            return f"{shown}:{REDACTED}" if separator else shown


def _msid(value: str, names: Pseudonyms) -> str:
    words = value.split()
    told = [word if word == "-" else names.plain("stream", word) for word in words[:1]]
    return " ".join([*told, *(names.plain("track", word) for word in words[1:])])


def _ssrc(value: str, names: Pseudonyms) -> str:
    number, _, attribute = value.partition(" ")
    name, _, said = attribute.partition(":")
    if not number.isdecimal():
        return REDACTED
    match name:
        case "cname":
            return f"{number} cname:{names.plain('cname', said)}"
        case "msid":
            return f"{number} msid:{_msid(said, names)}"
        case _:
            return f"{number} {name}" if re.fullmatch(r"[a-z-]{1,40}", name) else number
