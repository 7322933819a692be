from __future__ import annotations

import re

import pytest
from hypothesis import given

from sfu.config import ConferenceConfig
from sfu.errors import ParseError, RemoteError
from sfu.negotiation.negotiation import (
    AnswerMade,
    IceRestarted,
    Negotiation,
    NegotiationFailed,
    NegotiationOutput,
    OfferMade,
    ParametersChanged,
    SendTrackRefused,
)
from sfu.negotiation.offering import MAX_SLOTS
from sfu.negotiation.parameters import Candidate, SendTrack
from sfu.negotiation.sdp import parse_sdp
from sfu.plane import Extension
from sfu.units import Instant, Kind, after_s
from tests.support.dialogue import (
    A_HUNDRED,
    CAMERA,
    LOCAL_CANDIDATES,
    MICROPHONE,
    NOW,
    OTHER_CAMERA,
    SCREEN,
    new_focus,
    of_type,
    track,
)
from tests.unit.negotiation.texts import (
    CHROMIUM,
    CHROMIUM_CAMERA_OFF,
    FIREFOX,
    answer_to,
    attributes,
    changed,
    direction,
    head,
    mutations,
    numbers,
    remote,
    renamed,
    sections,
    stopped,
    turned,
    vector,
    with_sections_of,
)

CONFIG = ConferenceConfig()
PERIOD_S = CONFIG.offer_timeout_s


class Leg:
    """A focus's side of a leg, and a client that is told what to say."""

    def __init__(
        self,
        offer: str = CHROMIUM,
        codecs: tuple[str, ...] = CONFIG.codecs,
        candidates: tuple[Candidate, ...] = LOCAL_CANDIDATES,
    ) -> None:
        self.focus = new_focus(codecs, candidates=candidates)
        self.offer = offer
        self.first = self.focus.offer_received(NOW, offer)
        self.newest = ""
        self.now = NOW

    def send(self, *tracks: SendTrack) -> list[NegotiationOutput]:
        return self.focus.set_send_tracks(self.now, tracks)

    def agree(self, outputs: list[NegotiationOutput], **told: object) -> list[NegotiationOutput]:
        """Answer the offer among outputs."""
        self.newest = offer_in(outputs)
        return self.focus.answer_received(self.now, answer_to(self.newest, self.offer, **told))  # type: ignore[arg-type]  # as it takes them

    def agreed(self, *tracks: SendTrack) -> str:
        """Send tracks, agree, and return the offer."""
        outputs = self.send(*tracks)
        self.agree(outputs)
        return offer_in(outputs)

    def next_offer(self) -> str:
        """What the client would offer next: its own sections and ours."""
        return with_sections_of(self.offer, answer_to(self.newest, self.offer))

    def pass_s(self, seconds: float) -> list[NegotiationOutput]:
        self.now = after_s(self.now, seconds)
        return self.focus.handle_timeout(self.now)

    @property
    def sent(self) -> dict[int, str]:
        """Mids by key."""
        return {one.key: one.mid for one in self.focus.parameters.send}


def offer_in(outputs: list[NegotiationOutput]) -> str:
    (offer,) = of_type(outputs, OfferMade)
    return offer.sdp


def answer_in(outputs: list[NegotiationOutput]) -> str:
    (answer,) = of_type(outputs, AnswerMade)
    return answer.sdp


def refusal(focus: Negotiation, sdp: str) -> str:
    with pytest.raises(RemoteError) as raised:
        focus.offer_received(NOW, sdp)
    return raised.value.reason


def version(sdp: str) -> int:
    return int(sdp.splitlines()[1].split()[2])


# --- joining ------------------------------------------------------------------------------------------------


def test_a_first_offer_is_answered_with_what_was_agreed_on() -> None:
    leg = Leg()
    changed_parameters, answer = leg.first
    assert isinstance(answer, AnswerMade)
    assert changed_parameters == ParametersChanged(leg.focus.parameters)
    parameters, offer = leg.focus.parameters, remote(CHROMIUM)
    assert [one.mid for one in parameters.receive] == ["0", "1"]
    assert (parameters.data_mid, parameters.data_port) == ("2", 5000)
    assert parameters.fingerprints == offer.fingerprints
    assert (parameters.remote_ufrag, parameters.remote_password) == (offer.ufrag, offer.password)
    assert parameters.mixed_extensions
    assert parameters.receivable >= {"opus", "VP8"}
    assert "a=setup:passive" in head(answer.sdp)


def test_without_a_data_channel_there_is_none() -> None:
    assert Leg(stopped(CHROMIUM, "2")).focus.parameters.data_mid is None


def test_an_answer_is_made_of_our_side_only() -> None:
    answer = head(answer_in(Leg().first))
    assert "a=ice-lite" in answer
    assert remote(CHROMIUM).ufrag not in answer


def test_nothing_is_offered_before_the_client_has_offered() -> None:
    focus = new_focus()
    assert focus.set_send_tracks(NOW, (CAMERA,)) == []
    assert focus.next_timeout() is None
    outputs = focus.offer_received(NOW, CHROMIUM)
    assert [type(one) for one in outputs] == [ParametersChanged, AnswerMade, OfferMade]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("s=-\r\n", "s=-\r\na=ice-lite\r\n", "lite"),
        ("a=setup:actpass", "a=setup:passive", "setup"),
        ("m=", "m=x", "sections"),
        ("v=0", "v=1", "not_sdp"),
    ],
)
def test_what_can_not_be_answered_is_refused_with_a_reason_and_nothing_has_changed(
    old: str, new: str, reason: str
) -> None:
    focus = new_focus()
    assert refusal(focus, CHROMIUM.replace(old, new)) == reason
    assert focus.offer_received(NOW, CHROMIUM) == new_focus().offer_received(NOW, CHROMIUM)


def test_another_certificate_on_a_running_transport_is_refused() -> None:
    leg = Leg()
    other = changed(CHROMIUM, "0", f"a=fingerprint:sha-256 {':'.join(['00'] * 32)}", without="a=fingerprint")
    assert refusal(leg.focus, other) == "fingerprint"
    outputs = leg.send(CAMERA)
    with pytest.raises(RemoteError):
        leg.focus.answer_received(NOW, answer_to(offer_in(outputs), other))
    assert leg.focus.next_timeout() is not None


@given(mutations())
def test_a_damaged_offer_is_answered_or_refused_and_a_refusal_changes_nothing(sdp: str) -> None:
    leg, control = Leg(), Leg()
    leg.agreed(MICROPHONE, CAMERA)
    control.agreed(MICROPHONE, CAMERA)
    try:
        outputs = leg.focus.offer_received(NOW, sdp)
    except RemoteError:
        assert leg.focus.parameters == control.focus.parameters
        assert leg.send(SCREEN) == control.send(SCREEN)
    else:
        parse_sdp(answer_in(outputs))


@given(mutations())
def test_a_damaged_answer_is_taken_or_refused_and_a_refusal_leaves_the_offer_pending(sdp: str) -> None:
    leg = Leg()
    outputs = leg.send(MICROPHONE, CAMERA)
    try:
        leg.focus.answer_received(NOW, sdp)
    except RemoteError:
        leg.agree(outputs)
        assert set(leg.sent) == {MICROPHONE.key, CAMERA.key}


# --- what the client publishes ------------------------------------------------------------------------------


def published(leg: Leg) -> dict[str, tuple[str, str]]:
    """Stream and track ids by mid."""
    return {one.mid: (one.stream_id, one.track_id) for one in leg.focus.parameters.receive}


def test_a_stream_id_that_flips_is_still_the_same_track() -> None:
    """7.4 [CAP]: Camera on: two offers in a row, the first with a new stream id, the second with the old one.

    Track ids never change.
    """
    leg = Leg(vector("element_call/join"))
    before = published(leg)
    leg.focus.offer_received(NOW, vector("element_call/camera-on-1"))
    during = published(leg)
    leg.focus.offer_received(NOW, vector("element_call/camera-on-2"))
    assert {mid: track_id for mid, (_, track_id) in during.items()} == {
        mid: track_id for mid, (_, track_id) in before.items()
    }
    assert all(during[mid][0] != before[mid][0] for mid in before)
    assert published(leg) == before


def test_a_screen_share_in_a_section_of_its_own_comes_goes_and_flips() -> None:
    """7.4 [CAP]: A screen share started again on a used section flips the same way.

    The stop of the client's own section is `inactive`.
    """
    leg = Leg(vector("element_call/share-joins"))
    seen = []
    for name in ("share", "share-stopped", "share-again-1", "share-again-2"):
        leg.focus.offer_received(NOW, vector(f"element_call/{name}"))
        seen.append(published(leg).get("3"))
    first, none, flipped, again = seen
    assert none is None
    assert first == again
    assert first is not None
    assert flipped is not None
    assert (flipped[0] != first[0], flipped[1] == first[1]) == (True, True)
    (share,) = [one for one in leg.focus.parameters.receive if one.mid == "3"]
    assert [one.rid for one in share.encodings] == ["q", "h", "f"]


def test_a_client_rides_on_our_section_stops_and_rides_again() -> None:
    """7.4 [CAP]: JS publishes on the first transceiver that has no sender track, also on one of ours."""
    leg = Leg(vector("element_call/join"))
    leg.agreed(MICROPHONE, CAMERA)
    told = []
    for name in ("share-rides", "share-rides-stopped", "share-rides-again-1", "share-rides-again-2"):
        recorded = renamed(vector(f"element_call/{name}"), {"3": "s0", "4": "s1"})
        answer = answer_in(leg.focus.offer_received(NOW, recorded))
        told.append((direction(answer, "s1"), published(leg).get("s1")))
        assert set(leg.sent) == {MICROPHONE.key, CAMERA.key}
        assert attributes(answer, "s1", "msid") == [f"{CAMERA.stream_id} {CAMERA.track_id}"]
    assert [one for one, _ in told] == ["sendrecv", "sendonly", "sendrecv", "sendrecv"]
    (first, none, flipped, again) = [ids for _, ids in told]
    assert none is None
    assert first == again != flipped


def test_when_our_track_on_a_ridden_section_ends_it_is_recvonly() -> None:
    """7.4 [CAP]: When our downstream on a ridden section ends, use `recvonly`, not `inactive`."""
    leg = Leg(vector("element_call/join"))
    leg.agreed(MICROPHONE, CAMERA)
    leg.focus.offer_received(NOW, renamed(vector("element_call/share-rides"), {"3": "s0", "4": "s1"}))
    outputs = leg.send(MICROPHONE)
    assert direction(offer_in(outputs), "s1") == "recvonly"
    leg.agree(outputs)
    assert "s1" in published(leg)
    assert direction(offer_in(leg.send(MICROPHONE, OTHER_CAMERA)), "s1") == "recvonly"


def test_a_camera_that_is_turned_on_after_a_camera_off_join_rides_and_keeps_another_stream_id() -> None:
    """7.4 [CAP]: After a late camera-on of a camera-off join the SDP keeps another stream id for good."""
    leg = Leg(vector("element_call/camera-off-join"))
    leg.agreed(MICROPHONE, CAMERA)
    seen = []
    for name in ("camera-off-camera-on-1", "camera-off-camera-on-2"):
        recorded = renamed(vector(f"element_call/{name}"), {"2": "s0", "3": "s1"})
        answer = answer_in(leg.focus.offer_received(NOW, recorded))
        assert direction(answer, "s1") == "sendrecv"
        seen.append(published(leg))
    first, second = seen
    assert first["s1"] == second["s1"]
    assert first["0"][1] == second["0"][1]
    assert first["s1"][0] == first["0"][0] != second["0"][0]


def test_walkie_talkie_parameters_are_echoed() -> None:
    """7.1: PTT adds `maxaveragebitrate=12000`."""
    leg = Leg(vector("element_call/walkie-talkie-join"))
    (parameters,) = attributes(answer_in(leg.first), "0", "fmtp")
    assert "maxaveragebitrate=12000" in parameters
    assert "usedtx=1" in parameters


def test_our_own_offers_repeat_what_the_client_was_promised() -> None:
    """7.2 [CAP]: Repeat rid and simulcast lines for the client's sections in our offers too."""
    leg = Leg(vector("element_call/join"))
    offer = leg.agreed(CAMERA)
    answer = answer_in(leg.first)
    for name in ("rid", "simulcast", "fmtp", "rtpmap", "extmap", "rtcp-fb"):
        for mid in ("0", "1"):
            assert attributes(offer, mid, name) == attributes(answer, mid, name)
    assert attributes(offer, "1", "simulcast") == ["recv f;h;q"]
    assert "usedtx=1" in attributes(offer, "0", "fmtp")[0]


def test_an_unpublished_section_is_no_track_and_may_be_one_again() -> None:
    leg = Leg()
    outputs = leg.focus.offer_received(NOW, turned(CHROMIUM, "1", "inactive"))
    assert of_type(outputs, ParametersChanged)
    assert "1" not in published(leg)
    leg.focus.offer_received(NOW, CHROMIUM)
    assert "1" in published(leg)


def test_an_offer_that_changes_nothing_is_answered_and_no_more() -> None:
    leg = Leg()
    outputs = leg.focus.offer_received(NOW, CHROMIUM.replace("s=-", "s=x"))
    assert [type(one) for one in outputs] == [AnswerMade]
    assert version(answer_in(outputs)) == version(answer_in(leg.first)) + 1


# --- what the client receives -------------------------------------------------------------------------------


@pytest.mark.parametrize(("client", "payload_types"), [(CHROMIUM, [96, 97, 108, 109]), (FIREFOX, [120, 124])])
def test_tracks_are_offered_under_the_numbers_of_the_client(client: str, payload_types: list[int]) -> None:
    leg = Leg(client)
    offer = leg.agreed(MICROPHONE, CAMERA)
    assert "a=setup:actpass" in head(offer)
    assert numbers(offer, "s1") == payload_types
    microphone, camera = leg.focus.parameters.send
    assert (microphone.mid, microphone.key, microphone.rtx_ssrc) == ("s0", MICROPHONE.key, None)
    assert [form.payload_type for form in camera.formats] == payload_types[::2]
    assert [form.rtx_payload_type for form in camera.formats] == payload_types[1::2]
    assert (camera.cname, camera.kind) == (CAMERA.cname, Kind.VIDEO)
    assert f"{camera.ssrc} {camera.rtx_ssrc}" in attributes(offer, "s1", "ssrc-group")[0]


def test_sections_that_say_the_same_hold_it_once() -> None:
    leg = Leg()
    leg.agreed(CAMERA, OTHER_CAMERA)
    first, second = leg.focus.parameters.send
    assert first.formats is second.formats
    assert first.extensions is second.extensions


def test_nothing_that_goes_down_carries_a_rid() -> None:
    leg = Leg()
    offer = leg.agreed(CAMERA)
    assert any(one.endswith(Extension.RID) for one in attributes(offer, "s0", "extmap"))
    (camera,) = leg.focus.parameters.send
    assert camera.extensions.keys() == {Extension.MID, Extension.TRANSPORT_CC, Extension.VIDEO_ORIENTATION}


def test_the_announced_ids_stand_in_the_section_as_they_are() -> None:
    """5 rule 3: media-level `a=msid` is exactly `<streamId> <trackId>` of the metadata."""
    odd = SendTrack(1, Kind.AUDIO, "{a-b}", "x+y/z=", ("opus",), "focus-1")
    assert attributes(Leg().agreed(odd), "s0", "msid") == ["{a-b} x+y/z="]


def test_a_track_that_ends_leaves_its_section_inactive_and_another_takes_it_later() -> None:
    """7.5 [CAP]: Recycling works (inactive → sendonly, same or other msid, metadata in the same offer)."""
    leg = Leg()
    leg.agreed(MICROPHONE, CAMERA)
    assert direction(leg.agreed(MICROPHONE), "s1") == "inactive"
    assert leg.sent == {MICROPHONE.key: "s0"}
    offer = leg.agreed(MICROPHONE, OTHER_CAMERA)
    assert direction(offer, "s1") == "sendonly"
    assert attributes(offer, "s1", "msid") == [f"{OTHER_CAMERA.stream_id} {OTHER_CAMERA.track_id}"]


def test_the_same_ids_come_again_on_a_section_that_was_inactive() -> None:
    """5 rule 1 [CAP]: Dropping a stream and listing the same ids again is destructive.

    The section must go inactive → sendonly (or be a new one).
    """
    leg = Leg()
    leg.agreed(CAMERA)
    again = SendTrack(99, CAMERA.kind, CAMERA.stream_id, CAMERA.track_id, CAMERA.codec_keys, CAMERA.cname)
    offer = leg.agreed(again)
    assert (direction(offer, "s0"), direction(offer, "s1")) == ("inactive", "sendonly")
    leg.agreed()
    assert direction(leg.agreed(CAMERA), "s0") == "sendonly"


def test_no_ssrc_is_used_for_two_tracks_whatever_happens_on_the_leg() -> None:
    """Packet rule 3: recycled sections and ICE restarts keep the keys."""
    leg = Leg(FIREFOX)
    seen: list[int] = []
    clients: set[int] = set()
    for turn in range(20):
        leg.agreed(track(turn, Kind.VIDEO))
        clients |= {ssrc for section in remote(leg.next_offer()).sections for ssrc in section.ssrcs}
        (section,) = leg.focus.parameters.send
        assert section.rtx_ssrc is not None
        seen += [section.ssrc, section.rtx_ssrc]
        leg.agreed()
        if turn == 10:
            leg.offer = leg.next_offer().replace(remote(FIREFOX).ufrag, "restarted")
            assert of_type(leg.focus.offer_received(NOW, leg.offer), IceRestarted)
    assert len(set(seen)) == len(seen) == 40
    assert not set(seen) & clients


def test_a_section_that_the_client_rejects_is_not_offered_again_while_the_track_is_wanted() -> None:
    leg = Leg()
    outputs = leg.agree(leg.send(MICROPHONE, CAMERA), reject=["s1"])
    assert of_type(outputs, SendTrackRefused) == [SendTrackRefused(CAMERA.key, "refused")]
    assert not of_type(outputs, OfferMade)
    assert leg.send(MICROPHONE, CAMERA) == []
    assert leg.sent == {MICROPHONE.key: "s0"}
    leg.agreed(MICROPHONE, SCREEN)
    assert leg.sent == {MICROPHONE.key: "s0", SCREEN.key: "s2"}


def test_a_refused_track_may_be_wanted_anew() -> None:
    leg = Leg()
    leg.agree(leg.send(CAMERA), turn={"s0": "inactive"})
    leg.send()
    assert of_type(leg.send(CAMERA), OfferMade)


def test_a_client_that_can_not_decode_a_track_gets_the_cause_codec_and_no_section() -> None:
    """Packet rule 2."""
    leg = Leg(FIREFOX)
    coded = track(1, Kind.VIDEO, ("H264/constrained-baseline/1",))
    assert leg.send(coded) == [SendTrackRefused(coded.key, "codec")]
    assert leg.send(coded) == []
    outputs = leg.send(coded, CAMERA)
    assert of_type(outputs, SendTrackRefused) == []
    leg.agree(outputs)
    assert set(leg.sent) == {CAMERA.key}


def test_a_codec_that_the_client_offers_later_brings_the_track_that_was_refused() -> None:
    leg = Leg(FIREFOX)
    coded = track(1, Kind.VIDEO, ("H264/constrained-baseline/1",))
    other = track(2, Kind.VIDEO, ("H264/high/1",))
    leg.send(coded, other)
    parameters = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
    later = changed(FIREFOX, "1", "a=rtpmap:50 H264/90000", f"a=fmtp:50 {parameters}")
    outputs = leg.focus.offer_received(NOW, later.replace("SAVPF 120 ", "SAVPF 120 50 "))
    assert [type(one) for one in outputs] == [ParametersChanged, AnswerMade, OfferMade]
    leg.agree(outputs)
    assert set(leg.sent) == {coded.key}


def test_where_every_section_is_in_use_a_track_is_refused_until_there_is_room() -> None:
    leg = Leg()
    many = [track(key, Kind.AUDIO) for key in range(MAX_SLOTS - 2)]
    outputs = leg.send(*many)
    assert of_type(outputs, SendTrackRefused) == [SendTrackRefused(MAX_SLOTS - 3, "full")]
    leg.agree(outputs)
    assert leg.send(*many) == []
    outputs = leg.agree(leg.send(*many[1:]))
    assert MAX_SLOTS - 3 not in leg.sent
    assert of_type(outputs, SendTrackRefused) == []
    leg.agree(outputs)
    assert leg.sent.keys() == {one.key for one in many[1:]}


def test_rtx_that_the_answer_drops_is_not_sent() -> None:
    leg = Leg()
    outputs = leg.send(CAMERA)
    answer = changed(answer_to(offer_in(outputs)), "s0", without=r"a=(rtpmap|fmtp):(97|109) ")
    leg.focus.answer_received(NOW, answer)
    (camera,) = leg.focus.parameters.send
    assert camera.rtx_ssrc is None
    assert [form.rtx_payload_type for form in camera.formats] == [None, None]


def test_a_camera_off_join_is_offered_video_under_numbers_that_its_bundle_has_free() -> None:
    """5 [CAP]: A camera-off join has no video track, no video section. One id has one meaning in a bundle."""
    offer = Leg(CHROMIUM_CAMERA_OFF).agreed(MICROPHONE, CAMERA)
    meanings: dict[str, set[str]] = {}
    for section in parse_sdp(offer).sections:
        for value in section.values("extmap"):
            meanings.setdefault(value.split()[0], set()).add(value.split()[1])
    assert all(len(uris) == 1 for uris in meanings.values())
    assert not set(numbers(offer, "s1")) & set(numbers(CHROMIUM_CAMERA_OFF, "0"))


def test_a_hundred_sections_fit_into_64_kib() -> None:
    """6.1: Recycle sections; keep answers lean (few codecs, no unused extensions)."""
    both = ("198.51.100.200", "2001:db8:1234:5678:9abc:def0:1234:5678")
    candidates = tuple(
        Candidate(one, 10_000, 2**31, is_tcp=is_tcp) for is_tcp in (False, True) for one in both
    )
    for client in (CHROMIUM, FIREFOX):
        publisher = {
            one.kind: tuple(form.key for form in one.formats) for one in Leg(client).focus.parameters.receive
        }
        leg = Leg(client, candidates=candidates)
        offer = leg.agreed(*(with_real_ids(one, publisher[one.kind]) for one in A_HUNDRED))
        assert len(sections(offer)) == 103
        assert len(offer.encode()) <= 64 << 10
        assert len(leg.sent) == 100
        answer = answer_in(leg.focus.offer_received(NOW, leg.next_offer().replace("s=-", "s=x")))
        assert len(answer.encode()) <= 64 << 10


def with_real_ids(one: SendTrack, codec_keys: tuple[str, ...]) -> SendTrack:
    """With ids as long as those of browsers."""
    stream_id, track_id = f"{one.key // 10:036}", f"{one.key:036}"
    return SendTrack(one.key, one.kind, stream_id, track_id, codec_keys, f"focus-{one.key // 10:010}")


# --- glare and time -----------------------------------------------------------------------------------------


def test_one_negotiation_at_a_time_and_further_changes_go_out_together() -> None:
    leg = Leg()
    first = leg.send(MICROPHONE)
    assert leg.send(MICROPHONE, CAMERA) == []
    assert leg.send(MICROPHONE, CAMERA, SCREEN) == []
    outputs = leg.agree(first)
    assert [type(one) for one in outputs] == [ParametersChanged, OfferMade]
    leg.agree(outputs)
    assert set(leg.sent) == {MICROPHONE.key, CAMERA.key, SCREEN.key}


def test_the_focus_is_polite_it_answers_at_once_and_offers_anew() -> None:
    """7.6 rule 2 [CAP]: JS as the impolite side ignores an offer, and expects an answer to its own."""
    leg = Leg()
    abandoned = offer_in(leg.send(CAMERA))
    outputs = leg.focus.offer_received(NOW, turned(CHROMIUM, "1", "inactive"))
    assert [type(one) for one in outputs] == [ParametersChanged, AnswerMade, OfferMade]
    assert len(sections(answer_in(outputs))) == 3
    again = offer_in(outputs)
    assert version(again) > version(answer_in(outputs)) > version(abandoned)
    assert (direction(again, "1"), len(sections(again))) == ("inactive", 4)
    leg.agree(outputs)
    assert set(leg.sent) == {CAMERA.key}


def mids(sdp: str) -> list[str]:
    return [section.mid for section in remote(sdp).sections]


def test_the_offer_that_is_made_anew_has_the_sections_of_the_abandoned_one() -> None:
    """One that went another way than the client's comes late, when the client waits for no answer any more.

    Then it is applied, and an offer that lacks its sections never would be (RFC 9429 section 5.10).
    """
    leg = Leg()
    abandoned = offer_in(leg.send(CAMERA, MICROPHONE))
    leg.offer = restarted(CHROMIUM)
    outputs = leg.focus.offer_received(NOW, leg.offer)
    again = offer_in(outputs)
    assert mids(again) == mids(abandoned)
    ours, before = (
        {ssrc for section in remote(sdp).sections for ssrc in section.ssrcs} for sdp in (again, abandoned)
    )
    assert ours.isdisjoint(before)
    assert leg.send(CAMERA, MICROPHONE, SCREEN) == []
    outputs = leg.agree(outputs)
    assert mids(offer_in(outputs))[:-1] == mids(abandoned)
    leg.agree(outputs)
    assert set(leg.sent) == {CAMERA.key, MICROPHONE.key, SCREEN.key}


def test_sections_that_the_client_opens_take_the_place_of_abandoned_ones() -> None:
    leg = Leg()
    abandoned = mids(offer_in(leg.send(CAMERA, SCREEN)))
    assert abandoned == [*mids(CHROMIUM), "s0", "s1"]
    bundled = CHROMIUM.replace("BUNDLE 0 1 2", "BUNDLE 0 1 2 3")
    another = bundled + renamed(sections(CHROMIUM)[1], {"1": "3"})
    again = mids(offer_in(leg.focus.offer_received(NOW, another)))
    assert again == [*mids(CHROMIUM), "3", "s1", "s2"]


def test_abandoned_sections_take_the_numbers_that_the_client_has_said_since() -> None:
    leg = Leg(CHROMIUM_CAMERA_OFF)
    abandoned = offer_in(leg.send(CAMERA, SCREEN))
    camera = renamed(sections(CHROMIUM)[1], {"1": "3"})
    bundled = CHROMIUM_CAMERA_OFF.replace("BUNDLE 0 1", "BUNDLE 0 1 3") + camera
    again = offer_in(leg.focus.offer_received(NOW, bundled))
    assert mids(again) == ["0", "1", "3", "s1", "s2"]
    assert set(numbers(again, "s1")) <= set(numbers(bundled, "3"))
    assert set(attributes(again, "s1", "extmap")) <= set(attributes(bundled, "3", "extmap"))
    assert set(attributes(abandoned, "s1", "extmap")) - set(attributes(bundled, "3", "extmap"))


def test_what_was_only_in_the_abandoned_offer_was_never_agreed_on() -> None:
    leg = Leg()
    leg.send(CAMERA)
    outputs = leg.focus.offer_received(NOW, CHROMIUM.replace("s=-", "s=x"))
    assert leg.focus.parameters.send == ()
    with pytest.raises(RemoteError) as raised:
        leg.focus.answer_received(NOW, answer_to(answer_in(outputs)))
    assert raised.value.reason == "answer_mismatch"


def test_an_answer_in_stable_state_is_ignored() -> None:
    """7.6 rule 2."""
    leg = Leg()
    outputs = leg.send(CAMERA)
    leg.agree(outputs)
    parameters = leg.focus.parameters
    assert leg.agree(outputs, turn={"s0": "inactive"}) == []
    assert leg.focus.answer_received(NOW, "no description at all") == []
    assert leg.focus.parameters == parameters


def test_an_unanswered_offer_is_said_again_byte_for_byte_and_then_the_leg_is_given_up() -> None:
    """7.6 rules 2 and 4: a resent offer is byte-identical; after 3 tries hang up."""
    leg = Leg()
    offer = offer_in(leg.send(CAMERA))
    assert leg.focus.next_timeout() == after_s(NOW, PERIOD_S)
    assert leg.pass_s(PERIOD_S - 0.1) == []
    assert leg.pass_s(0.1) == [OfferMade(offer)]
    leg.send(CAMERA, SCREEN)
    assert leg.pass_s(PERIOD_S) == [OfferMade(offer)]
    assert leg.pass_s(PERIOD_S) == [NegotiationFailed("no_answer")]
    assert leg.focus.next_timeout() is None
    assert leg.pass_s(PERIOD_S) == []


def again(answer: str) -> str:
    """The same answer as a client makes it a second time."""
    return re.sub(r"(?m)^o=(\S+ \S+) (\d+)", lambda found: f"o={found[1]} {int(found[2]) + 1}", answer)


def test_a_second_answer_to_an_offer_that_we_repeated_is_taken_for_no_other() -> None:
    leg = Leg()
    leg.agreed(CAMERA)
    emptied = offer_in(leg.send())
    assert leg.pass_s(PERIOD_S) == [OfferMade(emptied)]
    leg.send(SCREEN)
    answer = answer_to(emptied)
    recycled = offer_in(leg.focus.answer_received(leg.now, answer))
    assert answer != again(answer)
    # It says that the section carries nothing: as an answer to the next offer it would refuse the screen.
    assert leg.focus.answer_received(leg.now, again(answer)) == []
    assert leg.focus.next_timeout() is not None
    outputs = leg.focus.answer_received(leg.now, answer_to(recycled))
    assert [type(one) for one in outputs] == [ParametersChanged]
    assert set(leg.sent) == {SCREEN.key}
    assert not leg.focus.expects_answer


def test_a_second_answer_to_an_offer_that_we_made_once_is_an_answer_to_the_next() -> None:
    leg = Leg()
    answer = answer_to(offer_in(leg.send(CAMERA)))
    leg.send(CAMERA, SCREEN)
    leg.focus.answer_received(leg.now, answer)
    with pytest.raises(RemoteError) as raised:
        leg.focus.answer_received(leg.now, again(answer))
    assert raised.value.reason == "answer_mismatch"


def test_an_offer_of_the_client_gives_ours_all_its_tries_again() -> None:
    leg = Leg()
    leg.send(CAMERA)
    leg.pass_s(PERIOD_S)
    outputs = leg.focus.offer_received(leg.now, CHROMIUM.replace("s=-", "s=x"))
    offer = OfferMade(offer_in(outputs))
    assert [leg.pass_s(PERIOD_S) for _ in range(3)] == [[offer], [offer], [NegotiationFailed("no_answer")]]


def test_a_resent_answer_is_byte_identical_and_so_is_the_offer_that_followed() -> None:
    """7.6 rule 2: A resent offer or answer is byte-identical; changes of state wait."""
    leg = Leg()
    answer = answer_in(leg.first)
    assert leg.focus.offer_received(NOW, CHROMIUM) == [AnswerMade(answer)]
    offer = offer_in(leg.send(CAMERA))
    assert leg.focus.offer_received(NOW, CHROMIUM) == [AnswerMade(answer), OfferMade(offer)]
    leg.focus.answer_received(NOW, answer_to(offer))
    assert set(leg.sent) == {CAMERA.key}
    assert leg.focus.next_timeout() is None


def test_a_refused_answer_leaves_the_offer_to_be_answered_or_said_again() -> None:
    leg = Leg()
    outputs = leg.send(CAMERA)
    for wrong in (CHROMIUM, "nonsense"):
        with pytest.raises((RemoteError, ParseError)):
            leg.focus.answer_received(NOW, wrong)
    assert leg.pass_s(PERIOD_S) == outputs
    leg.agree(outputs)
    assert set(leg.sent) == {CAMERA.key}


# --- ICE ----------------------------------------------------------------------------------------------------


def restarted(sdp: str) -> str:
    offer = remote(sdp)
    return sdp.replace(offer.ufrag, "another").replace(offer.password, "p" * 24)


@pytest.mark.parametrize("client", [CHROMIUM, FIREFOX])
def test_an_ice_restart_is_answered_with_new_credentials(client: str) -> None:
    leg = Leg(client)
    before = remote(answer_in(leg.first).replace("a=ice-lite\r\n", ""))
    outputs = leg.focus.offer_received(NOW, restarted(client))
    assert [type(one) for one in outputs] == [IceRestarted, ParametersChanged, AnswerMade]
    (fresh,) = of_type(outputs, IceRestarted)
    after = remote(answer_in(outputs))
    assert (after.ufrag, after.password) == (fresh.credentials.ufrag, fresh.credentials.password)
    assert (after.ufrag, after.password) != (before.ufrag, before.password)
    assert leg.focus.parameters.remote_ufrag == "another"
    assert after.fingerprints == before.fingerprints


def test_a_new_password_alone_is_a_restart_too() -> None:
    leg = Leg()
    outputs = leg.focus.offer_received(NOW, CHROMIUM.replace(remote(CHROMIUM).password, "p" * 24))
    assert of_type(outputs, IceRestarted)


def test_an_ice_restart_abandons_an_offer_with_the_old_credentials() -> None:
    leg = Leg()
    old = remote(offer_in(leg.send(CAMERA)))
    outputs = leg.focus.offer_received(NOW, restarted(CHROMIUM))
    new = remote(offer_in(outputs))
    assert (new.ufrag, new.password) != (old.ufrag, old.password)
    assert of_type(outputs, IceRestarted)[0].credentials.ufrag == new.ufrag


def test_where_the_client_gives_everything_up_nothing_is_restarted() -> None:
    leg = Leg()
    nothing = stopped(stopped(stopped(CHROMIUM, "1"), "2"), "0")
    outputs = leg.focus.offer_received(NOW, changed(nothing, "0", without="a=ice"))
    assert not of_type(outputs, IceRestarted)
    assert leg.focus.parameters.receive == ()
    assert leg.focus.parameters.remote_ufrag == remote(CHROMIUM).ufrag


def test_instants_are_the_callers() -> None:
    focus = new_focus()
    focus.offer_received(Instant(0), CHROMIUM)
    focus.set_send_tracks(Instant(5), (CAMERA,))
    assert focus.next_timeout() == after_s(Instant(5), PERIOD_S)


def test_outputs_show_no_descriptions() -> None:
    leg = Leg()
    assert "a=" not in repr([*leg.first, *leg.send(CAMERA)])
