"""The route that streams a recording of media's control to whoever asked for it, until either has enough."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from aiohttp import web

from sfu.errors import CapacityError, LocalError
from sfu.recording.file import ALIVE, MAGIC, End, written
from sfu.recording.recorder import encoded

if TYPE_CHECKING:
    from sfu.runtime.media_recording import MediaRecording, MediaRecordings

ALIVE_S: Final = 1.0
"""A word is sent when nothing has come for this long. Lower: more of them. Higher: a reader that has gone is
noticed later, and its recording goes on for nothing."""
MAX_SECONDS: Final = 24 * 3_600.0
DEFAULT_MB: Final = 100
"""Where nothing else is asked for. Lower: a large call ends its recording within minutes. Higher: one that is
forgotten fills a disk."""
MAX_MB: Final = 10_000
_MB: Final = 1_000_000


class MediaRoute:
    """GET with `seconds`, `max_mb` and `packets` (0 or 1).

    Args:
        recordings: of the runtime.
    """

    def __init__(self, recordings: MediaRecordings) -> None:
        self._recordings = recordings

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Stream one recording (`sfu.recording`)."""
        query = request.query
        seconds = _number(query.get("seconds"), "seconds", MAX_SECONDS)
        max_mb = _number(query.get("max_mb"), "max_mb", MAX_MB)
        packets = query.get("packets", "0")
        if packets not in {"0", "1"}:
            raise web.HTTPBadRequest(text="packets: legal is 0 or 1")
        max_bytes = round((DEFAULT_MB if max_mb is None else max_mb) * _MB)
        try:
            with self._recordings.open(seconds=seconds, has_packets=packets == "1") as recording:
                response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
                with contextlib.suppress(ConnectionError):
                    await response.prepare(request)
                    await _copy(recording, response, max_bytes)
                    await response.write_eof()
                return response
        except CapacityError as error:
            raise web.HTTPTooManyRequests(text=str(error)) from error
        except LocalError as error:
            raise web.HTTPServiceUnavailable(text=str(error)) from error


async def _copy(recording: MediaRecording, response: web.StreamResponse, max_bytes: int) -> None:
    await response.write(MAGIC)
    size = len(MAGIC)
    while (parts := await recording.batch(ALIVE_S)) is not None:
        for part in parts:
            if size < max_bytes:
                # It takes some milliseconds, in which nobody else should wait.
                frame = await asyncio.to_thread(encoded, part)
                size += len(frame)
                await response.write(frame)
        if size >= max_bytes:
            recording.end("max_mb")
        if not parts:
            await response.write(ALIVE)
    await response.write(written(End(recording.ended or "")))


def _number(text: str | None, name: str, highest: float) -> float | None:
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= highest:
        raise web.HTTPBadRequest(text=f"{name}: legal is a number from 0 to {highest:g}")
    return number
