"""A focus that calls another one: both ends are ours."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.errors import LocalError, RemoteError
from sfu.negotiation.offering import MAX_SLOTS
from sfu.negotiation.sdp import MAX_BYTES
from sfu.plane import Extension
from sfu.units import Rid
from tests.support.dialogue import NOW, new_focus
from tests.unit.negotiation.texts import attributes, direction, head, sections
from tests.unit.negotiation.trunk import CONFIG, H264, RIDS, Message, Trunk, picture, sound

if TYPE_CHECKING:
    from sfu.negotiation.parameters import SendTrack
    from tests.unit.negotiation.trunk import End

# --- calling ------------------------------------------------------------------------------------------------


def first_offer(trunk: Trunk) -> str:
    trunk.caller.take(trunk.caller.negotiation.first_offer(), trunk.callee)
    return trunk.caller.said[0]


def test_a_caller_offers_a_data_channel_and_nothing_else() -> None:
    offer = first_offer(Trunk(is_called=False))
    (section,) = sections(offer)
    assert section.splitlines() == [
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "a=mid:c0",
        "a=sctp-port:5000",
        "a=max-message-size:262144",
        "a=candidate:1 1 udp 2130706431 192.0.2.1 10001 typ host",
        "a=end-of-candidates",
    ]
    assert "a=setup:actpass" in head(offer)
    assert "a=extmap-allow-mixed" in head(offer)
    assert "a=ice-lite" not in offer


def test_a_call_is_answered_as_any_clients_and_both_know_how_to_reach_the_other() -> None:
    trunk = Trunk()
    trunk.check()
    (answer,) = trunk.callee.said
    assert "a=ice-lite" in head(answer)
    assert "a=setup:passive" in head(answer)
    assert trunk.caller.negotiation.parameters.data_mid == "c0"
    assert trunk.caller.negotiation.parameters.remote_candidates == (("192.0.2.2", 10_002),)
    assert trunk.callee.negotiation.parameters.remote_candidates == ()


def test_a_first_offer_is_said_once_and_waited_for_as_long_as_the_caller_likes() -> None:
    trunk = Trunk(is_called=False)
    offer = first_offer(trunk)
    assert trunk.caller.negotiation.next_timeout() is None
    for _ in range(2 * CONFIG.offer_tries):
        trunk.pass_s(CONFIG.offer_timeout_s)
    assert trunk.caller.said == [offer]
    trunk.settle()
    trunk.check()


def test_only_a_caller_calls_and_only_once() -> None:
    for negotiation in (new_focus(), Trunk().caller.negotiation):
        with pytest.raises(LocalError):
            negotiation.first_offer()
    trunk = Trunk(is_called=False)
    first_offer(trunk)
    with pytest.raises(LocalError):
        trunk.caller.negotiation.first_offer()


def test_tracks_that_are_wanted_before_the_answer_are_offered_after_it() -> None:
    trunk = Trunk(is_called=False)
    trunk.send(trunk.caller, sound(1))
    assert not trunk.caller.said
    assert len(sections(first_offer(trunk))) == 1
    trunk.settle()
    trunk.check()
    assert set(trunk.caller.sends) == {1}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("a=ice-lite\r\n", "", "lite"),
        ("a=setup:passive", "a=setup:active", "setup"),
        ("a=setup:passive\r\n", "", "setup"),
        ("a=mid:c0", "a=mid:c1", "answer_mismatch"),
        ("m=application 9", "m=application 0", "sections"),
        ("a=ice-pwd", "a=x", "ice"),
        ("v=0", "v=1", "not_sdp"),
    ],
)
def test_an_answer_of_none_that_we_can_call_is_refused_and_the_offer_stays(
    old: str, new: str, reason: str
) -> None:
    trunk = Trunk(is_called=False)
    first_offer(trunk)
    trunk.deliver(trunk.callee)
    (answer,) = trunk.caller.inbox
    trunk.caller.inbox[0] = replace(answer, sdp=answer.sdp.replace(old, new))
    trunk.settle()
    assert trunk.caller.errors == [reason]
    assert trunk.caller.negotiation.expects_answer
    trunk.caller.errors.clear()
    trunk.caller.inbox.append(answer)
    trunk.settle()
    trunk.check()


def test_an_offer_of_the_callee_that_would_be_the_client_of_dtls_or_no_lite_agent_is_refused() -> None:
    for old, new, reason in (("actpass", "active", "setup"), ("a=ice-lite\r\n", "", "lite")):
        trunk = Trunk()
        trunk.send(trunk.callee, sound(1))
        (offer,) = trunk.caller.inbox
        with pytest.raises(RemoteError) as raised:
            trunk.caller.negotiation.offer_received(NOW, offer.sdp.replace(old, new))
        assert raised.value.reason == reason
        trunk.settle()
        trunk.check()


def test_who_was_not_called_yet_is_not_listened_to() -> None:
    trunk, other = Trunk(is_called=False), Trunk()
    other.send(other.callee, sound(1))
    offer = other.callee.said[-1]
    assert trunk.caller.negotiation.offer_received(NOW, offer) == []
    first_offer(trunk)
    assert trunk.caller.negotiation.offer_received(NOW, offer) == []


# --- media both ways ----------------------------------------------------------------------------------------


def both(trunk: Trunk, *tracks: SendTrack) -> None:
    for end in trunk.ends:
        trunk.send(end, *tracks)
        trunk.settle()


def test_sound_and_simulcast_go_both_ways_with_ssrcs_that_are_known_from_sdp() -> None:
    trunk = Trunk()
    both(trunk, sound(1), picture(2), picture(3, ()))
    trunk.check()
    for end in trunk.ends:
        microphone, camera, screen = (end.sends[key] for key in (1, 2, 3))
        assert microphone.encodings == screen.encodings == ()
        assert [one.rid for one in camera.encodings] == list(RIDS)
        assert (camera.ssrc, camera.rtx_ssrc) == (camera.encodings[0].ssrc, camera.encodings[0].rtx_ssrc)
        ssrcs = {ssrc for one in camera.encodings for ssrc in (one.ssrc, one.rtx_ssrc)}
        assert len(ssrcs) == 6
        assert None not in ssrcs
        # Packets need no name of their encoding; who reads them knows their SSRCs.
        assert not {Extension.RID, Extension.REPAIRED_RID} & camera.extensions.keys()
        assert {Extension.MID, Extension.TRANSPORT_CC} <= camera.extensions.keys()


def test_a_caller_answers_as_the_client_of_dtls() -> None:
    trunk = Trunk()
    trunk.send(trunk.callee, sound(1))
    trunk.settle()
    assert "a=setup:active" in head(trunk.caller.said[-1])
    assert "a=ice-lite" not in trunk.caller.said[-1]


def test_a_simulcast_section_says_its_rids_the_ssrc_of_each_and_stays_so_in_answers() -> None:
    trunk = Trunk()
    trunk.send(trunk.caller, picture(1))
    trunk.settle()
    q, h, f = trunk.caller.sends[1].encodings
    offer = trunk.caller.said[-1]
    mid = trunk.caller.sends[1].mid
    assert direction(offer, mid) == "sendonly"
    assert attributes(offer, mid, "rid") == ["f send", "h send", "q send"]
    assert attributes(offer, mid, "simulcast") == ["send f;h;q"]
    assert attributes(offer, mid, "ssrc-group") == [f"FID {one.ssrc} {one.rtx_ssrc}" for one in (q, h, f)]
    named = [line for line in attributes(offer, mid, "ssrc") if "rid:" in line]
    assert named == [f"{one.ssrc} rid:{one.rid}" for one in (q, h, f)]
    assert attributes(trunk.callee.said[-1], mid, "simulcast") == ["recv f;h;q"]
    trunk.send(trunk.callee, picture(2))
    trunk.settle()
    trunk.check()
    assert trunk.caller.sends[1].encodings == (q, h, f)
    assert attributes(trunk.caller.said[-1], mid, "simulcast") == ["send f;h;q"]


@pytest.mark.parametrize("names", [("a", "b", "c"), ("2", "10"), ("low", "high"), ("only",)])
def test_rids_keep_their_order_whatever_they_are_called(names: tuple[str, ...]) -> None:
    trunk = Trunk()
    trunk.send(trunk.caller, picture(1, tuple(Rid(name) for name in names)))
    trunk.settle()
    trunk.check()
    (seen,) = trunk.callee.negotiation.parameters.receive
    assert tuple(one.rid for one in seen.encodings) == names


def test_encodings_that_the_other_side_leaves_out_are_not_sent() -> None:
    for taken, expected in (("f;h", ["h", "f"]), ("q", ["q"])):
        trunk = Trunk()
        trunk.send(trunk.caller, picture(1))
        trunk.deliver(trunk.callee)
        trunk.caller.inbox[0] = Message(
            False, trunk.caller.inbox[0].sdp.replace("recv f;h;q", f"recv {taken}")
        )
        trunk.settle()
        section = trunk.caller.sends[1]
        assert [one.rid for one in section.encodings] == expected
        assert section.ssrc == section.encodings[0].ssrc


def test_who_takes_no_simulcast_gets_one_stream() -> None:
    """RFC 8853 section 5.3.3."""
    trunk = Trunk()
    trunk.send(trunk.caller, picture(1))
    trunk.deliver(trunk.callee)
    trunk.caller.inbox[0] = Message(False, trunk.caller.inbox[0].sdp.replace("a=simulcast:recv", "a=x:"))
    trunk.settle()
    section = trunk.caller.sends[1]
    assert section.encodings == ()
    trunk.send(trunk.caller, picture(1), sound(2))
    assert attributes(trunk.caller.said[-1], section.mid, "simulcast") == []
    assert attributes(trunk.caller.said[-1], section.mid, "ssrc-group") == [
        f"FID {section.ssrc} {section.rtx_ssrc}"
    ]
    trunk.settle()
    assert trunk.callee.negotiation.parameters.receive[0].encodings[0].ssrc == section.ssrc


def test_a_codec_that_the_other_side_does_not_have_is_refused_and_the_others_go_on() -> None:
    trunk = Trunk(callee=("VP8", "opus"))
    trunk.send(trunk.caller, sound(1), picture(2, codec_keys=H264), picture(3))
    trunk.settle()
    trunk.check()
    assert trunk.caller.refused == {2: "refused"}
    assert set(trunk.caller.sends) == {1, 3}
    assert [form.key for form in trunk.caller.sends[3].formats] == ["VP8"]
    trunk.send(trunk.callee, picture(4, codec_keys=("AV1/0",)))
    assert trunk.callee.refused == {4: "codec"}


ALL_CODECS = {
    "VP8": "VP8",
    "H264": "H264/constrained-baseline/1",
    "VP9": "VP9/0",
    "AV1": "AV1/0",
}


@pytest.mark.parametrize("first", [0, 1])
def test_whatever_both_have_is_carried_in_whichever_order_each_lists_it(first: int) -> None:
    for callee in permutations(("VP8", "VP9", "opus", "AV1")):
        trunk = Trunk(("VP8", "H264", "VP9", "AV1", "opus"), callee)
        for end in trunk.ends[first:] + trunk.ends[:first]:
            names = [name for name in end.codecs if name != "opus"]
            tracks = (picture(key, codec_keys=(ALL_CODECS[name],)) for key, name in enumerate(names))
            for track in tracks:
                trunk.send(end, *end.wanted, track)
                trunk.settle()
        trunk.check()
        assert trunk.caller.refused == {1: "refused"}
        assert set(trunk.caller.sends) == {0, 2, 3}
        assert (trunk.callee.refused, set(trunk.callee.sends)) == ({}, {0, 1, 2})


def test_a_section_is_recycled_for_another_track_with_other_encodings() -> None:
    trunk = Trunk()
    seen: set[int] = set()
    for end in trunk.ends:
        mids = []
        for key, rids in ((1, RIDS), (2, ()), (3, RIDS[:2]), (4, RIDS)):
            trunk.send(end, picture(key, rids))
            trunk.settle()
            trunk.check()
            section = end.sends[key]
            mids.append(section.mid)
            streams = {one.ssrc for one in section.encodings} or {section.ssrc}
            assert not streams & seen
            seen |= streams
            trunk.send(end)
            trunk.settle()
            trunk.check()
        assert len(set(mids)) == 1


def test_a_trunk_that_has_no_section_left_fits_into_a_description() -> None:
    """With ids as long as those of browsers."""
    people = (MAX_SLOTS - 1) // 2
    tracks = [
        replace(one, stream_id=f"{key // 2:036}", track_id=f"{key:036}", cname=f"focus-{key:010}")
        for key in range(0, 2 * people + 2, 2)
        for one in (sound(key), picture(key + 1))
    ]
    trunk = Trunk()
    trunk.send(trunk.caller, *tracks)
    trunk.settle()
    assert len(trunk.caller.sends) == MAX_SLOTS - 1
    assert set(trunk.caller.refused.values()) == {"full"}
    assert max(len(sdp) for sdp in trunk.caller.said) < 205_000 < MAX_BYTES


# --- glare --------------------------------------------------------------------------------------------------


def test_where_offers_meet_the_caller_goes_on_and_the_callee_gives_way() -> None:
    trunk = Trunk()
    trunk.send(trunk.callee, sound(1), picture(2))
    trunk.send(trunk.caller, picture(3), sound(4))
    assert [len(end.inbox) for end in trunk.ends] == [1, 1]
    trunk.deliver(trunk.caller)
    assert len(trunk.callee.inbox) == 1
    trunk.settle()
    trunk.check()
    assert set(trunk.callee.sends) == {1, 2}
    assert set(trunk.caller.sends) == {3, 4}


def test_in_glare_no_mid_of_one_side_is_the_others() -> None:
    trunk = Trunk()
    trunk.send(trunk.callee, *(picture(key) for key in range(4)))
    trunk.send(trunk.caller, picture(10))
    trunk.settle()
    trunk.check()
    mids = {end.role: {one.mid[0] for one in end.negotiation.parameters.send} for end in trunk.ends}
    assert list(mids.values()) == [{"c"}, {"s"}]


def test_a_repeated_offer_that_meets_one_of_the_caller_is_not_answered_twice() -> None:
    trunk = Trunk()
    trunk.send(trunk.callee, sound(1))
    trunk.pass_s(CONFIG.offer_timeout_s)
    trunk.deliver(trunk.caller)
    trunk.send(trunk.caller, sound(2))
    assert len(trunk.caller.inbox) == 1
    trunk.settle()
    trunk.check()


# --- any order ----------------------------------------------------------------------------------------------

END = st.integers(0, 1)
STEPS: st.SearchStrategy[tuple[str, int, list[int]]] = st.one_of(
    st.tuples(st.just("send"), END, st.lists(st.integers(0, 4), max_size=4, unique=True)),
    *(st.tuples(st.just(what), END, st.just([])) for what in ("deliver", "deliver", "lose")),
    *(st.tuples(st.just(what), st.just(0), st.just([])) for what in ("cut", "wait")),
)
MAX_WAITS = 3
"""Fewer than tries: nobody gives up."""


def kept_or_new(end: End, numbers: list[int]) -> list[SendTrack]:
    """Tracks by the last digit of their keys: those that are sent as they are, others under new keys.

    The last is in a codec that is not everybody's.
    """
    there = {one.key % 10: one for one in end.wanted}
    end.keys += 10
    fresh = (
        sound(end.keys),
        sound(end.keys + 1),
        picture(end.keys + 2),
        picture(end.keys + 3, ()),
        picture(end.keys + 4, RIDS[1:], H264 if "H264" in end.codecs else ("VP9/0",)),
    )
    return [there.get(number, fresh[number]) for number in numbers]


@given(st.lists(STEPS, max_size=40), st.sampled_from((("VP8", "H264", "opus"), ("opus", "VP9", "VP8"))))
def test_whatever_happens_and_whatever_is_lost_both_sides_come_to_agree(
    steps: list[tuple[str, int, list[int]]], callee: tuple[str, ...]
) -> None:
    trunk = Trunk(callee=callee)
    waited = 0
    for what, index, numbers in steps:
        end = trunk.ends[index]
        match what:
            case "send":
                trunk.send(end, *kept_or_new(end, numbers))
            case "deliver" if end.inbox:
                trunk.deliver(end)
            case "lose" if end.inbox:
                end.inbox.popleft()
            case "cut":
                trunk.cut()
            case "wait" if waited < MAX_WAITS:
                waited += 1
                trunk.pass_s(CONFIG.offer_timeout_s)
    for _ in range(CONFIG.offer_tries - 1 - MAX_WAITS):
        trunk.settle()
        trunk.pass_s(CONFIG.offer_timeout_s)
    trunk.settle()
    trunk.check()
    for end in trunk.ends:
        theirs = trunk.other(end).codecs
        carriable = {
            one.key for one in end.wanted if any(key.split("/")[0] in theirs for key in one.codec_keys)
        }
        refusable = {one.key for one in end.wanted} - carriable
        assert set(end.sends) == carriable
        assert end.refused.keys() & {one.key for one in end.wanted} == refusable
