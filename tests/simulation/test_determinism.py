"""The same seed gives the same call, packet by packet: what fails once fails again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sfu.netem.link import LinkProfile
from sfu.netem.loss import RandomLoss
from tests.support.simulation.scenario import Member, Scenario, Step

LOSSY = LinkProfile(delay_ms=20, jitter_ms=15, loss=RandomLoss(0.05), reorder=0.02)

SCENARIO = Scenario(
    "a lively call",
    (
        Member("alice", up=LOSSY),
        Member("bob", down=LOSSY, tile=(320, 180)),
        Member("carol", joins_at_s=0.7),
        Member("dave", joins_at_s=0.7, capture=Member("").capture),
    ),
    lambda _: True,
    seconds=3,
    script=(
        Step(1.2, lambda sim: sim["bob"].show(sim["alice"], (1_280, 720))),
        Step(1.5, lambda sim: sim["carol"].share_screen()),
        Step(2, lambda sim: sim["dave"].leave()),
        Step(2.2, lambda sim: sim["bob"].move()),
    ),
)


def trace(seed: int) -> str:
    return SCENARIO.play(seed, is_traced=True).trace


def test_the_same_seed_gives_the_same_packets_at_the_same_times() -> None:
    assert trace(1) == trace(1)


def test_another_seed_gives_others() -> None:
    assert trace(1) != trace(2)


def test_the_order_of_hashes_does_not_matter() -> None:
    """Python draws it anew for each process: a set of names that is walked through would show it."""
    code = "from tests.simulation.test_determinism import trace; print(trace(1))"
    root = Path(__file__).parents[2]
    traces = {
        subprocess.run(  # noqa: S603  # this interpreter, and our own code
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(traces) == 1
    assert traces == {f"{trace(1)}\n"}
