"""One leg: one call id, from the invite to the hangup, as the protocol's client side (sections 4 to 8)."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import aiohttp

from loadtest.client.dialogue import Answered, Dialogue, Outcome
from loadtest.client.negotiation import ClientNegotiation
from loadtest.client.receiver import ntp_of
from loadtest.client.rtp_session import FrameArrived, KeyFrameWanted, RtpSession, SessionEvent, SoundArrived
from loadtest.client.signalling import MatrixRefusedError
from loadtest.client.transport import LegTransport, TransportFailedError
from sfu.units import Instant
from signalling.events import data_channel, to_device
from signalling.events.to_device import FOCUS_SESSION_ID, Envelope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.client.observations import Observations
    from loadtest.client.publisher import Publisher
    from loadtest.client.scene import Scene
    from loadtest.client.sdp import Transport
    from loadtest.client.signalling import MatrixClient
    from loadtest.client.subscriber import Subscriber
    from loadtest.client.terms import LegTerms

CONNECT_PATIENCE_S: Final = 30.0


class LegEndedError(Exception):
    """A leg is over: rejected, hung up or its connection is gone."""


class _NoAnswerError(Exception):
    """The focus did not answer the invite."""


class Leg:
    """One connection to the focus; `run` does everything until it ends.

    Args:
        terms: who dials whom, and how.
        client: sends the to-device messages.
        publisher: what is sent, over this leg and the next ones.
        subscriber: what is wanted, and where it goes.
        scene: is told of the invite.
        seen: is told what the focus does.
    """

    def __init__(
        self,
        terms: LegTerms,
        client: MatrixClient,
        publisher: Publisher,
        subscriber: Subscriber,
        scene: Scene,
        seen: Observations,
    ) -> None:
        self.terms = terms
        self.call_id = f"{int(time.time() * 1_000)}{secrets.token_hex(8)}"
        self.session = RtpSession(secrets.token_hex(8), random.Random(secrets.randbits(64)))  # noqa: S311  # SSRCs of a test
        self.ready = asyncio.Event()
        """Connected, data channel and all."""
        self.ended = asyncio.Event()
        self.settled = asyncio.Event()
        """Either of the two."""
        self.end_reason: str | None = None
        self._client = client
        self._publisher = publisher
        self._subscriber = subscriber
        self._scene = scene
        self._seen = seen
        self._transport = LegTransport(
            terms.addresses, self._take_media, obeys_close=terms.breaks.obey_hangups
        )
        self._negotiation = ClientNegotiation(terms.numbers, secrets.token_hex(8), seen.violations)
        self._dialogue = Dialogue(terms.breaks, self._negotiation, self.session, publisher, subscriber, seen)
        self._answer: asyncio.Queue[to_device.Answer] = asyncio.Queue()
        self._is_restarting = False
        self._restart_answers: asyncio.Queue[Transport] = asyncio.Queue()
        self._resends: list[bytes] = []
        self._seq = 0
        self._next_seq = 0
        """Expected of the focus."""

    # --- life --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Dial, connect, and serve the data channel until the leg ends; `end_reason` says why."""
        parting = ""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch())
                await self._live()
        except* _NoAnswerError as errors:
            parting = "invite_timeout"
            self._over(_first_reason(errors))
        except* TransportFailedError as errors:
            parting = "ice_failed"
            self._over(_first_reason(errors))
        except* (LegEndedError, MatrixRefusedError, aiohttp.ClientError, TimeoutError) as errors:
            self._over(_first_reason(errors))
        finally:
            self._over("cancelled")
            await self._transport.close()
        if parting:
            await self.send(to_device.Hangup(self._envelope(), parting))

    async def hang_up(self, reason: str = "user_hangup") -> None:
        """Tell the focus, and end."""
        await self.send(to_device.Hangup(self._envelope(), reason))
        self._end(reason)

    def vanish(self) -> None:
        """End without a word, sockets and all."""
        self._transport.drop()
        self._end("vanished")

    def abandon(self) -> None:
        """End this side without a word; the focus learns of it by the next invite."""
        self._transport.drop()
        self._end("replaced")

    # --- changes of the network --------------------------------------------------------------------------

    @property
    def local_port(self) -> int | None:
        """The UDP port that is used now; None while there is none."""
        return self._transport.local_port

    async def rebind(self, check_after_s: float) -> None:
        """Go on from another port; the focus learns of it by our next check."""
        await self._transport.rebind(self.terms.addresses[0], check_after_s)

    def lose_network(self) -> None:
        """Neither send nor receive anything any more, until `restart_ice`."""
        self._transport.drop()

    async def restart_ice(self, *, by_to_device: bool = False) -> None:
        """Offer new credentials, on the data channel or where that is dead by to-device, and go over to them.

        Raises:
            TransportFailedError: an offer of ours is waiting, or nothing came of this one.
        """
        offer = self._dialogue.restart(await self._transport.gather())
        if offer is None:
            raise TransportFailedError("an offer of ours is waiting")
        self._is_restarting = True
        metadata = self._dialogue.metadata()
        if by_to_device:
            await self.send(to_device.Negotiate(self._envelope(), "offer", offer, metadata=metadata))
        else:
            self.say(data_channel.Negotiate("offer", offer, metadata))
        await self._tell_candidates()
        try:
            async with asyncio.timeout(CONNECT_PATIENCE_S):
                await self._transport.reconnect(await self._restart_answers.get())
        except TimeoutError as error:
            raise TransportFailedError(f"no restart of ICE within {CONNECT_PATIENCE_S:g} s") from error
        finally:
            self._is_restarting = False

    # --- to-device ---------------------------------------------------------------------------------------

    async def send(self, message: to_device.ToDeviceMessage) -> None:
        """Send one to-device message of this leg."""
        focus = self.terms.focus
        await self._client.send_to_device(message.type, focus.user_id, focus.device_id, message.content())

    async def take(self, message: to_device.ReceivedMessage) -> None:
        """Take a to-device message that carries this leg's ids."""
        envelope = message.envelope
        if envelope.dest_session_id != self.terms.session_id:
            self._seen.violations.append(f"{message.type} for session {envelope.dest_session_id}")
        self._check_seq(envelope.seq)
        match message:
            case to_device.Answer():
                self._answer.put_nowait(message)
            case to_device.Reject():
                self._seen.rejects.append(message.reason)
                self._end(f"rejected: {message.reason}")
            case to_device.Hangup():
                self._seen.hangups.append(message.reason)
                if self.terms.breaks.obey_hangups:
                    self._end(f"hung up: {message.reason}")
            case to_device.Candidates():
                for candidate in message.candidates:
                    await self._transport.add_candidate(candidate.candidate)
            case to_device.Negotiate():
                self._follow(
                    self._dialogue.take_description(message.description_type, message.sdp, message.metadata)
                )
            case to_device.MetadataChanged():
                self._subscriber.announce(message.metadata)
            case _:
                self._seen.violations.append(f"{message.type} from a focus")

    def say(self, message: data_channel.DataMessage) -> None:
        """Send one message on the data channel."""
        self._transport.send_message(data_channel.serialise_message(message))

    def say_raw(self, message: str | bytes) -> None:
        """Send anything on the data channel."""
        self._transport.send_message(message)

    async def say_bytes(self, data: bytes) -> None:
        """Send bytes as a text on the data channel, UTF-8 or not."""
        await self._transport.send_text(data)

    def open_channel(self, label: str) -> asyncio.Queue[str | bytes]:
        """Open one more data channel, which no focus wants; what comes on it."""
        return self._transport.open_channel(label)

    async def send_datagram(self, data: bytes) -> None:
        """Send anything as one datagram on the way that ICE has chosen."""
        await self._transport.send_datagram(data)

    async def send_packets(self, packets: Sequence[bytes], *, is_rtcp: bool) -> None:
        """Encrypt and send any RTP or RTCP packets."""
        await self._transport.send_media(packets, is_rtcp=is_rtcp)

    # --- media -------------------------------------------------------------------------------------------

    @property
    def media_received(self) -> int:
        """All RTP packets that reached this leg, wanted or not, decryptable or not."""
        return self._transport.rtp_received

    def rtp_bytes_sent(self, ssrc: int) -> int:
        """What one RTP stream of ours took on the wire, UDP and below left out."""
        return self._transport.rtp_bytes_sent[ssrc]

    async def tick(self, now: Instant, wall_s: float) -> None:
        """Send what is due: media, RTCP, and wishes that waited."""
        if not self.ready.is_set() or self.ended.is_set():
            return
        packets = self._resends + self._publisher.media(now, wall_s, self.session)
        self._resends = []
        reports, events = self.session.poll(now, ntp_of(wall_s))
        self._perform(now, wall_s, events)
        await self._transport.send_media(packets, is_rtcp=False)
        await self._transport.send_media(reports, is_rtcp=True)
        if reports:
            for section in self._negotiation.receiving():
                track = self.session.track(section.mid)
                if track is not None:
                    self._subscriber.count(section.mid, track)
        subscription = self._subscriber.poll(now)
        if subscription is not None:
            self.say(subscription)

    def republish(self) -> None:
        """Offer the tracks that are published now; after the offer that waits, if one does."""
        if self.ready.is_set():
            self._follow(self._dialogue.republish())

    def tell_metadata(self) -> None:
        """Tell the focus of mutes."""
        if self.ready.is_set():
            self.say(data_channel.MetadataChanged(self._dialogue.metadata()))

    # --- helpers: dialling -------------------------------------------------------------------------------

    async def _dial(self) -> None:
        self._subscriber.begin_leg()
        transport = await self._transport.gather()
        offer = self._dialogue.begin(transport, session_id=secrets.randbelow(2**62))
        self._seen.legs += 1
        invite = to_device.Invite(
            self._envelope(),
            offer,
            self.terms.breaks.lifetime_ms,
            self._dialogue.metadata(),
            invitee=self.terms.focus.user_id,
        )
        self._scene.note_invite(self.terms.party, _now())
        await self.send(invite)
        await self._tell_candidates()

    async def _tell_candidates(self) -> None:
        ours = [to_device.Candidate(text, "0", 0) for text in self._transport.candidates()]
        ours.append(to_device.Candidate(""))
        await self.send(to_device.Candidates(self._envelope(), tuple(ours)))

    async def _live(self) -> None:
        await self._dial()
        answer = await self._await_answer()
        answered = self._dialogue.take_description("answer", answer.sdp, answer.metadata or ())
        transports = [outcome.transport for outcome in answered if isinstance(outcome, Answered)]
        if not transports:
            raise TransportFailedError("the answer cannot be used")
        if self.terms.breaks.select_answer:
            await self.send(to_device.SelectAnswer(self._envelope(), answer.envelope.party_id))
        try:
            async with asyncio.timeout(CONNECT_PATIENCE_S):
                await self._transport.connect(transports[0])
                await self._transport.opened.wait()
        except TimeoutError as error:
            raise TransportFailedError(f"no connection within {CONNECT_PATIENCE_S:g} s") from error
        self.ready.set()
        self.settled.set()
        self._scene.note_connected(self.terms.party, _now())
        self._subscriber.connected(_now())
        while True:
            message = await self._transport.messages.get()
            if isinstance(message, bytes):
                self._seen.violations.append("a binary frame on the data channel")
                continue
            self._follow(self._dialogue.take(message))

    async def _await_answer(self) -> to_device.Answer:
        patience_s = self.terms.answer_patience_s
        try:
            async with asyncio.timeout(patience_s):
                return await self._answer.get()
        except TimeoutError as error:
            focus = f"{self.terms.focus.user_id}, device {self.terms.focus.device_id}"
            raise _NoAnswerError(f"no answer to the invite of {focus} within {patience_s:g} s") from error

    async def _watch(self) -> None:
        await self._transport.closed.wait()
        raise LegEndedError(self.end_reason or "connection closed")

    def _check_seq(self, seq: int | None) -> None:
        """Browsers' clients wait for ever behind a number that does not come (protocol: section 4.4)."""
        if seq is None:
            return
        if seq != self._next_seq:
            self._seen.violations.append(f"seq {seq} after {self._next_seq - 1}")
        self._next_seq = seq + 1

    def _end(self, reason: str) -> None:
        self._over(reason)
        self._transport.closed.set()

    def _over(self, reason: str) -> None:
        self.end_reason = self.end_reason or reason
        self.ended.set()
        self.settled.set()

    def _envelope(self) -> Envelope:
        terms, breaks = self.terms, self.terms.breaks
        device_id = breaks.device_id or terms.party.device_id
        envelope = Envelope(
            call_id=self.call_id,
            party_id=breaks.party_id or device_id,
            conf_id=breaks.conf_id or terms.conf_id,
            device_id=device_id,
            sender_session_id=breaks.session_id or terms.session_id,
            dest_session_id=breaks.dest_session_id or FOCUS_SESSION_ID,
            seq=self._seq,
        )
        self._seq += 1
        return envelope if breaks.sequence_numbers else replace(envelope, seq=None)

    # --- helpers: the data channel -----------------------------------------------------------------------

    def _follow(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if not isinstance(outcome, Answered):
                self.say(outcome)
            elif self._is_restarting:
                self._restart_answers.put_nowait(outcome.transport)

    # --- helpers: media ----------------------------------------------------------------------------------

    def _take_media(
        self, data: bytes, is_rtcp: bool, arrived_at: Instant
    ) -> None:  # the transport's callback
        now, wall_s = _now(), time.time()
        self._seen.note_wait(now, arrived_at)
        if is_rtcp:
            resent, events = self.session.receive_rtcp(now, data)
            self._resends += resent
        else:
            events = self.session.receive_rtp(arrived_at, data)
        self._perform(now, wall_s, events)

    def _perform(self, now: Instant, wall_s: float, events: list[SessionEvent]) -> None:
        for event in events:
            match event:
                case FrameArrived():
                    if not self._subscriber.see(now, wall_s, event.mid, event.frame):
                        self.session.need_key_frame(event.mid)
                case SoundArrived():
                    self._subscriber.hear(now, wall_s, event.mid, event.packet)
                case KeyFrameWanted():
                    self._publisher.want_key_frame(event.track_id, event.rid)


def _first_reason(errors: BaseExceptionGroup[BaseException]) -> str:
    """What the first error of a group says."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__


def _now() -> Instant:
    return Instant(time.monotonic_ns())
