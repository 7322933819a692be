"""Gets ready what every throw-away homeserver needs: `python -m loadtest.homeserver.prepare`.

In a process of its own, because installing takes a while and must end at once when its caller wants to.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

from loadtest.homeserver.install import HomeserverError, install
from loadtest.homeserver.server import ensure_template

if TYPE_CHECKING:
    from types import FrameType


def main() -> int:
    """Install Synapse and make its empty database, where they are missing."""
    signal.signal(signal.SIGTERM, _end)
    try:
        install()
        ensure_template()
    except HomeserverError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _end(number: int, _: FrameType | None) -> None:
    # As an exception, so that what was begun is cleaned up.
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
