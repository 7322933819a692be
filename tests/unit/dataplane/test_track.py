"""One published track: what a new SDP changes, what BYE ends, how loud it was."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sfu.dataplane.encoding import RESUME_AFTER_MS
from sfu.plane import Codec, EncodingSpec, Extension, PayloadFormat, StreamBound, StreamEnded
from sfu.rtp.rtcp import Bye, Nack, Pli
from sfu.units import PayloadType, Rid, Ssrc
from tests.support.plane_media import (
    CAMERA,
    EXTENSIONS,
    MICROPHONE,
    QHF,
    SIMULCAST,
    VIDEO,
    Call,
    camera,
    elements,
)

if TYPE_CHECKING:
    from tests.support.plane_driver import PlaneDriver


def test_bye_ends_the_stream_and_not_the_track(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.driver.events()
    call.publisher.say(Bye((call.low.ssrc, Ssrc(4_711))))
    call.publisher.say(Bye((call.low.ssrc,)))
    assert call.driver.events() == (StreamEnded(CAMERA, 0),)
    assert call.driver.encoding_row(CAMERA)["packets_received"] == 1
    call.driver.advance(RESUME_AFTER_MS)
    call.low.send_frame(key=True)
    assert call.driver.events() == (StreamBound(CAMERA, 0, call.low.ssrc),)
    assert len(call.video()) == 2


def test_packets_that_a_bye_overtook_are_no_new_start(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.publisher.say(Bye((call.low.ssrc,)))
    call.driver.events()
    call.driver.advance(RESUME_AFTER_MS - 1)
    call.low.send_frame()
    assert call.driver.events() == ()
    assert len(call.video()) == 2


def test_nothing_is_asked_of_a_stream_that_ended(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.low.frame()
    call.low.send_frame()
    call.subscriber.say(Pli(Ssrc(9), Ssrc(50_000)))
    call.publisher.say(Bye((call.low.ssrc,)))
    call.publisher.rtcp.clear()
    call.subscriber.say(Pli(Ssrc(9), Ssrc(50_000)))
    call.driver.advance(3_000)
    assert not [packet for packet in call.publisher.rtcp if isinstance(packet, (Nack, Pli))]


def test_setting_a_track_again_is_harmless(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    call.driver.events()
    call.driver.apply(camera(call.publisher.transport))
    call.low.send_frame()
    assert call.driver.events() == ()
    assert len(call.video()) == 2
    assert call.driver.encoding_row(CAMERA)["packets_received"] == 2


def test_encodings_are_known_by_their_rids_whatever_their_number(call: Call) -> None:
    call.driver.apply(camera(call.publisher.transport, SIMULCAST[1:]))
    call.driver.aim(VIDEO, 0)
    call.middle.send_frame(key=True)
    call.high.send_frame(key=True)
    call.driver.events()
    call.driver.apply(camera(call.publisher.transport))
    # Those bound are told again, under their new numbers.
    assert call.driver.events() == (
        StreamBound(CAMERA, 1, call.middle.ssrc),
        StreamBound(CAMERA, 2, call.high.ssrc),
    )
    call.middle.send_frame()
    packets = call.video()
    assert len(packets) == 2
    assert packets[1].sequence_number - packets[0].sequence_number == 1
    row = call.driver.route_row(VIDEO)
    assert (row["encoding"], row["target_encoding"], row["switches"]) == (1, 1, 0)
    assert call.driver.encoding_row(CAMERA, 1)["packets_received"] == 2


def test_an_encoding_that_an_sdp_takes_away_is_gone(call: Call) -> None:
    call.driver.aim(VIDEO, 2)
    call.high.send_frame(key=True)
    call.driver.apply(camera(call.publisher.transport, SIMULCAST[:2]))
    call.high.send_frame()
    assert len(call.video()) == 1
    assert call.driver.core.stats(call.driver.now).encodings["encoding"].tolist() == []
    row = call.driver.route_row(VIDEO)
    assert (row["encoding"], row["target_encoding"]) == (-1, -1)


def test_other_payload_types_and_ids_of_the_publisher_are_followed(call: Call) -> None:
    call.driver.aim(VIDEO, 0)
    call.low.send_frame(key=True)
    other = PayloadFormat("VP8", Codec.VP8, PayloadType(45), 90_000, PayloadType(46))
    ids = {Extension.MID: 3, Extension.RID: 4, Extension.VIDEO_ORIENTATION: 1}
    call.driver.apply(camera(call.publisher.transport, formats=(other,), extensions=ids))
    call.low.payload_type = other.payload_type
    call.low.elements = ((3, b"0"), (4, b"q"), (1, b"\x01"))
    call.low.send_frame()
    packets = call.video()
    assert [packet.payload_type for packet in packets] == [120, 120]
    assert packets[1].extension(4) == b"\x01"
    assert packets[1].sequence_number - packets[0].sequence_number == 1


def test_an_ssrc_that_the_sdp_changes_is_a_change_of_ssrc(call: Call) -> None:
    call.driver.apply(camera(call.publisher.transport, (EncodingSpec(Rid("q"), Ssrc(10)),)))
    call.low.elements = ()
    call.low.send_frame(key=True)
    call.driver.events()
    call.driver.apply(camera(call.publisher.transport, (EncodingSpec(Rid("q"), Ssrc(99)),)))
    assert call.driver.events() == (StreamBound(CAMERA, 0, Ssrc(10)),)
    replace(call.low, ssrc=Ssrc(99)).send_frame(key=True)
    assert call.driver.events() == (StreamBound(CAMERA, 0, Ssrc(99)),)


def test_the_loudest_level_since_the_last_reading_is_told(call: Call) -> None:
    level = EXTENSIONS[Extension.AUDIO_LEVEL]
    for value in (b"\x7f", b"\x9e", b"\x40", b"", b"abc"):
        call.voice.send(call.voice.packet(b"opus", elements=((level, value),)))
    row = call.driver.encoding_row(MICROPHONE)
    assert (row["audio_level"], row["voice"]) == (30, True)
    row = call.driver.encoding_row(MICROPHONE)
    assert (row["audio_level"], row["voice"]) == (127, False)
    call.voice.send(call.voice.packet(b"opus"))
    assert call.driver.encoding_row(MICROPHONE)["audio_level"] == 127


@pytest.mark.parametrize("rid", QHF)
def test_encodings_that_never_came_have_no_row(driver: PlaneDriver, rid: Rid) -> None:
    call = Call.of(driver)
    source = {"q": call.low, "h": call.middle, "f": call.high}[rid]
    assert source.elements == elements("0", rid)
    source.send_frame(key=True)
    rows = driver.core.stats(driver.now).encodings
    assert rows["encoding"].tolist() == [QHF.index(rid)]
