"""Whatever somebody sends: it is refused and counted, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import socket
import struct
from typing import TYPE_CHECKING, Any, Final

import pytest
import pytest_asyncio

from loadtest.client.terms import RuleBreaks
from signalling.events.room_state import CALL_MEMBER_TYPES, CALL_TYPES
from signalling.events.to_device import INVITE, NEGOTIATE
from tests.e2e.venue import open_venue
from tests.e2e.watching import (
    all_receive,
    both_ways,
    media_packets,
    receives,
    undisturbed,
    until,
    until_told,
)
from tests.support.homeserver import join, room_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from loadtest.client.participant import Participant
    from loadtest.homeserver.server import Homeserver
    from loadtest.homeserver.users import User
    from tests.e2e.venue import Call, Venue

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

MESSAGE_BYTES: Final = 65_536
MESSAGES_PER_S: Final = 20.0
SEED: Final = 7


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def venue(homeserver: Homeserver, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    limits = {"message_bytes": MESSAGE_BYTES, "messages_per_s": MESSAGES_PER_S, "subscriptions_per_leg": 20}
    async with open_venue(homeserver, tmp_path_factory.mktemp("focus"), limits=limits) as venue:
        yield venue


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def meeting(venue: Venue) -> AsyncIterator[Call]:
    """The call in which all of this happens, with two who stay."""
    async with venue.call() as call:
        await call.join("alice", "bob")
        yield call


@contextlib.asynccontextmanager
async def among_others(meeting: Call) -> AsyncIterator[Call]:
    """The call, while its two members see and hear each other; whoever is let in is a guest."""
    alice, bob = meeting.people
    async with undisturbed(*both_ways(alice, bob)), meeting.with_guests() as call:
        yield call


@contextlib.asynccontextmanager
async def counts(venue: Venue, name: str, amount: float = 1, **labels: str) -> AsyncIterator[None]:
    """What is done inside is counted, by so much at least."""
    before = await venue.admin.counted(name, **labels)

    async def is_counted() -> bool:
        return await venue.admin.counted(name, **labels) >= before + amount

    yield
    await until_told(is_counted, f"{name} {labels} counts {amount:g} more than {before:g}")


def without(pattern: str) -> Callable[[str], str]:
    """Descriptions without the lines that match."""
    return lambda sdp: "".join(line for line in sdp.splitlines(keepends=True) if not re.match(pattern, line))


# --- to-device messages -----------------------------------------------------------------------------------


UNANSWERABLE: Final[dict[str, Callable[[str], str]]] = {
    "empty": lambda _: "",
    "prose": lambda _: "please let me in",
    "half_a_line": lambda sdp: sdp[: sdp.index("m=audio") + 5],
    "no_password": without("a=ice-pwd"),
    "no_fingerprint": without("a=fingerprint"),
    "lite": lambda sdp: sdp.replace("m=audio", "a=ice-lite\r\nm=audio", 1),
    "passive": lambda sdp: sdp.replace("a=setup:actpass", "a=setup:passive"),
    "a_thousand_sections": lambda sdp: sdp + "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n" * 1_000,
}


async def test_an_offer_that_cannot_be_answered_is_rejected(venue: Venue, meeting: Call) -> None:
    async with among_others(meeting) as call:
        people = [
            await call.enter(name, breaks=RuleBreaks(mangle_sdp=mangle), answer_patience_s=15.0)
            for name, mangle in UNANSWERABLE.items()
        ]
        async with counts(venue, "focus_invites_refused_total", len(people), reason="bad_offer"):
            outcomes = await asyncio.gather(*(one.join() for one in people), return_exceptions=True)
        assert dict(zip(UNANSWERABLE, map(str, outcomes), strict=True)) == dict.fromkeys(
            UNANSWERABLE, "rejected: bad_offer"
        )
        assert len(await call.members()) == 2


async def test_a_client_of_unknown_codecs_has_a_channel_and_no_media(venue: Venue, meeting: Call) -> None:
    def renamed(sdp: str) -> str:
        return sdp.replace("VP8/", "XP8/").replace("opus/", "opium/").replace("rtx/", "xtx/")

    async with among_others(meeting) as call:
        async with counts(venue, "focus_messages_refused_total", reason="unknown_codec"):
            (mallory,) = await call.join("mallory", breaks=RuleBreaks(mangle_sdp=renamed))
        await until(lambda: "unknown_codec" in mallory.observations.errors, "mallory is told")
        assert media_packets(mallory) == 0
        assert (await call.members())[mallory.party.user_id]["tracks"] == []


def mangled_envelopes(conf_id: str) -> list[dict[str, Any]]:
    """Contents of a to-device message, each with one thing wrong."""
    good: dict[str, Any] = {
        "version": "1",
        "call_id": "call",
        "party_id": "DEVICE",
        "conf_id": conf_id,
        "device_id": "DEVICE",
        "sender_session_id": "session",
        "dest_session_id": "sfu",
        "seq": 0,
        "offer": {"type": "offer", "sdp": "v=0\r\n"},
    }
    wrong: list[tuple[str, Any]] = [
        ("version", 0),
        ("version", []),
        ("call_id", 5),
        ("call_id", "x" * 10_000),
        ("party_id", None),
        ("conf_id", {"conf": "id"}),
        ("device_id", ""),
        ("sender_session_id", True),
        ("dest_session_id", ["sfu"]),
        ("seq", "0"),
        ("seq", -1),
        ("lifetime", "long"),
        ("offer", "v=0"),
        ("offer", {"sdp": 7}),
        ("offer", {"sdp": []}),
        ("sdp_stream_metadata", []),
        ("sdp_stream_metadata", {"stream": "mine"}),
        ("sdp_stream_metadata", {"stream": {"purpose": "m.usermedia", "tracks": {"track": 1}}}),
    ]
    return [{}, *(good | {name: value} for name, value in wrong)]


async def test_messages_of_wrong_types_are_counted_as_malformed(venue: Venue, meeting: Call) -> None:
    async with among_others(meeting) as call:
        mallory = await venue.user("mallory")
        await asyncio.to_thread(join, mallory, call.room_id)
        contents = mangled_envelopes(call.conf_id)
        sent = {"direction": "received", "outcome": "malformed"}
        async with counts(venue, "focus_signalling_messages_total", len(contents), type=INVITE, **sent):
            for content in contents:
                await venue.send(mallory, INVITE, content)
        async with counts(venue, "focus_signalling_messages_total", type="other", outcome="ignored"):
            await venue.send(mallory, "m.call.surprise", {"version": "1"})
        assert len(await call.members()) == 2


def mangled_state(call: Call, user: User) -> list[tuple[str, dict[str, Any]]]:
    """Paths and contents of state events in which something is wrong."""
    member = room_path(call.room_id, f"state/{CALL_MEMBER_TYPES[0]}/{user.user_id}")
    another = room_path(call.room_id, f"state/{CALL_TYPES[0]}/another")
    good = {"m.intent": "m.room", "m.type": "m.video"}
    entry = {"m.call_id": call.conf_id, "m.devices": []}
    return [
        (member, {"m.calls": "all"}),
        (member, {"m.calls": [7]}),
        (member, {"m.calls": [entry | {"m.devices": "mine"}]}),
        (member, {"m.calls": [entry | {"m.devices": [{"device_id": 3, "expires_ts": {}, "feeds": 1}]}]}),
        (member, {"m.calls": [entry | {"m.call_id": []}] * 500}),
        (another, good | {"m.intent": []}),
        (another, good | {"m.type": {}}),
        (another, good | {"m.terminated": []}),
        (room_path(call.room_id, f"state/{CALL_TYPES[0]}/"), good),  # a call without an id
    ]


async def test_state_of_wrong_types_is_counted_as_malformed(venue: Venue, meeting: Call) -> None:
    async with among_others(meeting) as call:
        mallory = await venue.user("mallory")
        await asyncio.to_thread(join, mallory, call.room_id)
        async with counts(venue, "focus_signalling_messages_total", type="state", outcome="malformed"):
            for path, content in mangled_state(call, mallory):
                await asyncio.to_thread(mallory.put, path, content)
        # Afterwards the same person can take part like anybody else.
        (mallory_in,) = await call.join(mallory)
        await all_receive(call.people)
        assert mallory_in.party.user_id in await call.members()


async def test_a_flood_of_invites_is_cut_off(venue: Venue, meeting: Call) -> None:
    async with among_others(meeting) as call:
        mallory = await venue.user("mallory")
        await asyncio.to_thread(join, mallory, call.room_id)
        content = mangled_envelopes(call.conf_id)[1] | {"version": "1"}
        invites = [content | {"call_id": f"call-{number}"} for number in range(60)]
        async with counts(venue, "focus_invites_refused_total", 20, reason="too_many_invites"):
            await asyncio.gather(*(venue.send(mallory, INVITE, invite) for invite in invites))
        (carol,) = await call.join("carol")
        assert carol.party.user_id in await call.members()


# --- the data channel -------------------------------------------------------------------------------------


GARBAGE: Final = (
    "",
    "hello",
    "7",
    "[]",
    "{}",
    '{"type": 7}',
    '{"type": "m.call.track_subscription", "content": []}',
    '{"type": "m.call.track_subscription", "content": {"subscribe": [1, 2]}}',
    '{"type": "m.call.track_subscription", "content": {"subscribe": [{"stream_id": 1e999}]}}',
    '{"type": "m.call.negotiate", "content": {"description": {"type": {}, "sdp": ""}}}',
    '{"type": "m.call.sdp_stream_metadata_changed", "content": {"sdp_stream_metadata": [[]]}}',
    '{"type": "m.call.negotiate", "content": {"description": {"type": "pranswer", "sdp": ""}}}',
    "[" * 30_000,
    json.dumps({"type": "x" * 30_000}),
    '{"type": "m.call.ping"',
    '{"type": "m.call.track_subscription", "content": {"unsubscribe": [{"stream_id": "\\ud83d"}]}}',
)


async def test_garbage_on_the_data_channel_is_refused_and_the_leg_goes_on(
    venue: Venue, meeting: Call
) -> None:
    async with among_others(meeting) as call:
        (mallory,) = await call.join("mallory")
        refused = "focus_messages_refused_total"
        async with counts(venue, refused, 2, reason="binary"):
            mallory.say_raw(b"\x00\x01\x02")
            mallory.say_raw(b"")
        async with counts(venue, refused, 2, reason="not_utf8"):
            await mallory.say_bytes(b"\xff\xfe\xfd")
            await mallory.say_bytes(b'{"type": "m.call.ping", "content": {"a": "\xed\xa0\x80"}}')
        async with counts(venue, refused, len(GARBAGE), reason="malformed"):
            for text in GARBAGE:
                mallory.say_raw(text)
        async with counts(venue, refused, 2, reason="too_long"):
            mallory.say_raw("x" * (MESSAGE_BYTES + 1))
            await mallory.say_bytes(b"x" * 250_000)
        assert {"not_text", "malformed"} <= set(mallory.observations.errors)
        await still_takes_part(call, mallory)


async def still_takes_part(call: Call, one: Participant) -> None:
    """What somebody asks for on the data channel is done."""
    assert one.leg is not None
    assert not one.leg.ended.is_set(), one.leg.end_reason

    async def is_asked_for() -> bool:
        # Again and again, as clients do: the first may be cut off with the end of a flood.
        await one.subscribe_size(90)
        wishes = (await call.members())[one.party.user_id]["subscriptions"]
        return any(wish["height"] == 90 for wish in wishes)

    await until_told(is_asked_for, f"{one.party.user_id} is heard")


async def test_a_flood_of_messages_is_cut_off_and_the_leg_goes_on(venue: Venue, meeting: Call) -> None:
    async with among_others(meeting) as call:
        (mallory,) = await call.join("mallory")
        async with counts(venue, "focus_messages_refused_total", 100, reason="too_fast"):
            for _ in range(300):
                mallory.say_raw('{"type": "m.call.ping", "content": {}}')
        await until(lambda: "too_fast" in mallory.observations.errors, "mallory is told")
        await still_takes_part(call, mallory)


async def test_a_second_data_channel_is_refused_and_the_first_goes_on(venue: Venue, meeting: Call) -> None:
    async with among_others(meeting) as call:
        (mallory,) = await call.join("mallory")
        async with counts(venue, "focus_messages_refused_total", reason="second_channel"):
            messages = mallory.open_channel("another")
        async with asyncio.timeout(20):
            refusal = json.loads(await messages.get())
        assert (refusal["type"], refusal["content"]["code"]) == ("org.matrix_focus.error", "second_channel")
        await still_takes_part(call, mallory)


async def test_too_many_subscriptions_are_refused_and_the_others_stand(venue: Venue, meeting: Call) -> None:
    async with among_others(meeting) as call:
        (mallory,) = await call.join("mallory")
        tracks = [
            {"stream_id": "stream", "track_id": f"track{n}", "width": 1, "height": 1} for n in range(500)
        ]
        content = {"subscribe": tracks, "unsubscribe": []}
        async with counts(venue, "focus_messages_refused_total", reason="too_many_subscriptions"):
            mallory.say_raw(json.dumps({"type": "m.call.track_subscription", "content": content}))
        await until(lambda: "too_many_subscriptions" in mallory.observations.errors, "mallory is told")
        assert len((await call.members())[mallory.party.user_id]["subscriptions"]) <= 20
        await still_takes_part(call, mallory)


async def test_descriptions_that_cannot_be_applied_are_refused(venue: Venue, meeting: Call) -> None:
    async with among_others(meeting) as call:
        (mallory,) = await call.join("mallory")
        sdps = ("", "v=0", "v=0\r\nm=video 9 X 96\r\n", "m=" * 20_000)
        async with counts(venue, "focus_messages_refused_total", len(sdps), reason="bad_sdp"):
            for sdp in sdps:
                description = {"type": "offer", "sdp": sdp}
                mallory.say_raw(json.dumps({"type": NEGOTIATE, "content": {"description": description}}))
        await until(lambda: "bad_sdp" in mallory.observations.errors, "mallory is told")
        await still_takes_part(call, mallory)


# --- the UDP port -----------------------------------------------------------------------------------------


def datagrams() -> list[bytes]:
    """STUN, DTLS, RTP, RTCP and nothing in particular, whole and cut off."""
    rng = random.Random(SEED)
    cookie = 0x2112A442
    transaction = rng.randbytes(12)
    username = b"nobody:at-all"
    attribute = struct.pack("!HH", 0x0006, len(username)) + username + b"\x00" * (-len(username) % 4)
    stun = struct.pack("!HHI", 0x0001, len(attribute), cookie) + transaction + attribute
    lying = struct.pack("!HHI", 0x0001, 0xFFFC, cookie) + transaction + attribute
    rtp = struct.pack("!BBHII", 0x90, 0x60, 1, 2, 3) + struct.pack("!HH", 0xBEDE, 0xFFFF) + rng.randbytes(20)
    rtcp = struct.pack("!BBHI", 0x9F, 0xC9, 0xFFFF, 1) + rng.randbytes(20)
    dtls = b"\x16\xfe\xfd" + rng.randbytes(10) + b"\xff\xff" + rng.randbytes(30)
    whole = [stun, lying, rtp, rtcp, dtls]
    cut = [one[:length] for one in whole for length in range(0, len(one), 3)]
    return [*whole, *cut, *(rng.randbytes(rng.randrange(1_400)) for _ in range(200)), b"\x80", b"\x81\xc8"]


async def test_datagrams_of_strangers_are_dropped(venue: Venue, meeting: Call) -> None:
    dropped = "focus_packets_dropped_total"
    async with (
        among_others(meeting),
        counts(venue, dropped, reason="stun_malformed"),
        counts(venue, dropped, reason="stun_unauthenticated"),
        counts(venue, dropped, reason="unknown_peer"),
    ):
        with socket.socket(type=socket.SOCK_DGRAM) as stranger:
            for data in datagrams():
                stranger.sendto(data, ("127.0.0.1", venue.focus.media_port))
                await asyncio.sleep(0)


async def test_datagrams_of_a_member_that_it_did_not_encrypt_are_dropped(venue: Venue, meeting: Call) -> None:
    dropped = "focus_packets_dropped_total"
    async with among_others(meeting) as call:
        (mallory,) = await call.join("mallory")
        async with (
            counts(venue, dropped, reason="stun_malformed"),
            counts(venue, dropped, reason="rtp_malformed"),
            counts(venue, dropped, reason="srtp_authentication"),
            counts(venue, dropped, reason="unknown_protocol"),
        ):
            for data in datagrams():
                await mallory.send_datagram(data)
                await asyncio.sleep(0)
        await still_takes_part(call, mallory)


async def test_packets_of_a_member_that_make_no_sense_are_dropped(venue: Venue, meeting: Call) -> None:
    rng = random.Random(SEED)
    header = struct.pack("!BBHII", 0x80, 96, 1, 2, 0xABCDEF)
    padded = struct.pack("!BBHII", 0xA0, 96, 2, 2, 0xABCDEF) + b"\xff" * 8
    strangers = [
        struct.pack("!BBHII", 0x80, rng.randrange(128) & 0x3F, n, n, rng.getrandbits(32)) + rng.randbytes(40)
        for n in range(300)
    ]
    rtcp = [
        struct.pack("!BBHI", 0x80 | count, kind, words, rng.getrandbits(32)) + rng.randbytes(size)
        for kind in (192, 200, 201, 202, 203, 204, 205, 206, 207)
        for count in (0, 1, 15, 31)
        for words in (0, 1, 0xFFFF)
        for size in (0, 4, 32)
    ]
    dropped = "focus_packets_dropped_total"
    async with among_others(meeting) as call:
        (mallory,) = await call.join("mallory")
        async with (
            counts(venue, dropped, reason="rtp_malformed"),
            counts(venue, dropped, reason="rtcp_malformed"),
        ):
            await mallory.send_packets([header, padded, *strangers], is_rtcp=False)
            await mallory.send_packets(rtcp, is_rtcp=True)
        await still_takes_part(call, mallory)
        await receives(next(iter(call.people)), mallory)
