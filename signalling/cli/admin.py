"""Asking a running focus: its admin API, from the command line."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from sfu.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from http.client import HTTPResponse

UrlOption = Annotated[
    str, typer.Option("--url", envvar="FOCUS_ADMIN_URL", help="Private listener of the focus.")
]
"""Which focus a command asks."""
DEFAULT_URL: Final = "http://127.0.0.1:9190"
"""That of one with the default configuration, on the same machine."""

SILENCE_S: Final = 15.0
"""A focus whose stream says nothing for this long is gone: it says every other second that it is there."""

TIMEOUT_S: Final = 5.0
"""A focus that does not answer in this time is as good as gone to whoever waits at a terminal."""


def ask(url: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """GET a JSON object of the private listener, or POST one and get another.

    Args:
        url: of the listener, such as http://127.0.0.1:9190.
        path: from its root on.
        body: what to post; None: nothing.

    Raises:
        TransportError: nothing answers there, or something that is no focus.
    """
    if not url.startswith(("http://", "https://")):
        raise TransportError(f"{url}: must begin with http:// or https://")
    # Never through a proxy: the listener is private.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    data = None if body is None else json.dumps(body).encode()
    headers = {} if body is None else {"Content-Type": "application/json"}
    request = urllib.request.Request(url.rstrip("/") + path, data, headers)  # noqa: S310  # checked above
    try:
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            parsed = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            raise TransportError(f"{url}: answers with status {error.code}: is that a focus?") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise TransportError(f"{url}: no focus answers there ({reason})") from error
    if not isinstance(parsed, dict):
        raise TransportError(f"{url}: answers with something else: is that a focus?")
    return parsed


@contextmanager
def streaming(url: str) -> Iterator[HTTPResponse]:
    """GET what a focus tells for as long as it is listened to.

    Raises:
        TransportError: nothing answers there, or the focus refuses.
    """
    # Never through a proxy: the listener is private.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        answer = opener.open(url, timeout=SILENCE_S)
    except urllib.error.HTTPError as error:
        with error:
            raise TransportError(
                f"the focus refuses: {error.read(1_000).decode(errors='replace')}"
            ) from error
    except (OSError, ValueError) as error:
        raise TransportError(f"no focus answers ({getattr(error, 'reason', error)})") from error
    with answer:
        yield answer
