"""What a call tells of each tick: layers to publishers, reasons to subscribers."""

from __future__ import annotations

from typing import Any, Final

import pytest

from sfu.allocation.decision import DECISION_DTYPE, Cause
from sfu.conference.explanations import MAX_TOLD, TELL_GAP_MS
from sfu.conference.sender_layers import OFF_AFTER_S
from sfu.conference.telling import MAX_EXPLAINED
from sfu.conference.turn import SetDemand
from sfu.conference.values import DecisionsExplained, LayersWanted, Reason, TrackLayers, Wish
from sfu.config import ConferenceConfig
from sfu.rows import ALL_TEMPORAL, ROUTE_DTYPE
from sfu.units import Rid, TransportId
from tests.unit.conference.caller import Call, Caller, described, of_type, report_of
from tests.unit.conference.test_outcomes import rows_of

VIDEO: Final = Wish("alice-stream", "alice-video", 640, 360)
AUDIO: Final = Wish("alice-stream", "alice-audio")
OFF_MS: Final = OFF_AFTER_S * 1_000


class Ticks:
    """A call in which decisions are made by hand."""

    def __init__(self, config: ConferenceConfig | None = None) -> None:
        self.call = Call(config)
        self.alice = self.call.join(Caller.with_media("alice"))
        self.bob = self.call.join(Caller.with_media("bob", "audio"))
        self.demands: dict[tuple[str, str], SetDemand] = {}

    def subscribe(self, *wishes: Wish) -> None:
        for wish in wishes:
            (demand,) = of_type(self.call.subscribe(self.bob, wish), SetDemand)
            self.demands[wish.stream_id, wish.track_id] = demand

    def tick(self, encoding: int | None = None, after_ms: float = 50, **decision: Any) -> list[Any]:  # noqa: ANN401  # of a decision
        """A tick in which bob is given an encoding of alice's camera; None: nothing was decided."""
        self.call.pass_ms(after_ms)
        demand = self.demands.get((VIDEO.stream_id, VIDEO.track_id))
        if encoding is None or demand is None:
            return self.call.conference.report(self.call.now, report_of(self.call.now))
        chosen = dict.fromkeys(("wanted_encoding", "allowed_encoding", "chosen_encoding"), encoding)
        row = {"route": demand.route, "track": demand.track} | chosen | decision
        flows = {"route": demand.route, "encoding": row["chosen_encoding"], "temporal": ALL_TEMPORAL}
        return self.call.conference.report(
            self.call.now,
            report_of(
                self.call.now,
                decisions=rows_of(DECISION_DTYPE, (row,)),
                routes=rows_of(ROUTE_DTYPE, (flows,)),
            ),
        )


def active(outputs: list[Any]) -> list[tuple[TransportId, str]]:
    """Who was told of which rids of the camera."""
    return [(one.leg, "".join(one.tracks[0].rids)) for one in of_type(outputs, LayersWanted)]


def reasons(outputs: list[Any]) -> list[tuple[str, Reason]]:
    return [
        (told.wish.track_id, told.reason)
        for one in of_type(outputs, DecisionsExplained)
        for told in one.explanations
    ]


# --- layers -----------------------------------------------------------------------------------------------


def test_a_publisher_is_told_of_its_simulcast_tracks_when_its_channel_opens() -> None:
    call = Call()
    alice = call.join(Caller.with_media("alice"), channel=False)
    wanted = LayersWanted(
        alice, (TrackLayers("alice-stream", "alice-video", (Rid("q"), Rid("h"), Rid("f"))),)
    )
    assert of_type(call.conference.channel_ready(call.now, alice), LayersWanted) == [wanted]


def test_who_publishes_no_simulcast_is_told_nothing() -> None:
    call = Call()
    bob = call.join(Caller.with_media("bob", "audio"), channel=False)
    assert call.conference.channel_ready(call.now, bob) == []


def test_layers_follow_what_subscribers_want_on_at_once_and_off_after_a_while() -> None:
    ticks = Ticks()
    assert active(ticks.tick()) == [(ticks.alice, "qhf")]
    ticks.subscribe(VIDEO)
    assert active(ticks.tick(1)) == []
    assert active(ticks.tick(1, after_ms=OFF_MS)) == [(ticks.alice, "qh")]
    assert active(ticks.tick(2, cause=Cause.LAYER_NOT_SENT, chosen_encoding=1)) == [(ticks.alice, "qhf")]
    assert active(ticks.tick(2)) == []
    assert active(ticks.tick(2, after_ms=OFF_MS - 100)) == []
    assert active(ticks.tick(2, after_ms=100)) == [(ticks.alice, "qf")]


def test_when_the_last_subscriber_goes_only_the_lowest_stays() -> None:
    ticks = Ticks()
    ticks.subscribe(VIDEO)
    ticks.tick(2)
    ticks.tick(2, after_ms=OFF_MS)
    ticks.call.unsubscribe(ticks.bob, (VIDEO.stream_id, VIDEO.track_id))
    ticks.tick()
    assert active(ticks.tick(after_ms=OFF_MS)) == [(ticks.alice, "q")]
    ticks.call.conference.remove_leg(ticks.call.now, ticks.alice)
    assert active(ticks.tick(after_ms=OFF_MS)) == []


def test_without_a_channel_nothing_is_told_and_all_of_it_when_there_is_one() -> None:
    ticks = Ticks()
    ticks.tick()
    ticks.subscribe(VIDEO)
    for leg in (ticks.alice, ticks.bob):
        ticks.call.conference.channel_lost(ticks.call.now, leg)
    assert ticks.tick(1, after_ms=OFF_MS) == []
    assert active(ticks.call.conference.channel_ready(ticks.call.now, ticks.alice)) == [(ticks.alice, "qh")]
    ticks.call.conference.channel_ready(ticks.call.now, ticks.bob)
    assert reasons(ticks.tick(1)) == [("alice-video", Reason.SIZE)]


def test_an_operator_can_have_everybody_send_everything() -> None:
    ticks = Ticks(ConferenceConfig(sender_layers=False))
    outputs = ticks.tick() + ticks.call.conference.channel_ready(ticks.call.now, ticks.alice)
    outputs += ticks.tick(after_ms=OFF_MS)
    assert active(outputs) == []


def test_a_stream_that_is_not_described_is_named_as_in_the_sdp() -> None:
    ticks = Ticks()
    ticks.call.conference.streams_described(ticks.call.now, ticks.alice, described("alice", "audio"))
    (wanted,) = of_type(ticks.tick(), LayersWanted)
    assert wanted.tracks[0].stream_id == "alice-stream"


# --- reasons ----------------------------------------------------------------------------------------------


def test_a_subscriber_is_told_step_by_step_what_becomes_of_its_wish() -> None:
    ticks = Ticks()
    ticks.call.subscribe(ticks.bob, Wish("no", "such"))
    assert reasons(ticks.tick()) == [("such", Reason.NOT_PUBLISHED)]
    ticks.subscribe(VIDEO, AUDIO)
    told = reasons(ticks.tick(1, after_ms=TELL_GAP_MS))
    assert told == [("alice-video", Reason.SIZE), ("alice-audio", Reason.NEGOTIATING)]
    assert reasons(ticks.tick(1, rate_bps=5.0, after_ms=TELL_GAP_MS)) == []
    small = {"chosen_encoding": 0, "cause": Cause.BUDGET, "budget_bps": 100_000.0}
    assert reasons(ticks.tick(1, **small)) == [("alice-video", Reason.BUDGET)]


def test_news_within_a_short_time_are_told_together() -> None:
    ticks = Ticks()
    ticks.subscribe(VIDEO)
    ticks.tick(1)
    assert reasons(ticks.tick(2)) == []
    assert reasons(ticks.tick(0)) == []
    (told,) = of_type(ticks.tick(0, after_ms=TELL_GAP_MS - 100), DecisionsExplained)
    assert [one.sent.rid for one in told.explanations if one.sent is not None] == ["q"]


def test_a_layer_that_was_given_up_is_told_to_be_on_its_way_and_after_a_while_not_to_come() -> None:
    ticks = Ticks()
    ticks.subscribe(VIDEO)
    ticks.tick(0)
    ticks.tick(0, after_ms=OFF_MS)
    missing = {"chosen_encoding": 0, "cause": Cause.LAYER_NOT_SENT}
    assert reasons(ticks.tick(2, **missing)) == [("alice-video", Reason.SWITCHED_OFF)]
    told = [reasons(ticks.tick(2, after_ms=TELL_GAP_MS, **missing)) for _ in range(16)]
    assert [one for one in told if one] == [[("alice-video", Reason.LAYER_NOT_SENT)]]


def test_a_wish_taken_back_before_it_was_looked_at_is_not_told_of() -> None:
    ticks = Ticks()
    ticks.call.subscribe(ticks.bob, Wish("no", "such"))
    ticks.call.unsubscribe(ticks.bob, ("no", "such"))
    assert reasons(ticks.tick()) == []


def test_a_call_that_changes_as_a_whole_is_explained_over_several_ticks() -> None:
    call = Call()
    legs = [call.join(Caller.with_media(f"p{number}", "audio")) for number in range(8)]
    wishes = [Wish("no", f"such-{number}") for number in range(60)]
    for leg in legs:
        call.subscribe(leg, *wishes)
    told: dict[TransportId, int] = {}
    most = 0
    for _ in range(40):
        explained = of_type(call.conference.report(call.now, report_of(call.now)), DecisionsExplained)
        most = max(most, sum(len(one.explanations) for one in explained))
        for one in explained:
            assert len(one.explanations) <= MAX_TOLD
            told[one.leg] = told.get(one.leg, 0) + len(one.explanations)
        call.pass_ms(50)
    assert most == MAX_EXPLAINED
    assert told == dict.fromkeys(legs, len(wishes))


@pytest.mark.parametrize("ready", [True, False])
def test_only_legs_with_a_channel_are_explained_to(ready: bool) -> None:
    call = Call()
    bob = call.join(Caller.with_media("bob", "audio"), channel=ready)
    call.subscribe(bob, Wish("no", "such"))
    outputs = call.conference.report(call.now, report_of(call.now))
    assert bool(of_type(outputs, DecisionsExplained)) is ready
