from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sfu.conference.reports import Counted
from sfu.conference.speakers import LOUD_DBOV
from sfu.conference.speech import Speech
from sfu.conference.turn import CloseLeg, SetSpeech
from sfu.conference.values import Source, SpeakersChanged
from sfu.conference.view import AnnouncedTrack
from sfu.config import ConferenceConfig
from sfu.units import ConferenceId, Instant, Kind, TrackHandle, TransportId, after_ms
from tests.unit.conference.caller import Call, Caller, described, encoding_rows, of_type, report_of, tracks_of

if TYPE_CHECKING:
    from collections.abc import Sequence

CALL = ConferenceId(7)
ALICE, BOB, CAROL = TransportId(1), TransportId(2), TransportId(3)
TICK_MS = 50
SPEECH, ROOM, SILENCE = 30, 80, 127


def announced(leg: TransportId, kind: Kind, source: Source = Source.CAMERA) -> AnnouncedTrack:
    """Leg 1 has its microphone as track 10, its camera as 11 and its screen as 12."""
    track = TrackHandle(10 * leg + (kind is Kind.VIDEO) + (source is Source.SCREEN))
    return AnnouncedTrack(
        leg, track, kind, f"s{leg}", f"t{track}", source, 0, 0,
        audio_muted=False, video_muted=False, encodings=1, codec_keys=(), cname="c",
    )  # fmt: skip


def media(*legs: TransportId) -> list[AnnouncedTrack]:
    return [announced(leg, kind) for leg in legs for kind in (Kind.AUDIO, Kind.VIDEO)]


class Room:
    """Three people with microphones and cameras."""

    def __init__(self, config: ConferenceConfig | None = None) -> None:
        self.speech = Speech(CALL, config or ConferenceConfig())
        self.now = Instant(0)
        self.speech.announce(self.now, media(ALICE, BOB, CAROL))

    def hear(self, duration_ms: int, **levels: int) -> list[Any]:
        """All that is told while levels (`leg1=30`) last; who is not named is in a quiet room."""
        stated = {f"leg{leg}": ROOM for leg in (ALICE, BOB, CAROL)} | levels
        rows = encoding_rows(*((10 * int(leg[-1]), 0, level) for leg, level in stated.items()))
        told: list[Any] = []
        for _ in range(duration_ms // TICK_MS):
            self.now = after_ms(self.now, TICK_MS)
            told += self.speech.report(self.now, Counted.of(report_of(self.now, encodings=rows)))
        return told

    def speak(self, duration_s: int, claims: dict[str, int] | None = None, **levels: int) -> list[Any]:
        """The same with the pauses of speech; claims know none."""
        told: list[Any] = []
        for _ in range(duration_s):
            told += self.hear(850, **(claims or {}), **levels)
            told += self.hear(150, **(claims or {}))
        return told


def speech(outputs: Sequence[object]) -> list[SetSpeech]:
    return of_type(outputs, SetSpeech)


def test_the_camera_of_who_speaks_comes_first_and_stays_until_others_have_spoken() -> None:
    room = Room()
    told = speech(room.hear(2_000, leg2=SPEECH))
    assert told == [SetSpeech(CALL, cameras=(TrackHandle(21),))]
    assert speech(room.hear(10_000)) == []
    told = speech(room.hear(2_000, leg3=SPEECH))
    assert told == [SetSpeech(CALL, cameras=(TrackHandle(31), TrackHandle(21)))]


def test_a_screen_is_no_camera_and_another_camera_is_told_at_once() -> None:
    room = Room()
    room.hear(2_000, leg1=SPEECH)
    screen = announced(ALICE, Kind.VIDEO, Source.SCREEN)
    assert room.speech.announce(room.now, [*media(ALICE, BOB, CAROL), screen]) == []
    other = replace(announced(ALICE, Kind.VIDEO), track=TrackHandle(99))
    told = room.speech.announce(room.now, [announced(ALICE, Kind.AUDIO), other, *media(BOB, CAROL)])
    assert told == [SetSpeech(CALL, cameras=(TrackHandle(99),))]


def test_sound_that_nobody_needs_is_told_in_the_tick_that_finds_it() -> None:
    room = Room(ConferenceConfig(loudest=1, loudest_from=3))
    assert [one.unheard for one in speech(room.hear(TICK_MS))] == [(20, 30)]
    assert [one.unheard for one in speech(room.hear(TICK_MS, leg3=SPEECH))] == [(10, 20)]


def test_who_is_said_to_be_muted_is_no_speaker_and_is_heard_all_the_same() -> None:
    room = Room(ConferenceConfig(loudest=1, loudest_from=3))
    muted = replace(announced(CAROL, Kind.AUDIO), audio_muted=True)
    room.speech.announce(room.now, [*media(ALICE, BOB), muted])
    told = room.hear(2_000, leg3=SPEECH)
    assert of_type(told, SpeakersChanged) == []
    assert speech(told)[-1].unheard == (10, 20)


def test_a_client_that_always_claims_to_be_loud_is_no_speaker_in_the_end() -> None:
    room = Room()
    room.speak(60, claims={"leg1": 0}, leg2=SPEECH)
    assert [one.leg for one in room.speech.told] == [BOB]
    told = speech(room.speak(120, claims={"leg1": LOUD_DBOV}, leg2=SPEECH))
    assert told == []


def test_nothing_is_told_twice() -> None:
    room = Room()
    assert len(speech(room.speak(30, leg1=SPEECH))) == 1


def test_a_call_that_is_over_is_told_with_nobody_in_it() -> None:
    call = Call()
    alice, bob = (call.join(Caller.with_media(name)) for name in ("alice", "bob"))
    (sound, camera), _ = ([one.track for one in leg.tracks] for leg in call.conference.snapshot().legs)
    told: list[Any] = []
    for _ in range(40):
        call.pass_ms(TICK_MS)
        rows = encoding_rows((sound, 0, SPEECH))
        told += call.conference.report(call.now, report_of(call.now, encodings=rows))
    assert speech(told) == [SetSpeech(call.conference.id, cameras=(camera,))]
    assert speech(call.conference.remove_leg(call.now, bob)) == []
    assert call.conference.remove_leg(call.now, alice)[-2:] == [
        SetSpeech(call.conference.id),
        CloseLeg(alice),
    ]
    assert speech(call.settle()) == []


@pytest.mark.parametrize("loudest", [0, 1])
def test_a_conference_keeps_to_the_number_of_the_loudest_that_it_was_given(loudest: int) -> None:
    call = Call(ConferenceConfig(loudest=loudest, loudest_from=2))
    for name in ("alice", "bob"):
        call.join(Caller.with_media(name))
    sounds = [leg.tracks[0].track for leg in call.conference.snapshot().legs]
    rows = encoding_rows(*((track, 0, ROOM) for track in sounds))
    told = call.conference.report(call.now, report_of(call.now, encodings=rows))
    assert [one.unheard for one in speech(told)] == ([(sounds[1],)] if loudest else [])


def test_sound_that_comes_while_all_places_are_taken_is_told_when_it_is_announced() -> None:
    call = Call(ConferenceConfig(loudest=1, loudest_from=2))
    call.join(Caller.with_media("alice"), described("alice", audio_muted=True))
    leg, _ = call.conference.add_leg(call.now, admitted=True)
    offer, streams = Caller.with_media("bob").offer(), described("bob", audio_muted=True)
    outputs = call.conference.offer_received(call.now, leg, offer, streams)
    sound = tracks_of(outputs)["0"]
    call.bind(outputs)
    assert [one.unheard for one in speech(call.settle())] == [(sound,)]
