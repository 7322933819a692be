"""Which policy divides budgets: by name, or an operator's own from a file, which must not harm a call.

A file defines `allocate`, a function of a `sfu.allocation.problem.Problem` that returns (rows,) layers. It
runs in this process with all its rights: it is configuration, not a guest. What it can't do is stop the
media: where it raises, answers nonsense or takes too long, `utility` decides, and that is counted and logged.
"""

from __future__ import annotations

import runpy
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import structlog

from sfu.allocation.policies.jvb_like import jvb_like
from sfu.allocation.policies.livekit_like import livekit_like
from sfu.allocation.policies.lowest_layers_first import lowest_layers_first
from sfu.allocation.policies.mediasoup_like import mediasoup_like
from sfu.allocation.policies.signal_like import signal_like
from sfu.allocation.policies.utility import utility
from sfu.allocation.problem import LAYERS
from sfu.config import UTILITY
from sfu.errors import ConfigError
from sfu.rows import PAUSED
from sfu.transport.rate import TokenBucket
from sfu.units import NS_PER_MS, after_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sfu.allocation.problem import Policy, Problem
    from sfu.allocation.rates import IntArray
    from sfu.units import Instant

POLICIES: Final[Mapping[str, Policy]] = {
    UTILITY: utility,
    "lowest_layers_first": lowest_layers_first,
    "signal_like": signal_like,
    "jvb_like": jvb_like,
    "livekit_like": livekit_like,
    "mediasoup_like": mediasoup_like,
}
"""By the names of the configuration."""

BUDGET_MS: Final = 15
"""Time for a file's policy in one tick. Lower: a garbage collection counts as an overrun. Higher: ticks come
late."""

MAX_OVERRUNS: Final = 3
"""Overruns in a row before a file's policy rests. Lower: one bad moment of the machine is held against it.
Higher: more late ticks."""

REST_MS: Final = 10_000
"""How long it rests. Lower: a slow policy delays more ticks. Higher: it is out for longer than what slowed
it."""

LOGGED_PER_S: Final = 0.1
LOGGED_AT_ONCE: Final = 5
"""Failures in the log. Lower: a second way to fail is not seen. Higher: what fails in every tick fills it."""

FUNCTION: Final = "allocate"
"""What a file defines."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PolicyState:
    """How a policy does, for people."""

    failures: int = 0
    """Times that it raised, or answered nonsense."""
    overruns: int = 0
    """Times that it took too long."""
    is_resting: bool = False
    """It is left alone for a while, and `utility` decides."""
    last_failure: str = ""
    """Its newest failure in one line; empty: none."""


class Guarded:
    """A policy whose faults are somebody else's decisions.

    Python cannot stop a function from outside: an overrun is noticed when it is over, its answer is still
    used, and one that overruns again and again is left alone for a while.

    Args:
        policy: what may fail.
        clock: monotonic now.
        fallback: decides where it has failed.
    """

    def __init__(self, policy: Policy, clock: Callable[[], Instant], fallback: Policy = utility) -> None:
        self._policy = policy
        self._clock = clock
        self._fallback = fallback
        self._overruns_in_a_row = 0
        self._rests_until: Instant | None = None
        self._failures = 0
        self._overruns = 0
        self._last_failure = ""
        self._lines = TokenBucket(LOGGED_PER_S, LOGGED_AT_ONCE)

    @property
    def state(self) -> PolicyState:
        """How it does."""
        return PolicyState(
            self._failures, self._overruns, self._is_resting(self._clock()), self._last_failure
        )

    def __call__(self, problem: Problem, /) -> IntArray:
        """Its answer, or the fallback's."""
        began = self._clock()
        if not len(problem.rank) or self._is_resting(began):
            return self._fallback(problem)
        _lock(problem)
        try:
            layer = checked(problem, self._policy(problem))
        except Exception as error:  # noqa: BLE001  # whatever an operator's file does, the call goes on
            self._note_failure(began, error)
            layer = self._fallback(problem)
        self._note_time(began, self._clock())
        return layer

    def _is_resting(self, now: Instant) -> bool:
        return self._rests_until is not None and now < self._rests_until

    def _note_failure(self, now: Instant, error: Exception) -> None:
        self._failures += 1
        self._last_failure = f"{type(error).__name__}: {error}"
        if self._lines.take(now):
            _log.warning("policy_failed", failures=self._failures, exc_info=error)

    def _note_time(self, began: Instant, ended: Instant) -> None:
        if ended - began <= BUDGET_MS * NS_PER_MS:
            self._overruns_in_a_row = 0
            return
        self._overruns += 1
        self._overruns_in_a_row += 1
        if self._overruns_in_a_row >= MAX_OVERRUNS:
            self._overruns_in_a_row = 0
            self._rests_until = after_ms(ended, REST_MS)
            _log.warning("policy_rests", overruns=self._overruns, budget_ms=BUDGET_MS, rest_ms=REST_MS)


def choose_policy(wanted: str, clock: Callable[[], Instant]) -> Policy | Guarded:
    """Choose a policy.

    Args:
        wanted: one of `POLICIES`, or the path of a Python file.
        clock: monotonic now, to see how long a file's takes.

    Raises:
        ConfigError: there is no such name or file, or the file has no such function.
    """
    if wanted in POLICIES:
        return POLICIES[wanted]
    if not wanted.endswith(".py"):
        raise ConfigError(f"policy = {wanted!r}: legal are {', '.join(POLICIES)}, or the path of a .py file")
    return Guarded(_from_file(Path(wanted)), clock)


def state_of(policy: Policy | Guarded) -> PolicyState:
    """How a policy does; those of a name never fail."""
    return policy.state if isinstance(policy, Guarded) else PolicyState()


def _from_file(path: Path) -> Policy:
    try:
        found = runpy.run_path(str(path)).get(FUNCTION)
    except Exception as error:
        raise ConfigError(f"policy = {str(path)!r}: it can't be run: {error!r}") from error
    if not callable(found):
        raise ConfigError(f"policy = {str(path)!r}: it defines no function {FUNCTION!r}")
    policy: Policy = found
    return policy


def _lock(problem: Problem) -> None:
    """Make its arrays read-only: who writes into them would change what the next tick begins with."""
    for item in fields(problem):
        value = getattr(problem, item.name)
        if isinstance(value, np.ndarray):
            value.flags.writeable = False


def checked(problem: Problem, answer: object) -> IntArray:
    """An answer that can be used, with all audio given.

    Raises:
        ConfigError: it is none.
    """
    rows = len(problem.rank)
    if not isinstance(answer, np.ndarray) or answer.shape != (rows,) or answer.dtype.kind not in "iu":
        raise ConfigError(f"a policy must return {rows} whole numbers in an array, not {answer!r:.80}")
    layer: IntArray = answer.astype(np.int64)
    is_known = (layer == PAUSED) | ((layer >= 0) & (layer < LAYERS))
    is_usable = problem.usable[np.arange(rows), np.where(is_known, layer, 0)]
    wrong = np.flatnonzero(~is_known | ((layer != PAUSED) & ~is_usable))
    if len(wrong):
        raise ConfigError(f"a policy chose layer {layer[wrong[0]]} for row {wrong[0]}, which is not usable")
    return np.where(problem.is_audio & problem.usable[:, 0], 0, layer)
