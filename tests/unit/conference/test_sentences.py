"""Each sentence names the numbers that it is about: another number, another sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from sfu.conference.hops import WITHHOLDING
from sfu.conference.sentences import Facts, sentence
from sfu.conference.values import Hop, Limit, Reason, Sent
from sfu.units import Kind, Rid, TransportId

SMALL: Final = Sent(Rid("q"), None, 320, 180, 120_000)
FACTS: Final = Facts(
    Kind.VIDEO,
    Reason.SIZE,
    tile=(300, 170),
    sent=SMALL,
    fitting=(1280, 720),
    next=(640, 360),
    ceiling=400,
    budget_bps=450_000,
    next_rate_bps=1_700_000,
    max_videos=9,
    hop=Hop(TransportId(1), Reason.BUDGET, Limit(200_000, 300_000)),
)


def said(reason: Reason, **changes: Any) -> str:  # noqa: ANN401  # fields of Facts
    return sentence(replace(FACTS, reason=reason, **changes))


SENTENCES: Final = {
    Reason.SIZE: "You get 320x180: your tile is 300x170 pixels.",
    Reason.LAYER_NOT_SENT: (
        "You get 320x180 instead of 1280x720: the sender does not send the larger layer now."
    ),
    Reason.SWITCHED_OFF: (
        "You get 320x180 instead of 1280x720: nobody wanted the larger layer,"
        " so the sender had it switched off; it has just been asked for."
    ),
    Reason.CEILING: "You get 320x180 instead of 1280x720: this server gives you at most 400 lines.",
    Reason.BUDGET: (
        "You get 320x180 instead of 1280x720: your connection carries 450 kbit/s for everything,"
        " and the next larger layer takes 1,700 kbit/s."
    ),
    Reason.CAP: (
        "You get 320x180 instead of 1280x720: this server gives you at most 450 kbit/s for everything,"
        " and the next larger layer takes 1,700 kbit/s."
    ),
    Reason.PINNED_FIRST: (
        "You get 320x180 instead of 1280x720: your connection carries 450 kbit/s for everything,"
        " and what you pinned comes first."
    ),
    Reason.SCREEN_FIRST: (
        "You get 320x180 instead of 1280x720: your connection carries 450 kbit/s for everything,"
        " and the screen share comes first."
    ),
    Reason.SPEAKER: (
        "You get 320x180 instead of 1280x720: your connection carries 450 kbit/s for everything,"
        " and who speaks comes first."
    ),
    Reason.LAST_N: (
        "You get nothing: this server gives you at most 9 pictures at a time, and others come first."
    ),
    Reason.NOT_VISIBLE: "You get nothing: its tile is out of sight.",
    Reason.UNHEARD: (
        "You hear nothing: in a call of this size the loudest are forwarded, and others are louder."
    ),
    Reason.WAITING: "You get 320x180 until 640x360 begins with its next key frame.",
    Reason.PAUSED: "You get nothing: the sender sends no picture now.",
    Reason.MUTED: "You see nothing: the sender has muted its picture.",
    Reason.CODEC: "You get nothing: your client has no decoder for this picture.",
    Reason.REFUSED: "You get nothing: your client refused the section for this picture.",
    Reason.FULL: "You get nothing: your connection has no section left for it.",
    Reason.NEGOTIATING: "You get nothing yet: your client has not answered the offer that brings it.",
    Reason.NOT_PUBLISHED: "You get nothing: nobody publishes a track under these ids.",
    Reason.HOP: (
        "You get 320x180 instead of 1280x720: the connection between the servers carries only 200 kbit/s for"
        " everything, and the next larger layer takes 300 kbit/s."
    ),
}


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_is_one_sentence(reason: Reason) -> None:
    assert said(reason) == SENTENCES[reason]


@pytest.mark.parametrize(
    ("reason", "change", "words"),
    [
        (Reason.SIZE, {"tile": (301, 171)}, "301x171"),
        (Reason.SIZE, {"sent": replace(SMALL, width=640, height=360)}, "640x360"),
        (Reason.SIZE, {"tile": (0, 0)}, "You get 320x180, the smallest layer: you asked for no size."),
        (Reason.LAYER_NOT_SENT, {"fitting": (640, 360)}, "instead of 640x360"),
        (Reason.LAYER_NOT_SENT, {"fitting": (160, 90)}, "the smaller layer"),
        (Reason.SWITCHED_OFF, {"fitting": (640, 360)}, "instead of 640x360"),
        (Reason.CEILING, {"ceiling": 200}, "200 lines"),
        (Reason.BUDGET, {"budget_bps": 99_600.0}, "carries 100 kbit/s"),
        (Reason.BUDGET, {"next_rate_bps": 300_000.0}, "takes 300 kbit/s"),
        (Reason.BUDGET, {"next_rate_bps": 0.0}, "carries 450 kbit/s for everything."),
        (Reason.BUDGET, {"sent": None}, "You get nothing instead of 1280x720"),
        (Reason.CAP, {"budget_bps": 99_600.0}, "at most 100 kbit/s"),
        (Reason.CAP, {"next_rate_bps": 300_000.0}, "takes 300 kbit/s"),
        (Reason.PINNED_FIRST, {"budget_bps": 99_600.0}, "carries 100 kbit/s"),
        (Reason.SCREEN_FIRST, {"fitting": (640, 360)}, "instead of 640x360"),
        (Reason.SPEAKER, {"sent": None}, "You get nothing instead of 1280x720"),
        (Reason.LAST_N, {"max_videos": 4}, "at most 4 pictures"),
        (Reason.LAST_N, {"max_videos": 1}, "at most 1 picture at a time"),
        (Reason.WAITING, {"next": (1280, 720)}, "until 1280x720"),
        (Reason.WAITING, {"sent": None}, "You get nothing yet: 640x360 begins with its next key frame."),
        (Reason.SIZE, {"kind": Kind.AUDIO}, "You get the sound."),
        (Reason.WAITING, {"kind": Kind.AUDIO}, "You get nothing yet: the sound begins with its next packet."),
        (Reason.MUTED, {"kind": Kind.AUDIO}, "You hear nothing: the sender has muted its sound."),
        (Reason.CODEC, {"kind": Kind.AUDIO}, "no decoder for this sound"),
    ],
)
def test_another_number_is_another_sentence(reason: Reason, change: dict[str, Any], words: str) -> None:
    assert words in said(reason, **change)
    assert words not in SENTENCES[reason]


@pytest.mark.parametrize(
    ("reason", "limit", "words"),
    [
        (None, None, "is connected to is interrupted, and is being set up again."),
        (Reason.BUDGET, Limit(200_000, 0), "carries only 200 kbit/s for everything."),
        (Reason.BUDGET, None, "the connection between the servers carries no more."),
        (
            Reason.CAP,
            Limit(99_600, 0),
            "the other server gives the connection between the servers only 100 kbit/s",
        ),
        (
            Reason.PINNED_FIRST,
            Limit(1_000, 2_000),
            "1 kbit/s for everything, and what others pinned comes first.",
        ),
        (Reason.SCREEN_FIRST, Limit(1_000, 2_000), "for everything, and the screen share comes first."),
        (Reason.SPEAKER, Limit(1_000, 2_000), "for everything, and who speaks comes first."),
        (
            Reason.HOP,
            Limit(1_000, 2_000),
            "a connection between other servers carries only 1 kbit/s for everything",
        ),
        (Reason.CODEC, None, "the servers have not agreed on how it is sent from one to the other."),
        (Reason.REFUSED, None, "the servers have not agreed on how it is sent from one to the other."),
        (Reason.FULL, None, "the connection between the servers has no section left for it."),
    ],
)
def test_each_cause_of_a_hop_has_words_of_its_own(
    reason: Reason | None, limit: Limit | None, words: str
) -> None:
    assert reason is None or reason in WITHHOLDING
    assert words in said(Reason.HOP, hop=Hop(TransportId(1), reason, limit))
    assert said(Reason.HOP, fitting=(0, 0), hop=Hop(TransportId(1), Reason.FULL)).startswith(
        "You get nothing:"
    )


def test_a_tile_that_is_larger_than_anything_sent_is_told_of() -> None:
    large = {"tile": (640, 360), "is_largest": True}
    assert said(Reason.SIZE, **large) == (
        "You get 320x180: your tile is 640x360 pixels, and the sender has nothing larger."
    )
    assert said(Reason.SIZE, tile=(640, 360)) == "You get 320x180: your tile is 640x360 pixels."
    assert (
        said(Reason.SIZE, tile=(640, 170), is_largest=True) == "You get 320x180: your tile is 640x170 pixels."
    )


def test_a_picture_of_the_right_size_has_fewer_frames() -> None:
    assert said(Reason.BUDGET, fitting=(320, 180)) == (
        "You get 320x180 with fewer frames: your connection carries 450 kbit/s for everything,"
        " and the next larger layer takes 1,700 kbit/s."
    )
