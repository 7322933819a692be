from __future__ import annotations

from dataclasses import replace

from sfu.negotiation.parameters import ReceiveSection, SendEncoding
from sfu.negotiation.slots import (
    DataSlot,
    MediaSlot,
    RejectedSlot,
    Sending,
    Slots,
    free_indices,
    media_slots,
    replaced,
    sent_keys,
    without_tracks,
)
from sfu.units import NO_RID, Kind, Mid, Rid, Ssrc
from tests.support.dialogue import CAMERA, SCREEN

CLIENT = MediaSlot(Mid("0"), Kind.VIDEO, is_ours=False, codecs=(), extensions=())
IDLE = MediaSlot(Mid("s0"), Kind.VIDEO, is_ours=True, codecs=(), extensions=())
BUSY = replace(IDLE, mid=Mid("s1"), send=Sending(CAMERA, Ssrc(1), Ssrc(2)))
OTHER_BUSY = replace(IDLE, mid=Mid("s2"), send=Sending(SCREEN, Ssrc(3), Ssrc(4)))
RIDDEN = replace(
    IDLE, mid=Mid("s3"), receive=ReceiveSection(Mid("s3"), Kind.VIDEO, "stream", "track", (), (), {})
)
AUDIO = replace(IDLE, mid=Mid("s4"), kind=Kind.AUDIO)
REJECTED = RejectedSlot(Mid("9"), "video", "UDP/TLS/RTP/SAVPF", ("96",))
DATA = DataSlot(Mid("1"), "UDP/DTLS/SCTP", ("webrtc-datachannel",), is_legacy=False)
SLOTS: Slots = (CLIENT, REJECTED, DATA, BUSY, OTHER_BUSY, RIDDEN, IDLE, AUDIO)


def test_free_are_our_own_of_the_kind_that_carry_nothing_and_then_the_rejected() -> None:
    assert list(free_indices(SLOTS, Kind.VIDEO)) == [6, 1]
    assert list(free_indices(SLOTS, Kind.AUDIO)) == [7, 1]


def test_the_tracks_on_sections_are_known_by_their_keys() -> None:
    assert sent_keys(SLOTS) == {CAMERA.key, SCREEN.key}
    assert len(media_slots(SLOTS)) == 6


def test_tracks_are_taken_off_and_the_sections_stay() -> None:
    table = without_tracks(SLOTS, frozenset({SCREEN.key}))
    assert sent_keys(table) == {SCREEN.key}
    assert table == replaced(SLOTS, 3, replace(BUSY, send=None))


def test_a_slot_is_put_in_place_of_another_or_at_the_end() -> None:
    assert replaced((CLIENT, DATA), 0, IDLE) == (IDLE, DATA)
    assert replaced((CLIENT,), 1, IDLE) == (CLIENT, IDLE)


Q, H, F = (
    SendEncoding(Rid(rid), Ssrc(10 * number), Ssrc(10 * number + 1))
    for number, rid in enumerate(("q", "h", "f"), 1)
)
SIMULCAST = Sending(CAMERA, Ssrc(10), Ssrc(11), (Q, H, F))


def test_what_goes_out_is_one_stream_or_those_of_simulcast() -> None:
    assert Sending(CAMERA, Ssrc(1), None).streams == (SendEncoding(NO_RID, Ssrc(1), None),)
    assert SIMULCAST.streams == (Q, H, F)


def test_simulcast_is_narrowed_to_what_the_other_side_takes() -> None:
    assert SIMULCAST.narrowed_to((Rid("f"), Rid("h"), Rid("q"))) is SIMULCAST
    assert SIMULCAST.narrowed_to((Rid("f"), Rid("x"), Rid("h"))) == Sending(
        CAMERA, Ssrc(20), Ssrc(21), (H, F)
    )
    assert SIMULCAST.narrowed_to(()) == Sending(CAMERA, Ssrc(10), Ssrc(11))
