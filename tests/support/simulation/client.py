"""One person's device in a call."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from loadtest.client.negotiation import LIKE_CHROMIUM, LegNumbers
from sfu.units import Instant, WallTime, after_ms
from signalling.events.metadata import USERMEDIA
from signalling.events.room_state import MemberDevice, member_content
from tests.support.simulation.audio_receiver import AudioReceiver
from tests.support.simulation.clock import START
from tests.support.simulation.homeserver import FIRST_ROOM, Room
from tests.support.simulation.label import Source
from tests.support.simulation.leg import ClientLeg, LegState
from tests.support.simulation.lip_sync import lip_sync_ms
from tests.support.simulation.observations import MAX_FAULTS, TrackObservations
from tests.support.simulation.sites import FIRST_SITE, Site
from tests.support.simulation.sources import Capture, Sources
from tests.support.simulation.wishes import AnnouncedTrack, Tile, Wishes

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from loadtest.client.negotiation import ReceiveSection
    from sfu.netem.network import Address
    from signalling.events.metadata import StreamMetadata
    from signalling.events.ours import ActiveLayers, TrackWhy
    from signalling.events.to_device import ToDeviceMessage
    from tests.support.simulation.rtp_session import RtpSession
    from tests.support.simulation.video_receiver import VideoReceiver
    from tests.support.simulation.world import World

MEMBER_LIFETIME_MS: Final = 3_600_000
INVITE_DELAY_MS: Final = 90
"""Between the member event and the invite: the least that was captured (protocol: section 2.2)."""
FORGIVEN_MS: Final = 1_500
"""How long after a wish was taken back its media may still come: the message may have to be sent again."""


class SimClient:
    """Everything that a person's client does and notices.

    Args:
        name: short; the user id is made of it.
        number: in the labels of what it publishes; unique in the call.
        world: where it lives.
        rng: everything that it draws.
        numbers_of: the numbers that labels of others carry, by user id.
        capture: what it publishes.
        tile: the usual size in which it shows others; None shows nobody.
        numbers: payload types and extension ids.
        site: its homeserver, and the focus that it is on.
        room: where its call is.
    """

    def __init__(
        self,
        name: str,
        number: int,
        world: World,
        rng: random.Random,
        numbers_of: Mapping[str, int],
        *,
        capture: Capture | None = None,
        tile: Tile | None = (640, 360),
        numbers: LegNumbers = LIKE_CHROMIUM,
        site: Site = FIRST_SITE,
        room: Room = FIRST_ROOM,
    ) -> None:
        self.clock: Final = world.clock
        self.homeserver: Final = world.homeserver
        self._network = world.network
        self.user_id: Final = site.user_id(name)
        self.device_id: Final = f"{name.upper()}DEVICE"
        self.room: Final = room
        self.session_id: Final = f"{name}-session"
        self.number: Final = number
        self.focus = site.focus
        """That it is on."""
        self.rng: Final = rng
        self.numbers: Final = numbers
        self.rides = False
        """Whether it publishes on sections of the focus, as clients of the dialect do."""
        self.wishes: Final = Wishes(tile)
        self.sources: Final = Sources(name, number, capture or Capture(), rng, self.clock.now)
        self.address: Address = (f"198.51.{100 + number // 256}.{number % 256}", 50_000)
        self.obeys_layers = False
        """Whether it switches off what nobody wants; the recorded client knows nothing of it."""
        self.layers: list[tuple[Instant, str, tuple[str, ...]]] = []
        """What the focus said of its tracks: when, track id, rids that are wanted."""
        self.reasons: list[tuple[Instant, TrackWhy]] = []
        """What the focus said of what it gets, with the time when each came."""
        self.hears_the_loudest = False
        """Whether it knows that the call is so large that not all sound is forwarded."""
        self.answers_pings = True
        self.answers_offers = True
        self.leg: ClientLeg | None = None
        self.legs: list[ClientLeg] = []
        self.speakers: list[tuple[Instant, tuple[str, ...]]] = []
        """Lists of user ids, with the time when each came."""
        self.doubles: list[str] = []
        """Who was announced twice at a time."""
        self.unwanted: list[str] = []
        """Media that came although it was not wished for."""
        self._numbers_of = numbers_of
        self._seen: dict[tuple[str, Source], TrackObservations] = {}
        self._unwished_at: dict[tuple[str, Source], Instant] = {}
        self._mutes: dict[str, list[tuple[bool, bool]]] = {}
        self._is_capturing = False
        self._is_in_call = False
        world.homeserver.log_in(self.user_id, self.device_id, self._take, room)

    # --- what a person does -------------------------------------------------------------------------------

    def join(self, *, member_event: bool = True) -> None:
        """Join the room and the call, as clients do: member event first, invite soon after."""
        self._is_in_call = True
        self.homeserver.join_room(self.user_id)
        if member_event:
            self.write_member_event()
        self.clock.call_after_ms(INVITE_DELAY_MS, self._dial_if_still_wanted)

    def write_member_event(self) -> None:
        """Say that this device is in the call."""
        device = MemberDevice(
            self.device_id,
            self.session_id,
            WallTime(self.clock.wall + MEMBER_LIFETIME_MS),
            ("m.usermedia",),
            (self.focus,),
        )
        self.homeserver.put_member(self.user_id, member_content(self.room.conf_id, (device,)))

    def dial(self) -> None:
        """Open a leg; one that is open is forgotten without a word."""
        if self.leg is not None:
            self.leg.end("replaced")
        self.leg = ClientLeg(self, f"{self.user_id[1:]}-{len(self.legs)}")
        self.legs.append(self.leg)
        self.leg.dial()
        self._start_capturing()

    def move_to(self, site: Site) -> None:
        """Go to another focus: the member event first, then goodbye here, soon after a leg there."""
        before = self.leg
        self.focus = site.focus
        self.write_member_event()
        if before is not None and before.state is not LegState.ENDED:
            before.hang_up()
        self.clock.call_after_ms(INVITE_DELAY_MS, self._dial_if_still_wanted)

    def leave(self) -> None:
        """Leave the call as clients do: member event, then hangup."""
        self._is_in_call = False
        self.homeserver.put_member(self.user_id, member_content(self.room.conf_id, ()))
        if self.leg is not None and self.leg.state is not LegState.ENDED:
            self.leg.hang_up()

    def vanish(self) -> None:
        """Stop without a word, as a laptop that is shut."""
        if self.leg is not None:
            self.leg.end("vanished")

    def mute(self, source: Source, *, muted: bool = True) -> None:
        """Mute or unmute microphone or camera."""
        microphone, camera = self.sources.microphone, self.sources.camera
        if source is Source.MICROPHONE:
            assert microphone is not None
            microphone.is_muted = muted
        else:
            assert camera is not None
            camera.is_muted = muted
            camera.begin_anew()
        if self.leg is not None:
            self.leg.tell_metadata()

    def talk(self, *, talks: bool) -> None:
        """Talk, or be silent."""
        assert self.sources.microphone is not None
        self.sources.microphone.talks = talks

    def open_camera(self) -> None:
        """Publish a camera that was not there."""
        self.sources.open_camera(self.clock.now)
        self._start_capturing()
        self._republish()

    def close_camera(self) -> None:
        """Publish it no more."""
        self.sources.camera = None
        self._republish()

    def share_screen(self) -> None:
        """Publish a screen."""
        self.sources.open_screen(self.clock.now)
        self._start_capturing()
        self._republish()

    def stop_screen(self) -> None:
        """Publish it no more."""
        self.sources.screen = None
        self._republish()

    def show(self, publisher: SimClient, tile: Tile | None, source: Source = Source.CAMERA) -> None:
        """Show a track in another size; None hides it."""
        if tile is None:
            self._unwished_at.setdefault((publisher.user_id, source), self.clock.now)
        else:
            self._unwished_at.pop((publisher.user_id, source), None)
        self.wishes.show(publisher.user_id, source, tile)
        if self.leg is not None:
            self.leg.resubscribe()

    def scroll(self, publisher: SimClient, *, in_sight: bool) -> None:
        """Have a camera's tile out of sight, or in it again."""
        key = publisher.user_id, Source.CAMERA
        if in_sight:
            self._unwished_at.pop(key, None)
        else:
            self._unwished_at.setdefault(key, self.clock.now)
        self.wishes.scroll(*key, in_sight=in_sight)
        if self.leg is not None:
            self.leg.resubscribe()

    def listen(self, publisher: SimClient, *, wanted: bool) -> None:
        """Want to hear somebody, or not."""
        if wanted:
            self._unwished_at.pop((publisher.user_id, Source.MICROPHONE), None)
        else:
            self._unwished_at.setdefault((publisher.user_id, Source.MICROPHONE), self.clock.now)
        self.wishes.listen(publisher.user_id, wanted=wanted)
        if self.leg is not None:
            self.leg.resubscribe()

    def move(self) -> None:
        """Be given another address, as by a NAT that forgot; the client itself does not notice."""
        host, port = self.address
        self._network.rebind(self.address, (host, port + 1))
        self.address = host, port + 1

    # --- what a person notices ----------------------------------------------------------------------------

    @property
    def session(self) -> RtpSession:
        """The media of the leg that is open, or was last."""
        assert self.leg is not None
        return self.leg.session

    @property
    def is_connected(self) -> bool:
        """Whether there is a leg with keys and a channel."""
        return self.leg is not None and self.leg.state is LegState.CONNECTED

    def seen(self, publisher: SimClient, source: Source = Source.CAMERA) -> TrackObservations:
        """What has been seen or heard of somebody."""
        return self._observations(publisher.user_id, source)

    def all_seen(self) -> list[TrackObservations]:
        """Everything that has been seen and heard."""
        return list(self._seen.values())

    def announced(self, publisher: SimClient) -> set[Source]:
        """What is announced of somebody now."""
        return {t.source for t in self.wishes.present.values() if t.publisher == publisher.user_id}

    def wants(self, publisher: SimClient, source: Source) -> bool:
        """Whether a track of somebody is wished for."""
        return self.wishes.wants(AnnouncedTrack(publisher.user_id, source, "", ""))

    def mutes(self, publisher: SimClient) -> list[tuple[bool, bool]]:
        """What was told of somebody's microphone and camera, one after the other: whether they are muted."""
        return self._mutes.get(publisher.user_id, [])

    def faults(self) -> list[str]:
        """Every rule that was broken, by whomever but the network."""
        found = [f"{self.user_id}: {text}" for text in self.unwanted]
        for leg in self.legs:
            found += [f"{self.user_id}: {text}" for text in (*leg.violations, *leg.session.faults)]
            found += [
                f"{self.user_id}: SSRC {ssrc} of no section" for ssrc in leg.session.counts.unknown_ssrcs
            ]
        for seen in self.all_seen():
            found += [f"{self.user_id} of {seen.publisher}: {text}" for text in seen.faults]
        return found

    # --- told by its parts --------------------------------------------------------------------------------

    def observe(self, section: ReceiveSection) -> tuple[int, TrackObservations] | None:
        """Whose track a section carries: the number of its labels, and where to note what is seen."""
        track = self.wishes.announced.get((section.stream_id, section.track_id))
        number = None if track is None else self._numbers_of.get(track.publisher)
        if track is None or number is None:
            return None
        return number, self._observations(track.publisher, track.source)

    def announce(self, streams: tuple[StreamMetadata, ...]) -> None:
        """The focus says what others publish."""
        before = self.wishes.present
        self.wishes.announce(streams)
        present = Counter((track.publisher, track.source) for track in self.wishes.present.values())
        self.doubles += [user_id for (user_id, _), count in present.items() if count > 1]
        for stream in streams:
            if stream.purpose == USERMEDIA:
                told = self._mutes.setdefault(stream.user_id or "", [])
                muted = stream.audio_muted, stream.video_muted
                if told[-1:] != [muted]:
                    told.append(muted)
        if self.wishes.present != before and self.leg is not None:
            self.leg.resubscribe()

    def hear_speakers(self, user_ids: list[str]) -> None:
        """The focus says who is talking."""
        self.speakers.append((self.clock.now, tuple(user_ids)))

    def hear_layers(self, tracks: tuple[ActiveLayers, ...]) -> None:
        """The focus says which encodings are wanted."""
        for track in tracks:
            self.layers.append((self.clock.now, track.track_id, track.active))
            if self.obeys_layers:
                self.sources.want_layers(track.track_id, track.active)

    def hear_reasons(self, tracks: tuple[TrackWhy, ...]) -> None:
        """The focus says why it sends what it sends."""
        self.reasons += [(self.clock.now, track) for track in tracks]

    def judge(self, session: RtpSession) -> None:
        """Hold what arrives against the wishes, and the clocks of pictures against those of the sound."""
        audio: dict[str, AudioReceiver] = {}
        video: list[tuple[AnnouncedTrack, VideoReceiver]] = []
        for section, receiver in session.receivers():
            track = self.wishes.announced.get((section.stream_id, section.track_id))
            if track is None:
                continue
            self._judge_wish(track, receiver)
            if isinstance(receiver, AudioReceiver):
                audio[track.publisher] = receiver
            else:
                video.append((track, receiver))
        for track, shown in video:
            heard = audio.get(track.publisher)
            offset_ms = None if heard is None else lip_sync_ms(heard, shown)
            if offset_ms is not None:
                self._observations(track.publisher, track.source).lip_sync_ms.append(offset_ms)

    def receive(self, source: Address, data: bytes) -> None:
        """Take a datagram."""
        if self.leg is not None:
            self.leg.receive(source, data)

    def send_datagram(self, destination: Address, data: bytes) -> None:
        """Send a datagram."""
        self._network.send(self.clock.now, self.address, destination, data)

    # --- within -------------------------------------------------------------------------------------------

    def _take(self, message: ToDeviceMessage) -> None:
        for leg in self.legs:
            if leg.call_id == message.envelope.call_id and leg.state is not LegState.ENDED:
                leg.take(message)

    def _republish(self) -> None:
        if self.leg is not None:
            self.leg.republish()

    def _dial_if_still_wanted(self) -> None:
        if self._is_in_call:
            self.dial()

    def _start_capturing(self) -> None:
        if not self._is_capturing and self.leg is not None:
            self._is_capturing = True
            self._capture()

    def _capture(self) -> None:
        self.sources.capture(self.clock.now, self.session if self.is_connected else None)
        due_at = self.sources.next_timeout()
        if due_at is None or self.leg is None or self.leg.state is LegState.ENDED:
            self._is_capturing = False
        else:
            self.clock.call_at(due_at, self._capture)

    def _judge_wish(self, track: AnnouncedTrack, receiver: VideoReceiver | AudioReceiver) -> None:
        if self.wishes.wants(track) or len(self.unwanted) == MAX_FAULTS:
            return
        since = self._unwished_at.get((track.publisher, track.source), START)
        came_at = receiver.reception.last_received_at
        if came_at is not None and came_at > after_ms(since, FORGIVEN_MS):
            self.unwanted.append(f"{track.source.name} of {track.publisher} at {came_at}, hidden at {since}")

    def _observations(self, user_id: str, source: Source) -> TrackObservations:
        may_pause = self.hears_the_loudest and source is Source.MICROPHONE
        return self._seen.setdefault((user_id, source), TrackObservations(user_id, source, may_pause))
