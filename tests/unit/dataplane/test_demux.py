"""Which SSRC is which stream (packet rule 4)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sfu.dataplane.binding import HELD_S, MAX_HELD
from sfu.dataplane.encoding import RETURN_AFTER_S
from sfu.plane import DropReason, EncodingSpec, Extension, RemoveTrack, StreamBound
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import Nack, Pli, ReceiverReport
from sfu.rtp.twcc import TransportFeedback
from sfu.units import NO_RID, Mid, PayloadType, Rid, Ssrc, TrackHandle
from tests.support.plane_driver import PlaneDriver, VirtualPeer
from tests.support.plane_media import (
    CAMERA,
    EXTENSIONS,
    MICROPHONE,
    OPUS,
    SINGLE,
    VIDEO,
    VP8,
    Call,
    Source,
    VideoSource,
    camera,
    elements,
    microphone,
    repair_of,
    video_route,
)

if TYPE_CHECKING:
    from sfu.plane import PlaneEvent

A, B, C = Ssrc(10), Ssrc(11), Ssrc(12)
OTHER = TrackHandle(5)


@pytest.fixture
def publisher(driver: PlaneDriver) -> VirtualPeer:
    peer = VirtualPeer.joined(driver, 1)
    driver.events()
    return peer


def bound(driver: PlaneDriver) -> list[PlaneEvent]:
    return [event for event in driver.events() if isinstance(event, StreamBound)]


def video(peer: VirtualPeer, ssrc: Ssrc = A, *, mid: str = "0", rid: str = "") -> VideoSource:
    return VideoSource(peer, ssrc, VP8.payload_type, elements(mid, rid) if mid else ())


def reported(peer: VirtualPeer) -> set[int]:
    return {block.ssrc for report in peer.take_rtcp(ReceiverReport) for block in report.reports}


def test_mid_and_rid_tell_the_encoding(driver: PlaneDriver, publisher: VirtualPeer) -> None:
    driver.apply(camera(publisher.transport))
    for ssrc, rid in ((A, "f"), (B, "q")):
        video(publisher, ssrc, rid=rid).send_frame(key=True)
    assert bound(driver) == [StreamBound(CAMERA, 2, A), StreamBound(CAMERA, 0, B)]


def test_a_mid_alone_tells_a_track_that_is_sent_as_one(driver: PlaneDriver, publisher: VirtualPeer) -> None:
    driver.apply(camera(publisher.transport, SINGLE), microphone(publisher.transport))
    video(publisher).send_frame(key=True)
    voice = Source(publisher, B, OPUS.payload_type, elements("1"))
    voice.send(voice.packet(b"opus"))
    assert bound(driver) == [StreamBound(CAMERA, 0, A), StreamBound(MICROPHONE, 0, B)]


def test_a_rid_that_was_not_agreed_on_does_not_hide_a_track_sent_as_one(
    driver: PlaneDriver, publisher: VirtualPeer
) -> None:
    driver.apply(camera(publisher.transport, SINGLE))
    video(publisher, rid="f").send_frame(key=True)
    assert bound(driver) == [StreamBound(CAMERA, 0, A)]


def test_ssrcs_of_the_sdp_are_known_without_extensions(driver: PlaneDriver, publisher: VirtualPeer) -> None:
    driver.apply(camera(publisher.transport, (EncodingSpec(NO_RID, A, B),)))
    source = video(publisher, mid="")
    source.send_frame(key=True)
    (lost,) = source.frame()
    source.send_frame()
    publisher.send(replace(repair_of(lost, B, 1), extensions=()))
    assert bound(driver) == [StreamBound(CAMERA, 0, A)]
    driver.advance(50)
    assert publisher.take_rtcp(Nack) == []


@pytest.mark.parametrize("rid", [NO_RID, Rid("h")])
def test_repairs_are_told_by_repaired_rid_or_by_payload_type(
    driver: PlaneDriver, publisher: VirtualPeer, rid: Rid
) -> None:
    driver.apply(camera(publisher.transport) if rid else camera(publisher.transport, SINGLE))
    source = video(publisher, rid=rid)
    source.send_frame(key=True)
    (lost,) = source.frame()
    source.send_frame()
    publisher.send(repair_of(lost, B, 1, rid))
    driver.advance(50)
    assert publisher.take_rtcp(Nack) == []
    assert driver.drops(DropReason.UNKNOWN_SSRC) == 0


def test_a_section_without_the_mid_extension_is_told_by_its_payload_type(
    driver: PlaneDriver, publisher: VirtualPeer
) -> None:
    driver.apply(
        camera(publisher.transport, SINGLE, extensions={}),
        replace(microphone(publisher.transport), extensions={}),
    )
    video(publisher, mid="").send_frame(key=True)
    assert bound(driver) == [StreamBound(CAMERA, 0, A)]
    driver.apply(camera(publisher.transport, SINGLE, track=OTHER, mid="5", extensions={}))
    video(publisher, B, mid="").send_frame(key=True)
    assert bound(driver) == []


def test_browsers_that_stop_saying_mid_and_rid_stay_bound(
    driver: PlaneDriver, publisher: VirtualPeer
) -> None:
    driver.apply(camera(publisher.transport))
    source = video(publisher, rid="h")
    source.send_frame(key=True)
    driver.advance(200)
    assert reported(publisher) == {A}
    source.elements = ()
    for _ in range(10):
        driver.advance(1_000)
        source.send_frame()
    assert driver.encoding_row(CAMERA, 1)["packets_received"] == 11
    # Also when the section's track is another now.
    driver.events()
    driver.apply(camera(publisher.transport, track=OTHER))
    source.send_frame(key=True)
    assert bound(driver) == [StreamBound(OTHER, 1, A)]
    assert driver.encoding_row(OTHER, 1)["packets_received"] == 1


def test_nothing_is_reported_of_an_ssrc_before_it_is_bound(
    driver: PlaneDriver, publisher: VirtualPeer
) -> None:
    driver.apply(camera(publisher.transport))
    nameless = video(publisher, mid="")
    for _ in range(5):
        nameless.send_frame()
        driver.advance(400)
    publisher.send(replace(repair_of(nameless.sent[0], B, 1), extensions=()))
    driver.advance(1_500)
    assert reported(publisher) == set()
    nameless.elements = elements("0", "q")
    nameless.send_frame(key=True)
    driver.advance(1_500)
    assert reported(publisher) == {A}


def test_packets_wait_for_the_one_that_tells_their_name(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.elements = ()
    early = call.low.send_frame(key=True, parts=3)
    assert call.video() == []
    call.low.elements = elements("0", "q")
    call.low.send_frame()
    assert [packet.payload[6:] for packet in call.video()] == [
        packet.payload[6:] for packet in (*early, call.low.sent[-1])
    ]


def test_packets_wait_for_their_track(driver: PlaneDriver, publisher: VirtualPeer) -> None:
    subscriber = VirtualPeer.joined(driver, 2)
    source = video(publisher)
    source.send_frame(key=True)
    driver.apply(camera(publisher.transport, SINGLE), video_route(subscriber.transport))
    driver.aim(VIDEO, 0)
    source.send_frame()
    source.send_frame(key=True)
    assert driver.encoding_row(CAMERA)["packets_received"] == 3
    assert driver.drops(DropReason.UNKNOWN_SSRC) == 0
    assert len(subscriber.take_rtp()) == 1


def test_what_waits_is_bounded_in_number_and_time(driver: PlaneDriver, publisher: VirtualPeer) -> None:
    driver.apply(camera(publisher.transport))
    nameless = video(publisher, mid="")
    for _ in range(MAX_HELD + 5):
        nameless.send_frame()
    assert driver.drops(DropReason.UNKNOWN_SSRC) == 5
    driver.advance(HELD_S * 1_000 - 1)
    assert driver.drops(DropReason.UNKNOWN_SSRC) == 5
    driver.advance(1)
    assert driver.drops(DropReason.UNKNOWN_SSRC) == MAX_HELD + 5


@pytest.mark.parametrize("rid", ["x", "q\x00", "much-too-long-for-a-rid"])
def test_a_rid_of_nobody_gets_nowhere(driver: PlaneDriver, publisher: VirtualPeer, rid: str) -> None:
    driver.apply(camera(publisher.transport))
    video(publisher, rid=rid).send_frame(key=True)
    driver.advance(2_000)
    assert bound(driver) == []
    assert driver.drops(DropReason.UNKNOWN_SSRC) == 1


def test_a_payload_type_of_nobody_gets_nowhere(driver: PlaneDriver, publisher: VirtualPeer) -> None:
    driver.apply(camera(publisher.transport, SINGLE))
    source = video(publisher)
    source.payload_type = PayloadType(35)
    source.send_frame(key=True)
    assert bound(driver) == []
    source.payload_type = VP8.payload_type
    source.send_frame(key=True)
    source.payload_type = PayloadType(35)
    source.send_frame()
    assert driver.drops(DropReason.UNKNOWN_PAYLOAD_TYPE) == 2
    publisher.send(repair_of(source.sent[1], B, 1))
    publisher.send(replace(repair_of(source.sent[1], B, 2), payload_type=PayloadType(36)))
    assert driver.drops(DropReason.UNKNOWN_PAYLOAD_TYPE) == 3


def test_an_ssrc_that_changes_is_told_again_and_joined_at_a_key_frame(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.low.frame()
    call.low.send_frame()
    call.driver.advance(15)
    call.driver.events()
    before = call.driver.encoding_row(CAMERA)
    anew = replace(call.low, ssrc=Ssrc(77), seq=50_000, ts=9, picture_id=5)
    anew.send_frame()
    call.driver.advance(1_500)
    assert bound(call.driver) == [StreamBound(CAMERA, 0, Ssrc(77))]
    assert Pli(Ssrc(1), Ssrc(77)) in call.publisher.take_rtcp(Pli)
    anew.send_frame(key=True)
    anew.send_frame()
    packets = call.video()
    assert [packet.sequence_number - packets[0].sequence_number for packet in packets] == [0, 2, 3, 4]
    row = call.driver.encoding_row(CAMERA)
    assert row["ssrc"] == 77
    assert row["packets_received"] == before["packets_received"] + 3
    assert row["bytes_received"] == before["bytes_received"] + sum(
        len(packet.serialise()) for packet in anew.sent[-3:]
    )
    assert row["frames_received"] == before["frames_received"] + 3
    assert row["key_frames_received"] == before["key_frames_received"] + 1
    assert row["packets_lost"] == before["packets_lost"] == 1
    assert row["nack_count"] == before["nack_count"] == 1


def test_two_senders_on_one_section_do_not_take_turns(driver: PlaneDriver, publisher: VirtualPeer) -> None:
    driver.apply(camera(publisher.transport, SINGLE))
    first, second = video(publisher, A), video(publisher, B)
    for _ in range(10):
        first.send_frame(key=True)
        second.send_frame(key=True)
    assert bound(driver) == [StreamBound(CAMERA, 0, A), StreamBound(CAMERA, 0, B)]
    assert driver.drops(DropReason.UNKNOWN_SSRC) == 9
    driver.advance(RETURN_AFTER_S * 1_000 + 1)
    first.send_frame(key=True)
    assert bound(driver) == [StreamBound(CAMERA, 0, A)]


def test_a_repair_stream_that_changes_is_followed(driver: PlaneDriver, publisher: VirtualPeer) -> None:
    driver.apply(camera(publisher.transport, SINGLE))
    source = video(publisher)
    source.send_frame(key=True)
    lost = source.frame(parts=2)
    source.send_frame()
    publisher.send(repair_of(lost[0], B, 1), repair_of(lost[1], C, 1), repair_of(lost[0], B, 2))
    assert driver.drops(DropReason.UNKNOWN_SSRC) == 1
    driver.advance(50)
    assert publisher.take_rtcp(Nack) == []


def test_probes_of_ssrc_0_are_fed_back_and_bind_nothing(call: Call) -> None:
    call.low.send_frame(key=True)
    call.driver.events()
    probe = RtpPacket(PayloadType(97), 5, 5, Ssrc(0), b"", extensions=(call.low._stamp(),), padding_bytes=255)
    call.publisher.send(probe)
    call.driver.advance(60)
    (feedback,) = call.publisher.take_rtcp(TransportFeedback)
    assert [number for number, at in feedback.arrivals if at is not None] == [0, 1]
    assert call.driver.events() == ()
    assert call.driver.drops(DropReason.PADDING_ONLY) == 1


def test_padding_alone_binds_no_stream_of_media(driver: PlaneDriver, publisher: VirtualPeer) -> None:
    driver.apply(camera(publisher.transport, SINGLE))
    source = video(publisher)
    publisher.send(replace(source.packet(b""), padding_bytes=10))
    assert bound(driver) == []
    assert driver.drops(DropReason.PADDING_ONLY) == 1


def test_a_track_on_the_mid_of_another_replaces_it(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.driver.apply(camera(call.publisher.transport, track=OTHER))
    call.video()
    call.low.send_frame(key=True)
    stats = call.driver.core.stats(call.driver.now)
    assert stats.encodings["track"].tolist() == [OTHER]
    assert VIDEO not in stats.routes["route"]
    assert call.video() == []


def test_a_track_that_is_removed_receives_no_more(call: Call) -> None:
    call.low.send_frame(key=True)
    call.driver.apply(RemoveTrack(CAMERA))
    call.driver.events()
    call.low.send_frame(key=True)
    call.driver.advance(2_000)
    assert bound(call.driver) == []
    assert call.driver.drops(DropReason.UNKNOWN_SSRC) == 1
    assert reported(call.publisher) == set()


def test_a_track_whose_mid_changes_is_found_under_the_new_one(
    driver: PlaneDriver, publisher: VirtualPeer
) -> None:
    driver.apply(camera(publisher.transport, SINGLE))
    driver.apply(replace(camera(publisher.transport, SINGLE), mid=Mid("9")))
    video(publisher, mid="9").send_frame(key=True)
    video(publisher, B, mid="0").send_frame(key=True)
    assert bound(driver) == [StreamBound(CAMERA, 0, A)]


def test_an_ssrc_of_the_sdp_moves_with_its_section(driver: PlaneDriver, publisher: VirtualPeer) -> None:
    driver.apply(camera(publisher.transport, (EncodingSpec(NO_RID, A),)))
    source = video(publisher, mid="")
    source.send_frame(key=True)
    driver.apply(camera(publisher.transport, (EncodingSpec(NO_RID, A),), track=OTHER, mid="5"))
    driver.events()
    source.send_frame(key=True)
    assert bound(driver) == [StreamBound(OTHER, 0, A)]


def test_extension_ids_of_one_section_hold_for_all(driver: PlaneDriver, publisher: VirtualPeer) -> None:
    driver.apply(camera(publisher.transport, SINGLE, extensions={Extension.MID: EXTENSIONS[Extension.MID]}))
    driver.apply(replace(microphone(publisher.transport), extensions={}))
    voice = Source(publisher, B, OPUS.payload_type, elements("1"))
    voice.send(voice.packet(b"opus"))
    assert bound(driver) == [StreamBound(MICROPHONE, 0, B)]
