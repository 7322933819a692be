"""What is going on in all calls, for the admin API: plain values that JSON knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from signalling.focus.cascade.showing import trunk_snapshot
from signalling.focus.channel import OpenChannel
from signalling.focus.dialect import focus_behind, person_of
from signalling.focus.figures import transport_figures
from signalling.focus.leg import Awaited, Connecting

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sfu.conference.snapshot import (
        ConferenceSnapshot,
        DecisionSnapshot,
        LegSnapshot,
        SubscriptionSnapshot,
        TrackSnapshot,
    )
    from sfu.conference.values import Hop
    from signalling.focus.calls import LiveCall
    from signalling.focus.cascade.hops import Neighbourhood, Neighbours
    from signalling.focus.leg import Leg

Json = dict[str, Any]

_Named = tuple[str, str | None, list[Any]]
"""What a track is: its kind, its source, the rids of its encodings."""


def calls_snapshot(calls: Iterable[LiveCall], neighbourhood: Neighbourhood) -> list[Json]:
    """One object for each call."""
    return [_call(call, neighbourhood.of(call.key)) for call in calls]


def counts_of(calls: list[Json]) -> Json:
    """How much there is of everything."""
    members = [member for call in calls for member in call["members"]]
    return {
        "calls": len(calls),
        "participants": len(members),
        "tracks": sum(len(member["tracks"]) for member in members),
        "subscriptions": sum(len(member["subscriptions"]) for member in members),
    }


def state_of(leg: Leg) -> str:
    """How far a leg is, in one word."""
    if isinstance(leg.connection, Connecting):
        return "connecting"
    if isinstance(leg.standing, Awaited):
        return "waiting"
    return "connected" if isinstance(leg.channel, OpenChannel) else "no_channel"


def _call(call: LiveCall, near: Neighbours | None) -> Json:
    snapshot = call.conference.snapshot()
    legs = {one.leg: one for one in snapshot.legs}
    return {
        "conf_id": call.key.conf_id,
        "room_id": call.key.room_id,
        "conference": snapshot.conference,
        "worker": call.conference.worker,
        "members": [
            _member(call, snapshot, one) for one in snapshot.legs if call.legs[one.leg].trunk is None
        ],
        "speakers": [
            {"leg": one.leg, "level": one.level} for one in snapshot.speakers if one.leg in call.legs
        ],
        "trunks": [] if near is None else [trunk_snapshot(call, hop, legs) for hop in near.hops.values()],
    }


def _member(call: LiveCall, conference: ConferenceSnapshot, one: LegSnapshot) -> Json:
    leg = call.legs[one.leg]
    return {
        "user_id": leg.key.user_id,
        "device_id": leg.key.device_id,
        "leg": one.leg,
        "worker": leg.worker,
        "call_id": leg.dialled.call_id,
        "state": state_of(leg),
        "admitted": one.is_admitted,
        "encrypted": leg.is_encrypted,
        **transport_figures(one),
        "tracks": [_track(track) for track in one.tracks],
        "subscriptions": [_subscription(call, conference, wish) for wish in one.subscriptions],
    }


def _track(track: TrackSnapshot) -> Json:
    return {
        "kind": str(track.kind),
        "source": None if track.source is None else str(track.source),
        "stream_id": track.stream_id,
        "track_id": track.track_id,
        "width": track.width,
        "height": track.height,
        "encodings": [
            {
                "rid": encoding.rid,
                "live": encoding.is_bound,
                "bitrate_bps": round(encoding.bitrate_bps),
                "packets_received": encoding.packets_received,
                "packets_lost": encoding.packets_lost,
            }
            for encoding in track.encodings
        ],
    }


def _subscription(call: LiveCall, conference: ConferenceSnapshot, wish: SubscriptionSnapshot) -> Json:
    owner = None if wish.owner is None else person_of(wish.owner, call.legs, call.guests)
    kind, source, rids = _track_of(conference, wish) or _guests_track(call, wish)
    return {
        "kind": kind,
        "source": source,
        "from": "nobody" if owner is None else owner.user_id,
        "device_id": None if owner is None else owner.device_id,
        "stream_id": wish.stream_id,
        "track_id": wish.track_id,
        "width": wish.width,
        "height": wish.height,
        "pinned": wish.is_pinned,
        "visible": wish.is_visible,
        "current": _rid(rids, wish.current_encoding),
        "wanted": _rid(rids, wish.wanted_encoding),
        "chosen": _rid(rids, wish.chosen_encoding),
        "cause": wish.cause,
        "why": wish.text,
        "hop": None if wish.hop is None else _hop(call, wish.hop),
        "packets_sent": wish.packets_sent,
        "packets_lost": wish.packets_lost,
        "decision": None if wish.decision is None else _decision(wish.decision, rids),
    }


def _hop(call: LiveCall, hop: Hop) -> Json | None:
    focus = focus_behind(hop, call.guests)
    if focus is None:
        return None
    return {"user_id": focus.user_id, "device_id": focus.device_id, "cause": hop.reason}


def _decision(decision: DecisionSnapshot, rids: list[Any]) -> Json:
    return {
        "allowed": _rid(rids, decision.allowed_encoding),
        "temporal": decision.temporal,
        "frame_rate": round(decision.frame_rate, 1),
        "rate_bps": round(decision.rate_bps),
        "next_rate_bps": round(decision.next_rate_bps),
        "best_rate_bps": round(decision.best_rate_bps),
        "budget_bps": None if decision.budget_bps is None else round(decision.budget_bps),
        "rank": decision.rank,
    }


def _track_of(conference: ConferenceSnapshot, wish: SubscriptionSnapshot) -> _Named | None:
    return next(
        (
            (
                str(track.kind),
                None if track.source is None else str(track.source),
                [encoding.rid for encoding in track.encodings],
            )
            for leg in conference.legs
            if leg.leg == wish.owner
            for track in leg.tracks
            if (track.stream_id, track.track_id) == (wish.stream_id, wish.track_id)
        ),
        None,
    )


def _guests_track(call: LiveCall, wish: SubscriptionSnapshot) -> _Named:
    """The same of somebody who is connected to another focus, as they are announced here."""
    view = call.conference.view(call.people[0].transport) if wish.owner in call.guests else ()
    return next(
        (
            (str(track.kind), str(one.stream.source), [str(rid) for rid in track.layers] or [""])
            for one in view
            if one.owner == wish.owner and one.stream.stream_id == wish.stream_id
            for track in one.stream.tracks
            if track.track_id == wish.track_id
        ),
        ("track", None, [""]),
    )


def _rid(rids: list[Any], encoding: int | None) -> str | None:
    """The encoding's name, empty for one without simulcast; None: none flows, or none was decided on."""
    return None if encoding is None or encoding >= len(rids) else str(rids[encoding])
