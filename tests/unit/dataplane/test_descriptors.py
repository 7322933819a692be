"""Dependency descriptors on their way from a publisher to a subscriber; payloads may be anything."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

from sfu.plane import Codec, DropReason, Extension, PayloadFormat
from sfu.rows import PACING_DTYPE, PAUSED
from sfu.rtp.dependency_descriptor import DependencyDescriptor, Structure, parse_dependency_descriptor
from sfu.rtp.rtcp import Nack
from sfu.rtp.vp8 import parse_vp8
from sfu.streams.resend import decapsulate
from sfu.units import PayloadType, Ssrc
from tests.support.descriptors import L1T3, L1T3_PERIOD, key_frame, packet
from tests.support.plane_driver import PlaneDriver, VirtualPeer
from tests.support.plane_media import (
    CAMERA,
    DOWN_EXTENSIONS,
    DOWN_VP8,
    EXTENSIONS,
    QHF,
    RTX_SSRC,
    VIDEO,
    VIDEO_SSRC,
    VP8,
    Source,
    VideoSource,
    camera,
    elements,
    repair_of,
    video_route,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfu.rtp.packet import RtpPacket

UP_ID: Final = 12
DOWN_ID: Final = 11
UP: Final = {**EXTENSIONS, Extension.DEPENDENCY_DESCRIPTOR: UP_ID}
DOWN: Final = {**DOWN_EXTENSIONS, Extension.DEPENDENCY_DESCRIPTOR: DOWN_ID}
AV1: Final = PayloadFormat("AV1", Codec.AV1, PayloadType(45), 90_000, PayloadType(46))
DOWN_AV1: Final = PayloadFormat("AV1", Codec.AV1, PayloadType(100), 90_000, PayloadType(101))
OPAQUE: Final = b"\xa7nobody but the members can read this"


@dataclass
class Described(Source):
    """Three temporal layers, end-to-end encrypted."""

    number: int = 500
    structure: Structure = L1T3
    since_key: int = 0

    def frame(self, *, key: bool = False, parts: int = 1) -> list[RtpPacket]:
        """The packets of the next frame, 33 ms after the one before; not sent yet."""
        self.ts += 3_000
        self.number += 1
        self.since_key = 0 if key else self.since_key + 1
        offset = self.structure.template_id_offset
        index = 0 if key else L1T3_PERIOD[(self.since_key - 1) % 4]
        values = [
            packet(
                (offset + index) % 64,
                self.number,
                start=part == 0,
                end=part == parts - 1,
                structure=self.structure if key and part == 0 else None,
            )
            for part in range(parts)
        ]
        return [
            self.packet(OPAQUE, marker=part == parts - 1, elements=((UP_ID, value),))
            for part, value in enumerate(values)
        ]

    def send_frame(self, *, key: bool = False, parts: int = 1) -> list[RtpPacket]:
        packets = self.frame(key=key, parts=parts)
        self.send(*packets)
        return packets

    def send_period(self) -> None:
        """T2, T1, T2 and T0."""
        for _ in L1T3_PERIOD:
            self.send_frame()


@dataclass
class Viewing:
    """A simulcast camera with descriptors, and one subscriber."""

    driver: PlaneDriver
    publisher: VirtualPeer
    subscriber: VirtualPeer
    low: Described
    middle: Described
    structure: Structure | None = None
    """The last that the subscriber got."""

    def take(self) -> list[RtpPacket]:
        return [one for one in self.subscriber.take_rtp() if one.ssrc == VIDEO_SSRC]

    def seen(self, packets: Sequence[RtpPacket]) -> list[DependencyDescriptor]:
        """Their descriptors, as the subscriber reads them."""
        descriptors = []
        for one in packets:
            value = one.extension(DOWN_ID)
            assert value is not None
            descriptor = parse_dependency_descriptor(value, self.structure)
            self.structure = descriptor.structure or self.structure
            descriptors.append(descriptor)
        return descriptors


@pytest.fixture
def viewing(driver: PlaneDriver) -> Viewing:
    publisher, subscriber = VirtualPeer.joined(driver, 1), VirtualPeer.joined(driver, 2)
    driver.apply(
        camera(publisher.transport, formats=(AV1,), extensions=UP),
        video_route(subscriber.transport, formats=(DOWN_AV1,), extensions=DOWN),
    )
    low, middle = (
        Described(
            publisher,
            Ssrc(10 + index),
            AV1.payload_type,
            elements("0", rid),
            seq=1_000 * (index + 1),
            ts=10**6 * (index + 1),
            number=number,
        )
        for index, (rid, number) in enumerate(zip(QHF[:2], (500, 65_000), strict=True))
    )
    return Viewing(driver, publisher, subscriber, low, middle)


def number_steps(descriptors: Sequence[DependencyDescriptor]) -> list[int]:
    numbers = [descriptor.frame_number for descriptor in descriptors]
    return [(after - before) % 2**16 for before, after in pairwise(numbers)]


def seq_steps(packets: Sequence[RtpPacket]) -> list[int]:
    return [(b.sequence_number - a.sequence_number) % 2**16 for a, b in pairwise(packets)]


def nack(viewing: Viewing, *packets: RtpPacket) -> list[RtpPacket]:
    """What comes again over RTX."""
    numbers = tuple(one.sequence_number for one in packets)
    viewing.subscriber.say(Nack(Ssrc(99), VIDEO_SSRC, numbers))
    return [one for one in viewing.subscriber.take_rtp() if one.ssrc == RTX_SSRC]


def test_frame_numbers_go_on_over_switches(viewing: Viewing) -> None:
    viewing.driver.aim(VIDEO, 0)
    viewing.low.send_frame(key=True, parts=2)
    viewing.low.send_frame()
    viewing.middle.send_frame(key=True)
    viewing.low.report()
    viewing.middle.report()
    viewing.driver.aim(VIDEO, 1)
    viewing.middle.send_frame()
    viewing.low.send_frame()
    viewing.middle.send_frame(key=True)
    viewing.middle.send_frame(parts=2)
    viewing.driver.aim(VIDEO, 0)
    viewing.low.send_frame(key=True)
    packets = viewing.take()
    descriptors = viewing.seen(packets)
    assert number_steps(descriptors) == [0, 1, 1, 1, 1, 0, 1]
    assert seq_steps(packets) == [1] * 7
    assert [descriptor.start_of_frame for descriptor in descriptors] == [True, False] + [True] * 4 + [
        False,
        True,
    ]


def test_template_ids_after_a_switch_are_none_of_those_before(viewing: Viewing) -> None:
    viewing.driver.aim(VIDEO, 0)
    viewing.low.send_frame(key=True)
    viewing.low.report()
    viewing.middle.send_frame(key=True)
    viewing.middle.report()
    viewing.driver.aim(VIDEO, 1)
    viewing.middle.send_frame(key=True)
    viewing.middle.send_frame()
    before, after, delta = viewing.seen(viewing.take())
    assert before.structure == L1T3
    assert after.structure == replace(L1T3, template_id_offset=5)
    assert delta.template_id == 5 + L1T3_PERIOD[0]
    assert delta.dependencies == L1T3.templates[L1T3_PERIOD[0]]


def test_coming_back_from_a_pause_goes_on(viewing: Viewing) -> None:
    viewing.driver.aim(VIDEO, 0)
    viewing.low.send_frame(key=True)
    viewing.driver.aim(VIDEO, PAUSED)
    viewing.low.send_period()
    viewing.driver.aim(VIDEO, 0)
    viewing.low.send_frame(key=True)
    assert number_steps(viewing.seen(viewing.take())) == [1]


def test_temporal_layers_are_left_out_of_what_nobody_can_read(viewing: Viewing) -> None:
    viewing.driver.aim(VIDEO, 0, 1)
    viewing.low.send_frame(key=True)
    for _ in range(2):
        viewing.low.send_period()
    packets = viewing.take()
    descriptors = viewing.seen(packets)
    layers = [one.dependencies.temporal_id for one in descriptors if one.dependencies is not None]
    assert layers == [0, 1, 0, 1, 0]
    # Frames refer to each other by their numbers: what is left out stays a gap there, and nowhere else.
    assert number_steps(descriptors) == [2, 2, 2, 2]
    assert seq_steps(packets) == [1] * 4
    assert viewing.driver.drops(DropReason.TEMPORAL_LAYER) == 4
    row = viewing.driver.route_row(VIDEO)
    assert row["temporal"] == 1


def test_what_arrives_is_counted_by_the_layer_that_its_descriptor_tells(viewing: Viewing) -> None:
    viewing.low.send_frame(key=True, parts=2)
    for _ in L1T3_PERIOD:
        viewing.low.send_frame()
    viewing.low.send(viewing.low.packet(OPAQUE))
    row = viewing.driver.encoding_row(CAMERA)
    sizes = [len(one.serialise()) for one in viewing.low.sent]
    base = [*sizes[:2], sizes[5], sizes[6]]  # what tells nothing is of the first
    assert list(row["temporal_bytes_received"]) == [sum(base), sizes[3], sizes[2] + sizes[4]]
    assert list(row["temporal_frames_received"]) == [3, 1, 2]


def test_what_is_left_out_is_told_with_each_packet(viewing: Viewing) -> None:
    viewing.driver.aim(VIDEO, 0)
    viewing.low.send_frame(key=True)
    viewing.low.send_period()
    viewing.driver.aim(VIDEO, 0, 0)
    viewing.low.send_period()
    viewing.driver.aim(VIDEO, 0, 2)
    viewing.low.send_period()
    viewing.low.send_frame(key=True)
    told = [one.active_decode_targets for one in viewing.seen(viewing.take())]
    # The middle layer begins as part of the target of three layers, then as that of two.
    assert told == [0b111, *[None] * 4, 0b001, 0b101, 0b101, 0b111, 0b111]


def test_a_switch_to_fewer_layers_tells_it_with_the_structure(viewing: Viewing) -> None:
    viewing.driver.aim(VIDEO, 0, 0)
    viewing.low.send_frame(key=True, parts=2)
    first, second = viewing.seen(viewing.take())
    assert first.structure == L1T3
    assert (first.active_decode_targets, second.active_decode_targets) == (0b001, 0b001)


def test_a_frame_that_comes_late_or_repaired_gets_its_own_number(viewing: Viewing) -> None:
    viewing.driver.aim(VIDEO, 0)
    viewing.low.send_frame(key=True)
    viewing.middle.send_frame(key=True)
    viewing.low.report()
    viewing.middle.report()
    viewing.driver.aim(VIDEO, 1)
    viewing.middle.send_frame(key=True)
    viewing.middle.send_frame()
    (late,), (lost,) = viewing.middle.frame(), viewing.middle.frame()
    viewing.middle.send_frame()
    viewing.middle.send(late)
    repair = repair_of(lost, Ssrc(1_011), 9, QHF[1])
    viewing.publisher.send(replace(repair, extensions=(*repair.extensions, *lost.extensions[-1:])))
    packets = viewing.take()
    assert seq_steps(packets) == [1, 1, 3, 2**16 - 2, 1]
    assert number_steps(viewing.seen(packets)) == [1, 1, 3, 2**16 - 2, 1]


def test_what_is_sent_again_has_the_descriptor_that_it_had(viewing: Viewing) -> None:
    viewing.driver.aim(VIDEO, 0, 0)
    viewing.low.send_frame(key=True, parts=2)
    viewing.low.send_period()
    viewing.low.report()
    viewing.middle.send_frame(key=True)
    viewing.middle.report()
    viewing.driver.aim(VIDEO, 1)
    viewing.middle.send_frame(key=True)
    viewing.middle.send_frame()
    packets = viewing.take()
    again = nack(viewing, *packets)
    assert [decapsulate(one.payload)[0] for one in again] == [one.sequence_number for one in packets]
    assert [one.extension(DOWN_ID) for one in again] == [one.extension(DOWN_ID) for one in packets]


def test_a_key_frame_whose_first_packet_comes_by_rtx_starts_a_route(viewing: Viewing) -> None:
    viewing.low.send_frame(key=True)
    viewing.driver.aim(VIDEO, 0, 0)
    viewing.low.structure = replace(L1T3, template_id_offset=30)
    first, *rest = viewing.low.frame(key=True, parts=3)
    viewing.low.send(*rest)
    viewing.low.send_period()
    assert viewing.take() == []
    repair = repair_of(first, Ssrc(1_010), 9, QHF[0])
    viewing.publisher.send(replace(repair, extensions=(*repair.extensions, *first.extensions[-1:])))
    packets = viewing.take()
    descriptors = viewing.seen(packets)
    # Those that came before it could be read, they are left out as if it had come in time.
    assert number_steps(descriptors) == [0, 0, 4]
    assert [one.active_decode_targets for one in descriptors] == [0b001] * 4


@pytest.mark.parametrize("broken", [b"\xc0\x01", packet(3, 501, chain_diffs=(1,))[:4]])
def test_a_descriptor_that_can_not_be_read_is_left_away_and_counted(viewing: Viewing, broken: bytes) -> None:
    viewing.driver.aim(VIDEO, 0)
    viewing.low.send_frame(key=True)
    (packet_,) = viewing.low.frame()
    viewing.low.send(replace(packet_, extensions=(*packet_.extensions[:-1], (UP_ID, broken))))
    viewing.low.send_frame()
    first, second, third = viewing.take()
    assert second.extension(DOWN_ID) is None
    assert second.payload == OPAQUE
    assert number_steps(viewing.seen([first, third])) == [2]
    assert viewing.driver.drops(DropReason.DESCRIPTOR_MALFORMED) == 1


def test_without_its_structure_no_descriptor_is_sent(viewing: Viewing) -> None:
    viewing.driver.aim(VIDEO, 0)
    viewing.low.send_frame(key=True)
    (first,) = viewing.low.frame(key=True)
    cut = (UP_ID, key_frame(L1T3, frame_number=502)[:10])
    viewing.low.send(replace(first, extensions=(*first.extensions[:-1], cut)))
    viewing.low.send_period()
    viewing.low.send_frame(key=True)
    values = [one.extension(DOWN_ID) is not None for one in viewing.take()]
    assert values == [True, *[False] * 5, True]
    assert viewing.driver.drops(DropReason.DESCRIPTOR_MALFORMED) == 5


def test_a_subscriber_that_has_not_the_extension_gets_fewer_layers_all_the_same(viewing: Viewing) -> None:
    viewing.driver.apply(
        video_route(viewing.subscriber.transport, formats=(DOWN_AV1,), extensions=DOWN_EXTENSIONS)
    )
    viewing.driver.aim(VIDEO, 0, 0)
    viewing.low.send_frame(key=True)
    viewing.low.send_period()
    packets = viewing.take()
    assert len(packets) == 2
    assert all(len(one.extensions) == 3 for one in packets)


def test_numbers_go_on_where_an_encoder_starts_anew(viewing: Viewing) -> None:
    viewing.driver.aim(VIDEO, 0)
    viewing.low.send_frame(key=True)
    viewing.low.number = 3
    viewing.low.send_frame(key=True)
    viewing.low.send_frame()
    assert number_steps(viewing.seen(viewing.take())) == [1, 1]


def test_vp8_goes_by_its_descriptor_and_keeps_its_picture_ids_going(driver: PlaneDriver) -> None:
    publisher, subscriber = VirtualPeer.joined(driver, 1), VirtualPeer.joined(driver, 2)
    driver.apply(
        camera(publisher.transport, extensions=UP),
        video_route(subscriber.transport, formats=(DOWN_VP8,), extensions=DOWN),
    )
    driver.aim(VIDEO, 0, 0)
    source = VideoSource(publisher, Ssrc(10), VP8.payload_type, elements("0", QHF[0]))
    templates = (0, *L1T3_PERIOD)
    for number, template_id in enumerate(templates):
        value = packet(template_id, number, structure=None if number else L1T3)
        # The payload's own temporal id says otherwise.
        (one,) = source.frame(key=number == 0, temporal=0 if L1T3.templates[template_id].temporal_id else 2)
        source.send(replace(one, extensions=(*one.extensions, (UP_ID, value))))
    packets = subscriber.take_rtp()
    assert [parse_vp8(one.payload).picture_id for one in packets] == [101, 102]
    assert seq_steps(packets) == [1]


def test_after_a_slow_receiver_was_spared_frames_its_numbers_go_on(viewing: Viewing) -> None:
    def pace(rate_bps: float) -> None:
        rows = np.array([(viewing.subscriber.transport, rate_bps, 0, 250)], PACING_DTYPE)
        viewing.driver.core.set_pacing(viewing.driver.now, rows)
        viewing.driver.advance(1)

    viewing.driver.aim(VIDEO, 0)
    viewing.low.send_frame(key=True)
    pace(30_000)
    for _ in range(20):
        viewing.low.send_period()
    viewing.driver.advance(1_000)
    pace(float("inf"))
    viewing.low.send_frame(key=True)
    viewing.low.send_frame()
    packets = viewing.take()
    assert viewing.driver.drops(DropReason.SLOW_RECEIVER) > 40
    assert set(seq_steps(packets)) == {1}
    assert set(number_steps(viewing.seen(packets))) == {1}
