from __future__ import annotations

import pytest

from sfu.conference.ids import IdSource
from sfu.conference.publications import MAX_DESCRIBED, Publications
from sfu.conference.values import Source, StreamDescription, TrackDescription
from sfu.negotiation.parameters import ReceiveSection
from sfu.plane import Codec, EncodingSpec, PayloadFormat, SetTrack
from sfu.units import NO_RID, Kind, Mid, PayloadType, Rid, TrackHandle, TransportId

VP8 = PayloadFormat("VP8", Codec.VP8, PayloadType(96), 90_000, PayloadType(97))


def section(mid: str = "1", track_id: str = "T", stream_id: str = "S", rids: str = "") -> ReceiveSection:
    encodings = tuple(EncodingSpec(Rid(rid)) for rid in rids) or (EncodingSpec(NO_RID),)
    return ReceiveSection(Mid(mid), Kind.VIDEO, stream_id, track_id, (VP8,), encodings, {})


def publications(*sections: ReceiveSection, seen: bool = True) -> Publications:
    found = Publications(TransportId(1), IdSource(), 100)
    found.set_sections(sections)
    if seen:
        for one in found:
            found.bind(one.track, 0)
    return found


def stream(stream_id: str, *track_ids: str, source: Source = Source.CAMERA) -> StreamDescription:
    return StreamDescription(stream_id, source, tuple(TrackDescription(track_id) for track_id in track_ids))


def test_a_track_is_matched_by_its_own_id_whatever_its_stream_is_called() -> None:
    found = publications(section(stream_id="stale"))
    found.describe([stream("other", "x"), stream("S", "T", source=Source.SCREEN)])
    assert [(one.stream.stream_id, one.stream.source) for one in found.published()] == [("S", Source.SCREEN)]


def test_a_stream_that_lists_no_tracks_stands_for_all_its_own() -> None:
    found = publications(section("1", "T1"), section("2", "T2"), section("3", "T3", "other"))
    found.describe([stream("S")])
    assert [one.track_id for one in found.published()] == ["T1", "T2"]


def test_a_description_before_its_section_counts_when_the_section_comes() -> None:
    found = publications()
    found.describe([stream("S", "T")])
    found.set_sections([section()])
    for one in found:
        found.bind(one.track, 0)
    assert [one.track_id for one in found.published()] == ["T"]


def test_a_description_replaces_the_one_before() -> None:
    found = publications(section("1", "T1"), section("2", "T2"))
    found.describe([stream("S", "T1")])
    found.describe([stream("S", "T2")])
    assert [one.track_id for one in found.published()] == ["T2"]


def test_no_more_of_a_description_is_remembered_than_is_of_use() -> None:
    names = [f"T{number}" for number in range(MAX_DESCRIBED + 10)]
    found = publications(
        *(section(name[1:], name) for name in (names[0], names[MAX_DESCRIBED - 1], names[-1]))
    )
    found.describe([stream("S", *names)])
    assert [one.track_id for one in found.published()] == [names[0], names[MAX_DESCRIBED - 1]]
    found.describe([stream(name, name) for name in names])
    assert [one.track_id for one in found.published()] == [names[0], names[MAX_DESCRIBED - 1]]


def test_the_plane_is_told_of_other_encodings_and_not_of_another_stream_id() -> None:
    found = publications(section(rids="qhf"))
    assert found.set_sections([section(stream_id="flipped", rids="qhf")]) == []
    changed = found.set_sections([section(rids="qf")])
    assert [len(one.encodings) for one in changed if isinstance(one, SetTrack)] == [2]
    assert [one.bound for one in found] == [set()]


@pytest.mark.parametrize("method", ["bind", "unbind"])
def test_events_of_a_track_that_has_gone_are_ignored(method: str) -> None:
    found = publications(section())
    getattr(found, method)(TrackHandle(99), 0)
    assert [one.bound for one in found] == [{0}]
