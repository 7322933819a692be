from __future__ import annotations

from dataclasses import replace

from sfu.conference.forwarding import ANY, NO_ROUTE, Forwarding, Lane, Stream, demand_of
from sfu.conference.values import Source, Wish
from sfu.conference.view import AnnouncedTrack
from sfu.negotiation.parameters import SendEncoding, SendSection
from sfu.plane import SetRoute
from sfu.units import Kind, Mid, Rid, RouteId, Ssrc, TrackHandle, TransportId

LEG = TransportId(9)
RIDS = Q, H, F = tuple(Rid(rid) for rid in "qhf")
TRACK = AnnouncedTrack(
    owner=TransportId(2),
    track=TrackHandle(1),
    kind=Kind.VIDEO,
    stream_id="S",
    track_id="T",
    source=Source.CAMERA,
    width=1280,
    height=720,
    audio_muted=False,
    video_muted=False,
    encodings=3,
    codec_keys=("VP8",),
    cname="focus-1",
    rids=RIDS,
)
SECTION = SendSection(Mid("s0"), Kind.VIDEO, 0, (), {}, Ssrc(1), Ssrc(2), "focus-1")
SIMULCAST = replace(
    SECTION,
    encodings=tuple(SendEncoding(rid, Ssrc(10 + n), Ssrc(20 + n)) for n, rid in enumerate((Q, F))),
)


def lane(number: int, only: int = ANY) -> Lane:
    route = SetRoute(
        RouteId(number),
        TRACK.track,
        LEG,
        Mid("s0"),
        Ssrc(number),
        None,
        formats=(),
        extensions={},
        cname="focus-1",
    )
    return Lane(route, only)


def forwarding(*lanes: Lane) -> Forwarding:
    return Forwarding(0, TRACK, ("VP8",), RIDS, lanes)


def test_a_section_carries_a_stream_for_each_encoding_that_was_agreed_to() -> None:
    assert forwarding().streams(SIMULCAST) == [Stream(Ssrc(10), Ssrc(20), 0), Stream(Ssrc(11), Ssrc(21), 2)]


def test_where_no_simulcast_was_wanted_or_agreed_to_there_is_one_stream_for_all() -> None:
    one = [Stream(Ssrc(1), Ssrc(2), ANY)]
    assert forwarding().streams(SECTION) == one
    assert Forwarding(0, TRACK, ("VP8",)).streams(SIMULCAST) == one


def test_a_layer_is_demanded_in_its_own_size_and_visible_while_it_is_named() -> None:
    wish = Wish("S", "T", 640, 360, layers=(Q, F, Rid("x")))
    found = [forwarding().lane_demand(lane(n, n), wish, LEG, 0) for n in range(3)]
    assert [(one.only, one.width, one.height, one.is_visible) for one in found] == [
        (0, 320, 180, True),
        (1, 640, 360, False),
        (2, 1280, 720, True),
    ]
    hidden = forwarding().lane_demand(lane(1), replace(wish, is_visible=False, layers=()), LEG, 0)
    assert not hidden.is_visible


def test_a_stream_for_all_is_demanded_as_the_tile_is() -> None:
    wish = Wish("S", "T", 640, 360, is_pinned=True)
    found = Forwarding(0, TRACK, ("VP8",)).lane_demand(lane(5), wish, LEG, 360)
    assert found == demand_of(TRACK, wish, LEG, 360, RouteId(5))
    assert (found.only, found.width, found.max_height, found.is_pinned) == (ANY, 640, 360, True)
    assert demand_of(TRACK, wish, LEG, 360).route == NO_ROUTE


def test_sound_has_neither_a_size_nor_a_place() -> None:
    sound = replace(TRACK, kind=Kind.AUDIO, encodings=1, rids=())
    found = demand_of(sound, Wish("S", "T", 640, 360, is_pinned=True, is_visible=False), LEG, 360)
    assert (found.width, found.height, found.full_width, found.full_height, found.max_height) == (0,) * 5
    assert (found.is_pinned, found.is_visible) == (False, True)


def test_of_several_lanes_the_highest_that_is_wanted_is_told_of() -> None:
    lanes = [lane(n + 1, n) for n in range(3)]
    several = forwarding(*lanes)
    assert several.shown is lanes[0]
    for one in lanes:
        one.demand = several.lane_demand(one, Wish("S", "T", layers=(Q, H)), LEG, 0)
    assert several.shown is lanes[1]
    assert several.demand is lanes[1].demand
    for one in lanes:
        one.demand = several.lane_demand(one, Wish("S", "T", is_visible=False), LEG, 0)
    assert several.shown is lanes[0]
    assert forwarding().shown is None
    assert forwarding().demand is None
