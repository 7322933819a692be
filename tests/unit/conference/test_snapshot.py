from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from sfu.allocation.decision import DECISION_DTYPE, Cause
from sfu.bwe.estimate import ESTIMATE_DTYPE, EstimateState
from sfu.conference.turn import SetDemand
from sfu.conference.values import Source, Wish
from sfu.rows import ENCODING_DTYPE, PAUSED, ROUTE_DTYPE, TRANSPORT_DTYPE
from sfu.units import Instant, TransportId
from tests.unit.conference.caller import Call, Caller, of_type, report_of
from tests.unit.conference.hop import Net

ALICE_VIDEO = Wish("alice-stream", "alice-video", 640, 360)


def filled(dtype: np.dtype[np.void], **values: float) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    array = np.zeros(1, dtype)
    for name, value in values.items():
        array[name] = value
    return array


def test_a_call_before_any_report_shows_its_members_and_what_they_wait_for() -> None:
    call = Call()
    alice = call.join(Caller.with_media("alice"))
    bob = call.join(Caller.with_media("bob"), channel=False)
    call.subscribe(bob, ALICE_VIDEO, Wish("no", "such"))
    snapshot = call.conference.snapshot()
    assert snapshot.conference == call.conference.id
    assert [(one.leg, one.is_admitted, one.channel_is_ready) for one in snapshot.legs] == [
        (alice, True, True),
        (bob, True, False),
    ]
    video = snapshot.legs[0].tracks[1]
    assert (video.mid, video.source, video.stream_id, video.width) == (
        "1",
        Source.CAMERA,
        "alice-stream",
        1280,
    )
    assert [one.rid for one in video.encodings] == ["q", "h", "f"]
    assert [(one.owner, one.cause) for one in snapshot.legs[1].subscriptions] == [
        (alice, "negotiating"),
        (None, "not_published"),
    ]
    assert snapshot.legs[0].round_trip_time_ms is None


def test_a_call_shows_rates_counters_and_layers_of_the_newest_report() -> None:
    call = Call()
    call.join(Caller.with_media("alice"))
    bob = call.join(Caller.with_media("bob"))
    demand = of_type(call.subscribe(bob, ALICE_VIDEO), SetDemand)[0]

    def report(received: int) -> None:
        call.conference.report(
            call.now,
            report_of(
                call.now,
                transports=filled(
                    TRANSPORT_DTYPE, transport=bob, bytes_received=5, bytes_sent=7, round_trip_time_ms=12.5
                ),
                encodings=filled(
                    ENCODING_DTYPE,
                    track=demand.track,
                    encoding=1,
                    bytes_received=received,
                    packets_received=9,
                    packets_lost=2,
                    last_received_at=call.now,
                    audio_level=127,
                ),
                routes=filled(
                    ROUTE_DTYPE, route=demand.route, encoding=PAUSED, packets_sent=4, packets_lost=1
                ),
                decisions=filled(
                    DECISION_DTYPE,
                    route=demand.route,
                    wanted_encoding=2,
                    chosen_encoding=1,
                    cause=Cause.LAYER_NOT_SENT,
                ),
            ),
        )

    report(1_000)
    call.pass_ms(500)
    report(26_000)
    snapshot = call.conference.snapshot()
    low, medium, _ = snapshot.legs[0].tracks[1].encodings
    assert medium.bitrate_bps == pytest.approx(400_000)
    assert (medium.packets_received, medium.packets_lost, medium.last_received_at) == (9, 2, call.now)
    assert (low.bitrate_bps, low.last_received_at) == (0.0, None)
    leg = snapshot.legs[1]
    assert (leg.round_trip_time_ms, leg.bytes_received, leg.bytes_sent) == (12.5, 5, 7)
    shown = leg.subscriptions[0]
    assert (shown.wanted_encoding, shown.chosen_encoding, shown.current_encoding) == (2, 1, None)
    assert (shown.cause, shown.route, shown.packets_sent) == ("waiting", demand.route, 4)
    assert shown.text == "You get nothing yet: 640x360 begins with its next key frame."
    call.conference.channel_lost(call.now, bob)
    untold = call.conference.snapshot().legs[1].subscriptions[0]
    assert (untold.cause, untold.text) == ("layer_not_sent", "")
    for _ in range(100):
        call.pass_ms(50)
        report(26_000)
    assert call.conference.snapshot().legs[0].tracks[1].encodings[1].bitrate_bps == 0.0


def test_a_round_trip_time_that_is_not_known_is_none_and_an_encoding_just_bound_has_no_rate() -> None:
    call = Call()
    alice = call.join(Caller.with_media("alice"))
    track = call.conference.snapshot().legs[0].tracks[1].track
    transports = filled(TRANSPORT_DTYPE, transport=alice, round_trip_time_ms=np.nan)
    call.conference.report(call.now, report_of(call.now, transports=transports))
    call.pass_ms(100)
    encodings = filled(ENCODING_DTYPE, track=track, bytes_received=500, audio_level=127)
    call.conference.report(call.now, report_of(call.now, transports=transports, encodings=encodings))
    leg = call.conference.snapshot().legs[0]
    assert leg.round_trip_time_ms is None
    assert leg.tracks[1].encodings[0].bitrate_bps == 0.0
    assert leg.leg == TransportId(1)


class Wire:
    """Reports of what goes over one leg's transport, and of the video that comes on it."""

    def __init__(self) -> None:
        self.call = Call()
        self.leg = self.call.join(Caller.with_media("alice"))
        self.track = self.call.conference.snapshot().legs[0].tracks[1].track

    def report(
        self, at_s: float, sizes: tuple[int, int], packets: tuple[int, int], **estimate: float
    ) -> None:
        """So many bytes were received and sent by then, so many packets of video received and lost."""
        now = Instant(round(at_s * 1e9))
        report = report_of(
            now,
            transports=filled(
                TRANSPORT_DTYPE, transport=self.leg, bytes_received=sizes[0], bytes_sent=sizes[1]
            ),
            encodings=filled(
                ENCODING_DTYPE,
                track=self.track,
                encoding=1,
                packets_received=packets[0],
                packets_lost=packets[1],
                audio_level=127,
            ),
        )
        estimates = filled(ESTIMATE_DTYPE, transport=self.leg, **estimate)
        self.call.conference.report(now, replace(report, estimates=estimates))


def test_rates_losses_and_what_the_path_carries_are_those_of_about_a_second() -> None:
    wire = Wire()
    wire.report(1, (1_000, 500), (100, 3), state=EstimateState.NORMAL, target_bps=2e6, loss=0.5)
    wire.report(2, (126_000, 50_500), (190, 13), state=EstimateState.LOSS, target_bps=1e6, loss=0.25)
    (leg,) = wire.call.conference.snapshot().legs
    assert (leg.received_bps, leg.sent_bps) == (1_000_000, 400_000)
    assert leg.loss_received == pytest.approx(0.1)
    assert (leg.loss_sent, leg.estimate_bps) == (0.25, 1e6)


def test_what_is_not_known_of_a_path_is_none() -> None:
    wire = Wire()
    (leg,) = wire.call.conference.snapshot().legs
    assert (leg.received_bps, leg.loss_received, leg.loss_sent, leg.estimate_bps) == (0, None, None, None)
    wire.report(1, (1_000, 500), (100, 3), state=EstimateState.UNKNOWN, target_bps=inf)
    (leg,) = wire.call.conference.snapshot().legs
    assert (leg.received_bps, leg.loss_received, leg.loss_sent, leg.estimate_bps) == (0, None, None, None)


def test_packets_that_were_late_and_not_lost_are_no_negative_loss() -> None:
    wire = Wire()
    wire.report(1, (0, 0), (100, 9))
    wire.report(2, (0, 0), (200, 4))
    assert wire.call.conference.snapshot().legs[0].loss_received == 0


def test_a_trunk_shows_at_both_ends_which_layers_cross_it_under_the_same_ids() -> None:
    net = Net("one", "two")
    one, two = net.sites
    net.join(one, "alice")
    bob = net.join(two, "bob")
    net.pass_s(1)
    here, there = net.connect(one, two)
    net.pass_s(1)
    net.subscribe(
        two, bob, Wish("alice-stream", "alice-video", 640, 360), Wish("alice-stream", "alice-audio")
    )
    net.pass_s(2.5)
    sent = next(leg for leg in one.call.conference.snapshot().legs if leg.leg == here).subscriptions
    received = next(leg for leg in two.call.conference.snapshot().legs if leg.leg == there).tracks
    crossing = {("alice-stream", "alice-video"): ["q", "h"], ("alice-stream", "alice-audio"): [""]}
    assert {(wish.stream_id, wish.track_id): list(wish.layers) for wish in sent} == crossing
    assert {
        (track.stream_id, track.track_id): [one.rid for one in track.encodings if one.bitrate_bps]
        for track in received
    } == crossing
