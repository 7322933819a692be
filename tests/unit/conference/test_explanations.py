from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final

import pytest

from sfu.allocation.decision import Cause
from sfu.conference.explanations import MAX_TOLD, TELL_GAP_MS, Explanations, explain
from sfu.conference.forwarding import Forwarding, Lane
from sfu.conference.outcomes import Outcome
from sfu.conference.subscriptions import Subscription
from sfu.conference.turn import SetDemand
from sfu.conference.values import Explanation, Hop, Limit, Reason, Sent, Source, Wish
from sfu.conference.view import AnnouncedTrack
from sfu.plane import SetRoute
from sfu.rows import ALL_TEMPORAL, PAUSED
from sfu.units import (
    NO_RID,
    Instant,
    Kind,
    Mid,
    Rid,
    RouteId,
    Ssrc,
    TrackHandle,
    TransportId,
    after_ms,
)

NOW: Final = Instant(1_000_000_000)
RIDS: Final = tuple(Rid(rid) for rid in "qhf")
WISH: Final = Wish("stream", "track", 640, 360)
ANNOUNCED: Final = AnnouncedTrack(
    TransportId(1), TrackHandle(1), Kind.VIDEO, "stream", "track", Source.CAMERA, 1280, 720,
    audio_muted=False, video_muted=False, encodings=3, codec_keys=("VP8",), cname="c",
)  # fmt: skip
DEMAND: Final = SetDemand(
    RouteId(1), TransportId(2), TrackHandle(1), Kind.VIDEO, 640, 360, 1280, 720, encodings=3, max_height=400
)
ROUTE: Final = SetRoute(
    RouteId(1), TrackHandle(1), TransportId(2), Mid("s0"), Ssrc(1), None, formats=(), extensions={}, cname="c"
)
GIVEN: Final = Outcome(1, ALL_TEMPORAL, 1, 1, 1, Cause.SIZE, 300_000.0, 1_700_000.0, 900_000.0)


def wish(number: int) -> tuple[str, str]:
    return "stream", f"track-{number}"


def explanation(number: int, reason: Reason = Reason.SIZE, **sent: Any) -> Explanation:  # noqa: ANN401  # of Sent
    return Explanation(
        Wish(*wish(number), 640, 360),
        replace(Sent(Rid("h"), None, 640, 360, 300_000), **sent),
        reason,
        "text",
    )


def news(told: Explanations, *explained: Explanation) -> tuple[Explanation, ...]:
    return told.news(((one.wish.stream_id, one.wish.track_id), (one,)) for one in explained)


# --- what is told and when --------------------------------------------------------------------------------


def test_only_what_was_touched_is_looked_at_and_only_what_looks_different_told() -> None:
    told = Explanations()
    assert told.due_at is None
    told.touch(wish(1))
    assert told.due_at is not None
    assert told.take(NOW, 9) == [wish(1)]
    assert told.due_at is None
    assert news(told, explanation(1)) == (explanation(1),)
    assert news(told, explanation(1), explanation(1, rate_bps=1.0)) == ()
    other = explanation(1, rid=Rid("q"))
    assert news(told, other) == (other,)
    assert news(told, replace(other, wish=Wish(*wish(1), 1, 1))) != ()
    assert news(told, explanation(1, Reason.WAITING)) == (explanation(1, Reason.WAITING),)
    assert news(told, replace(explanation(1), sent=None)) != ()


def test_a_leg_is_told_every_so_often() -> None:
    told = Explanations()
    told.touch(wish(1))
    told.take(NOW, 9)
    told.touch(wish(2))
    assert told.due_at == after_ms(NOW, TELL_GAP_MS)


def test_no_more_is_taken_than_fits_and_the_rest_stays_in_order() -> None:
    told = Explanations()
    for number in range(MAX_TOLD + 5):
        told.touch(wish(number))
    assert told.take(NOW, MAX_TOLD + 5) == [wish(number) for number in range(MAX_TOLD)]
    assert told.take(NOW, 2) == [wish(MAX_TOLD), wish(MAX_TOLD + 1)]
    told.forget(wish(MAX_TOLD + 2))
    assert told.take(NOW, 9) == [wish(MAX_TOLD + 3), wish(MAX_TOLD + 4)]


def test_what_is_on_its_way_is_looked_at_again() -> None:
    told = Explanations()
    news(told, explanation(1, Reason.SWITCHED_OFF))
    assert told.take(NOW, 9) == [wish(1)]


def test_a_client_that_begins_anew_is_told_everything_and_of_a_wish_taken_back_nothing_is_kept() -> None:
    told = Explanations()
    news(told, explanation(1), explanation(2))
    told.begin_anew([wish(1)])
    assert told.take(NOW, 9) == [wish(1)]
    assert news(told, explanation(1)) == (explanation(1),)
    told.forget(wish(1))
    assert news(told, explanation(1)) == (explanation(1),)


# --- why --------------------------------------------------------------------------------------------------


def explained(
    outcome: Outcome | None = GIVEN,
    *,
    demand: SetDemand | None = DEMAND,
    announced: AnnouncedTrack = ANNOUNCED,
    refusal: str | None = None,
    rids: tuple[Rid, ...] = RIDS,
    is_expected: bool = False,
    hop: Hop | None = None,
) -> Explanation:
    lanes = () if demand is None else (Lane(ROUTE, demand=demand),)
    forwarding = Forwarding(0, announced, ("VP8",), lanes=lanes, refusal=refusal)
    lane = forwarding.shown
    return explain(
        Subscription(WISH, announced, forwarding), lane, outcome, rids, is_expected=is_expected, hop=hop
    )


def test_who_gets_what_fits_is_told_the_layer_and_its_size() -> None:
    assert explained() == Explanation(
        WISH,
        Sent(Rid("h"), None, 640, 360, 300_000.0),
        Reason.SIZE,
        "You get 640x360: your tile is 640x360 pixels.",
    )


def test_a_wish_without_a_track_a_section_or_a_decision_says_so() -> None:
    assert explain(Subscription(WISH), None, None, (), is_expected=False).reason is Reason.NOT_PUBLISHED
    assert explained(demand=None).reason is Reason.NEGOTIATING
    assert explained(None).reason is Reason.NEGOTIATING
    assert explained(None).sent is None


@pytest.mark.parametrize("refusal", ["codec", "refused", "full"])
def test_what_the_negotiation_refused_is_the_reason(refusal: str) -> None:
    assert explained(refusal=refusal).reason == refusal


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"cause": Cause.LAYER_NOT_SENT}, Reason.LAYER_NOT_SENT),
        ({"cause": Cause.CEILING}, Reason.CEILING),
        ({"cause": Cause.BUDGET}, Reason.BUDGET),
        ({"cause": Cause.CODEC}, Reason.CODEC),
        ({"cause": Cause.PAUSED, "chosen": PAUSED}, Reason.PAUSED),
        ({"current": 0}, Reason.WAITING),
        ({"current": PAUSED, "cause": Cause.BUDGET}, Reason.WAITING),
    ],
)
def test_the_allocators_cause_is_the_reason_once_what_it_chose_flows(
    change: dict[str, Any], reason: Reason
) -> None:
    assert explained(replace(GIVEN, **change)).reason is reason


def test_nothing_is_sent_of_what_is_paused_even_if_it_flowed_until_now() -> None:
    assert explained(replace(GIVEN, cause=Cause.BUDGET, chosen=PAUSED)).sent is None


def test_a_pause_of_a_muted_camera_is_its_being_muted() -> None:
    muted = replace(ANNOUNCED, video_muted=True)
    assert (
        explained(replace(GIVEN, cause=Cause.PAUSED, chosen=PAUSED), announced=muted).reason is Reason.MUTED
    )
    assert explained(announced=muted).reason is Reason.SIZE


def test_a_layer_that_was_switched_off_is_told_apart_from_one_that_the_sender_can_not_send() -> None:
    small = replace(GIVEN, current=0, chosen=0, wanted=2, allowed=2, cause=Cause.LAYER_NOT_SENT)
    assert explained(small, is_expected=True).reason is Reason.SWITCHED_OFF
    assert explained(small).text.startswith("You get 320x180 instead of 1280x720")
    assert explained(is_expected=True).reason is Reason.SIZE


@pytest.mark.parametrize("cause", [Cause.LAYER_NOT_SENT, Cause.PAUSED])
def test_what_another_focus_withholds_looks_like_the_sender_and_is_told_as_the_hop(cause: Cause) -> None:
    hop = Hop(TransportId(9), Reason.BUDGET)
    small = replace(GIVEN, current=0, chosen=0, wanted=2, allowed=2, cause=cause)
    assert explained(small).hop is None
    assert (explained(small, hop=hop).reason, explained(small, hop=hop).hop) == (Reason.HOP, hop)
    assert explained(small, is_expected=True, hop=hop).reason is Reason.HOP


def test_what_is_limited_here_is_no_matter_of_the_hop() -> None:
    told = explained(replace(GIVEN, cause=Cause.BUDGET), hop=Hop(TransportId(9), Reason.BUDGET))
    assert (told.reason, told.hop, told.limit) == (Reason.BUDGET, None, Limit(900_000.0, 1_700_000.0))
    assert explained(replace(GIVEN, cause=Cause.CAP, budget_bps=math.inf)).limit is None
    assert explained().limit is None


def test_of_several_layers_all_is_told_or_nothing_and_another_hop_is_news() -> None:
    told = Explanations()
    low, high = (replace(explanation(1), layer=Rid(rid)) for rid in "qf")
    hop = replace(high, reason=Reason.HOP, hop=Hop(TransportId(9), Reason.BUDGET, Limit(1.0, 2.0)))
    assert told.news([(wish(1), (low, high))]) == (low, high)
    assert told.news([(wish(1), (low, high))]) == ()
    assert told.news([(wish(1), (low, hop))]) == (low, hop)
    wavering = replace(hop, hop=Hop(TransportId(9), Reason.BUDGET, Limit(1.5, 2.0)))
    assert told.news([(wish(1), (low, wavering))]) == ()
    other = replace(hop, hop=Hop(TransportId(9), Reason.CAP, Limit(1.0, 2.0)))
    assert told.news([(wish(1), (low, other))]) == (low, other)
    assert told.news([(wish(1), (low,))]) == (low,)
    assert told.told(wish(2)) is None


def test_below_a_ceiling_what_would_be_given_is_the_layer_that_fits() -> None:
    ceiling = replace(GIVEN, wanted=2, cause=Cause.CEILING)
    assert explained(ceiling).text == (
        "You get 640x360 instead of 1280x720: this server gives you at most 400 lines."
    )


def test_a_rate_is_told_of_what_was_chosen_and_a_temporal_layer_where_some_are_left_out() -> None:
    waiting = explained(replace(GIVEN, current=0, temporal=1)).sent
    assert waiting == Sent(Rid("q"), 1, 320, 180, 0.0)


def test_a_layer_of_which_no_rid_is_known_has_none() -> None:
    sent = explained(rids=()).sent
    assert sent is not None
    assert sent.rid == NO_RID


def test_sound_has_no_size_and_no_pause_of_its_own() -> None:
    audio = replace(ANNOUNCED, kind=Kind.AUDIO, encodings=1)
    demand = SetDemand(RouteId(1), TransportId(2), TrackHandle(1), Kind.AUDIO)
    outcome = Outcome(0, ALL_TEMPORAL, 0, 0, 0, Cause.SIZE, 40_000.0, 0.0, 0.0)

    def heard(announced: AnnouncedTrack = audio, **changes: Any) -> Explanation:  # noqa: ANN401  # of Outcome
        return explained(replace(outcome, **changes), demand=demand, announced=announced, rids=(NO_RID,))

    assert heard() == Explanation(WISH, Sent(NO_RID, None, 0, 0, 40_000.0), Reason.SIZE, "You get the sound.")
    assert heard(current=PAUSED).reason is Reason.WAITING
    assert heard(replace(audio, audio_muted=True)).reason is Reason.MUTED


def test_sound_that_is_unheard_says_so_and_that_it_is_muted_comes_first() -> None:
    audio = replace(ANNOUNCED, kind=Kind.AUDIO, encodings=1)
    demand = SetDemand(RouteId(1), TransportId(2), TrackHandle(1), Kind.AUDIO)
    outcome = Outcome(0, ALL_TEMPORAL, 0, 0, PAUSED, Cause.UNHEARD, 0.0, 0.0, 0.0)
    unheard = explained(outcome, demand=demand, announced=audio, rids=(NO_RID,))
    assert (unheard.sent, unheard.reason) == (None, Reason.UNHEARD)
    muted = replace(audio, audio_muted=True)
    assert explained(outcome, demand=demand, announced=muted, rids=(NO_RID,)).reason is Reason.MUTED
