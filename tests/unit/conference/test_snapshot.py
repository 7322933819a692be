from __future__ import annotations

import numpy as np
import pytest

from sfu.allocation.decision import DECISION_DTYPE, Cause
from sfu.conference.turn import SetDemand
from sfu.conference.values import Source, Wish
from sfu.rows import ENCODING_DTYPE, PAUSED, ROUTE_DTYPE, TRANSPORT_DTYPE
from sfu.units import TransportId
from tests.unit.conference.caller import Call, Caller, of_type, report_of

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
