"""Writes down the dependency descriptors that Chromium sends: run it by hand after an update.

    .venv/bin/python -m tests.vectors.descriptors.capture

Two peer connections of one page talk to each other. Chromium logs what it sends before it is encrypted; of
that the descriptors are kept, a packet a line: sequence number, and the value in hexadecimal.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Final

from playwright.async_api import async_playwright

from sfu.plane import Extension
from sfu.rtp.packet import RtpPacket
from tests.support.live_browser import CHROMIUM, CHROMIUM_FLAGS

FOLDER: Final = Path(__file__).parent
STREAMS: Final = (
    ("VP8", "L1T2"),
    ("VP8", "L1T3"),
    ("VP9", "L1T3"),
    ("VP9", "L3T3_KEY"),
    ("VP9", "L2T2"),
    ("H264", "L1T3"),
    ("AV1", "L1T3"),
    ("AV1", "L2T2"),
)
MAX_PACKETS: Final = 150
SENT: Final = re.compile(r"^O \S+ 0000 ([0-9a-f ]+) # RTP_DUMP$", re.MULTILINE)
PAGE: Final = FOLDER / "capture.js"


async def log_of(codec: str, mode: str) -> tuple[str, int]:
    """What Chromium logs while it sends, and the id of the extension."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        flags = (
            *CHROMIUM_FLAGS,
            "--force-fieldtrials=WebRTC-Debugging-RtpDump/Enabled/",
            "--disable-features=WebRtcHideLocalIpsWithMdns",
            "--enable-logging",
            "--vmodule=*/webrtc/*=3",
        )
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=CHROMIUM, args=list(flags), env={**os.environ, "CHROME_LOG_FILE": str(log)}
            )
            page = await browser.new_page()
            await page.goto("about:blank")
            arguments = json.dumps([codec, mode, Extension.DEPENDENCY_DESCRIPTOR])
            number = await page.evaluate(f"({PAGE.read_text(encoding='utf-8')})(...{arguments})")
            await browser.close()
        return log.read_text(encoding="utf-8", errors="replace"), int(number)


async def capture(codec: str, mode: str) -> None:
    """The descriptors of one stream, in place of those that are there."""
    text, number = await log_of(codec, mode)
    lines = []
    for match in SENT.finditer(text):
        data = bytes.fromhex(match[1])
        if data[0] >> 6 != 2 or 192 <= data[1] <= 223:
            continue
        packet = RtpPacket.parse(data)
        value = packet.extension(number)
        if value is not None:
            lines.append(f"{packet.sequence_number} {value.hex()}\n")
    print(f"{codec} {mode}: {len(lines)} packets")  # noqa: T201  # it is a script
    (FOLDER / f"{codec.lower()}-{mode.lower()}.txt").write_text(
        "".join(lines[:MAX_PACKETS]), encoding="utf-8"
    )


async def main() -> None:
    """The streams that are named (`VP9/L1T3`), or all."""
    for codec, mode in (tuple(name.split("/")) for name in sys.argv[1:]) if sys.argv[1:] else STREAMS:
        await capture(codec, mode)


if __name__ == "__main__":
    asyncio.run(main())
