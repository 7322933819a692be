"""Descriptions for tests: recorded ones, and what is cut out of them or put in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hypothesis import strategies as st

from sfu.negotiation.remote import RemoteDescription, RemoteSection, read_description
from sfu.negotiation.sdp import MediaSection, parse_sdp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

VECTORS: Final = Path(__file__).parents[2] / "vectors" / "sdp"
NAMES: Final = tuple(
    sorted(str(path.relative_to(VECTORS).with_suffix("")) for path in VECTORS.rglob("*.sdp"))
)
FLIPPED: Final = {
    "sendrecv": "sendrecv",
    "sendonly": "recvonly",
    "recvonly": "sendonly",
    "inactive": "inactive",
}


def vector(name: str) -> str:
    """A recorded description."""
    return (VECTORS / f"{name}.sdp").read_bytes().decode()


CHROMIUM: Final = vector("chromium/call/00-join-browser-offer")
CHROMIUM_CAMERA_OFF: Final = vector("chromium/camera-off-call/00-join-browser-offer")
FIREFOX: Final = vector("firefox/call/00-join-browser-offer")
ELEMENT_CALL: Final = vector("element_call/join")


def head(sdp: str) -> str:
    """What stands before the first section."""
    return sdp[: sdp.index("m=")]


def sections(sdp: str) -> list[str]:
    """The texts of the sections."""
    return re.split(r"(?m)^(?=m=)", sdp)[1:]


def lines(sdp: str, mid: str) -> list[str]:
    """The lines of one section."""
    (found,) = [text for text in sections(sdp) if f"a=mid:{mid}\r\n" in text]
    return found.splitlines()


def attributes(sdp: str, mid: str, name: str) -> list[str]:
    """The values of one attribute in one section."""
    return [line[len(name) + 3 :] for line in lines(sdp, mid) if line.startswith(f"a={name}:")]


def direction(sdp: str, mid: str) -> str:
    """What one section says of it."""
    return next(line[2:] for line in lines(sdp, mid) if line[2:] in FLIPPED)


def numbers(sdp: str, mid: str) -> list[int]:
    """The payload types of one section."""
    return [int(word) for word in lines(sdp, mid)[0].split()[3:]]


def changed(sdp: str, mid: str, *added: str, without: str | None = None) -> str:
    """With lines added to one section, and without those that match an expression from their beginning."""
    texts = []
    for text in sections(sdp):
        if f"a=mid:{mid}\r\n" in text:
            kept = [line for line in text.splitlines() if without is None or not re.match(without, line)]
            text = "".join(f"{line}\r\n" for line in (*kept, *added))  # noqa: PLW2901  # one of them
        texts.append(text)
    return head(sdp) + "".join(texts)


def turned(sdp: str, mid: str, new_direction: str) -> str:
    """With one section in another direction."""
    return changed(sdp, mid, f"a={new_direction}", without="a=(sendrecv|sendonly|recvonly|inactive)$")


def stopped(sdp: str, mid: str) -> str:
    """With one section given up, as Chromium does it."""
    rejected = [
        re.sub(r"^(m=\w+) \d+", r"\1 0", text) if f"a=mid:{mid}\r\n" in text else text
        for text in sections(sdp)
    ]
    group = re.sub(r"(a=group:BUNDLE[^\r]*) " + re.escape(mid) + r"(?=[ \r])", r"\1", head(sdp))
    return turned(group + "".join(rejected), mid, "inactive")


def renamed(sdp: str, mids: Mapping[str, str]) -> str:
    """With other mids: the focus of the recordings gave its sections numbers."""
    for old, new in mids.items():
        sdp = sdp.replace(f"a=mid:{old}\r\n", f"a=mid:{new}\r\n")
        sdp = re.sub(rf"(a=group:BUNDLE[^\r]*) {old}(?=[ \r])", rf"\1 {new}", sdp)
    return sdp


def with_sections_of(offer: str, answer: str) -> str:
    """A client's offer, followed by those sections of its answer that the focus had opened."""
    known = {section.mid for section in remote(offer).sections}
    mids = [section.mid for section in remote(answer).sections if section.mid not in known]
    group = re.sub(r"(a=group:BUNDLE[^\r]*)", rf"\1 {' '.join(mids)}", head(offer))
    added = ["".join(f"{line}\r\n" for line in lines(answer, mid)) for mid in mids]
    return group + "".join((*sections(offer), *added))


def answer_to(
    offer: str,
    client: str = CHROMIUM,
    *,
    turn: Mapping[str, str] | None = None,
    reject: Iterable[str] = (),
    without: str = r"a=(ssrc|msid|rid|simulcast|candidate|end-of)",
) -> str:
    """What a client answers that agrees to everything, but for directions and rejections that are told."""
    own = remote(client)
    texts = [
        re.sub(r"(?m)^a=(group|ice-lite|ice-ufrag|ice-pwd|fingerprint|setup).*\r\n", "", head(offer)),
        f"a=ice-ufrag:{own.ufrag}\r\na=ice-pwd:{own.password}\r\na=setup:active\r\n",
        *(f"a=fingerprint:{one.algorithm} {one.value}\r\n" for one in own.fingerprints),
    ]
    for section in parse_sdp(offer).sections:
        mid = section.value("mid") or ""
        mirrored = FLIPPED.get(next((name for name in FLIPPED if section.has(name)), ""), "")
        kept = [line for line in section.lines if line[2:] not in FLIPPED and not re.match(without, line)]
        if mid in reject:
            kept = [re.sub(r"^(m=\w+) \d+", r"\1 0", line) for line in kept]
        told = (turn or {}).get(mid, mirrored)
        texts += [f"{line}\r\n" for line in (*kept, *([f"a={told}"] if told else []))]
    return "".join(texts)


def media(*added: str, kind: str = "video", formats: str = "96 97", mid: str = "1") -> MediaSection:
    """A section of its own."""
    return MediaSection.parse((f"m={kind} 9 UDP/TLS/RTP/SAVPF {formats}", f"a=mid:{mid}", *added))


def remote(sdp: str) -> RemoteDescription:
    """A description as it is read."""
    return read_description(parse_sdp(sdp))


def remote_section(sdp: str, mid: str) -> RemoteSection:
    """One section as it is read."""
    return next(section for section in remote(sdp).sections if section.mid == mid)


@st.composite
def mutations(draw: st.DrawFn) -> str:
    """A recorded description, damaged: cut off, lines lost, doubled, moved or scribbled on."""
    text = vector(draw(st.sampled_from(NAMES)))
    if draw(st.booleans()):
        text = text[: draw(st.integers(0, len(text)))]
    damaged = text.splitlines()
    for _ in range(draw(st.integers(0, 6))):
        if not damaged:
            break
        at = draw(st.integers(0, len(damaged) - 1))
        match draw(st.sampled_from(("lose", "double", "move", "scribble"))):
            case "lose":
                del damaged[at]
            case "double":
                damaged.insert(draw(st.integers(0, len(damaged))), damaged[at])
            case "move":
                damaged.insert(draw(st.integers(0, len(damaged) - 1)), damaged.pop(at))
            case _:
                line = damaged[at]
                place = draw(st.integers(0, len(line)))
                end = draw(st.integers(place, len(line)))
                damaged[at] = line[:place] + draw(st.text(st.characters(), max_size=8)) + line[end:]
    return "\r\n".join(damaged)
