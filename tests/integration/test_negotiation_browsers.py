"""Debian's browsers take every description that a focus makes, and agree with it on what flows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from sfu.negotiation.negotiation import OfferMade
from sfu.units import Kind
from tests.support.dialogue import (
    A_HUNDRED,
    CALL,
    CAMERA,
    DIALOGUES,
    NOW,
    ClientOffers,
    Dialogue,
    FocusSends,
    new_focus,
    of_type,
    track,
)
from tests.support.live_browser import BROWSERS, LivePeer, live_browser, page_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sfu.negotiation.parameters import LegParameters

    OpenPage = Callable[[], Awaitable[LivePeer]]

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

JOIN = ClientOffers("join", "join('audio', 'video')")
JOIN_CAMERA_OFF = ClientOffers("join", "join('audio')")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=BROWSERS)
async def open_page(request: pytest.FixtureRequest) -> AsyncIterator[OpenPage]:
    """A browser, started once for the module; each call opens a page."""
    async with page_url() as url, live_browser(request.param) as browser:

        async def opened() -> LivePeer:
            return LivePeer(await browser.open(url))

        yield opened


def flows(parameters: LegParameters) -> tuple[set[str], set[str]]:
    """Mids on which the client sends, and on which it receives, as the focus has it."""
    return {one.mid for one in parameters.receive}, {one.mid for one in parameters.send}


async def flows_in(peer: LivePeer) -> tuple[set[str], set[str]]:
    """The same, as the browser has it."""
    directions = (await peer.directions()).items()
    return (
        {mid for mid, direction in directions if direction in {"sendrecv", "sendonly"}},
        {mid for mid, direction in directions if direction in {"sendrecv", "recvonly"}},
    )


@pytest.mark.parametrize("name", DIALOGUES)
async def test_a_browser_takes_everything_and_agrees_on_what_flows(open_page: OpenPage, name: str) -> None:
    peer, focus = await open_page(), new_focus()
    async for step, _ in Dialogue(peer, focus).hold(DIALOGUES[name]):
        assert await flows_in(peer) == flows(focus.parameters), step.what


async def test_a_camera_keeps_its_three_encodings_whatever_is_negotiated_around_it(
    open_page: OpenPage,
) -> None:
    peer, focus = await open_page(), new_focus()
    async for step, _ in Dialogue(peer, focus).hold(CALL[:13]):
        assert (await peer.rids())["1"] == ["f", "h", "q"], step.what
        published = [len(one.encodings) for one in focus.parameters.receive if one.mid == "1"]
        assert published in ([3], []), step.what


async def test_a_camera_turned_on_after_joining_has_its_three_encodings(open_page: OpenPage) -> None:
    peer, focus = await open_page(), new_focus()
    steps = (
        JOIN_CAMERA_OFF,
        FocusSends("tracks", (CAMERA, track(21, Kind.VIDEO))),
        ClientOffers("camera", "openCamera()"),
    )
    async for _ in Dialogue(peer, focus).hold(steps):
        pass
    (camera,) = [one for one in focus.parameters.receive if one.kind is Kind.VIDEO]
    assert [one.rid for one in camera.encodings] == ["q", "h", "f"]
    assert (await peer.rids())[camera.mid] == ["f", "h", "q"]


async def test_a_hundred_sections_are_taken(open_page: OpenPage) -> None:
    peer, focus = await open_page(), new_focus()
    async for _, outputs in Dialogue(peer, focus).hold((JOIN, FocusSends("everybody", A_HUNDRED))):
        for offer in of_type(outputs, OfferMade):
            assert len(offer.sdp) <= 64 << 10
    assert len(focus.parameters.send) == 100
    assert len((await flows_in(peer))[1]) == 100


async def test_codecs_that_the_operator_adds_are_taken_in_this_order(open_page: OpenPage) -> None:
    names = ("AV1", "VP9", "VP8", "H264", "opus")
    peer, focus = await open_page(), new_focus(names)
    keys = ("AV1/0", "VP9/0", "VP8")
    async for _ in Dialogue(peer, focus).hold((JOIN, FocusSends("tracks", (track(1, Kind.VIDEO, keys),)))):
        pass
    (video,) = [one for one in focus.parameters.receive if one.kind is Kind.VIDEO]
    assert [form.codec for form in video.formats][:3] == ["AV1", "VP9", "VP8"]
    (section,) = focus.parameters.send
    assert [form.key for form in section.formats] == list(keys)
    assert focus.handle_timeout(NOW) == []
