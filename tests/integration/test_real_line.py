"""The simulator against reality: the same sender over a simulated line and over one of the kernel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from statistics import mean
from typing import TYPE_CHECKING

import pytest

from sfu.simulation.cores import native_core
from sfu.simulation.run import run
from tests.support.fixed_target import FixedTarget
from tests.support.namespace import NoNamespaceError, environment, inside
from tests.support.real_line import RATE_BPS, measured, scenario_of

if TYPE_CHECKING:
    from sfu.netem.link import LinkProfile

pytest.importorskip("sfu.dataplane._native", reason="real time is too fast for the Python twin")

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

SECONDS = 9
TARGET_BPS = 2_550_000
AGREEMENT = 0.15
TRIES = 3
"""Who is kept from the processor sends in bursts, which wait longer. A machine at rest agrees at once."""


def really() -> dict[str, float]:
    command = (sys.executable, "-m", "tests.support.real_line", str(SECONDS), str(TARGET_BPS))
    try:
        wrapped = inside(command)
    except NoNamespaceError as error:
        if os.geteuid() == 0 or os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    done = subprocess.run(  # noqa: S603  # ourselves
        wrapped, check=True, stdout=subprocess.PIPE, env={**os.environ, **environment()}
    )
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def simulated(forward: LinkProfile) -> dict[str, float]:
    """The mean of some runs, whose encoders draw other numbers."""
    scenario = replace(scenario_of(SECONDS), forward=forward)
    runs = [
        measured(run(scenario, native_core(), FixedTarget(TARGET_BPS), seed), SECONDS / 3, is_real=False)
        for seed in range(4)
    ]
    return {key: mean(one[key] for one in runs) for key in runs[0]}


def agree(one: dict[str, float], other: dict[str, float]) -> bool:
    return all(one[key] == pytest.approx(other[key], rel=AGREEMENT) for key in ("use", "queue_p95_ms"))


def test_a_simulated_line_does_what_a_real_one_does() -> None:
    forward = scenario_of(SECONDS).forward
    expected = simulated(forward)
    wider = simulated(replace(forward, rate_bps=RATE_BPS * 5 // 4))
    seen = []
    for _ in range(TRIES):
        seen.append(really())
        assert not agree(seen[-1], wider), "any line would do"
        if agree(seen[-1], expected):
            return
    pytest.fail(f"simulated {expected}, real {seen}")
