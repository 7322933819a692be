"""The route by which an operator takes a focus away by and by, or lets it stay after all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from sfu.errors import ParseError
from signalling.events.fields import as_list, as_object, flag, identifier, number
from signalling.events.ours import MAX_FOCI
from signalling.events.room_state import FocusDevice
from signalling.focus.turn import DrainAsked, DrainCancelled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from signalling.focus.turn import FocusInput

MAX_DEADLINE_S: Final = 24 * 3_600
_JSON: Final = "application/json"


class DrainRoute:
    """POST `{"deadline_s", "foci"?}` or `{"cancel": true}`; answers with the status afterwards.

    Args:
        tell: gives the engine an input and waits for its turn; False where there is no engine yet.
        status: what `focus status` shows.
    """

    def __init__(
        self, tell: Callable[[FocusInput], Awaitable[bool]], status: Callable[[], dict[str, Any]]
    ) -> None:
        self._tell = tell
        self._status = status

    async def handle(self, request: web.Request) -> web.Response:
        """Do it."""
        if request.content_type != _JSON:
            # A web page that somebody at this machine looks at can't send this type without asking first.
            raise web.HTTPUnsupportedMediaType(text=f"legal is {_JSON}")
        try:
            given = _read(await request.json())
        except ParseError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        except (ValueError, RecursionError) as error:
            raise web.HTTPBadRequest(text="not JSON") from error
        if not await self._tell(given):
            raise web.HTTPServiceUnavailable(text="the focus has not logged in yet")
        return web.json_response(self._status())


def _read(value: object) -> DrainAsked | DrainCancelled:
    source = as_object(value, "body")
    if flag(source, "cancel"):
        return DrainCancelled()
    deadline_s = number(source, "deadline_s", low=0, high=MAX_DEADLINE_S)
    if deadline_s is None:
        raise ParseError("missing", "deadline_s")
    foci = as_list(source.get("foci", []), "foci", MAX_FOCI)
    return DrainAsked(deadline_s, tuple(_read_focus(focus) for focus in foci))


def _read_focus(value: object) -> FocusDevice:
    source = as_object(value, "focus")
    return FocusDevice(identifier(source, "user_id"), identifier(source, "device_id"))
