from __future__ import annotations

from dataclasses import replace

import pytest

from sfu.errors import RemoteError
from sfu.negotiation.answering import slots_after_answer, slots_after_offer
from sfu.negotiation.extensions import numbers_of
from sfu.negotiation.slots import DataSlot, MediaSlot, RejectedSlot, Slots
from sfu.plane import Codec, Extension
from sfu.units import Kind, Rid
from tests.support.dialogue import CAMERA, MICROPHONE
from tests.unit.negotiation.test_offering import Leg
from tests.unit.negotiation.test_writer import written
from tests.unit.negotiation.texts import (
    CHROMIUM,
    ELEMENT_CALL,
    FIREFOX,
    answer_to,
    attributes,
    changed,
    direction,
    lines,
    numbers,
    remote,
    stopped,
    turned,
    with_sections_of,
)

NAMES = ("VP8", "H264", "opus")


def answered(offer: str, before: Slots = (), names: tuple[str, ...] = NAMES) -> Slots:
    return slots_after_offer(before, remote(offer), names)


def media_slot(slots: Slots, mid: str) -> MediaSlot:
    (slot,) = [slot for slot in slots if slot.mid == mid]
    assert isinstance(slot, MediaSlot)
    return slot


def with_ours(*, client: str = CHROMIUM) -> tuple[Slots, str]:
    """A table with `s0` and `s1` for the other's microphone and camera, and the client's next offer."""
    leg = Leg(client)
    leg.send(MICROPHONE, CAMERA)
    return leg.slots, with_sections_of(client, answer_to(written(*leg.slots), client))


def rides(offer: str, mid: str = "s1") -> str:
    """The offer, with the client publishing on our section."""
    return changed(
        turned(offer, mid, "sendrecv"), mid, "a=msid:share-stream share-track", "a=ssrc:77 cname:x"
    )


# --- a client's offer ---------------------------------------------------------------------------------------


def test_what_the_client_sends_is_received() -> None:
    microphone, camera, data = answered(CHROMIUM)
    assert isinstance(microphone, MediaSlot)
    assert isinstance(camera, MediaSlot)
    assert isinstance(data, DataSlot)
    assert camera.receive is not None
    assert [form.codec for form in camera.receive.formats] == [Codec.VP8, Codec.H264]
    assert [one.rid for one in camera.receive.encodings] == ["q", "h", "f"]
    assert camera.rids == ("f", "h", "q")
    assert microphone.receive is not None
    assert (microphone.is_ours, microphone.send) == (False, None)


def test_the_answer_must_mirror_the_rids_with_recv_or_the_browser_sends_one_plain_stream() -> None:
    """7.2 [CAP]: `a=rid:f send` … and `a=simulcast:send f;h;q` at the end of the section, no SSRCs."""
    text = written(*answered(ELEMENT_CALL))
    assert lines(ELEMENT_CALL, "1")[-1] == "a=simulcast:send f;h;q"
    assert attributes(ELEMENT_CALL, "1", "ssrc") == []
    assert attributes(text, "1", "rid") == ["f recv", "h recv", "q recv"]
    assert attributes(text, "1", "simulcast") == ["recv f;h;q"]


@pytest.mark.parametrize("offer", [CHROMIUM, FIREFOX, ELEMENT_CALL])
def test_the_answer_accepts_the_rid_extensions_also_before_there_is_simulcast(offer: str) -> None:
    """7.2 [CAP]: the answer must accept the rtp-stream-id extension, else the client's next offer fails."""
    plain = changed(offer, "1", without="a=(rid|simulcast)")
    assert media_slot(answered(plain), "1").rids == ()
    assert numbers_of(media_slot(answered(plain), "1").extensions).keys() >= {
        Extension.MID,
        Extension.RID,
        Extension.REPAIRED_RID,
    }


def test_dtx_takes_effect_only_if_our_answer_says_so() -> None:
    """7.1 [CAP]: DTX takes effect only if our answer says `usedtx=1`."""
    (parameters,) = [line for line in lines(ELEMENT_CALL, "0") if "usedtx=1" in line]
    assert parameters in lines(written(*answered(ELEMENT_CALL)), "0")


def test_a_camera_gets_a_plain_answer_where_nothing_flows() -> None:
    assert direction(written(*answered(turned(CHROMIUM, "1", "recvonly"))), "1") == "inactive"
    assert direction(written(*answered(turned(CHROMIUM, "1", "inactive"))), "1") == "inactive"
    assert direction(written(*answered(turned(CHROMIUM, "1", "sendonly"))), "1") == "recvonly"
    assert direction(written(*answered(CHROMIUM)), "1") == "recvonly"


def test_only_the_direction_says_whether_a_section_publishes() -> None:
    """7.4 [CAP]: A section's `a=msid` stays in later offers after unpublishing: only the direction counts."""
    off = turned(CHROMIUM, "1", "recvonly")
    assert attributes(off, "1", "msid")
    assert media_slot(answered(off, answered(CHROMIUM)), "1").receive is None


def test_while_the_camera_is_off_its_rids_stay_in_our_descriptions() -> None:
    """Firefox leaves them out then, and gives simulcast up where the answer agrees to that."""
    before = answered(CHROMIUM)
    off = changed(turned(CHROMIUM, "1", "recvonly"), "1", without="a=(rid|simulcast)")
    assert media_slot(answered(off, before), "1").rids == ("f", "h", "q")
    plain = changed(CHROMIUM, "1", without="a=(rid|simulcast)")
    assert media_slot(answered(plain, before), "1").rids == ()


def test_a_client_publishes_on_a_section_of_ours() -> None:
    """7.4 [CAP]: The client's offer turns our `sendonly` section into `sendrecv` with its msid, without rids.

    The focus must answer `sendrecv` and receive there.
    """
    before, offer = with_ours()
    table = answered(rides(offer), before)
    ridden = media_slot(table, "s1")
    assert direction(written(*table), "s1") == "sendrecv"
    assert ridden.is_ours
    assert ridden.receive is not None
    assert (ridden.receive.stream_id, ridden.receive.track_id) == ("share-stream", "share-track")
    assert [one.ssrc for one in ridden.receive.encodings] == [77]
    assert ridden.send == media_slot(before, "s1").send


def test_the_client_stops_riding_and_our_track_goes_on() -> None:
    """7.4 [CAP]: With `sendrecv` the stop is an offer with that section `recvonly`."""
    before, offer = with_ours()
    table = answered(offer, answered(rides(offer), before))
    assert direction(written(*table), "s1") == "sendonly"
    assert media_slot(table, "s1").receive is None
    assert media_slot(table, "s1").send == media_slot(before, "s1").send


def test_a_ridden_section_of_ours_has_what_flows_up_and_what_flows_down() -> None:
    leg = Leg()
    leg.send(replace(CAMERA, codec_keys=("VP9/0",)))
    offer = rides(with_sections_of(CHROMIUM, answer_to(written(*leg.slots))), "s0")
    offer = offer.replace("SAVPF 98 99\r\n", "SAVPF 98 99 96 97\r\n")
    vp8 = ("a=rtpmap:96 VP8/90000", "a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96")
    ridden = media_slot(answered(changed(offer, "s0", *vp8), leg.slots), "s0")
    assert [codec.format.key for codec in ridden.codecs] == ["VP8", "VP9/0"]
    assert ridden.receive is not None
    assert [form.key for form in ridden.receive.formats] == ["VP8"]


def test_a_section_of_ours_stays_lean_when_the_client_offers_all_it_has() -> None:
    """6.1 [CAP]: 3 to 4.3 KB per video section of the client; ours must fit a hundred times into 64 KiB."""
    before, offer = with_ours()
    camera = CHROMIUM[CHROMIUM.index("m=video") : CHROMIUM.index("m=application")]
    full = camera.replace("a=mid:1\r\n", "a=mid:s1\r\n").replace("a=sendrecv", "a=recvonly")
    fat = offer[: offer.index("m=video 9 UDP/TLS/RTP/SAVPF 96 97 108 109")] + full
    for table in (answered(fat, before), answered(fat, answered(turned(fat, "s1", "inactive"), before))):
        slot = media_slot(table, "s1")
        assert len("\n".join(lines(written(*table), "s1"))) < 1_100
        assert slot.codecs[0].parameters == ""
        assert numbers_of(slot.extensions).keys() >= {Extension.MID, Extension.RID}
        assert Extension.VIDEO_LAYERS_ALLOCATION not in numbers_of(slot.extensions)
    assert [codec.numbers for codec in media_slot(answered(fat, before), "s1").codecs] == [
        (96, 97),
        (108, 109),
    ]


def test_a_section_keeps_its_payload_types_when_the_client_offers_it_again_with_more() -> None:
    """7.5 [CAP]: renumbered payload types end reception silently."""
    before, offer = with_ours()
    doubled = changed(offer, "s1", "a=rtpmap:50 VP8/90000").replace("SAVPF 96 97 108", "SAVPF 50 96 97 108")
    assert [codec.numbers for codec in media_slot(answered(doubled, before), "s1").codecs] == [
        (96, 97),
        (108, 109),
    ]


def test_a_section_of_the_client_keeps_its_payload_types_too() -> None:
    before = answered(CHROMIUM)
    doubled = changed(CHROMIUM, "1", "a=rtpmap:50 VP8/90000").replace("SAVPF 96 97", "SAVPF 50 96 97")
    assert numbers(written(*answered(doubled, before)), "1") == [96, 97, 108, 109]


@pytest.mark.parametrize("state", ["recvonly", "inactive"])
def test_where_we_only_send_or_nothing_flows_what_tells_a_sender_is_left_out(state: str) -> None:
    before, offer = with_ours(client=FIREFOX)
    told = ("a=fmtp:109 usedtx=1;stereo=1", "a=fmtp:120 max-fs=12288")
    for mid, line in zip(("s0", "s1"), told, strict=True):
        offer = turned(changed(offer, mid, line), mid, state)
    table = answered(offer, before)
    assert [codec.parameters for mid in ("s0", "s1") for codec in media_slot(table, mid).codecs] == ["", ""]


def test_where_the_client_takes_none_of_the_codecs_any_more_nothing_is_sent() -> None:
    before, offer = with_ours()
    other = changed(offer, "s1", "a=rtpmap:96 H264/90000", without="a=(rtpmap|fmtp|rtcp-fb):")
    slot = media_slot(answered(other, before), "s1")
    assert (slot.send, slot.receive) == (None, None)


def test_where_the_client_receives_no_more_nothing_is_sent() -> None:
    before, offer = with_ours()
    assert media_slot(answered(turned(offer, "s1", "inactive"), before), "s1").send is None


def test_sections_that_nobody_can_use_are_rejected() -> None:
    offers = (
        changed(CHROMIUM, "1", without="a=rtpmap"),
        CHROMIUM.replace("m=video 9 UDP/TLS/RTP/SAVPF", "m=video 9 RTP/AVP"),
        CHROMIUM.replace("m=video 9 UDP/TLS/RTP/SAVPF", "m=text 9 UDP/TLS/RTP/SAVPF"),
        stopped(CHROMIUM, "1"),
    )
    for offer in offers:
        slot = answered(offer)[1]
        assert isinstance(slot, RejectedSlot)
        assert slot.formats == ("96",)


def test_a_media_line_without_formats_is_rejected_with_one() -> None:
    offer = CHROMIUM.replace(lines(CHROMIUM, "1")[0], "m=video 0 UDP/TLS/RTP/SAVPF")
    assert answered(offer)[1] == RejectedSlot(
        remote(offer).sections[1].mid, "video", "UDP/TLS/RTP/SAVPF", ("0",)
    )


def test_there_is_one_data_channel() -> None:
    data = "\r\n".join(lines(CHROMIUM, "2")) + "\r\n"
    twice = CHROMIUM.replace("BUNDLE 0 1 2", "BUNDLE 0 1 2 3") + data.replace("a=mid:2", "a=mid:3")
    assert [type(slot) for slot in answered(twice)[2:]] == [DataSlot, RejectedSlot]


def test_sections_neither_go_nor_change_their_mid_while_they_live() -> None:
    before = answered(CHROMIUM)
    for offer in (CHROMIUM[: CHROMIUM.index("m=application")], CHROMIUM.replace("a=mid:1", "a=mid:7")):
        with pytest.raises(RemoteError) as raised:
            answered(offer.replace("BUNDLE 0 1 2", "LS 0"), before)
        assert raised.value.reason == "sections"


def test_a_rejected_section_is_recycled_by_the_client_under_another_mid() -> None:
    before = answered(CHROMIUM)
    gone = answered(stopped(CHROMIUM, "1"), before)
    again = answered(CHROMIUM.replace("a=mid:1\r\n", "a=mid:3\r\n").replace("BUNDLE 0 1", "BUNDLE 0 3"), gone)
    assert media_slot(again, "3").receive is not None


def test_an_offer_must_begin_with_something_that_we_take() -> None:
    nothing = stopped(stopped(stopped(CHROMIUM, "1"), "2"), "0")
    with pytest.raises(RemoteError) as raised:
        answered(nothing)
    assert raised.value.reason == "sections"
    assert all(isinstance(slot, RejectedSlot) for slot in answered(nothing, answered(CHROMIUM)))


# --- a client's answer --------------------------------------------------------------------------------------


def after_answer(offered: Slots, answer: str) -> Slots:
    return slots_after_answer(offered, remote(answer))


def test_an_answer_that_agrees_leaves_the_table_as_it_was_offered() -> None:
    offered, _ = with_ours()
    assert after_answer(offered, answer_to(written(*offered))) == offered


def test_a_section_of_ours_that_is_rejected_carries_nothing() -> None:
    offered, _ = with_ours()
    table = after_answer(offered, answer_to(written(*offered), reject=["s1"]))
    assert isinstance(table[-1], RejectedSlot)


def test_a_section_that_was_rejected_stays_so_whatever_the_answer_says() -> None:
    offered = answered(stopped(CHROMIUM, "1"))
    text = written(*offered).replace("m=video 0", "m=video 9")
    assert isinstance(after_answer(offered, answer_to(text))[1], RejectedSlot)


def test_a_track_that_the_client_does_not_receive_is_not_sent() -> None:
    offered, _ = with_ours()
    table = after_answer(offered, answer_to(written(*offered), turn={"s1": "inactive"}))
    assert media_slot(table, "s1").send is None
    assert media_slot(table, "s1").codecs == media_slot(offered, "s1").codecs
    assert media_slot(table, "s0").send is not None


def test_what_an_idle_section_leaves_out_of_an_answer_is_no_refusal() -> None:
    offered, _ = with_ours()
    bare = r"a=(extmap|rtpmap:108|rtpmap:109|fmtp|rtcp|ssrc|msid|rid|simulcast)"
    table = after_answer(offered, answer_to(written(*offered), turn={"s1": "inactive"}, without=bare))
    assert media_slot(table, "s1") == replace(media_slot(offered, "s1"), send=None)


def test_codecs_rtx_and_extensions_that_the_answer_drops_are_dropped() -> None:
    offered, _ = with_ours()
    answer = answer_to(written(*offered))
    answer = changed(answer, "s1", without=r"a=(rtpmap|fmtp):(97|108|109) |a=extmap:13 ")
    slot = media_slot(after_answer(offered, answer), "s1")
    assert [codec.numbers for codec in slot.codecs] == [(96,)]
    assert Extension.VIDEO_ORIENTATION not in numbers_of(slot.extensions)
    assert slot.send is not None


def with_simulcast() -> tuple[Slots, str]:
    """A table with a camera in two encodings on `s0`, and the answer that takes both."""
    leg = Leg()
    leg.send(replace(CAMERA, rids=(Rid("q"), Rid("f"))))
    text = written(*leg.slots)
    taken = ("a=rid:f recv", "a=rid:q recv", "a=simulcast:recv f;q")
    return leg.slots, changed(answer_to(text), "s0", *taken)


def rids_sent(slots: Slots) -> list[str]:
    sending = media_slot(slots, "s0").send
    assert sending is not None
    return [one.rid for one in sending.streams]


def test_encodings_that_an_answer_or_a_later_offer_leaves_out_are_not_sent() -> None:
    offered, answer = with_simulcast()
    agreed = after_answer(offered, answer)
    assert agreed == offered
    assert rids_sent(after_answer(offered, answer.replace("recv f;q", "recv f"))) == ["f"]
    assert rids_sent(after_answer(offered, changed(answer, "s0", without="a=simulcast"))) == [""]
    later = with_sections_of(CHROMIUM, answer)
    assert rids_sent(answered(later, agreed)) == ["q", "f"]
    assert rids_sent(answered(changed(later, "s0", without="a=rid:f"), agreed)) == ["q"]


def test_a_number_that_means_another_codec_in_the_answer_is_not_agreed_on() -> None:
    offered, _ = with_ours()
    answer = changed(
        answer_to(written(*offered)), "s1", "a=rtpmap:96 VP9/90000", without=r"a=rtpmap:(96|108) "
    )
    slot = media_slot(after_answer(offered, answer), "s1")
    assert slot.send is None


def test_what_the_client_publishes_is_narrowed_by_its_answer_too() -> None:
    offered = answered(CHROMIUM)
    camera = answer_to(written(*offered), turn={"1": "sendonly"})
    narrowed = changed(camera, "1", without=r"a=rtpmap:108 |a=extmap:13 ")
    receive = media_slot(after_answer(offered, narrowed), "1").receive
    assert receive is not None
    assert [form.key for form in receive.formats] == ["VP8"]
    assert Extension.VIDEO_ORIENTATION not in receive.extensions
    assert Extension.RID in receive.extensions


def test_a_client_that_stops_in_its_answer_or_has_no_codec_left_publishes_nothing() -> None:
    offered = answered(CHROMIUM)
    quiet = after_answer(offered, answer_to(written(*offered), turn={"0": "inactive", "1": "sendonly"}))
    assert media_slot(quiet, "0").receive is None
    assert media_slot(quiet, "1").receive is not None
    without = changed(answer_to(written(*offered)), "1", without="a=rtpmap")
    assert media_slot(after_answer(offered, without), "1").receive is None


def test_nobody_begins_to_publish_in_an_answer() -> None:
    offered, _ = with_ours()
    table = after_answer(offered, answer_to(written(*offered), turn={"s0": "sendrecv", "s1": "sendonly"}))
    assert [media_slot(table, mid).receive for mid in ("s0", "s1")] == [None, None]
    assert media_slot(table, "s0").send is not None


def test_a_ridden_section_is_narrowed_to_what_flows_up_where_the_rest_is_dropped() -> None:
    before, offer = with_ours()
    offered = tuple(
        replace(
            slot, send=replace(slot.send, track=replace(CAMERA, codec_keys=("H264/constrained-baseline/1",)))
        )
        if isinstance(slot, MediaSlot) and slot.send is not None and slot.kind is Kind.VIDEO
        else slot
        for slot in answered(rides(offer), before)
    )
    answer = changed(answer_to(written(*offered)), "s1", without=r"a=rtpmap:108 ")
    slot = media_slot(after_answer(offered, answer), "s1")
    assert slot.send is None
    assert slot.receive is not None


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("a=mid:s1\r\n", "a=mid:s2\r\n"),
        ("m=video 9 UDP/TLS/RTP/SAVPF 96 97 108 109", "m=audio 9 UDP/TLS/RTP/SAVPF 96 97 108 109"),
        ("m=application 9 UDP/DTLS/SCTP", "m=application 9 TCP"),
    ],
)
def test_an_answer_to_another_offer_is_refused(wrong: str, right: str) -> None:
    offered, _ = with_ours()
    text = answer_to(written(*offered))
    assert wrong in text
    with pytest.raises(RemoteError) as raised:
        after_answer(offered, text.replace(wrong, right))
    assert raised.value.reason == "answer_mismatch"


def test_a_shorter_answer_is_refused() -> None:
    offered, _ = with_ours()
    text = answer_to(written(*offered))
    with pytest.raises(RemoteError) as raised:
        after_answer(offered, text[: text.rindex("m=video")])
    assert raised.value.reason == "answer_mismatch"


def test_numbers_in_an_answer_are_those_of_the_offer() -> None:
    slots = answered(CHROMIUM)
    assert numbers(written(*slots), "1") == [96, 97, 108, 109]
    assert numbers(written(*answered(FIREFOX)), "1") == [120, 124]
