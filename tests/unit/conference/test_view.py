from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from sfu.conference.publications import PublishedTrack, Stream
from sfu.conference.values import Source
from sfu.conference.view import Board
from sfu.units import Instant, Kind, Mid, Rid, TrackHandle, TransportId, after_ms

NOW = Instant(0)
DELAY_MS = 200
LATER = after_ms(NOW, DELAY_MS)
ALICE, BOB, CAROL = TransportId(1), TransportId(2), TransportId(3)


def published(
    number: int,
    stream_id: str = "S",
    track_id: str = "T",
    source: Source = Source.CAMERA,
    kind: Kind = Kind.VIDEO,
) -> PublishedTrack:
    return PublishedTrack(
        key=(Mid(str(number)), track_id),
        track=TrackHandle(number),
        kind=kind,
        track_id=track_id,
        stream=Stream(stream_id, source),
        width=1280,
        height=720,
        encodings=3,
        codec_keys=("VP8",),
    )


def flushed(*owners: tuple[TransportId, tuple[PublishedTrack, ...]]) -> Board:
    board = Board(DELAY_MS)
    for owner, tracks in owners:
        board.note(NOW, owner, tracks)
    board.flush(LATER)
    return board


def ids(board: Board, leg: TransportId) -> list[tuple[str, str]]:
    return [
        (one.stream.stream_id, track.track_id)
        for one in board.view_without(leg)
        for track in one.stream.tracks
    ]


def test_ids_are_kept_where_they_are_unique() -> None:
    board = flushed(
        (ALICE, (published(1, "S1", "T1"), published(2, "S1", "T2"))), (BOB, (published(3, "S2", "T3"),))
    )
    assert ids(board, CAROL) == [("S1", "T1"), ("S1", "T2"), ("S2", "T3")]
    assert ids(board, BOB) == [("S1", "T1"), ("S1", "T2")]


def test_some_owners_are_seen_and_others_not() -> None:
    board = flushed((ALICE, (published(1, "S1", "T1"),)), (BOB, (published(3, "S2", "T3"),)))
    assert [one.owner for one in board.view(lambda owner: owner == BOB)] == [BOB]
    assert board.view(lambda _: True) == board.view_without(CAROL)


def test_what_is_to_be_looked_at_again_is_after_the_delay() -> None:
    board = flushed((ALICE, (published(1),)))
    assert board.next_timeout() is None
    board.look_again(LATER)
    assert board.next_timeout() == after_ms(LATER, DELAY_MS)
    change = board.flush(after_ms(LATER, DELAY_MS))
    assert (change.owners, change.tracks) == (frozenset(), frozenset())


def test_encodings_are_announced_by_name() -> None:
    rids = Rid("q"), Rid("h"), Rid("f")
    board = flushed((ALICE, (replace(published(1), rids=rids),)))
    (view,) = board.view_without(BOB)
    assert view.stream.tracks[0].layers == rids
    board.note(LATER, ALICE, (replace(published(1), rids=rids[:2], encodings=2),))
    board.flush(after_ms(LATER, DELAY_MS))
    (view,) = board.view_without(BOB)
    assert view.stream.tracks[0].layers == rids[:2]


def test_ids_that_two_legs_use_are_told_apart() -> None:
    board = flushed((ALICE, (published(1),)), (BOB, (published(2),)))
    told = ids(board, CAROL)
    assert len({stream_id for stream_id, _ in told}) == len({track_id for _, track_id in told}) == 2


def test_whoever_comes_later_with_the_same_ids_takes_nothing_from_the_first() -> None:
    board = flushed((ALICE, (published(1),)))
    board.note(LATER, BOB, (published(2),))
    board.flush(LATER)
    assert ids(board, BOB) == [("S", "T")]
    assert ids(board, ALICE) == [("S~1", "T~1")]


def test_a_track_id_that_one_leg_uses_twice_is_told_apart_too() -> None:
    board = flushed((ALICE, (published(1), published(2))))
    assert ids(board, BOB) == [("S", "T"), ("S", "T~1")]


def test_ids_that_do_not_fit_an_sdp_line_are_replaced() -> None:
    for bad in ("", "-", "a b", "a\r\nb=x", "ä", "x" * 256):
        board = flushed((ALICE, (published(1, bad, bad),)))
        assert ids(board, BOB) == [("stream-1~1", "track-1~1")]


def test_a_rewritten_id_is_never_longer_than_an_id_may_be() -> None:
    long = "x" * 255
    board = flushed((ALICE, (published(1, long, long),)), (BOB, (published(2, long, long),)))
    assert all(len(one) <= 255 for pair in ids(board, CAROL) for one in pair)


def test_a_track_that_moves_to_a_stream_of_another_source_is_announced_in_another_stream() -> None:
    board = flushed((ALICE, (published(1, "S", "T1"), published(2, "S", "T2"))))
    moved = replace(published(2, "S", "T2"), stream=Stream("S", Source.SCREEN))
    board.note(LATER, ALICE, (published(1, "S", "T1"), moved))
    board.flush(LATER)
    assert [(one.stream.stream_id, one.stream.source) for one in board.view_without(BOB)] == [
        ("S", Source.CAMERA),
        ("S~1", Source.SCREEN),
    ]
    assert ids(board, BOB) == [("S", "T1"), ("S~1", "T2")]


def test_one_that_moves_into_an_announced_screen_joins_it() -> None:
    camera = published(1, "S1", "T1")
    screen = published(2, "S2", "T2", Source.SCREEN)
    board = flushed((ALICE, (camera, screen)))
    board.note(LATER, ALICE, (replace(camera, stream=Stream("S2", Source.SCREEN)), screen))
    board.flush(LATER)
    assert sorted(ids(board, BOB)) == [("S2", "T1"), ("S2", "T2")]


def test_mute_flags_come_from_the_stream_that_has_such_a_track() -> None:
    audio = replace(
        published(1, "S1", "A", kind=Kind.AUDIO), stream=Stream("S1", Source.CAMERA, audio_muted=True)
    )
    video = replace(published(2, "S1", "V"), stream=Stream("S1", Source.CAMERA, video_muted=True))
    stream = flushed((ALICE, (audio, video))).view_without(BOB)[0].stream
    assert (stream.audio_muted, stream.video_muted) == (True, True)


def test_its_tracks_are_those_that_are_announced() -> None:
    board = flushed((ALICE, (published(1, "S1", "A", kind=Kind.AUDIO), published(3, "S1", "V"))))
    board.note(NOW, BOB, (published(2, "S2", "T2"),))
    assert [(one.owner, one.track) for one in board.tracks] == [(ALICE, 1), (ALICE, 3)]
    board.flush(LATER)
    assert [one.track for one in board.tracks] == [1, 3, 2]


def test_a_change_names_its_owners_and_its_tracks() -> None:
    board = flushed((ALICE, (published(1, "S1", "T1"),)), (BOB, (published(2, "S2", "T2"),)))
    board.note(LATER, BOB, (replace(published(2, "S2", "T2"), encodings=1),))
    change = board.flush(LATER)
    assert (set(change.owners), set(change.tracks)) == (set(), {("S2", "T2")})
    board.note(LATER, BOB, ())
    change = board.flush(after_ms(LATER, DELAY_MS))
    assert (set(change.owners), set(change.tracks)) == ({BOB}, {("S2", "T2")})


def test_nothing_new_is_no_change_and_wakes_nobody() -> None:
    board = flushed((ALICE, (published(1),)))
    board.note(LATER, ALICE, (published(1),))
    board.note(LATER, BOB, ())
    assert board.next_timeout() is None
    change = board.flush(LATER)
    assert not change.owners | change.tracks


def test_a_leg_that_has_left_is_gone_at_the_next_flush_and_its_ids_are_free() -> None:
    board = flushed((ALICE, (published(1),)))
    board.remove(LATER, ALICE)
    board.note(LATER, BOB, (published(2),))
    board.flush(LATER)
    assert ids(board, ALICE) == [("S", "T")]
    assert ids(board, BOB) == []
    assert board.next_timeout() is None


_TRACKS = st.builds(
    published,
    st.integers(1, 6),
    st.sampled_from(["S", "S~1", "", "A"]),
    st.sampled_from(["T", "T~1", "S", "x y"]),
    st.sampled_from(Source),
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([ALICE, BOB, CAROL]), st.lists(_TRACKS, max_size=4)), max_size=12))
def test_announced_ids_are_unique_whatever_legs_call_their_tracks(
    steps: list[tuple[TransportId, list[PublishedTrack]]],
) -> None:
    board, now = Board(DELAY_MS), NOW
    for owner, tracks in steps:
        unique = {one.key: replace(one, track=TrackHandle(10 * owner + one.track)) for one in tracks}
        board.note(now, owner, tuple(unique.values()))
        now = after_ms(now, DELAY_MS / 2)
        board.flush(now)
        told = ids(board, TransportId(99))
        assert len({track_id for _, track_id in told}) == len(told)
        owners = {
            (one.stream.stream_id, one.owner, one.stream.source)
            for one in board.view_without(TransportId(99))
        }
        assert len({stream_id for stream_id, _, _ in owners}) == len(owners)
        assert all(board.find(one) is not None for one in told)
