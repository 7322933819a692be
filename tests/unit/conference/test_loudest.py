from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.conference.loudest import FADE_S, MAX_TRACKS, Loudest, stating_in
from sfu.conference.speakers import heard_in
from sfu.conference.values import Source
from sfu.conference.view import AnnouncedTrack
from sfu.conference.voices import Voices
from sfu.units import Instant, Kind, TrackHandle, TransportId, after_ms
from tests.unit.conference.caller import encoding_rows

TICK_MS = 50
PLACES = 3
SPEECH, LOUD, MURMUR, ROOM, SILENCE = 30, 0, 50, 80, 127
"""Levels, in -dBov."""


def sound(leg: int, track: int | None = None, *, is_muted: bool = False) -> AnnouncedTrack:
    """A microphone: unless it is said otherwise its track has the number of its owner."""
    return AnnouncedTrack(
        TransportId(leg), TrackHandle(leg if track is None else track), Kind.AUDIO, f"s{leg}", f"t{leg}",
        Source.CAMERA, 0, 0, audio_muted=is_muted, video_muted=False, encodings=1, codec_keys=("opus",),
        cname="c",
    )  # fmt: skip


class Room:
    """A call in which everybody states a level: that of a quiet room, where nothing else is said."""

    def __init__(self, people: int, *, places: int = PLACES, call_size: int = 2) -> None:
        self.loudest = Loudest(places, call_size)
        self.voices = Voices()
        self.now = Instant(0)
        self.sounds = [sound(leg) for leg in range(1, people + 1)]
        self.announce()

    def announce(self) -> None:
        self.loudest.announce(self.now, self.sounds)

    def hear(self, duration_ms: int = TICK_MS, *, others: int = ROOM, **levels: int) -> set[int]:
        """Levels (`p1=30` of track 1) last for so long; whose tracks are forwarded then."""
        stated = {one.track: levels.get(f"p{one.track}", others) for one in self.sounds}
        rows = encoding_rows(*((track, 0, level) for track, level in stated.items()))
        for _ in range(duration_ms // TICK_MS):
            self.now = after_ms(self.now, TICK_MS)
            voices = self.voices.report(self.now, stated.keys(), heard_in(rows))
            self.loudest.report(self.now, voices, stating_in(rows))
        return self.heard

    def speak(self, duration_ms: int, **levels: int) -> set[int]:
        """The same with the pauses of speech."""
        for _ in range(duration_ms // 1_000):
            self.hear(900, **levels)
            self.hear(100)
        return self.heard

    @property
    def heard(self) -> set[int]:
        return {int(one.track) for one in self.sounds} - {int(track) for track in self.loudest.unheard}


def test_as_many_are_heard_as_there_are_places() -> None:
    room = Room(10)
    assert len(room.hear()) == PLACES


@pytest.mark.parametrize(("people", "is_large"), [(5, False), (6, True)])
def test_it_begins_at_a_size_of_the_call(people: int, is_large: bool) -> None:
    assert (len(Room(people, call_size=6).hear()) < people) is is_large


def test_where_there_are_places_for_all_everybody_is_heard() -> None:
    assert len(Room(4, places=4).hear()) == 4


def test_without_places_there_is_no_limit() -> None:
    assert len(Room(10, places=0).hear()) == 10


def test_who_begins_to_speak_is_heard_within_a_tick() -> None:
    for newcomer in range(1, 11):
        room = Room(10)
        room.hear(1_000)
        assert newcomer in room.hear(TICK_MS, **{f"p{newcomer}": MURMUR})


def test_who_spoke_last_keeps_a_place_in_silence() -> None:
    room = Room(10)
    for talker in ("p7", "p8", "p9"):
        room.hear(1_000, **{talker: SPEECH})
    assert room.hear(60_000) == {7, 8, 9}
    assert room.hear(1_000, p2=SPEECH) == {2, 8, 9}


def test_a_cough_takes_no_place_from_who_takes_a_breath() -> None:
    room = Room(10)
    room.hear(1_000, p7=SPEECH, p8=SPEECH, p9=SPEECH)
    assert room.hear(500, p1=MURMUR) == {7, 8, 9}


def test_a_room_s_noise_takes_no_place() -> None:
    room = Room(10)
    before = room.hear(1_000)
    for level in (65, 72, 66, 69, 61) * 20:
        assert room.hear(TICK_MS, **{f"p{track}": level for track in range(1, 11)}) == before


def test_of_more_talkers_than_places_the_loudest_are_heard_and_a_little_louder_changes_nothing() -> None:
    room = Room(10)
    assert room.speak(4_000, p1=45, p2=45, p3=45, p4=30, p5=30, p6=30) == {4, 5, 6}
    assert room.speak(4_000, p1=28, p2=28, p3=28, p4=30, p5=30, p6=30) == {4, 5, 6}


def test_who_is_as_loud_gets_the_place_of_who_has_stopped() -> None:
    room = Room(10)
    room.speak(4_000, p4=30, p5=30, p6=30)
    assert room.hear(round(FADE_S * 1_000), p1=30, p5=30, p6=30) == {1, 5, 6}


# --- who states no level ----------------------------------------------------------------------------------


def test_sound_that_states_no_level_is_always_heard() -> None:
    room = Room(10)
    assert {1, 2} <= room.hear(5_000, p1=SILENCE, p2=SILENCE)
    assert len(room.heard) == 2 + PLACES


def test_what_is_said_to_be_muted_is_silence_until_it_is_heard() -> None:
    room = Room(10)
    room.sounds[0] = sound(1, is_muted=True)
    room.announce()
    room.hear(1_000, p1=SILENCE, p5=SPEECH, p6=SPEECH, p7=SPEECH)
    assert room.heard == {5, 6, 7}
    room.hear(1_000, p1=SILENCE)
    assert 1 in room.hear(TICK_MS, p1=SPEECH)


def test_who_has_stated_a_level_is_not_excused_by_stating_none_any_more() -> None:
    room = Room(10)
    room.hear(1_000, p5=SPEECH, p6=SPEECH, p7=SPEECH)
    assert room.hear(10_000, p1=SILENCE) == {5, 6, 7}


# --- who lies ---------------------------------------------------------------------------------------------


def test_a_liar_has_one_place_and_the_others_have_the_rest() -> None:
    room = Room(10)
    for talker in range(2, 11):
        room.hear(1_000, p1=LOUD, **{f"p{talker}": SPEECH})
        assert talker in room.heard
    assert room.heard == {1, 9, 10}


def test_many_tracks_of_a_liar_take_one_place_and_two_of_them_are_heard() -> None:
    room = Room(10)
    room.sounds += [sound(1, track) for track in range(11, 20)]
    room.announce()
    room.speak(4_000, p5=SPEECH, p6=SPEECH, p1=LOUD, **{f"p{track}": LOUD for track in range(11, 20)})
    assert room.heard == {1, 11, 5, 6}
    assert MAX_TRACKS == 2


def test_those_who_always_claim_to_be_loud_do_not_keep_a_talker_out() -> None:
    room = Room(10)
    liars = {f"p{leg}": LOUD for leg in range(1, PLACES + 1)}
    room.hear(60_000, **liars)
    assert room.heard == {1, 2, 3}
    assert 9 in room.hear(TICK_MS, p9=40, **liars)
    for _ in range(60):
        room.hear(100, **liars)
        assert 9 in room.hear(900, p9=40, **liars)


def test_music_is_heard_while_others_are_silent() -> None:
    room = Room(10)
    room.hear(1_000, p7=SPEECH, p8=SPEECH, p9=SPEECH)
    room.hear(5_000)
    assert 1 in room.hear(60_000, p1=25)


def test_music_does_not_give_way_to_who_clears_their_throat() -> None:
    room = Room(10)
    room.hear(60_000, p1=25)
    heard = room.hear(TICK_MS, p1=25, p2=58, p3=58, p4=58)
    assert 1 in heard
    assert len(heard & {2, 3, 4}) == PLACES - 1


# --- who comes and goes -----------------------------------------------------------------------------------


def test_places_of_those_who_have_left_are_given_to_others() -> None:
    room = Room(10)
    room.hear(1_000, p7=SPEECH, p8=SPEECH, p9=SPEECH)
    room.sounds = [one for one in room.sounds if one.owner not in {7, 8}]
    room.announce()
    assert 9 in room.heard
    assert len(room.heard) == PLACES


def test_who_comes_is_heard_until_a_level_is_stated_and_then_competes() -> None:
    room = Room(10)
    room.hear(1_000, p7=SPEECH, p8=SPEECH, p9=SPEECH)
    room.sounds.append(sound(11))
    room.announce()
    assert room.heard == {7, 8, 9, 11}
    assert room.hear(TICK_MS) == {7, 8, 9}


def test_nothing_is_remembered_of_who_has_left() -> None:
    room = Room(10)
    everybody = room.sounds
    assert len(room.hear(1_000, p1=SPEECH)) == PLACES
    room.sounds = []
    room.announce()
    room.sounds = everybody
    room.announce()
    assert len(room.heard) == 10


def test_a_call_that_becomes_small_is_heard_in_full() -> None:
    room = Room(6, call_size=6)
    assert len(room.hear(1_000)) == PLACES
    room.sounds.pop()
    room.announce()
    assert len(room.hear(1_000, p1=SPEECH)) == 5


def test_a_call_that_becomes_large_goes_on_with_those_who_spoke_last() -> None:
    room = Room(5, call_size=6)
    room.hear(1_000, p2=SPEECH)
    room.hear(1_000, p4=SPEECH, p5=SPEECH)
    room.sounds.append(sound(6))
    room.announce()
    assert room.hear() == {2, 4, 5}


@given(
    levels=st.lists(st.lists(st.integers(0, 127), min_size=8, max_size=8), min_size=1, max_size=40),
    places=st.integers(1, 9),
)
def test_there_are_never_more_people_than_places_but_for_those_who_state_nothing(
    levels: list[list[int]], places: int
) -> None:
    room = Room(8, places=places)
    stated: set[int] = set()
    for row in levels:
        said = {f"p{number + 1}": level for number, level in enumerate(row)}
        heard = room.hear(**said)
        stated |= {number + 1 for number, level in enumerate(row) if level < SILENCE}
        assert heard >= set(range(1, 9)) - stated
        assert len(heard & stated) == min(places, len(stated))
