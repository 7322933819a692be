from __future__ import annotations

from sfu.negotiation.codecs import CALLER_NUMBERS
from sfu.negotiation.extensions import numbers_of
from sfu.negotiation.tables import ClientTables
from sfu.plane import Extension
from sfu.units import Kind
from tests.support.dialogue import CAMERA, MICROPHONE, track
from tests.unit.negotiation.texts import (
    CHROMIUM,
    CHROMIUM_CAMERA_OFF,
    FIREFOX,
    changed,
    lines,
    media,
    remote,
    remote_section,
    vector,
)

NAMES = ("VP8", "H264", "opus")


def told(*offers: str, names: tuple[str, ...] = NAMES) -> ClientTables:
    tables = ClientTables(names)
    for offer in offers:
        tables.learn(remote(offer))
    return tables


def numbers(tables: ClientTables, kind: Kind = Kind.VIDEO) -> dict[str, tuple[int, ...]]:
    return {key: codec.numbers for key, codec in tables.codecs_for(kind).items()}


def test_the_numbers_are_those_of_the_client() -> None:
    assert numbers(told(CHROMIUM))["VP8"] == (96, 97)
    assert numbers(told(FIREFOX))["VP8"] == (120, 124)
    assert numbers(told(CHROMIUM), Kind.AUDIO) == {"opus": (111,)}


def test_the_client_receives_every_configuration_that_it_offered() -> None:
    assert told(CHROMIUM).receivable() >= {
        "opus",
        "VP8",
        "VP9/0",
        "H264/main/1",
        "H264/constrained-baseline/0",
    }
    assert told(FIREFOX).receivable() == {"opus", "VP8", "VP9/0", "AV1/0"}


def test_a_track_is_carried_in_what_the_publisher_has_and_the_client_knows_the_publishers_best_first() -> (
    None
):
    tables = told(CHROMIUM)
    carried = tables.carriable(track(1, Kind.VIDEO, ("H264/main/1", "nothing", "VP8")))
    assert [codec.format.key for codec in carried] == ["H264/main/1", "VP8"]
    assert tables.carriable(track(1, Kind.VIDEO, ("H264/baseline/9",))) == ()
    assert [codec.parameters for codec in tables.carriable(MICROPHONE)] == [""]


def test_rtx_that_is_stripped_from_a_screen_share_stays_for_other_sections() -> None:
    """7.1: RTX is stripped from the screen-share section only. In the recording it is the last section."""
    offer = vector("element_call/share")
    assert not any("rtx" in line for line in lines(offer, "3"))
    (vp8,) = told(offer).carriable(track(1, Kind.VIDEO, ("VP8",)))
    assert vp8.format.rtx_payload_type is not None


def test_rtx_that_an_earlier_offer_had_stays_while_its_number_is_free() -> None:
    camera = "a=(rtpmap|fmtp):97 |a=rtpmap:97"
    stripped = changed(CHROMIUM, "1", without=camera).replace("SAVPF 96 97", "SAVPF 96")
    assert numbers(told(stripped))["VP8"] == (96,)
    assert numbers(told(CHROMIUM, stripped))["VP8"] == (96, 97)
    taken = stripped.replace("SAVPF 111 ", "SAVPF 111 97 ")
    assert numbers(told(CHROMIUM, taken))["VP8"] == (96,)
    moved = CHROMIUM.replace("a=fmtp:97 apt=96", "a=fmtp:97 apt=98").replace(
        "a=fmtp:99 apt=98", "a=fmtp:99 apt=96"
    )
    assert numbers(told(CHROMIUM, moved))["VP8"] == (96, 99)


def test_numbers_that_the_client_moved_are_moved() -> None:
    """7.5 [CAP]: renumbered payload types end reception silently. So the newest word of the client counts."""
    baseline = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f"
    moved = ("a=rtpmap:98 H264/90000", f"a=fmtp:98 {baseline}")
    offer = changed(CHROMIUM, "1", *moved, without="a=(rtpmap|fmtp):(98|99|102|103) ")
    assert numbers(told(CHROMIUM))["H264/baseline/1"][0] == 102
    assert numbers(told(CHROMIUM, offer))["H264/baseline/1"][0] == 98


def test_a_number_that_was_told_stays_where_the_client_has_two_for_one_codec() -> None:
    doubled = changed(CHROMIUM, "1", "a=rtpmap:50 VP8/90000").replace("SAVPF 96 97", "SAVPF 50 96 97")
    assert numbers(told(CHROMIUM, doubled))["VP8"] == (96, 97)


def test_what_only_an_earlier_offer_told_stays_while_its_numbers_mean_nothing_else() -> None:
    camera_off = CHROMIUM_CAMERA_OFF
    assert numbers(told(CHROMIUM, camera_off))["VP8"] == (96, 97)
    taken = camera_off.replace("SAVPF 111 ", "SAVPF 111 96 97 ")
    assert "VP8" not in numbers(told(CHROMIUM, taken))
    assert numbers(told(CHROMIUM, taken))["VP9/0"] == numbers(told(CHROMIUM))["VP9/0"]


def test_a_camera_off_join_gets_video_numbers_that_are_free_on_the_leg() -> None:
    """5 [CAP]: A camera-off join has no video track, no video section."""
    tables = told(
        CHROMIUM_CAMERA_OFF.replace("a=rtpmap:63 ", "a=rtpmap:105 ").replace("SAVPF 111 63", "SAVPF 111 105")
    )
    given = numbers(tables)
    assert given == {"VP8": (106, 112), "H264/constrained-baseline/1": (113, 127)}
    tables.learn(remote(CHROMIUM_CAMERA_OFF))
    assert numbers(tables) == given


def test_a_camera_off_join_gets_extension_ids_that_are_free_on_the_leg() -> None:
    """7.5 [CAP]: Chromium refuses reassigned extension ids without answering. 2 is its abs-send-time."""
    tables = told(CHROMIUM_CAMERA_OFF)
    audio = numbers_of(remote_section(CHROMIUM_CAMERA_OFF, "0").extensions)
    video = numbers_of(tables.extensions_for(Kind.VIDEO))
    assert (video[Extension.MID], video[Extension.TRANSPORT_CC]) == (
        audio[Extension.MID],
        audio[Extension.TRANSPORT_CC],
    )
    assert not {video[one] for one in video.keys() - audio.keys()} & set(audio.values())
    assert numbers_of(tables.extensions_for(Kind.VIDEO)) == video


def test_ids_of_extensions_that_we_do_not_know_are_not_free_either() -> None:
    offer = changed(CHROMIUM_CAMERA_OFF, "0", "a=extmap:5 urn:unknown")
    assert 5 not in numbers_of(told(offer).extensions_for(Kind.VIDEO)).values()


def test_when_the_client_offers_the_kind_its_own_numbers_count() -> None:
    tables = told(CHROMIUM_CAMERA_OFF)
    numbers(tables)
    tables.extensions_for(Kind.VIDEO)
    tables.learn(remote(CHROMIUM))
    assert numbers(tables)["VP8"] == (96, 97)
    assert numbers_of(tables.extensions_for(Kind.VIDEO))[Extension.VIDEO_ORIENTATION] == 13


def test_an_extension_stays_while_its_id_means_nothing_else() -> None:
    less = changed(CHROMIUM, "1", without="a=extmap:13 ")
    assert numbers_of(told(CHROMIUM, less).extensions_for(Kind.VIDEO))[Extension.VIDEO_ORIENTATION] == 13
    taken = changed(less, "0", "a=extmap:13 urn:unknown")
    assert Extension.VIDEO_ORIENTATION not in numbers_of(told(CHROMIUM, taken).extensions_for(Kind.VIDEO))


def test_a_watcher_that_offers_no_media_gets_numbers_for_both_kinds() -> None:
    tables = told(vector("chromium/watcher-call/00-join-browser-offer"))
    used = [number for kind in Kind for one in numbers(tables, kind).values() for number in one]
    assert len(used) == len(set(used)) == 5
    ids = {kind: numbers_of(tables.extensions_for(kind)) for kind in Kind}
    assert ids[Kind.AUDIO][Extension.MID] == ids[Kind.VIDEO][Extension.MID]
    assert ids[Kind.AUDIO][Extension.AUDIO_LEVEL] not in ids[Kind.VIDEO].values()
    assert tables.carriable(CAMERA)


def test_a_client_that_offers_only_codecs_that_we_do_not_know_can_take_none() -> None:
    offer = CHROMIUM
    for name in ("VP8", "VP9", "H264", "AV1"):
        offer = offer.replace(f"{name}/90000", f"X{name}/90000")
    tables = told(offer)
    assert tables.carriable(CAMERA) == ()
    assert tables.carriable(MICROPHONE) != ()


def test_a_caller_has_numbers_before_it_was_told_any() -> None:
    tables = ClientTables(NAMES, CALLER_NUMBERS)
    assert [number for kind in Kind for one in numbers(tables, kind).values() for number in one] == [
        *CALLER_NUMBERS[:5]
    ]
    assert tables.receivable() == {"opus", "VP8", "H264/constrained-baseline/1"}
    assert Extension.MID in numbers_of(tables.extensions_for(Kind.VIDEO))


def test_where_all_numbers_are_taken_nothing_is_carried() -> None:
    every = " ".join(str(number) for number in (*range(35, 64), *range(96, 128), *range(3)))
    offer = CHROMIUM_CAMERA_OFF.replace("SAVPF 111 ", f"SAVPF {every} ")
    assert len(media(formats=every).formats) == 64
    assert told(offer).carriable(CAMERA) == ()
    assert told(offer, CHROMIUM_CAMERA_OFF).carriable(CAMERA) != ()
