"""What is going on in a call, for people: members, tracks, layers, and why."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfu.allocation.decision import Cause
from sfu.bwe.estimate import EstimateState
from sfu.rows import ALL_TEMPORAL, PAUSED
from sfu.units import NO_RID, Instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sfu.conference.counters import CountersByNumber, Row
    from sfu.conference.explanations import Explanations
    from sfu.conference.forwarding import Forwarding
    from sfu.conference.leg import Leg
    from sfu.conference.publications import Publication
    from sfu.conference.subscriptions import Subscription
    from sfu.conference.values import Hop, Source, Speaker
    from sfu.conference.view import Board
    from sfu.units import ConferenceId, Kind, Mid, Rid, RouteId, TrackHandle, TransportId


@dataclass(frozen=True, slots=True)
class EncodingSnapshot:
    """One encoding of a published track."""

    rid: Rid
    is_bound: bool
    bitrate_bps: float
    """Since about a second; 0 before that is known."""
    packets_received: int
    packets_lost: int
    last_received_at: Instant | None


@dataclass(frozen=True, slots=True)
class TrackSnapshot:
    """One published track; ids are those announced, None while it is not."""

    track: TrackHandle
    mid: Mid
    kind: Kind
    source: Source | None
    stream_id: str | None
    track_id: str | None
    width: int
    height: int
    encodings: tuple[EncodingSnapshot, ...]


@dataclass(frozen=True, slots=True)
class DecisionSnapshot:
    """The numbers that the allocator chose a layer by (`sfu.allocation.decision.DECISION_DTYPE`)."""

    allowed_encoding: int | None
    temporal: int | None
    """The highest temporal layer that is given; None: all."""
    frame_rate: float
    rate_bps: float
    next_rate_bps: float
    best_rate_bps: float
    budget_bps: float | None
    """None: no limit is known."""
    rank: int


@dataclass(frozen=True, slots=True)
class SubscriptionSnapshot:
    """One wish and what came of it. Encodings are indices, None: none."""

    stream_id: str
    track_id: str
    owner: TransportId | None
    route: RouteId | None
    width: int
    height: int
    is_pinned: bool
    is_visible: bool
    wanted_encoding: int | None
    chosen_encoding: int | None
    current_encoding: int | None
    cause: str
    """The `Reason` that its client was told last; before that, what is known without it."""
    text: str
    """The sentence that its client was told; empty where it was told none."""
    hop: Hop | None
    """What it was told of the connection that limits it; None: none does."""
    packets_sent: int
    packets_lost: int
    decision: DecisionSnapshot | None
    """None: nothing was decided yet."""
    layers: tuple[Rid, ...]
    """What flows now, several at once to a trunk; empty is the name of a track's only encoding."""


@dataclass(frozen=True, slots=True)
class LegSnapshot:
    """One participant, or a trunk.

    Rates are since about a second, 0 before they are known, and of everything that is on the way: media,
    what is sent again, reports, messages. Losses are parts of the packets of about a second.
    """

    leg: TransportId
    is_admitted: bool
    channel_is_ready: bool
    tracks: tuple[TrackSnapshot, ...]
    subscriptions: tuple[SubscriptionSnapshot, ...]
    round_trip_time_ms: float | None
    bytes_received: int
    bytes_sent: int
    received_bps: float
    sent_bps: float
    loss_received: float | None
    """None: no media came."""
    loss_sent: float | None
    """As the other side says; None: it has said nothing of any packet."""
    estimate_bps: float | None
    """What the path to it is believed to carry; None: nothing limits it, or nothing is known."""


@dataclass(frozen=True, slots=True)
class ConferenceSnapshot:
    """One call."""

    conference: ConferenceId
    legs: tuple[LegSnapshot, ...]
    speakers: tuple[Speaker, ...]


def snapshot_of(
    conference: ConferenceId,
    legs: Iterable[Leg],
    board: Board,
    speakers: tuple[Speaker, ...],
    counters: CountersByNumber,
) -> ConferenceSnapshot:
    """Everything of a call."""
    return ConferenceSnapshot(
        conference=conference,
        legs=tuple(leg_snapshot(leg, board, counters) for leg in legs),
        speakers=speakers,
    )


def leg_snapshot(leg: Leg, board: Board, counters: CountersByNumber) -> LegSnapshot:
    """Everything of one leg."""
    row, estimate = counters.transports.get(leg.transport), counters.estimates.get(leg.transport)
    encodings = (
        (int(one.track), number) for one in leg.publications for number in range(len(one.section.encodings))
    )
    return LegSnapshot(
        leg=leg.transport,
        is_admitted=leg.is_admitted,
        channel_is_ready=leg.channel_is_ready,
        tracks=tuple(_track_snapshot(one, leg, board, counters) for one in leg.publications),
        subscriptions=tuple(
            _subscription_snapshot(one, leg.subscriptions.explanations, counters) for one in leg.subscriptions
        ),
        round_trip_time_ms=None if row is None else _finite(row["round_trip_time_ms"]),
        bytes_received=0 if row is None else int(row["bytes_received"]),
        bytes_sent=0 if row is None else int(row["bytes_sent"]),
        received_bps=counters.wire_bps(leg.transport, "bytes_received"),
        sent_bps=counters.wire_bps(leg.transport, "bytes_sent"),
        loss_received=counters.loss(encodings),
        loss_sent=None
        if estimate is None or estimate["state"] == EstimateState.UNKNOWN
        else _finite(estimate["loss"]),
        estimate_bps=None if estimate is None else _finite(estimate["target_bps"]),
    )


def _track_snapshot(one: Publication, leg: Leg, board: Board, counters: CountersByNumber) -> TrackSnapshot:
    section = one.section
    announced = board.announced(leg.transport).get((section.mid, section.track_id))
    ids = None if announced is None else announced.ids
    if leg.is_trunk:
        # Its guests announce it; the section says under which ids.
        ids = section.stream_id, section.track_id
    return TrackSnapshot(
        track=one.track,
        mid=section.mid,
        kind=section.kind,
        source=None if one.stream is None else one.stream.source,
        stream_id=None if ids is None else ids[0],
        track_id=None if ids is None else ids[1],
        width=one.width,
        height=one.height,
        encodings=tuple(
            _encoding_snapshot(one, number, counters) for number in range(len(section.encodings))
        ),
    )


def _encoding_snapshot(one: Publication, number: int, counters: CountersByNumber) -> EncodingSnapshot:
    key = (int(one.track), number)
    row = counters.encodings.get(key)
    return EncodingSnapshot(
        rid=one.section.encodings[number].rid,
        is_bound=number in one.bound,
        bitrate_bps=0.0 if row is None else counters.bitrate_bps(key),
        packets_received=0 if row is None else int(row["packets_received"]),
        packets_lost=0 if row is None else int(row["packets_lost"]),
        last_received_at=None if row is None else Instant(int(row["last_received_at"])),
    )


def _subscription_snapshot(
    one: Subscription, explanations: Explanations, counters: CountersByNumber
) -> SubscriptionSnapshot:
    wish, forwarding, route = one.wish, one.forwarding, one.route
    told = explanations.told((wish.stream_id, wish.track_id))
    decision = None if route is None else counters.decisions.get(route)
    sent = None if route is None else counters.routes.get(route)
    return SubscriptionSnapshot(
        stream_id=wish.stream_id,
        track_id=wish.track_id,
        owner=None if forwarding is None else forwarding.announced.owner,
        route=route,
        width=wish.width,
        height=wish.height,
        is_pinned=wish.is_pinned,
        is_visible=wish.is_visible,
        wanted_encoding=None if decision is None else _encoding(decision["wanted_encoding"]),
        chosen_encoding=None if decision is None else _encoding(decision["chosen_encoding"]),
        current_encoding=None if sent is None else _encoding(sent["encoding"]),
        cause=_cause(one, decision) if told is None else told.reason,
        text="" if told is None else told.text,
        hop=None if told is None else told.hop,
        packets_sent=0 if sent is None else int(sent["packets_sent"]),
        packets_lost=0 if sent is None else int(sent["packets_lost"]),
        decision=None if decision is None else _decision_snapshot(decision),
        layers=() if forwarding is None else tuple(_layers(forwarding, counters)),
    )


def _layers(forwarding: Forwarding, counters: CountersByNumber) -> Iterator[Rid]:
    rids = forwarding.announced.rids or (NO_RID,)
    for lane in forwarding.lanes:
        sent = counters.routes.get(lane.route.route)
        encoding = None if sent is None else _encoding(sent["encoding"])
        # Counters are a tick older than what the publisher says.
        if encoding is not None and encoding < len(rids):
            yield rids[encoding]


def _decision_snapshot(decision: Row) -> DecisionSnapshot:
    temporal = int(decision["temporal"])
    return DecisionSnapshot(
        allowed_encoding=_encoding(decision["allowed_encoding"]),
        temporal=None if temporal == ALL_TEMPORAL else temporal,
        frame_rate=float(decision["frame_rate"]),
        rate_bps=float(decision["rate_bps"]),
        next_rate_bps=float(decision["next_rate_bps"]),
        best_rate_bps=float(decision["best_rate_bps"]),
        budget_bps=_finite(decision["budget_bps"]),
        rank=int(decision["rank"]),
    )


def _cause(one: Subscription, decision: Row | None) -> str:
    if one.forwarding is None:
        return "not_published"
    if one.forwarding.refusal is not None:
        return one.forwarding.refusal
    return "negotiating" if decision is None else Cause(int(decision["cause"])).label


def _finite(value: Row) -> float | None:
    """Infinity and NaN say that a number is not known, and are none that JSON knows."""
    number = float(value)
    return number if math.isfinite(number) else None


def _encoding(index: Row) -> int | None:
    return None if index == PAUSED else int(index)
