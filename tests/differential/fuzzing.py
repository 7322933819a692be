"""Calls out of hypothesis' bytes, played to both planes."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import hypothesis
from hypothesis import strategies as st

from sfu.config import MediaConfig
from tests.differential.pair import Divergence, Pair
from tests.differential.recordings import FOLDER, read, replay
from tests.differential.stage import Stage
from tests.differential.steps import play
from tests.differential.tape import STEP_BYTES, Tape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.differential.recordings import Entry

MAX_STEPS: Final = 160
"""Of one call. Lower: what needs a history (wraps, repeated resends) is seldom met. Higher: fewer calls."""

LONG_STEPS: Final = 300
"""Of a call of random bytes."""

SMALL_CACHE_BYTES: Final = 1 << 20
"""Of all packets kept, in some calls: the least that the configuration takes."""

steps = st.binary(min_size=STEP_BYTES, max_size=STEP_BYTES)
calls = st.integers(0, MAX_STEPS).flatmap(lambda count: st.lists(steps, min_size=count, max_size=count))


@dataclass
class Tally:
    """What was played so far."""

    calls: int = 0
    encrypted: int = 0
    """Of these, with SRTP."""
    apart: int = 0
    """Of those, with a native plane of two workers."""
    inputs: int = 0
    """Datagrams, operations, rows and polls, each fed to both planes."""
    sent: int = 0
    """Datagrams that came out of both, alike."""

    def play(self, head: bytes, call: Sequence[bytes]) -> None:
        """Play a call.

        Args:
            head: `STEP_BYTES` that choose what there is at first.
            call: what happens then.

        Raises:
            Divergence: the planes differ.
        """
        tape = Tape(head)
        is_encrypted = tape.one_in(2)
        if tape.one_in(16):
            self.replay(b"".join(call))
            return
        config = MediaConfig(packet_cache_bytes=SMALL_CACHE_BYTES) if tape.one_in(3) else MediaConfig()
        # Two caches of half the size are not one: what is evicted differs. In the clear, a packet from an
        # address that is nobody's may be anybody's, so that it matters whom it is offered first.
        is_apart = tape.one_in(2) and is_encrypted and config.packet_cache_bytes > SMALL_CACHE_BYTES
        pair = Pair(encrypted=is_encrypted, config=config, apart=is_apart)
        play(Stage(pair, tape), call)
        self._count(pair)

    def replay(self, spoiling: bytes = b"") -> None:
        """Play the recorded call, with some of its datagrams spoilt.

        Raises:
            Divergence: the planes differ.
        """
        pair = Pair(encrypted=True)
        replay(pair, recorded(), Tape(spoiling))
        self._count(pair)

    def _count(self, pair: Pair) -> None:
        self.calls += 1
        self.encrypted += pair.is_encrypted
        self.apart += pair.is_apart
        self.inputs += pair.inputs
        self.sent += pair.sent


@cache
def recorded() -> tuple[Entry, ...]:
    """The recorded call."""
    return tuple(read(FOLDER / "aiortc.jsonl.gz"))


def fuzz_long(tally: Tally, examples: int, seed: int) -> None:
    """Play so many longer calls of bytes that are all equally likely, which reach more of the code.

    Raises:
        Divergence: the planes differ, in a call that is no longer than it has to be.
    """
    chance = random.Random(seed)
    for _ in range(examples):
        head, call = chance.randbytes(STEP_BYTES), [chance.randbytes(STEP_BYTES) for _ in range(LONG_STEPS)]
        try:
            tally.play(head, call)
        except Divergence:
            Tally().play(head, shortened(head, call))
            raise


def shortened(head: bytes, call: list[bytes]) -> list[bytes]:
    """What of a call is enough for the planes to differ."""
    size = len(call) // 2
    while size:
        at = 0
        while at < len(call):
            rest = call[:at] + call[at + size :]
            if _differs(head, rest):
                call = rest
            else:
                at += size
        size //= 2
    return call


def _differs(head: bytes, call: list[bytes]) -> bool:
    try:
        Tally().play(head, call)
    except Divergence:
        return True
    return False


def fuzz(tally: Tally, examples: int, seed: int | None = None) -> None:
    """Play so many calls that hypothesis makes; the same each time with the same seed, or without one.

    Raises:
        Divergence: the planes differ, in the simplest call that was found in which they do.
    """

    @hypothesis.settings(
        max_examples=examples,
        database=None,
        deadline=None,
        derandomize=seed is None,
        report_multiple_bugs=False,
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(steps, calls)
    def play_one(head: bytes, call: list[bytes]) -> None:
        tally.play(head, call)

    (play_one if seed is None else hypothesis.seed(seed)(play_one))()
