# ruff: noqa: PYI021  # a native module is documented where it is typed
"""Hundreds of WebRTC receivers on one thread of their own, and plain publishers to feed them (native).

Every call waits for the swarm's thread with the interpreter's lock released. What can't be done is a
`ValueError` that says why.
"""

from collections.abc import Sequence
from typing import Final, Self, TypedDict

PARTICIPANT_FIELDS: Final[list[str]]
"""The columns of `Stats["participants"]`, each an int64."""
STREAM_FIELDS: Final[list[str]]
"""The columns of `Stats["streams"]`, each an int64."""
DELAY_BOUNDS_NS: Final[list[int]]
"""The smallest delay of each bucket of `Stats["delays"]`."""
MIN_PAYLOAD_BYTES: Final[int]
MAX_PAYLOAD_BYTES: Final[int]

class Stats(TypedDict):
    """Counters since the start; `loadtest.fleet.reading` makes arrays of them."""

    participants: bytes
    """One row per participant that was not removed."""
    streams: bytes
    """One row per RTP stream that such a participant received."""
    delays: bytes
    """uint64 counts: from the stamp that a publisher wrote to the kernel's stamp of arrival."""
    lateness_max_ns: int
    """By how much the latest reading of the sockets missed its time since `stats` was last called."""
    full_receivers: int
    """Whose media str0m carries whole."""
    lean_receivers: int
    """Whose media takes the lean path."""
    cpu_ns: int
    """What the swarm's thread has used of a core."""

class Swarm:
    """Participants, one socket each, on one thread.

    Args:
        address: IPv4 to bind to and to offer as the only candidate.
        full_share: part of the receivers whose media str0m carries, spread evenly; the others take the lean
            path, which is held against str0m in tests.
        tick_ms: between two readings of the sockets; arrival times are the kernel's and not blurred by it.

    Raises:
        ValueError: an argument out of its range, or no descriptors left.
    """

    def __new__(
        cls, *, address: str = "127.0.0.1", full_share: float = 0.1, tick_ms: float = 5.0
    ) -> Self: ...
    def fileno(self) -> int:
        """A descriptor that can be read while `events` has something to say."""

    def add_receiver(self, *, audio: int = 1, video: int = 1) -> tuple[int, str]:
        """Add a receiver of so many tracks and a data channel; its id and offer."""

    def add_publisher(
        self, frames: Sequence[Sequence[int]], period_ms: float, *, keyframe_interval_ms: float = 3_000.0
    ) -> tuple[int, str]:
        """Add a publisher of one VP8 track and a data channel; its id and offer.

        Args:
            frames: the payload size of each packet of each frame, descriptor included; the list repeats.
            period_ms: between two frames.
            keyframe_interval_ms: between key frames that nobody asked for.
        """

    def accept_answer(self, id: int, sdp: str) -> None:  # noqa: A002  # as the native module has it
        """Take the answer to the participant's offer."""

    def accept_offer(self, id: int, sdp: str) -> str:  # noqa: A002
        """Answer an offer of the other side; one of the participant's that waits is given up."""

    def add_candidate(self, id: int, candidate: str) -> None:  # noqa: A002
        """Take a trickled candidate: `candidate:…`."""

    def send_text(self, id: int, text: str) -> None:  # noqa: A002
        """Say something on the data channel."""

    def events(self) -> list[tuple[int, str, str]]:
        """What happened since the last call, as (id, kind, text).

        Kinds: `connected`, `channel_open` (its label), `text`, `keyframe_wanted`, `closed` (why).
        """

    def start_media(self) -> None:
        """Have all publishers send, later ones too, each once it is connected."""

    def stop_media(self) -> None:
        """Have all publishers stop."""

    def stats(self) -> Stats:
        """The counters since the start: what happened in a window is the difference of two."""

    def remove(self, id: int) -> None:  # noqa: A002
        """Say goodbye for a participant and forget it."""

    def close(self) -> None:
        """End the thread and all sockets; once is enough."""
