"""Which encoding a viewer gets, and that nobody sees the seams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from sfu.netem.link import LinkProfile
from sfu.netem.loss import RandomLoss
from sfu.streams.keyframe import MIN_INTERVAL_S
from sfu.units import after_ms
from tests.support.simulation.encoder import CAMERA, EncodingPlan, Numbering
from tests.support.simulation.label import Source
from tests.support.simulation.rtp_sender import StreamStart
from tests.support.simulation.scenario import Cause, Member, Scenario, Step
from tests.support.simulation.simulation import Simulation
from tests.support.simulation.sources import Capture

if TYPE_CHECKING:
    from tests.support.simulation.observations import TrackObservations

SMALL, MEDIUM, LARGE = (320, 180), (640, 360), (1_280, 720)
LOW, MIDDLE, HIGH = 0, 1, 2

BELOW_THE_WRAPS: Final = Capture(
    numbering=Numbering(picture_id=2**15 - 40, tl0_pic_idx=250),
    start=StreamStart(sequence_number=2**16 - 300, timestamp=2**32 - 3 * 90_000),
)
SHORT_PICTURE_IDS: Final = Capture(numbering=Numbering(picture_id=100, tl0_pic_idx=250, picture_id_bits=7))


def picture(sim: Simulation) -> TrackObservations:
    return sim["bob"].seen(sim["alice"])


def settled(sim: Simulation) -> list[int]:
    """What is shown from when on Bob's path is known."""
    return picture(sim).between(2, sim.now_s).encodings


def at(moment_s: float, size: tuple[int, int]) -> Step:
    return Step(moment_s, lambda sim: sim["bob"].show(sim["alice"], size))


def nothing_is_missing(sim: Simulation) -> None:
    seen = picture(sim)
    assert (seen.nack_count, seen.packets_given_up, seen.undecodable_frames, seen.duplicates) == (0, 0, 0, 0)
    assert seen.pli_count == seen.steps_back == 0
    assert seen.longest_freeze_ms < 150
    # By sender reports the clocks of the encodings are known to a tick or two.
    assert max(map(abs, seen.clock_errors_ms)) < 0.1
    assert max(map(abs, seen.lip_sync_ms)) < 1


def others_are_left_alone(sim: Simulation) -> None:
    nothing_is_missing(sim)
    carol = sim["carol"].seen(sim["alice"])
    assert carol.encodings == [LOW]
    assert carol.longest_freeze_ms < 150


SIZES: Final = (
    Scenario(
        "a larger tile brings the larger encoding without a gap",
        (Member("alice"), Member("bob", tile=SMALL)),
        lambda sim: picture(sim).encodings == [LOW, HIGH],
        nothing_is_missing,
        script=(at(3, LARGE),),
        cause=Cause.SCRIPT,
    ),
    Scenario(
        "a smaller tile brings the smaller encoding without a gap",
        (Member("alice"), Member("bob", tile=LARGE)),
        lambda sim: settled(sim) == [HIGH, LOW],
        nothing_is_missing,
        script=(at(3, SMALL),),
        cause=Cause.SCRIPT,
    ),
    Scenario(
        "up and down again and again",
        (Member("alice"), Member("bob", tile=SMALL)),
        lambda sim: picture(sim).encodings == [LOW, HIGH, MIDDLE, HIGH, LOW],
        nothing_is_missing,
        script=(at(2.5, LARGE), at(3.2, MEDIUM), at(3.9, LARGE), at(4.6, SMALL)),
        cause=Cause.SCRIPT,
    ),
    Scenario(
        "switches while sequence numbers, timestamps, picture ids and TL0PICIDX wrap",
        (Member("alice", capture=BELOW_THE_WRAPS), Member("bob", tile=SMALL)),
        lambda sim: picture(sim).encodings == [LOW, HIGH, MIDDLE, LOW],
        nothing_is_missing,
        script=(at(2.7, LARGE), at(3.4, MEDIUM), at(4.2, SMALL)),
        cause=Cause.SCRIPT,
    ),
    Scenario(
        "switches of an encoder with picture ids of seven bits",
        (Member("alice", capture=SHORT_PICTURE_IDS), Member("bob", tile=SMALL)),
        lambda sim: picture(sim).encodings == [LOW, HIGH, MIDDLE],
        nothing_is_missing,
        script=(at(2.7, LARGE), at(3.8, MEDIUM)),
        cause=Cause.SCRIPT,
    ),
    Scenario(
        "two viewers of one track, each in a size of their own",
        (Member("alice"), Member("bob", tile=LARGE), Member("carol", tile=SMALL)),
        lambda sim: settled(sim) == [HIGH, MIDDLE],
        others_are_left_alone,
        script=(at(3, MEDIUM),),
        cause=Cause.SCRIPT,
    ),
)


def stop_layers(*rids: str) -> Step:
    def stop(sim: Simulation) -> None:
        camera = sim["alice"].sources.camera
        assert camera is not None
        camera.stopped_rids.update(rids)

    return Step(3, stop)


def start_layers(sim: Simulation) -> None:
    camera = sim["alice"].sources.camera
    assert camera is not None
    for rid in camera.stopped_rids:
        camera.encoders[rid].want_key_frame()
    camera.stopped_rids.clear()


def change_ssrcs(sim: Simulation) -> None:
    """As a browser does that builds its encoders anew."""
    camera = sim["alice"].sources.camera
    assert camera is not None
    camera.begin_anew()
    sim["alice"].session.change_ssrcs("alice-video")


def low_is_shown_meanwhile(sim: Simulation) -> None:
    seen = picture(sim)
    assert seen.between(5.3, 6).encodings == [LOW]
    # Two seconds without a packet are a stall (protocol: section 7.3), then the next tick decides.
    assert seen.longest_freeze_ms < 2_000 + 300
    assert seen.between(8.5, 9).encodings == [HIGH]
    assert seen.undecodable_frames == seen.packets_given_up == 0


def goes_on_soon(sim: Simulation) -> None:
    """At once, by the times of arrival: nothing else flows that a sender report could be waited for with."""
    seen = picture(sim)
    assert seen.longest_freeze_ms < 250
    assert seen.pli_count == seen.nack_count == 0
    assert len(seen.between(4, 5).frames) >= 18
    assert max(map(abs, seen.lip_sync_ms)) < 40


PUBLISHERS: Final = (
    Scenario(
        "a layer that stops for three seconds gives way to a lower one and returns",
        (Member("alice"), Member("bob", tile=LARGE)),
        # The middle one was not wanted when it stopped: it is shown until the wanted one has proved itself.
        lambda sim: settled(sim) == [HIGH, LOW, MIDDLE, HIGH],
        low_is_shown_meanwhile,
        seconds=9,
        script=(stop_layers("h", "f"), Step(6, start_layers)),
        cause=Cause.SCRIPT,
    ),
    Scenario(
        "other SSRCs in the middle of a call are the same track",
        (Member("alice"), Member("bob")),
        lambda sim: sim["alice"].sources.key_frames()[MIDDLE] >= 3,
        goes_on_soon,
        script=(Step(3, change_ssrcs),),
        cause=Cause.SCRIPT,
    ),
)


@pytest.mark.parametrize("scenario", SIZES + PUBLISHERS, ids=str)
def test_scenario(scenario: Scenario) -> None:
    sim = scenario.play()
    assert sim.faults() == []
    assert scenario.shows(sim)
    scenario.expect(sim)


@pytest.mark.parametrize("scenario", SIZES + PUBLISHERS, ids=str)
def test_control(scenario: Scenario) -> None:
    sim = scenario.control().play()
    assert sim.faults() == []
    assert not scenario.shows(sim)
    assert len(settled(sim)) == 1
    nothing_is_missing(sim)


def test_the_encoding_is_the_smallest_that_fills_the_tile() -> None:
    sim = Simulation()
    (alice,) = sim.join("alice")
    viewers = [sim.add(f"v{height}", tile=(height * 16 // 9, height)) for height in (90, 180, 360, 500, 720)]
    for viewer in viewers:
        viewer.join()
    sim.run_s(4)
    shown = [viewer.seen(alice).encodings[-1] for viewer in viewers]
    assert shown == [LOW, LOW, MIDDLE, HIGH, HIGH]
    assert sim.faults() == []


def test_who_has_one_encoding_only_is_shown_in_it_whatever_the_size() -> None:
    sim = Simulation()
    single = Capture(camera=(EncodingPlan("", 640, 360, 30, 500_000, 1),))
    alice = sim.add("alice", capture=single)
    alice.join()
    viewers = [sim.add(f"v{height}", tile=(height * 16 // 9, height)) for height in (90, 720)]
    for viewer in viewers:
        viewer.join()
    sim.run_s(4)
    assert [viewer.seen(alice).encodings for viewer in viewers] == [[LOW], [LOW]]
    assert sim.faults() == []


def test_a_tile_that_is_hidden_gets_nothing_and_comes_back_with_a_key_frame() -> None:
    sim = Simulation()
    alice, bob = sim.join("alice", "bob")
    sim.run_until_s(3)
    bob.show(alice, None)
    sim.run_until_s(3.2)
    received = bob.seen(alice).packets_received
    sim.run_until_s(5)
    assert bob.seen(alice).packets_received == received
    assert bob.seen(alice, Source.MICROPHONE).between(3.2, 5).sounds
    bob.show(alice, MEDIUM)
    sim.run_until_s(7)
    assert len(bob.seen(alice).between(5.5, 7).frames) >= 25
    assert sim.faults() == []


def test_a_tile_that_is_scrolled_out_of_sight_gets_nothing_and_keeps_its_section() -> None:
    sim = Simulation()
    alice, bob = sim.join("alice", "bob")
    sim.run_until_s(3)
    bob.scroll(alice, in_sight=False)
    sim.run_until_s(3.2)
    received = bob.seen(alice).packets_received
    sim.run_until_s(5)
    assert bob.seen(alice).packets_received == received
    assert bob.seen(alice, Source.MICROPHONE).between(3.2, 5).sounds
    bob.scroll(alice, in_sight=True)
    sim.run_until_s(5.3)
    assert bob.seen(alice).between(5, 5.3).frames
    assert len(bob.seen(alice).receptions) == 1
    assert sim.faults() == []


def test_switches_on_lines_that_lose_packets_show_no_wrong_frame() -> None:
    lossy = LinkProfile(delay_ms=20, jitter_ms=10, loss=RandomLoss(0.05), reorder=0.02)
    scenario = Scenario(
        "lossy switches",
        (Member("alice", up=lossy), Member("bob", down=lossy, tile=SMALL)),
        lambda sim: len(picture(sim).encodings) == 7,
        seconds=8,
        script=tuple(at(2 + index, (LARGE, MEDIUM, SMALL)[index % 3]) for index in range(6)),
    )
    sim = scenario.play()
    assert scenario.shows(sim)
    assert picture(sim).packets_repaired > 10
    assert picture(sim).longest_freeze_ms < 800
    assert sim.faults() == []
    assert picture(scenario.control().play()).packets_repaired == 0


# --- requests for key frames ------------------------------------------------------------------------------


def asking(times_per_s: int) -> Simulation:
    sim = Simulation()
    sim.join("alice", "bob", "carol")
    sim.run_until_s(3)
    for index in range(3 * times_per_s):
        for viewer in ("bob", "carol"):
            sim.at_s(3 + index / times_per_s, sim[viewer].session.ask_key_frames)
    sim.run_until_s(6)
    return sim


def test_who_asks_for_key_frames_all_the_time_does_not_make_a_publisher_send_nothing_else() -> None:
    quiet, pestered = asking(0), asking(50)
    streams = [sim["alice"].session.streams("alice-video") for sim in (quiet, pestered)]
    plis = [max(stream.pli_count for stream in streams[0]), max(stream.pli_count for stream in streams[1])]
    assert plis[0] <= 2
    assert 3 < plis[1] <= 3 / MIN_INTERVAL_S + 3
    assert pestered["bob"].seen(pestered["alice"]).longest_freeze_ms < 150
    assert pestered.faults() == quiet.faults() == []


# --- Python stands still ----------------------------------------------------------------------------------


def stalling(duration_ms: float) -> Simulation:
    sim = Simulation()
    alice, bob = (sim.add(name, tile=LARGE) for name in ("alice", "bob"))
    alice.join()
    bob.join()
    sim.run_until_s(3)
    if duration_ms:
        sim.server.stall(duration_ms)
    sim.run_until_s(6)
    return sim


def test_while_python_stands_still_the_lowest_encoding_goes_on_and_then_all_is_as_before() -> None:
    sim, control = stalling(700), stalling(0)
    assert settled(control) == [HIGH]
    seen = picture(sim)
    assert settled(sim) == [HIGH, LOW, HIGH]
    stalled_at = after_ms(sim.clock.now, -3_000)
    low = [frame.at for frame in seen.frames if frame.encoding == LOW and frame.at > stalled_at]
    assert after_ms(stalled_at, 450) <= low[0] <= after_ms(stalled_at, 700)
    assert low[-1] <= after_ms(stalled_at, 1_000)
    assert seen.longest_freeze_ms < 150
    assert len(sim["bob"].seen(sim["alice"], Source.MICROPHONE).between(3, 3.7).sounds) >= 34
    assert sim.faults() == control.faults() == []


def test_a_short_pause_of_python_changes_nothing() -> None:
    """Blocking the process for 300 ms must not delay one forwarded packet (design: section 2)."""
    sim, control = stalling(300), stalling(0)
    delays = [max(frame.delay_ms for frame in picture(one).frames) for one in (sim, control)]
    assert delays[0] == pytest.approx(delays[1], abs=0.01)
    assert settled(sim) == [HIGH]
    assert sim.faults() == []


def test_encodings_have_the_rates_of_their_plan() -> None:
    """The control of everything above: media here is as heavy as a browser's."""
    sim = Simulation()
    (alice,) = sim.join("alice")
    sim.run_until_s(2)
    before = {stream.rid: stream.octets_sent for stream in alice.session.streams("alice-video")}
    sim.run_s(4)
    for plan in CAMERA:
        stream = next(s for s in alice.session.streams("alice-video") if s.rid == plan.rid)
        sent_bps = (stream.octets_sent - before[plan.rid]) * 8 / 4
        assert sent_bps == pytest.approx(plan.rate_bps, rel=0.35)
