"""The page of the focus: a person in a call with synthetic participants, who are the control.

About 100 s on a quiet machine.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from loadtest.client.scene import AUDIO, SCREEN, VIDEO
from sfu.units import Kind
from signalling.events.room_state import CALL_MEMBER_TYPES
from tests.e2e.page_driver import JOIN_PATIENCE_S, NARROW, page_browser
from tests.e2e.venue import open_venue
from tests.e2e.watching import is_clean, told_kinds, until, until_decoded, until_told
from tests.support.homeserver import join, room_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadtest.client.participant import Participant
    from loadtest.client.scene import Party
    from loadtest.homeserver.server import Homeserver
    from loadtest.homeserver.users import User
    from tests.e2e.page_driver import CallPage, PageBrowser
    from tests.e2e.venue import Call, Venue

LARGE = 700
"""Pixels that a picture is wide at least when it is the large one."""

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def venue(homeserver: Homeserver, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    async with open_venue(homeserver, tmp_path_factory.mktemp("focus")) as venue:
        yield venue


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(venue: Venue) -> AsyncIterator[PageBrowser]:
    async with page_browser(venue.focus.page_url) as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def call(venue: Venue) -> AsyncIterator[Call]:
    """The call that most tests meet in; whoever was let in stays."""
    async with venue.call() as call:
        yield call


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alice(call: Call) -> Participant:
    (alice,) = await call.join("alice")
    return alice


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(browser: PageBrowser, call: Call, alice: Participant) -> AsyncIterator[CallPage]:
    """A guest in the call, who came by a demo's link."""
    async with browser.page() as page:
        await page.open_demo(call.room_id, autojoin=True, name="Gwen", pattern=True)
        await page.is_in()
        await page.meets(alice.party)
        yield page


async def is_met_by(one: Participant, party: Party) -> None:
    await until_decoded(one, party, AUDIO, VIDEO, patience_s=JOIN_PATIENCE_S)


async def forgets(one: Participant, party: Party) -> None:
    await until(
        lambda: not told_kinds(one, party), f"{one.party.user_id} is told that {party.user_id} is gone"
    )


def credentials(user: User) -> dict[str, str]:
    return {"homeserver": user.base_url, "user": user.user_id, "password": user.password}


async def test_who_logs_in_with_a_password_meets_everybody(
    venue: Venue, browser: PageBrowser, call: Call, alice: Participant
) -> None:
    erin = await venue.user("erin")
    async with browser.page() as page:
        await page.open(f"#room={call.room_id}")
        await page.fill(**credentials(erin) | {"password": "wrong"})
        await page.choose("source", "camera")
        await page.page.click("#join")
        await page.until(
            "document.querySelector('[data-error-for=account]').textContent.startsWith('Wrong user name')",
            "a wrong password is told where it was entered",
        )
        assert not await page.page.locator("#call").is_visible()
        await page.fill(password=erin.password)
        await page.join()
        party = await page.party()
        assert party.user_id == erin.user_id
        await page.meets(alice.party)
        await is_met_by(alice, party)
        await page.press("leave")
        await forgets(alice, party)
        await page.page.wait_for_selector("#lobby")


async def test_one_click_of_a_demo_and_a_reload_are_enough(
    browser: PageBrowser, call: Call, alice: Participant
) -> None:
    async with browser.page() as page:
        await page.open_demo(call.room_id)
        await page.page.wait_for_selector("#join")
        assert (
            not await page.page.locator("#homeserver, #user, #password, #room").filter(visible=True).count()
        )
        await page.join()
        party = await page.party()
        await page.meets(alice.party)
        await is_met_by(alice, party)
        session = await page.do("matrixFocus.client.sessionId")
        await page.page.reload()
        await page.is_in()
        assert await page.party() == party
        assert await page.do("matrixFocus.client.sessionId") != session
        await page.meets(alice.party)
        await is_met_by(alice, party)
        await page.press("leave")
        await forgets(alice, party)
        await page.page.reload()
        await page.page.wait_for_selector("#lobby:not([hidden])")
        assert await page.do("matrixFocus.client") is None


async def test_what_the_page_is_made_of_is_loaded_at_once(browser: PageBrowser) -> None:
    async with browser.page() as page:
        await page.open()
        await page.page.wait_for_selector("#lobby")
        modules, preloads = await page.do("""[
            performance.getEntriesByType("resource").map((one) => one.name),
            [...document.querySelectorAll("link[rel=modulepreload]")].map((one) => one.href),
        ].map((urls) => urls.map((url) => new URL(url).pathname))""")
        later = {one for one in modules if "/media-keys/" in one or one.endswith("/pattern-clock.js")}
        scripts = {one for one in modules if one.endswith(".js")} - later
        assert scripts == {*preloads, "/page/app.js"}


async def test_encrypted_pages_see_and_hear_each_other(venue: Venue, browser: PageBrowser) -> None:
    async with venue.call() as call, browser.page() as page, browser.page() as other:
        for one, name in ((page, "Emma"), (other, "Emil")):
            await one.open_demo(call.room_id, autojoin=True, name=name, encrypted=True)
        for one in (page, other):
            await one.is_in()
            lock = "document.querySelector('#call-encryption use').getAttribute('href') === '#icon-lock'"
            await one.until(lock, "a lock is shown")
        await page.meets(await other.party())
        await other.meets(await page.party())
        await page.page.reload()
        await page.is_in()
        await page.meets(await other.party())
        await other.meets(await page.party())


async def test_why_a_call_could_not_be_joined_is_told(browser: PageBrowser, venue: Venue) -> None:
    async with venue.call() as over, browser.page() as page:
        await over.terminate()
        await page.open_demo(over.room_id, confId=over.conf_id)
        await page.page.click("#join")
        await page.until(
            "document.querySelector('[data-error-for=join]').textContent === 'The call has been ended.'",
            "the lobby tells why",
        )
        await page.open_demo("!nowhere:localhost")
        await page.page.click("#join")
        await page.until(
            "/no room|entered|!nowhere/.test(document.querySelector('[data-error-for=join]').textContent)",
            "the lobby tells that there is no such room",
        )
        await page.open("#demo=%7Bbroken")
        await page.until("document.querySelector('.notice-error')", "a broken address is told")


async def test_tiles_fill_the_stage_and_never_overlap(browser: PageBrowser) -> None:
    async with browser.page() as page:
        await page.open()
        wrong = await page.do("""{
            const { arrangeGrid, arrangeLarge } = await import("/page/layout.js");
            const wrong = [];
            for (const [width, height] of [[1384, 780], [374, 740], [880, 400]])
            for (let count = 1; count <= 24; count += 1)
            for (const large of [[], ["1"], ["1", "2"]]) {
                const ids = Array.from({ length: count }, (_, index) => String(index + 1));
                const some = large.filter((id) => ids.includes(id));
                const stage = { width, height };
                const { places, height: used } = some.length
                    ? arrangeLarge(stage, ids, some, false) : arrangeGrid(stage, ids);
                const all = [...places.values()];
                const outside = all.some(({ x, y, width: w, height: h }) =>
                    x < 0 || y < 0 || x + w > width + 1 || y + h > used + 1 || w < 40 || h < 30);
                const overlap = all.some((one, index) => all.slice(index + 1).some((other) =>
                    one.x < other.x + other.width && other.x < one.x + one.width &&
                    one.y < other.y + other.height && other.y < one.y + one.height));
                if (all.length !== count || outside || overlap) wrong.push([stage, count, some, all]);
            }
            return wrong;
        }""")
        assert wrong == []
        rooms = await page.do("""{
            const { readRoom } = await import("/page/address.js");
            const read = (text) => { try { return readRoom(text); } catch { return null; } };
            return [
                "#a:b", " !id:b ", "!id", "https://matrix.to/#/%23a%3Ab.c?via=b", "matrix:r/a:b",
                "matrix:roomid/i:b", "@user:b", "room", "#a", "",
            ].map(read);
        }""")
        assert rooms == ["#a:b", "!id:b", "!id", "#a:b.c", "#a:b", "!i:b", None, None, None, None]


async def test_a_new_room_is_a_call_that_others_can_join(venue: Venue, browser: PageBrowser) -> None:
    erin = await venue.user("erin")
    async with browser.page() as page, browser.page() as other:
        await page.open()
        await page.fill(**credentials(erin))
        await page.choose("source", "pattern")
        await page.choose("room-kind", "new")
        await page.fill(room="Stand-up", name="Erin")
        await page.join()
        await page.until(
            "document.querySelector('#call-title').textContent === 'Stand-up'", "the room's name is shown"
        )
        await other.open_demo(await page.do("matrixFocus.call.place.roomId"), autojoin=True, name="Gwen")
        await other.is_in()
        await page.meets(await other.party())
        await other.meets(await page.party())
        await page.until(
            "document.querySelector('#call-count').textContent === '2 people'", "both are counted"
        )
        assert set(await page.tiles()) == {"Erin (you)", "Gwen"}
        assert set(await other.tiles()) == {"Gwen (you)", "Erin"}


async def test_tiles_and_layouts_decide_what_is_asked_for(
    page: CallPage, call: Call, alice: Participant
) -> None:
    (bob,) = await call.join("bob")
    await page.meets(bob.party)
    name = {one: one.party.user_id[1:].split(":")[0] for one in (alice, bob)}
    await page.press("layout")
    await page.until("matrixFocus.call.tiles.layout === 'speaker'", "the layout changes")

    async def one_is_large() -> bool:
        sizes = sorted(tile["width"] * tile["height"] for tile in (await page.tiles()).values())
        return bool(sizes[-1] > 3 * sizes[-2])

    await until_told(one_is_large, "one picture is large")
    for one in (alice, bob):
        tile = page.page.get_by_role("article", name=name[one], exact=True)
        await tile.hover()
        await tile.get_by_role("button", name="Enlarge").click()

        async def is_asked_for(one: Participant = one) -> bool:
            shown = (await page.tiles())[name[one]]
            wishes = [
                (wish.get("width"), wish.get("height"))
                for message in await page.messages()
                if message["type"] == "m.call.track_subscription"
                for wish in message["content"]["subscribe"]
            ]
            return shown["width"] > LARGE and (shown["width"], shown["height"]) in wishes

        await until_told(is_asked_for, f"{name[one]} is large, and asked for so")
    tile = page.page.get_by_role("article", name=name[bob], exact=True)
    await tile.get_by_role("button", name="Enlarge").click()
    await page.press("layout")
    await page.until("matrixFocus.call.tiles.layout === 'grid'", "the layout changes back")

    async def tells_what_arrives() -> bool:
        return "320x180 · " in (await page.tiles())[name[alice]]["badge"]

    await until_told(tells_what_arrives, "a tile tells what arrives")
    await bob.leave()

    async def is_gone() -> bool:
        return name[bob] not in await page.tiles()

    await until_told(is_gone, "bob's tile goes with him")


async def test_another_camera_and_microphone_are_sent(page: CallPage, alice: Participant) -> None:
    await page.press("devices")
    for select, kind in (("#devices-camera", "video"), ("#devices-mic", "audio")):
        label = f"matrixFocus.media.track({kind!r}).label"
        assert "fake" not in (await page.do(label)).lower()
        await page.page.select_option(select, index=0)
        await page.until(f"/fake/i.test({label})", f"the device is taken: {kind}")
    await is_met_by(alice, await page.party())
    for select, kind in (("#devices-camera", "video"), ("#devices-mic", "audio")):
        await page.page.select_option(select, label="Test pattern")
        await page.until(
            f"!/fake/i.test(matrixFocus.media.track({kind!r}).label)", f"the pattern is back: {kind}"
        )
    await page.page.click("#devices button")
    await is_met_by(alice, await page.party())


async def test_mutes_are_seen_both_ways(page: CallPage, alice: Participant) -> None:
    party = await page.party()
    for key, kind in (("m", AUDIO), ("v", VIDEO)):
        track = alice.observations.track(party, kind)
        await page.page.keyboard.press(key)
        await until(lambda track=track: track.is_muted, f"alice is told of the mute: {kind}")  # type: ignore[misc]
    own = (await page.tiles())["Gwen (you)"]
    assert (own["audioOff"], own["videoOff"], own["isDark"]) == (True, True, True)
    for control, kind in (("mic", AUDIO), ("camera", VIDEO)):
        track = alice.observations.track(party, kind)
        await page.press(control)
        await until(lambda track=track: not track.is_muted, f"alice is told of the end: {kind}")  # type: ignore[misc]
    await is_met_by(alice, party)
    name = alice.party.user_id[1:].split(":")[0]
    for muted in (True, False):
        await alice.set_muted(Kind.AUDIO, muted=muted)

        async def is_shown(muted: bool = muted) -> bool:  # bound early
            return bool((await page.tiles())[name]["audioOff"]) is muted

        await until_told(is_shown, f"the page shows alice's mute: {muted}")


async def test_screens_are_shared_both_ways(page: CallPage, alice: Participant) -> None:
    party = await page.party()
    await page.do("matrixFocus.call.share({ pattern: true, width: 640, height: 360, fps: 10 })")
    await until_decoded(alice, party, SCREEN, patience_s=JOIN_PATIENCE_S)
    assert "Your screen" in await page.tiles()
    await alice.start_share()
    await page.sees(alice.party, "m.screenshare")
    name = alice.party.user_id[1:].split(":")[0]
    tiles = await page.tiles()
    assert tiles[f"{name} · screen"]["width"] > 2 * tiles[name]["width"]
    await page.press("share")
    await until(lambda: told_kinds(alice, party) == {AUDIO, VIDEO}, "alice is told that the share is over")
    await alice.stop_share()

    async def is_over() -> bool:
        return set(await page.tiles()) == {name, "Gwen (you)"}

    await until_told(is_over, "both shares are over")
    await page.meets(alice.party)


async def test_the_panel_shows_every_message_and_track(page: CallPage, alice: Participant) -> None:
    await page.page.keyboard.press("p")
    await page.page.wait_for_selector("#panel:not([hidden])")
    await page.do("matrixFocus.call.panel.open('Messages')")
    messages = await page.messages()
    types = [one["type"] for one in messages if one["via"] == "to-device"]
    assert types[0] == "m.call.invite"
    assert {"m.call.answer", "m.call.select_answer", "m.call.candidates"} <= set(types)
    rows = page.page.locator(".log-list > li")
    assert await rows.count() >= len(messages)
    await page.page.fill(".toolbar input", "m.call.invite")
    shown = page.page.locator('.log-list > li[data-type="m.call.invite"]')
    await shown.locator("summary").click()
    await page.until("document.querySelector('.log-json:not(:empty)')", "the JSON is shown")
    json = await shown.locator("pre").text_content() or ""
    assert "a=rid:f send" in json
    assert '"dest_session_id": "sfu"' in json
    await page.page.fill(".toolbar input", "")
    await page.page.get_by_role("tab", name="Tracks").click()
    card = page.page.locator(".card", has_text=alice.party.user_id[1:].split(":")[0]).filter(has_text="video")
    arrives = "/320x180, \\d+ fps/.test(document.querySelector('.cards').textContent)"
    await page.until(arrives, "what arrives is told")
    assert "VP8" in (await card.text_content() or "")
    await page.until("document.querySelectorAll('.encodings tbody tr').length >= 2", "what is sent is told")
    await page.page.get_by_role("tab", name="Call").click()
    body = page.page.locator("#panel-body")
    for text in (alice.party.user_id, "on this focus", await page.do("matrixFocus.client.callId"), "udp"):
        assert text in (await body.inner_text())
    await page.page.get_by_role("button", name="Close the panel").click()
    assert await page.page.locator("#panel").is_hidden()


FAULTS = {
    "drop-answer": ["dropped our answer", "the focus offered again after"],
    "delay-answer": ["armed"],
    "glare": ["let through while we are in have-local-offer", "the focus answered our offer after"],
    "restart-ice": ["the focus has new credentials after"],
    "cut-channel": ["a new channel is open after"],
    "drop-to-device": ["armed"],
    "redial": ["is connected after"],
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_call_survives_each_fault(page: CallPage, alice: Participant, fault: str) -> None:
    await page.fire(fault)
    for text in FAULTS[fault]:
        await page.fault_says(fault, text, JOIN_PATIENCE_S)
    if fault == "delay-answer":
        await page.do("matrixFocus.call.tiles.blink()")
        await page.fault_says(fault, "holding our answer for 3000 ms")
        await page.fault_says(fault, "sent it")
        await page.fire(fault)
    if fault == "drop-to-device":
        await page.do("matrixFocus.client.redial()")
        await page.fault_says(fault, "dropped m.call.")
    await page.until("matrixFocus.client.phase === 'connected'", "the call goes on", JOIN_PATIENCE_S)
    await page.meets(alice.party)
    await is_met_by(alice, await page.party())
    assert alice.observations.wrong_frames() == 0


async def test_an_offer_that_comes_late_undoes_nothing(page: CallPage, alice: Participant) -> None:
    await page.do("matrixFocus.call.tiles.blink()")
    offers = """matrixFocus.log.entries.filter((one) => one.leg === matrixFocus.client.callId
        && one.direction === "in" && one.content.description?.type === "offer")"""
    before = len(await page.do(offers))
    await page.until(f"{offers}.length >= {before + 2}", "one section is given up and used again")
    await page.meets(alice.party)
    # As if the focus had repeated its offer by to-device message, and the homeserver had been slow.
    await page.do(f"""{{
        const late = {offers}.at(-2).content;
        const [answer] = matrixFocus.log.entries.filter((one) => one.leg === matrixFocus.client.callId
            && one.direction === "in" && one.type === "m.call.answer");
        const {{ seq, answer: _, ...envelope }} = answer.content;
        const content = {{ ...envelope, ...late }};
        const detail = {{ type: "m.call.negotiate", sender: matrixFocus.client.focus.user_id, content }};
        matrixFocus.matrix.dispatchEvent(new CustomEvent("to-device", {{ detail }}));
    }}""")
    await page.until(
        "matrixFocus.log.entries.some((one) => one.note?.startsWith('older'))", "it is told that it was late"
    )
    await page.meets(alice.party)


async def test_who_cannot_be_reached_is_named(venue: Venue, page: CallPage, call: Call) -> None:
    mona = await venue.user("mona")
    await asyncio.to_thread(join, mona, call.room_id)
    device = {
        "device_id": "MESH",
        "session_id": "s",
        "feeds": [],
        "expires_ts": int(time.time() * 1000) + 600_000,
    }
    path = room_path(call.room_id, f"state/{CALL_MEMBER_TYPES[0]}/{mona.user_id}")
    for devices in ([device], []):
        content = {"m.calls": [{"m.call_id": call.conf_id, "m.devices": devices}]}
        await asyncio.to_thread(mona.put, path, content)

        async def is_told(expected: bool = bool(devices)) -> bool:  # bound early
            return any("calls everybody directly" in text for text in await page.notices()) is expected

        await until_told(is_told, f"it is told that mona can't be reached: {devices}")


async def test_nothing_is_wider_than_a_telephone(
    browser: PageBrowser, call: Call, alice: Participant
) -> None:
    async with browser.page(NARROW) as page:
        await page.open()
        await page.page.wait_for_selector("#lobby:not([hidden])")
        assert await page.overflow() == []
        await page.open_demo(call.room_id)
        await page.join()
        await page.meets(alice.party)
        assert await page.overflow() == []
        for tab in ("Messages", "Tracks", "Faults", "Call"):
            await page.do(f"matrixFocus.call.panel.open('{tab}')")
            assert await page.overflow() == [], tab
        await page.do("matrixFocus.call.panel.toggle(false)")
        for button in await page.page.locator(".controls button").all():
            box = await button.bounding_box()
            assert box is not None
            assert 0 <= box["x"] < box["x"] + box["width"] <= NARROW[0]
    is_clean(alice)
