from __future__ import annotations

from dataclasses import replace

from sfu.conference.ids import IdSource
from sfu.conference.routes import Routes
from sfu.conference.subscriptions import Subscriptions
from sfu.conference.values import Source, Wish
from sfu.conference.view import AnnouncedTrack, TrackIds
from sfu.negotiation.parameters import LegParameters, SendSection
from sfu.plane import Codec, PayloadFormat, RemoveRoute, SetRoute
from sfu.units import Kind, Mid, PayloadType, Rid, Ssrc, TrackHandle, TransportId

LIMIT = 5


def subscriptions() -> Subscriptions:
    return Subscriptions(TransportId(1), IdSource(), Routes(), limit=LIMIT, max_height=0)


def announced(stream_id: str, track_id: str = "T", track: int = 1, owner: int = 2) -> AnnouncedTrack:
    return AnnouncedTrack(
        owner=TransportId(owner),
        track=TrackHandle(track),
        kind=Kind.VIDEO,
        stream_id=stream_id,
        track_id=track_id,
        source=Source.CAMERA,
        width=0,
        height=0,
        audio_muted=False,
        video_muted=False,
        encodings=1,
        codec_keys=("VP8",),
        cname="focus-1",
    )


def sent(found: Subscriptions) -> list[TrackIds]:
    tracks = found.send_tracks(LegParameters(), is_stable=True)
    return [(one.stream_id, one.track_id) for one in tracks]


def test_wishes_for_tracks_that_never_come_do_not_grow_and_the_oldest_goes() -> None:
    found = subscriptions()
    for number in range(1_000):
        assert found.wish([Wish(f"S{number}", "T")]) == 0
    assert [stream_id for stream_id, _ in found.wished] == [f"S{number}" for number in range(995, 1_000)]


def test_of_wishes_asked_for_together_the_first_are_granted() -> None:
    found = subscriptions()
    found.wish([Wish("old", "T")])
    assert found.wish(Wish(f"S{number}", "T") for number in range(LIMIT + 2)) == 2
    assert [stream_id for stream_id, _ in found.wished] == [f"S{number}" for number in range(LIMIT)]


def test_a_wish_that_is_being_fulfilled_makes_room_for_none() -> None:
    found = subscriptions()
    ids = [(f"S{number}", "T") for number in range(LIMIT)]
    tracks = {one: announced(one[0], track=number) for number, one in enumerate(ids)}
    found.wish(Wish(*one) for one in ids)
    found.reconcile(ids, tracks.get)
    assert found.wish([Wish("new", "T"), Wish("newer", "T")]) == 2
    assert sent(found) == ids


def test_a_track_that_gets_other_ids_ends_under_the_old_ones_in_any_order() -> None:
    old, new = ("S1", "T"), ("S2", "T")
    for order in ([old, new], [new, old]):
        found = subscriptions()
        found.wish([Wish(*old), Wish(*new)])
        found.reconcile([old, new], {old: announced("S1")}.get)
        found.reconcile(order, {new: announced("S2")}.get)
        assert sent(found) == [new]
        found.drop_track(TrackHandle(1))
        assert sent(found) == []


def test_ids_that_nobody_wished_for_are_ignored() -> None:
    found = subscriptions()
    assert found.reconcile([("S", "T")], {("S", "T"): announced("S")}.get) == []
    assert found.drop_track(TrackHandle(1)) == []
    assert found.refuse(5, "codec") is None


def test_a_refusal_of_one_key_is_not_the_others() -> None:
    found = subscriptions()
    ids = [("S1", "T"), ("S2", "T")]
    found.wish(Wish(*one) for one in ids)
    found.reconcile(ids, {one: announced(one[0], track=n) for n, one in enumerate(ids)}.get)
    keys = [one.key for one in found.send_tracks(LegParameters(), is_stable=True)]
    assert found.refuse(keys[1], "codec") == ids[1]
    assert [one.forwarding.refusal for one in found if one.forwarding is not None] == [None, "codec"]


def test_a_track_that_reaches_the_client_after_all_was_not_refused() -> None:
    found = subscriptions()
    found.wish([Wish("S", "T")])
    found.reconcile([("S", "T")], {("S", "T"): announced("S")}.get)
    (track,) = found.send_tracks(LegParameters(), is_stable=True)
    found.refuse(track.key, "codec")
    section = SendSection(Mid("s0"), Kind.VIDEO, track.key, (), {}, Ssrc(1), None, "focus-1")
    found.agree(LegParameters(send=(section,)))
    assert [one.forwarding.refusal for one in found if one.forwarding is not None] == [None]


def test_layers_go_to_a_trunk_by_name_and_anew_when_they_are_others() -> None:
    found = Subscriptions(TransportId(1), IdSource(), Routes(), limit=LIMIT, max_height=0, is_trunk=True)
    rids = tuple(Rid(rid) for rid in "qhf")
    found.wish([Wish("S", "T", layers=rids[:1])])

    def offered(announced_rids: tuple[Rid, ...]) -> tuple[int, tuple[Rid, ...]]:
        track = replace(announced("S"), rids=announced_rids, encodings=len(announced_rids))
        found.reconcile([("S", "T")], {("S", "T"): track}.get)
        (one,) = found.send_tracks(LegParameters(), is_stable=True)
        return one.key, one.rids

    first = offered(rids)
    assert first[1] == rids
    found.wish([Wish("S", "T", layers=rids[1:])])
    assert offered(rids) == first
    found.wish([Wish("S", "T", is_visible=False)])
    assert offered(rids) == first
    fewer = offered(rids[:2])
    assert fewer == (first[0] + 1, ())
    found.wish([Wish("S", "T", layers=rids[:1])])
    assert offered(rids[:2]) == (first[0] + 2, rids[:2])


def test_what_is_announced_and_not_received_is_not_forwarded_yet() -> None:
    found = subscriptions()
    found.wish([Wish("S", "T")])
    found.reconcile([("S", "T")], {("S", "T"): announced("S")}.get, lambda _: False)
    (subscription,) = found
    assert subscription.announced == announced("S")
    assert subscription.forwarding is None
    assert sent(found) == []


def test_a_section_that_comes_back_with_another_ssrc_is_another_route() -> None:
    found = subscriptions()
    found.wish([Wish("S", "T")])
    found.reconcile([("S", "T")], {("S", "T"): announced("S")}.get)
    key = found.send_tracks(LegParameters(), is_stable=True)[0].key

    def agree(ssrc: int) -> list[SetRoute | RemoveRoute]:
        section = SendSection(Mid("s0"), Kind.VIDEO, key, (), {}, Ssrc(ssrc), None, "focus-1")
        outputs = found.agree(LegParameters(send=(section,)))
        return [one for one in outputs if isinstance(one, SetRoute | RemoveRoute)]

    first = agree(1)
    assert agree(1) == []
    removed, second = agree(2)
    assert isinstance(removed, RemoveRoute)
    assert isinstance(second, SetRoute)
    assert [removed.route] == [one.route for one in first]
    assert second.route != removed.route


def test_a_route_keeps_its_ssrcs_while_a_client_takes_rtx_out_of_its_section_and_back_in() -> None:
    for began_with in (Ssrc(2), None):
        found = subscriptions()
        found.wish([Wish("S", "T")])
        found.reconcile([("S", "T")], {("S", "T"): announced("S")}.get)
        key = found.send_tracks(LegParameters(), is_stable=True)[0].key
        routes: list[SetRoute] = []
        for rtx_ssrc in (began_with, None, Ssrc(2)):
            section = video_section(key, rtx_ssrc)
            outputs = found.agree(LegParameters(send=(section,)))
            assert not any(isinstance(one, RemoveRoute) for one in outputs)
            routes += [one for one in outputs if isinstance(one, SetRoute)]
            assert routes[-1].formats == section.formats
        assert {(one.route, one.ssrc, one.rtx_ssrc) for one in routes} == {(routes[0].route, 1, began_with)}


def video_section(key: int, rtx_ssrc: Ssrc | None) -> SendSection:
    rtx = None if rtx_ssrc is None else PayloadType(97)
    formats = (PayloadFormat("VP8", Codec.VP8, PayloadType(96), 90_000, rtx),)
    return SendSection(Mid("s0"), Kind.VIDEO, key, formats, {}, Ssrc(1), rtx_ssrc, "focus-1")
