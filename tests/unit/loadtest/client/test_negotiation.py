from __future__ import annotations

from dataclasses import replace

import pytest

from loadtest.client import sdp
from loadtest.client.negotiation import LIKE_CHROMIUM, LIKE_FIREFOX, ClientNegotiation, LegNumbers, LocalTrack
from loadtest.client.sdp import Description, SdpError, Section, Transport

OURS = Transport("ours", "password", (("sha-256", "AA"),), "actpass")
FOCUS = Transport("focus", "password", (("sha-256", "BB"),), "passive", is_lite=True)
MICROPHONE = LocalTrack(sdp.AUDIO, "stream", "mic")
CAMERA = LocalTrack(sdp.VIDEO, "stream", "cam", ("f", "h", "q"))
SCREEN = LocalTrack(sdp.VIDEO, "screen", "scr", ssrc=11, rtx_ssrc=12, direction="sendonly")


class Leg:
    """A client's negotiation and a focus that answers as the protocol says."""

    def __init__(self, *tracks: LocalTrack, numbers: LegNumbers = LIKE_CHROMIUM, rides: bool = False) -> None:
        self.violations: list[str] = []
        self.client = ClientNegotiation(numbers, "cname", self.violations, rides=rides)
        self.client.begin(OURS, session_id=1)
        for track in tracks:
            self.client.publish(track)
        self.client.open_channel()
        self.sections: tuple[Section, ...] = ()

    def connect(self) -> Leg:
        assert self.client.accept_answer(self.answer(self.client.make_offer())) is not None
        return self

    def answer(self, offer: str) -> str:
        """What a focus answers to an offer of the client: it takes everything."""
        self.sections = tuple(answered(section) for section in sdp.parse(offer).sections)
        return focus_says(*self.sections)

    def offer(self, *more: Section) -> str | None:
        """An offer of the focus: its view of all sections so far and more behind; the client's answer."""
        self.sections += more
        return self.client.answer_offer(focus_says(*self.sections))


def answered(section: Section) -> Section:
    if section.kind == sdp.APPLICATION:
        return section
    direction = {"sendrecv": "recvonly", "sendonly": "recvonly"}.get(section.direction, "inactive")
    return replace(
        section,
        direction=direction,
        msid=None,
        send_rids=(),
        receive_rids=section.send_rids,
        ssrcs=(),
        rtx_ssrcs=(),
        cname="",
    )


def downstream(mid: str, stream: str = "bob", track: str = "bobcam", ssrc: int = 77) -> Section:
    return Section(
        mid=mid,
        kind=sdp.VIDEO,
        direction="sendonly",
        formats=LIKE_CHROMIUM.formats(sdp.VIDEO),
        extensions=LIKE_CHROMIUM.ids(sdp.VIDEO),
        msid=(stream, track),
        ssrcs=(ssrc,),
        rtx_ssrcs=((ssrc, ssrc + 1),),
        cname="theirs",
    )


def focus_says(*sections: Section) -> str:
    return sdp.serialise(Description(FOCUS, sections), session_id=2, version=1)


def test_an_offer_has_a_section_for_each_track_and_the_channel_last() -> None:
    offer = sdp.parse(Leg(MICROPHONE, CAMERA).client.make_offer())
    assert [(s.mid, s.kind, s.direction) for s in offer.sections] == [
        ("0", "audio", "sendrecv"),
        ("1", "video", "sendrecv"),
        ("2", "application", "sendrecv"),
    ]
    assert offer.sections[1].send_rids == ("f", "h", "q")
    assert offer.sections[1].msid == ("stream", "cam")
    assert offer.sections[1].ssrcs == ()


def test_a_track_without_rids_names_its_ssrcs() -> None:
    section = sdp.parse(Leg(SCREEN).client.make_offer()).sections[0]
    assert (section.direction, section.ssrcs, section.rtx_ssrcs) == ("sendonly", (11,), ((11, 12),))


@pytest.mark.parametrize("numbers", [LIKE_CHROMIUM, LIKE_FIREFOX])
def test_what_the_answer_takes_is_sent_under_our_numbers(numbers: LegNumbers) -> None:
    leg = Leg(MICROPHONE, CAMERA, numbers=numbers).connect()
    audio, video = leg.client.sending()
    assert (audio.payload_type, audio.rtx_payload_type) == (numbers.opus, None)
    assert (video.payload_type, video.rtx_payload_type) == (numbers.vp8, numbers.rtx)
    assert video.rids == ("f", "h", "q")
    assert video.extensions[sdp.RID] == numbers.extensions[sdp.RID]
    assert leg.violations == []


def test_a_section_that_is_not_received_is_not_sent() -> None:
    leg = Leg(MICROPHONE, CAMERA)
    answer = focus_says(
        *(
            replace(answered(section), direction="inactive")
            if section.kind == sdp.VIDEO
            else answered(section)
            for section in sdp.parse(leg.client.make_offer()).sections
        )
    )
    leg.client.accept_answer(answer)
    assert [section.track for section in leg.client.sending()] == [MICROPHONE]


def test_rids_that_are_not_taken_are_a_violation() -> None:
    leg = Leg(CAMERA)
    sections = [replace(answered(s), receive_rids=()) for s in sdp.parse(leg.client.make_offer()).sections]
    leg.client.accept_answer(focus_says(*sections))
    assert leg.violations == ["mid 0: rids ('f', 'h', 'q') not taken"]


def test_an_answer_must_have_the_sections_of_the_offer() -> None:
    leg = Leg(MICROPHONE)
    leg.client.make_offer()
    with pytest.raises(SdpError, match=r"answer has \['0'\] for \['0', '1'\]"):
        leg.client.accept_answer(focus_says(answered(Section("0", sdp.AUDIO))))


def test_an_answer_without_an_offer_is_a_violation_and_nothing_else() -> None:
    leg = Leg(MICROPHONE).connect()
    assert leg.client.accept_answer("anything") is None
    assert leg.violations == ["an answer without an offer"]


def test_a_section_of_the_focus_is_answered_and_received() -> None:
    leg = Leg(MICROPHONE).connect()
    answer = leg.offer(downstream("9"))
    assert answer is not None
    section = sdp.parse(answer).section("9")
    assert section is not None
    assert (section.direction, section.msid) == ("recvonly", None)
    (received,) = leg.client.receiving()
    assert (received.mid, received.stream_id, received.track_id) == ("9", "bob", "bobcam")
    assert (received.codecs, received.repairs) == ({96: "vp8"}, {97: 96})
    assert (received.ssrcs, received.rtx_ssrcs) == ((77,), {78: 77})
    assert leg.violations == []


def test_our_offer_wins_over_theirs() -> None:
    leg = Leg(MICROPHONE).connect()
    leg.client.publish(CAMERA)
    offer = leg.client.make_offer()
    assert leg.client.is_offering
    assert leg.offer(downstream("9")) is None
    assert leg.client.offers_ignored == 1
    leg.sections = leg.sections[:-1]
    assert leg.client.accept_answer(leg.answer(offer)) is not None
    assert leg.offer(downstream("9")) is not None


def test_a_second_offer_of_ours_waits_for_the_answer_to_the_first() -> None:
    leg = Leg(MICROPHONE)
    leg.client.make_offer()
    with pytest.raises(RuntimeError, match="already waiting"):
        leg.client.make_offer()


def test_an_offer_must_begin_with_the_sections_so_far() -> None:
    leg = Leg(MICROPHONE).connect()
    with pytest.raises(SdpError, match=r"offer has \['9'\] after \['0', '1'\]"):
        leg.client.answer_offer(focus_says(downstream("9")))


def test_a_section_that_ends_is_received_no_longer_and_may_be_used_again() -> None:
    leg = Leg(MICROPHONE).connect()
    leg.offer(downstream("9"))
    leg.sections = (*leg.sections[:-1], replace(downstream("9"), direction="inactive"))
    leg.offer()
    assert leg.client.receiving() == ()
    leg.sections = (*leg.sections[:-1], downstream("9", "carol", "carolcam", 99))
    leg.offer()
    assert [r.track_id for r in leg.client.receiving()] == ["carolcam"]
    assert leg.violations == []


def test_a_rejected_section_stays_rejected() -> None:
    leg = Leg(MICROPHONE).connect()
    answer = leg.offer(replace(downstream("9"), is_rejected=True))
    assert answer is not None
    section = sdp.parse(answer).section("9")
    assert section is not None
    assert section.is_rejected
    assert leg.client.receiving() == ()


def test_a_section_without_a_codec_of_ours_is_rejected() -> None:
    leg = Leg(MICROPHONE).connect()
    answer = leg.offer(replace(downstream("9"), formats=(sdp.Format(98, "AV1", 90_000),)))
    assert answer is not None
    section = sdp.parse(answer).section("9")
    assert section is not None
    assert section.is_rejected


def test_unpublishing_keeps_the_section_and_its_msid_for_the_next_track() -> None:
    leg = Leg(MICROPHONE, SCREEN).connect()
    assert leg.client.published() == {"mic", "scr"}
    leg.client.unpublish("scr")
    offer = leg.client.make_offer()
    section = sdp.parse(offer).sections[1]
    assert (section.direction, section.msid, section.ssrcs) == ("inactive", ("screen", "scr"), ())
    leg.client.accept_answer(leg.answer(offer))
    assert [s.track for s in leg.client.sending()] == [MICROPHONE]
    leg.client.publish(replace(SCREEN, track_id="scr2", ssrc=21, rtx_ssrc=22))
    again = sdp.parse(leg.client.make_offer())
    assert [s.mid for s in again.sections] == ["0", "1", "2"]
    assert (again.sections[1].direction, again.sections[1].ssrcs) == ("sendonly", (21,))


def test_a_screen_does_not_take_the_section_of_a_camera_with_rids() -> None:
    leg = Leg(CAMERA).connect()
    leg.client.unpublish("cam")
    leg.client.publish(SCREEN)
    assert [s.msid for s in sdp.parse(leg.client.make_offer()).sections] == [
        ("stream", "cam"),
        None,
        ("screen", "scr"),
    ]


def test_the_focus_repeats_our_sections_in_its_offer_and_we_go_on_sending() -> None:
    leg = Leg(MICROPHONE, CAMERA).connect()
    before = leg.client.sending()
    answer = leg.offer(downstream("9"))
    assert answer is not None
    ours = sdp.parse(answer).section("1")
    assert ours is not None
    assert (ours.direction, ours.send_rids) == ("sendonly", ("f", "h", "q"))
    assert leg.client.sending() == before


def test_a_client_that_rides_publishes_on_a_section_of_the_focus_without_rids() -> None:
    leg = Leg(MICROPHONE, rides=True).connect()
    leg.offer(downstream("s0"))
    leg.client.publish(CAMERA)
    (ridden,) = (s for s in sdp.parse(leg.client.make_offer()).sections if s.mid == "s0")
    assert (ridden.direction, ridden.msid, ridden.send_rids) == ("sendrecv", ("stream", "cam"), ())
    leg.sections = (*leg.sections[:-1], replace(leg.sections[-1], direction="sendrecv"))
    leg.client.accept_answer(focus_says(*leg.sections))
    assert [(s.mid, s.rids) for s in leg.client.sending()] == [("0", ()), ("s0", ())]
    assert [s.mid for s in leg.client.receiving()] == ["s0"]
    leg.client.unpublish("cam")
    (ridden,) = (s for s in sdp.parse(leg.client.make_offer()).sections if s.mid == "s0")
    assert ridden.direction == "recvonly"
    assert leg.violations == []


def test_a_client_that_does_not_ride_opens_a_section_of_its_own() -> None:
    leg = Leg(MICROPHONE).connect()
    leg.offer(downstream("s0"))
    leg.client.publish(CAMERA)
    assert [s.mid for s in sdp.parse(leg.client.make_offer()).sections if s.msid == ("stream", "cam")] == [
        "2"
    ]


def test_moved_numbers_are_violations() -> None:
    leg = Leg(CAMERA).connect()
    moved = replace(leg.sections[0], extensions=((5, sdp.MID),))
    leg.sections = (replace(moved, formats=(sdp.Format(97, "VP8", 90_000),)), *leg.sections[1:])
    leg.offer()
    assert leg.violations == [f"mid 0: {sdp.MID} moved to 5", "mid 0: 97 became VP8"]


def test_an_extension_that_only_the_focus_has_used_keeps_its_number_in_our_sections() -> None:
    leg = Leg(MICROPHONE).connect()
    theirs = replace(downstream("s0"), extensions=((4, sdp.MID), (1, sdp.AUDIO_LEVEL), (6, sdp.RID)))
    assert leg.offer(theirs) is not None
    leg.client.publish(CAMERA)
    camera = next(s for s in sdp.parse(leg.client.make_offer()).sections if s.msid == ("stream", "cam"))
    assert (6, sdp.RID) in camera.extensions
    assert len({number for number, _ in camera.extensions}) == len(camera.extensions)
    assert leg.violations == []


def test_a_section_whose_kind_changes_is_a_violation() -> None:
    leg = Leg(MICROPHONE).connect()
    leg.sections = (replace(downstream("0"), direction="inactive"), *leg.sections[1:])
    leg.offer()
    assert "mid 0: audio became video" in leg.violations


def test_descriptions_are_numbered_upwards() -> None:
    leg = Leg(MICROPHONE).connect()
    versions = []
    for _ in range(3):
        offer = leg.client.make_offer()
        versions.append(int(offer.splitlines()[1].split()[2]))
        leg.client.accept_answer(leg.answer(offer))
    assert versions == [2, 3, 4]
