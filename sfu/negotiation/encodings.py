"""The RTP streams of a published section: simulcast by rid (RFC 8851, 8853), or named by SSRC."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sfu.plane import EncodingSpec
from sfu.rows import MAX_ENCODINGS
from sfu.units import NO_RID, Rid, Ssrc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sfu.negotiation.sdp import MediaSection

MAX_SSRC_LINES: Final = 64
"""SSRC attributes read from one section; Firefox writes six for three encodings."""

_RID: Final = re.compile(r"[A-Za-z0-9_-]{1,16}")
"""RFC 8851 section 10, short enough for a one-byte header extension."""
_NUMBERED: Final = re.compile(r"([A-Za-z_-]*)([0-9]+)")
_NAME_ORDERS: Final = (
    ("q", "h", "f"),
    ("l", "m", "h"),
    ("lo", "mid", "hi"),
    ("low", "mid", "high"),
    ("low", "medium", "high"),
)


def send_rids(section: MediaSection) -> tuple[Rid, ...]:
    """The rids that a client sends, in its order; alternatives and pause marks left out. At most three."""
    return _rids(section, "send")


def receive_rids(section: MediaSection) -> tuple[Rid, ...]:
    """Likewise those that it takes."""
    return _rids(section, "recv")


def lowest_first(rids: tuple[Rid, ...]) -> tuple[Rid, ...]:
    """Rids from the lowest encoding to the highest.

    By name where they are names that say it, by number where they are numbered alike (`0`, `r0`); else the
    reverse of their order, since clients list the most important one first (it survives a small capture).
    """
    for names in _NAME_ORDERS:
        if set(rids) <= set(names):
            return tuple(sorted(rids, key=names.index))
    numbered = [_NUMBERED.fullmatch(rid) for rid in rids]
    numbers = {rid: int(match[2]) for rid, match in zip(rids, numbered, strict=True) if match is not None}
    if len(numbers) == len(rids) and len({match[1] for match in numbered if match is not None}) == 1:
        return tuple(sorted(rids, key=numbers.__getitem__))
    return tuple(reversed(rids))


def encodings_of(section: MediaSection) -> tuple[EncodingSpec, ...]:
    """The encodings of a published section, lowest first.

    With rids SSRCs are learnt from packets: browsers that do list SSRCs don't say which rid is whose. Another
    focus says it, in source attributes (RFC 5576 section 4.1) `a=ssrc:<ssrc> rid:<rid>`.
    """
    rids = send_rids(section)
    repairs = _repairs(section)
    if rids:
        named = _named(section)
        return tuple(_spec(rid, named.get(rid), repairs) for rid in lowest_first(rids))
    ssrcs = [
        int(number)
        for value in section.values("ssrc")[:MAX_SSRC_LINES]
        if _is_ssrc(number := value.partition(" ")[0])
    ]
    first = next((ssrc for ssrc in ssrcs if ssrc not in repairs.values()), None)
    return (_spec(NO_RID, first, repairs),)


def cname_of(section: MediaSection) -> str:
    """The CNAME that the section's SSRC lines tell; empty where they don't."""
    for value in section.values("ssrc")[:MAX_SSRC_LINES]:
        _, _, attribute = value.partition(" ")
        if attribute.startswith("cname:"):
            return attribute[len("cname:") :][:255]
    return ""


def all_ssrcs(section: MediaSection) -> frozenset[int]:
    """Every SSRC that the section names."""
    words = [value.partition(" ")[0] for value in section.values("ssrc")[:MAX_SSRC_LINES]]
    return frozenset(int(word) for word in words if _is_ssrc(word))


def _rids(section: MediaSection, way: str) -> tuple[Rid, ...]:
    declared = set()
    for value in section.values("rid"):
        words = value.split()
        if len(words) >= 2 and words[1] == way and _RID.fullmatch(words[0]):
            declared.add(words[0])
    simulcast = (section.value("simulcast") or "").split()
    listed = next((simulcast[at + 1] for at in range(len(simulcast) - 1) if simulcast[at] == way), "")
    rids: dict[str, None] = {}
    for alternatives in listed.split(";"):
        rid = alternatives.split(",")[0].lstrip("~")
        if rid in declared:
            rids[rid] = None
    return tuple(Rid(rid) for rid in rids)[:MAX_ENCODINGS]


def _repairs(section: MediaSection) -> dict[int, int]:
    groups = [value.split() for value in section.values("ssrc-group")[:MAX_SSRC_LINES]]
    return {
        int(group[1]): int(group[2])
        for group in groups
        if len(group) == 3 and group[0] == "FID" and _is_ssrc(group[1]) and _is_ssrc(group[2])
    }


def _named(section: MediaSection) -> dict[str, int]:
    """SSRCs by rid; of two for one rid the first, and no SSRC has two."""
    found: dict[int, str] = {}
    for value in section.values("ssrc")[:MAX_SSRC_LINES]:
        number, _, attribute = value.partition(" ")
        if attribute.startswith("rid:") and _is_ssrc(number) and attribute[4:] not in found.values():
            found.setdefault(int(number), attribute[4:])
    return {rid: ssrc for ssrc, rid in found.items()}


def _spec(rid: Rid, ssrc: int | None, repairs: Mapping[int, int]) -> EncodingSpec:
    repair = None if ssrc is None else repairs.get(ssrc)
    return EncodingSpec(rid, None if ssrc is None else Ssrc(ssrc), None if repair is None else Ssrc(repair))


def _is_ssrc(word: str) -> bool:
    return word.isdecimal() and word.isascii() and len(word) <= 10 and 0 < int(word) < 2**32
