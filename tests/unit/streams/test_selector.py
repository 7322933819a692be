from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.plane import DropReason
from sfu.rows import ALL_TEMPORAL, PAUSED
from sfu.streams.descriptor_reader import DescriptorReader
from sfu.streams.selector import EncodingSelector, Forwarding, PacketFacts, Paused, Switching
from sfu.streams.temporal import MAX_FRAMES
from sfu.units import Kind
from tests.support.descriptors import L1T3, key_frame, packet

if TYPE_CHECKING:
    from random import Random

    from sfu.streams.selector import SelectorState

OTHER, WAITING, TEMPORAL = (
    DropReason.OTHER_LAYER,
    DropReason.WAITING_FOR_KEYFRAME,
    DropReason.TEMPORAL_LAYER,
)


def key(encoding: int, seq: int, *, temporal: int | None = None) -> PacketFacts:
    return PacketFacts(encoding, seq, ts=seq * 3_000, starts_key_frame=True, temporal=temporal)


def delta(
    encoding: int, seq: int, *, temporal: int | None = None, sync: bool = False, ts: int | None = None
) -> PacketFacts:
    return PacketFacts(
        encoding, seq, ts=seq * 3_000 if ts is None else ts, temporal=temporal, layer_sync=sync
    )


def state_of(selector: EncodingSelector) -> SelectorState:
    return selector.state


def forwarding(encoding: int = 0, *, temporal: int = ALL_TEMPORAL) -> EncodingSelector:
    selector = EncodingSelector(Kind.VIDEO)
    selector.set_target(encoding, temporal)
    assert selector.decide(key(encoding, 100, temporal=0)) is None
    return selector


def test_a_new_route_sends_nothing() -> None:
    selector = EncodingSelector(Kind.VIDEO)
    assert state_of(selector) == Paused()
    assert (selector.current, selector.target) == (None, PAUSED)
    assert selector.decide(key(0, 1)) is OTHER


def test_video_starts_at_the_start_of_a_key_frame() -> None:
    selector = EncodingSelector(Kind.VIDEO)
    selector.set_target(1)
    assert state_of(selector) == Switching(1, None)
    assert (selector.current, selector.target) == (None, 1)
    assert selector.decide(delta(1, 1)) is WAITING
    assert selector.decide(key(0, 2)) is OTHER
    assert selector.decide(key(1, 3)) is None
    assert selector.decide(delta(1, 4)) is None
    assert state_of(selector) == Forwarding(1)
    assert (selector.current, selector.target, selector.switches) == (1, 1, 0)


def test_audio_starts_and_switches_at_once() -> None:
    selector = EncodingSelector(Kind.AUDIO)
    selector.set_target(0)
    assert selector.decide(delta(0, 7)) is None
    selector.set_target(1)
    assert selector.decide(delta(0, 8)) is OTHER
    assert selector.decide(delta(1, 3)) is None
    assert selector.switches == 1
    selector.source_changed(1)
    assert selector.decide(delta(1, 0)) is None


def test_the_old_encoding_flows_until_the_key_frame_of_the_new() -> None:
    selector = forwarding(0)
    selector.set_target(2)
    assert state_of(selector) == Switching(2, 0)
    assert selector.decide(delta(0, 101)) is None
    assert selector.decide(delta(2, 50)) is WAITING
    assert selector.decide(key(1, 70)) is OTHER
    assert selector.decide(key(0, 102)) is None
    assert selector.decide(key(2, 51)) is None
    assert state_of(selector) == Forwarding(2)
    assert selector.switches == 1


def test_late_packets_of_the_old_encoding_are_dropped() -> None:
    selector = forwarding(0)
    selector.set_target(1)
    selector.decide(key(1, 51))
    assert selector.decide(delta(0, 101)) is OTHER


def test_late_packets_from_before_the_key_frame_are_dropped() -> None:
    selector = forwarding(0)
    selector.set_target(1)
    selector.decide(key(1, 51))
    assert selector.decide(delta(1, 50)) is WAITING
    selector.set_target(0)
    assert selector.decide(delta(1, 50)) is WAITING
    assert selector.decide(delta(1, 52)) is None


def test_a_target_taken_back_needs_no_key_frame() -> None:
    selector = forwarding(0)
    selector.set_target(1)
    selector.set_target(0)
    assert state_of(selector) == Forwarding(0)
    assert selector.decide(delta(0, 101)) is None
    assert selector.decide(key(1, 50)) is OTHER


def test_a_target_changed_while_waiting_keeps_what_flows() -> None:
    selector = forwarding(0)
    selector.set_target(1)
    selector.set_target(2)
    assert state_of(selector) == Switching(2, 0)


def test_pausing_stops_at_once_and_resuming_needs_a_key_frame() -> None:
    selector = forwarding(0)
    selector.set_target(PAUSED)
    assert selector.decide(delta(0, 101)) is OTHER
    selector.set_target(0)
    assert selector.decide(delta(0, 102)) is WAITING
    assert selector.decide(key(0, 103)) is None
    assert selector.switches == 0


def test_where_the_current_dries_up_the_target_is_still_joined_at_a_key_frame() -> None:
    selector = forwarding(0)
    selector.set_target(1)
    for seq in range(500):
        assert selector.decide(delta(1, seq)) is WAITING
    assert selector.decide(key(1, 500)) is None


def test_a_switch_waits_until_timestamps_can_be_mapped() -> None:
    selector = forwarding(0)
    selector.set_target(1)
    assert selector.decide(key(1, 50), ready=False) is WAITING
    assert selector.decide(delta(0, 101), ready=False) is None
    assert selector.decide(key(1, 60), ready=True) is None


def test_an_encoding_under_another_ssrc_is_joined_at_a_key_frame() -> None:
    selector = forwarding(0)
    selector.source_changed(1)
    assert state_of(selector) == Forwarding(0)
    selector.source_changed(0)
    assert state_of(selector) == Switching(0, None)
    assert selector.decide(delta(0, 3)) is WAITING
    assert selector.decide(key(0, 4)) is None
    selector.set_target(1)
    selector.source_changed(0)
    assert state_of(selector) == Switching(1, None)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("target"), st.integers(PAUSED, 2), st.booleans()),
            st.tuples(st.just("packet"), st.integers(0, 2), st.booleans()),
            st.tuples(st.just("source"), st.integers(0, 2), st.booleans()),
        ),
        max_size=100,
    )
)
def test_what_is_forwarded_always_began_with_a_key_frame(steps: list[tuple[str, int, bool]]) -> None:
    selector = EncodingSelector(Kind.VIDEO)
    seqs = [0, 0, 0]
    joined: int | None = None
    for step, encoding, starts in steps:
        if step == "target":
            selector.set_target(encoding)
            joined = None if encoding == PAUSED else joined
        elif step == "source":
            selector.source_changed(encoding)
            joined = None if encoding == joined else joined
        else:
            seqs[encoding] += 1
            facts = key(encoding, seqs[encoding]) if starts else delta(encoding, seqs[encoding])
            if selector.decide(facts) is None:
                assert starts or joined == encoding
                joined = encoding
            else:
                assert joined != encoding
        assert selector.current == joined


# --- temporal layers --------------------------------------------------------------------------------------


def test_layers_above_the_target_are_dropped() -> None:
    selector = forwarding(0, temporal=1)
    decisions = [selector.decide(delta(0, 101 + t, temporal=t)) for t in range(3)]
    assert decisions == [None, None, TEMPORAL]
    assert selector.temporal == 1


def test_packets_that_tell_no_layer_pass() -> None:
    selector = forwarding(0, temporal=0)
    assert selector.decide(delta(0, 101)) is None


def test_going_down_waits_for_the_next_frame() -> None:
    selector = forwarding(0)
    assert selector.decide(delta(0, 101, temporal=2, ts=10**6)) is None
    selector.set_target(0, 0)
    assert selector.decide(delta(0, 102, temporal=2, ts=10**6)) is None
    assert selector.decide(delta(0, 103, temporal=2, ts=10**6 + 3_000)) is TEMPORAL


def test_going_up_waits_for_a_frame_that_needs_only_the_base_layer() -> None:
    selector = forwarding(0, temporal=0)
    selector.set_target(0, 2)
    assert selector.decide(delta(0, 101, temporal=1)) is TEMPORAL
    assert selector.decide(delta(0, 102, temporal=2, sync=True)) is TEMPORAL
    assert selector.decide(delta(0, 103, temporal=1, sync=True)) is None
    assert selector.decide(delta(0, 104, temporal=2)) is TEMPORAL
    assert selector.decide(delta(0, 105, temporal=2, sync=True)) is None
    assert selector.decide(delta(0, 106, temporal=2)) is None
    assert selector.decide(delta(0, 107, temporal=0)) is None


def test_going_up_stops_at_the_target() -> None:
    selector = forwarding(0, temporal=0)
    selector.set_target(0, 1)
    assert selector.decide(delta(0, 101, temporal=1, sync=True)) is None
    assert selector.decide(delta(0, 102, temporal=2, sync=True)) is TEMPORAL


def test_a_key_frame_brings_every_layer_of_the_target() -> None:
    selector = forwarding(0, temporal=0)
    selector.set_target(0, 2)
    assert selector.decide(key(0, 101, temporal=0)) is None
    assert selector.decide(delta(0, 102, temporal=2)) is None


def test_a_switch_starts_with_every_layer_of_the_target() -> None:
    selector = forwarding(0, temporal=0)
    selector.set_target(1, 1)
    selector.decide(key(1, 10, temporal=0))
    assert selector.temporal == 1
    assert selector.decide(delta(1, 11, temporal=1)) is None


@given(
    layers=st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(0, 2)), max_size=40),
    rng=st.randoms(use_true_random=False),
)
def test_a_frame_passes_whole_or_not_at_all(layers: list[tuple[int, bool, int]], rng: Random) -> None:
    selector = forwarding(0)
    packets = [
        (delta(0, 101 + 3 * frame + part, temporal=temporal, sync=sync, ts=10**6 + 3_000 * frame), target)
        for frame, (temporal, sync, target) in enumerate(layers)
        for part in range(3)
    ]
    packets.sort(key=lambda packet: packet[0].seq + rng.randrange(8))
    fates: dict[int, set[bool]] = {}
    for facts, target in packets:
        selector.set_target(0, target)
        fates.setdefault(facts.ts, set()).add(selector.decide(facts) is None)
    assert all(len(fate) == 1 for fate in fates.values())


def test_frames_remembered_are_bounded() -> None:
    selector = forwarding(0, temporal=0)
    for frame in range(3 * MAX_FRAMES):
        selector.decide(delta(0, 101 + frame, temporal=frame % 3))
    assert len(selector._temporal._by_id._limits) == MAX_FRAMES
    assert selector.decide(delta(0, 101, temporal=0)) is None


@pytest.mark.parametrize("temporal", [0, 1, ALL_TEMPORAL])
def test_the_base_layer_always_passes(temporal: int) -> None:
    selector = forwarding(0, temporal=temporal)
    assert selector.decide(delta(0, 101, temporal=0)) is None


def described(reader: DescriptorReader, seq: int, value: bytes, *, starts: bool = False) -> PacketFacts:
    descriptor = reader.read(seq, value)
    return PacketFacts(0, seq, 3_000 * seq, starts, temporal=0, descriptor=descriptor)


def test_a_dependency_descriptor_decides_and_what_is_left_out_is_told() -> None:
    selector, reader = EncodingSelector(Kind.VIDEO), DescriptorReader()
    selector.set_target(0, 1)
    first = described(reader, 70_000, key_frame(L1T3, frame_number=1), starts=True)
    assert selector.decide(first) is None
    assert selector.decide(described(reader, 70_001, packet(3, 2))) is TEMPORAL
    middle = described(reader, 70_002, packet(2, 3))
    assert selector.decide(middle) is None
    assert selector.temporal == 1
    assert middle.descriptor is not None
    assert selector.active_targets(middle.descriptor) == 0b011


def test_layers_that_were_dropped_later_come_back_as_if_they_had_been_left_out() -> None:
    selector = forwarding(0)
    assert selector.decide(delta(0, 101, temporal=2)) is None
    selector.lower(0)
    assert selector.temporal == 0
    assert selector.decide(delta(0, 101, temporal=2)) is TEMPORAL
    assert selector.decide(delta(0, 102, temporal=1)) is TEMPORAL
    assert selector.decide(delta(0, 103, temporal=1, sync=True)) is None


def test_encodings_that_stand_under_other_numbers_flow_on() -> None:
    selector = forwarding(0)
    selector.renumber({0: 1})
    assert state_of(selector) == Forwarding(1)
    assert selector.decide(delta(1, 101)) is None
    assert selector.decide(delta(0, 102)) is OTHER
    assert selector.switches == 0


def test_a_switch_goes_on_where_its_target_stands_under_another_number() -> None:
    selector = forwarding(0)
    selector.set_target(1)
    selector.renumber({0: 1, 1: 2})
    assert state_of(selector) == Switching(2, 1)


def test_an_encoding_that_is_gone_flows_no_more() -> None:
    selector = forwarding(0)
    selector.set_target(1)
    selector.renumber({1: 0})
    assert state_of(selector) == Switching(0, None)
    selector.renumber({})
    assert state_of(selector) == Paused()
