"""What trunks are asked for: the layers of guests' tracks that somebody here wants now, each once.

A trunk carries nothing that nobody asked for. So as soon as there is a wish for a guest's track, what it will
take is asked for, and once there are decisions about it, what these say. What nobody wants any more is given
up after a while, like a publisher's encodings (`sender_layers.py`), and so is what nobody here can be given.
While there is a wish, if only for something that is out of sight, its trunk keeps the section: looked at
again, it is there after a key frame.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.allocation.table import DemandTable
from sfu.allocation.wanted import below_ceiling, encoding_size, wanted_encodings
from sfu.conference.forwarding import NO_ROUTE
from sfu.conference.outcomes import NO_MARK
from sfu.conference.sender_layers import WantedEncodings, WantedLayers
from sfu.conference.turn import SetDemand
from sfu.conference.values import LayersDemanded, Source, Wish
from sfu.rows import MAX_ENCODINGS
from sfu.units import Kind, TrackHandle, TransportId

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sfu.conference.guests import Guests, GuestTrack
    from sfu.conference.leg import Leg
    from sfu.conference.outcomes import Outcomes
    from sfu.conference.routes import Routes, WishKey
    from sfu.conference.subscriptions import Subscription
    from sfu.conference.view import TrackIds
    from sfu.units import Instant

_WISHED: Final = 1 << MAX_ENCODINGS
"""Beside the encodings, as a bit: somebody has a wish for the track."""
_FLAGS: Final = MAX_ENCODINGS + 1


class Demands:
    """Of one call.

    Args:
        guests: of the call.
        routes: of the call.
        legs: everybody in it, now and later.
    """

    def __init__(self, guests: Guests, routes: Routes, legs: Mapping[TransportId, Leg]) -> None:
        self._guests = guests
        self._routes = routes
        self._legs = legs
        self._layers = WantedLayers(always=0)
        self._waiting: dict[WishKey, None] = {}
        """Wishes about which nothing was decided yet."""
        self._told: dict[TransportId, dict[TrackHandle, Wish]] = {}
        """What each trunk was asked for last."""
        self._touched: dict[TrackHandle, None] = {}
        self._is_stale = False

    @property
    def is_stale(self) -> bool:
        """Something was asked for since it was last looked at who wants what."""
        return self._is_stale

    def next_timeout(self) -> Instant | None:
        """When something is given up, if nobody wants it until then."""
        return self._layers.next_timeout()

    def is_expected(self, now: Instant, track: TrackHandle, encoding: int) -> bool:
        """Whether an encoding of a guest's track has been asked for a moment ago."""
        known = self._guests.tracks.get(track)
        return known is not None and self._layers.is_expected(now, known.handle, encoding)

    def asked(self, trunk: TransportId, track: TrackHandle) -> Wish | None:
        """What a trunk was asked for last of a guest's track, by the handle that is its own."""
        return self._told.get(trunk, {}).get(track)

    def ask(self, now: Instant, member: Leg, ids: Iterable[TrackIds]) -> None:
        """A leg has wishes, or has others than before: what they will take is asked for at once."""
        if not member.is_admitted or not self._guests.tracks:
            return
        for one in ids:
            subscription = member.subscriptions.get(one)
            track = None if subscription is None else self._track_of(subscription)
            if subscription is None or track is None:
                continue
            if subscription.route is None:
                self._waiting[member.transport, one] = None
            self._layers.set(now, track.handle, _FLAGS)
            bits = self._layers.hopeful(track.handle, _bits(track, subscription, member))
            if self._layers.ask(now, track.handle, bits):
                self._touched[track.handle] = None
            self._is_stale = True

    def follow(self, now: Instant, outcomes: Outcomes) -> None:
        """Take up who wants what."""
        self._is_stale = False
        if not self._guests.tracks and not self._waiting:
            return
        demanded = self._routes.demanded_layers(outcomes)
        wanted = WantedEncodings({}, {})
        for number, bits in demanded.needed.items():
            track = self._guests.tracks.get(number)
            if track is not None:
                wanted.needed[track.handle] = bits | _WISHED
                wanted.withheld[track.handle] = demanded.withheld[number]
        for handle, bits in self._undecided(outcomes):
            wanted.needed[handle] = wanted.needed.get(handle, 0) | bits
        self._touched |= dict.fromkeys(self._layers.want(now, wanted))

    def look_again(self) -> None:
        """Wishes have gone."""
        self._is_stale = bool(self._guests.tracks)

    def described(self, tracks: Iterable[TrackHandle]) -> None:
        """Tracks have come, have gone, or may be called otherwise."""
        for handle in tracks:
            self._touched[handle] = None
            if handle not in self._guests.tracks:
                self._layers.drop(handle)

    def lose(self, trunk: TransportId) -> None:
        """A trunk is gone, and what it was asked for with it."""
        self._told.pop(trunk, None)
        self._is_stale = bool(self._guests.tracks)

    def everything(self, trunk: TransportId) -> list[LayersDemanded]:
        """What a trunk is to be asked for whose channel has just opened: it may have missed something."""
        own = (one.handle for one in self._guests.tracks.values())
        return self._tell(trunk, [*self._told.get(trunk, ()), *own], is_anew=True)

    def news(self) -> list[LayersDemanded]:
        """What to ask trunks for, and for what no more; one without a channel is asked when it has one."""
        if not self._touched:
            return []
        touched, self._touched = self._touched, {}
        ready = [leg for leg, one in self._legs.items() if one.is_trunk and one.channel_is_ready]
        return [news for trunk in ready for news in self._tell(trunk, touched, is_anew=False)]

    def _tell(
        self, trunk: TransportId, handles: Iterable[TrackHandle], *, is_anew: bool
    ) -> list[LayersDemanded]:
        told = self._told.setdefault(trunk, {})
        wanted: list[Wish] = []
        unwanted: list[TrackIds] = []
        for handle in dict.fromkeys(handles):
            before = told.get(handle)
            now = self._demand(trunk, handle, is_known=before is not None)
            if before == now and not is_anew:
                continue
            self._outdate(handle, None if is_anew else before, now)
            if before is not None and (now is None or _ids(now) != _ids(before)):
                unwanted.append(_ids(before))
                del told[handle]
            if now is not None:
                wanted.append(now)
                told[handle] = now
        return [LayersDemanded(trunk, tuple(wanted), tuple(unwanted))] if wanted or unwanted else []

    def _outdate(self, handle: TrackHandle, before: Wish | None, now: Wish | None) -> None:
        """What was said of layers that are asked for anew, or no more, says nothing of what will come."""
        track = self._guests.tracks.get(handle)
        if track is None:
            return
        kept = set() if before is None or now is None else {None, *before.layers} & {None, *now.layers}
        track.far = tuple(one for one in track.far if one.rid in kept)

    def _demand(self, trunk: TransportId, handle: TrackHandle, *, is_known: bool) -> Wish | None:
        """What is wanted of a track by a trunk; None: nothing, or it does not come by it."""
        track = self._guests.tracks.get(handle)
        active = self._layers.active(handle)
        if track is None or not active or self._guests.trunk_of(track.guest) != trunk:
            return None
        encodings = [index for index in active if index < MAX_ENCODINGS]
        if not encodings and not is_known:
            # A section is not worth its trouble for what nobody has looked at yet.
            return None
        return _wish(track, encodings)

    def _track_of(self, subscription: Subscription) -> GuestTrack | None:
        announced = subscription.announced
        return None if announced is None else self._guests.tracks.get(announced.track)

    def _undecided(self, outcomes: Outcomes) -> list[tuple[TrackHandle, int]]:
        """What wishes will take about which nothing is decided yet; the others wait no more."""
        waiting: dict[WishKey, None] = {}
        wanted = []
        for leg, ids in self._waiting:
            member = self._legs.get(leg)
            subscription = None if member is None else member.subscriptions.get(ids)
            if member is None or subscription is None or _is_decided(subscription, outcomes):
                continue
            waiting[leg, ids] = None
            track = self._track_of(subscription)
            if track is not None:
                # Who can't take it goes without; a section that were given back would be asked for again.
                is_refused = (
                    subscription.forwarding is not None and subscription.forwarding.refusal is not None
                )
                bits = _WISHED if is_refused else _bits(track, subscription, member)
                wanted.append((track.handle, self._layers.hopeful(track.handle, bits)))
        self._waiting = waiting
        return wanted


def _is_decided(subscription: Subscription, outcomes: Outcomes) -> bool:
    """Whether it is decided what a wish is given."""
    route = subscription.route
    if route is None:
        return False
    _, marks = outcomes.find(np.array([route], np.uint32))
    return bool(marks[0] != NO_MARK)


def fitting_encoding(demand: SetDemand) -> int:
    """The encoding that fits the tile of a demand and keeps below its ceiling, as it will be decided."""
    # The same for every route and every track, so that a thousand people who look on are a few sizes.
    plain = replace(demand, route=NO_ROUTE, subscriber=TransportId(0), track=TrackHandle(0))
    return _fitting_encoding(plain)


@lru_cache(maxsize=1_024)
def _fitting_encoding(demand: SetDemand) -> int:
    table = DemandTable()
    table.set(demand)
    permitted = int(below_ceiling(table.rows)[0].sum())
    return min(int(wanted_encodings(table.rows)[0]), permitted - 1)


def _bits(track: GuestTrack, subscription: Subscription, member: Leg) -> int:
    """What a wish will take, and where nothing flows to it yet, all that it could be given instead."""
    wish, announced = subscription.wish, subscription.announced
    if announced is None or track.kind is Kind.AUDIO:
        return 1 | _WISHED
    if not wish.is_visible:
        return _WISHED
    if wish.layers:
        return _WISHED | sum(1 << index for index, rid in enumerate(track.rids) if rid in wish.layers)
    fitting = fitting_encoding(member.subscriptions.demand_of(wish, announced))
    return _WISHED | ((2 << fitting) - 1 if subscription.route is None else 1 << fitting)


def _ids(wish: Wish) -> TrackIds:
    return wish.stream_id, wish.track_id


def _wish(track: GuestTrack, encodings: list[int]) -> Wish:
    """What a trunk is to bring of a track: these encodings of it, of those that there are."""
    stream_id, track_id = track.ids
    if track.kind is Kind.AUDIO:
        return Wish(stream_id, track_id)
    if not encodings:
        return Wish(stream_id, track_id, is_visible=False)
    rids = track.rids
    there = sorted({min(index, max(len(rids) - 1, 0)) for index in encodings})
    full = SetDemand(
        NO_ROUTE,
        track.guest,
        track.handle,
        Kind.VIDEO,
        full_width=track.described.width or 0,
        full_height=track.described.height or 0,
        encodings=max(len(rids), 1),
        screen_share=track.stream.source is Source.SCREEN,
    )
    width, height = encoding_size(there[-1], full)
    return Wish(stream_id, track_id, width, height, layers=tuple(rids[index] for index in there if rids))
