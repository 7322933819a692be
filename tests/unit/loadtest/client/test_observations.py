from __future__ import annotations

from loadtest.client.observations import FREEZE_MS, MAX_DELAYS, Observations, TrackObservations
from loadtest.client.scene import AUDIO, VIDEO, Party
from sfu.units import Instant, after_ms

ALICE = Party("@alice:here", "A")
T0 = Instant(10**12)


def test_a_pause_longer_than_the_limit_is_one_freeze_of_its_length() -> None:
    track = TrackObservations()
    for at_ms in (0, 66, 66 + FREEZE_MS, 66 + FREEZE_MS + 500):
        track.note_frame(after_ms(T0, at_ms))
    assert (track.freezes, track.freezes_ms) == (1, 500.0)
    assert (track.frames_decoded, track.first_frame_at) == (4, T0)


def test_a_picture_that_stands_now_is_a_freeze_only_after_the_limit() -> None:
    track = TrackObservations()
    assert track.freezing_ms(T0) == 0.0
    track.note_frame(T0)
    assert track.freezing_ms(after_ms(T0, FREEZE_MS)) == 0.0
    assert track.freezing_ms(after_ms(T0, FREEZE_MS + 1)) == FREEZE_MS + 1


def test_neither_mute_nor_an_expected_pause_is_a_freeze() -> None:
    track = TrackObservations()
    track.note_frame(T0)
    track.note_mute(muted=True)
    assert track.freezing_ms(after_ms(T0, 10_000)) == 0.0
    track.note_mute(muted=False)
    track.note_frame(after_ms(T0, 10_000))
    track.note_pause()
    track.note_frame(after_ms(T0, 20_000))
    assert (track.freezes, track.freezes_ms, track.mutes_seen) == (0, 0.0, 1)


def test_layers_are_remembered_and_switches_counted() -> None:
    track = TrackObservations()
    for layer in ("q", "q", "f", "q"):
        track.note_layer(layer)
    assert (track.layers_seen, track.layer_switches, track.current_layer) == ({"q", "f"}, 2, "q")


def test_delays_are_bounded() -> None:
    track = TrackObservations()
    track.delays_ms.extend(float(n) for n in range(MAX_DELAYS + 10))
    assert len(track.delays_ms) == MAX_DELAYS
    assert TrackObservations().delay_ms_p50 is None


def test_wrong_frames_of_all_tracks_add_up() -> None:
    seen = Observations()
    seen.track(ALICE, VIDEO).wrong_frames = 2
    seen.track(ALICE, AUDIO).wrong_frames = 3
    seen.track(ALICE, AUDIO).frames_decoded = 7
    assert seen.wrong_frames() == 5
    assert (seen.frames_decoded(ALICE, AUDIO), seen.frames_decoded(Party("@x:here", "X"), AUDIO)) == (7, 0)
