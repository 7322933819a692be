"""Writes `recordings/aiortc.jsonl.gz`: what the twin's core meets in a call of two real clients.

`python -m tests.differential.capture`. ICE, DTLS and SRTP are aiortc's; Alice sends sound and VP8, Bob takes
both and leaves.
"""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING, Any, Final

from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack

from sfu.dataplane import reference
from sfu.dataplane.core import PlaneCore
from tests.differential.recordings import FOLDER, line_of
from tests.integration.test_runtime import Client, serving

if TYPE_CHECKING:
    from sfu.units import Instant

FLOWS_S: Final = 4.0
"""How long the recorded media flows. Lower: no reports. Higher: more to keep in the repository."""


class RecordingCore(PlaneCore):
    """The twin's core, which writes down what it is told."""

    lines: Final[list[str]] = []
    _started_at: Instant | None = None

    def apply(self, now: Instant, operations: Any) -> Any:  # noqa: ANN401  # as its base
        self._note(now, "apply", *operations)
        return super().apply(now, operations)

    def handle_datagram(self, now: Instant, address: Any, data: Any) -> Any:  # noqa: ANN401
        self._note(now, "handle_datagram", address, bytes(data))
        return super().handle_datagram(now, address, data)

    def set_targets(self, now: Instant, targets: Any) -> None:  # noqa: ANN401
        self._note(now, "set_targets", *targets.tolist())
        super().set_targets(now, targets)

    def _note(self, now: Instant, call: str, *given: Any) -> None:  # noqa: ANN401  # arguments of any call
        if self._started_at is None:
            self._started_at = now
        self.lines.append(line_of(now - self._started_at, call, given))


async def call() -> None:
    """Two clients, one of whom sends."""
    async with serving() as server:
        alice = Client("alice", AudioStreamTrack(), VideoStreamTrack())
        bob = Client("bob")
        await alice.join(server)
        view = await bob.join(server)
        while len(view) < 2:
            view = await bob.hears("view")
        await bob.subscribe(view)
        second = await bob.tracks.get()
        async with asyncio.timeout(FLOWS_S):
            while True:
                await second.recv()


def main() -> None:
    """Record a call."""
    reference.PlaneCore = RecordingCore  # type: ignore[attr-defined]  # in place of the one imported there
    try:
        asyncio.run(call())
    except* TimeoutError:
        pass  # FLOWS_S are over
    FOLDER.mkdir(exist_ok=True)
    with gzip.GzipFile(FOLDER / "aiortc.jsonl.gz", "wb", mtime=0) as file:
        file.write("".join(f"{line}\n" for line in RecordingCore.lines).encode())


if __name__ == "__main__":
    main()
