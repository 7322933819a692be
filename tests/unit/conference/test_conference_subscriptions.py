from __future__ import annotations

from sfu.conference.caps import Caps
from sfu.conference.turn import DropDemand, SetDemand
from sfu.conference.values import (
    Refused,
    SendDescription,
    Source,
    StreamDescription,
    TrackDescription,
    ViewChanged,
)
from sfu.config import ConferenceConfig
from sfu.plane import RemoveRoute, SetRoute, SetTrack, StreamBound
from sfu.units import Ssrc
from tests.unit.conference.caller import (
    ALICE_AUDIO,
    ALICE_VIDEO,
    Call,
    Caller,
    alice_and_bob,
    described,
    directions,
    of_type,
    wish,
)


def test_a_subscription_is_offered_and_becomes_a_route_and_a_demand_when_agreed_to() -> None:
    call, alice, bob = alice_and_bob()
    call.answers_offers = False
    offered = call.subscribe(bob, wish(ALICE_VIDEO), wish(ALICE_AUDIO, 100, 100))
    assert [type(one) for one in offered] == [SendDescription]
    assert "a=msid:alice-stream alice-video" in call.offers[0].sdp
    call.answers_offers = True
    outputs = call.follow(offered)
    routes, demands = of_type(outputs, SetRoute), of_type(outputs, SetDemand)
    tracks = {one.mid: one.track for one in call.conference.snapshot().legs[0].tracks}
    assert {one.track for one in routes} == set(tracks.values())
    assert len({one.cname for one in routes}) == 1
    assert all(one.transport == bob for one in routes)
    audio, video = sorted(demands, key=lambda one: one.kind)
    assert (video.width, video.height, video.full_width, video.full_height) == (640, 360, 1280, 720)
    assert (video.encodings, video.subscriber, video.screen_share) == (3, bob, False)
    assert (audio.width, audio.height, audio.full_height, audio.encodings) == (0, 0, 0, 1)
    assert alice != bob


def test_a_repeated_subscription_does_nothing() -> None:
    call, _, bob = alice_and_bob()
    call.subscribe(bob, wish(ALICE_VIDEO))
    assert call.subscribe(bob, wish(ALICE_VIDEO)) == []


def test_another_size_is_another_demand_and_no_offer() -> None:
    call, _, bob = alice_and_bob()
    first = of_type(call.subscribe(bob, wish(ALICE_VIDEO)), SetDemand)[0]
    outputs = call.subscribe(bob, wish(ALICE_VIDEO, 160, 90))
    assert [type(one) for one in outputs] == [SetDemand]
    second = of_type(outputs, SetDemand)[0]
    assert (second.route, second.width, second.height) == (first.route, 160, 90)


def test_a_publisher_that_tells_another_size_changes_the_demand() -> None:
    call, alice, bob = alice_and_bob()
    call.subscribe(bob, wish(ALICE_VIDEO))
    call.conference.streams_described(call.now, alice, described("alice", size=(1920, 1080)))
    demands = of_type(call.settle(), SetDemand)
    assert [(one.full_width, one.full_height) for one in demands] == [(1920, 1080)]


def test_the_ceiling_of_the_operator_is_in_the_demand_for_video_only() -> None:
    call, _, bob = alice_and_bob(Call(ConferenceConfig(max_height=360)))
    outputs = call.subscribe(bob, wish(ALICE_VIDEO), wish(ALICE_AUDIO))
    assert sorted(one.max_height for one in of_type(outputs, SetDemand)) == [0, 360]


def test_the_ceiling_of_a_leg_is_in_its_demands_and_in_nobody_elses() -> None:
    call, _, bob = alice_and_bob(Call(ConferenceConfig(max_height=720)))
    low, _ = call.conference.add_leg(call.now, admitted=True, caps=Caps(max_height=180))
    call.callers[low] = Caller.with_media("low")
    call.conference.offer_received(call.now, low, call.callers[low].offer(), None)
    call.conference.channel_ready(call.now, low)
    for leg, ceiling in ((low, 180), (bob, 720)):
        (demand,) = of_type(call.subscribe(leg, wish(ALICE_VIDEO)), SetDemand)
        assert (demand.subscriber, demand.max_height) == (leg, ceiling)


def test_a_wish_for_a_track_that_is_not_there_yet_is_fulfilled_when_it_comes() -> None:
    call = Call()
    bob = call.join(Caller.with_media("bob"))
    assert call.subscribe(bob, wish(ALICE_VIDEO)) == []
    call.join(Caller.with_media("alice"), bind=False)
    for one in call.conference.snapshot().legs[1].tracks:
        call.conference.plane_event(call.now, StreamBound(one.track, 0, Ssrc(1)))
    outputs = call.settle()
    kinds = [type(one) for one in outputs]
    assert kinds == [ViewChanged, SendDescription, SetRoute, SetDemand]


def test_nobody_receives_their_own_tracks() -> None:
    call, alice, _ = alice_and_bob()
    assert call.subscribe(alice, wish(ALICE_VIDEO)) == []


def test_what_is_unsubscribed_goes_at_once_and_its_section_is_offered_inactive() -> None:
    call, _, bob = alice_and_bob()
    route = of_type(call.subscribe(bob, wish(ALICE_VIDEO)), SetRoute)[0]
    outputs = call.unsubscribe(bob, ALICE_VIDEO, ALICE_AUDIO, ("never", "wanted"))
    assert outputs[:2] == [DropDemand(route.route), RemoveRoute(route.route)]
    assert directions(call.offers[-1].sdp)[-1] == "inactive"


def test_a_subscription_that_comes_back_gets_a_new_route_and_another_ssrc() -> None:
    call, _, bob = alice_and_bob()
    first = of_type(call.subscribe(bob, wish(ALICE_VIDEO)), SetRoute)[0]
    call.unsubscribe(bob, ALICE_VIDEO)
    second = of_type(call.subscribe(bob, wish(ALICE_VIDEO)), SetRoute)[0]
    assert first.mid == second.mid
    assert first.route != second.route
    assert {first.ssrc, first.rtx_ssrc}.isdisjoint({second.ssrc, second.rtx_ssrc})


def test_many_subscriptions_while_an_offer_is_unanswered_make_one_more_offer() -> None:
    call, _, bob = alice_and_bob()
    call.join(Caller.with_media("carol"))
    call.answers_offers = False
    offered = call.subscribe(bob, wish(ALICE_VIDEO))
    for ids in (ALICE_AUDIO, ("carol-stream", "carol-audio"), ("carol-stream", "carol-video")):
        assert call.subscribe(bob, wish(ids)) == []
    call.answers_offers = True
    assert len(of_type(call.follow(offered), SetRoute)) == 4
    assert len(call.offers) == 3  # The first was followed twice, by the test.


def test_a_size_that_changes_before_the_client_has_agreed_is_in_the_first_demand() -> None:
    call, _, bob = alice_and_bob()
    call.answers_offers = False
    offered = call.subscribe(bob, wish(ALICE_VIDEO))
    assert call.subscribe(bob, wish(ALICE_VIDEO, 160, 90)) == []
    call.answers_offers = True
    assert [one.height for one in of_type(call.follow(offered), SetDemand)] == [90]


def test_offers_wait_for_the_data_channel() -> None:
    call = Call()
    call.join(Caller.with_media("alice"))
    bob = call.join(Caller.with_media("bob"), channel=False)
    assert call.subscribe(bob, wish(ALICE_VIDEO)) == []
    outputs = call.follow(call.conference.channel_ready(call.now, bob))
    assert len(of_type(outputs, SetRoute)) == 1


def test_nothing_new_is_offered_after_the_channel_is_lost_until_it_is_back() -> None:
    call, _, bob = alice_and_bob()
    assert call.conference.channel_lost(call.now, bob) == []
    assert call.subscribe(bob, wish(ALICE_VIDEO)) == []
    assert of_type(call.follow(call.conference.channel_ready(call.now, bob)), SetRoute)


def test_a_client_that_can_decode_nothing_of_a_track_is_told_and_sees_why() -> None:
    call = Call()
    call.join(Caller.with_media("alice"))
    caller = Caller.with_media("bob", codecs=("h264",))
    bob = call.join(caller)
    outputs = call.subscribe(bob, wish(ALICE_VIDEO))
    assert outputs == [Refused(bob, "unknown_codec", "track alice-video")]
    assert call.conference.snapshot().legs[1].subscriptions[0].cause == "codec"


def test_a_client_that_rejects_a_track_in_its_answer_is_not_asked_again_until_it_wants_it_anew() -> None:
    call, _, bob = alice_and_bob()
    call.answers_offers = False
    call.subscribe(bob, wish(ALICE_VIDEO))
    answer = call.callers[bob].answer(call.offers[0].sdp)
    mid = call.callers[bob].sections[-1].mid
    at = answer.index(f"a=mid:{mid}")
    answer = answer[:at] + answer[at:].replace("a=recvonly", "a=inactive")
    outputs = call.conference.answer_received(call.now, bob, answer, None)
    assert outputs == []
    assert call.conference.snapshot().legs[1].subscriptions[0].cause == "refused"
    call.unsubscribe(bob, ALICE_VIDEO)
    call.answers_offers = True
    assert of_type(call.subscribe(bob, wish(ALICE_VIDEO)), SetRoute)


def test_a_codec_that_the_publisher_adds_is_offered_anew() -> None:
    call = Call()
    alice = call.join(Caller.with_media("alice"))
    bob = call.join(Caller.with_media("bob", codecs=("video", "h264")))
    first = of_type(call.subscribe(bob, wish(ALICE_VIDEO)), SetRoute)[0]
    outputs = call.offer(alice, call.callers[alice].change("1", codecs=("video", "h264")))
    assert len(of_type(outputs, SetTrack)) == 1
    outputs = call.settle()
    second = of_type(outputs, SetRoute)[0]
    assert [one.route for one in of_type(outputs, RemoveRoute)] == [first.route]
    assert len(second.formats) == 2


def test_a_client_that_takes_down_a_section_of_ours_is_offered_it_again() -> None:
    call, _, bob = alice_and_bob()
    first = of_type(call.subscribe(bob, wish(ALICE_VIDEO)), SetRoute)[0]
    outputs = call.offer(bob, call.callers[bob].change(first.mid, direction="inactive"))
    assert [one.route for one in of_type(outputs, RemoveRoute)] == [first.route]
    second = of_type(outputs, SetRoute)[0]
    assert second.ssrc != first.ssrc
    assert second.route != first.route


def test_a_track_published_on_a_section_of_ours_is_received_there() -> None:
    call, alice, bob = alice_and_bob()
    route = of_type(call.subscribe(bob, wish(ALICE_VIDEO)), SetRoute)[0]
    share = StreamDescription("share", Source.SCREEN, (TrackDescription("screen"),))
    caller = call.callers[bob]
    sdp = caller.change(route.mid, direction="sendrecv", stream_id="share", track_id="screen")
    outputs = call.offer(bob, sdp, (*described("bob"), share))
    assert [one.mid for one in of_type(outputs, SetTrack)] == [route.mid]
    assert directions(of_type(outputs, SendDescription)[0].sdp)[-1] == "sendrecv"
    call.bind(outputs)
    call.settle()
    assert ("share", "screen") in call.ids(alice)
    assert of_type(call.subscribe(alice, wish(("share", "screen"))), SetDemand)[0].screen_share
