"""Calls in which anything may happen, and what must hold in all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sfu.netem.link import LinkProfile
from sfu.netem.loss import BurstLoss, RandomLoss
from tests.support.simulation.encoder import SMALL_CAMERA, EncodingPlan
from tests.support.simulation.label import Source
from tests.support.simulation.simulation import GOOD, Simulation
from tests.support.simulation.sources import Capture

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.simulation.client import SimClient

NAMES: Final = ("alice", "bob", "carol", "dave", "erin")
TILES: Final = (None, (160, 90), (320, 180), (640, 360), (1_280, 720))
LINES: Final = (
    GOOD,
    LinkProfile(delay_ms=80, jitter_ms=30),
    LinkProfile(delay_ms=20, loss=RandomLoss(0.1), reorder=0.05),
    LinkProfile(delay_ms=20, loss=BurstLoss(to_bad=0.02, to_good=0.2)),
    LinkProfile(delay_ms=20, rate_bps=400_000, queue_ms=200),
)
CAPTURE: Final = Capture(camera=SMALL_CAMERA, screen=(EncodingPlan("", 1_280, 720, 10, 300_000, 1),))
SETTLED_S: Final = 3.0
"""On good lines, after the last step; then everybody must be seen and heard again."""
REPEATED_S: Final = 6.0
"""More after restarts of ICE: their answers go by to-device, where an offer on the channel may overtake them.
The client ignores it then, and it comes again after 5 s (protocol: section 7.6)."""


@dataclass(frozen=True, slots=True)
class Act:
    """Something that somebody does, to or with somebody else."""

    delay_ms: int
    """After the act before."""
    what: str
    who: str
    whom: str
    value: int

    def perform(self, sim: Simulation) -> None:
        """Do it, where it makes sense."""
        ACTS[self.what](sim, sim[self.who], sim[self.whom], self.value)


def join(_: Simulation, who: SimClient, __: SimClient, ___: int) -> None:
    who.join()


def leave(_: Simulation, who: SimClient, __: SimClient, ___: int) -> None:
    who.leave()


def show(_: Simulation, who: SimClient, whom: SimClient, value: int) -> None:
    who.show(whom, TILES[value % len(TILES)], Source.SCREEN if value % 2 else Source.CAMERA)


def listen(_: Simulation, who: SimClient, whom: SimClient, value: int) -> None:
    who.listen(whom, wanted=bool(value % 2))


def mute(_: Simulation, who: SimClient, __: SimClient, value: int) -> None:
    source = Source.CAMERA if value % 2 and who.sources.camera else Source.MICROPHONE
    who.mute(source, muted=value % 4 < 2)


def screen(_: Simulation, who: SimClient, __: SimClient, ___: int) -> None:
    if who.sources.screen is None:
        who.share_screen()
    else:
        who.stop_screen()


def camera(_: Simulation, who: SimClient, __: SimClient, ___: int) -> None:
    if who.sources.camera is None:
        who.open_camera()
    else:
        who.close_camera()


def encoder(_: Simulation, who: SimClient, __: SimClient, value: int) -> None:
    """A layer stops or comes back, or the encoder is built anew."""
    video = who.sources.camera
    if video is None or not who.is_connected:
        return
    rid = "qhf"[value % 3]
    if value % 2:
        video.begin_anew()
        who.session.change_ssrcs(video.track.track_id)
    elif rid in video.stopped_rids:
        video.stopped_rids.discard(rid)
        video.encoders[rid].want_key_frame()
    else:
        video.stopped_rids.add(rid)


def line(sim: Simulation, who: SimClient, __: SimClient, value: int) -> None:
    sim.change_line(who, up=LINES[value % len(LINES)], down=LINES[value // 5 % len(LINES)])


def move(_: Simulation, who: SimClient, __: SimClient, ___: int) -> None:
    who.move()


def kick(sim: Simulation, who: SimClient, __: SimClient, ___: int) -> None:
    sim.homeserver.kick(who.user_id)


def restart(_: Simulation, who: SimClient, __: SimClient, ___: int) -> None:
    if who.leg is not None:
        who.leg.restart_ice()


def stall(sim: Simulation, _: SimClient, __: SimClient, value: int) -> None:
    sim.server.stall(20 * value)


def nag(_: Simulation, who: SimClient, __: SimClient, ___: int) -> None:
    if who.is_connected:
        who.session.ask_key_frames()


ACTS: Final[dict[str, Callable[[Simulation, SimClient, SimClient, int], None]]] = {
    act.__name__: act
    for act in (
        *(join, leave, kick, show, listen, mute, screen, camera),
        *(encoder, line, move, restart, stall, nag),
    )
}

acts = st.builds(
    Act,
    delay_ms=st.integers(0, 400),
    what=st.sampled_from(sorted(ACTS)),
    who=st.sampled_from(NAMES),
    whom=st.sampled_from(NAMES),
    value=st.integers(0, 24),
)


def play(script: list[Act], seed: int) -> Simulation:
    sim = Simulation(seed)
    for name in NAMES:
        sim.add(name, capture=CAPTURE).rides = name in NAMES[:2]
    for name in NAMES[:3]:
        sim[name].join()
    sim.run_until_s(1)
    for act in script:
        sim.run_s(act.delay_ms / 1_000)
        act.perform(sim)
    for client in sim.clients.values():
        sim.change_line(client, up=GOOD, down=GOOD)
    sim.run_s(SETTLED_S)
    if any(client.leg is not None and client.leg.ice_restarts for client in sim.clients.values()):
        sim.run_s(REPEATED_S)
    return sim


def assert_all_is_well(sim: Simulation) -> None:
    """No wrong frame, nothing unwanted, no number used twice; and who shall be seen is seen."""
    assert sim.faults() == []
    assert sim.server.warnings() == []
    connected = [client for client in sim.clients.values() if client.is_connected]
    (call,) = sim.server.focus.snapshot()["calls"] or ({"members": []},)
    assert {one.user_id for one in connected} == {member["user_id"] for member in call["members"]}
    for viewer in connected:
        assert viewer.leg is not None
        # An offer that was overtaken by another way is answered too late.
        assert viewer.leg.errors == [] or viewer.leg.ice_restarts
        assert all(receiver.reception.packets_missing == 0 for _, receiver in viewer.session.receivers())
        for publisher in sim.clients.values():
            if publisher is not viewer and publisher.is_connected:
                assert_is_seen(sim, viewer, publisher)
            elif publisher is not viewer:
                assert viewer.announced(publisher) == set()


def assert_is_seen(sim: Simulation, viewer: SimClient, publisher: SimClient) -> None:
    """Every track of theirs that flows and is wished for arrives now, and no other."""
    flowing = {source for source in Source if publisher.sources.flows(source)}
    announced = viewer.announced(publisher)
    assert flowing <= announced <= publisher.sources.published(), f"{viewer.user_id} of {publisher.user_id}"
    for source in Source:
        seen = viewer.seen(publisher, source)
        recent = seen.between(sim.now_s - 0.8, sim.now_s)
        expected = source in flowing and viewer.wants(publisher, source)
        arrives = bool(recent.frames or recent.sounds)
        assert arrives is expected, f"{viewer.user_id} of {publisher.user_id}: {source.name} {arrives}"


@given(script=st.lists(acts, min_size=4, max_size=16), seed=st.integers(0, 2**16))
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_in_every_call_all_is_well_in_the_end(script: list[Act], seed: int) -> None:
    assert_all_is_well(play(script, seed))
