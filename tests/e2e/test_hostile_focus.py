"""Whatever another focus sends: it is refused, counted and logged, nothing gets in, and nobody notices.

One lying focus has a trunk all the while, by which a person who really is on it is heard: the lies are
refused, not the focus. What the engine makes of each is in `tests/unit/focus/cascade/test_hostile.py`; here
it is the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import struct
import time
from typing import TYPE_CHECKING, Any, Final

import pytest
import pytest_asyncio

from loadtest.client import sdp
from loadtest.client.negotiation import LocalTrack
from loadtest.client.scene import AUDIO, VIDEO, Party
from sfu.rtp import rtcp
from sfu.units import Kind, Ssrc, WallTime
from signalling.events.cascade import LAYERS_KEY, PATH_KEY
from signalling.events.metadata import StreamMetadata, TrackMetadata, metadata_content
from signalling.events.room_state import CALL_MEMBER_TYPES, FocusDevice, MemberDevice, member_content
from signalling.events.to_device import INVITE
from tests.e2e.cascade import has_no_trunk, trunks_of
from tests.e2e.hostile_focus import HostileFocus
from tests.e2e.test_bad_input import GARBAGE, counts
from tests.e2e.venue import open_venue
from tests.e2e.watching import (
    OBSERVED_FRAMES,
    all_receive,
    both_ways,
    receives,
    told_kinds,
    undisturbed,
    until,
    until_decoded,
    until_told,
)
from tests.support.homeserver import join, room_path, send_to_device
from tests.support.olm_device import OlmDevice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadtest.client.participant import Participant
    from loadtest.homeserver.server import Homeserver
    from loadtest.homeserver.users import User
    from tests.e2e.hostile_focus import HostileTrunk
    from tests.e2e.venue import Call, Venue

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

MESSAGES_PER_S: Final = 20.0
SUBSCRIPTIONS: Final = 20
SEED: Final = 11
ELSEWHERE: Final = FocusDevice("@elsewhere:example.org", "FOCUS")
LIFETIME_MS: Final = 3_600_000
TRUNK_MESSAGES: Final = "focus_messages_refused_total"
DROPPED: Final = "focus_packets_dropped_total"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def venue(homeserver: Homeserver, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    limits = {"messages_per_s": MESSAGES_PER_S, "subscriptions_per_leg": SUBSCRIPTIONS}
    folder = tmp_path_factory.mktemp("focus")
    # With a hop more than there is, so that who is no relay is told from what came too far.
    async with open_venue(homeserver, folder, cascade={"max_hops": 2}, limits=limits) as venue:
        yield venue


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def meeting(venue: Venue) -> AsyncIterator[Call]:
    """The call in which all of this happens, with two who stay."""
    async with venue.call() as call:
        await call.join("alice", "bob")
        yield call


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def liar(venue: Venue, meeting: Call) -> AsyncIterator[HostileFocus]:
    """A focus in the room of the call."""
    user = await venue.user("liar")
    await asyncio.to_thread(join, user, meeting.room_id)
    async with HostileFocus(user, venue.device) as liar:
        yield liar


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mallory(venue: Venue, meeting: Call) -> User:
    """Whoever is on that focus, as soon as she says so."""
    user = await venue.user("mallory")
    await asyncio.to_thread(join, user, meeting.room_id)
    return user


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def trunk(meeting: Call, liar: HostileFocus, mallory: User) -> HostileTrunk:
    """Its trunk, by which Mallory is heard."""
    await names(mallory, meeting, liar.device)
    alice, _ = meeting.people
    trunk = await liar.dial(meeting.room_id, meeting.conf_id, party_of(mallory), alice.scene)
    await until_decoded(alice, party_of(mallory), AUDIO)
    return trunk


async def names(
    user: User, call: Call, *active: FocusDevice, preferred: tuple[FocusDevice, ...] = ()
) -> None:
    """Write that somebody takes part, and on which focus; on none: they don't take part any more."""
    expires_at = WallTime(time.time_ns() // 1_000_000 + LIFETIME_MS)
    device = MemberDevice(user.device_id, "session", expires_at, foci_active=active, foci_preferred=preferred)
    content = member_content(call.conf_id, (device,) if active or preferred else ())
    path = room_path(call.room_id, f"state/{CALL_MEMBER_TYPES[0]}/{user.user_id}")
    await asyncio.to_thread(user.put, path, content)


def party_of(user: User) -> Party:
    return Party(user.user_id, user.device_id)


@contextlib.asynccontextmanager
async def among(call: Call, *guests: User) -> AsyncIterator[None]:
    """While its two members see and hear each other, they hear of nobody beside these guests."""
    alice, bob = call.people[:2]
    async with undisturbed(*both_ways(alice, bob)):
        yield
        await receives(alice, bob, frames=OBSERVED_FRAMES)
    known = {alice.party, bob.party, *map(party_of, guests)}
    for one in (alice, bob):
        seen = one.observations
        assert {party for party, _ in seen.tracks} | seen.announced.keys() | seen.speakers_seen <= known
    assert (await call.members()).keys() == {alice.party.user_id, bob.party.user_id}


async def goes_on(venue: Venue, listener: Participant, mallory: User) -> None:
    """The trunk is up, and what is true of it is heard."""
    (trunk,) = await trunks_of(venue)
    assert trunk["state"] == "up"
    assert [guest["user_id"] for guest in trunk["guests"]] == [mallory.user_id]
    await until_decoded(listener, party_of(mallory), AUDIO)


# --- strangers --------------------------------------------------------------------------------------------


async def test_a_focus_that_nobody_names_gets_no_trunk(
    venue: Venue, meeting: Call, liar: HostileFocus
) -> None:
    copy = await venue.room(liar.user, with_focus=True)
    invites = {
        "not_named": [liar.invite(meeting.room_id, meeting.conf_id)],
        "no_room": [liar.invite(None, meeting.conf_id)],
        "not_in_call": [
            liar.invite(meeting.room_id, "another"),
            liar.invite("!another:room", meeting.conf_id),
            liar.invite(copy, meeting.conf_id),
        ],
    }
    async with among(meeting):
        for reason, those in invites.items():
            async with counts(venue, "focus_hop_trunks_refused_total", len(those), reason=reason):
                for one in those:
                    assert await liar.rejection(one) == reason
    logged = {line["reason"] for line in venue.admin.log("trunk_refused")}
    assert invites.keys() <= logged
    assert await has_no_trunk(venue)


async def test_an_invite_that_says_who_it_is_not_gets_no_trunk(
    venue: Venue, meeting: Call, liar: HostileFocus
) -> None:
    mine = liar.invite(meeting.room_id, meeting.conf_id).content()
    async with among(meeting):
        # From another device of the focus's own account.
        async with counts(venue, "focus_hop_trunks_refused_total", reason="myself"):
            await venue.send(venue.focus_user, INVITE, mine | {"device_id": venue.device.device_id})
        # Of a device that is not the one that has encrypted it.
        device = await asyncio.to_thread(OlmDevice, liar.user)
        another = liar.invite(meeting.room_id, meeting.conf_id).content() | {"device_id": "ANOTHER"}
        async with counts(venue, "focus_invites_refused_total", reason="wrong_device"):
            await asyncio.to_thread(device.send, *names_of(venue.device), INVITE, another)
        # And what can't be read.
        async with counts(venue, "focus_hop_trunks_refused_total", reason="malformed"):
            await liar.send(INVITE, liar.invite(meeting.room_id, meeting.conf_id).content() | {"offer": 7})
    assert await has_no_trunk(venue)


def names_of(focus: FocusDevice) -> tuple[str, str]:
    return focus.user_id, focus.device_id


async def test_a_focus_that_is_named_and_not_in_the_room_gets_no_trunk(
    venue: Venue, meeting: Call, liar: HostileFocus, mallory: User
) -> None:
    ghost = await venue.user("ghost")
    await names(mallory, meeting, preferred=(FocusDevice(ghost.user_id, ghost.device_id),))
    invite = liar.invite(meeting.room_id, meeting.conf_id).content()
    async with among(meeting), counts(venue, "focus_hop_trunks_refused_total", reason="not_joined"):
        await asyncio.to_thread(
            send_to_device,
            ghost,
            venue.focus_user,
            INVITE,
            invite | {"device_id": ghost.device_id, "party_id": ghost.device_id},
        )
    assert await has_no_trunk(venue)


# --- who has a trunk --------------------------------------------------------------------------------------


def stream(name: str, owner: Party | None, *path: FocusDevice, tracks: int = 1) -> StreamMetadata:
    listed = tuple(TrackMetadata(f"{name}-{number}", Kind.VIDEO, 640, 360) for number in range(tracks))
    who: dict[str, Any] = {} if owner is None else {"user_id": owner.user_id, "device_id": owner.device_id}
    return StreamMetadata(name, "m.usermedia", listed, path=path, **who)


async def test_it_speaks_for_nobody_but_its_own_people(
    venue: Venue, meeting: Call, liar: HostileFocus, mallory: User, trunk: HostileTrunk
) -> None:
    alice, _ = meeting.people
    carol = await venue.user("carol")
    await asyncio.to_thread(join, carol, meeting.room_id)
    await names(carol, meeting, ELSEWHERE)
    me, victim, hers = liar.device, venue.device, party_of(mallory)
    lies = {
        "no_owner": [stream("nobody's", None, me)],
        "no_path": [stream("pathless", hers), stream("another's", hers, ELSEWHERE)],
        "loop": [stream("back", hers, victim, me), stream("twice", hers, me, me)],
        "too_many_hops": [stream("far", hers, ELSEWHERE, FocusDevice("@x:y", "Z"), me)],
        "no_relay": [stream("relayed", party_of(carol), ELSEWHERE, me)],
        "own_person": [stream("stolen", alice.party, me)],
        "not_in_call": [stream("ghost", Party("@ghost:example.org", "GHOST"), me)],
        "other_focus": [stream("lured", party_of(carol), me)],
        "too_many_tracks": [stream("plenty", hers, me, tracks=17)],
    }
    refused = "focus_hop_streams_refused_total"
    async with among(meeting, mallory), contextlib.AsyncExitStack() as counted:
        for reason, those in lies.items():
            await counted.enter_async_context(counts(venue, refused, len(those), reason=reason))
        trunk.announce(*(one for those in lies.values() for one in those))
    logged = [line for line in venue.admin.log("trunk_streams_refused") if line.keys() >= lies.keys()]
    assert logged
    for one in meeting.people:
        assert told_kinds(one, hers) == {AUDIO}
        assert told_kinds(one, alice.party) <= {AUDIO, VIDEO}
    await goes_on(venue, alice, mallory)
    assert (await trunks_of(venue))[0]["streams_refused"] == sum(map(len, lies.values()))
    trunk.announce()


def mangled_announcements(me: FocusDevice, mallory: Party) -> list[str]:
    """Announcements with one thing wrong in each, in fields of foci only, and one too long."""
    good = metadata_content((stream("s", mallory, me),))["s"]
    hop = me.content()
    track = {"kind": "video"}
    paths: list[Any] = [
        [],
        {},
        "me",
        None,
        [hop] * 9,
        [7],
        [{"user_id": me.user_id}],
        [hop | {"device_id": ""}],
    ]
    streams = [good | {PATH_KEY: path} for path in paths] + [
        good | {"tracks": {"t": track | {LAYERS_KEY: layers}}}
        for layers in ([], "q", ["q", "q"], ["q", "h", "f", "g"], ["a b"], ["x" * 17], [None], [["q"]])
    ]
    announced = [{"s": one} for one in streams] + [{f"s{n}": good for n in range(513)}]
    return [
        json.dumps({"type": "m.call.sdp_stream_metadata_changed", "content": {"sdp_stream_metadata": one}})
        for one in announced
    ]


async def test_what_it_says_and_nobody_can_read_is_refused_and_the_trunk_goes_on(
    venue: Venue, meeting: Call, liar: HostileFocus, mallory: User, trunk: HostileTrunk
) -> None:
    texts = [*GARBAGE, *mangled_announcements(liar.device, party_of(mallory))]
    async with among(meeting, mallory):
        async with counts(venue, TRUNK_MESSAGES, len(texts), reason="malformed"):
            for text in texts:
                trunk.leg.say_raw(text)
                await asyncio.sleep(1.2 / MESSAGES_PER_S)
        async with counts(venue, TRUNK_MESSAGES, reason="binary"):
            trunk.leg.say_raw(b"\x00")
        async with counts(venue, TRUNK_MESSAGES, reason="not_utf8"):
            await trunk.leg.say_bytes(b"\xff\xfe")
        async with counts(venue, TRUNK_MESSAGES, reason="bad_sdp"):
            description = {"type": "offer", "sdp": "v=0\r\nm=video 9 X 96\r\n"}
            trunk.leg.say_raw(
                json.dumps({"type": "m.call.negotiate", "content": {"description": description}})
            )
    await goes_on(venue, meeting.people[0], mallory)


def wish(*tracks: tuple[str, str], **more: Any) -> str:  # noqa: ANN401  # JSON
    wanted = [{"stream_id": stream_id, "track_id": track_id, **more} for stream_id, track_id in tracks]
    return json.dumps({"type": "m.call.track_subscription", "content": {"subscribe": wanted}})


def no_wish(*tracks: tuple[str, str]) -> str:
    gone = [{"stream_id": stream_id, "track_id": track_id} for stream_id, track_id in tracks]
    return json.dumps({"type": "m.call.track_subscription", "content": {"unsubscribe": gone}})


async def tracks_of(call: Call, one: Participant, kind: str) -> list[tuple[str, str]]:
    """The ids of what somebody publishes, by the word of the focus."""
    tracks = (await call.members())[one.party.user_id]["tracks"]
    return [(track["stream_id"], track["track_id"]) for track in tracks if track["kind"] == kind]


async def test_it_gets_what_is_announced_to_it_and_nothing_else(
    venue: Venue, meeting: Call, mallory: User, trunk: HostileTrunk
) -> None:
    alice, _ = meeting.people
    (hers,) = await tracks_of(meeting, alice, AUDIO)
    async with venue.call() as another:
        (dave,) = await another.join("dave")
        await until_told(lambda: tracks_of(another, dave, AUDIO), "Dave is heard")
        (voice,), (camera,) = await tracks_of(another, dave, AUDIO), await tracks_of(another, dave, VIDEO)
        own = trunk.truth()[0]
        async with among(meeting, mallory):
            trunk.leg.say_raw(wish(voice, camera))
            trunk.leg.say_raw(wish(camera, **{LAYERS_KEY: ["q", "h", "f"]}))
            trunk.leg.say_raw(wish((own.stream_id, own.tracks[0].track_id)))
            trunk.leg.say_raw(wish((hers[0], voice[1]), (voice[0], hers[1])))
            async with counts(venue, TRUNK_MESSAGES, reason="too_many_subscriptions"):
                trunk.leg.say_raw(wish(*((f"s{number}", f"t{number}") for number in range(500))))
        assert trunk.packets == 0
        # It would have come: what it may have does.
        trunk.leg.say_raw(no_wish(*((f"s{number}", f"t{number}") for number in range(500)), voice, camera))
        trunk.leg.say_raw(wish(hers))
        await until(lambda: trunk.packets, "Alice is heard by the trunk")
        trunk.leg.say_raw(no_wish(hers))
    await goes_on(venue, alice, mallory)


async def test_packets_of_what_it_has_not_announced_reach_nobody(
    venue: Venue, meeting: Call, mallory: User, trunk: HostileTrunk
) -> None:
    alice, bob = meeting.people
    rng = random.Random(SEED)
    before = await tracks_of(meeting, alice, AUDIO), await tracks_of(meeting, alice, VIDEO)
    (hers,) = before[0]
    strangers = [
        struct.pack("!BBHII", 0x80, 96 + number % 16, number, number, rng.getrandbits(32)) + rng.randbytes(40)
        for number in range(300)
    ]
    # A voice under the ids of Alice's own, one of a stream that nobody was told of, and a picture likewise.
    stolen, unheard = LocalTrack(sdp.AUDIO, *hers), LocalTrack(sdp.AUDIO, "unheard", "of")
    unseen = LocalTrack(sdp.VIDEO, "unheard", "picture", ("q", "h"))
    async with among(meeting, mallory):
        async with counts(venue, DROPPED, reason="unknown_ssrc"):
            await trunk.leg.send_packets(strangers, is_rtcp=False)
        trunk.offer(stolen, unheard, unseen)
        await until(lambda: trunk.session.streams(unseen.track_id), "it is answered")
        assert await trunk.send(stolen.track_id, 25) + await trunk.send(unheard.track_id, 25) > 0
        async with counts(venue, DROPPED, 25, reason="unknown_ssrc"):
            assert await trunk.send(unseen.track_id, 50, rid="z") == 100
    # Bob hears Alice's own tone, or he would have heard a wrong one: `undisturbed` sees to that.
    assert (await tracks_of(meeting, alice, AUDIO), await tracks_of(meeting, alice, VIDEO)) == before
    trunk.offer()
    await goes_on(venue, bob, mallory)


async def test_what_it_sends_in_plenty_is_cut_off(
    venue: Venue, meeting: Call, mallory: User, trunk: HostileTrunk
) -> None:
    alice, _ = meeting.people
    (camera,) = await tracks_of(meeting, alice, VIDEO)
    async with among(meeting, mallory):
        packets = trunk.packets
        trunk.leg.say_raw(wish(camera, width=320, height=180))
        await until(lambda: trunk.packets > packets, "Alice is seen by the trunk")
        sent = await venue.admin.counted("focus_plis_total", direction="sent")
        got = await venue.admin.counted("focus_plis_total", direction="received")
        ssrcs = trunk.ssrcs(sdp.VIDEO)
        async with counts(venue, "focus_plis_total", 300, direction="received"):
            for _ in range(400):
                plis = [rtcp.serialise_compound([rtcp.Pli(Ssrc(1), ssrc)]) for ssrc in ssrcs]
                await trunk.leg.send_packets(plis, is_rtcp=True)
                await asyncio.sleep(0)
        asked = await venue.admin.counted("focus_plis_total", direction="received") - got
        passed_on = await venue.admin.counted("focus_plis_total", direction="sent") - sent
        assert passed_on <= asked / 5, "requests are merged"
        trunk.leg.say_raw(no_wish(camera))
        async with counts(venue, TRUNK_MESSAGES, 100, reason="too_fast"):
            for number in range(300):
                trunk.leg.say_raw(wish((f"s{number}", "t")))
                trunk.leg.tell_metadata()
    await goes_on(venue, alice, mallory)


async def test_invites_that_come_again_and_in_plenty_change_nothing(
    venue: Venue, meeting: Call, liar: HostileFocus, mallory: User, trunk: HostileTrunk
) -> None:
    heard = "focus_signalling_messages_total"
    content = liar.invite(meeting.room_id, meeting.conf_id).content() | {"call_id": trunk.leg.call_id}
    async with among(meeting, mallory):
        async with counts(venue, heard, type=INVITE, outcome="repeated"):
            await liar.send(INVITE, content)
        async with counts(venue, "focus_hop_trunks_refused_total", 10, reason="too_many_invites"):
            invites = [liar.invite(None, meeting.conf_id) for _ in range(60)]
            await asyncio.gather(*(liar.send(INVITE, one.content()) for one in invites))
        # One that was refused is not judged again.
        async with counts(venue, heard, type=INVITE, outcome="ended"):
            await liar.send(INVITE, invites[0].content())
    assert not trunk.leg.ended.is_set(), trunk.leg.end_reason
    await goes_on(venue, meeting.people[0], mallory)


# --- the end ----------------------------------------------------------------------------------------------


async def test_a_focus_that_is_put_out_of_the_room_has_no_trunk_any_more(
    venue: Venue, meeting: Call, liar: HostileFocus, mallory: User, trunk: HostileTrunk
) -> None:
    alice, bob = meeting.people
    async with undisturbed(*both_ways(alice, bob)):
        await meeting.kick(liar.user.user_id)
        await until(trunk.leg.ended.is_set, "the trunk is hung up")
        await until(lambda: trunk.seen.hangups == ["user_hangup"], "and is told why")
        await until(lambda: not told_kinds(alice, party_of(mallory)), "Mallory is heard no more")
        assert await liar.rejection(liar.invite(meeting.room_id, meeting.conf_id)) == "not_joined"
        content = liar.invite(meeting.room_id, meeting.conf_id).content() | {"call_id": trunk.leg.call_id}
        async with counts(venue, "focus_signalling_messages_total", type=INVITE, outcome="ended"):
            await liar.send(INVITE, content)
        assert await has_no_trunk(venue)
        # And the focus serves as before.
        (carol,) = await meeting.join("carol")
        await all_receive((alice, bob, carol))
    assert trunk.seen.violations == []
