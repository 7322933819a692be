"""Operations: those that name what is gone are ignored, those that contradict others are our mistake."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sfu.dataplane.reports import FEEDBACK_SSRC
from sfu.errors import LocalError
from sfu.plane import (
    AddTransport,
    Credentials,
    InstallSrtp,
    PlaneOperation,
    RemoveRoute,
    RemoveTrack,
    RemoveTransport,
    RequestKeyframe,
    SendDatagram,
    SetCredentials,
)
from sfu.units import Kind, RouteId, Ssrc, TrackHandle, TransportId
from tests.support.plane_driver import KEY_BYTES, PROFILE, PlaneDriver, VirtualPeer
from tests.support.plane_media import (
    CAMERA,
    VIDEO,
    VIDEO_SSRC,
    Call,
    camera,
    video_route,
)

GONE = TransportId(99)
CREDENTIALS = Credentials("some-fragment", "some-password-that-is-long")


@pytest.mark.parametrize(
    "operation",
    [
        SetCredentials(GONE, CREDENTIALS),
        InstallSrtp(GONE, PROFILE, bytes(KEY_BYTES), bytes(KEY_BYTES)),
        RemoveTransport(GONE),
        RemoveTrack(TrackHandle(99)),
        RemoveRoute(RouteId(99)),
        RequestKeyframe(TrackHandle(99), 0),
        SendDatagram(GONE, b"\x16"),
    ],
)
def test_what_names_something_gone_is_ignored(call: Call, operation: PlaneOperation) -> None:
    before = call.driver.core.stats(call.driver.now)
    call.driver.apply(operation)
    after = call.driver.core.stats(call.driver.now)
    assert before.transports.tolist() == after.transports.tolist() or (
        before.transports["transport"].tolist() == after.transports["transport"].tolist()
    )
    assert after.routes["route"].tolist() == before.routes["route"].tolist()
    assert call.driver.lost == []


def test_tracks_and_routes_of_what_is_gone_are_ignored(call: Call) -> None:
    stranger = replace(call.subscriber, transport=GONE)
    call.driver.apply(
        camera(stranger.transport, track=TrackHandle(50)),
        video_route(stranger.transport, RouteId(51)),
        video_route(call.subscriber.transport, RouteId(52), track=TrackHandle(50), ssrc=Ssrc(1_234)),
    )
    assert call.driver.core.stats(call.driver.now).routes["route"].tolist() == [1, 2]


def contradictions(call: Call) -> dict[str, PlaneOperation]:
    other = call.second_subscriber()
    route, track = video_route(call.subscriber.transport), camera(call.publisher.transport)
    return {
        "transport": AddTransport(call.publisher.transport, CREDENTIALS),
        "fragment": AddTransport(TransportId(4), call.publisher.credentials),
        "restart": SetCredentials(call.publisher.transport, other.credentials),
        "track of another": replace(track, transport=other.transport),
        "track of a kind": replace(track, kind=Kind.AUDIO),
        "route of a track": replace(route, track=TrackHandle(2)),
        "route to another": replace(route, transport=other.transport),
        "route's ssrc": replace(route, ssrc=Ssrc(8)),
        "route's rtx": replace(route, rtx_ssrc=None),
        "ssrc of another": video_route(call.subscriber.transport, RouteId(77), ssrc=VIDEO_SSRC),
        "ssrc of ours": video_route(call.subscriber.transport, RouteId(77), ssrc=FEEDBACK_SSRC),
    }


@pytest.mark.parametrize("name", contradictions(Call.of(PlaneDriver())))
def test_what_contradicts_an_earlier_operation_is_our_mistake_and_changes_nothing(
    call: Call, name: str
) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    with pytest.raises(LocalError):
        call.driver.apply(contradictions(call)[name])
    call.low.send_frame()
    assert len(call.video()) == 2
    assert call.driver.encoding_row(CAMERA)["packets_received"] == 2


def test_operations_are_carried_out_in_order(driver: PlaneDriver) -> None:
    publisher, subscriber = VirtualPeer.joined(driver, 1), VirtualPeer.joined(driver, 2)
    driver.apply(
        camera(publisher.transport),
        video_route(subscriber.transport),
        RemoveRoute(VIDEO),
        video_route(subscriber.transport, RouteId(2), ssrc=Ssrc(9_000)),
        RemoveTrack(CAMERA),
        camera(publisher.transport, track=TrackHandle(2)),
    )
    stats = driver.core.stats(driver.now)
    assert stats.routes["route"].tolist() == []


def test_an_id_that_is_gone_can_be_told_again(driver: PlaneDriver) -> None:
    publisher = VirtualPeer.joined(driver, 1)
    driver.apply(RemoveTransport(publisher.transport))
    again = VirtualPeer.joined(driver, 1)
    assert again.transport == publisher.transport
    assert driver.transport_row(again.transport)["packets_received"] == 1


def test_keys_that_are_installed_again_are_used(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.subscriber.install()
    call.low.send_frame()
    assert len(call.video()) == 2
