"""Why somebody gets what they get, in one sentence with the numbers in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sfu.conference.values import Reason
from sfu.units import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfu.conference.values import Hop, Sent

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a sentence may name. Sizes are width and height; 0, 0 is none."""

    kind: Kind
    reason: Reason
    tile: Size = (0, 0)
    """As it was asked for."""
    sent: Sent | None = None
    fitting: Size = (0, 0)
    """Of the encoding that would be given, were it not for the reason."""
    next: Size = (0, 0)
    """Of the encoding that was chosen and has not begun yet."""
    is_largest: bool = False
    """Nothing larger than the fitting encoding is published."""
    ceiling: int = 0
    """The operator's, in lines."""
    budget_bps: float = 0.0
    next_rate_bps: float = 0.0
    """What the next larger layer takes; 0: not known."""
    max_videos: int = 0
    """What the operator gives at most at a time."""
    is_elsewhere: bool = False
    """Who publishes it is connected to another focus, and nobody here wanted it until now."""
    hop: Hop | None = None
    """The connection that brings it here, where that limits it."""


def sentence(facts: Facts) -> str:
    """One sentence, or two where one would not do."""
    return _SENTENCES[facts.reason](facts)


def _fits(facts: Facts) -> str:
    if facts.kind is Kind.AUDIO:
        return "You get the sound."
    if facts.tile == (0, 0):
        return f"{_got(facts)}, the smallest layer: you asked for no size."
    tile = f"{_got(facts)}: your tile is {_pixels(facts.tile)} pixels"
    return f"{tile}, and the sender has nothing larger." if _is_stretched(facts) else f"{tile}."


def _carries(facts: Facts) -> str:
    return f"{_instead(facts)}: your connection carries {_rate(facts.budget_bps)} for everything"


def _and_next(facts: Facts) -> str:
    return f"{_takes(facts.next_rate_bps)}."


def _takes(next_rate_bps: float) -> str:
    return f", and the next larger layer takes {_rate(next_rate_bps)}" if next_rate_bps else ""


def _hop(facts: Facts) -> str:
    hop = facts.hop
    if hop is None or hop.reason is None:
        return (
            "You get nothing: the connection to the server that its sender is connected to is interrupted,"
            " and is being set up again."
        )
    got = _instead(facts) if facts.fitting != (0, 0) else "You get nothing"
    if hop.reason in (Reason.CODEC, Reason.REFUSED):
        return f"{got}: the servers have not agreed on how it is sent from one to the other."
    if hop.reason is Reason.FULL:
        return f"{got}: the connection between the servers has no section left for it."
    if hop.limit is None:
        return f"{got}: the connection between the servers carries no more."
    line = (
        "a connection between other servers"
        if hop.reason is Reason.HOP
        else "the connection between the servers"
    )
    carries = f"the other server gives {line}" if hop.reason is Reason.CAP else f"{line} carries"
    end = _FIRST.get(hop.reason) or _takes(hop.limit.next_rate_bps)
    return f"{got}: {carries} only {_rate(hop.limit.rate_bps)} for everything{end}."


def _waiting(facts: Facts) -> str:
    if facts.kind is Kind.AUDIO:
        return "You get nothing yet: the sound begins with its next packet."
    if facts.sent is None:
        return f"You get nothing yet: {_pixels(facts.next)} begins with its next key frame."
    return f"{_got(facts)} until {_pixels(facts.next)} begins with its next key frame."


def _got(facts: Facts) -> str:
    if facts.sent is None:
        return "You get nothing"
    return f"You get {_pixels((facts.sent.width, facts.sent.height))}"


def _instead(facts: Facts) -> str:
    sent = facts.sent
    if sent is not None and (sent.width, sent.height) == facts.fitting:
        return f"{_got(facts)} with fewer frames"
    return f"{_got(facts)} instead of {_pixels(facts.fitting)}"


def _other(facts: Facts) -> str:
    """How the fitting layer compares with what is sent."""
    return "smaller" if facts.sent is not None and facts.sent.height > facts.fitting[1] else "larger"


def _is_stretched(facts: Facts) -> bool:
    sent = facts.sent
    return (
        facts.is_largest and sent is not None and (sent.width < facts.tile[0] and sent.height < facts.tile[1])
    )


def _thing(facts: Facts) -> str:
    return "sound" if facts.kind is Kind.AUDIO else "picture"


def _noticed(facts: Facts) -> str:
    return "You hear nothing" if facts.kind is Kind.AUDIO else "You see nothing"


def _pixels(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def _pictures(count: int) -> str:
    return f"{count} picture{'' if count == 1 else 's'}"


def _rate(rate_bps: float) -> str:
    return f"{rate_bps / 1_000:,.0f} kbit/s"


_FIRST: Final = {
    Reason.PINNED_FIRST: ", and what others pinned comes first",
    Reason.SCREEN_FIRST: ", and the screen share comes first",
    Reason.SPEAKER: ", and who speaks comes first",
}

_SENTENCES: Final[dict[Reason, Callable[[Facts], str]]] = {
    Reason.SIZE: _fits,
    Reason.LAYER_NOT_SENT: lambda facts: (
        f"{_instead(facts)}: the sender does not send the {_other(facts)} layer now."
    ),
    Reason.SWITCHED_OFF: lambda facts: (
        f"{_instead(facts)}: nobody wanted the {_other(facts)} layer,"
        " so the sender had it switched off; it has just been asked for."
    ),
    Reason.CEILING: lambda facts: f"{_instead(facts)}: this server gives you at most {facts.ceiling} lines.",
    Reason.BUDGET: lambda facts: f"{_carries(facts)}{_and_next(facts)}",
    Reason.CAP: lambda facts: (
        f"{_instead(facts)}: this server gives you at most {_rate(facts.budget_bps)} for everything"
        f"{_and_next(facts)}"
    ),
    Reason.PINNED_FIRST: lambda facts: f"{_carries(facts)}, and what you pinned comes first.",
    Reason.SCREEN_FIRST: lambda facts: f"{_carries(facts)}, and the screen share comes first.",
    Reason.SPEAKER: lambda facts: f"{_carries(facts)}, and who speaks comes first.",
    Reason.LAST_N: lambda facts: (
        f"You get nothing: this server gives you at most {_pictures(facts.max_videos)} at a time,"
        " and others come first."
    ),
    Reason.NOT_VISIBLE: lambda _: "You get nothing: its tile is out of sight.",
    Reason.UNHEARD: lambda _: (
        "You hear nothing: in a call of this size the loudest are forwarded, and others are louder."
    ),
    Reason.WAITING: _waiting,
    Reason.PAUSED: lambda facts: f"You get nothing: the sender sends no {_thing(facts)} now.",
    Reason.MUTED: lambda facts: f"{_noticed(facts)}: the sender has muted its {_thing(facts)}.",
    Reason.CODEC: lambda facts: f"You get nothing: your client has no decoder for this {_thing(facts)}.",
    Reason.REFUSED: lambda facts: (
        f"You get nothing: your client refused the section for this {_thing(facts)}."
    ),
    Reason.FULL: lambda _: "You get nothing: your connection has no section left for it.",
    Reason.NEGOTIATING: lambda facts: (
        "You get nothing yet: it has been asked for where its sender is connected."
        if facts.is_elsewhere
        else "You get nothing yet: your client has not answered the offer that brings it."
    ),
    Reason.NOT_PUBLISHED: lambda _: "You get nothing: nobody publishes a track under these ids.",
    Reason.HOP: _hop,
}
