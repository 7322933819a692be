"""What a call's media side has to say to its clients, put into the dialect and on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from sfu.conference.turn import SendData
from sfu.conference.values import (
    DecisionsExplained,
    DescriptionType,
    LayersDemanded,
    LayersWanted,
    LegStats,
    LegUnusable,
    Refused,
    SendDescription,
    SpeakersChanged,
    ViewChanged,
)
from signalling.events import data_channel, to_device
from signalling.events.metadata import metadata_text, stream_text
from signalling.events.room_state import FocusDevice
from signalling.focus.cascade.announcing import announcement
from signalling.focus.cascade.dialling import DIAL_S
from signalling.focus.channel import OpenChannel
from signalling.focus.dialect import active_speakers, fitting, has_room, metadata_of, own_message, stats
from signalling.focus.endings import Ending
from signalling.focus.leg import Admitted, Way
from signalling.focus.refusals import ErrorCode
from signalling.focus.turn import Count, SendToDevice

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sfu.conference.conference import ConferenceOutput
    from sfu.conference.values import Speaker, Wish
    from sfu.conference.view import TrackIds
    from sfu.units import Instant
    from signalling.events.metadata import StreamMetadata
    from signalling.focus.calls import Calls, LiveCall
    from signalling.focus.cascade.showing import HopFigures
    from signalling.focus.drain import Drainage
    from signalling.focus.endings import Endings
    from signalling.focus.leg import Identity, Leg
    from signalling.focus.turn import Outputs


class Outward:
    """Says things to legs."""

    def __init__(
        self, identity: Identity, calls: Calls, endings: Endings, drainage: Drainage, hops: HopFigures
    ) -> None:
        self._identity = identity
        self._calls = calls
        self._endings = endings
        self._drainage = drainage
        self._hops = hops

    def pass_on(
        self,
        now: Instant,
        call: LiveCall,
        given: Iterable[ConferenceOutput],
        *,
        answer_by: Way = Way.CHANNEL,
    ) -> Outputs:
        """Put a conference's outputs into the dialect; those for the runtime stay as they are.

        Args:
            now: of the turn.
            call: whose conference it is.
            given: what it asked for.
            answer_by: how the offer came that an answer among them answers.
        """
        given = tuple(given)
        self._calls.touch(call)
        self._calls.note_media(call, given)
        outputs: Outputs = []
        unusable: list[Leg] = []
        for one in given:
            match one:
                case SendDescription(transport):
                    outputs += self._describe(now, call, call.legs[transport], one, answer_by)
                case ViewChanged(transports):
                    for transport in transports:
                        outputs += self._tell_view(now, call, call.legs[transport])
                case SpeakersChanged(speakers):
                    outputs += self._tell_speakers(now, call, speakers)
                case LayersWanted(transport) | DecisionsExplained(transport):
                    outputs += self.say(now, call.legs[transport], own_message(one, call.guests))
                case LegStats(transport):
                    outputs += self.say(now, call.legs[transport], stats(one, self._hops.of(now, call)))
                case LayersDemanded(transport, wanted, unwanted):
                    outputs += self._ask(now, call.legs[transport], wanted, unwanted)
                case LegUnusable(transport):
                    unusable.append(call.legs[transport])
                case Refused(transport, code, text):
                    outputs += self.refuse(now, call.legs[transport], ErrorCode(code), text)
                case _:
                    outputs.append(one)
        # Last: what the conference said in this turn may still name them.
        for leg in unusable:
            outputs += self._endings.end(now, leg, Ending.UNUSABLE)
        return outputs

    def say(self, now: Instant, leg: Leg, message: data_channel.DataMessage) -> Outputs:
        """Say something on a leg's channel, as soon as its pace allows; without a channel it is not said."""
        return self._say(now, leg, data_channel.frame_of(message))

    def say_due(self, now: Instant, leg: Leg) -> Outputs:
        """Say what a leg's pace allows now, and ping it when that is due."""
        if not isinstance(leg.channel, OpenChannel):
            return []
        said = self._send(leg, leg.channel, leg.channel.handle_timeout(now))
        return said if leg.trunk is None else [*said, *self._ask(now, leg)]

    def greet(self, now: Instant, leg: Leg) -> Outputs:
        """Tell a leg whose channel has just opened what there is, even if that is nothing."""
        call = self._calls.call_of(leg)
        outputs = self._say(now, leg, data_channel.metadata_frame(self._written(call, leg)))
        speakers = active_speakers(call.conference.speakers, call.legs, call.guests)
        if leg.trunk is not None:
            leg.trunk.asking.begin_anew()
        elif speakers and isinstance(leg.standing, Admitted):
            outputs += self.say(now, leg, data_channel.Speakers(speakers))
        return [*outputs, *self.say_drain(now, leg)]

    def say_drain(self, now: Instant, leg: Leg) -> Outputs:
        """Tell a leg that the focus is being taken away, if it is."""
        message = self._drainage.message(now)
        return [] if message is None else self.say(now, leg, message)

    def refuse(self, now: Instant, leg: Leg, code: ErrorCode, text: str, about: str | None = None) -> Outputs:
        """Count a refused message of a leg, and tell its client."""
        error = data_channel.Error(code, text[: data_channel.MAX_ERROR_TEXT], about)
        return [Count("messages_refused", {"reason": code}), *self.say(now, leg, error)]

    def to_device(self, leg: Leg, message: to_device.ToDeviceMessage) -> SendToDevice:
        """A to-device message to a leg, encrypted as its invite was."""
        return SendToDevice(leg.key.user_id, leg.key.device_id, message, is_encrypted=leg.is_encrypted)

    # --- within -------------------------------------------------------------------------------------------

    def _tell_speakers(self, now: Instant, call: LiveCall, speakers: tuple[Speaker, ...]) -> Outputs:
        message = data_channel.Speakers(active_speakers(speakers, call.legs, call.guests))
        frame = data_channel.frame_of(message)
        admitted = [leg for leg in call.people if isinstance(leg.standing, Admitted)]
        return [output for leg in admitted for output in self._say(now, leg, frame)]

    def _tell_view(self, now: Instant, call: LiveCall, leg: Leg) -> Outputs:
        if isinstance(leg.channel, OpenChannel):
            return self._say(now, leg, data_channel.metadata_frame(self._written(call, leg)))
        if leg.negotiates_by is Way.TO_DEVICE:
            return [self._view_to_device(call, leg)]
        return []

    def _describe(
        self, now: Instant, call: LiveCall, leg: Leg, given: SendDescription, answer_by: Way
    ) -> Outputs:
        if leg.trunk is not None and leg.trunk.is_ringing:
            return self._ring(leg, given.sdp)
        match given.type:
            case DescriptionType.ANSWER:
                way = answer_by
            case DescriptionType.OFFER:
                way = leg.way_of_offer(given.sdp)
            case _:
                assert_never(given.type)
        match way:
            case Way.CHANNEL:
                frame = data_channel.negotiate_frame(given.type, given.sdp, self._written(call, leg))
                if leg.trunk is not None and len(frame.text) > data_channel.MAX_MESSAGE_LENGTH:
                    # The other focus has been told what is announced, and would refuse all of it.
                    frame = data_channel.frame_of(data_channel.Negotiate(given.type, given.sdp))
                return self._say(now, leg, frame)
            case Way.INVITE:
                envelope = leg.envelope(self._identity)
                # Another focus is told on the channel, where there is room for everything.
                whole = () if leg.trunk is not None else self._metadata(call, leg)
                metadata = fitting(whole, given.sdp)
                return [self.to_device(leg, to_device.Answer(envelope, given.sdp, metadata))]
            case Way.TO_DEVICE:
                return self._negotiate_to_device(call, leg, given)
            case _:
                assert_never(way)

    def _negotiate_to_device(self, call: LiveCall, leg: Leg, given: SendDescription) -> Outputs:
        if not has_room(given.sdp):
            # It would be refused after it has taken a number, and the client wait for that number for ever.
            labels = {"direction": "sent", "type": to_device.NEGOTIATE, "outcome": "too_long"}
            return [Count("signalling_messages", labels)]
        whole = self._metadata(call, leg)
        metadata: tuple[StreamMetadata, ...] | None = fitting(whole, given.sdp)
        if metadata != whole and isinstance(leg.channel, OpenChannel) and leg.negotiates_by is Way.CHANNEL:
            # What is not in it would be gone for the client: it knows all of it by the channel.
            metadata = None
        envelope = leg.envelope(self._identity)
        message = to_device.Negotiate(envelope, given.type, given.sdp, metadata=metadata)
        return [self.to_device(leg, message)]

    def _ring(self, leg: Leg, sdp: str) -> Outputs:
        invite = to_device.Invite(
            leg.envelope(self._identity),
            sdp,
            lifetime_ms=round(DIAL_S * 1_000),
            metadata=(),
            invitee=leg.key.user_id,
            room_id=leg.key.call.room_id,
        )
        return [self.to_device(leg, invite)]

    def _ask(
        self, now: Instant, leg: Leg, wanted: Sequence[Wish] = (), unwanted: Sequence[TrackIds] = ()
    ) -> Outputs:
        """Ask a trunk for what is wanted of it, as soon as it is time."""
        if leg.trunk is None or not isinstance(leg.channel, OpenChannel):
            return []
        leg.trunk.asking.demand(wanted, unwanted)
        number = leg.channel.number
        return [
            SendData(leg.transport, number, data_channel.serialise_message(one))
            for one in leg.trunk.asking.poll(now)
        ]

    def _say(self, now: Instant, leg: Leg, frame: data_channel.Frame) -> Outputs:
        if not isinstance(leg.channel, OpenChannel):
            return []
        return self._send(leg, leg.channel, leg.channel.say(now, frame))

    def _send(self, leg: Leg, channel: OpenChannel, frames: Iterable[data_channel.Frame]) -> Outputs:
        outputs: Outputs = []
        for frame in frames:
            outputs.append(SendData(leg.transport, channel.number, frame.text))
            if frame.type == data_channel.METADATA_CHANGED and leg.negotiates_by is Way.TO_DEVICE:
                # What negotiates so may be a library that knows of no channel.
                outputs.append(self._view_to_device(self._calls.call_of(leg), leg))
        return outputs

    def _view_to_device(self, call: LiveCall, leg: Leg) -> SendToDevice:
        envelope = leg.envelope(self._identity)
        return self.to_device(leg, to_device.MetadataChanged(envelope, fitting(self._metadata(call, leg))))

    def _metadata(self, call: LiveCall, leg: Leg) -> tuple[StreamMetadata, ...]:
        view = call.conference.view(leg.transport)
        if leg.trunk is None:
            return metadata_of(view, call.legs, call.guests)
        me = FocusDevice(self._identity.user_id, self._identity.device_id)
        announced = announcement(view, call.legs, call.guests, me)
        if len(announced) != leg.trunk.announced:
            leg.trunk.announced = len(announced)
            self._calls.change(call)
        return announced

    def _written(self, call: LiveCall, leg: Leg) -> str:
        """The same as JSON."""
        if leg.trunk is not None:
            return metadata_text(stream_text(stream) for stream in self._metadata(call, leg))
        return call.views.text(call.conference.view(leg.transport), call.legs, call.guests)
