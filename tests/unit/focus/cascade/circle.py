"""Several foci under test in one call, on one hand-set clock, and everything that is carried between them.

Rooms are the same for all; to-device messages arrive late and in order; data-channel texts arrive at once.
The runtime of each does what it is told: who dials finds the other by its credentials, unless the way is cut.
"""

from __future__ import annotations

import heapq
import json
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from sfu.conference.turn import (
    CloseLeg,
    DataChannelOpened,
    DataReceived,
    Dial,
    LegConnected,
    LegFailed,
    OpenChannel,
    SendData,
    StartDtls,
)
from sfu.plane import AddTransport, PairSelected, SetCredentials, SetTrack, StreamBound
from sfu.units import Instant, Ssrc, TransportId, WallTime, after_ms
from signalling.events import data_channel, to_device
from signalling.events.room_state import FocusDevice, MemberDevice, member_content
from signalling.focus.cascade.settings import CascadeSettings
from signalling.focus.turn import (
    Count,
    ForgetLeg,
    KeepLeg,
    LegsRestored,
    MessageReceived,
    Note,
    RoomState,
    SendToDevice,
    StateEvent,
)
from tests.unit.conference.caller import of_type, report_of
from tests.unit.focus.stage import (
    CONF,
    HOUR_MS,
    MEMBER,
    ROOM,
    Client,
    Stage,
    call_event,
    counted,
    membership,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sfu.config import LimitsConfig
    from sfu.plane import Credentials
    from signalling.focus.settings import CallSettings

CASCADE: Final = CascadeSettings(enabled=True)
LETTER_MS: Final = 20.0
"""How long a to-device message takes."""
FIND_MS: Final = 10.0
"""How long ICE and DTLS take."""
SEARCH_MS: Final = 30_000.0
"""After so long the dialler of the runtime gives up."""
MAX_EVENTS: Final = 20_000

ALICE_VIDEO: Final = ("alice-stream", "alice-video")
ALICE_AUDIO: Final = ("alice-stream", "alice-audio")

Link = tuple[str, TransportId]


def focus_of(name: str) -> FocusDevice:
    return FocusDevice(f"@focus:{name}", "FOCUS")


class Site(Stage):
    """One focus with its clients, and its end of each trunk."""

    def __init__(self, name: str, cascade: CascadeSettings, number: int, **fields: Any) -> None:  # noqa: ANN401
        self.name = name
        self.focus_device = focus_of(name)
        identity = self.focus_device.user_id, self.focus_device.device_id
        super().__init__(identity=identity, cascade=cascade, seed=number, **fields)
        self.cursor = 0
        """Outputs before it were carried."""
        self.credentials: dict[TransportId, Credentials] = {}
        self.dialled: dict[TransportId, Dial] = {}
        self.channels: dict[TransportId, str] = {}
        self.heard: list[tuple[TransportId, data_channel.DataMessage]] = []
        """What has come over trunks."""
        self.post: list[to_device.ReceivedMessage] = []
        """And by to-device message from other foci."""
        self.records: dict[str, str] = {}
        """Of legs, over a restart."""

    def _heard(self, leg: TransportId, channel: int, text: str) -> list[Any]:
        outputs = super()._heard(leg, channel, text)
        if isinstance(data_channel.parse_message(text), data_channel.Ping):
            for client in self.clients:
                if client.leg == leg:
                    outputs += self.say(client, data_channel.Pong())
        return outputs

    def tick(self) -> None:
        """The tick of a runtime in which nothing flows: who wants what is looked at."""
        self.give(report_of(self.now))

    def trunks(self) -> list[dict[str, Any]]:
        """As people are shown them."""
        return [trunk for call in self.focus.snapshot()["calls"] for trunk in call["trunks"]]

    def trunk(self, other: Site) -> dict[str, Any]:
        (found,) = [one for one in self.trunks() if one["user_id"] == other.focus_device.user_id]
        return found

    def state_of(self, other: Site) -> str:
        """How the trunk to another is; empty where there is none to be shown."""
        return next(
            (one["state"] for one in self.trunks() if one["user_id"] == other.focus_device.user_id), ""
        )

    def trunk_legs(self) -> list[TransportId]:
        return [leg.transport for leg in self.focus._calls.legs if leg.trunk is not None]

    def end_to(self, other: Site) -> TransportId:
        (leg,) = [
            leg.transport
            for leg in self.focus._calls.legs
            if leg.trunk is not None and leg.key.user_id == other.focus_device.user_id
        ]
        return leg

    def seen(self, client: Client) -> dict[str, str]:
        """Whose streams its client is told of now: user by stream id."""
        return {stream_id: str(one.user_id) for stream_id, one in self.told(client).items()}


@dataclass
class Circle:
    """All of them."""

    names: Iterable[str] = ("a", "b")
    cascade: CascadeSettings = CASCADE
    by_name: dict[str, CascadeSettings] = field(default_factory=dict)
    letter_ms: float = LETTER_MS
    limits: LimitsConfig | None = None
    settings: dict[str, CallSettings] = field(default_factory=dict)
    cut: set[frozenset[str]] = field(default_factory=set)
    """Pairs between which no datagram goes."""
    silent: set[str] = field(default_factory=set)
    """Foci whose homeserver is away: their to-device messages wait."""

    def __post_init__(self) -> None:
        self._numbers = count(1)
        self._sent = count()
        self._agenda: list[tuple[Instant, int, Callable[[], object]]] = []
        self._held: list[tuple[str, SendToDevice]] = []
        self._links: dict[Link, Link] = {}
        self.now = Instant(1_000_000_000)
        self.wall = WallTime(0)
        self.events: dict[tuple[str, str], StateEvent] = {}
        self.sites: dict[str, Site] = {}
        for name in self.names:
            self.sites[name] = self._fresh(name)
        self.state(call_event(), *(membership(focus_of(name).user_id) for name in self.sites))

    def __getitem__(self, name: str) -> Site:
        return self.sites[name]

    # --- rooms --------------------------------------------------------------------------------------------

    def state(self, *events: StateEvent, to: Iterable[str] | None = None) -> None:
        """All foci of the room hear of events, or these."""
        self.events |= {(event.type, event.state_key): event for event in events}
        for name in self.sites if to is None else to:
            self.sites[name].give(RoomState(ROOM, events))
            self.settle()

    def says(
        self,
        client: Client,
        *active: FocusDevice,
        preferred: Iterable[FocusDevice] = (),
        expires_in_ms: int = HOUR_MS,
    ) -> StateEvent:
        """The member event of a client: on which foci it is."""
        device = MemberDevice(
            client.device_id,
            client.session_id,
            WallTime(self.wall + expires_in_ms),
            ("m.usermedia",),
            active,
            tuple(preferred),
        )
        return StateEvent(MEMBER, client.user_id, client.user_id, member_content(CONF, (device,)))

    def leaves(self, client: Client) -> StateEvent:
        """The member event of somebody who leaves the call."""
        return StateEvent(MEMBER, client.user_id, client.user_id, member_content(CONF, ()))

    # --- people -------------------------------------------------------------------------------------------

    def announce(self, name: str, person: str, kinds: str = "audio video", **fields: Any) -> Client:  # noqa: ANN401  # of Client
        """Somebody's member event says that they are on a focus; they have not called yet."""
        site = self.sites[name]
        client = site.client(person, kinds, **fields)
        self.state(membership(client.user_id), self.says(client, site.focus_device))
        return client

    def call(self, name: str, client: Client) -> None:
        """They call, and are connected."""
        site = self.sites[name]
        site.invite(client)
        self.settle()
        site.connect(client)
        self.settle()

    def join(self, name: str, person: str, kinds: str = "audio video", **fields: Any) -> Client:  # noqa: ANN401  # of Client
        """Both, and time for everybody to hear of it."""
        client = self.announce(name, person, kinds, **fields)
        self.call(name, client)
        self.pass_ms(1_500)
        return client

    def say(self, name: str, client: Client, message: data_channel.DataMessage) -> None:
        self.sites[name].say(client, message)
        self.settle()

    def subscribe(
        self, name: str, client: Client, *ids: tuple[str, str], size: tuple[int, int] = (640, 360)
    ) -> None:
        self.sites[name].subscribe(client, *ids, size=size)
        self.settle()

    # --- foci ---------------------------------------------------------------------------------------------

    def restart(self, name: str, *, tells: bool = True) -> Site:
        """A focus is killed, and is there again; it knows the legs that it had, unless its disk is gone."""
        before = self.sites[name]
        for link in [link for link in self._links if link[0] == name]:
            self._links.pop(self._links.pop(link))
        site = self.sites[name] = self._fresh(name)
        if tells:
            site.give(LegsRestored(tuple(before.records.items())))
        site.give(RoomState(ROOM, tuple(self.events.values()), is_complete=True))
        self.settle()
        return site

    def post(self, name: str, to: str, message: to_device.ToDeviceMessage) -> None:
        """Some device of a focus's account writes a message by itself."""
        self.sites[to].give(MessageReceived(focus_of(name).user_id, message))
        self.settle()

    def tell(self, name: str, to: str, message: data_channel.DataMessage | str) -> None:
        """A focus that lies says something on its trunk."""
        site, other = self.sites[name], self.sites[to]
        text = message if isinstance(message, str) else data_channel.serialise_message(message)
        there = self._links[name, site.end_to(other)]
        other.give(DataReceived(there[1], 0, text))
        self.settle()

    def back(self, name: str) -> None:
        """The homeserver of a focus is there again."""
        self.silent.discard(name)
        held, self._held = self._held, []
        for sender, letter in held:
            self._post(sender, letter)

    def legs(self) -> dict[str, int]:
        """How many trunk legs each has."""
        return {name: len(site.trunk_legs()) for name, site in self.sites.items()}

    # --- time ---------------------------------------------------------------------------------------------

    def pass_ms(self, delay_ms: float) -> None:
        """Time passes; what is due is done, what arrives is taken."""
        end = after_ms(self.now, delay_ms)
        for _ in range(MAX_EVENTS):
            timers = [(site.focus.next_timeout(), site) for site in self.sites.values()]
            due = [(at, site) for at, site in timers if at is not None]
            first = min((at for at, _ in due), default=end)
            if self._agenda and self._agenda[0][0] <= min(first, end):
                at, _, what = heapq.heappop(self._agenda)
                self._advance(max(at, self.now))
                what()
                self.settle()
            elif due and first <= end:
                self._advance(max(first, self.now))
                site = next(site for at, site in due if at == first)
                outputs = site._perform(site.focus.handle_timeout(self.now, self.wall))
                after = site.focus.next_timeout()
                assert outputs or after is None or after > self.now, "a timer that does not move on"
                self.settle()
            else:
                self._advance(end)
                return
        raise AssertionError("they talk without end")

    def pass_s(self, delay_s: float) -> None:
        self.pass_ms(delay_s * 1_000)

    # --- what is carried ----------------------------------------------------------------------------------

    def settle(self) -> None:
        """Everything that goes at once has gone."""
        for _ in range(MAX_EVENTS):
            news = [(site, output) for site in self.sites.values() for output in site.outputs[site.cursor :]]
            if not news:
                return
            for site in self.sites.values():
                site.cursor = len(site.outputs)
            for site, output in news:
                self._carry(site, output)
        raise AssertionError("they talk without end")

    def _carry(self, site: Site, output: Any) -> None:  # noqa: ANN401  # any output
        match output:
            case KeepLeg(key, record):
                site.records[key] = record
            case ForgetLeg(key):
                site.records.pop(key, None)
            case SendToDevice():
                self._post(site.name, output)
            case AddTransport(leg, credentials) | SetCredentials(leg, credentials):
                site.credentials[leg] = credentials
            case Dial(leg):
                site.dialled[leg] = output
                self._later(FIND_MS, partial(self._find, site, leg))
                self._later(SEARCH_MS, partial(self._give_up, site, leg))
            case StartDtls(leg, is_client=True):
                assert leg in site.dialled
            case OpenChannel(leg, label):
                site.channels[leg] = label
            case _:
                self._carry_over(site, output)

    def _carry_over(self, site: Site, output: Any) -> None:  # noqa: ANN401  # any output
        """What goes over a trunk, once there is one."""
        match output:
            case SetTrack(track, leg) if leg in site.trunk_legs():
                for number in range(len(output.encodings)):
                    site.give(StreamBound(track, number, Ssrc(100 + number)))
            case SendData(leg, channel, text) if (site.name, leg) in self._links:
                name, there = self._links[site.name, leg]
                if frozenset((name, site.name)) not in self.cut:
                    other = self.sites[name]
                    other.heard.append((there, data_channel.parse_message(text)))
                    other.give(DataReceived(there, channel, text))
            case CloseLeg(leg):
                self._close(site, leg)
            case _:
                pass

    def _post(self, sender: str, letter: SendToDevice) -> None:
        if sender in self.silent:
            self._held.append((sender, letter))
            return
        for name, site in self.sites.items():
            if (site.focus_device.user_id, site.focus_device.device_id) == (letter.user_id, letter.device_id):
                self._later(self.letter_ms, partial(self._receive, sender, name, letter))

    def _receive(self, sender: str, name: str, letter: SendToDevice) -> None:
        site, message = self.sites[name], letter.message
        parsed = to_device.parse_to_device(message.type, json.loads(json.dumps(message.content())))
        assert parsed == message
        site.post.append(message)
        proven = focus_of(sender).device_id if letter.is_encrypted else None
        site.give(MessageReceived(focus_of(sender).user_id, parsed, proven))

    def _find(self, site: Site, leg: TransportId) -> None:
        """ICE finds who has the credentials of the answer, and DTLS connects."""
        if leg not in site.trunk_legs() or (site.name, leg) in self._links:
            return
        remote = site.dialled[leg].remote
        for other in self.sites.values():
            if frozenset((site.name, other.name)) in self.cut:
                continue
            for there, credentials in other.credentials.items():
                if credentials == remote and there in other.trunk_legs():
                    self._connect(site, leg, other, there)
                    return

    def _connect(self, site: Site, leg: TransportId, other: Site, there: TransportId) -> None:
        self._links[site.name, leg] = other.name, there
        self._links[other.name, there] = site.name, leg
        for end, transport in ((other, there), (site, leg)):
            end.give(PairSelected(transport))
            end.give(LegConnected(transport))
        for end, transport in ((other, there), (site, leg)):
            if (end.name, transport) in self._links:
                # What either says after this reaches the other, which has the channel as well by then.
                end.give(DataChannelOpened(transport, 0, site.channels[leg]))

    def _give_up(self, site: Site, leg: TransportId) -> None:
        if leg in site.trunk_legs() and (site.name, leg) not in self._links:
            site.give(LegFailed(leg, "unreachable"))

    def _close(self, site: Site, leg: TransportId) -> None:
        link = self._links.pop((site.name, leg), None)
        if link is None:
            return
        del self._links[link]
        name, there = link
        if frozenset((name, site.name)) not in self.cut:
            self.sites[name].give(LegFailed(there, "dtls_closed"))

    def lose(self, name: str, to: str) -> None:
        """The way between two foci is gone for good: both ends notice."""
        for site, other in ((self.sites[name], self.sites[to]), (self.sites[to], self.sites[name])):
            for leg in site.trunk_legs():
                if self._links.get((site.name, leg), ("", 0))[0] == other.name:
                    del self._links[site.name, leg]
                    site.give(LegFailed(leg, "consent_lost"))
        self.settle()

    def _later(self, delay_ms: float, what: Callable[[], object]) -> None:
        heapq.heappush(self._agenda, (after_ms(self.now, delay_ms), next(self._sent), what))

    def _advance(self, to: Instant) -> None:
        self.wall = WallTime(self.wall + round((to - self.now) / 1e6))
        self.now = to
        for site in self.sites.values():
            site.now, site.wall = self.now, self.wall

    def _fresh(self, name: str) -> Site:
        cascade = self.by_name.get(name, self.cascade)
        site = Site(name, cascade, next(self._numbers), settings=self.settings.get(name), limits=self.limits)
        site.now, site.wall = self.now, self.wall
        return site


def two(**fields: Any) -> tuple[Circle, Client, Client]:  # noqa: ANN401  # fields of Circle
    """Alice is on one focus and bob on another, and the trunk is up."""
    circle = Circle(**fields)
    alice = circle.join("a", "alice")
    bob = circle.join("b", "bob")
    circle.pass_s(1)
    assert circle["a"].state_of(circle["b"]) == circle["b"].state_of(circle["a"]) == "up"
    return circle, alice, bob


def endings(site: Site) -> list[str]:
    """How its dials and trunks have ended."""
    labels = [
        dict(one.labels) for one in of_type(site.outputs, Count) if one.name in {"dials", "trunks_ended"}
    ]
    reasons = [one.get("reason") or one["outcome"] for one in labels]
    return [reason for reason in reasons if reason != "up"]


def refusals(site: Site) -> list[str]:
    """Why it has given trunks to nobody."""
    return [one["reason"] for one in counted(site.outputs, "trunks_refused")]


def disbelieved(site: Site) -> list[str]:
    """Why it has not taken streams of other foci."""
    return [one["reason"] for one in counted(site.outputs, "streams_refused")]


def hangups(site: Site) -> list[str]:
    """Why other foci have hung up."""
    return [one.reason for one in site.post if isinstance(one, to_device.Hangup)]


def rejects(site: Site) -> list[str]:
    """Why other foci did not take its invites."""
    return [one.reason for one in site.post if isinstance(one, to_device.Reject)]


def notes(site: Site, event: str) -> list[dict[str, Any]]:
    """The facts of lines of the log."""
    return [dict(one.facts) for one in of_type(site.outputs, Note) if one.event == event]
