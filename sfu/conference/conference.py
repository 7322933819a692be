"""The media side of one call: who publishes what, who is told of it, who receives it.

An engine of values: every method takes the time and returns what must happen, in order. It knows participants
as legs and has never heard of the signalling that named them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from sfu.conference.caps import NO_CAPS, Caps, lowest
from sfu.conference.leg import Leg
from sfu.conference.leg_stats import StatsRequest
from sfu.conference.publications import Publications
from sfu.conference.reports import NEXT_REPORT
from sfu.conference.snapshot import ConferenceSnapshot, snapshot_of
from sfu.conference.speech import Speech
from sfu.conference.subscriptions import Subscriptions
from sfu.conference.telling import Telling
from sfu.conference.turn import CloseLeg, RuntimeOutput, SetCaps, StartDtls
from sfu.conference.values import (
    DescriptionType,
    LegUnusable,
    Refused,
    SendDescription,
    SignallingOutput,
    ViewChanged,
)
from sfu.conference.view import Board
from sfu.errors import CapacityError, LocalError
from sfu.negotiation.negotiation import (
    AnswerMade,
    IceRestarted,
    Negotiation,
    NegotiationFailed,
    OfferMade,
    ParametersChanged,
    SendTrackRefused,
    new_credentials,
)
from sfu.negotiation.writer import LocalDescription
from sfu.plane import (
    AddTransport,
    PlaneEvent,
    RemoveTrack,
    SetCredentials,
    SetTrack,
    StreamBound,
    StreamEnded,
)
from sfu.units import TrackHandle, TransportId, earliest

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, KeysView, Sequence

    from sfu.conference.ids import IdSource
    from sfu.conference.publications import PublishedTrack
    from sfu.conference.reports import Reports
    from sfu.conference.turn import MediaReport
    from sfu.conference.values import Speaker, StreamDescription, StreamView, Wish
    from sfu.conference.view import AnnouncedTrack, TrackIds
    from sfu.config import ConferenceConfig, LimitsConfig
    from sfu.negotiation.negotiation import NegotiationOutput
    from sfu.negotiation.parameters import Candidate, Fingerprint, LegParameters
    from sfu.units import ConferenceId, Instant

ConferenceOutput = RuntimeOutput | SignallingOutput
Outputs = list[ConferenceOutput]


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """What legs are told of this server, and the worker of the plane that they find by it."""

    fingerprint: Fingerprint
    candidates: tuple[Candidate, ...]
    worker: int = 0


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
        self._ids = ids
        self._local = local
        self._config = config
        self._limits = limits
        self._rng = rng
        self._legs: dict[TransportId, Leg] = {}
        self._owners: dict[TrackHandle, TransportId] = {}
        self._board = Board(config.announce_delay_ms)
        self._speech = Speech(conference, config)
        self._telling = Telling(sender_layers=config.sender_layers)
        self._reports = reports
        self._caps = lowest((caps, Caps(max_height=config.max_height)))

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
        """Everybody in the call, in order of joining."""
        return self._legs.keys()

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
        given = lowest((self._caps, caps))
        place = local or self._local
        if len(self._legs) >= self._limits.legs_per_call:
            raise CapacityError(f"{len(self._legs)} legs in conference {self._conference}")
        leg = self._ids.transport()
        credentials = new_credentials(self._rng)
        described = LocalDescription(credentials, place.fingerprint, place.candidates)
        self._legs[leg] = Leg(
            transport=leg,
            negotiation=Negotiation(described, self._config, self._rng),
            publications=Publications(leg, self._ids, self._limits.tracks_per_leg),
            subscriptions=Subscriptions(
                leg,
                self._ids,
                self._telling.routes,
                limit=self._limits.subscriptions_per_leg,
                max_height=given.max_height,
            ),
            is_admitted=admitted,
        )
        outputs: Outputs = [AddTransport(leg, credentials, place.worker)]
        if given != NO_CAPS:
            outputs.append(SetCaps(leg, given.max_bps or math.inf, given.max_height, given.max_videos))
        return leg, outputs

    def admit(self, now: Instant, leg: TransportId) -> Outputs:
        """The leg is who it says: what it publishes is announced, and what it wishes for sent, at once."""
        member = self._leg(leg)
        if member.is_admitted:
            return []
        member.is_admitted = True
        self._note(now, member)
        outputs = self._flush(now, also=leg)
        outputs += member.subscriptions.reconcile(tuple(member.subscriptions.wished), self._find)
        return [*outputs, *self._renegotiate(now, member)]

    def remove_leg(self, now: Instant, leg: TransportId) -> Outputs:
        """The leg is over, for whatever reason: ends with its `CloseLeg`; others are told after the delay."""
        member = self._leg(leg)
        outputs: Outputs = [*member.subscriptions.close()]
        del self._legs[leg]
        for one in member.publications:
            outputs += [*self._drop_track(one.track), RemoveTrack(one.track)]
        self._board.remove(now, leg)
        self._speech.forget(leg)
        if not self._legs:
            outputs += self._speech.announce(now, ())
        return [*outputs, CloseLeg(leg)]

    def view(self, leg: TransportId) -> tuple[StreamView, ...]:
        """What a leg may subscribe to: the announced streams of admitted others."""
        return self._board.view_without(leg) if self._leg(leg).is_admitted else ()

    def published(self, leg: TransportId) -> tuple[PublishedTrack, ...]:
        """What of a leg may be announced now, whether others were told of it yet or not."""
        member = self._leg(leg)
        return member.publications.published() if member.is_admitted else ()

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
            outputs += member.subscriptions.reconcile(ids, self._find)
        return [*outputs, *self._renegotiate(now, member)]

    def unsubscribe(self, now: Instant, leg: TransportId, ids: Sequence[tuple[str, str]]) -> Outputs:
        """The leg wants tracks no more, by the stream and track ids announced to it."""
        member = self._leg(leg)
        outputs: Outputs = [*member.subscriptions.unwish(ids)]
        return [*outputs, *self._renegotiate(now, member)]

    def channel_ready(self, now: Instant, leg: TransportId) -> Outputs:
        """The data channel is open: offers of ours can go."""
        member = self._leg(leg)
        member.channel_is_ready = True
        return [*self._telling.channel_ready(member), *self._renegotiate(now, member)]

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
        owner = self._owners.get(event.track)
        if owner is None:
            return []
        member = self._leg(owner)
        if isinstance(event, StreamBound):
            member.publications.bind(event.track, event.encoding)
        else:
            member.publications.unbind(event.track, event.encoding)
        self._note(now, member)
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
            outputs += self._follow(now, member, member.negotiation.handle_timeout(now))
        due_at = self._board.next_timeout()
        return [*outputs, *self._flush(now)] if due_at is not None and now >= due_at else outputs

    def next_timeout(self) -> Instant | None:
        """When `handle_timeout` next has something to do."""
        return earliest(
            self._board.next_timeout(), *(one.negotiation.next_timeout() for one in self._legs.values())
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

    # --- within -------------------------------------------------------------------------------------------

    def _leg(self, leg: TransportId) -> Leg:
        member = self._legs.get(leg)
        if member is None:
            raise LocalError(f"leg {leg} is not in conference {self._conference}")
        return member

    def _described(
        self,
        now: Instant,
        member: Leg,
        given: Iterable[NegotiationOutput],
        streams: Sequence[StreamDescription] | None,
    ) -> Outputs:
        if streams is not None:
            member.publications.describe(streams)
        outputs = self._follow(now, member, given)
        self._note(now, member)
        return [*outputs, *self._renegotiate(now, member)]

    def _follow(self, now: Instant, member: Leg, given: Iterable[NegotiationOutput]) -> Outputs:
        leg = member.transport
        outputs: Outputs = []
        for one in given:
            match one:
                case ParametersChanged(parameters):
                    outputs += self._agree(now, member, parameters)
                case IceRestarted(credentials):
                    outputs.append(SetCredentials(leg, credentials))
                case AnswerMade(sdp):
                    outputs.append(SendDescription(leg, DescriptionType.ANSWER, sdp))
                    if not member.has_dtls:
                        member.has_dtls = True
                        parameters = member.negotiation.parameters
                        outputs.append(StartDtls(leg, parameters.fingerprints, parameters.data_port))
                case OfferMade(sdp):
                    outputs.append(SendDescription(leg, DescriptionType.OFFER, sdp))
                case NegotiationFailed(reason):
                    outputs.append(LegUnusable(leg, reason))
                case SendTrackRefused(key, reason):
                    ids = member.subscriptions.refuse(key, reason)
                    if ids is not None and reason == "codec":
                        outputs.append(Refused(leg, "unknown_codec", f"track {ids[1]}"))
                case _:
                    assert_never(one)
        return outputs

    def _agree(self, now: Instant, member: Leg, parameters: LegParameters) -> Outputs:
        outputs: Outputs = []
        for one in member.publications.set_sections(parameters.receive):
            if isinstance(one, RemoveTrack):
                outputs += self._drop_track(one.track)
            elif isinstance(one, SetTrack):
                self._owners[one.track] = member.transport
                self._telling.set_track(now, one)
            outputs.append(one)
        return [*outputs, *member.subscriptions.agree(parameters)]

    def _drop_track(self, track: TrackHandle) -> Outputs:
        del self._owners[track]
        self._telling.drop_track(track)
        return [output for one in self._legs.values() for output in one.subscriptions.drop_track(track)]

    def _find(self, ids: TrackIds) -> AnnouncedTrack | None:
        # What ended a moment ago is still announced, but can't be forwarded.
        announced = self._board.find(ids)
        return announced if announced is not None and announced.track in self._owners else None

    def _renegotiate(self, now: Instant, member: Leg) -> Outputs:
        return self._follow(now, member, member.renegotiate(now))

    def _note(self, now: Instant, member: Leg) -> None:
        if member.is_admitted:
            self._board.note(now, member.transport, member.publications.published())

    def _flush(self, now: Instant, *, also: TransportId | None = None) -> Outputs:
        change = self._board.flush(now)
        admitted = [member for member in self._legs.values() if member.is_admitted]
        told = tuple(
            one.transport for one in admitted if one.transport == also or change.owners - {one.transport}
        )
        # The view goes first: an offer with a track that was not listed yet is lost on clients.
        outputs: Outputs = [ViewChanged(told)] if told else []
        outputs += self._speech.announce(now, self._board.tracks)
        for member in admitted:
            touched = member.subscriptions.wished & change.tracks
            if touched:
                outputs += member.subscriptions.reconcile(sorted(touched), self._find)
                outputs += self._renegotiate(now, member)
        return outputs
