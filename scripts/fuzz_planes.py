"""Plays random calls to the Python twin and the native plane, and compares all that they say.

`scripts/fuzz_planes.py [SECONDS]`: a minute if it is not said. Prints how much was fed, and how much of the
twin's code that reached; 1 where the planes differ, with the simplest call in which they do.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import coverage

if TYPE_CHECKING:
    from tests.differential.fuzzing import Tally

ROOT: Final = Path(__file__).resolve().parent.parent
EXAMPLES: Final = 100
"""Calls of one round. Lower: hypothesis begins anew too often. Higher: it keeps more of them in memory, and
the last round goes on for longer than was asked for."""

LONG_EXAMPLES: Final = 20
"""Longer calls of one round, in which hypothesis has no part."""

MEASURED_SHARE: Final = 0.2
"""Of the time in which branches are counted, which makes the twin several times slower."""

SHELLS: Final = ["native_plane", "reference", "udp", "tcp", "frames"]
"""Parts of `sfu.dataplane` with sockets, which no call here meets."""


def main() -> int:
    """Fuzz; 1 where the planes differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=60.0)
    parser.add_argument("--seed", type=int, help="of the first round; another one each time by default")
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    seed = random.SystemRandom().randrange(1 << 32) if arguments.seed is None else arguments.seed
    say(f"seed {seed}")
    started_at = time.monotonic()
    measured = coverage.Coverage(
        data_file=None,
        config_file=False,
        branch=True,
        source_pkgs=["sfu.dataplane", "sfu.streams"],
        omit=[f"*/{name}.py" for name in SHELLS],
    )
    measured.exclude(r"case _:\s+assert_never\(")
    measured.start()
    from tests.differential.fuzzing import Tally  # noqa: PLC0415  # modules count from their import on

    tally = Tally()
    seed, is_alike = fuzz_until(started_at + MEASURED_SHARE * arguments.seconds, tally, seed)
    measured.stop()
    if is_alike:
        seed, is_alike = fuzz_until(started_at + arguments.seconds, tally, seed)
    measured.report(file=sys.stdout, skip_covered=True, show_missing=True)
    say(
        f"{tally.inputs} inputs in {tally.calls} calls, {tally.encrypted} of them with SRTP; "
        f"{tally.sent} datagrams sent alike; {'no' if is_alike else 'one'} divergence; "
        f"{time.monotonic() - started_at:.0f} s"
    )
    return 0 if is_alike else 1


def fuzz_until(deadline: float, tally: Tally, seed: int) -> tuple[int, bool]:
    """Play rounds until it is time; the seed of the next, and whether the planes were alike in all."""
    from tests.differential.fuzzing import fuzz, fuzz_long  # noqa: PLC0415  # as above
    from tests.differential.pair import Divergence  # noqa: PLC0415

    while time.monotonic() < deadline:
        try:
            fuzz(tally, EXAMPLES, seed)
            fuzz_long(tally, LONG_EXAMPLES, seed)
        except Divergence as divergence:
            say(f"round {seed}:\n{divergence}")
            return seed, False
        seed += 1
    return seed, True


def say(text: str) -> None:
    """Print, and not only when a buffer is full."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
