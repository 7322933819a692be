"""What negotiations come to: tracks that are received, routes for those that are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from sfu.conference.turn import Dial, StartDtls
from sfu.conference.values import DescriptionType, LegUnusable, Refused, SendDescription
from sfu.negotiation.negotiation import (
    AnswerMade,
    IceRestarted,
    NegotiationFailed,
    OfferMade,
    ParametersChanged,
    SendTrackRefused,
)
from sfu.plane import Credentials, RemoveTrack, SetCredentials, SetTrack

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sfu.conference.leg import Leg
    from sfu.conference.outputs import Outputs
    from sfu.conference.telling import Telling
    from sfu.negotiation.negotiation import NegotiationOutput
    from sfu.negotiation.parameters import LegParameters
    from sfu.units import Instant, TrackHandle, TransportId


class Agreements:
    """Of one call.

    Args:
        legs: everybody in it, now and later.
        telling: is told of the tracks.
    """

    def __init__(self, legs: Mapping[TransportId, Leg], telling: Telling) -> None:
        self._legs = legs
        self._telling = telling
        self._received: dict[TrackHandle, TransportId] = {}

    def receives(self, track: TrackHandle) -> bool:
        """Whether the plane knows a track of the call."""
        return track in self._received

    def publisher(self, track: TrackHandle) -> Leg | None:
        """The leg by which a track comes; None: it is none of the call, or is received no more."""
        leg = self._received.get(track)
        return None if leg is None else self._legs[leg]

    def follow(self, now: Instant, member: Leg, given: Iterable[NegotiationOutput]) -> Outputs:
        """Do what a leg's negotiation says."""
        leg = member.transport
        outputs: Outputs = []
        for one in given:
            match one:
                case ParametersChanged(parameters):
                    outputs += self._agree(now, member, parameters)
                    outputs += _dial(member, parameters)
                case IceRestarted(credentials):
                    member.credentials = credentials
                    outputs.append(SetCredentials(leg, credentials))
                case AnswerMade(sdp):
                    outputs.append(SendDescription(leg, DescriptionType.ANSWER, sdp))
                    outputs += _start_dtls(member, member.negotiation.parameters)
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

    def renegotiate(self, now: Instant, member: Leg) -> Outputs:
        """Offer a leg what it is to be sent now, if that is something else than before."""
        return self.follow(now, member, member.renegotiate(now))

    def withdraw(self, member: Leg) -> Outputs:
        """A leg has left the call: nothing of it is received any more."""
        outputs: Outputs = []
        for one in member.publications:
            outputs += [*self._drop_track(one.track), RemoveTrack(one.track)]
        return outputs

    def _agree(self, now: Instant, member: Leg, parameters: LegParameters) -> Outputs:
        outputs: Outputs = []
        for one in member.publications.set_sections(parameters.receive):
            if isinstance(one, RemoveTrack):
                outputs += self._drop_track(one.track)
            elif isinstance(one, SetTrack):
                self._received[one.track] = member.transport
                self._telling.set_track(now, one, is_guests=member.is_trunk)
            outputs.append(one)
        return [*outputs, *member.subscriptions.agree(parameters)]

    def _drop_track(self, track: TrackHandle) -> Outputs:
        del self._received[track]
        self._telling.drop_track(track)
        return [output for one in self._legs.values() for output in one.subscriptions.drop_track(track)]


def _dial(member: Leg, parameters: LegParameters) -> Outputs:
    """Look for the far side of a leg that we have called, where it said that it is.

    Once for each pair of credentials, as only a restart of ICE finds another way (RFC 8445 section 9): later
    descriptions may say other addresses, and the one that works is kept.
    """
    if not member.is_dialled:
        return []
    remote = Credentials(parameters.remote_ufrag, parameters.remote_password)
    if member.dialled == (member.credentials, remote):
        return []
    member.dialled = member.credentials, remote
    dial = Dial(member.transport, member.credentials, remote, parameters.remote_candidates)
    return [dial, *_start_dtls(member, parameters)]


def _start_dtls(member: Leg, parameters: LegParameters) -> Outputs:
    if member.has_dtls:
        return []
    member.has_dtls = True
    return [
        StartDtls(
            member.transport,
            parameters.fingerprints,
            parameters.data_port,
            is_client=member.is_dialled,
        )
    ]
