"""What went from one focus to another, by what was seen on the way, and what that says. Pure."""

from __future__ import annotations

import enum
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from loadtest.client.datagrams import is_media
from loadtest.client.ice import is_rtcp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Way = tuple[int, int]
"""Numbers of two foci: from, to."""

_SSRC: Final = slice(8, 12)
"""Of an RTP packet (RFC 3550 section 5.1), which SRTP leaves readable."""
_STUN: Final = 4
"""First bytes below this (RFC 7983)."""


class Content(enum.StrEnum):
    """What a datagram of a trunk is (RFC 7983)."""

    STUN = "stun"
    DTLS = "dtls"
    """Handshakes and the data channel."""
    RTP = "rtp"
    RTCP = "rtcp"


def content_of(datagram: bytes) -> Content:
    """What a datagram is by its first two bytes."""
    if is_media(datagram):
        return Content.RTCP if is_rtcp(datagram) else Content.RTP
    return Content.STUN if datagram and datagram[0] < _STUN else Content.DTLS


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes of UDP payload in one direction, with what encryption adds."""

    by_content: Mapping[Content, int] = field(default_factory=dict)
    by_ssrc: Mapping[int, int] = field(default_factory=dict)
    """Of RTP, by stream."""
    dropped: int = 0
    """Datagrams that were not let through."""

    @property
    def total(self) -> int:
        """All bytes."""
        return sum(self.by_content.values())

    @property
    def streams(self) -> int:
        """How many RTP streams there are packets of."""
        return sum(1 for count in self.by_ssrc.values() if count)

    def __sub__(self, before: Traffic) -> Traffic:
        """What has passed since an earlier count."""
        return Traffic(
            {key: count - before.by_content.get(key, 0) for key, count in self.by_content.items()},
            {key: count - before.by_ssrc.get(key, 0) for key, count in self.by_ssrc.items()},
            self.dropped - before.dropped,
        )

    def content(self) -> dict[str, object]:
        """As it stands in the JSON file."""
        by_content = {str(key): count for key, count in sorted(self.by_content.items())}
        streams = sorted(filter(None, self.by_ssrc.values()), reverse=True)
        return {"bytes": self.total, **by_content, "streams": streams}


class Count:
    """A `Traffic` that grows."""

    def __init__(self) -> None:
        self._by_content: defaultdict[Content, int] = defaultdict(int)
        self._by_ssrc: defaultdict[int, int] = defaultdict(int)
        self._dropped = 0

    def add(self, datagram: bytes) -> None:
        """Count a datagram that passes."""
        content = content_of(datagram)
        self._by_content[content] += len(datagram)
        if content is Content.RTP:
            self._by_ssrc[int.from_bytes(datagram[_SSRC], "big")] += len(datagram)

    def drop(self) -> None:
        """Count a datagram that does not."""
        self._dropped += 1

    def reading(self) -> Traffic:
        """The count now."""
        return Traffic(dict(self._by_content), dict(self._by_ssrc), self._dropped)


@dataclass(frozen=True, slots=True)
class Carried:
    """One direction of one trunk over a while, beside what was published of what is wanted behind it."""

    way: Way
    forth: Traffic
    back: Traffic
    """In the other direction, where nobody publishes: what says how media arrives."""
    published: Mapping[str, int]
    """Bytes on the wire of each encoding that somebody behind the trunk wants, as its publisher sent it."""

    @property
    def ratio(self) -> float | None:
        """All that went towards the viewers, to what was published of it; None where that was nothing."""
        demanded = sum(self.published.values())
        return self.forth.total / demanded if demanded else None

    def faults(self) -> Iterable[str]:
        """Why this says nothing about what trunks cost."""
        where = f"trunk {self.way[0]} → {self.way[1]}"
        silent = sorted(name or "audio" for name, count in self.published.items() if not count)
        if silent:
            yield f"{where}: {', '.join(silent)} was wanted and not published"
        if self.forth.streams < len(self.published):
            yield f"{where}: {self.forth.streams} RTP streams crossed, of {len(self.published)} wanted"

    def content(self) -> dict[str, object]:
        """As it stands in the JSON file."""
        return {
            "from": self.way[0],
            "to": self.way[1],
            "forth": self.forth.content(),
            "back": self.back.content(),
            "published": {name or "audio": count for name, count in self.published.items()},
            "ratio": None if self.ratio is None else round(self.ratio, 4),
        }


def ratio_of(trunks: Sequence[Carried]) -> float:
    """All that went towards viewers over several trunks, to what was published of what each wants.

    Raises:
        ValueError: nothing was published.
    """
    demanded = sum(sum(carried.published.values()) for carried in trunks)
    if not demanded:
        raise ValueError("nothing was published")
    return sum(carried.forth.total for carried in trunks) / demanded
