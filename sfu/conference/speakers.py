"""Who is speaking, from the audio levels that clients write into their packets (RFC 6464).

The levels are the clients' own claims, so there is a limit to what a claim is worth: louder than `LOUD_DBOV`
counts no more, what never pauses is no speech (`voices.py`), and who is first while others speak is so for a
turn, and then for half of the time at most (`turns.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.conference.turns import Turns
from sfu.conference.values import Speaker
from sfu.units import after_ms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sfu.rows import StructArray
    from sfu.units import Instant, TrackHandle, TransportId

LOUD_DBOV: Final = 20
SILENT_DBOV: Final = 70
"""Levels are -dBov: at the first a level counts as 1, at the second as 0. Speech lies around 30, a room's
noise at 60 and above."""

ATTACK: Final = 0.5
RELEASE: Final = 0.3
"""Part of the way that a score goes to the newest level in one interval, up and down. Higher: a cough makes a
speaker, a breath ends one. Lower: people are shown after they have begun."""

BEGINS_AT: Final = 0.3
ENDS_AT: Final = 0.2
"""Scores at which somebody becomes a speaker and stops being one."""

OVERTAKES_BY: Final = 0.1
"""Who is told first stays first until another is louder by this much."""

TOLD_STEP: Final = 0.25
"""A level is told again when it has moved by this much, even if who speaks is the same."""

MAX_SPEAKERS: Final = 10
"""The loudest that are told."""

MAX_SPOKEN: Final = 20
"""People who spoke before that are remembered. Lower: in a round of many the first are forgotten at the end.
Higher: pictures count for more than others that were looked at long ago."""


def heard_in(encodings: StructArray) -> Mapping[TrackHandle, float]:
    """How loud each track is that is not silent, from above 0 to 1, in a tick.

    Args:
        encodings: (n,) of `ENCODING_DTYPE`, of all calls.
    """
    rows = np.flatnonzero(encodings["audio_level"] < SILENT_DBOV)
    if not len(rows):
        return {}
    heard = encodings[rows]
    levels = (SILENT_DBOV - heard["audio_level"].astype(np.float64)) / (SILENT_DBOV - LOUD_DBOV)
    loudest: dict[TrackHandle, float] = {}
    for track, level in zip(heard["track"].tolist(), np.minimum(levels, 1.0).tolist(), strict=True):
        loudest[track] = max(loudest.get(track, 0.0), level)
    return loudest


class Speakers:
    """Active speakers of one call, judged every interval that begins with a sound."""

    def __init__(self, interval_ms: int) -> None:
        self._interval_ms = interval_ms
        self._judge_at: Instant | None = None
        self._reports = 0
        self._heard: dict[TransportId, float] = {}
        self._scores: dict[TransportId, float] = {}
        self._order: list[TransportId] = []
        self._spoken: tuple[TransportId, ...] = ()
        self._turns = Turns()
        self._told: tuple[Speaker, ...] = ()

    @property
    def is_listening(self) -> bool:
        """Whether silence, too, is worth a report: somebody has just been heard, or speaks."""
        return self._judge_at is not None

    @property
    def told(self) -> tuple[Speaker, ...]:
        """The active speakers as they were last told."""
        return self._told

    @property
    def spoken(self) -> tuple[TransportId, ...]:
        """Who speaks, in their order, and who spoke before, who did last first."""
        return self._spoken

    def forget(self, leg: TransportId) -> None:
        """A leg has left; that it speaks no more is told at the next report."""
        self._heard.pop(leg, None)
        self._scores.pop(leg, None)
        self._turns.forget(leg)
        self._spoken = tuple(one for one in self._spoken if one != leg)

    def report(
        self, now: Instant, audible: Mapping[TrackHandle, TransportId], heard: Mapping[TrackHandle, float]
    ) -> tuple[Speaker, ...] | None:
        """Take up a tick's levels; return the speakers when an interval is over and they have changed.

        Args:
            now: of the tick.
            audible: tracks that may speak, with their owners: announced and not muted.
            heard: how loud tracks are that are not silent, from above 0 to 1, also of other calls.
        """
        self._hear(audible, heard)
        if self._judge_at is None:
            if not self._heard:
                self._reports = 0
                return None
            self._judge_at = after_ms(now, self._interval_ms)
        if now < self._judge_at:
            return None
        self._score(set(audible.values()))
        self._rank()
        is_quiet = not self._scores and not self._order
        self._judge_at = None if is_quiet else after_ms(now, self._interval_ms)
        speakers = tuple(
            Speaker(leg, round(min(self._scores[leg], 1.0), 2)) for leg in self._order[:MAX_SPEAKERS]
        )
        if not _differ(self._told, speakers):
            return None
        self._told = speakers
        return speakers

    def _hear(self, audible: Mapping[TrackHandle, TransportId], heard: Mapping[TrackHandle, float]) -> None:
        self._reports += 1
        loudest: dict[TransportId, float] = {}
        for track in heard.keys() & audible.keys():
            owner = audible[track]
            loudest[owner] = max(loudest.get(owner, 0.0), heard[track])
        for leg, level in loudest.items():
            self._heard[leg] = self._heard.get(leg, 0.0) + level

    def _score(self, legs: set[TransportId]) -> None:
        scores = {}
        for leg in sorted(legs & (self._scores.keys() | self._heard.keys())):
            # The mean over all ticks: a single bang is no speech.
            level = self._heard.get(leg, 0.0) / self._reports
            before = self._scores.get(leg, 0.0)
            score = before + (ATTACK if level > before else RELEASE) * (level - before)
            if score > ENDS_AT / 10:
                scores[leg] = score
        self._scores = scores
        self._heard = {}
        self._reports = 0

    def _rank(self) -> None:
        order = [leg for leg in self._order if self._scores.get(leg, 0.0) >= ENDS_AT]
        new = [leg for leg, score in self._scores.items() if score >= BEGINS_AT and leg not in order]
        order += sorted(new, key=lambda leg: -self._scores[leg])
        for end in range(len(order) - 1, 0, -1):
            for at in range(end):
                if self._overtakes(order[at + 1], order[at]):
                    order[at], order[at + 1] = order[at + 1], order[at]
        self._order = order
        self._turns.passed(self._interval_ms, order, self._scores)
        before = (leg for leg in self._spoken if leg not in order)
        self._spoken = (*order, *before)[:MAX_SPOKEN]

    def _overtakes(self, leg: TransportId, other: TransportId) -> bool:
        """Whether a speaker goes ahead of the one before it."""
        if self._turns.yields(leg, other, self._scores):
            return False
        is_louder = self._scores[leg] > self._scores[other] + OVERTAKES_BY
        return is_louder or self._turns.yields(other, leg, self._scores)


def _differ(before: tuple[Speaker, ...], after: tuple[Speaker, ...]) -> bool:
    if [one.leg for one in before] != [one.leg for one in after]:
        return True
    return any(abs(a.level - b.level) >= TOLD_STEP for a, b in zip(before, after, strict=True))
