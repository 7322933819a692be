from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

from sfu.negotiation.answering import slots_after_offer
from sfu.negotiation.extensions import numbers_of
from sfu.negotiation.identifiers import Identifiers
from sfu.negotiation.offering import MAX_SLOTS, slots_to_offer
from sfu.negotiation.slots import MediaSlot, media_slots, sent_keys
from sfu.negotiation.tables import ClientTables
from sfu.plane import Extension
from sfu.units import Kind, Rid
from tests.support.dialogue import CAMERA, MICROPHONE, OTHER_CAMERA, SCREEN, track
from tests.unit.negotiation.texts import CHROMIUM, CHROMIUM_CAMERA_OFF, changed, remote, stopped, turned

if TYPE_CHECKING:
    from sfu.negotiation.parameters import SendTrack
    from sfu.negotiation.slots import Slots

NAMES = ("VP8", "H264", "opus")


class Leg:
    """What offers are made of, for one client; all of them are agreed to."""

    def __init__(self, offer: str = CHROMIUM) -> None:
        self.tables = ClientTables(NAMES)
        self.identifiers = Identifiers.drawn_from(random.Random(3))  # a test must repeat itself
        self.slots: Slots = ()
        self.take(offer)

    def take(self, offer: str) -> None:
        self.tables.learn(remote(offer))
        self.identifiers.avoid(remote(offer))
        self.slots = slots_after_offer(self.slots, remote(offer), NAMES)

    def send(self, *tracks: SendTrack) -> list[MediaSlot]:
        """The sections of ours after an offer with these tracks."""
        self.slots = slots_to_offer(self.slots, tracks, self.tables, self.identifiers)
        return [slot for slot in media_slots(self.slots) if slot.is_ours]


def test_each_track_has_a_section_of_its_own_with_ssrcs_of_its_own() -> None:
    microphone, camera = Leg().send(MICROPHONE, CAMERA)
    assert (microphone.mid, camera.mid) == ("s0", "s1")
    assert microphone.send is not None
    assert camera.send is not None
    assert microphone.send.rtx_ssrc is None
    assert len({microphone.send.ssrc, camera.send.ssrc, camera.send.rtx_ssrc}) == 3


def test_a_track_with_rids_has_ssrcs_for_each_of_them() -> None:
    leg = Leg()
    simulcast = replace(CAMERA, rids=(Rid("q"), Rid("f")))
    (camera,) = leg.send(simulcast)
    assert camera.send is not None
    assert [one.rid for one in camera.send.encodings] == ["q", "f"]
    ssrcs = [ssrc for one in camera.send.encodings for ssrc in (one.ssrc, one.rtx_ssrc)]
    assert len(set(ssrcs)) == 4
    assert [camera.send.ssrc, camera.send.rtx_ssrc] == ssrcs[:2]
    bare = changed(CHROMIUM, "1", without="a=rtpmap:.* rtx")
    (camera,) = Leg(bare).send(simulcast)
    assert camera.send is not None
    assert [one.rtx_ssrc for one in camera.send.encodings] == [None, None]


def test_a_section_has_the_codecs_that_may_flow_under_the_clients_numbers() -> None:
    (camera,) = Leg().send(CAMERA)
    assert [codec.numbers for codec in camera.codecs] == [(96, 97), (108, 109)]


def test_a_section_is_recycled_when_the_client_has_seen_it_inactive() -> None:
    """7.5 [CAP]: Recycling works (inactive → sendonly, same or other msid, metadata in the same offer)."""
    leg = Leg()
    (before,) = leg.send(CAMERA)
    assert [slot.mid for slot in leg.send()] == ["s0"]
    (after,) = leg.send(OTHER_CAMERA)
    assert (after.mid, after.extensions) == ("s0", before.extensions)
    assert before.send is not None
    assert after.send is not None
    assert {after.send.ssrc, after.send.rtx_ssrc}.isdisjoint({before.send.ssrc, before.send.rtx_ssrc})


def test_a_section_that_ends_in_this_offer_is_not_free_in_it() -> None:
    """5 rule 1 [CAP]: the section must go inactive → sendonly (or be a new one)."""
    leg = Leg()
    leg.send(CAMERA)
    assert [(slot.mid, slot.send is not None) for slot in leg.send(OTHER_CAMERA)] == [
        ("s0", False),
        ("s1", True),
    ]


def test_a_recycled_section_keeps_its_numbers_when_the_clients_table_has_moved_on() -> None:
    """7.5 [CAP]: offers of ours keep the ids and payload types that a section has."""
    leg = Leg()
    leg.send(CAMERA)
    (before,) = leg.send()
    moved = ("a=rtpmap:50 VP8/90000", "a=rtpmap:51 rtx/90000", "a=fmtp:51 apt=50")
    orientation = f"a=extmap:15 {Extension.VIDEO_ORIENTATION}"
    offer = changed(CHROMIUM, "1", *moved, orientation, without="a=(rtpmap|fmtp):(96|97) |a=extmap:13 ")
    leg.tables.learn(remote(offer.replace("SAVPF 96 97", "SAVPF 50 51")))
    assert leg.tables.carriable(CAMERA)[0].numbers == (50, 51)
    assert numbers_of(leg.tables.extensions_for(Kind.VIDEO))[Extension.VIDEO_ORIENTATION] == 15
    (after,) = leg.send(OTHER_CAMERA)
    assert after.codecs == before.codecs
    assert after.extensions == before.extensions


def test_a_section_is_not_recycled_for_the_other_kind_or_while_the_client_publishes_on_it() -> None:
    leg = Leg()
    leg.send(MICROPHONE)
    assert [slot.mid for slot in leg.send(CAMERA)] == ["s0", "s1"]
    assert [slot.mid for slot in leg.send(CAMERA, track(60, Kind.AUDIO))] == ["s0", "s1"]


def test_the_clients_own_sections_are_never_used_for_tracks_of_others() -> None:
    leg = Leg(turned(CHROMIUM, "1", "recvonly"))
    (camera,) = leg.send(CAMERA)
    assert camera.mid == "s0"


def test_a_rejected_section_is_recycled_under_a_new_mid() -> None:
    leg = Leg(stopped(CHROMIUM, "1"))
    leg.send(MICROPHONE)
    assert [slot.mid for slot in leg.slots] == ["0", "s0", "2"]


def test_two_tracks_never_take_the_same_free_section() -> None:
    leg = Leg()
    leg.send(CAMERA)
    leg.send()
    assert [slot.mid for slot in leg.send(SCREEN, OTHER_CAMERA)] == ["s0", "s1"]


def test_the_first_video_section_of_ours_has_the_rid_extensions() -> None:
    """7.2 [CAP]: without the rtp-stream-id extension the client's next offer fails in its own description."""
    for offer in (CHROMIUM, CHROMIUM_CAMERA_OFF):
        has_rids = [
            Extension.RID in numbers_of(slot.extensions)
            for slot in Leg(offer).send(MICROPHONE, CAMERA, SCREEN)
        ]
        assert has_rids == [False, True, False]


def test_a_video_section_that_comes_to_stand_first_has_them_too() -> None:
    leg = Leg()
    leg.send(CAMERA)
    leg.slots = slots_after_offer((), remote(stopped(CHROMIUM, "1")), NAMES)
    (first,) = leg.send(SCREEN)
    assert Extension.RID in numbers_of(first.extensions)


def test_a_leg_has_a_limit_of_sections_and_what_finds_none_stays_out() -> None:
    tracks = [track(key, Kind.AUDIO) for key in range(MAX_SLOTS + 20)]
    leg = Leg()
    leg.send(*tracks)
    assert len(leg.slots) == MAX_SLOTS
    assert sent_keys(leg.slots) == set(range(MAX_SLOTS - 3))
    leg.send(*tracks[:5])
    leg.send(*tracks[:5], *tracks[-5:])
    assert sent_keys(leg.slots) == {*range(5), *range(MAX_SLOTS + 15, MAX_SLOTS + 20)}
