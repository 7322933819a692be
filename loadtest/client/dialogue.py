"""What is said on a leg's data channel, and what follows from it for what is sent and received.

Pure: a message in, the messages to say out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from loadtest.client.sdp import SdpError, Transport
from sfu.errors import ParseError
from signalling.events import data_channel
from signalling.events.data_channel import DataMessage
from signalling.events.ours import Layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.client.negotiation import ClientNegotiation
    from loadtest.client.observations import Observations
    from loadtest.client.publisher import Publisher
    from loadtest.client.rtp_session import RtpSession
    from loadtest.client.subscriber import Subscriber
    from loadtest.client.terms import RuleBreaks
    from signalling.events.metadata import StreamMetadata
    from signalling.events.ours import ActiveLayers


@dataclass(frozen=True, slots=True)
class Answered:
    """The focus has answered an offer of ours; what it says of its end of the connection."""

    transport: Transport


Outcome = DataMessage | Answered


class Dialogue:
    """The client's side of everything that is negotiated and told.

    Args:
        breaks: rules to break.
        negotiation: the m-sections.
        session: is told what was agreed.
        publisher: what is sent.
        subscriber: is told what there is, and what comes where.
        seen: is told what the focus does.
    """

    def __init__(
        self,
        breaks: RuleBreaks,
        negotiation: ClientNegotiation,
        session: RtpSession,
        publisher: Publisher,
        subscriber: Subscriber,
        seen: Observations,
    ) -> None:
        self._breaks = breaks
        self._negotiation = negotiation
        self._session = session
        self._publisher = publisher
        self._subscriber = subscriber
        self._seen = seen
        self._is_dirty = False
        """Tracks changed while an offer of ours was waiting."""

    # --- what we begin -----------------------------------------------------------------------------------

    def begin(self, transport: Transport, *, session_id: int) -> str:
        """The offer of the invite: all tracks, and the data channel last."""
        self._negotiation.begin(transport, session_id=session_id)
        for track in self._publisher.tracks():
            self._negotiation.publish(track)
        self._negotiation.open_channel()
        return self._mangled(self._negotiation.make_offer())

    def restart(self, transport: Transport) -> str | None:
        """An offer of another connection; None while one of ours is waiting."""
        if self._negotiation.is_offering:
            return None
        self._negotiation.restart(transport)
        return self._mangled(self._negotiation.make_offer())

    def republish(self) -> list[Outcome]:
        """Offer the tracks that are published now; after the offer that waits, if one does."""
        if self._negotiation.is_offering:
            self._is_dirty = True
            return []
        self._is_dirty = False
        wanted = {track.track_id: track for track in self._publisher.tracks()}
        have = self._negotiation.published()
        for track_id in have - wanted.keys():
            self._negotiation.unpublish(track_id)
        for track_id in wanted.keys() - have:
            self._negotiation.publish(wanted[track_id])
        return [self._said("offer", self._negotiation.make_offer())]

    def metadata(self) -> tuple[StreamMetadata, ...]:
        """What we say of our own streams, complete."""
        metadata, owner = self._publisher.metadata(), self._breaks.metadata_owner
        if owner is None:
            return metadata
        return tuple(replace(stream, user_id=owner.user_id, device_id=owner.device_id) for stream in metadata)

    # --- what the focus says -----------------------------------------------------------------------------

    def take(self, text: str) -> list[Outcome]:
        """Take one message of the data channel."""
        try:
            message = data_channel.parse_message(text)
        except ParseError as error:
            self._seen.violations.append(f"data channel: {error}")
            return []
        match message:
            case data_channel.Ping():
                self._seen.pings += 1
                return [data_channel.Pong()] if self._breaks.answer_pings else []
            case data_channel.MetadataChanged():
                self._subscriber.announce(message.metadata)
            case data_channel.Negotiate():
                return self.take_description(message.description_type, message.sdp, message.metadata)
            case data_channel.Speakers():
                self._subscriber.hear_speakers(message)
            case data_channel.Error():
                self._seen.errors.append(message.code)
            case Layers(tracks) if self._breaks.obey_layers:
                self._obey_layers(tracks)
            case _:
                pass
        return []

    def take_description(
        self, description_type: str, sdp: str, metadata: Sequence[StreamMetadata] | None
    ) -> list[Outcome]:
        """Take an offer or an answer, whichever way it came."""
        if metadata is not None:
            self._subscriber.announce(metadata)  # before the description (protocol: section 6.2)
        outcomes: list[Outcome] = []
        try:
            if description_type == "answer":
                answered = self._negotiation.accept_answer(sdp)
                if answered is None:
                    return []
                outcomes.append(Answered(answered.transport))
            elif self._breaks.answer_offers:
                answer = self._negotiation.answer_offer(sdp)
                if answer is None:
                    return []
                self._seen.offers_answered += 1
                outcomes.append(self._said("answer", answer))
        except SdpError as error:
            self._seen.violations.append(f"{description_type}: {error}")
            return []
        receiving = self._negotiation.receiving()
        self._session.agree(self._negotiation.sending(), receiving)
        self._subscriber.receive(receiving)
        if self._is_dirty and not self._negotiation.is_offering:
            outcomes += self.republish()
        return outcomes

    # --- helpers -----------------------------------------------------------------------------------------

    def _obey_layers(self, tracks: Sequence[ActiveLayers]) -> None:
        for track in tracks:
            self._seen.layers_wanted[track.track_id] = track.active
            self._publisher.want_layers(track.track_id, track.active)

    def _said(self, description_type: str, sdp: str) -> data_channel.Negotiate:
        return data_channel.Negotiate(description_type, self._mangled(sdp), self.metadata())

    def _mangled(self, text: str) -> str:
        mangle = self._breaks.mangle_sdp
        return text if mangle is None else mangle(text)
