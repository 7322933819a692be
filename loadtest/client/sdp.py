"""Session descriptions as this client reads and writes them (RFC 8866, RFC 9429, RFC 8853).

Only what our own sections need; unknown lines are skipped. The focus has a parser of its own: sharing it
would let one bug cancel another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_SECTIONS: Final = 512

AUDIO, VIDEO, APPLICATION = "audio", "video", "application"
DIRECTIONS: Final = frozenset({"sendrecv", "sendonly", "recvonly", "inactive"})

MID: Final = "urn:ietf:params:rtp-hdrext:sdes:mid"
RID: Final = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RID: Final = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
TRANSPORT_CC: Final = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
ABS_SEND_TIME: Final = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
ABS_CAPTURE_TIME: Final = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
AUDIO_LEVEL: Final = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"


class SdpError(ValueError):
    """A description that this client cannot read."""


@dataclass(frozen=True, slots=True)
class Format:
    """One payload type; `parameters` is the text after `a=fmtp:<pt> `."""

    payload_type: int
    codec: str
    clock_rate: int
    channels: int = 1
    parameters: str = ""
    feedback: tuple[str, ...] = ()

    @property
    def repairs(self) -> int | None:
        """The payload type that an RTX format repairs (RFC 4588 section 8.6)."""
        if self.codec.lower() != "rtx":
            return None
        for parameter in self.parameters.split(";"):
            name, _, value = parameter.strip().partition("=")
            if name == "apt" and value.isdigit():
                return int(value)
        return None


@dataclass(frozen=True, slots=True)
class Section:
    """One m-section."""

    mid: str
    kind: str
    direction: str = "sendrecv"
    is_rejected: bool = False
    formats: tuple[Format, ...] = ()
    extensions: tuple[tuple[int, str], ...] = ()
    msid: tuple[str, str] | None = None
    send_rids: tuple[str, ...] = ()
    receive_rids: tuple[str, ...] = ()
    ssrcs: tuple[int, ...] = ()
    """Those of media, without the ones of RTX."""
    rtx_ssrcs: tuple[tuple[int, int], ...] = ()
    """(media, RTX) of each `ssrc-group:FID`."""
    cname: str = ""

    @property
    def sends(self) -> bool:
        """Whether the writer of this section may send."""
        return not self.is_rejected and self.direction in {"sendrecv", "sendonly"}

    @property
    def receives(self) -> bool:
        """Whether the writer of this section may receive."""
        return not self.is_rejected and self.direction in {"sendrecv", "recvonly"}


@dataclass(frozen=True, slots=True)
class Transport:
    """The ICE and DTLS half of a bundled description."""

    ufrag: str
    password: str = field(repr=False)
    fingerprints: tuple[tuple[str, str], ...]
    setup: str
    candidates: tuple[str, ...] = ()
    """Each without `a=`: `candidate:…`."""
    is_lite: bool = False


@dataclass(frozen=True, slots=True)
class Description:
    """An offer or an answer."""

    transport: Transport
    sections: tuple[Section, ...]

    def section(self, mid: str) -> Section | None:
        """The section with this mid."""
        return next((section for section in self.sections if section.mid == mid), None)


def parse(text: str) -> Description:
    """Read an offer or an answer.

    Raises:
        SdpError: a line or a value that we need is missing or mangled.
    """
    blocks: list[list[str]] = [[]]
    for raw in text.splitlines():
        line = raw.rstrip()
        if line.startswith("m="):
            blocks.append([])
        if line:
            blocks[-1].append(line)
    if len(blocks) - 1 > MAX_SECTIONS:
        raise SdpError(f"{len(blocks) - 1} sections, over {MAX_SECTIONS}")
    if not blocks[0] or blocks[0][0] != "v=0":
        raise SdpError("no v=0 line")
    try:
        sections = tuple(_parse_section(block) for block in blocks[1:])
        transport = _parse_transport(blocks)
    except (IndexError, ValueError) as error:
        raise SdpError(str(error)) from error
    mids = [section.mid for section in sections]
    if len(set(mids)) != len(mids):
        raise SdpError(f"mids repeat: {mids}")
    return Description(transport, sections)


def serialise(description: Description, *, session_id: int, version: int) -> str:
    """Write an offer or an answer, one transport for all sections."""
    bundle = " ".join(s.mid for s in description.sections if not s.is_rejected)
    lines = ["v=0", f"o=- {session_id} {version} IN IP4 127.0.0.1", "s=-", "t=0 0"]
    if bundle:
        lines.append(f"a=group:BUNDLE {bundle}")
    lines += ["a=ice-lite"] if description.transport.is_lite else []
    lines += ["a=extmap-allow-mixed", "a=msid-semantic: WMS *"]
    for section in description.sections:
        lines += _section_lines(section, description.transport)
    return "\r\n".join(lines) + "\r\n"


def _parse_section(block: list[str]) -> Section:
    kind, port, _, *payload_types = block[0][2:].split(" ")
    attributes = [_attribute(line) for line in block[1:] if line.startswith("a=")]
    values = dict(reversed(attributes))  # the first of each name wins
    names = {name for name, _ in attributes}
    directions = [name for name, _ in attributes if name in DIRECTIONS]
    groups = [value.split() for name, value in attributes if name == "ssrc-group"]
    fid = tuple((int(g[1]), int(g[2])) for g in groups if g[0] == "FID")
    repairs = {rtx for _, rtx in fid}
    sources = [value.split(" ", 1) for name, value in attributes if name == "ssrc"]
    ssrcs = dict.fromkeys(int(source[0]) for source in sources)
    cnames = [source[1][6:] for source in sources if len(source) > 1 and source[1].startswith("cname:")]
    msid = values.get("msid", "").split(" ")
    if "mid" not in values:
        raise SdpError(f"no mid: {block[0]}")
    return Section(
        mid=values["mid"],
        kind=kind,
        direction=directions[0] if directions else "sendrecv",
        is_rejected=port == "0" and "bundle-only" not in names,
        formats=tuple(_formats(payload_types, attributes)) if kind != APPLICATION else (),
        extensions=tuple(_extensions(attributes)),
        msid=(msid[0], msid[1]) if len(msid) == 2 else None,
        send_rids=_rids(attributes, "send"),
        receive_rids=_rids(attributes, "recv"),
        ssrcs=tuple(ssrc for ssrc in ssrcs if ssrc not in repairs),
        rtx_ssrcs=fid,
        cname=cnames[0] if cnames else "",
    )


def _parse_transport(blocks: list[list[str]]) -> Transport:
    # Bundled: what one section says holds for all; session level stands in where sections are silent.
    attributes = [_attribute(line) for block in blocks for line in block if line.startswith("a=")]
    values = dict(reversed(attributes))
    if "ice-ufrag" not in values or "ice-pwd" not in values or "fingerprint" not in values:
        raise SdpError("no ice-ufrag, ice-pwd or fingerprint")
    fingerprints = dict.fromkeys(value for name, value in attributes if name == "fingerprint")
    candidates = dict.fromkeys(f"candidate:{value}" for name, value in attributes if name == "candidate")
    return Transport(
        ufrag=values["ice-ufrag"],
        password=values["ice-pwd"],
        fingerprints=tuple(_fingerprint(value) for value in fingerprints),
        setup=values.get("setup", "actpass"),
        candidates=tuple(candidates),
        is_lite=any(name == "ice-lite" for name, _ in attributes),
    )


def _attribute(line: str) -> tuple[str, str]:
    name, _, value = line[2:].partition(":")
    return name, value.strip()


def _fingerprint(value: str) -> tuple[str, str]:
    algorithm, _, digest = value.partition(" ")
    return algorithm.lower(), digest.strip().upper()


def _formats(payload_types: Iterable[str], attributes: list[tuple[str, str]]) -> Iterator[Format]:
    maps = {v.split(" ", 1)[0]: v.split(" ", 1)[1] for n, v in attributes if n == "rtpmap"}
    parameters = {v.split(" ", 1)[0]: v.split(" ", 1)[1] for n, v in attributes if n == "fmtp"}
    feedback = [value.split(" ", 1) for name, value in attributes if name == "rtcp-fb"]
    for payload_type in payload_types:
        if payload_type not in maps:
            continue
        codec, clock_rate, *channels = maps[payload_type].split("/")
        yield Format(
            payload_type=int(payload_type),
            codec=codec,
            clock_rate=int(clock_rate),
            channels=int(channels[0]) if channels else 1,
            parameters=parameters.get(payload_type, ""),
            feedback=tuple(kind for number, kind in feedback if number in {payload_type, "*"}),
        )


def _extensions(attributes: list[tuple[str, str]]) -> Iterator[tuple[int, str]]:
    for name, value in attributes:
        if name == "extmap":
            number, uri = value.split(" ")[:2]
            yield int(number.split("/")[0]), uri


def _rids(attributes: list[tuple[str, str]], direction: str) -> tuple[str, ...]:
    """The rids of one direction that the simulcast line names too (RFC 8853 section 5.1)."""
    named: list[str] = []
    for name, value in attributes:
        words = value.split(" ")
        if name == "simulcast" and direction in words[:-1]:
            streams = words[words.index(direction) + 1].split(";")
            named += [choice.lstrip("~") for stream in streams for choice in stream.split(",")]
    described = [v.split(" ")[0] for n, v in attributes if n == "rid" and v.split(" ")[1:2] == [direction]]
    return tuple(rid for rid in named if rid in described)


def _section_lines(section: Section, transport: Transport) -> Iterator[str]:
    port = 0 if section.is_rejected else 9
    if section.kind == APPLICATION:
        yield f"m=application {port} UDP/DTLS/SCTP webrtc-datachannel"
    else:
        numbers = " ".join(str(f.payload_type) for f in section.formats) or "0"
        yield f"m={section.kind} {port} UDP/TLS/RTP/SAVPF {numbers}"
    yield "c=IN IP4 0.0.0.0"
    yield f"a=ice-ufrag:{transport.ufrag}"
    yield f"a=ice-pwd:{transport.password}"
    yield "a=ice-options:trickle"
    for algorithm, digest in transport.fingerprints:
        yield f"a=fingerprint:{algorithm} {digest}"
    yield f"a=setup:{transport.setup}"
    yield f"a=mid:{section.mid}"
    for candidate in transport.candidates:
        yield f"a={candidate}"
    if section.kind == APPLICATION:
        yield "a=sctp-port:5000"
        yield "a=max-message-size:262144"
        return
    for number, uri in section.extensions:
        yield f"a=extmap:{number} {uri}"
    yield f"a={section.direction}"
    if section.msid is not None:
        yield f"a=msid:{section.msid[0]} {section.msid[1]}"
    yield "a=rtcp-mux"
    yield "a=rtcp-rsize"
    for form in section.formats:
        yield from _format_lines(form)
    yield from _source_lines(section)


def _format_lines(form: Format) -> Iterator[str]:
    channels = f"/{form.channels}" if form.channels > 1 else ""
    yield f"a=rtpmap:{form.payload_type} {form.codec}/{form.clock_rate}{channels}"
    for kind in form.feedback:
        yield f"a=rtcp-fb:{form.payload_type} {kind}"
    if form.parameters:
        yield f"a=fmtp:{form.payload_type} {form.parameters}"


def _source_lines(section: Section) -> Iterator[str]:
    for direction, rids in (("send", section.send_rids), ("recv", section.receive_rids)):
        for rid in rids:
            yield f"a=rid:{rid} {direction}"
        if rids:
            yield f"a=simulcast:{direction} {';'.join(rids)}"
    for media, rtx in section.rtx_ssrcs:
        yield f"a=ssrc-group:FID {media} {rtx}"
    for ssrc in (*section.ssrcs, *(rtx for _, rtx in section.rtx_ssrcs)):
        yield f"a=ssrc:{ssrc} cname:{section.cname}"
        if section.msid is not None:
            yield f"a=ssrc:{ssrc} msid:{section.msid[0]} {section.msid[1]}"
