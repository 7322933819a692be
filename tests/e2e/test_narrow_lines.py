"""Chromium behind a line of the kernel that carries less than a call would take.

In a network of its own: the focus, the homeserver and one browser on this side, another browser on the other
side of a line with a `tbf` on either end. Media goes over the line; pages and Matrix do not, so that a test's
own questions are not in the way. About two minutes on a quiet machine.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from loadtest.bench.timing import longest_gap
from loadtest.client.scene import AUDIO, VIDEO
from tests.e2e.browsers import FRAME_RATE, HEIGHT, WIDTH, chromium
from tests.e2e.page_driver import page_browser
from tests.e2e.venue import open_venue
from tests.e2e.watching import MAX_STANDSTILL_S, until_told
from tests.support.live_browser import CHROMIUM
from tests.support.other_network import NEAR, Direction, other_network

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from loadtest.client.scene import Party
    from loadtest.homeserver.server import Homeserver
    from tests.e2e.browsers import Chromium, Tab
    from tests.e2e.page_driver import CallPage, PageBrowser
    from tests.e2e.venue import Venue
    from tests.support.other_network import OtherNetwork

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.own_network,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(240),
]

SCRIPT: Final = Path(__file__).with_name("line_checks.js").read_text(encoding="utf-8")
ENCODINGS: Final = [
    {"rid": "f", "scaleResolutionDownBy": 1, "maxBitrate": 1_200_000},
    {"rid": "h", "scaleResolutionDownBy": 2, "maxBitrate": 400_000},
    {"rid": "q", "scaleResolutionDownBy": 4, "maxBitrate": 100_000},
]
"""The highest does not fit a line of 1 Mbit/s, and that in the middle none of 300 kbit/s."""
CAMERA: Final = json.dumps({"width": WIDTH, "height": HEIGHT, "frameRate": FRAME_RATE})
QUEUE_S: Final = 0.5
"""Of a line, when it is full: as of routers that people have at home."""
PATIENCE_S: Final = 60.0
HOLD_S: Final = 5.0
"""For so long it is watched that what was reached stays. Longer than a step down takes."""
MAX_TRIED: Final = 0.3
"""The part of that in which a step may be shown that is taken back."""
UPLINK_S: Final = 15.0
MAX_LOSS: Final = 0.01
"""Of sound, where nothing changes."""
MAX_LOST_IN_A_STEP: Final = 30
"""Packets of sound that a line may throw away before anybody knows that it is narrower: 0.6 s."""
NARROW_BPS: Final = 300_000
UPLINK_BPS: Final = 600_000
CARRIES: Final = re.compile(r"your connection carries ([\d,]+) kbit/s")

WHY: Final = """{
    for (const [id, stream] of matrixFocus.client.streams) {
        if (stream.userId !== OWNER) continue;
        const track = [...stream.tracks.values()].find(({ kind }) => kind === "video");
        const said = matrixFocus.call.tiles.all.get(id)?.element.querySelector(".tile-why:not([hidden])");
        return { ...track?.why, tile: said?.textContent ?? "" };
    }
    return {};
}"""
WATCH: Final = """{
    const tile = [...matrixFocus.call.tiles.all.values()].find((one) => !one.isOwn);
    window.shown = lines.watch(tile.video);
}"""


@dataclass(frozen=True, slots=True)
class Step:
    """A line, and the lines of the picture that fits."""

    rate_bps: int | None
    height: int


@pytest.fixture(scope="module")
def network() -> Iterator[OtherNetwork]:
    with other_network() as network:
        yield network


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def venue(
    homeserver: Homeserver, network: OtherNetwork, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Venue]:
    folder = tmp_path_factory.mktemp("focus")
    async with open_venue(homeserver, folder, media={"host": NEAR}) as venue:
        yield venue


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def near() -> AsyncIterator[Chromium]:
    """Chromium on the focus's side."""
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def far(
    venue: Venue, network: OtherNetwork, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[PageBrowser]:
    """Chromium on the other side, with the page of the focus."""
    program = network.program(CHROMIUM, tmp_path_factory.mktemp("far"))
    homeserver = urlsplit(venue.homeserver.base_url).port
    assert homeserver is not None
    async with (
        network.reaches(venue.focus.web_port, homeserver),
        page_browser(venue.focus.page_url, program) as browser,
    ):
        yield browser


@pytest.fixture(autouse=True)
def _wide(network: OtherNetwork) -> None:
    """Every test begins on a line that carries what comes."""
    for direction in Direction:
        network.unlimit(direction)


def narrow(network: OtherNetwork, direction: Direction, rate_bps: int | None) -> None:
    if rate_bps is None:
        network.unlimit(direction)
    else:
        network.limit(direction, rate_bps, queue_bytes=round(rate_bps / 8 * QUEUE_S))


async def publish(tab: Tab) -> None:
    """Join with a camera that fills its encodings, and the sound of a device."""
    await tab.page.evaluate(SCRIPT)
    await tab.join(f"""{{
        stream: navigator.mediaDevices.getUserMedia({{ audio: true }}).then((stream) => {{
            stream.addTrack(lines.camera({CAMERA}));
            return stream;
        }}),
        videoEncodings: {json.dumps(ENCODINGS)},
    }}""")


async def enter(page: CallPage, room_id: str, **more: Any) -> None:  # noqa: ANN401  # JSON
    await page.open_demo(room_id, autojoin=True, name="Gwen", pattern=True, **more)
    await page.is_in()
    await page.page.evaluate(SCRIPT)


async def shows(page: CallPage, owner: Party, height: int) -> None:
    """Wait until somebody's picture has this many lines."""

    async def has() -> bool:
        return bool((await page.received(owner, VIDEO)).get("height") == height)

    try:
        await until_told(has, f"{height} lines", PATIENCE_S)
    except AssertionError as error:
        raise AssertionError(f"{error}: {await why(page, owner)}") from None


async def why(page: CallPage, owner: Party) -> dict[str, Any]:
    """What the page was told of somebody's picture, and tells."""
    return dict(await page.do(WHY.replace("OWNER", json.dumps(owner.user_id))))


async def is_told_of_its_line(page: CallPage, owner: Party, rate_bps: int) -> None:
    """Wait until a tile says what the connection carries, which is not far from what it does."""
    told: dict[str, Any] = {}

    async def is_told() -> bool:
        told.clear()
        told.update(await why(page, owner))
        carries = CARRIES.search(told["tile"])
        if told["cause"] != "budget" or carries is None:
            return False
        return 0.4 * rate_bps < 1_000 * int(carries[1].replace(",", "")) < 1.2 * rate_bps

    try:
        await until_told(is_told, "the tile tells of its line", PATIENCE_S)
    except AssertionError as error:
        raise AssertionError(f"{error}: {told}") from None


async def heard(page: CallPage, owner: Party) -> tuple[int, int]:
    """Packets of somebody's sound that came, and that did not."""
    row = await page.received(owner, AUDIO)
    return int(row["packets"]), int(row["lost"])


async def pictures(page: CallPage, since: int = 0) -> list[tuple[float, int]]:
    """When pictures were shown, in milliseconds, and their lines; from the so many-th on."""
    return [(1_000 * at, lines) for at, lines in await page.do(f"shown.slice({since})")]


async def holds(page: CallPage, owner: Party, height: int) -> None:
    """For a while pictures are no higher than fits, but where a step is tried; no sound is lost."""
    packets, lost = await heard(page, owner)
    count = len(await pictures(page))
    await asyncio.sleep(HOLD_S)
    shown = await pictures(page, count)
    more_packets, more_lost = await heard(page, owner)
    assert sum(lines > height for _, lines in shown) <= MAX_TRIED * len(shown)
    assert longest_gap(shown) < 1_000 * MAX_STANDSTILL_S
    assert len(shown) > FRAME_RATE
    assert more_packets - packets > 25 * HOLD_S
    assert more_lost - lost <= MAX_LOSS * (more_packets - packets)


async def test_a_picture_follows_its_line_down_and_up_and_the_tile_says_why(
    venue: Venue, network: OtherNetwork, near: Chromium, far: PageBrowser
) -> None:
    """The first step is the control: on a line that carries what comes nothing is withheld."""
    async with venue.call() as call, near.tabs(call, "erin") as (erin,), far.page() as page:
        await publish(erin)
        await enter(page, call.room_id)
        await page.meets(erin.party)
        await page.do(WATCH)
        for step in (Step(None, 360), Step(1_000_000, 180), Step(NARROW_BPS, 90), Step(None, 360)):
            count, (_, lost_before) = len(await pictures(page)), await heard(page, erin.party)
            began_at = time.monotonic()
            narrow(network, Direction.THERE, step.rate_bps)
            await shows(page, erin.party, step.height)
            took_s = time.monotonic() - began_at
            if step.rate_bps is not None:
                await is_told_of_its_line(page, erin.party, step.rate_bps)
            lost = (await heard(page, erin.party))[1] - lost_before
            await holds(page, erin.party, step.height)
            gap_ms = longest_gap(await pictures(page, count))
            print(f"{step}: after {took_s:.1f} s, {lost} of sound lost, stood for {gap_ms:.0f} ms")  # noqa: T201  # shown by -rP
            assert lost <= MAX_LOST_IN_A_STEP
            assert gap_ms < 1_000 * MAX_STANDSTILL_S
            if step.rate_bps is None:
                assert (await why(page, erin.party))["tile"] == ""


async def test_who_comes_by_a_narrow_line_sees_and_hears_at_once(
    venue: Venue, network: OtherNetwork, near: Chromium, far: PageBrowser
) -> None:
    narrow(network, Direction.THERE, NARROW_BPS)
    async with venue.call() as call, near.tabs(call, "erin") as (erin,), far.page() as page:
        await publish(erin)
        await enter(page, call.room_id)
        await page.meets(erin.party)
        await page.do(WATCH)
        await is_told_of_its_line(page, erin.party, NARROW_BPS)
        await shows(page, erin.party, 90)
        print("heard and lost:", await heard(page, erin.party))  # noqa: T201  # shown by -rP
        await holds(page, erin.party, 90)


async def test_who_sends_by_a_narrow_line_is_heard_and_still_seen(
    venue: Venue, network: OtherNetwork, near: Chromium, far: PageBrowser
) -> None:
    """Chromium learns of its line from our feedback: it sends less, and sound first.

    The control is what it sends when the line is as wide as it likes.
    """
    narrow(network, Direction.BACK, UPLINK_BPS)
    async with venue.call() as call, near.tabs(call, "erin") as (erin,), far.page() as page:
        await erin.join()
        await erin.do(f"person.show({HEIGHT})")
        await enter(page, call.room_id)
        await page.do(f'matrixFocus.client.replaceTrack("video", lines.camera({CAMERA}))')
        gwen = await page.party()
        await erin.sees(gwen)
        await erin.hears(gwen)
        before = await erin.received(gwen, AUDIO)
        await asyncio.sleep(UPLINK_S)
        after = await erin.received(gwen, AUDIO)
        lost, came = after["lost"] - before["lost"], after["packets"] - before["packets"]
        sent_bps = await sends(page)
        print(f"{lost} of {lost + came} lost, {sent_bps:.0f} bit/s sent")  # noqa: T201  # shown by -rP
        assert came > 25 * UPLINK_S
        assert lost <= MAX_LOSS * (lost + came)
        await erin.sees(gwen)
        assert sent_bps < UPLINK_BPS
        network.unlimit(Direction.BACK)

        async def sends_more() -> bool:
            return await sends(page) > UPLINK_BPS

        await until_told(sends_more, "on a wide line it sends more", PATIENCE_S)


async def sends(page: CallPage) -> float:
    """What the page sends, in bits a second."""
    await asyncio.sleep(1)
    await page.do("matrixFocus.stats.sample()")
    return float(await page.do("matrixFocus.stats.connection.sentBps"))
