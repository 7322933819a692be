"""A recording that happens again: to the policy that it was made with, or to another one.

What is replayed is deciding: everybody wants what they wanted, what flowed flows, and paths carry what they
were found to carry. What another policy would have changed of that is not in it: a layer that nobody was
given may have been switched off at its sender, and of a path that was never filled less was known than of one
that was. So a replay says what a policy makes of the same knowledge, not how the call would have gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.control import Control
from sfu.errors import ParseError
from sfu.plane import PlaneStats
from sfu.recording.file import Beginning, End, Header, frames_of, memory_of
from sfu.recording.judge import Judge, JudgedPolicy
from sfu.recording.steps import Block, StepKind, steps_of
from sfu.recording.tables import DECISIONS, ENCODINGS, ESTIMATES, FEEDBACK, TRANSPORTS
from sfu.recording.told import tell
from sfu.rows import ENCODING_DTYPE, ROUTE_DTYPE, TRANSPORT_DTYPE
from sfu.units import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sfu.allocation.problem import Policy
    from sfu.control import ControlMemory
    from sfu.recording.steps import Step
    from sfu.rows import StructArray
    from sfu.units import Instant


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording that is being read."""

    header: Header
    memory: ControlMemory
    """When it begins."""
    steps: Iterator[Step]
    """They are read as they are asked for, once; a `ParseError` may come as late as that."""


def read_recording(data: Iterable[bytes]) -> Recording:
    """Read a file, in pieces of any size.

    Raises:
        ParseError: it is no recording, or one of another version.
    """
    frames = frames_of(data)
    header, beginning = next(frames, None), next(frames, None)
    if not isinstance(header, Header) or not isinstance(beginning, Beginning):
        raise ParseError("not_a_recording", "it ends before it begins")

    def steps() -> Iterator[Step]:
        for frame in frames:
            match frame:
                case Block():
                    yield from steps_of(frame)
                case End():
                    return
                case _:
                    raise ParseError("not_a_recording", "it begins twice")

    return Recording(header, memory_of(beginning), steps())


@dataclass(slots=True)
class Agreement:
    """How decisions compare to those that were recorded."""

    seconds: float = 0.0
    """How long the recording is."""
    steps: int = 0
    """In which something was decided, then or now."""
    different_steps: int = 0
    decisions: int = 0
    """That were recorded; each (subscriber, track) counts in each step."""
    different: int = 0
    first_at_s: float | None = None
    """When the first was different, from the beginning on."""
    targets: int = 0
    """Of paths that were estimated again from their beginning on, one for each in each step."""
    targets_off: float = 0.0
    """How far they are from those that were recorded, as a part of those, on average."""


class Replay:
    """Decides what was recorded again.

    Args:
        memory: as the recording has it.
        policy: decides.
        is_estimating: what paths carry is found again, of packets, and not taken as it was found then. Of
            paths that are older than the recording less is known than was.
    """

    def __init__(self, memory: ControlMemory, policy: Policy, *, is_estimating: bool = False) -> None:
        self._is_estimating = is_estimating
        self._policy = JudgedPolicy(policy)
        self._control = Control.resumed(memory, self._policy)
        self._estimates = memory.estimates
        self._older: Final = memory.estimates["transport"]
        self._began_at: Instant | None = None
        self.judge: Final = Judge()
        self.agreement: Final = Agreement()

    @property
    def decisions(self) -> StructArray:
        """(routes,) of `DECISION_DTYPE`, the newest."""
        return self._control.decisions

    def step(self, step: Step) -> None:
        """Let the next step happen.

        Raises:
            ParseError: it can't have happened to a control.
        """
        self._began_at = step.now if self._began_at is None else self._began_at
        try:
            is_decided = self._advance(step)
        except (IndexError, ValueError, OverflowError) as error:
            raise ParseError("not_a_recording", f"it contradicts itself: {error}"[:200]) from error
        self._compare(step, is_decided=is_decided)
        judged = self._policy.take()
        if judged is None:
            self.judge.pass_to(step.now)
        else:
            self.judge.note(step.now, self._control.decisions, *judged)

    def _advance(self, step: Step) -> bool:
        """Do what was done then; return whether it decided anything."""
        for told in step.told:
            tell(self._control, told)
        if step.kind is StepKind.ALLOCATE:
            self._control.allocate()
            return True
        encodings, estimates = step.whole(ENCODINGS), step.whole(ESTIMATES)
        if estimates is not None:
            self._estimates = estimates
        transports, feedback = step.whole(TRANSPORTS), step.whole(FEEDBACK)
        stats = PlaneStats(
            now=step.stats_at,
            transports=np.zeros(0, TRANSPORT_DTYPE) if transports is None else transports,
            encodings=np.zeros(0, ENCODING_DTYPE) if encodings is None else encodings,
            routes=np.zeros(0, ROUTE_DTYPE),
            drops={},
        )
        is_full = step.kind is StepKind.FULL
        if not self._is_estimating:
            return self._control.follow(stats, self._estimates, is_full=is_full).targets is not None
        if transports is None or feedback is None:
            raise ParseError("no_packets", "what was told of packets was not recorded")
        update = self._control.tick(step.now, stats, feedback, is_full=is_full)
        self._compare_paths(update.estimates)
        return update.targets is not None

    def _compare_paths(self, estimates: StructArray) -> None:
        recorded = self._estimates
        if estimates["transport"].tobytes() != recorded["transport"].tobytes():
            return
        then, now = recorded["target_bps"], estimates["target_bps"]
        is_known = np.isfinite(then) & np.isfinite(now) & (then > 0)
        is_known &= ~np.isin(recorded["transport"], self._older)
        off = np.abs(now[is_known] / then[is_known] - 1.0)
        agreement = self.agreement
        total = agreement.targets_off * agreement.targets + float(off.sum())
        agreement.targets += len(off)
        agreement.targets_off = total / max(agreement.targets, 1)

    def _compare(self, step: Step, *, is_decided: bool) -> None:
        agreement = self.agreement
        agreement.seconds = (step.now - (self._began_at or step.now)) / NS_PER_S
        recorded = step.rows.get(DECISIONS.name)
        if recorded is None and not is_decided:
            return
        agreement.steps += 1
        different = 0
        if recorded is not None:
            agreement.decisions += len(recorded.values)
            now = DECISIONS.rows_of(self._control.decisions)
            is_same = now.ids.tobytes() == recorded.ids.tobytes()
            different = int((now.values != recorded.values).sum()) if is_same else len(recorded.values)
        is_different = different > 0 or (recorded is not None) is not is_decided
        agreement.different += different
        agreement.different_steps += is_different
        if is_different and agreement.first_at_s is None:
            agreement.first_at_s = agreement.seconds
