"""One connection of one client to the focus: dialling, negotiating, the data channel, media."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from loadtest.client import sdp
from loadtest.client.negotiation import ClientNegotiation
from sfu.dataplane.wire import WireProtocol, protocol_of
from sfu.units import Instant, after_ms
from signalling.events import data_channel, ours, to_device
from signalling.events.to_device import FOCUS_SESSION_ID, Envelope
from tests.support.simulation.association import Association, Role, State
from tests.support.simulation.ice import ControllingAgent
from tests.support.simulation.rtp_session import RtpSession

if TYPE_CHECKING:
    from sfu.netem.network import Address
    from signalling.events.metadata import StreamMetadata
    from tests.support.simulation.client import SimClient

POLL_MS: Final = 20
"""How often a client looks for losses and reports that are due."""

SUBSCRIBE_DELAY_MS: Final = 50
"""Between a change and the wishes it leads to; clients of the dialect take up to 2 s."""

CANDIDATES_DELAY_MS: Final = 100

JUDGE_MS: Final = 200
"""How often what arrives is held against what was wished for."""

_FINGERPRINT: Final = ("sha-256", ":".join(["AB"] * 32))


class LegState(enum.Enum):
    """How far a leg is."""

    DIALLING = enum.auto()
    CONNECTING = enum.auto()
    CONNECTED = enum.auto()
    ENDED = enum.auto()


class ClientLeg:
    """From the invite to the end.

    Args:
        client: whose leg it is.
        call_id: of this leg alone.
    """

    def __init__(self, client: SimClient, call_id: str) -> None:
        self.state = LegState.DIALLING
        self.end_reason: str | None = None
        """What the focus said at the end."""
        self.errors: list[str] = []
        """Codes of refusals that came on the data channel."""
        self.stats: list[ours.Stats] = []
        """Figures that came on the data channel."""
        self.violations: list[str] = []
        """Rules of the dialect that the focus broke."""
        self.pings = 0
        self.ice_restarts = 0
        self.subscriptions = 0
        """Lists of wishes that were said."""
        self.connected_at: Instant | None = None
        self.call_id: Final = call_id
        self.focus: Final = client.focus
        """At the other end."""
        self._client = client
        self._clock = client.clock
        self._rng = client.rng
        self._ufrag = self._token(8)
        self._password = self._token(24)
        self._negotiation = ClientNegotiation(
            client.numbers, self._token(8), self.violations, rides=client.rides
        )
        self._ice = ControllingAgent(self._ufrag, client.send_datagram, client.rng)
        self._association = Association(
            Role.CLIENT,
            send=self._send,
            connected=self._connected,
            received=self._message_received,
            closed=self._closed,
        )
        self.session = RtpSession(self._send, client.observe, client.sources.starts, client.rng)
        self._seq = 0
        self._judge_at = self._clock.now
        self._subscribe_at: Instant | None = None
        self._is_dirty = False
        """Tracks have changed while nothing could be offered."""
        self._party: str | None = None

    @property
    def offers_ignored(self) -> int:
        """Offers of the focus that met one of ours on the way (glare)."""
        return self._negotiation.offers_ignored

    # --- dialling -----------------------------------------------------------------------------------------

    def dial(self) -> None:
        """Send the invite, and look after the leg from now on."""
        self._begin_negotiation()
        for track in self._client.sources.tracks():
            self._negotiation.publish(track)
        self._negotiation.open_channel()
        self._tell(
            to_device.Invite(self._envelope(), self._negotiation.make_offer(), metadata=self._metadata())
        )
        self._clock.call_after_ms(CANDIDATES_DELAY_MS, self._send_candidates)
        self._tick()

    def hang_up(self) -> None:
        """Tell the focus that it is over."""
        self._tell(to_device.Hangup(self._envelope()))
        self.end("user_hangup")

    def end(self, reason: str) -> None:
        """Nothing is sent or taken any more."""
        if self.state is not LegState.ENDED:
            self.state = LegState.ENDED
            self.end_reason = reason

    def restart_ice(self) -> None:
        """Offer other credentials, by to-device: the data channel may be dead.

        Not while connecting, or while another offer is unanswered.
        """
        if self.state is not LegState.CONNECTED or self._negotiation.is_offering:
            return
        self.ice_restarts += 1
        self._ufrag, self._password = self._token(8), self._token(24)
        self._begin_negotiation()
        offer = self._negotiation.make_offer()
        self._tell(to_device.Negotiate(self._envelope(), "offer", offer, metadata=self._metadata()))

    def take(self, message: to_device.ToDeviceMessage) -> None:
        """Take a to-device message of this leg."""
        if message.envelope.dest_session_id != self._client.session_id:
            self.violations.append(f"{message.type} for session {message.envelope.dest_session_id}")
        match message:
            case to_device.Answer() if self.state is LegState.DIALLING:
                self._party = message.envelope.party_id
                self._answered(message)
            case to_device.Negotiate():
                self._described(
                    data_channel.Negotiate(message.description_type, message.sdp, message.metadata),
                    by_device=True,
                )
            case to_device.Hangup(reason=reason):
                self.end(reason)
            case to_device.Reject(reason=reason):
                self.end(f"rejected: {reason}")
            case to_device.Candidates():
                pass
            case _:
                self.violations.append(f"{message.type} from a focus")

    # --- on the data channel ------------------------------------------------------------------------------

    def republish(self) -> None:
        """Offer what is published now, as soon as that can be done."""
        self._is_dirty = self.state is not LegState.CONNECTED or self._negotiation.is_offering
        if self._is_dirty:
            return
        wanted = {track.track_id: track for track in self._client.sources.tracks()}
        have = self._negotiation.published()
        for track_id in sorted(have - wanted.keys()):
            self._negotiation.unpublish(track_id)
        for track_id, track in wanted.items():
            if track_id not in have:
                self._negotiation.publish(track)
        self.say(data_channel.Negotiate("offer", self._negotiation.make_offer(), self._metadata()))

    def tell_metadata(self) -> None:
        """Tell of mutes."""
        if self.state is not LegState.CONNECTED:
            self._is_dirty = True
        self.say(data_channel.MetadataChanged(self._metadata()))

    def resubscribe(self) -> None:
        """Say the wishes soon."""
        if self._subscribe_at is None:
            self._subscribe_at = after_ms(self._clock.now, SUBSCRIBE_DELAY_MS)

    def say(self, message: data_channel.DataMessage) -> None:
        """Send a message on the data channel."""
        self.say_text(data_channel.serialise_message(message))

    def say_text(self, text: str) -> None:
        """Send anything on the data channel."""
        if self.state is LegState.CONNECTED:
            self._association.say(self._clock.now, f"T{text}")

    # --- datagrams ----------------------------------------------------------------------------------------

    def receive(self, source: Address, data: bytes) -> None:
        """Take a datagram."""
        if self.state is LegState.ENDED:
            return
        now = self._clock.now
        match protocol_of(data):
            case WireProtocol.STUN:
                if self._ice.receive(now, source, data):
                    self._association.start(now)
            case WireProtocol.DTLS:
                self._association.receive(now, data)
            case WireProtocol.RTP | WireProtocol.RTCP:
                if self._association.state is State.CONNECTED:
                    for wanted in self.session.receive(now, data):
                        self._client.sources.want_key_frame(wanted.track_id, wanted.rid)
            case WireProtocol.UNKNOWN:
                self.violations.append(f"a datagram that begins with {data[:1].hex()}")

    # --- within -------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        if self.state is LegState.ENDED:
            return
        now = self._clock.now
        self._ice.poll(now)
        self._association.poll(now)
        if self.state is LegState.CONNECTED:
            self.session.poll(now)
            if now >= self._judge_at:
                self._judge_at = after_ms(now, JUDGE_MS)
                self._client.judge(self.session)
            if self._subscribe_at is not None and now >= self._subscribe_at:
                self._subscribe_at = None
                self._subscribe()
        self._clock.call_after_ms(POLL_MS, self._tick)

    def _begin_negotiation(self) -> None:
        transport = sdp.Transport(self._ufrag, self._password, (_FINGERPRINT,), "actpass")
        self._negotiation.begin(transport, session_id=1 + self._rng.randrange(2**62))

    def _send_candidates(self) -> None:
        if self.state is not LegState.ENDED:
            host = f"candidate:1 1 udp 2122260223 {self._token(8)}.local 9 typ host"
            candidates = to_device.Candidate(host, "0", 0), to_device.Candidate("")
            self._tell(to_device.Candidates(self._envelope(), candidates))

    def _answered(self, message: to_device.Answer) -> None:
        self._client.announce(message.metadata or ())
        answer = self._negotiation.accept_answer(message.sdp)
        assert answer is not None
        self.state = LegState.CONNECTING
        self._tell(to_device.SelectAnswer(self._envelope(), message.envelope.party_id))
        self._agree()
        self._ice.begin(self._clock.now, answer.transport)
        self._ice.poll(self._clock.now)

    def _connected(self) -> None:
        self.state = LegState.CONNECTED
        self.connected_at = self._clock.now
        self._association.say(self._clock.now, f"O{data_channel.CHANNEL_LABEL}")
        self._subscribe()
        for video in self._client.sources.videos():
            video.begin_anew()
        if self._is_dirty:
            self.republish()

    def _subscribe(self) -> None:
        self.subscriptions += 1
        self.say(self._client.wishes.subscription())

    def _closed(self) -> None:
        """Clients of the dialect take no notice: they wait for a hangup (protocol: section 7.7)."""

    def _message_received(self, text: str) -> None:
        message = data_channel.parse_message(text[1:])
        match message:
            case data_channel.Ping():
                self.pings += 1
                if self._client.answers_pings:
                    self.say(data_channel.Pong())
            case data_channel.MetadataChanged(metadata):
                self._client.announce(metadata)
            case data_channel.Negotiate():
                self._described(message, by_device=False)
            case data_channel.Speakers(speakers):
                self._client.hear_speakers([speaker.user_id for speaker in speakers])
            case data_channel.Error(code=code):
                self.errors.append(code)
            case ours.Layers(tracks):
                self._client.hear_layers(tracks)
            case ours.Why(whys):
                self._client.hear_reasons(whys)
            case ours.Stats():
                self.stats.append(message)
            case _:
                pass

    def _described(self, message: data_channel.Negotiate, *, by_device: bool) -> None:
        # Metadata comes before the description (protocol: section 6.2).
        if message.metadata is not None:
            self._client.announce(message.metadata)
        try:
            self._apply(message, by_device=by_device)
        except sdp.SdpError as error:
            self._not_applied(error)
            return
        self._agree()
        if self._is_dirty:
            self.republish()

    def _not_applied(self, error: sdp.SdpError) -> None:
        """Clients take no further notice. Of two ways, the slower one may bring what is out of date."""
        if not self.ice_restarts:
            self.violations.append(f"a description that can't be applied: {error}")

    def _apply(self, message: data_channel.Negotiate, *, by_device: bool) -> None:
        if message.description_type == "answer":
            answer = self._negotiation.accept_answer(message.sdp)
            if answer is not None:
                self._ice.begin(self._clock.now, answer.transport, self._ufrag)
        elif self._client.answers_offers:
            answer_sdp = self._negotiation.answer_offer(message.sdp)
            if answer_sdp is None:
                return  # glare: the focus answers ours and offers again
            if by_device:
                self._tell(
                    to_device.Negotiate(self._envelope(), "answer", answer_sdp, metadata=self._metadata())
                )
            else:
                self.say(data_channel.Negotiate("answer", answer_sdp, self._metadata()))

    def _agree(self) -> None:
        self.session.agree(self._negotiation.sending(), self._negotiation.receiving())

    def _metadata(self) -> tuple[StreamMetadata, ...]:
        return self._client.sources.metadata(self._client.user_id, self._client.device_id)

    def _envelope(self) -> Envelope:
        client = self._client
        envelope = Envelope(
            self.call_id,
            client.device_id,
            client.room.conf_id,
            client.device_id,
            client.session_id,
            FOCUS_SESSION_ID,
            self._seq,
        )
        self._seq += 1
        return envelope

    def _tell(self, message: to_device.ToDeviceMessage) -> None:
        self._client.homeserver.send_to_focus(self._client.user_id, self.focus, message)

    def _send(self, data: bytes) -> None:
        if self._ice.selected is not None and self.state is not LegState.ENDED:
            self._client.send_datagram(self._ice.selected, data)

    def _token(self, length: int) -> str:
        return "".join(self._rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=length))
