"""A leg's data channel as the focus uses it: what is said, how often, and whether the client still answers.

Messages that tell how things stand (metadata, speakers, wanted layers) are told at the pace a client can
bear, the newest only; those that answer one message of the client are dropped beyond that pace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sfu.units import after_s, earliest
from signalling.events.data_channel import METADATA_CHANGED, NEGOTIATE, SPEAKERS, Ping, frame_of
from signalling.events.ours import LAYERS, STATS
from signalling.focus.allowance import Window

if TYPE_CHECKING:
    from sfu.units import Instant
    from signalling.events.data_channel import Frame
    from signalling.focus.settings import CallSettings

MAX_PER_S: Final = 5
"""Messages of one type to one leg in any second (protocol: section 6.7). Lower: people hear of a newcomer
later. Higher: clients lay out, and ask for tracks, for each."""

_STANDING_TYPES: Final = frozenset({METADATA_CHANGED, SPEAKERS, LAYERS, STATS})
_PING: Final = frame_of(Ping())


class ClosedChannel:
    """There is none: never was, or not any more."""

    __slots__ = ()

    def next_timeout(self) -> Instant | None:
        """Never."""
        return None


class OpenChannel:
    """The one channel of a leg that is spoken on."""

    def __init__(self, now: Instant, number: int, settings: CallSettings) -> None:
        self.number = number
        self._settings = settings
        self._windows: dict[str, Window] = {}
        self._waiting: dict[str, Frame] = {}
        self._ping_at = after_s(now, settings.ping_interval_s)
        self._unanswered_at: Instant | None = None

    def say(self, now: Instant, frame: Frame) -> list[Frame]:
        """What of a message may go now: itself, or nothing. Descriptions always go."""
        if frame.type == NEGOTIATE:
            return [frame]
        if self._window(frame.type).take(now):
            self._waiting.pop(frame.type, None)
            return [frame]
        if frame.type in _STANDING_TYPES:
            self._waiting[frame.type] = frame
        return []

    def pong_received(self) -> None:
        """The client has answered."""
        self._unanswered_at = None

    def is_dead(self, now: Instant) -> bool:
        """Whether a ping has been unanswered for too long."""
        return self._unanswered_at is not None and now >= self._dead_at(self._unanswered_at)

    def handle_timeout(self, now: Instant) -> list[Frame]:
        """What is due to be said."""
        due: list[Frame] = []
        for waiting in tuple(self._waiting.values()):
            due += self.say(now, waiting)
        if now >= self._ping_at:
            self._ping_at = after_s(now, self._settings.ping_interval_s)
            if self._unanswered_at is None:
                self._unanswered_at = now
            due.append(_PING)
        return due

    def next_timeout(self) -> Instant | None:
        """When something is to be said, or the client is given up."""
        dead_at = None if self._unanswered_at is None else self._dead_at(self._unanswered_at)
        waiting = (self._windows[name].free_at() for name in self._waiting)
        return earliest(self._ping_at, dead_at, *waiting)

    def _window(self, name: str) -> Window:
        return self._windows.setdefault(name, Window(MAX_PER_S))

    def _dead_at(self, unanswered_at: Instant) -> Instant:
        return after_s(unanswered_at, self._settings.pong_timeout_s)
