"""What clients with a leg say: on their data channel, and by to-device messages after the invite."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from sfu.conference import turn
from sfu.conference.turn import DataRefused, SendData
from sfu.errors import ParseError, RemoteError
from sfu.plane import SetCredentials
from signalling.events import cascade, data_channel, ours, to_device
from signalling.focus.channel import ClosedChannel, OpenChannel
from signalling.focus.dialect import check_size, descriptions, far_decisions, track_ids, wishes
from signalling.focus.endings import Ending
from signalling.focus.leg import Way
from signalling.focus.refusals import ErrorCode
from signalling.focus.turn import Count

if TYPE_CHECKING:
    from sfu.conference.conference import ConferenceOutput
    from sfu.conference.turn import DataChannelClosed, DataChannelOpened, DataReceived
    from sfu.units import Instant
    from signalling.events.metadata import StreamMetadata
    from signalling.focus.calls import Calls
    from signalling.focus.cascade.end import TrunkEnd
    from signalling.focus.cascade.hearing import Hearing
    from signalling.focus.endings import Endings
    from signalling.focus.leg import Leg, Terms
    from signalling.focus.outward import Outward
    from signalling.focus.turn import Outputs

_REFUSED_DATA = {
    "binary": ErrorCode.NOT_TEXT,
    "not_utf8": ErrorCode.NOT_TEXT,
    "too_long": ErrorCode.TOO_LONG,
    "too_fast": ErrorCode.TOO_FAST,
}


class Inward:
    """Hears legs."""

    def __init__(
        self, terms: Terms, calls: Calls, endings: Endings, outward: Outward, hearing: Hearing
    ) -> None:
        self._terms = terms
        self._calls = calls
        self._endings = endings
        self._outward = outward
        self._hearing = hearing

    # --- the data channel ---------------------------------------------------------------------------------

    def channel_opened(self, now: Instant, leg: Leg, given: DataChannelOpened) -> Outputs:
        """Adopt a leg's first channel and tell it what there is; refuse a second one, and keep the first."""
        if isinstance(leg.channel, OpenChannel):
            error = data_channel.Error(ErrorCode.SECOND_CHANNEL, "a leg has one data channel, the first")
            return [
                Count("messages_refused", {"reason": ErrorCode.SECOND_CHANNEL}),
                SendData(leg.transport, given.channel, data_channel.serialise_message(error)),
            ]
        leg.channel = OpenChannel(now, given.channel, self._terms.settings)
        call = self._calls.call_of(leg)
        outputs = self._outward.greet(now, leg)
        ready = call.conference.channel_ready(now, leg.transport)
        return [*outputs, *self._outward.pass_on(now, call, ready)]

    def channel_closed(self, now: Instant, leg: Leg, given: DataChannelClosed) -> Outputs:
        """Offer nothing on a channel that is gone. The leg goes on: only its transport ends it."""
        if not _is_adopted(leg, given.channel):
            return []
        leg.channel = ClosedChannel()
        call = self._calls.call_of(leg)
        self._calls.touch(call)
        if leg.negotiates_by is Way.TO_DEVICE:
            return []
        return self._outward.pass_on(now, call, call.conference.channel_lost(now, leg.transport))

    def data_refused(self, now: Instant, leg: Leg, given: DataRefused) -> Outputs:
        """Tell the client that a message was not read; the transport has counted it."""
        if not _is_adopted(leg, given.channel):
            return []
        error = data_channel.Error(_REFUSED_DATA[given.reason], given.reason)
        return self._outward.say(now, leg, error)

    def data_received(self, now: Instant, leg: Leg, given: DataReceived) -> Outputs:
        """Do what a message asks for; one that can't be read is refused, and everything else goes on."""
        channel = leg.channel
        if not (isinstance(channel, OpenChannel) and channel.number == given.channel):
            return [Count("messages_refused", {"reason": ErrorCode.SECOND_CHANNEL})]
        try:
            message = data_channel.parse_message(given.text)
        except ParseError as error:
            return self._outward.refuse(now, leg, ErrorCode.MALFORMED, str(error))
        match message:
            case data_channel.TrackSubscription():
                return self._subscribe(now, leg, message)
            case data_channel.Negotiate(kind, sdp, metadata):
                return self._negotiate(now, leg, kind, sdp, metadata, Way.CHANNEL)
            case data_channel.MetadataChanged(metadata):
                return self._describe(now, leg, metadata)
            case data_channel.Ping():
                return self._outward.say(now, leg, data_channel.Pong())
            case data_channel.Pong():
                channel.pong_received()
                self._calls.touch(self._calls.call_of(leg))
                return []
            case ours.StatsRequest() | ours.Why() | cascade.ConnectToFocus():
                self._heard(now, leg, message)
                return []
            case data_channel.Speakers() | data_channel.Error() | data_channel.Unknown():
                return []
            case ours.Layers() | ours.Stats() | ours.Drain():
                return []
            case _:
                assert_never(message)

    # --- to-device messages -------------------------------------------------------------------------------

    def to_device(self, now: Instant, leg: Leg, message: to_device.ToDeviceMessage) -> Outputs:
        """Do what a message after the invite asks for."""
        match message:
            case to_device.Hangup():
                return self._endings.end(now, leg, Ending.HANGUP)
            case to_device.SelectAnswer(_, selected_party_id):
                if selected_party_id == self._terms.identity.device_id or leg.trunk is not None:
                    return []
                return self._endings.end(now, leg, Ending.OTHER_PARTY)
            case to_device.Negotiate(_, kind, sdp, _, metadata):
                return self._negotiate(now, leg, kind, sdp, metadata, Way.TO_DEVICE)
            case to_device.MetadataChanged(_, metadata):
                return self._describe(now, leg, metadata)
            case to_device.Candidates():
                # An ICE-lite agent learns addresses from checks alone.
                return []
            case to_device.Answer(_, sdp) if leg.trunk is not None and leg.trunk.is_ringing:
                return self._answered(now, leg, leg.trunk, sdp)
            case to_device.Reject(_, reason) if leg.trunk is not None and leg.trunk.is_ringing:
                leg.trunk.rejected_as = reason
                return self._endings.end(now, leg, Ending.REJECTED)
            case to_device.Invite() | to_device.Answer() | to_device.Reject():
                return []
            case _:
                assert_never(message)

    # --- within -------------------------------------------------------------------------------------------

    def _heard(
        self, now: Instant, leg: Leg, message: ours.StatsRequest | ours.Why | cascade.ConnectToFocus
    ) -> None:
        """What is answered later, or not at all.

        Only clients ask for figures and for foci: a focus measures its own hop, and knows the foci by room
        state. Only foci explain what they send.
        """
        call = self._calls.call_of(leg)
        match message:
            case ours.Why(tracks) if leg.trunk is not None:
                call.conference.trunk_explained(leg.transport, far_decisions(tracks))
                self._calls.touch(call)
            case ours.StatsRequest(every_ms) if leg.trunk is None:
                call.conference.ask_stats(now, leg.transport, every_ms)
                self._calls.touch(call)
            case cascade.ConnectToFocus(foci) if leg.trunk is None:
                self._hearing.asked(leg, foci)
            case _:
                pass

    def _subscribe(self, now: Instant, leg: Leg, message: data_channel.TrackSubscription) -> Outputs:
        call = self._calls.call_of(leg)
        conference, is_trunk = call.conference, leg.trunk is not None
        if leg.trunk is not None:
            leg.trunk.asked(message, self._terms.limits.subscriptions_per_leg)
        given = [
            *conference.unsubscribe(now, leg.transport, track_ids(message.unsubscribe)),
            *conference.subscribe(now, leg.transport, wishes(message.subscribe, by_focus=is_trunk)),
        ]
        return self._outward.pass_on(now, call, given)

    def _describe(self, now: Instant, leg: Leg, metadata: tuple[StreamMetadata, ...]) -> Outputs:
        if leg.trunk is not None:
            return self._hearing.announced(now, leg, metadata)
        call = self._calls.call_of(leg)
        given = call.conference.streams_described(now, leg.transport, descriptions(metadata) or ())
        return self._outward.pass_on(now, call, given)

    def _answered(self, now: Instant, leg: Leg, end: TrunkEnd, sdp: str) -> Outputs:
        """Another focus takes our invite. What it announces is told on the channel, once that is open."""
        call = self._calls.call_of(leg)
        try:
            check_size(sdp, self._terms.limits.sdp_bytes)
            given = call.conference.answer_received(now, leg.transport, sdp, None)
        except RemoteError:
            return self._endings.end(now, leg, Ending.UNUSABLE)
        end.is_ringing = False
        given.append(turn.OpenChannel(leg.transport, data_channel.CHANNEL_LABEL))
        return self._outward.pass_on(now, call, given)

    def _negotiate(
        self,
        now: Instant,
        leg: Leg,
        kind: str,
        sdp: str,
        metadata: tuple[StreamMetadata, ...] | None,
        way: Way,
    ) -> Outputs:
        call = self._calls.call_of(leg)
        conference, transport, is_trunk = call.conference, leg.transport, leg.trunk is not None
        # What another focus announces is not its own: it is judged.
        outputs = self._hearing.announced(now, leg, metadata) if is_trunk else []
        streams = None if is_trunk else descriptions(metadata)
        given: list[ConferenceOutput] = []
        try:
            check_size(sdp, self._terms.limits.sdp_bytes)
            if kind == "offer":
                given = conference.offer_received(now, transport, sdp, streams)
            else:
                given = conference.answer_received(now, transport, sdp, streams)
        except RemoteError as error:
            about = data_channel.NEGOTIATE
            return [*outputs, *self._outward.refuse(now, leg, ErrorCode.BAD_SDP, str(error), about)]
        if is_trunk:
            return [*outputs, *self._outward.pass_on(now, call, given, answer_by=way)]
        is_restart = any(isinstance(one, SetCredentials) for one in given)
        if not (is_restart and isinstance(leg.channel, OpenChannel)):
            # A restart of ICE comes by to-device message because the channel is stuck; it won't stay so.
            leg.negotiates_by = way
        if way is Way.TO_DEVICE:
            # So it can be offered to, channel or not.
            given += conference.channel_ready(now, transport)
        return self._outward.pass_on(now, call, given, answer_by=way)


def _is_adopted(leg: Leg, channel: int) -> bool:
    return isinstance(leg.channel, OpenChannel) and leg.channel.number == channel
