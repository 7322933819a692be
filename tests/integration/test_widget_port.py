"""The page's Matrix port as a widget, in a host client of npm's matrix-js-sdk and matrix-widget-api.

About 25 s on a quiet machine.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pytest
import pytest_asyncio

from tests.support.homeserver import join, new_room, new_user, room_path, send_to_device
from tests.support.widget_host import ENCRYPTED, PARAMETERS, widget_hosts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadtest.homeserver.server import Homeserver
    from loadtest.homeserver.users import User
    from tests.support.widget_host import WidgetHost, WidgetHosts

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

MEMBER: Final = "org.matrix.msc3401.call.member"
MEDIA_KEYS: Final = "org.matrix_focus.media_keys"
TURN: Final = {"uris": ["turn:turn.example.org?transport=udp"], "username": "u", "password": "p"}
MESSAGE: Final = {"call_id": "c", "seq": 0}


class Room:
    """A room of two people; `alice` opens widgets in it."""

    def __init__(self, alice: User, bob: User, **more: Any) -> None:  # noqa: ANN401  # keys of createRoom
        self.alice = alice
        self.bob = bob
        self.room_id = new_room(alice, bob, **more)
        join(bob, self.room_id)

    def write(self, user: User, conf_id: str) -> None:
        """Somebody's member event."""
        content = {"m.calls": [{"m.call_id": conf_id, "m.devices": []}]}
        user.put(room_path(self.room_id, f"state/{MEMBER}/{quote(user.user_id)}"), content)

    def read(self, event_type: str, state_key: str) -> dict[str, Any]:
        """The content of a state event."""
        return self.bob.get(room_path(self.room_id, f"state/{event_type}/{quote(state_key)}"))


def new_people(homeserver: Homeserver, **more: Any) -> Room:  # noqa: ANN401  # keys of createRoom
    return Room(new_user(homeserver, "alice"), new_user(homeserver, "bob"), **more)


def messages_to(user: User, content: dict[str, Any]) -> str:
    """The argument of `sendToDevice`, as JSON."""
    return json.dumps({user.user_id: {user.device_id: content}})


def sync(user: User) -> list[dict[str, Any]]:
    """To-device messages for somebody who has no client: those that wait, else the next ones."""
    told = user.get("/_matrix/client/v3/sync?timeout=0")
    if not told.get("to_device", {}).get("events"):
        # A first answer never waits for news.
        told = user.get(f"/_matrix/client/v3/sync?timeout=10000&since={told['next_batch']}")
    events: list[dict[str, Any]] = told.get("to_device", {}).get("events", [])
    return events


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hosts() -> AsyncIterator[WidgetHosts]:
    async with widget_hosts() as hosts:
        yield hosts


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(homeserver: Homeserver) -> Room:
    return await asyncio.to_thread(new_people, homeserver)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(hosts: WidgetHosts, room: Room) -> AsyncIterator[WidgetHost]:
    """Alice's client, with the widget open and everything allowed."""
    async with hosts.open(room.alice, room.room_id, template(hosts), turnServers=[TURN]) as host:
        assert await host.widget("start") == "started"
        yield host


def template(hosts: WidgetHosts, query: str = "", parameters: str = PARAMETERS) -> str:
    return f"{hosts.bare_url}{query}#/?{parameters}"


async def test_a_widget_knows_room_user_and_device_without_a_login(host: WidgetHost, room: Room) -> None:
    known = await host.widget(
        "[matrix.roomId, matrix.userId, matrix.deviceId, matrix.theme, matrix.language]"
    )
    assert known == [room.room_id, room.alice.user_id, room.alice.device_id, "dark", "en"]
    assert await host.widget("matrix.refused") == []


async def test_the_host_is_asked_once_and_for_nothing_in_other_rooms(host: WidgetHost, room: Room) -> None:
    asked = await host.do("host.driver.asked")
    assert len(asked) == len(set(asked))
    timelines = [one for one in asked if ".timeline:" in one]
    assert timelines == [f"org.matrix.msc2762.timeline:{room.room_id}"]
    sent = [one.rpartition(":")[2] if "#" not in one else one for one in asked if ".send.state_event:" in one]
    assert sent == [
        f"org.matrix.msc2762.send.state_event:{MEMBER}#{room.alice.user_id}",
        "org.matrix.msc3401.call",
    ]


async def test_the_state_of_the_room_is_read_and_its_changes_are_told(host: WidgetHost, room: Room) -> None:
    people = await host.outcome("matrix.readState(matrix.roomId, 'm.room.member')")
    assert {event["state_key"] for event in people["value"]} == {room.alice.user_id, room.bob.user_id}
    await asyncio.to_thread(room.write, room.bob, "told")
    await host.is_so(
        f"seen.states.some((event) => event.type === '{MEMBER}' && event.sender === '{room.bob.user_id}'"
        " && event.content['m.calls'][0]['m.call_id'] === 'told')"
    )


async def test_state_that_was_replaced_does_not_come_back_when_the_host_tells_it_again(
    hosts: WidgetHosts, homeserver: Homeserver
) -> None:
    room = await asyncio.to_thread(new_people, homeserver)
    elsewhere = await asyncio.to_thread(new_room, room.alice)
    await asyncio.to_thread(room.write, room.bob, "first")
    async with hosts.open(room.alice, room.room_id, template(hosts)) as host:
        assert await host.widget("start") == "started"
        assert await host.widget("calls()") == ["first"]
        await asyncio.to_thread(room.write, room.bob, "second")
        await host.is_so("(await calls()).includes('second')")
        told = await host.widget("updates.length")
        await host.do(f"host.lookAround('{elsewhere}')")
        await host.is_so(f"updates.length > {told}")
        # The host did tell the old one: without that, nothing is shown here.
        again = await host.widget("updates.at(-1).map((event) => event.content['m.calls']?.[0]['m.call_id'])")
        assert "first" in again
        assert await host.widget("calls()") == ["second"]


async def test_a_page_that_is_loaded_anew_reads_the_state_of_now(
    hosts: WidgetHosts, homeserver: Homeserver
) -> None:
    room = await asyncio.to_thread(new_people, homeserver)
    await asyncio.to_thread(room.write, room.bob, "first")
    async with hosts.open(room.alice, room.room_id, template(hosts)) as host:
        assert await host.widget("start") == "started"
        for call in ("second", "third"):
            await asyncio.to_thread(room.write, room.bob, call)
            await host.is_so(f"(await calls()).includes('{call}')")
        await host.reload()
        assert await host.widget("start") == "started"
        assert await host.widget("calls()") == ["third"]


async def test_state_is_written_in_the_widgets_room_only(host: WidgetHost, room: Room) -> None:
    content = {"m.calls": [{"m.call_id": "mine", "m.devices": []}]}
    what = f"'{MEMBER}', matrix.userId, {json.dumps(content)}"
    assert await host.outcome(f"matrix.sendState(matrix.roomId, {what})") == {"value": None}
    assert await asyncio.to_thread(room.read, MEMBER, room.alice.user_id) == content
    elsewhere = await host.outcome(f"matrix.sendState('!elsewhere:example.org', {what})")
    assert elsewhere["name"] == "WidgetError"
    assert "!elsewhere:example.org" in elsewhere["message"]


async def test_a_refusal_of_the_homeserver_is_told_as_such(
    hosts: WidgetHosts, homeserver: Homeserver
) -> None:
    room = await asyncio.to_thread(new_people, homeserver)
    async with hosts.open(room.bob, room.room_id, template(hosts)) as host:
        assert await host.widget("start") == "started"
        levels = await asyncio.to_thread(room.read, "m.room.power_levels", "")
        levels["events"]["org.matrix.msc3401.call"] = 100
        await asyncio.to_thread(room.alice.put, room_path(room.room_id, "state/m.room.power_levels/"), levels)
        refused = await host.outcome("matrix.sendState(matrix.roomId, 'org.matrix.msc3401.call', 'x', {})")
        assert (refused["name"], refused["status"], refused["errcode"]) == (
            "MatrixRefused",
            403,
            "M_FORBIDDEN",
        )


async def test_messages_in_the_clear_go_out_and_come_in(host: WidgetHost, room: Room) -> None:
    sent = await host.outcome(f"matrix.sendToDevice('m.call.invite', {messages_to(room.bob, MESSAGE)})")
    assert sent == {"value": None}
    (event,) = await asyncio.to_thread(sync, room.bob)
    assert (event["type"], event["sender"]) == ("m.call.invite", room.alice.user_id)
    assert event["content"].items() >= MESSAGE.items()
    await asyncio.to_thread(send_to_device, room.bob, room.alice, "m.call.answer", MESSAGE)
    await host.is_so("seen.messages.length === 1")
    (message,) = await host.widget("seen.messages")
    assert (message["type"], message["sender"]) == ("m.call.answer", room.bob.user_id)
    assert message["encrypted"] is False
    assert message["content"].items() >= MESSAGE.items()


@pytest.mark.parametrize("keys_late_ms", [0, 1_500], ids=["at once", "late"])
async def test_the_hosts_encrypt_what_they_are_asked_to(
    hosts: WidgetHosts, homeserver: Homeserver, keys_late_ms: int
) -> None:
    room = await asyncio.to_thread(new_people, homeserver, initial_state=[ENCRYPTED])
    async with (
        hosts.open(room.alice, room.room_id, template(hosts)) as alice,
        hosts.open(room.bob, room.room_id, template(hosts), keysLateMs=keys_late_ms) as bob,
    ):
        for host in (alice, bob):
            assert await host.widget("start") == "started"
        await alice.knows(room.bob)
        script = f"matrix.sendToDevice('{MEDIA_KEYS}', {messages_to(room.bob, MESSAGE)}, {{encrypted: true}})"
        assert await alice.outcome(script) == {"value": None}
        await bob.is_so("seen.messages.length > 0")
        (message,) = await bob.widget("seen.messages")
        assert (message["type"], message["sender"]) == (MEDIA_KEYS, room.alice.user_id)
        assert message["encrypted"] is True
        assert message["content"].items() >= MESSAGE.items()


async def test_what_a_call_cannot_do_without_is_named_when_it_is_refused(
    hosts: WidgetHosts, room: Room
) -> None:
    refused = ["send.to_device:m.call.invite"]
    async with hosts.open(room.bob, room.room_id, template(hosts), refused=refused) as host:
        told = await host.widget("start")
        assert told.startswith("WidgetError: Your Matrix client does not allow what a call needs: ")
        assert "org.matrix.msc3819.send.to_device:m.call.invite" in told
        assert "m.call.hangup" not in told
        # Their person thinks again.
        await host.do("void (host.driver.refused = [])")
        assert await host.outcome("matrix.start()") == {"value": None}
        assert await host.widget("matrix.refused") == []


async def test_a_call_goes_on_without_what_it_can_do_without(hosts: WidgetHosts, room: Room) -> None:
    refused = ["turn_servers", MEDIA_KEYS, "m.room.member#"]
    async with hosts.open(
        room.bob, room.room_id, template(hosts), refused=refused, turnServers=[TURN]
    ) as host:
        assert await host.widget("start") == "started"
        assert await host.widget("matrix.refused") == [
            "send keys of encrypted media",
            "receive keys of encrypted media",
            "use the homeserver's TURN servers",
        ]
        assert await host.outcome("matrix.iceServers()") == {"value": []}
        keys = await host.outcome(f"matrix.sendToDevice('{MEDIA_KEYS}', {{}}, {{encrypted: true}})")
        assert (keys["name"], keys["status"]) == ("MatrixRefused", 403)
        assert "keys of encrypted media" in keys["message"]
        invited = await host.outcome("matrix.invite(matrix.roomId, '@focus:example.org')")
        assert (invited["name"], invited["status"]) == ("MatrixRefused", 403)
        assert "invite @focus:example.org" in invited["message"]


async def test_an_invitation_is_asked_for_and_made(
    host: WidgetHost, room: Room, homeserver: Homeserver
) -> None:
    guest = await asyncio.to_thread(new_user, homeserver, "guest")
    assert await host.outcome(f"matrix.invite(matrix.roomId, '{guest.user_id}')") == {"value": None}
    assert (await host.do("host.driver.asked"))[-1].endswith(f":m.room.member#{guest.user_id}")
    assert (await asyncio.to_thread(room.read, "m.room.member", guest.user_id))["membership"] == "invite"
    await host.is_so(f"seen.states.some((event) => event.state_key === '{guest.user_id}')")


async def test_turn_servers_are_those_that_the_host_knows(host: WidgetHost) -> None:
    expected = [{"urls": TURN["uris"], "username": TURN["username"], "credential": TURN["password"]}]
    assert await host.outcome("matrix.iceServers()") == {"value": expected}
    assert await host.outcome("matrix.iceServers()") == {"value": expected}


async def test_a_host_without_turn_servers_is_no_reason_to_wait(hosts: WidgetHosts, room: Room) -> None:
    async with hosts.open(room.bob, room.room_id, template(hosts)) as host:
        assert await host.widget("start") == "started"
        assert await host.outcome("matrix.iceServers()") == {"value": []}


async def test_foci_are_those_that_the_homeserver_announces(host: WidgetHost, room: Room) -> None:
    announced = {
        "org.matrix_focus.foci": [{"user_id": "@focus:example.org", "device_id": "F"}, {"user_id": 1}]
    }
    where = f"{room.alice.base_url}/.well-known/matrix/client"
    await host.page.route(where, lambda route: route.fulfill(json=announced))
    assert await host.outcome("matrix.foci()") == {"value": announced["org.matrix_focus.foci"][:1]}
    await host.page.unroute(where)


async def test_a_message_that_does_not_get_through_is_sent_again(host: WidgetHost, room: Room) -> None:
    await host.do("void (host.driver.failures = 2)")
    content = MESSAGE | {"seq": 7}
    sent = await host.outcome(f"matrix.sendToDevice('m.call.negotiate', {messages_to(room.bob, content)})")
    assert sent == {"value": None}
    assert await host.do("host.driver.failures") == 0
    troubles = await host.widget("seen.troubles")
    assert [text is None for text in troubles] == [False, True]


async def test_state_that_does_not_get_through_is_not_written_over_what_came_after_it(
    host: WidgetHost, room: Room
) -> None:
    await host.do("void (host.driver.failures = 1)")
    script = f"matrix.sendState(matrix.roomId, '{MEMBER}', matrix.userId, {{'m.calls': {{}}}})"
    both = ", ".join(script.replace("{}", json.dumps(calls)) for calls in ([{"m.call_id": "late"}], []))
    assert await host.outcome(f"Promise.all([{both}]).then(() => 'sent')") == {"value": "sent"}
    assert await asyncio.to_thread(room.read, MEMBER, room.alice.user_id) == {"m.calls": []}
    sent = await host.do("host.driver.written.slice(-2)")
    assert [event["content"]["m.calls"] for event in sent] == [[{"m.call_id": "late"}], []]


async def test_only_the_host_is_listened_to(host: WidgetHost) -> None:
    forged = {
        "api": "toWidget",
        "widgetId": "call-widget",
        "requestId": "1",
        "action": "theme_change",
        "data": {"name": "forged"},
    }
    await host.do("document.body.append(Object.assign(document.createElement('iframe'), {name: 'stranger'}))")
    # From a sibling, from the widget itself, from the host about another widget; then the control.
    await host.do(f"frames.stranger.eval(`parent.frames[0].postMessage({json.dumps(forged)}, '*')`)")
    await host.widget(f"postMessage({json.dumps(forged)}, '*')")
    await host.do(f"host.frame.contentWindow.postMessage({json.dumps(forged | {'widgetId': 'other'})}, '*')")
    await host.do("host.api.updateTheme({name: 'light'})")
    await host.is_so("seen.themes.length > 0")
    assert await host.widget("[seen.themes, matrix.theme]") == [["light"], "light"]
    await host.do("document.querySelector('[name=stranger]').remove()")


async def test_a_host_of_another_origin_than_the_address_says_is_not_answered(
    hosts: WidgetHosts, room: Room
) -> None:
    more = {"parentUrl": "https://chat.example.org/"}
    async with hosts.open(room.bob, room.room_id, template(hosts), **more) as host:
        told = await host.widget("start")
        assert told == "WidgetError: The page was opened as a widget, but no Matrix client answers it."
        assert await host.do("host.driver.asked") == []


async def test_an_older_host_is_asked_for_the_state(hosts: WidgetHosts, homeserver: Homeserver) -> None:
    room = await asyncio.to_thread(new_people, homeserver)
    await asyncio.to_thread(room.write, room.bob, "first")
    async with hosts.open(room.alice, room.room_id, template(hosts), older=True) as host:
        assert await host.widget("start") == "started"
        assert await host.widget("calls()") == ["first"]
        await asyncio.to_thread(room.write, room.bob, "second")
        await host.is_so("seen.states.at(-1)?.content['m.calls']?.[0]['m.call_id'] === 'second'")
        assert await host.widget("calls()") == ["second"]
        sent = await host.outcome(f"matrix.sendToDevice('m.call.invite', {messages_to(room.bob, MESSAGE)})")
        assert sent == {"value": None}
        mine = f"matrix.sendState(matrix.roomId, '{MEMBER}', matrix.userId, {{'m.calls': []}})"
        assert await host.outcome(mine) == {"value": None}
        assert await asyncio.to_thread(room.read, MEMBER, room.alice.user_id) == {"m.calls": []}


@pytest.mark.parametrize("more", [{"waitForIframeLoad": False}, {}], ids=["told to wait", "asked too early"])
async def test_a_page_that_loads_slowly_is_no_stranger_to_its_host(
    hosts: WidgetHosts, room: Room, more: dict[str, Any]
) -> None:
    query = "" if more else "?late=1500"
    async with hosts.open(room.bob, room.room_id, template(hosts, query), **more) as host:
        await host.is_so("window.start !== undefined")
        assert await host.widget("start") == "started"
        asked = await host.do("host.driver.asked")
        assert len(asked) == len(set(asked))
        # Hosts show a widget that they were told to wait for when they have agreed with it.
        assert not more or await host.do("host.ready") == 1


async def test_a_widget_that_is_closed_says_goodbye(hosts: WidgetHosts, homeserver: Homeserver) -> None:
    room = await asyncio.to_thread(new_people, homeserver)
    async with hosts.open(room.alice, room.room_id, template(hosts)) as host:
        assert await host.widget("start") == "started"
        await host.widget(f"void (window.farewell = {messages_to(room.bob, MESSAGE)})")
        await host.do("host.close()")
        (event,) = await asyncio.to_thread(sync, room.bob)
        assert event["type"] == "m.call.hangup"


async def test_the_host_is_told_whether_to_keep_the_page_on_screen(host: WidgetHost) -> None:
    assert await host.outcome("matrix.stayOnScreen(true)") == {"value": True}
    assert await host.outcome("matrix.stayOnScreen(false)") == {"value": True}
    assert await host.do("host.stays") == [True, False]


async def test_an_address_that_the_host_did_not_fill_in_is_named(hosts: WidgetHosts, room: Room) -> None:
    lacking = PARAMETERS.replace("$org.matrix.msc3819.matrix_device_id", "$org.example.device")
    async with hosts.open(room.bob, room.room_id, template(hosts, parameters=lacking)) as host:
        told = await host.widget("start")
    assert told.startswith(
        "WidgetError: The widget's address lacks deviceId=$org.matrix.msc3819.matrix_device_id"
    )


async def test_a_page_in_a_tab_of_its_own_is_no_widget(hosts: WidgetHosts, host: WidgetHost) -> None:
    page = await host.page.context.new_page()
    await page.goto(f"{hosts.bare_url}?widgetId=w&parentUrl=https://chat.example.org/")
    made = "import('/widget.js').then(({WidgetMatrix}) => WidgetMatrix.fromLocation(location))"
    assert await page.evaluate(made) is None
    await page.close()
