"""Writes down what the browsers of this machine say to a focus: run it by hand after a browser's update.

    .venv/bin/python -m tests.vectors.sdp.capture [chromium] [firefox]

Each dialogue of `tests/support/dialogue.py` becomes a folder, each description a file of it. Those of the
focus are written too, since the browser has just taken them; the tests read the browser's.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path
from typing import Final

from tests.support.dialogue import DIALOGUES, Dialogue, new_focus
from tests.support.live_browser import BROWSERS, LivePeer, live_browser, page_url

FOLDER: Final = Path(__file__).parent


async def capture(browser_name: str) -> None:
    """All dialogues with one browser, in place of those that are there."""
    async with page_url() as url, live_browser(browser_name) as browser:
        folder = FOLDER / browser_name
        shutil.rmtree(folder, ignore_errors=True)
        for name, steps in DIALOGUES.items():
            dialogue = Dialogue(LivePeer(await browser.open(url)), new_focus())
            async for step, _ in dialogue.hold(steps):
                print(f"{browser_name} {browser.version} {name}: {step.what}")  # noqa: T201  # it is a script
            (folder / name).mkdir(parents=True)
            for said in dialogue.said:
                (folder / name / said.file_name).write_text(said.sdp, encoding="utf-8", newline="")


async def main() -> None:
    """The browsers that are named, or both."""
    for browser_name in sys.argv[1:] or BROWSERS:
        await capture(browser_name)


if __name__ == "__main__":
    asyncio.run(main())
