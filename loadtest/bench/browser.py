"""`loadtest bench browser`: how long people with a real Chromium wait, and what they see meanwhile.

Two or three tabs in one call: a publisher whose picture flashes while its sound beeps, and viewers. All times
are of the wall clock, which the tabs share with each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import statistics
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from loadtest.bench.call import PUBLISHED, BenchCall
from loadtest.bench.tab import NothingSeenError, Size, Tab, chromium, session_of
from loadtest.bench.timing import PAIRING_MS, longest_gap, offsets
from loadtest.grounds import grounds
from sfu.figures import Figures, highest, percentile

if TYPE_CHECKING:
    from pathlib import Path

    from loadtest.stage import Stage

SMALL, LARGE = Size(320, 180, 0), Size(1280, 720, 0)
SETTLE_S: Final = 2.5
"""Before each change: the picture flows as it will."""
UP_PATIENCE_S: Final = 25.0
"""An encoder that starts needs a while before it dares to send its largest layer."""
AFTER_SWITCH_S: Final = 1.5
"""For so long after a switch a freeze is its doing."""
SWITCHES: Final = 10
SYNC_S: Final = 12.0
"""For so long sounds and flashes are compared, once a second."""
IN_FLIGHT_MS: Final = 150.0
"""What has arrived before a network is lost is shown within this."""


@dataclass(frozen=True, slots=True)
class BrowserBenchSettings:
    """How often each is measured, and with what."""

    rounds: int = 10
    chromium: str = "/usr/bin/chromium"
    logs: Path | None = None


async def bench_browser(settings: BrowserBenchSettings, stage: Stage) -> Figures:
    """Measure.

    Raises:
        BrowserMissingError: there is no browser.
        HomeserverError: the homeserver could not be installed or started.
        FocusProcessError: the focus could not be started.
        NothingSeenError: a picture or sound never came: the figures would not be valid.
    """
    async with grounds(stage, settings.logs) as ground, chromium(settings.chromium) as browser:
        async with BenchCall.held(ground, browser) as call:
            raw = {
                **await _joins(call, settings.rounds, stage),
                **await _late_joins(call, settings.rounds, stage),
                **await _switches_up(call, settings.rounds, stage),
                **await _switches_up_paused(call, settings.rounds, stage),
                **await _lip_sync(call, stage),
                **await _reloads(call, settings.rounds, stage),
                **await _rebinds(call, settings.rounds, stage),
                **await _ice_restarts(call, settings.rounds, stage),
            }
        plane = (await ground.focus.ask_status()).get("plane")
        version = browser.version
    return Figures(
        {
            "first_frame_ms_p50": percentile(raw["first_frame_ms"], 50),
            "first_audio_ms_p50": percentile(raw["first_audio_ms"], 50),
            "late_joiner_ms_p50": percentile(raw["late_joiner_ms"], 50),
            "switch_up_ms_p50": percentile(raw["switch_up_ms"], 50),
            "switch_up_paused_ms_p50": percentile(raw["switch_up_paused_ms"], 50),
            "switch_freeze_ms_max": highest([*raw["switch_gap_ms"], *raw["switch_paused_gap_ms"]]),
            "reload_back_ms": percentile(raw["reload_ms"], 50),
            "rebind_back_ms": percentile(raw["rebind_ms"], 50),
            "restart_ice_back_ms": percentile(raw["restart_ice_ms"], 50),
            "av_sync_ms_p95": percentile(raw["av_sync_ms"], 95),
        },
        {name: [round(value, 1) for value in values] for name, values in raw.items()},
        settings.rounds,
        None if plane is None else str(plane),
        {
            "browser": f"Chromium {version}",
            "published": f"{PUBLISHED.width}x{PUBLISHED.height}@{PUBLISHED.fps}",
        },
    )


Raw = dict[str, list[float]]


async def _joins(call: BenchCall, rounds: int, stage: Stage) -> Raw:
    """From the invite on its way to the first picture, and to the first sound."""
    frames, sounds = [], []
    async with call.viewer() as viewer:
        for number in range(rounds + 1):
            stage.say(f"joining, {number} of {rounds}")
            await call.enter(viewer, SMALL)
            invited = float(await viewer.do("return participant.marks.invite"))
            frame = await viewer.first_frame(call.shown, 0)
            sound = await viewer.first_sound(call.shown)
            await viewer.leave()
            # The first time the browser reads the client's code, and the focus has its first guest.
            if number:
                frames.append(frame - invited)
                sounds.append(sound - invited)
    return {"first_frame_ms": frames, "first_audio_ms": sounds}


async def _late_joins(call: BenchCall, rounds: int, stage: Stage) -> Raw:
    """From the wish for a large picture, which flows to somebody else already, to the first one."""
    times = []
    async with call.watching(LARGE) as other, call.viewer() as viewer:
        await other.first_frame(call.shown, 0, LARGE.height)
        for number in range(rounds):
            stage.say(f"joining late, {number + 1} of {rounds}")
            await asyncio.sleep(SETTLE_S)
            await call.enter(viewer, LARGE)
            frame = await viewer.first_frame(call.shown, 0)
            times.append(frame - float(await viewer.do("return participant.marks.subscription")))
            await viewer.leave()
    return {"late_joiner_ms": times}


async def _switches_up(call: BenchCall, rounds: int, stage: Stage) -> Raw:
    """From a larger tile to a larger picture, which somebody else gets already."""
    async with call.watching(LARGE) as other, call.watching(SMALL) as viewer:
        await other.first_frame(call.shown, 0, LARGE.height)
        times, gaps = [], []
        for number in range(rounds):
            stage.say(f"switching, {number + 1} of {rounds}")
            await asyncio.sleep(SETTLE_S)
            took, gap = await _switch_up(call, viewer)
            times.append(took)
            gaps += gap
        return {"switch_up_ms": times, "switch_gap_ms": gaps}


async def _switches_up_paused(call: BenchCall, rounds: int, stage: Stage) -> Raw:
    """Likewise, but the publisher must begin to send it."""
    async with call.watching(SMALL) as viewer:
        times, gaps = [], []
        for number in range(rounds):
            stage.say(f"switching to what is not sent, {number + 1} of {rounds}")
            await call.until_largest_is(sent=False)
            took, gap = await _switch_up(call, viewer)
            times.append(took)
            gaps += gap
        return {"switch_up_paused_ms": times, "switch_paused_gap_ms": gaps}


async def _switch_up(call: BenchCall, viewer: Tab) -> tuple[float, list[float]]:
    """Switch up and down; how long up took, and the longest time between two frames around each switch."""
    up_at = await _show(viewer, LARGE)
    large = await viewer.first_frame(call.shown, up_at, LARGE.height)
    await asyncio.sleep(AFTER_SWITCH_S)
    gaps = [longest_gap(await viewer.frames(call.shown, up_at - 200), until=large + 1000 * AFTER_SWITCH_S)]
    down_at = await _show(viewer, SMALL)
    await asyncio.sleep(AFTER_SWITCH_S)
    gaps.append(longest_gap(await viewer.frames(call.shown, down_at - 200), until=None))
    return large - up_at, gaps


async def _show(viewer: Tab, size: Size) -> float:
    wanted = json.dumps({"width": size.width, "height": size.height})
    return float(await viewer.do(f"participant.show({wanted}); return participant.marks.shown"))


async def _lip_sync(call: BenchCall, stage: Stage) -> Raw:
    """How far flashes and beeps are apart after ten switches, less what they are apart without a focus."""
    async with call.watching(SMALL) as viewer:
        for number, size in zip(range(SWITCHES), itertools.cycle((LARGE, SMALL)), strict=False):
            stage.say(f"lip sync: switch {number + 1} of {SWITCHES}")
            since = await _show(viewer, size)
            await viewer.first_frame(call.shown, since, size.height)
            await asyncio.sleep(1.0)
        stage.say("lip sync: comparing")
        its = f"const its = participant.of('{call.shown}');"
        since = float(await viewer.do(f"{its} its.watch.looksForFlashes = true; return bench.wall()"))
        await asyncio.sleep(SYNC_S)
        found = await viewer.do(
            f"{its} its.watch.looksForFlashes = false;"
            "return {flashes: its.watch.flashes, beeps: its.ear.beeps}"
        )
        through = offsets(found["flashes"], [beep for beep in found["beeps"] if beep > since - PAIRING_MS])
    stage.say("lip sync: the same without a focus")
    async with call.viewer() as alone:
        # Both have played for as long when they are compared: playout settles in the first seconds.
        found = await alone.do(
            f"return await bench.direct({json.dumps(asdict(PUBLISHED))}, {SWITCHES}, {SYNC_S})"
        )
    directly = offsets(found["flashes"], found["beeps"])
    if len(through) < 5 or len(directly) < 5:
        raise NothingSeenError(f"too few flashes with beeps: {len(through)} and {len(directly)}")
    own = statistics.median(directly)
    return {
        "av_sync_ms": [abs(offset - own) for offset in through],
        "av_offset_ms": through,
        "av_offset_direct_ms": directly,
    }


async def _reloads(call: BenchCall, rounds: int, stage: Stage) -> Raw:
    """From the reload of the focus's own page to a picture in it."""
    user = await call.ground.register("reloader")
    await asyncio.to_thread(user.post, f"/_matrix/client/v3/join/{quote(call.room_id)}")
    times = []
    context = await call.browser.new_context(permissions=["camera", "microphone"])
    try:
        await context.add_init_script(_FIRST_PICTURE)
        page = await context.new_page()
        await page.goto(_address(call, session_of(user)))
        reloader = Tab(page, user)
        await _first_picture(reloader)
        for number in range(rounds):
            stage.say(f"reloading, {number + 1} of {rounds}")
            await asyncio.sleep(SETTLE_S)
            began = time.time() * 1_000
            await page.reload()
            times.append(await _first_picture(reloader) - began)
    finally:
        await context.close()
    return {"reload_ms": times}


async def _rebinds(call: BenchCall, rounds: int, stage: Stage) -> Raw:
    """From a new port of the client, as a NAT gives it, to the next picture."""
    times = []
    async with call.relay() as relay, call.watching(SMALL, relay.port) as viewer:
        for number in range(rounds):
            stage.say(f"changing the port, {number + 1} of {rounds}")
            await asyncio.sleep(SETTLE_S)
            at = time.time() * 1_000
            await relay.rebind()
            times.append(await viewer.first_frame(call.shown, at + IN_FLIGHT_MS) - at)
    return {"rebind_ms": times}


async def _ice_restarts(call: BenchCall, rounds: int, stage: Stage) -> Raw:
    """From a change of network, which the browser tells the client of, to the next picture."""
    times = []
    async with contextlib.AsyncExitStack() as stack:
        relay = await stack.enter_async_context(call.relay())
        viewer = await stack.enter_async_context(call.watching(SMALL, relay.port))
        for number in range(rounds):
            stage.say(f"changing the network, {number + 1} of {rounds}")
            await asyncio.sleep(SETTLE_S)
            other = await stack.enter_async_context(call.relay())
            at = time.time() * 1_000
            relay.is_cut = True
            await viewer.do(f"participant.relayPort = {other.port}; await participant.client.restartIce()")
            times.append(await viewer.first_frame(call.shown, at + IN_FLIGHT_MS) - at)
            relay = other
    return {"restart_ice_ms": times}


_FIRST_PICTURE: Final = """
window.firstPictureAt = null;
document.addEventListener("loadeddata", ({ target }) => {
  // Others' pictures have sections; our own preview is a camera or a canvas.
  const isRemote = window.matrixFocus?.client &&
    [...window.matrixFocus.client.streams.values()].some((stream) =>
      stream.media.getVideoTracks().some((track) => target.srcObject?.getTracks().includes(track)));
  if (isRemote) window.firstPictureAt ??= performance.timeOrigin + performance.now();
}, true);
"""


async def _first_picture(reloader: Tab) -> float:
    deadline = time.monotonic() + UP_PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(Exception):  # the document is being replaced
            at = await reloader.page.evaluate("window.firstPictureAt")
            if at is not None:
                return float(at)
        await asyncio.sleep(0.05)
    raise NothingSeenError(f"the page showed no picture for {UP_PATIENCE_S:g} s after a reload")


def _address(call: BenchCall, session: dict[str, str]) -> str:
    options = {
        "homeserver": call.ground.server.base_url,
        "room": call.room_id,
        "focus": {"user_id": call.ground.device.user_id, "device_id": call.ground.device.device_id},
        "session": session,
        "autojoin": True,
        "pattern": True,
        "width": 320,
        "height": 180,
    }
    return f"{call.ground.focus.page_url}#demo={quote(json.dumps(options))}"
