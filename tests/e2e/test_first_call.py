"""A whole call as its operator sees it: what the focus says of it in its status, its metrics and its log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sfu.config import AUTO
from sfu.metrics import Metrics
from sfu.runtime.planes import choose_plane
from signalling.cli.why import pairs_of
from tests.support.eventually import eventually
from tests.support.focus_process import RunningFocus, running_focus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from loadtest.client.participant import Participant
    from loadtest.homeserver.server import Homeserver

pytestmark = pytest.mark.e2e

FRAMES = {"audio": 50, "video": 15}
"""About a second of each."""
PATIENCE_S = 30.0

NOT_IN_A_GOOD_CALL = {
    "focus_dtls_datagrams_dropped",
    "focus_inputs_refused",
    "focus_internal_failures",
    "focus_invites_refused",
    "focus_layer_switches",
    "focus_leaves",
    "focus_leg_failures",
    "focus_messages_refused",
    "focus_nacks",
    "focus_path_queue_seconds",
    "focus_policy_failures",
    "focus_policy_overruns",
    "focus_rtp_packets_lost",
    "focus_rtp_packets_retransmitted",
    "focus_sctp_faults",
    "focus_ticks_skipped",
    *(family.name for family in Metrics().registry.collect() if family.name.startswith("focus_hop_")),
}
"""Metrics that move only when something goes wrong, somebody changes their mind or leaves, or where there is
another focus."""


@pytest.fixture
async def focus(homeserver: Homeserver, tmp_path: Path) -> AsyncIterator[RunningFocus]:
    async with running_focus(homeserver, tmp_path) as running:
        yield running
    log = running.process.log.read_text()
    assert "internal_failure" not in log
    lines = [json.loads(line) for line in log.splitlines() if line.startswith('{"event"')]
    of_interest = [line for line in lines if line["level"] == "info"]
    assert of_interest
    assert not any("@alice" in str(line) or "@bob" in str(line) for line in of_interest), "nobody's name"


def counts(receiver: Participant, *senders: Participant) -> list[int]:
    """Frames that somebody decoded of others, for each of them and kind."""
    return [receiver.observations.frames_decoded(sender.party, kind) for sender in senders for kind in FRAMES]


async def see_and_hear_each_other(*people: Participant) -> None:
    """Wait until everybody has decoded another second of everybody else's sound and pictures."""
    others = {one: [other for other in people if other is not one] for one in people}
    before = {one: counts(one, *others[one]) for one in people}

    def is_enough(one: Participant) -> bool:
        more = [*FRAMES.values()] * len(others[one])
        return all(
            now >= then + wanted
            for now, then, wanted in zip(counts(one, *others[one]), before[one], more, strict=True)
        )

    await eventually(lambda: all(is_enough(one) for one in people), PATIENCE_S)
    for one in people:
        assert one.observations.wrong_frames() == 0
        assert one.observations.violations == []
        assert one.observations.errors == []


async def test_people_see_and_hear_each_other_and_the_focus_knows_of_it(focus: RunningFocus) -> None:
    async with focus.call("alice", "bob", "carol") as (alice, bob, carol):
        await alice.join()
        await bob.join()
        await see_and_hear_each_other(alice, bob)
        await carol.join()
        await see_and_hear_each_other(alice, bob, carol)

        status = await focus.status()
        assert status["plane"] == choose_plane(AUTO).name
        assert status["ready"] is True
        counted = [status[name] for name in ("calls", "participants", "tracks", "subscriptions")]
        assert counted == [1, 3, 6, 12]
        (call,) = await focus.calls()
        assert call["conf_id"] == alice.conf_id
        assert {member["user_id"]: member["state"] for member in call["members"]} == {
            one.party.user_id: "connected" for one in (alice, bob, carol)
        }
        (pair,) = pairs_of([call], alice.party.user_id, f"{bob.party.user_id}/camera")
        assert pair["why"].startswith("You get 640x360")
        assert pair["decision"]["rate_bps"] > 0

        await bob.leave()
        await eventually(lambda: bob.party not in alice.observations.announced)
        await see_and_hear_each_other(alice, carol)
        await alice.leave()
        await carol.leave()
        await focus.until(lambda status: status["calls"] == 0)


async def test_every_metric_is_published_and_those_of_a_call_move(focus: RunningFocus) -> None:
    async with focus.call("alice", "bob") as (alice, bob):
        await alice.join()
        await bob.join()
        await see_and_hear_each_other(alice, bob)
        during = await focus.metrics()
        await alice.leave()
        await bob.leave()
        await focus.until(lambda status: status["calls"] == 0)
        after = await focus.metrics()
    declared = {family.name for family in Metrics().registry.collect()}
    assert declared <= {family.name for family in during}
    now = {family.name: sum(sample.value for sample in family.samples) for family in during}
    moved = {name for name, value in now.items() if value}
    assert declared - moved <= NOT_IN_A_GOOD_CALL
    assert (now["focus_calls"], now["focus_legs"], now["focus_tracks"]) == (1, 2, 4)
    then = {family.name: sum(sample.value for sample in family.samples) for family in after}
    assert (then["focus_calls"], then["focus_legs"], then["focus_tracks"]) == (0, 0, 0)
    assert then["focus_leaves"] > 0
    (trunks,) = [family for family in during if family.name == "focus_hop_trunks"]
    assert {sample.labels["state"] for sample in trunks.samples} >= {"up", "dialling", "backing_off"}
