from __future__ import annotations

import math

import pytest

from sfu.conference.caps import Caps
from sfu.conference.turn import CloseLeg, DropDemand, SetCaps, StartDtls
from sfu.conference.values import (
    DescriptionType,
    LegUnusable,
    Refused,
    SendDescription,
    Source,
    ViewChanged,
)
from sfu.config import LimitsConfig
from sfu.errors import CapacityError, LocalError, ParseError, RemoteError
from sfu.plane import (
    AddTransport,
    ConsentLost,
    PairSelected,
    RemoveRoute,
    RemoveTrack,
    SetCredentials,
    SetRoute,
    SetTrack,
    StreamBound,
    StreamEnded,
)
from sfu.units import Ssrc, TrackHandle, TransportId
from tests.unit.conference.caller import (
    ALICE_AUDIO,
    ALICE_VIDEO,
    DATA,
    Call,
    Caller,
    Section,
    alice_and_bob,
    described,
    directions,
    of_type,
    tracks_of,
    wish,
)

# --- joining ----------------------------------------------------------------------------------------------


def test_a_new_leg_is_given_credentials_that_nobody_else_has() -> None:
    call = Call()
    added = [of_type(call.conference.add_leg(call.now, admitted=True)[1], AddTransport) for _ in range(3)]
    credentials = [one.credentials for outputs in added for one in outputs]
    assert len({one.ufrag for one in credentials}) == len({one.password for one in credentials}) == 3
    assert all(len(one.ufrag) >= 8 and len(one.password) >= 24 for one in credentials)


@pytest.mark.parametrize(
    ("of_all", "of_one", "expected"),
    [
        (Caps(), Caps(), []),
        (Caps(max_bps=3_000_000), Caps(), [(3_000_000, 0, 0)]),
        (Caps(max_videos=9), Caps(max_bps=500_000, max_videos=12), [(500_000, 0, 9)]),
        (Caps(), Caps(max_height=360), [(math.inf, 360, 0)]),
    ],
)
def test_a_leg_is_told_apart_by_its_ceilings_before_anything_goes_to_it(
    of_all: Caps, of_one: Caps, expected: list[tuple[float, int, int]]
) -> None:
    call = Call(caps=of_all)
    leg, outputs = call.conference.add_leg(call.now, admitted=True, caps=of_one)
    caps = of_type(outputs, SetCaps)
    assert [(one.max_bps, one.max_height, one.max_videos) for one in caps] == expected
    assert all(one.leg == leg for one in caps)
    assert isinstance(outputs[0], AddTransport)


def test_the_first_offer_is_answered_and_dtls_awaited_against_its_fingerprint() -> None:
    call = Call()
    leg, _ = call.conference.add_leg(call.now, admitted=True)
    outputs = call.conference.offer_received(call.now, leg, Caller.with_media("alice").offer(), None)
    assert [type(one) for one in outputs] == [SetTrack, SetTrack, SendDescription, StartDtls]
    assert of_type(outputs, SendDescription)[0].type is DescriptionType.ANSWER
    assert of_type(outputs, StartDtls)[0].fingerprints[0].value == ":".join(["AB"] * 32)


def test_a_later_offer_is_only_answered() -> None:
    call, alice, _ = alice_and_bob()
    outputs = call.offer(alice, call.callers[alice].offer())
    assert [type(one) for one in outputs] == [SendDescription]


def test_an_ice_restart_is_listened_for_before_it_is_answered() -> None:
    call, alice, _ = alice_and_bob()
    call.callers[alice].ufrag = "wxyz"
    outputs = call.offer(alice, call.callers[alice].offer())
    assert [type(one) for one in outputs] == [SetCredentials, SendDescription]


def test_a_description_that_is_none_changes_nothing() -> None:
    call, alice, bob = alice_and_bob()
    before = call.conference.snapshot(), call.conference.view(bob)
    with pytest.raises(ParseError):
        call.conference.offer_received(call.now, alice, "nonsense", ())
    call.answers_offers = False
    call.subscribe(alice, wish(("bob-stream", "bob-video")))
    with pytest.raises(RemoteError):
        call.conference.answer_received(call.now, alice, Caller("x", [DATA]).offer(), ())
    assert (call.conference.snapshot().legs[1:], call.conference.view(bob)) == (before[0].legs[1:], before[1])
    assert not call.settle()


def test_a_leg_that_is_not_there_is_our_own_fault() -> None:
    call = Call()
    with pytest.raises(LocalError):
        call.conference.view(TransportId(99))


def test_a_full_call_takes_nobody_else() -> None:
    call = Call(limits=LimitsConfig(legs_per_call=2))
    joined = [call.join(Caller(name, [DATA])) for name in "ab"]
    assert list(call.conference.legs) == joined
    with pytest.raises(CapacityError):
        call.conference.add_leg(call.now, admitted=True)


# --- announcing -------------------------------------------------------------------------------------------


def test_a_track_is_announced_once_it_is_described_and_its_media_flows() -> None:
    call = Call()
    bob = call.join(Caller.with_media("bob"))
    caller = Caller.with_media("alice")
    alice, _ = call.conference.add_leg(call.now, admitted=True)
    outputs = call.conference.offer_received(call.now, alice, caller.offer(), ())
    call.bind(outputs)
    assert not call.settle()
    call.conference.streams_described(call.now, alice, described("alice", "audio"))
    call.settle()
    assert call.ids(bob) == {ALICE_AUDIO}


def test_a_described_track_without_media_is_not_announced() -> None:
    call = Call()
    bob = call.join(Caller.with_media("bob"))
    call.join(Caller.with_media("alice"), bind=False)
    assert not call.settle()
    assert call.ids(bob) == set()


def test_changes_are_told_together_after_the_delay_and_never_to_their_owner() -> None:
    call = Call()
    bob, carol = (call.join(Caller.with_media(name, "audio")) for name in ("bob", "carol"))
    alice = call.join(Caller.with_media("alice"), bind=False)
    tracks = [one.track for one in call.conference.snapshot().legs[2].tracks]
    call.conference.plane_event(call.now, StreamBound(tracks[0], 0, Ssrc(1)))
    assert not call.pass_ms(100)
    call.conference.plane_event(call.now, StreamBound(tracks[1], 0, Ssrc(2)))
    assert not call.pass_ms(99)
    assert call.pass_ms(1) == [ViewChanged((bob, carol))]
    assert call.ids(bob) == {ALICE_AUDIO, ALICE_VIDEO, ("carol-stream", "carol-audio")}
    assert call.ids(alice) == {("bob-stream", "bob-audio"), ("carol-stream", "carol-audio")}


def test_a_newcomer_sees_the_call_with_its_answer() -> None:
    call, _, _ = alice_and_bob()
    carol, _ = call.conference.add_leg(call.now, admitted=True)
    assert len(call.conference.view(carol)) == 2


def test_two_changes_of_several_legs_reach_everybody() -> None:
    call, alice, bob = alice_and_bob()
    call.conference.streams_described(call.now, alice, described("alice", audio_muted=True))
    call.conference.streams_described(call.now, bob, described("bob", video_muted=True))
    assert call.settle() == [ViewChanged((alice, bob))]
    assert [one.stream.video_muted for one in call.conference.view(alice)] == [True]
    assert [one.stream.audio_muted for one in call.conference.view(bob)] == [True]


def test_a_client_that_describes_nothing_has_its_first_stream_announced_as_a_camera() -> None:
    call = Call()
    bob = call.join(Caller.with_media("bob"))
    caller = Caller.with_media("alice")
    caller.sections.append(Section("video", "3", "sendonly", "other-stream", "other-video"))
    alice, _ = call.conference.add_leg(call.now, admitted=True)
    call.bind(call.conference.offer_received(call.now, alice, caller.offer(), None))
    call.settle()
    assert call.ids(bob) == {ALICE_AUDIO, ALICE_VIDEO}
    assert call.conference.view(bob)[0].stream.source is Source.CAMERA


def test_what_is_told_of_a_track_has_its_last_known_size() -> None:
    call, alice, bob = alice_and_bob()
    call.conference.streams_described(call.now, alice, described("alice", size=None, video_muted=True))
    call.settle()
    video = call.conference.view(bob)[0].stream.tracks[1]
    assert (video.width, video.height) == (1280, 720)


def test_muted_video_goes_on_being_forwarded() -> None:
    call, alice, bob = alice_and_bob()
    call.subscribe(bob, wish(ALICE_VIDEO))
    outputs = call.conference.streams_described(call.now, alice, described("alice", video_muted=True))
    outputs += call.settle()
    assert outputs == [ViewChanged((bob,))]


# --- ending -----------------------------------------------------------------------------------------------


def test_a_section_that_sends_no_more_ends_its_track_for_everybody() -> None:
    call, alice, bob = alice_and_bob()
    route = of_type(call.subscribe(bob, wish(ALICE_VIDEO)), SetRoute)[0]
    outputs = call.offer(alice, call.callers[alice].change("1", direction="recvonly"))
    assert outputs[:3] == [DropDemand(route.route), RemoveRoute(route.route), RemoveTrack(route.track)]
    outputs = call.settle()
    assert outputs[0] == ViewChanged((bob,))
    assert directions(call.offers[-1].sdp)[-1] == "inactive"
    assert call.ids(bob) == {ALICE_AUDIO}


def test_a_track_left_out_of_the_description_ends_for_everybody_though_its_section_stays() -> None:
    call, alice, bob = alice_and_bob()
    route = of_type(call.subscribe(bob, wish(ALICE_VIDEO)), SetRoute)[0]
    call.conference.streams_described(call.now, alice, described("alice", "audio"))
    outputs = call.settle()
    assert outputs[:3] == [ViewChanged((bob,)), DropDemand(route.route), RemoveRoute(route.route)]
    assert not of_type(outputs, RemoveTrack)
    assert call.ids(bob) == {ALICE_AUDIO}


def test_a_track_described_again_is_announced_again_and_its_section_was_inactive_in_between() -> None:
    call, alice, bob = alice_and_bob()
    call.subscribe(bob, wish(ALICE_VIDEO))
    call.answers_offers = False
    call.conference.streams_described(call.now, alice, described("alice", "audio"))
    call.pass_ms(300)
    call.conference.streams_described(call.now, alice, described("alice"))
    outputs = call.pass_ms(300)
    # The offer that takes it down is not answered yet: it must not be overtaken by its return.
    assert not of_type(outputs, SendDescription)
    call.answers_offers = True
    outputs = call.follow([call.offers[-1]])
    assert [directions(one.sdp)[-1] for one in call.offers[-2:]] == ["inactive", "sendonly"]
    assert len(of_type(outputs, SetRoute)) == 1


def test_a_track_that_flaps_within_the_delay_was_never_gone() -> None:
    call, alice, bob = alice_and_bob()
    call.subscribe(bob, wish(ALICE_VIDEO))
    call.conference.streams_described(call.now, alice, ())
    outputs = call.pass_ms(150)
    call.conference.streams_described(call.now, alice, described("alice"))
    assert not outputs + call.settle()


def test_a_track_that_ends_just_before_others_are_told_of_something_is_kept_for_its_own_delay() -> None:
    call, alice, bob = alice_and_bob()
    call.conference.streams_described(call.now, bob, described("bob", audio_muted=True))
    assert not call.pass_ms(190)
    call.conference.streams_described(call.now, alice, described("alice", "audio"))
    assert call.pass_ms(10) == [ViewChanged((alice,))]
    assert call.ids(bob) == {ALICE_AUDIO, ALICE_VIDEO}
    assert not call.pass_ms(189)
    assert call.pass_ms(1) == [ViewChanged((bob,))]
    assert call.ids(bob) == {ALICE_AUDIO}


def test_a_section_that_stops_and_starts_within_the_delay_is_offered_anew_under_the_same_ids() -> None:
    call, alice, bob = alice_and_bob()
    first = of_type(call.subscribe(bob, wish(ALICE_VIDEO)), SetRoute)[0]
    call.offer(alice, call.callers[alice].change("1", direction="recvonly"))
    outputs = call.offer(alice, call.callers[alice].change("1", direction="sendrecv"))
    call.bind(outputs)
    outputs = call.settle()
    second = of_type(outputs, SetRoute)[0]
    assert not of_type(outputs, ViewChanged)
    assert (second.mid, second.ssrc) != (first.mid, first.ssrc)
    assert [directions(one.sdp)[-1] for one in call.offers[-2:]] == ["inactive", "sendonly"]


def test_a_stream_id_that_flips_changes_nothing_for_subscribers() -> None:
    call, alice, bob = alice_and_bob()
    call.subscribe(bob, wish(ALICE_VIDEO))
    caller = call.callers[alice]
    for stream_id in ("flipped", "alice-stream", "flipped"):
        caller.sections = [
            Section(one.kind, one.mid, one.direction, stream_id, one.track_id, one.simulcast)
            if one.stream_id
            else one
            for one in caller.sections
        ]
        outputs = call.offer(alice, caller.offer(), described("alice", stream_id=stream_id))
        outputs += call.settle()
        assert not [one for one in outputs if not isinstance(one, SendDescription)]
    assert call.ids(bob) == {ALICE_AUDIO, ALICE_VIDEO}


def test_a_camera_turned_on_late_joins_the_stream_that_its_microphone_is_announced_in() -> None:
    call = Call()
    bob = call.join(Caller.with_media("bob"))
    caller = Caller("alice", [Section("audio", "0", "sendrecv", "alice-stream", "alice-audio"), DATA])
    alice = call.join(caller)
    caller.sections.append(Section("video", "3", "sendrecv", "flipped", "alice-video"))
    outputs = call.offer(alice, caller.offer(), described("alice", stream_id="flipped"))
    call.bind(outputs)
    call.settle()
    assert call.ids(bob) == {ALICE_AUDIO, ALICE_VIDEO}
    assert len(call.conference.view(bob)) == 1


def test_another_track_on_the_same_section_replaces_the_one_before() -> None:
    call, alice, bob = alice_and_bob()
    outputs = call.offer(alice, call.callers[alice].change("1", track_id="second"))
    removed, added = of_type(outputs, RemoveTrack), of_type(outputs, SetTrack)
    assert len(removed) == len(added) == 1
    assert outputs.index(removed[0]) < outputs.index(added[0])
    call.settle()
    assert call.ids(bob) == {ALICE_AUDIO}


def test_the_end_of_an_rtp_stream_does_not_end_its_track() -> None:
    call, _, bob = alice_and_bob()
    track = call.conference.snapshot().legs[0].tracks[1].track
    call.conference.plane_event(call.now, StreamEnded(track, 0))
    assert not call.settle()
    assert call.ids(bob) == {ALICE_AUDIO, ALICE_VIDEO}
    encodings = call.conference.snapshot().legs[0].tracks[1].encodings
    assert [one.is_bound for one in encodings] == [False, True, True]


def test_events_of_other_calls_and_of_transports_are_not_ours() -> None:
    call, alice, _ = alice_and_bob()
    for event in (
        StreamBound(TrackHandle(99), 0, Ssrc(1)),
        StreamEnded(TrackHandle(99), 0),
        PairSelected(alice),
        ConsentLost(alice),
    ):
        assert call.conference.plane_event(call.now, event) == []


def test_nothing_of_a_leg_is_left_when_it_has_gone() -> None:
    call, alice, bob = alice_and_bob()
    forward = of_type(call.subscribe(bob, wish(ALICE_VIDEO)), SetRoute)[0]
    back = of_type(call.subscribe(alice, wish(("bob-stream", "bob-audio"))), SetRoute)[0]
    outputs = call.conference.remove_leg(call.now, alice)
    assert outputs[-1] == CloseLeg(alice)
    assert {one.route for one in of_type(outputs, RemoveRoute)} == {forward.route, back.route}
    assert {one.route for one in of_type(outputs, DropDemand)} == {forward.route, back.route}
    assert len(of_type(outputs, RemoveTrack)) == 2
    assert call.settle()[0] == ViewChanged((bob,))
    assert call.ids(bob) == set()
    call.unsubscribe(bob, ALICE_VIDEO)
    call.conference.remove_leg(call.now, bob)
    call.settle()
    assert not call.conference.legs
    assert call.conference.next_timeout() is None
    assert not any(_insides(call.conference))


def _insides(conference: object) -> list[object]:
    """Every collection in which a conference could remember a leg or a track."""
    inner = vars(conference)
    speech = vars(inner["_speech"])
    owners = (
        conference,
        inner["_agreements"],
        inner["_announcements"],
        inner["_board"],
        inner["_guests"],
        inner["_demands"],
        inner["_speech"],
        *(speech[name] for name in ("_voices", "_speakers", "_loudest")),
        vars(speech["_speakers"])["_turns"],
    )
    return [
        value
        for owner in owners
        for value in vars(owner).values()
        if isinstance(value, (dict, list, tuple, set, frozenset))
    ]


def test_a_leg_that_published_nothing_leaves_without_a_word() -> None:
    call, _, _ = alice_and_bob()
    leg = call.join(Caller("carol", [DATA]))
    assert call.conference.remove_leg(call.now, leg) == [CloseLeg(leg)]
    assert not call.settle()


# --- admission --------------------------------------------------------------------------------------------


def test_a_leg_that_is_not_admitted_is_answered_and_nothing_else_happens() -> None:
    call = Call()
    bob = call.join(Caller.with_media("bob"))
    alice = call.join(Caller.with_media("alice"), admitted=False)
    assert call.conference.view(alice) == ()
    assert not call.subscribe(alice, wish(("bob-stream", "bob-video")))
    assert not call.subscribe(bob, wish(ALICE_VIDEO))
    assert not call.settle()
    assert call.ids(bob) == set()


def test_admission_makes_everything_happen_at_once() -> None:
    call = Call()
    bob = call.join(Caller.with_media("bob"))
    alice = call.join(Caller.with_media("alice"), admitted=False)
    call.subscribe(alice, wish(("bob-stream", "bob-video")))
    call.subscribe(bob, wish(ALICE_VIDEO))
    outputs = call.follow(call.conference.admit(call.now, alice))
    assert outputs[0] == ViewChanged((bob, alice))
    assert {one.transport for one in of_type(outputs, SetRoute)} == {alice, bob}
    assert call.ids(bob) == {ALICE_AUDIO, ALICE_VIDEO}
    assert len(call.conference.view(alice)) == 1
    assert call.conference.admit(call.now, alice) == []


# --- limits -----------------------------------------------------------------------------------------------


def test_tracks_beyond_the_limit_are_refused_once_and_the_rest_goes_on() -> None:
    call = Call(limits=LimitsConfig(tracks_per_leg=1))
    leg, _ = call.conference.add_leg(call.now, admitted=True)
    caller = Caller.with_media("alice")
    outputs = call.conference.offer_received(call.now, leg, caller.offer(), None)
    assert [one.code for one in of_type(outputs, Refused)] == ["too_many_tracks"]
    assert list(tracks_of(outputs)) == ["0"]
    assert not of_type(call.offer(leg, caller.change("0", track_id="other")), Refused)


def test_a_refused_track_is_taken_when_there_is_room() -> None:
    call = Call(limits=LimitsConfig(tracks_per_leg=1))
    leg, _ = call.conference.add_leg(call.now, admitted=True)
    caller = Caller.with_media("alice")
    call.conference.offer_received(call.now, leg, caller.offer(), None)
    outputs = call.offer(leg, caller.change("0", direction="recvonly"))
    assert list(tracks_of(outputs)) == ["1"]


def test_wishes_beyond_the_limit_are_refused_and_the_rest_goes_on() -> None:
    call, _, bob = alice_and_bob(Call(limits=LimitsConfig(subscriptions_per_leg=1)))
    outputs = call.subscribe(bob, wish(ALICE_VIDEO))
    assert of_type(outputs, SetRoute)
    outputs = call.subscribe(bob, wish(ALICE_AUDIO), wish(("no", "such")))
    assert [(one.leg, one.code) for one in of_type(outputs, Refused)] == [(bob, "too_many_subscriptions")]


# --- offers of ours ---------------------------------------------------------------------------------------


def test_an_offer_that_nobody_answers_is_repeated_and_then_makes_the_leg_unusable() -> None:
    call, _, bob = alice_and_bob()
    call.answers_offers = False
    call.subscribe(bob, wish(ALICE_VIDEO))
    outputs = call.pass_ms(60_000)
    assert [type(one) for one in outputs] == [SendDescription, SendDescription, LegUnusable]
    assert len({one.sdp for one in call.offers}) == 1
    assert outputs[-1] == LegUnusable(bob, "no_answer")


def test_a_slow_client_may_answer_an_offer_as_often_as_it_was_made() -> None:
    call, _, bob = alice_and_bob()
    call.answers_offers = False
    call.subscribe(bob, wish(ALICE_VIDEO))
    call.pass_ms(6_000)
    first, second = call.offers
    assert first == second
    answer = call.callers[bob].answer(first.sdp)
    outcomes = [call.conference.answer_received(call.now, bob, answer, None) for _ in range(3)]
    assert of_type(outcomes[0], SetRoute)
    assert outcomes[1:] == [[], [Refused(bob, "no_offer_pending")]]


def test_an_answer_that_nobody_asked_for_is_refused_but_its_description_counts() -> None:
    call, alice, bob = alice_and_bob()
    outputs = call.conference.answer_received(
        call.now, alice, "whatever", described("alice", audio_muted=True)
    )
    assert outputs == [Refused(alice, "no_offer_pending")]
    assert call.settle() == [ViewChanged((bob,))]
