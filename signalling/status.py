"""What `focus status`, readiness and the gauges say of a running focus."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from sfu.units import NS_PER_S, Kind
from signalling.focus.drain import Draining, Serving
from signalling.hop_metrics import HopMetrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import Counter

    from sfu.conference.conference import LocalMedia
    from sfu.metrics import Metrics
    from sfu.plane import Plane
    from sfu.runtime.policies import PolicyState
    from sfu.runtime.runtime import Runtime
    from sfu.units import Instant
    from signalling.focus.focus import Focus
    from signalling.focus.turn import FocusInput
    from signalling.matrix.outbox import Outbox
    from signalling.matrix.session import MatrixSession
    from signalling.matrix.source import Source

COUNTED: Final = ("rooms", "calls", "participants", "tracks", "subscriptions")
"""What the focus has a count of."""

TURN_S: Final = 2.0
"""How long an operator's word is waited for to have its turn; it has it in any case."""

SHOWN_DROPS: Final = 5
"""Reasons for dropped packets that are shown; all of them are metrics."""


@dataclass(frozen=True, slots=True)
class Working:
    """The parts that exist as soon as the homeserver has let us in."""

    focus: Focus
    runtime: Runtime
    outbox: Outbox
    source: Source


@dataclass(slots=True)
class Status:
    """Reads all parts of a focus; only `tell` waits, or changes anything but gauges."""

    plane: Plane
    plane_failures: Callable[[], int]
    """How many mistakes the plane has contained; it can't count them in metrics itself."""
    policy_name: str
    """What divides what paths carry."""
    policy: Callable[[], PolicyState]
    """How that does; likewise."""
    workers: tuple[LocalMedia, ...]
    session: MatrixSession
    metrics: Metrics
    clock: Callable[[], Instant]
    started_at: Instant
    working: Working | None = None
    _counted: dict[str, int] = field(default_factory=dict)
    """What of others' counts is in the metrics."""
    _hops: HopMetrics = field(init=False)

    def __post_init__(self) -> None:
        self._hops = HopMetrics(self.metrics)

    @property
    def is_ready(self) -> bool:
        """Whether an invite would be judged and answered now."""
        source = None if self.working is None else self.working.source
        return (
            self.session.trouble is None
            and source is not None
            and source.trouble is None
            and source.is_caught_up
            and self._draining() is None
        )

    async def tell(self, given: FocusInput) -> bool:
        """Give the engine an input and wait for its turn; False where there is no engine yet."""
        if self.working is None:
            return False
        runtime = self.working.runtime
        await runtime.ready()
        is_taken = runtime.submit(given)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TURN_S):
                await runtime.idle()
        return is_taken

    def status(self) -> dict[str, Any]:
        """Everything in one JSON object."""
        self._count()
        working = self.working
        counts = None if working is None else working.focus.snapshot()["counts"]
        return {
            "plane": self.plane.name,
            "policy": self._policy(),
            "version": version("matrix-focus"),
            "ready": self.is_ready,
            "homeserver": self._homeserver(),
            "user_id": self.session.user_id,
            "device_id": self.session.device_id,
            "addresses": list(dict.fromkeys(one.address for one in self.workers[0].candidates)),
            "port": self.plane.port,
            "tcp_port": self.plane.tcp_port,
            "ports": list(self.plane.ports),
            "workers": len(self.plane.ports),
            **{name: 0 if counts is None else counts[name] for name in COUNTED},
            "draining": self._draining(),
            "uptime_s": (self.clock() - self.started_at) // NS_PER_S,
            "internal_failures": sum(count for _, count in _by_label(self.metrics.failures, "where")),
            "dropped_packets": dict(self._drops()[:SHOWN_DROPS]),
            "waiting": {
                "inputs": 0 if working is None else working.runtime.waiting,
                "messages": 0 if working is None else len(working.outbox),
                "invitations": 0 if working is None else len(working.source.invitations),
            },
        }

    def foci(self) -> list[dict[str, Any]]:
        """This focus as clients are told of it (protocol: section 3.3); empty before it has logged in."""
        if self.working is None:
            return []
        focus: dict[str, Any] = {"user_id": self.session.user_id, "device_id": self.session.device_id}
        return [focus if self.working.source.needs_invitations else focus | {"appservice": True}]

    def calls(self) -> list[dict[str, Any]]:
        """Every call with its members, what they publish and receive."""
        found: list[dict[str, Any]] = [] if self.working is None else self.working.focus.snapshot()["calls"]
        return found

    def refresh_gauges(self) -> None:
        """Set what is read at each scrape rather than counted as it happens."""
        self._count()
        calls = self.calls()
        self.metrics.calls.set(len(calls))
        tracks = [track for call in calls for member in call["members"] for track in member["tracks"]]
        for kind in Kind:
            self.metrics.tracks.labels(kind.value).set(sum(track["kind"] == kind.value for track in tracks))
        self._hops.publish([trunk for call in calls for trunk in call["trunks"]])
        workers = [member["worker"] for call in calls for member in call["members"]]
        for worker in range(len(self.plane.ports)):
            self.metrics.worker_legs.labels(str(worker)).set(workers.count(worker))

    def _draining(self) -> dict[str, Any] | None:
        """How far the focus is with being taken away; None: it stays."""
        if self.working is None:
            return None
        focus = self.working.focus
        state = focus.drain_state
        if isinstance(state, Serving):
            return None
        left_ns = state.until - self.clock() if isinstance(state, Draining) else 0
        is_empty = not focus.snapshot()["counts"]["participants"]
        return {"seconds_left": max(0, -(-left_ns // NS_PER_S)), "done": is_empty}

    def _count(self) -> None:
        """Bring the metrics up to what others have counted."""
        policy = self.policy()
        for name, counter, count in (
            ("plane", self.metrics.failures.labels("plane"), self.plane_failures()),
            ("failures", self.metrics.policy_failures, policy.failures),
            ("overruns", self.metrics.policy_overruns, policy.overruns),
        ):
            counter.inc(max(0, count - self._counted.get(name, 0)))
            self._counted[name] = count

    def _policy(self) -> dict[str, Any]:
        state = self.policy()
        return {
            "name": self.policy_name,
            "failures": state.failures,
            "overruns": state.overruns,
            "resting": state.is_resting,
            "last_failure": state.last_failure or None,
        }

    def _homeserver(self) -> str:
        if self.session.trouble is not None:
            return self.session.trouble
        source = None if self.working is None else self.working.source
        if source is not None and source.trouble is not None:
            return source.trouble
        if source is None or not source.is_caught_up:
            return "reachable, the state of rooms is being read"
        return "reachable"

    def _drops(self) -> list[tuple[str, int]]:
        drops = [(reason, count) for reason, count in _by_label(self.metrics.dropped, "reason") if count]
        return sorted(drops, key=lambda one: -one[1])


def _by_label(counter: Counter, label: str) -> list[tuple[str, int]]:
    return [
        (sample.labels[label], int(sample.value))
        for metric in counter.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    ]
