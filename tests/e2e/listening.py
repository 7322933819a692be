"""All signalling of a focus in a test: recorded by the focus itself, held to the schemas of the protocol."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from signalling.web.paths import TRACE
from tests.support.schemas import SchemaCheck, check_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

_AGAIN_S: Final = 0.2
_PATIENCE_S: Final = 30.0
_LAST_WORDS_S: Final = 2.0
"""What was said before the end arrives in this time."""


class Listener:
    """Reads what a focus records of everybody, in a thread of its own; a focus that is started again, too."""

    def __init__(self, admin_url: str) -> None:
        self._url = f"{admin_url}{TRACE}"
        self._lines: deque[str] = deque()
        self._hears = threading.Event()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="listener", daemon=True)

    def start(self) -> None:
        """Listen; return when the focus records."""
        self._thread.start()
        assert self._hears.wait(_PATIENCE_S), "the focus records nothing"

    def stop(self) -> list[dict[str, Any]]:
        """What was heard: lines of recordings, without their headers and ends."""
        self._is_over.set()
        self._thread.join(_PATIENCE_S)
        read = (json.loads(line) for line in self._lines)
        return [one for one in read if "via" in one]

    def _listen(self) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while not self._is_over.is_set():
            with contextlib.suppress(OSError), opener.open(self._url, timeout=_PATIENCE_S) as answer:
                self._copy(answer)
            self._is_over.wait(_AGAIN_S)

    def _copy(self, answer: Any) -> None:  # noqa: ANN401  # an HTTPResponse
        until: float | None = None
        for raw in answer:
            line = raw.decode().strip()
            if line:
                self._lines.append(line)
                self._hears.set()
            if self._is_over.is_set():
                until = until or time.monotonic() + _LAST_WORDS_S
                if not line or time.monotonic() > until:
                    return


@contextlib.contextmanager
def held_to_schemas(admin_url: str) -> Iterator[None]:
    """What a focus says and takes while inside must be what `docs/protocol` says.

    Raises:
        AssertionError: something did not.
    """
    listener = Listener(admin_url)
    listener.start()
    yield
    check: SchemaCheck = check_lines(listener.stop())
    assert check.faults == [], check.faults
