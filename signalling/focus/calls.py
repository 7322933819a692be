"""The calls that live, their legs, and every name by which either is looked up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from sfu.conference.caps import Caps
from sfu.conference.conference import Conference
from sfu.conference.placement import least_occupied, worker_with_room
from sfu.conference.reports import Reports
from sfu.plane import RemoveRoute, RemoveTrack, SetRoute, SetTrack
from sfu.units import earliest
from signalling.focus.agenda import Agenda
from signalling.focus.guests import NOBODY
from signalling.focus.views import Views

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sfu.conference.conference import ConferenceOutput, LocalMedia
    from sfu.conference.ids import IdSource
    from sfu.conference.turn import MediaReport
    from sfu.config import SfuConfig
    from sfu.units import Instant, RouteId, TrackHandle, TransportId
    from signalling.focus.guests import Guest
    from signalling.focus.leg import CallKey, Dialled, Leg, LegKey


@dataclass(slots=True, eq=False)  # a key may come again, a call does not
class LiveCall:
    """A call with somebody in it."""

    key: CallKey
    conference: Conference
    legs: dict[TransportId, Leg] = field(default_factory=dict)
    """Of its people who are connected here, and of its trunks."""
    views: Views = field(default_factory=Views)
    guests: Mapping[TransportId, Guest] = field(default_factory=lambda: NOBODY)
    """Who is connected to other foci. Everybody is told of them: it is not made anew for each."""
    version: int = 0
    """Another one whenever something has changed by which trunks go; no two calls ever have the same."""

    @property
    def people(self) -> list[Leg]:
        """The legs that lead to clients."""
        return [leg for leg in self.legs.values() if leg.trunk is None]

    def next_timeout(self) -> Instant | None:
        """When something of the call or one of its legs is due."""
        return earliest(self.conference.next_timeout(), *(leg.next_timeout() for leg in self.legs.values()))


class Calls:
    """All calls and legs. Whoever changes one says so with `touch`: its times are read after the turn."""

    def __init__(
        self, workers: Sequence[LocalMedia], config: SfuConfig, rng: random.Random, ids: IdSource
    ) -> None:
        self._workers = workers
        self._numbers = range(len(workers))
        self._participants = [0] * len(workers)
        """On each worker."""
        self._config = config
        self._rng = rng
        self._ids = ids
        self._by_key: dict[CallKey, LiveCall] = {}
        self._legs: dict[TransportId, Leg] = {}
        self._by_leg_key: dict[LegKey, Leg] = {}
        self._by_dial: dict[Dialled, Leg] = {}
        self._by_track: dict[TrackHandle, LiveCall] = {}
        self._by_route: dict[RouteId, LiveCall] = {}
        self._reports = Reports()
        self._touched: dict[LiveCall, None] = {}
        self._versions = count(1)
        self._agenda: Agenda[LiveCall] = Agenda()
        self._reportable: Agenda[LiveCall] = Agenda()
        """From when on a call must hear of the next report, whatever is in it."""

    def __iter__(self) -> Iterator[LiveCall]:
        return iter(tuple(self._by_key.values()))

    def __len__(self) -> int:
        return len(self._by_key)

    @property
    def legs(self) -> Sequence[Leg]:
        """Everybody in any call."""
        return tuple(self._legs.values())

    def leg(self, transport: TransportId) -> Leg | None:
        """By its transport."""
        return self._legs.get(transport)

    def leg_of(self, key: LegKey) -> Leg | None:
        """By what it is over all its redials."""
        return self._by_leg_key.get(key)

    def dialled(self, dialled: Dialled) -> Leg | None:
        """By what its client's messages say."""
        return self._by_dial.get(dialled)

    def call(self, key: CallKey) -> LiveCall | None:
        """By room and conference."""
        return self._by_key.get(key)

    def call_of(self, leg: Leg) -> LiveCall:
        """The call that a leg is in."""
        return self._by_key[leg.key.call]

    def call_of_track(self, track: TrackHandle) -> LiveCall | None:
        """The call in which a track is published."""
        return self._by_track.get(track)

    def open(self, key: CallKey) -> LiveCall:
        """The call, begun if there was none, where there is most room for it."""
        call = self._by_key.get(key)
        if call is None:
            begun = Counter(one.conference.worker for one in self._by_key.values())
            worker = least_occupied(self._participants, [begun[number] for number in self._numbers])
            allocation = self._config.allocation
            conference = Conference(
                self._ids.conference(),
                self._ids,
                self._workers[worker],
                self._config.conference,
                self._config.limits,
                self._rng,
                self._reports,
                Caps(max_bps=allocation.max_bps, max_videos=allocation.max_videos),
            )
            call = self._by_key[key] = LiveCall(key, conference, version=next(self._versions))
        return call

    def place_in(self, call: LiveCall) -> LocalMedia:
        """Where a leg that joins a call is to be."""
        home, limit = call.conference.worker, self._config.media.legs_per_worker
        if len(self._workers) == 1 or self._participants[home] < limit:
            return self._workers[home]
        own = Counter(leg.worker for leg in call.legs.values())
        shares = [own[number] for number in self._numbers]
        return self._workers[worker_with_room(home, self._participants, shares, limit)]

    def add(self, leg: Leg) -> None:
        """A leg of a call that was opened."""
        self._participants[leg.worker] += 1
        call = self.call_of(leg)
        call.legs[leg.transport] = leg
        self._legs[leg.transport] = leg
        self._by_leg_key[leg.key] = leg
        self._by_dial[leg.dialled] = leg
        self.change(call)

    def remove(self, leg: Leg) -> None:
        """A leg has ended; its call ends with the last one."""
        self._participants[leg.worker] -= 1
        call = self.call_of(leg)
        del call.legs[leg.transport]
        del self._legs[leg.transport]
        del self._by_leg_key[leg.key]
        del self._by_dial[leg.dialled]
        self.change(call)
        self.close_if_empty(call)

    def close_if_empty(self, call: LiveCall) -> None:
        """End a call that nobody is in."""
        self.touch(call)
        if not call.legs:
            del self._by_key[call.key]

    def note_media(self, call: LiveCall, outputs: Iterable[ConferenceOutput]) -> None:
        """Take notice of the tracks and routes that a call's outputs set and remove."""
        for output in outputs:
            match output:
                case SetTrack(track):
                    self._by_track[track] = call
                case RemoveTrack(track):
                    self._by_track.pop(track, None)
                case SetRoute(route):
                    self._by_route[route] = call
                case RemoveRoute(route):
                    self._by_route.pop(route, None)
                case _:
                    pass

    # --- reports ------------------------------------------------------------------------------------------

    def concerned(self, now: Instant, report: MediaReport) -> list[LiveCall]:
        """The calls that a tick's report has something for: of thousands that go on as they did, none."""
        self._reports.take(report)
        counted = self._reports.newest
        concerned = dict.fromkeys(self._reportable.due(now))
        changed = (self._by_route.get(route) for route in counted.outcomes.changed.tolist())
        heard = (self._by_track.get(track) for track in counted.heard)
        concerned |= {call: None for call in (*changed, *heard) if call is not None}
        return list(concerned)

    def reported(self, call: LiveCall) -> None:
        """A call has heard of a report, and nothing came of it: nothing else of it can have changed."""
        self._reportable.set(call, call.conference.report_due_at)

    # --- time ---------------------------------------------------------------------------------------------

    def touch(self, call: LiveCall) -> None:
        """Something was done to the call or a leg of it."""
        self._touched[call] = None

    def change(self, call: LiveCall) -> None:
        """Touch, for what trunks go by: a leg comes, goes, connects, is admitted; streams are told of."""
        call.version = next(self._versions)
        self.touch(call)

    @property
    def touched(self) -> Sequence[LiveCall]:
        """The calls to which something was done in this turn, those among them that have ended included."""
        return tuple(self._touched)

    def turn_ended(self) -> None:
        """Read anew when something is due of what was touched."""
        for call in self._touched:
            is_live = self._by_key.get(call.key) is call
            self._agenda.set(call, call.next_timeout() if is_live else None)
            self._reportable.set(call, call.conference.report_due_at if is_live else None)
        self._touched.clear()

    def due(self, now: Instant) -> list[LiveCall]:
        """The calls of which something is due."""
        return self._agenda.due(now)

    def hold(self, call: LiveCall, until: Instant) -> None:
        """Leave a call alone until then, or until it is touched again."""
        self._touched.pop(call, None)
        self._agenda.set(call, until)

    def next_timeout(self) -> Instant | None:
        """When the first is due."""
        return self._agenda.next_timeout()
