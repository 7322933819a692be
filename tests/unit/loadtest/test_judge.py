from __future__ import annotations

import pytest

from loadtest.client.observations import Observations
from loadtest.client.scene import AUDIO, VIDEO, Party, Scene
from loadtest.judge import (
    MAX_FIRST_FRAME_MS,
    MIN_DECODED_RATIO,
    Attendance,
    Row,
    Verdict,
    judge,
    name_of,
)
from sfu.units import Instant, after_ms

ALICE, BOB, CAROL = (Party(f"@{name}:here", "D") for name in ("alice", "bob", "carol"))
T0 = Instant(10**12)
INTERVAL_MS = 20
FRAMES = 200


class Call:
    """A call of 4 s in which everybody sends a frame every 20 ms and sees what the test says."""

    def __init__(self, *parties: Party) -> None:
        self.scene = Scene()
        self.seen = {party: Observations() for party in parties}
        self.trouble: dict[Party, str] = {}
        for number, party in enumerate(parties):
            self.scene.enter(party, number)
            self.scene.note_invite(party, T0)
            self.scene.note_connected(party, T0)
            for n in range(FRAMES):
                for kind in (AUDIO, VIDEO):
                    self.scene.note_sent(party, kind, after_ms(T0, n * INTERVAL_MS))

    @property
    def end(self) -> Instant:
        return after_ms(T0, FRAMES * INTERVAL_MS)

    def see(self, receiver: Party, sender: Party, kind: str, frames: int, *, from_ms: float = 0) -> None:
        track = self.seen[receiver].track(sender, kind)
        for n in range(frames):
            track.note_frame(after_ms(T0, from_ms + n * INTERVAL_MS))

    def see_all(self) -> None:
        for receiver in self.seen:
            for sender in self.seen:
                if sender != receiver:
                    for kind in (AUDIO, VIDEO):
                        self.see(receiver, sender, kind, FRAMES)

    def verdict(self) -> Verdict:
        return judge(
            self.end,
            self.scene,
            [Attendance(party, seen, self.trouble.get(party)) for party, seen in self.seen.items()],
        )


def row(verdict: Verdict, sender: Party, receiver: Party, kind: str) -> Row:
    (found,) = [r for r in verdict.rows if (r.sender, r.receiver, r.kind) == (sender, receiver, kind)]
    return found


def test_a_call_in_which_everybody_sees_everybody_is_good() -> None:
    call = Call(ALICE, BOB, CAROL)
    call.see_all()
    verdict = call.verdict()
    assert verdict.is_good
    assert len(verdict.rows) == 3 * 2 * 2
    assert {r.decoded_ratio for r in verdict.rows} == {1.0}
    assert (verdict.wrong_frames, verdict.first_frame_ms_p50) == (0, 0.0)


def test_a_pair_without_a_frame_fails_by_name() -> None:
    call = Call(ALICE, BOB)
    call.see(ALICE, BOB, AUDIO, FRAMES)
    call.see(ALICE, BOB, VIDEO, FRAMES)
    call.see(BOB, ALICE, AUDIO, FRAMES)
    verdict = call.verdict()
    assert verdict.faults == ("alice → bob, video: none of 200 frames decoded",)
    assert not verdict.is_good
    assert row(verdict, ALICE, BOB, VIDEO).content()["first_frame_ms"] is None


@pytest.mark.parametrize(("decoded", "is_good"), [(round(FRAMES * MIN_DECODED_RATIO), True), (159, False)])
def test_enough_of_the_frames_sent_must_be_decoded(decoded: int, is_good: bool) -> None:
    call = Call(ALICE, BOB)
    call.see_all()
    call.seen[BOB].track(ALICE, VIDEO).frames_decoded = decoded
    verdict = call.verdict()
    assert verdict.is_good is is_good
    if not is_good:
        assert verdict.faults == ("alice → bob, video: 159 of 200 frames decoded, 79.5% of at least 80%",)


def test_one_wrong_frame_is_too_many() -> None:
    call = Call(ALICE, BOB)
    call.see_all()
    call.seen[ALICE].track(BOB, AUDIO).wrong_frames = 1
    verdict = call.verdict()
    assert verdict.faults == ("bob → alice, audio: wrong frames: 1",)
    assert verdict.wrong_frames == 1


def test_frames_from_before_both_were_there_do_not_count() -> None:
    call = Call(ALICE, BOB)
    late = Party("@dave:here", "D")
    call.seen[late] = Observations()
    call.scene.enter(late, 9)
    call.scene.note_invite(late, after_ms(T0, 1_800))
    call.scene.note_connected(late, after_ms(T0, 2_000))
    call.see(late, ALICE, VIDEO, 95, from_ms=2_100)
    found = row(call.verdict(), ALICE, late, VIDEO)
    assert found.frames_sent == 100
    assert found.decoded_ratio == 0.95
    assert found.first_frame_ms == 300.0


def test_the_first_frame_is_timed_by_pictures_where_there_are_any() -> None:
    call = Call(ALICE, BOB)
    call.see(ALICE, BOB, VIDEO, FRAMES, from_ms=300)
    call.see(BOB, ALICE, VIDEO, FRAMES, from_ms=500)
    call.see(ALICE, BOB, AUDIO, FRAMES, from_ms=10)
    assert call.verdict().first_frame_ms_p50 == 400.0


def test_first_frames_that_take_far_too_long_fail_the_call() -> None:
    call = Call(ALICE, BOB)
    call.see_all()
    for receiver, sender in ((ALICE, BOB), (BOB, ALICE)):
        first_at = after_ms(T0, MAX_FIRST_FRAME_MS + 1)
        call.seen[receiver].track(sender, VIDEO).first_frame_at = first_at
    assert call.verdict().faults == ("half of the first frames took more than 5001 ms, over 5000 ms",)


def test_somebody_who_is_not_there_is_one_reason_not_many() -> None:
    call = Call(ALICE, BOB, CAROL)
    call.see(ALICE, BOB, AUDIO, FRAMES)
    call.see(ALICE, BOB, VIDEO, FRAMES)
    call.see(BOB, ALICE, AUDIO, FRAMES)
    call.see(BOB, ALICE, VIDEO, FRAMES)
    call.trouble[CAROL] = "did not join: rejected"
    verdict = call.verdict()
    assert verdict.troubles == ("carol: did not join: rejected",)
    assert verdict.faults == ()
    assert not verdict.is_good
    assert len(verdict.rows) == 3 * 2 * 2


@pytest.mark.parametrize("dialled", [False, True])
def test_who_never_connected_was_sent_nothing(*, dialled: bool) -> None:
    call = Call(ALICE, BOB)
    call.seen[CAROL] = Observations()
    if dialled:
        call.scene.note_invite(CAROL, T0)
    found = row(call.verdict(), ALICE, CAROL, VIDEO)
    assert (found.frames_sent, found.decoded_ratio) == (0, None)
    assert list(found.faults()) == ["nothing was sent"]


def test_a_picture_that_stands_still_at_the_end_is_a_freeze() -> None:
    call = Call(ALICE, BOB)
    call.see(BOB, ALICE, VIDEO, FRAMES // 2)
    found = row(call.verdict(), ALICE, BOB, VIDEO)
    assert found.freezes == 1
    assert found.freezes_ms == pytest.approx(2_020)


def test_violations_are_told_once_with_their_number_and_fail_nothing() -> None:
    call = Call(ALICE, BOB)
    call.see_all()
    call.seen[BOB].violations += ["seq 3 after 1", "seq 3 after 1", "own stream x announced"]
    verdict = call.verdict()
    assert verdict.violations == ("bob: seq 3 after 1 (2 times)", "bob: own stream x announced")
    assert verdict.is_good


def test_a_row_names_its_pair_and_orders_its_layers() -> None:
    call = Call(ALICE, BOB)
    call.see_all()
    track = call.seen[BOB].track(ALICE, VIDEO)
    for layer in ("f", "q", "h"):
        track.note_layer(layer)
    track.delays_ms.extend((10.0, 20.0, 90.0))
    assert row(call.verdict(), ALICE, BOB, VIDEO).content() == {
        "from": "@alice:here",
        "to": "@bob:here",
        "kind": "video",
        "frames_sent": 200,
        "frames_decoded": 200,
        "decoded_ratio": 1.0,
        "first_frame_ms": 0.0,
        "freezes": 0,
        "freezes_ms": 0.0,
        "delay_ms_p50": 20.0,
        "layers_seen": ["q", "h", "f"],
        "wrong_frames": 0,
    }


def test_people_are_called_by_their_local_names() -> None:
    assert name_of(Party("@alice-1:server:8448", "D")) == "alice-1"
