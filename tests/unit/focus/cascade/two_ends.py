"""Two foci that have a trunk in mind, and the messages between them, on a hand-set clock.

Messages of each side arrive in order and late. Whatever happens, each side has no leg but the one that its
trunk is about: what it gives up is hung up.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final

from sfu.units import Instant, after_s
from signalling.focus.cascade.dialling import (
    DIAL_S,
    Answer,
    Answering,
    Dial,
    Dialling,
    HangUp,
    Ignore,
    Stance,
    Step,
    Trunk,
    Up,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from signalling.events.room_state import FocusDevice

START: Final = Instant(0)
MAX_EVENTS: Final = 20_000
"""More than two foci that agree have to say to each other in any test here."""


@dataclass
class End:
    """One of the two: its trunk, and the legs that it holds."""

    name: str
    trunk: Trunk
    legs: set[str] = field(default_factory=set)
    steps: list[tuple[Instant, Step]] = field(default_factory=list)
    last_arrival: Instant = START
    """Of what it has sent."""

    def dials(self) -> list[Instant]:
        return [at for at, step in self.steps if isinstance(step, Dial)]

    def current(self) -> str | None:
        state = self.trunk.state
        return state.call_id if isinstance(state, Dialling | Answering | Up) else None


class TwoEnds:
    """Both, and the way between them."""

    def __init__(
        self,
        one: FocusDevice,
        two: FocusDevice,
        seed: int = 0,
        delays_s: Sequence[float] = (0.1,),
    ) -> None:
        """Begin.

        Args:
            one: a focus.
            two: another.
            seed: for all that is random.
            delays_s: how long messages take, by turns.
        """
        self._foci = {"one": (one, two), "two": (two, one)}
        self._rng = random.Random(seed)
        self._delays_s = delays_s
        self._sent = count()
        self._agenda: list[tuple[Instant, int, Callable[[], object]]] = []
        self.now = START
        self.is_cut = False
        """Nothing arrives: what is sent is lost."""
        self.ends = {name: self._fresh(name) for name in ("one", "two")}

    @property
    def one(self) -> End:
        return self.ends["one"]

    @property
    def two(self) -> End:
        return self.ends["two"]

    def stand(self, *stances: tuple[str, Stance]) -> None:
        """How each sees the other from now on."""
        for name, stance in stances:
            end = self.ends[name]
            self._perform(end, end.trunk.stand(self.now, stance))

    def use(self, name: str, *, is_used: bool) -> None:
        end = self.ends[name]
        self._perform(end, end.trunk.use(self.now, is_used=is_used))

    def restart(self, name: str, *, tells: bool) -> None:
        """An end forgets everything; at its start it may hang up the legs that it had."""
        before = self.ends[name]
        self.ends[name] = self._fresh(name)
        self.ends[name].last_arrival = before.last_arrival
        for call_id in sorted(before.legs) if tells else ():
            self._send(self.ends[name], "hangup", call_id)
        self.stand((name, Stance.WANTED))

    def fail(self) -> None:
        """The path is broken; one side notices after the other."""
        for name, end in self.ends.items():
            self.at(self._rng.uniform(0.0, 5.0), partial(self._lose, name, frozenset(end.legs)))

    def at(self, delay_s: float, what: Callable[[], object]) -> None:
        """Have something happen later."""
        heapq.heappush(self._agenda, (after_s(self.now, delay_s), next(self._sent), what))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until = after_s(self.now, seconds)
        for _ in range(MAX_EVENTS):
            due = [(end.trunk.next_timeout(), end) for end in self.ends.values()]
            timers = [(at, end) for at, end in due if at is not None]
            first = min((at for at, _ in timers), default=until)
            if self._agenda and self._agenda[0][0] <= min(first, until):
                self.now, _, what = heapq.heappop(self._agenda)
                what()
            elif timers and first <= until:
                self.now = max(first, self.now)
                end = next(end for at, end in timers if at == first)
                self._perform(end, end.trunk.handle_timeout(self.now))
                after = end.trunk.next_timeout()
                assert after is None or after > self.now
            else:
                self.now = until
                return
        raise AssertionError("they talk without end")

    # --- within -------------------------------------------------------------------------------------------

    def _fresh(self, name: str) -> End:
        ours, theirs = self._foci[name]
        return End(name, Trunk(ours, theirs, random.Random(self._rng.getrandbits(32))))

    def _lose(self, name: str, call_ids: frozenset[str]) -> None:
        end = self.ends[name]
        for call_id in sorted(call_ids & end.legs):
            end.legs.discard(call_id)
            self._send(end, "hangup", call_id)
            self._perform(end, end.trunk.ended(self.now, call_id))

    def _perform(self, end: End, steps: list[Step]) -> None:
        for step in steps:
            end.steps.append((self.now, step))
            match step:
                case Dial(call_id):
                    end.legs.add(call_id)
                    self._send(end, "invite", call_id)
                case Answer(call_id):
                    end.legs.add(call_id)
                    self._send(end, "answer", call_id)
                case HangUp(call_id):
                    assert call_id in end.legs
                    end.legs.discard(call_id)
                    self._send(end, "hangup", call_id)
                case Ignore():
                    pass
        current = end.current()
        assert end.legs == (set() if current is None else {current})

    def _send(self, end: End, kind: str, call_id: str) -> None:
        if self.is_cut:
            return
        delay_s = self._delays_s[next(self._sent) % len(self._delays_s)]
        end.last_arrival = max(end.last_arrival, after_s(self.now, delay_s))
        name = "two" if end.name == "one" else "one"
        arrive: Callable[[], object] = partial(self._receive, name, kind, call_id, self.now)
        heapq.heappush(self._agenda, (end.last_arrival, next(self._sent), arrive))

    def _receive(self, name: str, kind: str, call_id: str, sent_at: Instant) -> None:
        end = self.ends[name]
        match kind:
            case "invite" if self.now < after_s(sent_at, DIAL_S):
                self._perform(end, end.trunk.invited(self.now, call_id))
            case "answer" if call_id in end.legs:
                end.trunk.connected(self.now, call_id)
                self._send(end, "media", call_id)
            case "answer":
                self._send(end, "hangup", call_id)
            case "media" if call_id in end.legs:
                end.trunk.connected(self.now, call_id)
            case "hangup" if call_id in end.legs:
                end.legs.discard(call_id)
                self._perform(end, end.trunk.ended(self.now, call_id))
            case _:
                pass
