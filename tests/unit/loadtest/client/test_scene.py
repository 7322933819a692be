from __future__ import annotations

from loadtest.client.scene import AUDIO, VIDEO, Party, Scene
from loadtest.media.video import FrameLabel, Source
from sfu.units import Instant, after_ms

ALICE, BOB = Party("@alice:here", "A"), Party("@bob:here", "B")
T0 = Instant(10**12)


def test_the_first_invite_counts() -> None:
    scene = Scene()
    assert scene.invited_at(ALICE) is None
    scene.note_invite(ALICE, T0)
    scene.note_invite(ALICE, after_ms(T0, 5))
    assert scene.invited_at(ALICE) == T0


def test_the_first_connection_counts() -> None:
    scene = Scene()
    assert scene.connected_at(ALICE) is None
    scene.note_connected(ALICE, T0)
    scene.note_connected(ALICE, after_ms(T0, 5))
    assert scene.connected_at(ALICE) == T0


def test_frames_sent_are_counted_by_party_kind_and_time() -> None:
    scene = Scene()
    for n in range(10):
        scene.note_sent(ALICE, VIDEO, after_ms(T0, n * 10))
    assert scene.sent_between(ALICE, VIDEO, after_ms(T0, 20), after_ms(T0, 50)) == 4
    assert scene.sent_between(ALICE, AUDIO, T0, after_ms(T0, 100)) == 0
    assert scene.sent_between(BOB, VIDEO, T0, after_ms(T0, 100)) == 0


def test_a_repeated_picture_has_its_newest_time() -> None:
    scene = Scene()
    label = FrameLabel(1, Source.CAMERA, 2, 7)
    assert scene.sent_at(label) is None
    scene.note_picture(label, T0)
    scene.note_picture(label, after_ms(T0, 4_000))
    assert scene.sent_at(label) == after_ms(T0, 4_000)


def test_who_is_not_of_this_process_has_no_number() -> None:
    scene = Scene()
    scene.enter(ALICE, 3)
    assert (scene.sender_of(ALICE), scene.sender_of(BOB)) == (3, None)
