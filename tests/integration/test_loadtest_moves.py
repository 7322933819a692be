"""A participant's network changes under it: the leg goes on, by ICE alone."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from loadtest.client.scene import AUDIO, VIDEO
from loadtest.client.transport import TransportFailedError
from tests.support.focus_process import RunningFocus, running_focus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from loadtest.client.participant import Participant
    from loadtest.homeserver.server import Homeserver

pytestmark = pytest.mark.integration

PATIENCE_S = 30.0
"""A limit against hanging, not a measure."""
SILENT_S = 1.0
"""Fifteen pictures would have come in it."""


@pytest.fixture
async def focus(homeserver: Homeserver, tmp_path: Path) -> AsyncIterator[RunningFocus]:
    async with running_focus(homeserver, tmp_path) as running:
        yield running


async def flows(*people: Participant) -> None:
    """Wait until everybody has decoded new frames of everybody else."""
    pairs = [
        (one, other, kind)
        for one in people
        for other in people
        for kind in (AUDIO, VIDEO)
        if one is not other
    ]
    before = [one.observations.frames_decoded(other.party, kind) for one, other, kind in pairs]
    deadline = time.monotonic() + PATIENCE_S
    while any(
        one.observations.frames_decoded(other.party, kind) < count + 10
        for (one, other, kind), count in zip(pairs, before, strict=True)
    ):
        assert time.monotonic() < deadline, [one.observations for one in people]
        await asyncio.sleep(0.02)


async def falls_silent(receiver: Participant, sender: Participant) -> None:
    """Wait until no picture of somebody's has come for a second."""
    track = receiver.observations.track(sender.party, VIDEO)
    count, since = track.frames_decoded, time.monotonic()
    deadline = since + PATIENCE_S
    while time.monotonic() - since < SILENT_S:
        assert time.monotonic() < deadline, track
        await asyncio.sleep(0.02)
        if track.frames_decoded != count:
            count, since = track.frames_decoded, time.monotonic()


def port(participant: Participant) -> int | None:
    return None if participant.leg is None else participant.leg.local_port


def is_same_leg(*people: Participant) -> bool:
    """Whether nobody had to dial again, nor saw anything wrong."""
    return all(
        (one.observations.legs, one.observations.wrong_frames(), one.observations.violations) == (1, 0, [])
        for one in people
    )


async def test_media_follow_to_another_port(focus: RunningFocus) -> None:
    async with focus.call("alice", "bob") as (alice, bob):
        await alice.join()
        await bob.join()
        await flows(alice, bob)
        before = port(alice)
        await alice.rebind(check_after_s=0.2)
        assert port(alice) not in {before, None}
        await flows(alice, bob)
        assert is_same_leg(alice, bob)


async def test_a_restart_of_ice_goes_over_to_another_connection(focus: RunningFocus) -> None:
    async with focus.call("alice", "bob") as (alice, bob):
        await alice.join()
        await bob.join()
        await flows(alice, bob)
        before = port(alice)
        await alice.restart_ice()
        assert port(alice) not in {before, None}
        await flows(alice, bob)
        await alice.subscribe_size(90)  # the channel is still there
        async with asyncio.timeout(PATIENCE_S):
            while alice.observations.track(bob.party, VIDEO).current_layer != "q":  # noqa: ASYNC110  # no event
                await asyncio.sleep(0.02)
        assert is_same_leg(alice, bob)


async def test_who_has_lost_the_network_comes_back_by_to_device(focus: RunningFocus) -> None:
    async with focus.call("alice", "bob") as (alice, bob):
        await alice.join()
        await bob.join()
        await flows(alice, bob)
        alice.lose_network()
        assert port(alice) is None
        await falls_silent(bob, alice)
        await alice.restart_ice(by_to_device=True)
        await flows(alice, bob)
        assert is_same_leg(alice, bob)


async def test_nothing_restarts_without_a_leg(focus: RunningFocus) -> None:
    async with focus.call("alice") as (alice,):
        with pytest.raises(TransportFailedError, match="no leg"):
            await alice.restart_ice()
