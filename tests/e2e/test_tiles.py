"""Tiles of the page: what a person does with them is asked for, and what comes of it is told on them.

About 50 s on a quiet machine.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import expect

from loadtest.client.scene import AUDIO, VIDEO
from sfu.conference.values import Reason
from tests.e2e.page_driver import NARROW, WIDE, page_browser
from tests.e2e.venue import open_venue
from tests.e2e.watching import until_told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadtest.client.participant import Participant
    from loadtest.homeserver.server import Homeserver
    from tests.e2e.page_driver import CallPage, PageBrowser
    from tests.e2e.venue import Call, Venue

LOW: Final = (NARROW[0], 370)
"""A window in which there is room for a large tile and one row below it."""
BUDGET: Final = "You get 80x45 instead of 320x180: your connection carries 90 kbit/s for everything."
UNHEARD: Final = "You hear nothing: in a call of this size the loudest are forwarded, and others are louder."

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


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
    async with venue.call() as call:
        yield call


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def others(call: Call) -> list[Participant]:
    return await call.join("alice", "bob", "carol")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(browser: PageBrowser, call: Call, others: list[Participant]) -> AsyncIterator[CallPage]:
    async with browser.page() as page:
        await page.open_demo(call.room_id, autojoin=True, name="Gwen", pattern=True)
        await page.is_in()
        await page.meets(*(one.party for one in others))
        yield page


def name_of(one: Participant) -> str:
    """As the page calls somebody."""
    return one.party.user_id[1:].split(":")[0]


async def wish(call: Call, page: CallPage, other: Participant, kind: str = VIDEO) -> dict[str, Any]:
    """What the focus knows of the page's wish for somebody's track; empty: it has none."""
    user_id = (await page.party()).user_id
    wishes = (await call.members())[user_id]["subscriptions"]
    wanted = (one for one in wishes if one["from"] == other.party.user_id and one["kind"] == kind)
    return dict(next(wanted, {}))


async def is_pinned_alone(call: Call, page: CallPage, others: list[Participant], one: Participant) -> None:
    """Wait until the focus knows of one pin."""

    async def is_so() -> bool:
        pinned = [(await wish(call, page, other)).get("pinned") for other in others]
        return pinned == [other is one for other in others]

    await until_told(is_so, f"{name_of(one)} alone is pinned")


async def sections(page: CallPage) -> list[str]:
    """Sections in which something is received, and the number of offers of the focus until now."""
    return list(
        await page.do("""[
            ...[...matrixFocus.client.streams.values()].flatMap(({ tracks }) =>
                [...tracks.values()].map(({ trackId, mid }) => `${trackId} ${mid}`)),
            `${matrixFocus.log.entries.filter((one) => one.direction === "in"
                && one.content.description?.type === "offer").length} offers`,
        ]""")
    )


@contextlib.asynccontextmanager
async def unexplained(page: CallPage) -> AsyncIterator[None]:
    """While inside, what the focus says of reasons is lost, but for what a test says in its place."""
    await page.do("""{
        const { wire } = matrixFocus.client;
        wire.incoming = async (message) =>
            message.type === "org.matrix_focus.why" && !message.content.isOfTest ? null : message;
    }""")
    try:
        yield
    finally:
        await page.do("matrixFocus.client.wire.incoming = async (message) => message")


async def says(page: CallPage, one: Participant, kind: str, **why: Any) -> None:  # noqa: ANN401  # JSON
    """Have the page hear something about somebody's track, as if the focus had said so."""
    user_id = json.dumps(one.party.user_id)
    await page.do(f"""{{
        const stream = [...matrixFocus.client.streams.values()].find(({{ userId }}) => userId === {user_id});
        const track = [...stream.tracks.values()].find((one) => one.kind === {json.dumps(kind)});
        const ids = {{ stream_id: stream.streamId, track_id: track.trackId }};
        const content = {{ isOfTest: true, tracks: [{{ ...ids, ...{json.dumps(why)} }}] }};
        const data = JSON.stringify({{ type: "org.matrix_focus.why", content }});
        matrixFocus.client.channel.dispatchEvent(new MessageEvent("message", {{ data }}));
    }}""")


async def test_a_tile_is_pinned_by_click_and_by_key_and_the_focus_is_told(
    page: CallPage, call: Call, others: list[Participant]
) -> None:
    alice, bob, _ = others
    tile = page.page.get_by_role("article", name=name_of(alice), exact=True)
    await tile.hover()
    await tile.get_by_role("button", name="Enlarge").click()
    await is_pinned_alone(call, page, others, alice)
    order = [one for one in await page.tiles() if "(you)" not in one]
    await page.page.keyboard.press(str(1 + order.index(name_of(bob))))
    await is_pinned_alone(call, page, others, bob)
    await page.page.keyboard.press(str(1 + order.index(name_of(bob))))

    async def none_is_pinned() -> bool:
        return not any([(await wish(call, page, other))["pinned"] for other in others])

    await until_told(none_is_pinned, "the same key takes the pin back")
    await page.meets(*(one.party for one in others))


async def test_what_is_scrolled_out_of_sight_stops_and_is_back_without_an_offer(
    page: CallPage, call: Call, others: list[Participant]
) -> None:
    await page.resize(LOW)
    # Our own, so that of the others two are in the row below it, and one below that.
    await page.page.keyboard.press(str(1 + len(others)))
    lowest = others[-1]

    async def is_out_of_sight() -> bool:
        seen = await wish(call, page, lowest)
        return (seen["visible"], seen["cause"], seen["current"]) == (False, "not_visible", None)

    await until_told(is_out_of_sight, f"{name_of(lowest)} is out of sight, and nothing is sent")
    before = await sections(page)
    await page.hears(lowest.party)
    tile = page.page.get_by_role("article", name=name_of(lowest), exact=True)
    await tile.scroll_into_view_if_needed()
    await page.sees(lowest.party)
    assert await sections(page) == before
    assert (await wish(call, page, lowest))["visible"]
    await page.page.keyboard.press(str(1 + len(others)))
    await page.resize(WIDE)


async def test_who_looks_away_from_the_page_is_sent_sound_only(
    page: CallPage, call: Call, others: list[Participant]
) -> None:
    before = await sections(page)
    for is_hidden in (True, False):
        await page.do(f"""{{
            const hidden = {{ value: {json.dumps(is_hidden)}, configurable: true }};
            Object.defineProperty(document, "hidden", hidden);
            document.dispatchEvent(new Event("visibilitychange"));
        }}""")

        async def are_all(is_hidden: bool = is_hidden) -> bool:  # bound early
            wishes = [await wish(call, page, one) for one in others]
            return all((one["cause"] == "not_visible") is is_hidden for one in wishes)

        await until_told(are_all, f"of no picture it is said that it is not seen: {not is_hidden}")
        if is_hidden:
            assert [(await wish(call, page, one))["current"] for one in others] == [None] * len(others)
        for one in others:
            await page.hears(one.party)
    await page.meets(*(one.party for one in others))
    assert await sections(page) == before


async def test_why_less_comes_is_told_on_the_tile_and_behind_a_mark_where_there_is_no_room(
    page: CallPage, others: list[Participant]
) -> None:
    alice = others[0]
    tile = page.page.get_by_role("article", name=name_of(alice), exact=True)
    sentence, mark = tile.locator(".tile-why"), tile.locator(".tile-mark")
    wanted = {"width": 320, "height": 180}
    sent = {"rid": "q", "temporal": None, "width": 80, "height": 45, "bitrate": 40_000}
    async with unexplained(page):
        await says(page, alice, VIDEO, cause="budget", text=BUDGET, wanted=wanted, sent=sent)
        await expect(sentence).to_have_text(BUDGET)
        await expect(sentence).to_be_visible()
        await expect(mark).to_be_hidden()
        await page.resize(LOW)
        await expect(sentence).to_be_hidden()
        await expect(mark).to_have_accessible_name(BUDGET)
        await mark.click()
        await expect(sentence).to_be_visible()
        assert await page.overflow() == []
        await page.resize(WIDE)
        await says(page, alice, VIDEO, cause="size", text="It fits.", wanted=wanted, sent=sent)
        await expect(sentence).to_be_hidden()
        await expect(mark).to_be_hidden()


async def test_whose_sound_is_not_forwarded_has_a_mark_that_tells_why(
    page: CallPage, others: list[Participant]
) -> None:
    bob = others[1]
    tile = page.page.get_by_role("article", name=name_of(bob), exact=True)
    sentence, mark = tile.locator(".tile-why"), tile.locator(".tile-mark")
    nothing: dict[str, Any] = {"wanted": {"width": 0, "height": 0}, "sent": None}
    async with unexplained(page):
        await says(page, bob, VIDEO, cause="size", text="It fits.", **nothing)
        await says(page, bob, AUDIO, cause="unheard", text=UNHEARD, **nothing)
        await expect(mark).to_have_accessible_name(UNHEARD)
        await expect(sentence).to_be_hidden()
        await mark.click()
        await expect(sentence).to_have_text(UNHEARD)
        await mark.click()
        await expect(sentence).to_be_hidden()
        await says(page, bob, AUDIO, cause="size", text="You get the sound.", **nothing)
        await expect(mark).to_be_hidden()


async def test_the_page_has_words_of_its_own_for_every_cause(page: CallPage) -> None:
    causes = json.dumps(list(Reason))
    told = await page.do(f"""{{
        const {{ whyText }} = await import("/page/sentences.js");
        return {causes}.map((cause) => [cause, whyText({{ cause }})]);
    }}""")
    assert [cause for cause, text in told if not text] == []


async def test_the_panel_tells_what_the_focus_measures_while_somebody_looks(
    page: CallPage, others: list[Participant]
) -> None:
    await page.do("matrixFocus.call.panel.open('Tracks')")
    body = page.page.locator("#panel-body")
    for figure in ("focus sends", "focus estimates", "focus's round trip"):
        await expect(body.get_by_text(figure, exact=True).filter(visible=True)).to_be_visible()
    await expect(body).to_contain_text("320x180")
    await page.do("matrixFocus.call.panel.open('Call')")
    await expect(body.get_by_text("focus estimates", exact=True).filter(visible=True)).to_be_visible()
    await page.do("matrixFocus.call.panel.toggle(false)")
    asked = [
        one["content"]["every_ms"]
        for one in await page.messages()
        if one["type"] == "org.matrix_focus.stats" and one["direction"] == "out"
    ]
    assert asked[-1] == 0
    assert max(asked) > 0
    await page.meets(others[0].party)
