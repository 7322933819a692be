"""What a subscriber was told of its wishes, and what has changed since."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Final

from sfu.allocation.decision import Cause
from sfu.allocation.wanted import encoding_size
from sfu.conference.forwarding import ANY
from sfu.conference.hops import SHORT
from sfu.conference.sentences import Facts, sentence
from sfu.conference.values import Explanation, Limit, Reason, Sent
from sfu.rows import ALL_TEMPORAL, PAUSED
from sfu.units import NO_RID, Instant, Kind, Rid, after_ms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sfu.conference.forwarding import Forwarding, Lane
    from sfu.conference.outcomes import Outcome
    from sfu.conference.subscriptions import Subscription
    from sfu.conference.turn import SetDemand
    from sfu.conference.values import Hop, Wish
    from sfu.conference.view import AnnouncedTrack, TrackIds

TELL_GAP_MS: Final = 250
"""Between two times that a leg is told. Lower: each step of a switch is told. Higher: reasons come late."""

MAX_TOLD: Final = 32
"""Wishes explained at a time; the others come the next time. Lower: a change of a large layout is told over
seconds. Higher: one message takes the channel from more urgent ones."""

_REASONS: Final = {
    Cause.SIZE: Reason.SIZE,
    Cause.LAYER_NOT_SENT: Reason.LAYER_NOT_SENT,
    Cause.CEILING: Reason.CEILING,
    Cause.BUDGET: Reason.BUDGET,
    Cause.CODEC: Reason.CODEC,
    Cause.PAUSED: Reason.PAUSED,
    Cause.NOT_VISIBLE: Reason.NOT_VISIBLE,
    Cause.LAST_N: Reason.LAST_N,
    Cause.CAP: Reason.CAP,
    Cause.PINNED_FIRST: Reason.PINNED_FIRST,
    Cause.SCREEN_FIRST: Reason.SCREEN_FIRST,
    Cause.SPEAKER: Reason.SPEAKER,
    Cause.UNHEARD: Reason.UNHEARD,
}

_BEHIND_A_HOP: Final = (Reason.LAYER_NOT_SENT, Reason.SWITCHED_OFF, Reason.PAUSED)
"""What it looks like from here if another focus withholds it."""

_Layer = tuple[Rid, int | None, int, int]
_SOUND: Final[_Layer] = (NO_RID, None, 0, 0)


@dataclass(frozen=True, slots=True)
class Told:
    """What is remembered of an explanation, without rates: there is one for each wish of everybody."""

    wish: Wish
    reason: Reason
    layer: _Layer | None
    text: str
    about: Rid | None = None
    """As of `Explanation.layer`."""
    hop: Hop | None = None

    @classmethod
    def by(cls, one: Explanation) -> Told:
        """Of what is told now."""
        return cls(one.wish, one.reason, _layer(one.sent), one.text, one.layer, _hop(one.hop))

    def says_the_same(self, one: Explanation) -> bool:
        """Whether nothing has changed but rates, which waver."""
        return (
            self.reason is one.reason
            and self.wish == one.wish
            and self.layer == _layer(one.sent)
            and (self.about, self.hop) == (one.layer, _hop(one.hop))
        )


class Explanations:
    """Of one leg: only what has changed is looked at, and only what looks different is told."""

    def __init__(self) -> None:
        self._touched: dict[TrackIds, None] = {}
        """In order, oldest first."""
        self._told: dict[TrackIds, tuple[Told, ...]] = {}
        self._look_at = Instant(0)

    def touch(self, ids: TrackIds) -> None:
        """Something has happened to a wish."""
        self._touched[ids] = None

    def forget(self, ids: TrackIds) -> None:
        """A wish was taken back."""
        self._touched.pop(ids, None)
        self._told.pop(ids, None)

    def begin_anew(self, wished: Iterable[TrackIds]) -> None:
        """The client knows nothing of what was told."""
        self._told = {}
        self._touched = dict.fromkeys(wished)

    @property
    def due_at(self) -> Instant | None:
        """When there is something to look at; None: nothing has happened."""
        return self._look_at if self._touched else None

    def told(self, ids: TrackIds) -> Told | None:
        """What was told last of a wish; of several layers, of the highest that is wanted."""
        told = self._told.get(ids)
        return told[-1] if told else None

    def take(self, now: Instant, limit: int) -> list[TrackIds]:
        """The wishes to look at now, at most `limit` and `MAX_TOLD`; those beyond are due later."""
        taken = list(islice(self._touched, min(limit, MAX_TOLD)))
        for ids in taken:
            del self._touched[ids]
        if not self._touched:
            self._touched = {}  # an emptied one would keep its room
        self._look_at = after_ms(now, TELL_GAP_MS)
        return taken

    def news(
        self, explanations: Iterable[tuple[TrackIds, tuple[Explanation, ...]]]
    ) -> tuple[Explanation, ...]:
        """Of the wishes that were taken, those to tell of: they look different from what was told last.

        Of a wish for several layers all is told, or nothing.
        """
        news: list[Explanation] = []
        for ids, several in explanations:
            if any(one.reason is Reason.SWITCHED_OFF for one in several):
                # Nothing but time may tell that it won't come.
                self._touched[ids] = None
            told = self._told.get(ids, ())
            if len(told) != len(several) or not all(map(Told.says_the_same, told, several)):
                self._told[ids] = tuple(map(Told.by, several))
                news += several
        return tuple(news)


def explain(
    subscription: Subscription,
    lane: Lane | None,
    outcome: Outcome | None,
    rids: tuple[Rid, ...],
    *,
    is_expected: bool,
    hop: Hop | None = None,
) -> Explanation:
    """Why a wish is fulfilled the way it is.

    Args:
        subscription: the wish and what has become of it.
        lane: of which it is told.
        outcome: what was decided about its route.
        rids: of the track's encodings, lowest first.
        is_expected: the encoding that would fit was switched off, and has just been asked for.
        hop: what comes less far than here.
    """
    wish, forwarding = subscription.wish, subscription.forwarding
    announced = subscription.announced
    if forwarding is None and announced is not None and not announced.codec_keys:
        reason = Reason.NEGOTIATING if hop is None else Reason.HOP
        facts = Facts(announced.kind, reason, is_elsewhere=True, hop=hop)
    elif forwarding is None:
        facts = Facts(Kind.VIDEO, Reason.NOT_PUBLISHED)
    elif forwarding.refusal is not None:
        facts = Facts(forwarding.announced.kind, Reason(forwarding.refusal))
    elif lane is None or lane.demand is None or outcome is None:
        facts = Facts(forwarding.announced.kind, Reason.NEGOTIATING)
    else:
        tile = wish.width, wish.height
        facts = _decided(
            tile, forwarding.announced, lane.demand, outcome, rids, is_expected=is_expected, hop=hop
        )
    return Explanation(
        wish,
        facts.sent,
        facts.reason,
        sentence(facts),
        layer=_layer_told(forwarding, lane),
        limit=Limit(facts.budget_bps, facts.next_rate_bps)
        if facts.reason in SHORT and math.isfinite(facts.budget_bps)
        else None,
        hop=hop if facts.reason is Reason.HOP else None,
    )


def _layer_told(forwarding: Forwarding | None, lane: Lane | None) -> Rid | None:
    """The layer that a lane is for, if it is told of by itself."""
    if forwarding is None or lane is None or lane.only == ANY or lane not in forwarding.wanted:
        return None
    return forwarding.rids[lane.only]


def _decided(
    tile: tuple[int, int],
    announced: AnnouncedTrack,
    demand: SetDemand,
    outcome: Outcome,
    rids: tuple[Rid, ...],
    *,
    is_expected: bool,
    hop: Hop | None,
) -> Facts:
    current = PAUSED if outcome.chosen == PAUSED else outcome.current
    is_waiting = current != outcome.chosen
    sent = None
    if current != PAUSED:
        width, height = _size(current, demand)
        sent = Sent(
            rid=rids[current] if current < len(rids) else NO_RID,
            temporal=None if outcome.temporal == ALL_TEMPORAL else outcome.temporal,
            width=width,
            height=height,
            rate_bps=0.0 if is_waiting else outcome.rate_bps,
        )
    reason = _reason(announced, outcome, is_waiting=is_waiting, is_expected=is_expected)
    return Facts(
        announced.kind,
        Reason.HOP if hop is not None and reason in _BEHIND_A_HOP else reason,
        tile=tile,
        sent=sent,
        fitting=_size(outcome.wanted if outcome.cause == Cause.CEILING else outcome.allowed, demand),
        next=_size(outcome.chosen, demand),
        is_largest=outcome.wanted == demand.encodings - 1,
        ceiling=demand.max_height,
        budget_bps=outcome.budget_bps,
        next_rate_bps=outcome.next_rate_bps,
        max_videos=outcome.max_videos,
        hop=hop,
    )


def _size(encoding: int, demand: SetDemand) -> tuple[int, int]:
    is_picture = demand.kind is Kind.VIDEO and 0 <= encoding < demand.encodings
    return encoding_size(encoding, demand) if is_picture else (0, 0)


def _reason(announced: AnnouncedTrack, outcome: Outcome, *, is_waiting: bool, is_expected: bool) -> Reason:
    if announced.kind is Kind.AUDIO:
        # Its silence is no pause: only the publisher can say that it is muted.
        if announced.audio_muted:
            return Reason.MUTED
        return Reason.WAITING if is_waiting else _REASONS[Cause(outcome.cause)]
    if outcome.cause == Cause.PAUSED and announced.video_muted:
        return Reason.MUTED
    if is_waiting:
        return Reason.WAITING
    if outcome.cause == Cause.LAYER_NOT_SENT and is_expected:
        return Reason.SWITCHED_OFF
    return _REASONS[Cause(outcome.cause)]


def _hop(hop: Hop | None) -> Hop | None:
    return hop if hop is None or hop.limit is None else replace(hop, limit=None)


def _layer(sent: Sent | None) -> _Layer | None:
    if sent is None:
        return None
    # There is one way to be sent sound, and many are.
    return (sent.rid, sent.temporal, sent.width, sent.height) if sent.height else _SOUND
