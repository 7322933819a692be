"""The route that streams a recording to whoever asked for it, until either has enough."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from aiohttp import web

from sfu.errors import CapacityError, LocalError
from signalling.trace.subject import Subject

if TYPE_CHECKING:
    from signalling.trace.recordings import Recordings

ALIVE_S: Final = 0.5
"""An empty line is sent when nothing has happened for this long. Lower: more of them. Higher: a reader that
has gone is noticed later, and its recording goes on for nothing."""
MAX_SECONDS: Final = 24 * 3_600.0


class TraceRoute:
    """GET with `user`, `device`, `call` and `seconds`; without a user it is everybody's signalling.

    Args:
        recordings: of the focus.
    """

    def __init__(self, recordings: Recordings) -> None:
        self._recordings = recordings

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Stream one recording as JSON lines."""
        try:
            seconds = _seconds(request.query.get("seconds"))
        except ValueError:
            raise web.HTTPBadRequest(text=f"seconds: legal is a number from 0 to {MAX_SECONDS:g}") from None
        subject = Subject(*(request.query.get(name) for name in ("user", "device", "call")))
        if subject.is_everybody and (subject.device_id or subject.conf_id):
            raise web.HTTPBadRequest(text="a device or a call is of a user")
        try:
            with self._recordings.open(subject, seconds) as recording:
                response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
                with contextlib.suppress(ConnectionError):
                    await response.prepare(request)
                    while (text := await recording.batch(ALIVE_S)) is not None:
                        await response.write((text or "\n").encode())
                    await response.write_eof()
                return response
        except CapacityError as error:
            raise web.HTTPTooManyRequests(text=str(error)) from error
        except LocalError as error:
            raise web.HTTPServiceUnavailable(text=str(error)) from error


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    seconds = float(text)
    if not 0 <= seconds <= MAX_SECONDS:
        raise ValueError(text)
    return seconds
