"""What other foci announce, once it is judged: who is in the call by which trunk, and who no more."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfu.conference.values import GuestDescription
from signalling.focus.dialect import descriptions
from signalling.focus.guests import Guest
from signalling.focus.turn import Count, Level, Note

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sfu.conference.conference import ConferenceOutput
    from sfu.units import Instant, TransportId
    from signalling.events.metadata import StreamMetadata
    from signalling.events.room_state import FocusDevice
    from signalling.focus.calls import Calls, LiveCall
    from signalling.focus.cascade.foci import Person
    from signalling.focus.cascade.hops import Hop, Neighbourhood, Neighbours
    from signalling.focus.cascade.trust import Announced, Trust
    from signalling.focus.leg import Leg
    from signalling.focus.outward import Outward
    from signalling.focus.turn import Outputs


@dataclass(frozen=True, slots=True)
class _Offer:
    """Somebody whom a hop can bring."""

    hop: Hop
    guest: Guest
    streams: tuple[StreamMetadata, ...]

    @property
    def rank(self) -> tuple[bool, int, str, str]:
        """Lower goes first: who can be heard now, the shorter way, and then always the same one."""
        focus = self.hop.focus
        return not self.hop.is_current, len(self.guest.path), focus.user_id, focus.device_id


class Hearing:
    """Hears other foci, and judges again what they said whenever that may come out differently."""

    def __init__(
        self,
        trust: Trust,
        neighbourhood: Neighbourhood,
        calls: Calls,
        outward: Outward,
        *,
        relay_hops: int = 0,
    ) -> None:
        """Begin.

        Args:
            trust: the judge.
            neighbourhood: of all calls.
            calls: likewise.
            outward: tells everybody.
            relay_hops: what came over fewer trunks is passed on; 0: nothing is.
        """
        self._trust = trust
        self._neighbourhood = neighbourhood
        self._calls = calls
        self._outward = outward
        self._relay_hops = relay_hops

    def announced(self, now: Instant, leg: Leg, metadata: tuple[StreamMetadata, ...] | None) -> Outputs:
        """Take what the focus of a trunk announces: complete, or (None) nothing new."""
        hop, near = self._neighbourhood.hop_of(leg), self._neighbourhood.of(leg.key.call)
        if metadata is None or hop is None or near is None:
            return []
        if (hop.streams, hop.has_announced) != (metadata, True):
            hop.streams, hop.has_announced = metadata, True
            self._calls.change(self._calls.call_of(leg))
        return self.judge(now, near)

    def asked(self, leg: Leg, foci: tuple[FocusDevice, ...]) -> None:
        """A client wants us to connect to these foci, of which it knows by itself."""
        near = self._neighbourhood.of(leg.key.call)
        if near is not None:
            near.asked[leg.transport] = foci
            near.is_stale = True
            self._calls.touch(self._calls.call_of(leg))

    def judge(self, now: Instant, near: Neighbours) -> Outputs:
        """Bring the guests of a call to what is believed now."""
        call = self._calls.call(near.call)
        outputs: Outputs = []
        offers: dict[str, _Offer] = {}
        for hop in near.hops.values():
            verdict = self._trust.announced(hop.focus, hop.streams, near.foci, near.own)
            outputs += _refused(now, hop, verdict)
            for offer in _offers(hop, verdict):
                known = offers.get(offer.guest.key)
                if known is None or offer.rank < known.rank:
                    offers[offer.guest.key] = offer
        if call is None:
            return outputs
        gone = [key for key in call.conference.guests.values() if key not in offers]
        given = call.conference.remove_guests(now, gone) if gone else []
        given += self._describe(now, call, near, offers.values())
        call.guests = {guest: offers[key].guest for guest, key in call.conference.guests.items()}
        return [*outputs, *self._outward.pass_on(now, call, given)]

    def _describe(
        self, now: Instant, call: LiveCall, near: Neighbours, offers: Iterable[_Offer]
    ) -> list[ConferenceOutput]:
        by_hop: dict[Hop, list[GuestDescription]] = {hop: [] for hop in near.hops.values()}
        for offer in offers:
            by_hop[offer.hop].append(self._described(near, offer))
        changed = [
            (hop, tuple(guests))
            for hop, guests in by_hop.items()
            if hop.is_current and hop.described != tuple(guests)
        ]
        # Who comes by another trunk than before is described by the new one before the old one drops them.
        changed.sort(key=lambda one: len(one[0].described or ()) - len(one[1]))
        given: list[ConferenceOutput] = []
        for hop, guests in changed:
            assert hop.leg is not None  # noqa: S101  # it is current
            hop.described = guests
            given += call.conference.guests_described(now, hop.leg.transport, guests)
        return given

    def _described(self, near: Neighbours, offer: _Offer) -> GuestDescription:
        streams = descriptions(offer.streams, by_focus=True) or ()
        return GuestDescription(offer.guest.key, streams, self._relayed_to(near, offer))

    def _relayed_to(self, near: Neighbours, offer: _Offer) -> frozenset[TransportId]:
        path = offer.guest.path
        if len(path) >= self._relay_hops:
            return frozenset()
        return frozenset(
            hop.leg.transport
            for hop in near.hops.values()
            if hop.leg is not None and hop is not offer.hop and hop.focus not in path
        )


def _offers(hop: Hop, verdict: Announced) -> list[_Offer]:
    by_owner: dict[Person, list[StreamMetadata]] = {}
    for one in verdict.streams:
        streams = by_owner.setdefault(one.owner, [])
        # Of a person whose streams a relay has by several ways, the first way counts: here they have one.
        if not streams or streams[0].path == one.stream.path:
            streams.append(one.stream)
    return [
        _Offer(hop, Guest(owner.user_id, owner.device_id, streams[0].path), tuple(streams))
        for owner, streams in by_owner.items()
    ]


def _refused(now: Instant, hop: Hop, verdict: Announced) -> Outputs:
    """What is said of streams that are not believed, once of each for as long as that is so."""
    news = [one for one in verdict.refused if one not in hop.refused]
    hop.refused = frozenset(verdict.refused)
    outputs: Outputs = [Count("streams_refused", {"reason": reason}) for _, reason in news]
    if news and hop.notes.take(now):
        facts = {str(reason): number for reason, number in Counter(reason for _, reason in news).items()}
        outputs.append(Note(Level.INFO, "trunk_streams_refused", facts))
    return outputs
