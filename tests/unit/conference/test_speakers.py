from __future__ import annotations

import pytest

from sfu.conference.speakers import (
    LOUD_DBOV,
    MAX_SPEAKERS,
    MAX_SPOKEN,
    SILENT_DBOV,
    Speakers,
    heard_in,
)
from sfu.conference.values import Speaker, SpeakersChanged
from sfu.units import Instant, TrackHandle, TransportId, after_ms
from tests.unit.conference.caller import Call, Caller, described, encoding_rows, report_of

ALICE, BOB = TransportId(1), TransportId(2)
TICK_MS = 50


class Room:
    """Speakers with levels that hold from tick to tick."""

    def __init__(self, *legs: TransportId) -> None:
        self.speakers = Speakers(300)
        self.now = Instant(1_000_000_000)
        self.audible = {TrackHandle(100 + leg): leg for leg in legs}

    def hear(self, duration_ms: int, **levels: int) -> list[tuple[Speaker, ...]]:
        """All that is told while levels (by leg's number: `leg1=30`) last."""
        told = []
        rows = [(100 + int(name.removeprefix("leg")), 0, level) for name, level in levels.items()]
        for _ in range(duration_ms // TICK_MS):
            self.now = after_ms(self.now, TICK_MS)
            speakers = self.speakers.report(self.now, self.audible, heard_in(encoding_rows(*rows)))
            if speakers is not None:
                told.append(speakers)
        return told


def legs(told: list[tuple[Speaker, ...]]) -> list[list[TransportId]]:
    return [[one.leg for one in speakers] for speakers in told]


def test_somebody_who_begins_to_speak_is_told_within_two_intervals() -> None:
    room = Room(ALICE, BOB)
    assert legs(room.hear(650, leg1=30, leg2=80)) == [[ALICE]]


def test_somebody_who_stops_is_told_once_and_is_not_forgotten_for_a_breath() -> None:
    room = Room(ALICE)
    room.hear(3_000, leg1=30)
    assert room.hear(300, leg1=127) == []
    assert legs(room.hear(1_000, leg1=30)) == []
    assert legs(room.hear(5_000, leg1=127))[-1] == []
    assert room.hear(5_000, leg1=127) == []


def test_a_bang_makes_no_speaker() -> None:
    room = Room(ALICE)
    assert room.hear(50, leg1=0) + room.hear(1_000, leg1=127) == []


def test_noise_makes_no_speaker() -> None:
    room = Room(ALICE)
    assert room.hear(5_000, leg1=60) == []


def test_the_loudest_goes_first_and_only_a_clearly_louder_one_overtakes() -> None:
    room = Room(ALICE, BOB)
    assert legs(room.hear(3_000, leg1=35, leg2=40))[-1] == [ALICE, BOB]
    assert legs(room.hear(3_000, leg1=37, leg2=36)) == []
    assert legs(room.hear(3_000, leg1=45, leg2=30))[-1] == [BOB, ALICE]


def test_a_claim_of_more_than_loud_speech_counts_as_loud_speech() -> None:
    room = Room(ALICE, BOB)
    told = room.hear(6_000, leg1=LOUD_DBOV, leg2=0)[-1]
    assert [one.level for one in told] == pytest.approx([1.0, 1.0], abs=0.02)


@pytest.mark.parametrize("level", [SILENT_DBOV, 100, 127])
def test_silence_is_no_level(level: int) -> None:
    assert Room(ALICE).hear(3_000, leg1=level) == []


def test_whoever_is_not_audible_any_more_speaks_no_more() -> None:
    room = Room(ALICE, BOB)
    room.hear(3_000, leg1=30)
    room.audible = {TrackHandle(102): BOB}
    assert room.hear(350, leg1=30) == [()]


def test_tracks_of_other_calls_are_not_heard() -> None:
    room = Room(ALICE)
    assert room.hear(3_000, leg9=20) == []


def test_two_microphones_of_one_leg_are_one_speaker_as_loud_as_the_louder() -> None:
    room = Room(ALICE)
    room.audible[TrackHandle(102)] = ALICE
    told = room.hear(6_000, leg1=60, leg2=30)[-1]
    assert [one.leg for one in told] == [ALICE]
    assert told[0].level >= 0.7


def test_a_forgotten_leg_is_gone_at_the_next_judgement() -> None:
    room = Room(ALICE)
    room.hear(3_000, leg1=30)
    room.speakers.forget(ALICE)
    room.audible = {}
    assert room.hear(350) == [()]
    assert room.speakers.told == ()


def test_no_more_than_so_many_are_told() -> None:
    everybody = [TransportId(number) for number in range(1, MAX_SPEAKERS + 5)]
    room = Room(*everybody)
    told = room.hear(3_000, **{f"leg{leg}": 30 for leg in everybody})
    assert len(told[-1]) == MAX_SPEAKERS


def test_a_conference_tells_who_speaks_and_leaves_out_the_muted() -> None:
    call = Call()
    alice, bob = (call.join(Caller.with_media(name)) for name in ("alice", "bob"))
    tracks = [one.tracks[0].track for one in call.conference.snapshot().legs]
    rows = encoding_rows((tracks[0], 0, 30), (tracks[1], 0, 35))

    def listen() -> list[object]:
        told: list[object] = []
        for _ in range(60):
            call.pass_ms(TICK_MS)
            told += call.conference.report(call.now, report_of(call.now, encodings=rows))
        return told

    told = [one for one in listen() if isinstance(one, SpeakersChanged)]
    assert [one.leg for one in told[-1].speakers] == [alice, bob]
    call.conference.streams_described(call.now, alice, described("alice", audio_muted=True))
    told = [one for one in listen() if isinstance(one, SpeakersChanged)]
    assert [one.leg for one in told[-1].speakers] == [bob]
    assert call.conference.snapshot().speakers == told[-1].speakers


# --- whose picture comes first ----------------------------------------------------------------------------


def test_who_spoke_before_is_remembered_in_order_of_who_did_last() -> None:
    carol = TransportId(3)
    room = Room(ALICE, BOB, carol)
    for leg in (ALICE, BOB, carol):
        room.hear(3_000, **{f"leg{leg}": 30})
        room.hear(3_000)
    assert room.speakers.told == ()
    assert list(room.speakers.spoken) == [carol, BOB, ALICE]
    room.hear(3_000, leg1=30)
    assert list(room.speakers.spoken) == [ALICE, carol, BOB]
    room.speakers.forget(carol)
    assert list(room.speakers.spoken) == [ALICE, BOB]


def test_no_more_than_so_many_who_spoke_are_remembered() -> None:
    everybody = [TransportId(number) for number in range(1, MAX_SPOKEN + 5)]
    room = Room(*everybody)
    for leg in everybody:
        room.hear(900, **{f"leg{leg}": 30})
        room.hear(3_000)
    assert room.speakers.spoken == tuple(reversed(everybody[4:]))


# --- who lies ---------------------------------------------------------------------------------------------


def first_of_the_time(levels: list[dict[str, int]]) -> float:
    """How much of the time Alice is first who speaks all the time, beside what Bob claims, a second each."""
    room = Room(ALICE, BOB)
    room.hear(5_000, leg2=levels[0]["leg2"])
    firsts = []
    for number in range(120):
        said = levels[number % len(levels)]
        room.hear(850, leg1=30, **said)
        room.hear(150, **said)
        firsts.append(room.speakers.spoken[0])
    return firsts.count(ALICE) / len(firsts)


@pytest.mark.parametrize(
    "claims",
    [(0,), (0, 0, 0, 127, 127), (0, 127), (LOUD_DBOV, 60)],
    ids=["always", "in-sentences", "in-words", "breathing"],
)
def test_however_loud_a_claim_is_who_speaks_is_first_for_half_of_the_time(claims: tuple[int, ...]) -> None:
    assert first_of_the_time([{"leg2": claim} for claim in claims]) >= 0.45


def test_a_murmur_beside_a_lecture_never_comes_first() -> None:
    assert first_of_the_time([{"leg2": 127}, {"leg2": 48}]) == 1.0
