"""The reference client against a real focus: the paths that a call in good weather does not take.

Costs about 70 s: most tests share one call of two tabs, and leave it as they found it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
import pytest_asyncio

from loadtest.client.scene import AUDIO, VIDEO
from tests.e2e.browsers import HEIGHT, PATIENCE_S, chromium
from tests.e2e.venue import Call, open_venue
from tests.e2e.watching import until_told
from tests.support.homeserver import join, new_room, room_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadtest.homeserver.server import Homeserver
    from loadtest.homeserver.users import User
    from tests.e2e.browsers import Chromium, Tab
    from tests.e2e.venue import Venue

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

CALL_MEMBER: Final = "org.matrix.msc3401.call.member"
FOCI: Final = "org.matrix.msc3898.foci.active"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def venue(homeserver: Homeserver, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    async with open_venue(homeserver, tmp_path_factory.mktemp("focus")) as venue:
        yield venue


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Chromium]:
    async with chromium() as browser:
        yield browser


class Meeting(NamedTuple):
    """Two people in a call of their own."""

    call: Call
    erin: Tab
    frank: Tab

    async def goes_on(self) -> None:
        """Wait until both see each other, and nothing has gone wrong."""
        await asyncio.gather(self.erin.sees(self.frank.party), self.frank.sees(self.erin.party))
        for tab in (self.erin, self.frank):
            assert await tab.errors() == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def meeting(venue: Venue, browser: Chromium) -> AsyncIterator[Meeting]:
    async with (
        venue.call() as call,
        browser.tab(call, "erin") as erin,
        browser.tab(call, "frank") as frank,
    ):
        await asyncio.gather(erin.join(), frank.join())
        meeting = Meeting(call, erin, frank)
        await meeting.goes_on()
        yield meeting


# --- the room ----------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def room_without_focus(venue: Venue, **levels: Any) -> AsyncIterator[Call]:  # noqa: ANN401  # power levels
    """A room in which no call was ever held."""
    host = await venue.user("host")
    more = {"power_level_content_override": {"state_default": 0, "invite": 0} | levels} if levels else {}
    room_id = await asyncio.to_thread(new_room, host, **more)
    async with Call(venue, host, room_id, "") as call:
        yield call


async def test_the_first_one_begins_the_call_and_brings_the_focus_and_others_find_both(
    venue: Venue, browser: Chromium
) -> None:
    async with (
        room_without_focus(venue) as call,
        browser.tab(call, "erin", confId=None) as erin,
        browser.tab(call, "frank", confId=None, focus=None) as frank,
    ):
        await erin.join()
        await frank.join()
        await asyncio.gather(erin.sees(frank.party), frank.hears(erin.party))
        conf_id = await erin.do("client.confId")
        assert await frank.do("client.confId") == conf_id
        assert (await venue.admin.members(call.room_id, conf_id)).keys() == {
            erin.party.user_id,
            frank.party.user_id,
        }


async def test_who_may_not_invite_the_focus_is_told_whom_to_ask_for_what(
    venue: Venue, browser: Chromium
) -> None:
    async with room_without_focus(venue, invite=50) as call, browser.tab(call, "erin", confId=None) as erin:
        assert await failure(erin) == "not_in_call"
        (advice,) = await erin.do("person.advice")
        assert f"invite {venue.device.user_id}" in advice
        await left_nothing_behind(erin)


async def test_who_may_not_take_part_is_told_what_to_ask_for(venue: Venue, browser: Chromium) -> None:
    locked = {"events": {CALL_MEMBER: 50}}
    async with room_without_focus(venue, **locked) as call, browser.tab(call, "erin", confId=None) as erin:
        assert await failure(erin) == "member_refused"
        (advice,) = await erin.do("person.advice")
        assert f"{CALL_MEMBER} (power level 0)" in advice
        await left_nothing_behind(erin)


async def failure(tab: Tab) -> str:
    """Why somebody can't join."""
    return str(await tab.do("person.join().then(() => 'joined', (error) => error.code)"))


async def left_nothing_behind(tab: Tab) -> None:
    assert await tab.do("client.phase") == "left"
    assert await tab.do("client.pc.signalingState") == "closed"
    # A message that comes now is heard by nobody.
    count = await tab.do("person.messages.length")
    await tab.do("matrix.dispatchEvent(new CustomEvent('to-device', { detail: { type: 'm.call.answer' } }))")
    assert await tab.do("person.messages.length") == count


async def test_members_say_whether_they_can_be_reached(meeting: Meeting) -> None:
    call, erin, frank = meeting
    focus = call.venue.device
    ours = [{"user_id": focus.user_id, "device_id": focus.device_id}]
    mesh = await put_member(call, "mesh")
    elsewhere = await put_member(call, "elsewhere", **{FOCI: [{"user_id": "@f:x", "device_id": "F"}]})
    here = await put_member(call, "here", **{FOCI: ours})
    await put_member(call, "gone", expires_ts=1)
    expected = {
        frank.party.user_id: "here",
        here.user_id: "here",
        elsewhere.user_id: "other-focus",
        mesh.user_id: "mesh",
    }

    async def are_told() -> bool:
        return bool(
            await erin.do("Object.fromEntries(client.members.map((one) => [one.userId, one.reach]))")
            == expected
        )

    await until_told(are_told, f"the members are {expected}", PATIENCE_S)
    await call.kick(here.user_id)
    del expected[here.user_id]
    await until_told(are_told, f"the members are {expected}", PATIENCE_S)


async def put_member(call: Call, name: str, **changes: Any) -> User:  # noqa: ANN401  # fields of an entry
    """Somebody who is in the call by room state, and does nothing."""
    user = await call.venue.user(name)
    await asyncio.to_thread(join, user, call.room_id)
    expires_ts = int(time.time() * 1_000) + 60_000
    entry = {"device_id": user.device_id, "session_id": "s", "expires_ts": expires_ts, "feeds": []} | changes
    content = {"m.calls": [{"m.call_id": call.conf_id, "m.devices": [entry]}]}
    path = room_path(call.room_id, f"state/{CALL_MEMBER}/{user.user_id}")
    await asyncio.to_thread(user.put, path, content)
    return user


async def test_a_mesh_client_that_dials_is_told_once_that_only_a_focus_is_spoken_to(meeting: Meeting) -> None:
    call, erin, _ = meeting
    stranger = await call.venue.user("stranger")
    invite = {
        "version": "1",
        "call_id": "mesh-1",
        "party_id": stranger.device_id,
        "device_id": stranger.device_id,
        "conf_id": call.conf_id,
        "sender_session_id": "theirs",
        "dest_session_id": await erin.do("client.sessionId"),
    }
    for number in range(2):
        messages = {erin.party.user_id: {erin.party.device_id: invite | {"seq": number}}}
        path = f"/_matrix/client/v3/sendToDevice/m.call.invite/{number}"
        await asyncio.to_thread(stranger.put, path, {"messages": messages})
    heard = "person.messages.filter(({ type, note }) => type === 'm.call.invite' && note).length === 2"
    await erin.until(heard, "hears both invites")
    rejects = await erin.do("person.messages.filter(({ type }) => type === 'm.call.reject')")
    (content,) = [one["content"] for one in rejects]
    assert (content["reason"], content["call_id"], content["dest_session_id"]) == (
        "focus_only",
        "mesh-1",
        "theirs",
    )
    await meeting.goes_on()


# --- dialling ----------------------------------------------------------------------------------------------


async def test_a_reject_is_told_with_its_reason(venue: Venue, browser: Chromium) -> None:
    async with venue.call() as call, browser.tab(call, "erin") as erin:
        await erin.do(
            """client.wire.outgoing = async (message) => {
                if (message.type === "m.call.invite") message.content.offer.sdp = "v=0";
                return message;
            }"""
        )
        assert await failure(erin) == "bad_offer"
        assert await erin.do("person.ends") == ["bad_offer"]
        await left_nothing_behind(erin)


async def test_a_viewer_without_any_media_sees_and_hears(meeting: Meeting, browser: Chromium) -> None:
    async with browser.tab(meeting.call, "viewer") as viewer:
        await viewer.join("{ stream: null }")
        await asyncio.gather(viewer.sees(meeting.erin.party), viewer.hears(meeting.erin.party))
        await viewer.do("person.leave()")
    await meeting.goes_on()


async def test_a_reload_takes_the_place_of_the_session_before(meeting: Meeting, browser: Chromium) -> None:
    user = await meeting.call.venue.user("reloader")
    async with browser.tab(meeting.call, user) as before, browser.tab(meeting.call, user) as after:
        await before.join()
        await after.join()
        await before.until("client.phase === 'left'", "has made way")
        assert "replaced" in (await before.errors())[0]
        await after.sees(meeting.erin.party)
        # The entry in the room is the newer session's, and stays.
        assert user.user_id in await meeting.erin.do("client.members.map(({ userId }) => userId)")
        assert await after.do("person.phases") == ["dialling", "connected"]
        await after.do("person.leave()")
    await meeting.goes_on()


async def test_a_tab_that_is_closed_says_goodbye(meeting: Meeting, browser: Chromium) -> None:
    async with browser.tab(meeting.call, "closer") as closer:
        await closer.join()
        user_id = closer.party.user_id
        is_there = f"client.members.some(({{ userId }}) => userId === {json.dumps(user_id)})"
        await meeting.erin.until(is_there, "is told of somebody")
        await closer.do("void setTimeout(() => location.replace('about:blank'))")
        await meeting.erin.until(f"!({is_there})", "is told that they have gone")

        async def has_left() -> bool:
            return user_id not in await meeting.erin.owners()

        await until_told(has_left, "the focus knows that they have gone", PATIENCE_S)
    await meeting.goes_on()


# --- negotiation -------------------------------------------------------------------------------------------


async def test_an_offer_of_the_focus_that_meets_ours_is_ignored_and_comes_again(meeting: Meeting) -> None:
    _, erin, frank = meeting
    await erin.do(
        """client.wire.incoming = async (message) => {
            if (message.content.description?.type === "offer") {
                client.wire.incoming = async (message) => message;
                client.renegotiate();
                const { pc } = client;
                while (pc.signalingState === "stable") await new Promise((done) => setTimeout(done));
            }
            return message;
        }"""
    )
    await frank.do("person.share()")
    await erin.sees(frank.party, "m.screenshare")
    notes = await erin.do("person.messages.map(({ note }) => note ?? '')")
    assert "an offer of ours is out: the focus gives way" in notes
    await frank.do("person.unshare()")
    await meeting.goes_on()


async def test_answers_that_are_lost_both_ways_are_made_up_for(meeting: Meeting) -> None:
    _, erin, frank = meeting
    lose = """client.wire.{way} = async (message) => {{
        const isLost = message.content.description?.type === "answer";
        if (isLost) client.wire.{way} = async (message) => message;
        return isLost ? null : message;
    }}"""
    await erin.do(lose.format(way="outgoing"))
    await frank.do(lose.format(way="incoming"))
    # Frank offers and does not hear the answer; erin is offered that share, and her answer is not heard.
    leg = await frank.do("client.callId")
    await frank.do("person.share()")
    # Either side waits five seconds before it says it again.
    await erin.sees(frank.party, "m.screenshare")
    await frank.until("client.pc.signalingState === 'stable'", "has heard an answer at last")
    assert await frank.do("client.callId") == leg
    await frank.do("person.unshare()")
    await meeting.goes_on()


async def test_a_restart_of_ice_goes_by_to_device_message_and_stays_in_the_leg(meeting: Meeting) -> None:
    _, erin, _ = meeting
    leg = await erin.do("client.callId")
    ufrag = "client.pc.localDescription.sdp.match(/a=ice-ufrag:(.*)/)[1]"
    before = await erin.do(ufrag)
    await erin.do("client.restartIce()")
    await erin.until(f"{ufrag} !== {json.dumps(before)} && client.pc.signalingState === 'stable'", "restarts")
    await meeting.goes_on()
    ways = await erin.do(
        "person.messages.filter(({ type }) => type === 'm.call.negotiate').slice(-2).map(({ via }) => via)"
    )
    assert ways == ["to-device", "to-device"]
    assert await erin.do("client.callId") == leg


async def test_a_channel_that_is_cut_is_opened_again_in_the_same_leg(meeting: Meeting) -> None:
    _, erin, frank = meeting
    leg = await erin.do("client.callId")
    await erin.do("client.channel.close()")
    await erin.until(
        "person.phases.at(-1) === 'connected' && client.channel.readyState === 'open'", "is back"
    )
    assert await erin.do("client.callId") == leg
    # The focus hears us, and we it.
    await erin.do(f"person.show({HEIGHT})")
    await erin.shows(frank.party, HEIGHT)
    await erin.do("person.show(180)")
    await meeting.goes_on()


# --- what is published -------------------------------------------------------------------------------------


async def test_layers_that_the_focus_does_not_want_are_not_encoded(
    meeting: Meeting, browser: Chromium
) -> None:
    _, erin, frank = meeting
    await asyncio.gather(*(tab.do("person.show(90)") for tab in (erin, frank)))
    await encodes(erin, {"q"})
    await frank.do(f"person.show({HEIGHT})")
    await frank.shows(erin.party, HEIGHT)
    # They are remembered over another camera and a mute.
    await asyncio.gather(*(tab.do("person.show(90)") for tab in (erin, frank)))
    await encodes(erin, {"q"})
    await erin.do("person.switchCamera()")
    await erin.do("client.setMuted('video', true)")
    await erin.do("client.setMuted('video', false)")
    await frank.sees(erin.party)
    await encodes(erin, {"q"})
    # And over descriptions: browsers then begin with all of them again.
    async with browser.tab(meeting.call, "gwen") as gwen:
        await gwen.do("{ person.wantedHeight = 90 }")
        await gwen.join()
        await asyncio.gather(erin.sees(gwen.party), gwen.sees(erin.party))
        await encodes(erin, {"q"})
    await asyncio.gather(*(tab.do("person.show(180)") for tab in (erin, frank)))
    await meeting.goes_on()


async def encodes(tab: Tab, rids: set[str]) -> None:
    """Wait until just these encodings of somebody's camera are on."""

    async def are_on() -> bool:
        return {rid for rid, row in (await tab.sent()).items() if row["active"]} == rids

    await until_told(are_on, f"{tab.party.user_id} encodes {rids}", PATIENCE_S)


async def test_a_camera_that_comes_late_is_seen(meeting: Meeting, browser: Chromium) -> None:
    async with browser.tab(meeting.call, "late") as late:
        await late.join("{ stream: navigator.mediaDevices.getUserMedia({ audio: true }) }")
        await meeting.erin.hears(late.party)
        assert (await meeting.erin.received(late.party, VIDEO)) == {}
        await late.do("person.switchCamera()")
        await meeting.erin.sees(late.party)
        await late.do("person.leave()")
    await meeting.goes_on()


async def test_a_muted_microphone_sends_next_to_nothing(meeting: Meeting) -> None:
    _, erin, frank = meeting
    await erin.do("client.setMuted('audio', true)")
    share = "client.pc.remoteDescription.sdp.includes('usedtx=1')"
    assert await erin.do(share)

    async def is_quiet() -> bool:
        before = (await frank.received(erin.party, AUDIO)).get("packets", 0)
        await asyncio.sleep(1)
        return bool((await frank.received(erin.party, AUDIO)).get("packets", 0) - before < 15)

    await until_told(is_quiet, "a muted microphone sends less than 15 packets a second", PATIENCE_S)
    await erin.do("client.setMuted('audio', false)")
    await frank.hears(erin.party)
    await meeting.goes_on()


# --- the focus itself; these come last ---------------------------------------------------------------------


async def test_a_path_that_was_dead_for_a_while_is_found_again_in_the_same_leg(meeting: Meeting) -> None:
    call, erin, frank = meeting
    leg = await erin.do("client.callId")
    restarts = (
        "person.messages.filter(({ type, direction }) => type === 'm.call.negotiate' && direction === 'out')"
    )
    count = await erin.do(f"{restarts}.length")
    pid = call.venue.focus.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        await erin.until(f"{restarts}.length > {count}", "restarts ICE")
        assert await erin.do("client.phase") == "reconnecting"
    finally:
        os.kill(pid, signal.SIGCONT)
    await asyncio.gather(erin.is_connected(), frank.is_connected())
    await meeting.goes_on()
    assert await erin.do("client.callId") == leg


async def test_a_focus_that_was_killed_and_starts_again_has_its_people_back(meeting: Meeting) -> None:
    call, erin, frank = meeting
    legs = [await tab.do("client.callId") for tab in (erin, frank)]
    await call.venue.focus.kill()
    await call.venue.focus.start()
    await call.venue.focus.wait_ready()
    await asyncio.gather(
        *(tab.is_connected(in_another_leg_than=leg) for tab, leg in zip((erin, frank), legs, strict=True))
    )
    await meeting.goes_on()


async def test_a_call_that_is_ended_is_left(meeting: Meeting) -> None:
    call, erin, _ = meeting
    await call.terminate()
    await erin.until("client.phase === 'left'", "leaves")
    assert (await erin.errors())[-1].startswith("call_ended")
    await left_nothing_behind(erin)
