"""What Debian's browsers said to a focus (`tests/vectors/sdp/README.md`), said to it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sfu.negotiation.negotiation import IceRestarted, OfferMade, SendTrackRefused
from sfu.plane import Extension
from sfu.units import Kind
from tests.support.dialogue import DIALOGUES, Dialogue, RecordedPeer, new_focus, of_type
from tests.unit.negotiation.texts import VECTORS, attributes, direction, remote, vector

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sfu.negotiation.negotiation import Negotiation, NegotiationOutput
    from sfu.units import Mid

BROWSERS = ("chromium", "firefox")
Held = dict[str, tuple[list["NegotiationOutput"], dict["Mid", str], set[int]]]
"""By step: outputs, track ids that the client publishes by mid, keys of the tracks that it gets."""


async def held(browser: str, name: str) -> tuple[Held, Negotiation]:
    """A recorded dialogue, all of it."""
    focus = new_focus()
    dialogue = Dialogue(RecordedPeer(VECTORS / browser / name), focus)
    steps: Held = {}
    async for step, outputs in dialogue.hold(DIALOGUES[name]):
        published = {one.mid: one.track_id for one in focus.parameters.receive}
        steps[step.what] = outputs, published, {one.key for one in focus.parameters.send}
    return steps, focus


async def until(browser: str, name: str, what: str) -> Negotiation:
    """The focus after one step of a recorded dialogue."""
    focus = new_focus()
    steps: AsyncIterator[object] = Dialogue(RecordedPeer(VECTORS / browser / name), focus).hold(
        DIALOGUES[name]
    )
    for step in DIALOGUES[name]:
        await anext(steps)
        if step.what == what:
            return focus
    raise KeyError(what)


@pytest.mark.parametrize("browser", BROWSERS)
@pytest.mark.parametrize("name", DIALOGUES)
async def test_every_track_reaches_the_client_and_none_is_refused(browser: str, name: str) -> None:
    steps, focus = await held(browser, name)
    for outputs, _, _ in steps.values():
        assert of_type(outputs, SendTrackRefused) == []
    assert focus.next_timeout() is None
    last = DIALOGUES[name][-1]
    assert {one.key for one in focus.parameters.send} == {one.key for one in last.tracks}  # type: ignore[union-attr]  # it sends


@pytest.mark.parametrize("browser", BROWSERS)
async def test_a_call_is_followed_step_by_step(browser: str) -> None:
    steps, _ = await held(browser, "call")
    published = {what: set(mids) for what, (_, mids, _) in steps.items()}
    sent = {what: keys for what, (_, _, keys) in steps.items()}
    assert published["join"] == published["stream-flips"] == published["stream-flips-back"] == {"0", "1"}
    assert (sent["two-tracks"], sent["track-ends"], sent["section-recycled"]) == ({10, 11}, {10}, {10, 31})
    assert (published["camera-off"], published["camera-on"]) == ({"0"}, {"0", "1"})
    assert (published["share-meets-offer"], published["share-stopped"]) == ({"0", "1", "s1"}, {"0", "1"})
    assert sent["share-meets-offer"] == sent["share-stopped"] == {10, 20, 30, 31}
    assert published["share-again"] == published["ridden-track-ends"] == {"0", "1", "s2"}
    assert published["camera-stopped"] == {"0", "s2"}
    assert sent["rejected-section-recycled"] == {10, 30, 31, 41}
    assert (published["another-camera"], published["another-camera-stopped"]) == (
        {"0", "3", "s2"},
        {"0", "s2"},
    )
    assert published["client-recycles"] == published["after-ice-restart"] == {"0", "4", "s2"}


@pytest.mark.parametrize("browser", BROWSERS)
async def test_a_stream_id_that_flips_leaves_track_ids_alone(browser: str) -> None:
    """7.4 [CAP]: the first offer with a new stream id, the second with the old; track ids never change."""
    steps, _ = await held(browser, "call")
    tracks = [steps[what][1] for what in ("join", "stream-flips", "stream-flips-back")]
    assert tracks[0] == tracks[1] == tracks[2]
    streams = [
        attributes(vector(f"{browser}/call/{name}"), "1", "msid")[0].split()[0]
        for name in (
            "00-join-browser-offer",
            "04-stream-flips-browser-offer",
            "06-stream-flips-back-browser-offer",
        )
    ]
    assert streams[0] == streams[2] != streams[1]


@pytest.mark.parametrize("browser", BROWSERS)
async def test_a_camera_that_comes_back_has_its_three_encodings(browser: str) -> None:
    focus = await until(browser, "call", "camera-on")
    (camera,) = [one for one in focus.parameters.receive if one.mid == "1"]
    assert [one.rid for one in camera.encodings] == ["q", "h", "f"]


def test_firefox_leaves_its_rids_out_while_the_camera_is_off_and_chromium_does_not() -> None:
    rids = {
        browser: attributes(vector(f"{browser}/call/12-camera-off-browser-offer"), "1", "rid")
        for browser in BROWSERS
    }
    assert rids == {"chromium": ["f send", "h send", "q send"], "firefox": []}


@pytest.mark.parametrize("browser", BROWSERS)
async def test_a_share_rides_without_rids(browser: str) -> None:
    """7.4 [CAP]: The client's offer turns our `sendonly` section into `sendrecv`, without rids."""
    offer = vector(f"{browser}/call/18-share-meets-offer-browser-offer")
    assert (direction(offer, "s1"), attributes(offer, "s1", "rid")) == ("sendrecv", [])
    assert attributes(offer, "s1", "msid")
    focus = await until(browser, "call", "share-meets-offer")
    (share,) = [one for one in focus.parameters.receive if one.mid == "s1"]
    assert [one.rid for one in share.encodings] == [""]


async def test_chromium_keeps_the_msid_of_a_share_that_was_stopped() -> None:
    """7.4 [CAP]: A section's `a=msid` stays in later offers after unpublishing: only the direction counts."""
    offer = vector("chromium/call/22-share-stopped-browser-offer")
    assert (direction(offer, "s1"), len(attributes(offer, "s1", "msid"))) == ("recvonly", 1)
    focus = await until("chromium", "call", "share-stopped")
    assert "s1" not in {one.mid for one in focus.parameters.receive}


@pytest.mark.parametrize("browser", BROWSERS)
async def test_glare_is_answered_and_offered_anew(browser: str) -> None:
    steps, _ = await held(browser, "call")
    outputs, _, sent = steps["share-meets-offer"]
    assert len(of_type(outputs, OfferMade)) == 1
    assert 30 in sent


@pytest.mark.parametrize("browser", BROWSERS)
async def test_an_ice_restart_has_the_answer_and_what_follows_under_new_credentials(browser: str) -> None:
    steps, focus = await held(browser, "call")
    restarts = [what for what, (outputs, _, _) in steps.items() if of_type(outputs, IceRestarted)]
    assert restarts == ["ice-restart"]
    offer = remote(vector(f"{browser}/call/38-ice-restart-browser-offer"))
    assert (focus.parameters.remote_ufrag, focus.parameters.remote_password) == (offer.ufrag, offer.password)


@pytest.mark.parametrize("browser", BROWSERS)
async def test_a_camera_off_join_agrees_on_numbers_that_we_chose(browser: str) -> None:
    focus = await until(browser, "camera-off-call", "two-tracks")
    (camera,) = [one for one in focus.parameters.send if one.kind is Kind.VIDEO]
    assert camera.formats[0].key == "VP8"
    assert Extension.MID in camera.extensions
    focus = await until(browser, "camera-off-call", "camera-rides")
    assert {one.mid for one in focus.parameters.receive} == {"0", "s1"}


@pytest.mark.parametrize("browser", BROWSERS)
async def test_a_watcher_has_only_the_data_channel_and_gets_both_kinds(browser: str) -> None:
    _, focus = await held(browser, "watcher-call")
    assert focus.parameters.receive == ()
    assert {one.kind for one in focus.parameters.send} == {Kind.AUDIO, Kind.VIDEO}
