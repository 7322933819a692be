from __future__ import annotations

from sfu.conference.guests import MAX_GUESTS, MAX_TRACKS, Guests
from sfu.conference.ids import IdSource
from sfu.conference.publications import Publications
from sfu.conference.values import GuestDescription, Source, StreamDescription, TrackDescription
from sfu.negotiation.parameters import ReceiveSection
from sfu.plane import Codec, EncodingSpec, PayloadFormat
from sfu.units import Kind, Mid, PayloadType, Rid, TransportId

TRUNK, OTHER, THIRD = TransportId(101), TransportId(102), TransportId(103)
FIRST_BROUGHT = 1_000
"""A handle beyond those of what is only described."""
RIDS = tuple(Rid(rid) for rid in "qhf")
VP8 = PayloadFormat("VP8", Codec.VP8, PayloadType(96), 90_000)


def camera(name: str, layers: tuple[Rid, ...] = RIDS, **muted: bool) -> StreamDescription:
    tracks = (
        TrackDescription(f"{name}-audio", Kind.AUDIO),
        TrackDescription(f"{name}-video", Kind.VIDEO, 1280, 720, layers),
    )
    return StreamDescription(f"{name}-stream", Source.CAMERA, tracks, **muted)


def guest(name: str, *relayed_to: TransportId) -> GuestDescription:
    return GuestDescription(name, (camera(name),), frozenset(relayed_to))


def brought(*names: str) -> Publications:
    """What a trunk brings: pictures of these people, in three encodings."""
    ids = IdSource()
    while ids.track() < FIRST_BROUGHT:
        pass
    publications = Publications(TRUNK, ids, 10)
    publications.set_sections(
        [
            ReceiveSection(
                mid=Mid(f"s{number}"),
                kind=Kind.VIDEO,
                stream_id=f"{name}-stream",
                track_id=f"{name}-video",
                formats=(VP8,),
                encodings=tuple(EncodingSpec(rid) for rid in RIDS),
                extensions={},
            )
            for number, name in enumerate(names)
        ]
    )
    return publications


def test_guests_have_ids_of_their_own_under_the_names_that_the_signalling_gives() -> None:
    guests = Guests(IdSource())
    guests.describe(TRUNK, [guest("alice"), guest("bob")], ())
    alice, bob = guests.of(TRUNK)
    assert guests.keys == {alice: "alice", bob: "bob"}
    assert (guests.find("alice"), guests.find("carol")) == (alice, None)
    assert (guests.trunk_of(alice), guests.trunk_of(TransportId(999))) == (TRUNK, None)
    assert list(guests) == [alice, bob]


def test_a_track_is_announced_as_it_is_described_before_it_comes() -> None:
    guests = Guests(IdSource())
    described = GuestDescription("alice", (camera("alice", audio_muted=True),))
    guests.describe(TRUNK, [described], ())
    sound, picture = guests.published(guests.of(TRUNK)[0])
    assert (sound.kind, sound.encodings, sound.rids, sound.codec_keys) == (Kind.AUDIO, 1, (), ())
    assert (picture.kind, picture.encodings, picture.rids) == (Kind.VIDEO, 3, RIDS)
    assert (picture.width, picture.height, picture.codec_keys) == (1280, 720, ())
    assert sound.stream.audio_muted
    assert sound.stream.stream_id == "alice-stream"
    assert {sound.track, picture.track} == set(guests.tracks)


def test_what_comes_is_announced_under_the_handle_it_comes_under_and_by_the_same_key() -> None:
    guests = Guests(IdSource())
    guests.describe(TRUNK, [guest("alice")], ())
    (alice,) = guests.of(TRUNK)
    before = guests.published(alice)[1]
    publications = brought("alice")
    (publication,) = publications
    guests.match(TRUNK, publications)
    now = guests.published(alice)[1]
    assert now.track == publication.track
    assert (now.key, now.rids, now.codec_keys) == (before.key, RIDS, ("VP8",))
    assert guests.tracks[now.track] is guests.tracks[before.track]
    guests.match(TRUNK, ())
    assert guests.published(alice)[1] == before


def test_what_comes_before_it_is_described_is_taken_up_then_and_what_nobody_has_is_nobodys() -> None:
    guests = Guests(IdSource())
    publications = brought("nobody", "alice")
    guests.match(TRUNK, publications)
    assert not guests.tracks
    guests.describe(TRUNK, [guest("alice")], publications)
    (alice,) = guests.of(TRUNK)
    nobodys, hers = publications
    assert guests.published(alice)[1].track == hers.track
    assert nobodys.track not in guests.tracks


def test_what_one_trunk_brings_is_no_track_of_anothers_guests() -> None:
    guests = Guests(IdSource())
    guests.describe(TRUNK, [guest("alice")], ())
    guests.match(OTHER, brought("alice"))
    (alice,) = guests.of(TRUNK)
    assert guests.published(alice)[1].codec_keys == ()


def test_a_track_keeps_its_handle_while_it_is_described_and_is_forgotten_when_not() -> None:
    guests = Guests(IdSource())
    guests.describe(TRUNK, [guest("alice")], ())
    before = set(guests.tracks)
    muted = GuestDescription("alice", (camera("alice", video_muted=True),))
    assert guests.describe(TRUNK, [muted], ()).left == ()
    assert set(guests.tracks) == before
    guests.describe(TRUNK, [GuestDescription("alice", ())], ())
    assert not guests.tracks
    assert guests.find("alice") is not None


def test_a_description_is_complete_who_is_not_in_it_has_left() -> None:
    guests = Guests(IdSource())
    guests.describe(TRUNK, [guest("alice"), guest("bob")], ())
    alice, bob = guests.of(TRUNK)
    assert guests.describe(TRUNK, [guest("bob")], ()).left == (alice,)
    assert guests.keys == {bob: "bob"}
    assert {one.guest for one in guests.tracks.values()} == {bob}
    guests.describe(TRUNK, [guest("alice"), guest("bob")], ())
    assert guests.find("alice") not in (alice, None)


def test_whoever_another_trunk_describes_comes_by_that_one_and_has_not_left() -> None:
    guests = Guests(IdSource())
    guests.describe(TRUNK, [guest("alice")], brought("alice"))
    (alice,) = guests.of(TRUNK)
    guests.describe(OTHER, [guest("alice")], ())
    assert guests.trunk_of(alice) == OTHER
    assert guests.published(alice)[1].codec_keys == ()
    assert guests.describe(TRUNK, [], ()).left == ()
    assert guests.keys == {alice: "alice"}


def test_guests_outlive_their_trunk_and_end_when_they_are_removed() -> None:
    guests = Guests(IdSource())
    guests.describe(TRUNK, [guest("alice")], brought("alice"))
    (alice,) = guests.of(TRUNK)
    guests.lose(TRUNK)
    assert (guests.trunk_of(alice), guests.of(TRUNK)) == (None, [])
    assert guests.published(alice)[1].codec_keys == ()
    guests.remove(alice)
    assert not guests.tracks
    assert not guests.keys


def test_media_goes_on_by_trunks_that_were_named_and_never_back() -> None:
    guests = Guests(IdSource())
    assert guests.describe(TRUNK, [guest("alice", TRUNK, OTHER)], ()).is_relayed_otherwise
    (alice,) = guests.of(TRUNK)
    assert [guests.may_pass(alice, one) for one in (TRUNK, OTHER, THIRD)] == [False, True, False]
    assert not guests.may_pass(TransportId(999), OTHER)
    assert not guests.describe(TRUNK, [guest("alice", TRUNK, OTHER)], ()).is_relayed_otherwise
    assert guests.describe(TRUNK, [guest("alice")], ()).is_relayed_otherwise
    assert not guests.may_pass(alice, OTHER)


def test_a_track_is_of_the_first_who_lists_it_and_what_has_no_kind_is_nobodys() -> None:
    guests = Guests(IdSource())
    unknown = StreamDescription("s", Source.CAMERA, (TrackDescription("unknown"),))
    guests.describe(
        TRUNK,
        [guest("alice"), GuestDescription("thief", (camera("alice"),)), GuestDescription("odd", (unknown,))],
        (),
    )
    alice, thief, odd = guests.of(TRUNK)
    assert [len(guests.published(one)) for one in (alice, thief, odd)] == [2, 0, 0]


def test_of_a_trunk_that_floods_no_more_is_kept_than_the_limits() -> None:
    guests = Guests(IdSource())
    guests.describe(TRUNK, [GuestDescription(f"g{number}", ()) for number in range(MAX_GUESTS + 9)], ())
    assert len(guests.of(TRUNK)) == MAX_GUESTS
    tracks = tuple(TrackDescription(f"t{number}", Kind.AUDIO) for number in range(MAX_TRACKS + 9))
    flood = GuestDescription("g0", (StreamDescription("s", Source.CAMERA, tracks),))
    assert len(guests.describe(TRUNK, [flood], ()).left) == MAX_GUESTS - 1
    assert len(guests.tracks) == MAX_TRACKS
    long = TrackDescription("v", Kind.VIDEO, layers=tuple(Rid(str(number)) for number in range(99)))
    guests.describe(TRUNK, [GuestDescription("g0", (StreamDescription("s", Source.CAMERA, (long,)),))], ())
    (track,) = guests.published(guests.of(TRUNK)[0])
    assert track.rids == ("0", "1", "2")
