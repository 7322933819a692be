from __future__ import annotations

import pytest

from sfu.conference.voices import FLOOR_RISE, MAX_RISE_S, Voices
from sfu.units import Instant, TrackHandle, after_s

ONE, OTHER = TrackHandle(1), TrackHandle(2)
TICK_S = 0.05


class Ear:
    """Hears one sound, tick after tick."""

    def __init__(self) -> None:
        self.voices = Voices()
        self.now = Instant(0)

    def hear(self, loudness: float, ticks: int = 1, tick_s: float = TICK_S) -> float:
        """Its speech at the end of so many ticks."""
        speech = 0.0
        for _ in range(ticks):
            self.now = after_s(self.now, tick_s)
            heard = {ONE: loudness} if loudness else {}
            found = self.voices.report(self.now, {ONE}, heard)
            speech = found[ONE].speech if ONE in found else 0.0
        return speech


def test_what_begins_counts_in_full() -> None:
    voice = Voices().report(Instant(0), {ONE}, {ONE: 0.8})[ONE]
    assert (voice.loudness, voice.speech) == (0.8, 0.8)


def test_what_never_pauses_counts_less_and_less_and_then_nothing() -> None:
    ear = Ear()
    ear.hear(1.0)
    assert ear.hear(1.0, ticks=round(10 / TICK_S)) == pytest.approx(1 - 10 * FLOOR_RISE)
    assert ear.hear(1.0, ticks=round(50 / TICK_S)) == 0.0


def test_one_tick_of_silence_is_a_pause() -> None:
    ear = Ear()
    ear.hear(0.8, ticks=400)
    assert ear.hear(0.8) < 0.5
    ear.hear(0.0)
    assert ear.hear(0.8) == 0.8


def test_above_a_steady_noise_a_voice_counts_from_there() -> None:
    ear = Ear()
    ear.hear(0.3, ticks=400)
    assert ear.hear(0.9) == pytest.approx(0.6, abs=0.01)


def test_a_report_that_comes_late_lifts_no_more_than_one_in_time() -> None:
    ear = Ear()
    ear.hear(1.0)
    assert ear.hear(1.0, tick_s=60.0) == pytest.approx(1 - FLOOR_RISE * MAX_RISE_S)


def test_sounds_of_other_calls_are_none_of_ours() -> None:
    assert Voices().report(Instant(0), {ONE}, {OTHER: 0.8}) == {}
