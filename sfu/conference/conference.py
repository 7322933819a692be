"""The media side of one call: who publishes what, who is told of it, who receives it.

An engine of values: every method takes the time and returns what must happen, in order. It knows participants
as legs and has never heard of the signalling that named them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.conference.agreements import Agreements
from sfu.conference.announcements import Announcements
from sfu.conference.arrivals import Arrivals, LocalMedia
from sfu.conference.caps import NO_CAPS, Caps
from sfu.conference.demands import Demands
from sfu.conference.guests import Guests
from sfu.conference.hops import Hops
from sfu.conference.leg_stats import StatsRequest
from sfu.conference.outputs import ConferenceOutput
from sfu.conference.reports import NEXT_REPORT
from sfu.conference.routes import Routes
from sfu.conference.snapshot import ConferenceSnapshot, LegSnapshot, leg_snapshot, snapshot_of
from sfu.conference.speech import Speech
from sfu.conference.telling import Telling
from sfu.conference.turn import CloseLeg
from sfu.conference.values import Refused
from sfu.conference.view import Board
from sfu.conference.visits import Visits
from sfu.errors import CapacityError, LocalError
from sfu.plane import PlaneEvent, SetTrack, StreamBound, StreamEnded
from sfu.units import TransportId, earliest

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, KeysView, Mapping, Sequence

    from sfu.conference.ids import IdSource
    from sfu.conference.leg import Leg
    from sfu.conference.outputs import Outputs
    from sfu.conference.publications import PublishedTrack
    from sfu.conference.reports import Reports
    from sfu.conference.turn import MediaReport
    from sfu.conference.values import (
        FarDecision,
        GuestDescription,
        Speaker,
        StreamDescription,
        StreamView,
        Wish,
    )
    from sfu.config import ConferenceConfig, LimitsConfig
    from sfu.negotiation.negotiation import NegotiationOutput
    from sfu.units import ConferenceId, Instant

__all__ = ["Conference", "ConferenceOutput", "LocalMedia"]


class Conference:
    """One call. A method naming a leg that is not in it raises `LocalError`."""

    def __init__(
        self,
        conference: ConferenceId,
        ids: IdSource,
        local: LocalMedia,
        config: ConferenceConfig,
        limits: LimitsConfig,
        rng: random.Random,
        reports: Reports,
        caps: Caps = NO_CAPS,
    ) -> None:
        """Begin an empty call.

        Args:
            conference: from `ids`, or chosen by the caller.
            ids: the one of this process.
            local: what legs are told of this server, unless another worker is to have one.
            config: how a call is run.
            limits: how much one leg may ask for.
            rng: ICE passwords come from it: unpredictable (`random.SystemRandom`) but in tests.
            reports: those of this process.
            caps: what everybody in it is given at most, besides `config.max_height`.
        """
        self._conference = conference
        self._local = local
        self._limits = limits
        self._reports = reports
        self._arrivals = Arrivals(ids, config, limits, rng, caps)
        self._legs: dict[TransportId, Leg] = {}
        self._guests = Guests(ids)
        self._routes = Routes()
        self._board = Board(config.announce_delay_ms)
        self._speech = Speech(conference, config)
        self._demands = Demands(self._guests, self._routes, self._legs)
        self._hops = Hops(self._guests, self._demands, self._board)
        self._telling = Telling(self._routes, self._demands, self._hops, sender_layers=config.sender_layers)
        self._agreements = Agreements(self._legs, self._telling)
        self._announcements = Announcements(
            self._board, self._legs, self._guests, self._agreements, self._demands, self._speech
        )
        self._visits = Visits(self._guests, self._announcements, self._demands)

    @property
    def id(self) -> ConferenceId:
        """Unique in the process."""
        return self._conference

    @property
    def worker(self) -> int:
        """The worker of the plane on which it began."""
        return self._local.worker

    @property
    def legs(self) -> KeysView[TransportId]:
        """Everybody in the call who is connected here, and its trunks, in order of joining."""
        return self._legs.keys()

    @property
    def guests(self) -> Mapping[TransportId, str]:
        """Everybody in it who is connected to another focus, with what the signalling calls them."""
        return self._guests.keys

    @property
    def speakers(self) -> tuple[Speaker, ...]:
        """The active speakers as they were last told, for somebody who comes later."""
        return self._speech.told

    # --- legs ---------------------------------------------------------------------------------------------

    def add_leg(
        self, now: Instant, *, admitted: bool, local: LocalMedia | None = None, caps: Caps = NO_CAPS
    ) -> tuple[TransportId, Outputs]:
        """Somebody calls. Until it is admitted, a leg is answered, but nothing of it or for it is forwarded.

        Args:
            now: when.
            admitted: it is known to be who it says.
            local: where it is to be; None: where the call began.
            caps: what it is given at most, besides what everybody is.

        Raises:
            CapacityError: `legs_per_call`.
        """
        self._check_room()
        member, outputs = self._arrivals.leg(local or self._local, self._routes, caps, is_admitted=admitted)
        self._legs[member.transport] = member
        return member.transport, outputs

    def add_trunk(
        self, now: Instant, *, dials: bool, local: LocalMedia | None = None
    ) -> tuple[TransportId, Outputs]:
        """Another focus calls, of which it is known that it may, or we call it.

        Args:
            now: when.
            dials: we do: the outputs end with our offer. What opens the data channel is the signalling's.
            local: where it is to be; None: where the call began.

        Raises:
            CapacityError: `legs_per_call`.
        """
        self._check_room()
        member, outputs = self._arrivals.trunk(local or self._local, self._routes, dials=dials)
        self._legs[member.transport] = member
        if dials:
            outputs += self._agreements.follow(now, member, member.negotiation.first_offer())
        return member.transport, outputs

    def admit(self, now: Instant, leg: TransportId) -> Outputs:
        """The leg is who it says: what it publishes is announced, and what it wishes for sent, at once."""
        member = self._leg(leg)
        if member.is_admitted:
            return []
        member.is_admitted = True
        self._announcements.note(now, member)
        outputs = self._announcements.flush(now, also=leg)
        outputs += self._announcements.reconcile(now, member, member.subscriptions.wished)
        return [*outputs, *self._agreements.renegotiate(now, member)]

    def remove_leg(self, now: Instant, leg: TransportId) -> Outputs:
        """The leg is over, for whatever reason: ends with its `CloseLeg`; others are told after the delay.

        The guests of a trunk stay, and nothing comes of them until another trunk brings it.
        """
        member = self._leg(leg)
        outputs: Outputs = [*member.subscriptions.close()]
        del self._legs[leg]
        outputs += self._agreements.withdraw(member)
        self._visits.interrupted(now, leg)
        outputs += self._announcements.remove(now, leg)
        return [*outputs, CloseLeg(leg)]

    def view(self, leg: TransportId) -> tuple[StreamView, ...]:
        """What a leg may subscribe to: the announced streams of admitted others."""
        return self._announcements.view(self._leg(leg))

    def published(self, leg: TransportId) -> tuple[PublishedTrack, ...]:
        """What of a leg may be announced now, whether others were told of it yet or not."""
        member = self._leg(leg)
        return member.publications.published() if member.is_admitted else ()

    # --- guests -------------------------------------------------------------------------------------------

    def guests_described(
        self, now: Instant, trunk: TransportId, guests: Sequence[GuestDescription]
    ) -> Outputs:
        """Take a trunk's complete description of its guests; who is in it no more has left.

        Who came by another trunk comes by this one from now on.

        Raises:
            LocalError: the leg is no trunk.
        """
        member = self._leg(trunk)
        if not member.is_trunk:
            raise LocalError(f"leg {trunk} has no guests")
        return self._visits.described(now, member, guests)

    def remove_guests(self, now: Instant, keys: Iterable[str]) -> Outputs:
        """Guests have left, whatever their trunks say; those that are not there are ignored."""
        return self._visits.ended(now, keys)

    def trunk_explained(self, trunk: TransportId, said: Iterable[FarDecision]) -> None:
        """The other focus says why it sends what it sends of tracks; of the others holds what it said last.

        Whom it concerns here is told with the next report.
        """
        self._hops.take(self._leg(trunk).transport, said)

    # --- descriptions -------------------------------------------------------------------------------------

    def offer_received(
        self, now: Instant, leg: TransportId, sdp: str, streams: Sequence[StreamDescription] | None
    ) -> Outputs:
        """Answer a client's offer. `streams` is its complete description, None where it gave none.

        Raises:
            RemoteError: it can't be answered, or (`ParseError`) is no SDP; nothing has changed.
        """
        member = self._leg(leg)
        given = member.negotiation.offer_received(now, sdp)
        return self._described(now, member, given, streams)

    def answer_received(
        self, now: Instant, leg: TransportId, sdp: str, streams: Sequence[StreamDescription] | None
    ) -> Outputs:
        """Take a client's answer to our offer; where there is none, it is refused and ignored.

        Raises:
            RemoteError: it answers another offer, or (`ParseError`) is no SDP; nothing has changed.
        """
        member = self._leg(leg)
        if not member.negotiation.expects_answer:
            outputs: Outputs = [Refused(leg, "no_offer_pending")]
            return [*outputs, *self._described(now, member, [], streams)]
        given = member.negotiation.answer_received(now, sdp)
        return self._described(now, member, given, streams)

    def streams_described(
        self, now: Instant, leg: TransportId, streams: Sequence[StreamDescription]
    ) -> Outputs:
        """Take a leg's complete description of its streams: muted, unmuted, another camera."""
        return self._described(now, self._leg(leg), [], streams)

    # --- subscriptions ------------------------------------------------------------------------------------

    def subscribe(self, now: Instant, leg: TransportId, wishes: Sequence[Wish]) -> Outputs:
        """The leg wants tracks, or wants them in another size. Where both come, `unsubscribe` goes first."""
        member = self._leg(leg)
        refused = member.subscriptions.wish(wishes)
        outputs: Outputs = []
        if refused:
            text = f"{refused} beyond {self._limits.subscriptions_per_leg}"
            outputs.append(Refused(leg, "too_many_subscriptions", text))
        if member.is_admitted:
            ids = [(wish.stream_id, wish.track_id) for wish in wishes]
            outputs += self._announcements.reconcile(now, member, ids)
        return [*outputs, *self._agreements.renegotiate(now, member)]

    def unsubscribe(self, now: Instant, leg: TransportId, ids: Sequence[tuple[str, str]]) -> Outputs:
        """The leg wants tracks no more, by the stream and track ids announced to it."""
        member = self._leg(leg)
        outputs: Outputs = [*member.subscriptions.unwish(ids)]
        self._demands.look_again()
        return [*outputs, *self._agreements.renegotiate(now, member)]

    def channel_ready(self, now: Instant, leg: TransportId) -> Outputs:
        """The data channel is open: offers of ours can go."""
        member = self._leg(leg)
        member.channel_is_ready = True
        return [*self._telling.channel_ready(member), *self._agreements.renegotiate(now, member)]

    def channel_lost(self, now: Instant, leg: TransportId) -> Outputs:
        """The data channel is closed: nothing new is offered until there is one again."""
        member = self._leg(leg)
        member.channel_is_ready = False
        member.subscriptions.explanations.begin_anew(())
        return []

    def ask_stats(self, now: Instant, leg: TransportId, every_ms: int) -> None:
        """The leg's client wants figures so often, 0: not any more. Out of bounds is brought within."""
        self._leg(leg).stats = StatsRequest.asked(now, every_ms)

    # --- the plane ----------------------------------------------------------------------------------------

    def plane_event(self, now: Instant, event: PlaneEvent) -> Outputs:
        """Something came up from the plane; what is about tracks of other calls is ignored."""
        if not isinstance(event, (StreamBound, StreamEnded)):
            return []
        member = self._agreements.publisher(event.track)
        if member is None:
            return []
        if isinstance(event, StreamBound):
            member.publications.bind(event.track, event.encoding)
        else:
            member.publications.unbind(event.track, event.encoding)
        self._announcements.note(now, member)
        return []

    def report(self, now: Instant, report: MediaReport) -> Outputs:
        """Take a tick's counters, of this call and all others.

        Reports in which nothing changed about a route of the call, and nobody in it is heard, may be left out
        until `report_due_at`.
        """
        self._reports.take(report)
        outputs: Outputs = [*self._speech.report(now, self._reports.newest)]
        return [*outputs, *self._telling.report(now, self._reports, self._legs)]

    @property
    def report_due_at(self) -> Instant | None:
        """From when on the next report must not be left out, whatever is in it; None: it may be."""
        return NEXT_REPORT if self._speech.is_listening else self._telling.due_at(self._legs)

    # --- time ---------------------------------------------------------------------------------------------

    def handle_timeout(self, now: Instant) -> Outputs:
        """Repeat offers that are unanswered, tell what has changed."""
        outputs: Outputs = []
        for member in self._legs.values():
            outputs += self._agreements.follow(now, member, member.negotiation.handle_timeout(now))
        return [*outputs, *self._announcements.handle_timeout(now)]

    def next_timeout(self) -> Instant | None:
        """When `handle_timeout` next has something to do."""
        return earliest(
            self._announcements.next_timeout(),
            *(one.negotiation.next_timeout() for one in self._legs.values()),
        )

    def snapshot(self) -> ConferenceSnapshot:
        """Everything that is going on, for people."""
        return snapshot_of(
            self._conference,
            self._legs.values(),
            self._board,
            self._speech.told,
            self._reports.by_number,
        )

    def leg_snapshot(self, leg: TransportId) -> LegSnapshot:
        """The same of one leg."""
        return leg_snapshot(self._leg(leg), self._board, self._reports.by_number)

    # --- within -------------------------------------------------------------------------------------------

    def _leg(self, leg: TransportId) -> Leg:
        member = self._legs.get(leg)
        if member is None:
            raise LocalError(f"leg {leg} is not in conference {self._conference}")
        return member

    def _check_room(self) -> None:
        if len(self._legs) >= self._limits.legs_per_call:
            raise CapacityError(f"{len(self._legs)} legs in conference {self._conference}")

    def _described(
        self,
        now: Instant,
        member: Leg,
        given: Iterable[NegotiationOutput],
        streams: Sequence[StreamDescription] | None,
    ) -> Outputs:
        if streams is not None:
            member.publications.describe(streams)
        outputs = self._agreements.follow(now, member, given)
        self._announcements.note(now, member)
        if member.is_trunk and any(isinstance(one, SetTrack) for one in outputs):
            # Somebody waits for what it brings.
            outputs += self._announcements.flush(now)
        return [*outputs, *self._agreements.renegotiate(now, member)]
