"""The native swarm: alone, and in a call of the focus as shipped."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import TYPE_CHECKING

import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription, rtcdtlstransport

from loadtest.client import sdp
from loadtest.fleet.fleet import Fleet
from loadtest.fleet.member import FleetMember, MemberConfig, MemberError
from loadtest.fleet.native import load_swarm, swarm
from loadtest.fleet.schedule import bursts, captured, singles
from tests.support.eventually import eventually
from tests.support.focus_process import running_focus
from tests.support.homeserver import account, new_room, new_user

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from loadtest._swarm import Swarm
    from loadtest.fleet.reading import Reading
    from loadtest.fleet.schedule import Schedule
    from loadtest.homeserver.server import Homeserver
    from tests.support.focus_process import RunningFocus

pytestmark = pytest.mark.integration

FRAME = bursts(8, 1_100, 33.333)


def join_directly(publishers: Swarm, receivers: Swarm, schedule: Schedule) -> tuple[int, int]:
    """A publisher and a receiver without anybody between; their ids."""
    publisher, offer = publishers.add_publisher(schedule.frames, schedule.period_ms)
    receiver, _ = receivers.add_receiver()
    publishers.accept_answer(publisher, receivers.accept_offer(receiver, offer))
    return publisher, receiver


async def settled(fleet: Fleet, packets: int) -> Reading:
    """The counters once so many media packets have come."""
    await eventually(lambda: fleet.reading().packets_received >= packets)
    return fleet.reading()


# --- alone -----------------------------------------------------------------------------------------------


async def test_what_publishers_send_arrives_on_both_paths() -> None:
    with Fleet() as publishers, Fleet(full_share=0.5) as receivers:
        for _ in range(4):
            join_directly(publishers.swarm, receivers.swarm, FRAME)
        publishers.swarm.start_media()
        await settled(receivers, 4 * 8 * 30)
        publishers.swarm.stop_media()
        sent = publishers.reading().media_sent
        reading = await settled(receivers, sent)
    assert reading.packets_received == sent
    assert (reading.packets_lost, reading.breaks, reading.kernel_drops) == (0, 0, 0)
    assert (reading.full_receivers, reading.lean_receivers, reading.full_share) == (2, 2, 0.5)
    assert sorted(reading.participants["is_full"].tolist()) == [0, 0, 1, 1]
    # Every 8 packets are a frame, and the first of them asks for the key frame that all began with.
    assert (reading.streams["frames"] * 8 == reading.streams["packets_received"]).all()
    assert (reading.streams["key_frames"] >= 1).all()
    # The same machine's clock: no delay can be negative, and none was.
    assert reading.delays.sum() == sent
    median, longest = reading.delay_ms(0.5), reading.delay_max_ms
    assert median is not None
    assert longest is not None
    assert 0 < median <= longest


async def test_a_window_is_the_difference_of_two_readings() -> None:
    with Fleet() as publishers, Fleet() as receivers:
        join_directly(publishers.swarm, receivers.swarm, singles(200, 5.0))
        publishers.swarm.start_media()
        before = await settled(receivers, 20)
        after = await settled(receivers, before.packets_received + 20)
    window = after - before
    assert 20 <= window.packets_received < after.packets_received
    assert window.delays.sum() == window.packets_received
    assert window.participants["id"].tolist() == [0]
    assert 0 < window.cpu_s < after.cpu_s


async def test_captured_sizes_are_sent_as_they_are() -> None:
    schedule = captured()
    with Fleet() as publishers, Fleet() as receivers:
        join_directly(publishers.swarm, receivers.swarm, schedule)
        publishers.swarm.start_media()
        await settled(receivers, 60)
        publishers.swarm.stop_media()
        sent = publishers.reading().media_sent
        reading = await settled(receivers, sent)
    frames = int(reading.streams["frames"][0])
    expected = sum(sum(frame) for frame in schedule.frames[:frames])
    assert int(reading.streams["bytes_received"][0]) == expected


async def test_participants_tell_of_themselves_and_talk() -> None:
    with Fleet() as fleet:
        publisher, receiver = join_directly(fleet.swarm, fleet.swarm, FRAME)
        async with asyncio.timeout(20):
            for participant in (publisher, receiver):
                assert await fleet.inbox(participant).get() == ("connected", "")
                assert await fleet.inbox(participant).get() == ("channel_open", "datachannel")
            fleet.swarm.send_text(publisher, "hällo")
            assert await fleet.inbox(receiver).get() == ("text", "hällo")
            fleet.swarm.remove(publisher)
            kind, reason = await fleet.inbox(receiver).get()
        assert kind == "closed"
        assert reason


@pytest.mark.parametrize(
    ("profile", "is_full"), [(b"SRTP_AES128_CM_SHA1_80", 1), (b"SRTP_AEAD_AES_128_GCM", 0)]
)
async def test_a_profile_that_the_lean_path_does_not_read_is_left_to_str0m(
    profile: bytes, is_full: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    profiles = [known for known in rtcdtlstransport.SRTP_PROFILES if known.openssl_profile == profile]
    monkeypatch.setattr(rtcdtlstransport, "SRTP_PROFILES", profiles)
    peer = RTCPeerConnection()
    with Fleet(full_share=0) as fleet:
        receiver, offer = fleet.swarm.add_receiver()
        await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        fleet.swarm.accept_answer(receiver, peer.localDescription.sdp)
        await eventually(lambda: bool(fleet.reading().participants["is_open"].all()))
        reading = fleet.reading()
        await peer.close()
    assert reading.participants["is_full"].tolist() == [is_full]
    assert (reading.full_receivers, reading.lean_receivers) == (is_full, 1 - is_full)


def test_what_can_not_be_done_is_a_value_error() -> None:
    with swarm() as opened:
        receiver, offer = opened.add_receiver(audio=2, video=3)
        sections = sdp.parse(offer).sections
        assert [section.kind for section in sections] == ["audio"] * 2 + ["video"] * 3 + ["application"]
        with pytest.raises(ValueError, match="no participant 99"):
            opened.accept_answer(99, "v=0")
        with pytest.raises(ValueError, match="not open"):
            opened.send_text(receiver, "x")
        with pytest.raises(ValueError, match=r"(?i)sdp|expected|parse"):
            opened.accept_answer(receiver, "nonsense")
        with pytest.raises(ValueError, match="a payload of 20 bytes"):
            opened.add_publisher([[20]], 10.0)
        with pytest.raises(ValueError, match="at most 256"):
            opened.add_receiver(audio=257)
        opened.remove(receiver)
        with pytest.raises(ValueError, match="no participant"):
            opened.remove(receiver)
        opened.close()
        opened.close()
        with pytest.raises(ValueError, match="closed"):
            opened.stats()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"full_share": 1.5}, "full_share"),
        ({"tick_ms": 0.0}, "tick_ms"),
        ({"address": "::1"}, "IPv4"),
        ({"address": "192.0.2.1"}, "no socket"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint), swarm(**settings) as opened:  # type: ignore[arg-type]  # wrong on purpose
        opened.add_receiver()


def test_a_call_does_not_hold_the_interpreter() -> None:
    """A thread that waits for the swarm must not keep the others from running."""
    with swarm() as opened:
        for _ in range(40):
            opened.add_receiver(video=50)
        finished, turns = threading.Event(), 0

        def ask() -> None:
            for _ in range(200):
                opened.stats()
            finished.set()

        thread = threading.Thread(target=ask)
        thread.start()
        while not finished.is_set():
            turns += 1
            time.sleep(0)
        thread.join()
    assert turns > 1


def test_the_stub_names_what_the_module_has() -> None:
    module = load_swarm()
    assert module.PARTICIPANT_FIELDS[0] == "id"
    assert module.STREAM_FIELDS[:2] == ["participant", "ssrc"]
    assert sorted(module.DELAY_BOUNDS_NS) == module.DELAY_BOUNDS_NS
    assert module.MIN_PAYLOAD_BYTES < module.MAX_PAYLOAD_BYTES


# --- in a call of the focus ------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def call(
    focus: RunningFocus, fleet: Fleet, schedule: Schedule, viewers: int
) -> AsyncIterator[list[FleetMember]]:
    """A publisher and its viewers, all in the call."""
    users = [await asyncio.to_thread(new_user, focus.homeserver) for _ in range(viewers + 1)]
    room_id = await asyncio.to_thread(new_room, users[0])
    async with contextlib.AsyncExitStack() as stack:
        members = []
        for number, user in enumerate(users):
            config = MemberConfig(account(user), room_id, focus.device, schedule=None if number else schedule)
            members.append(await stack.enter_async_context(FleetMember(fleet, config)))
            await members[-1].join()
        yield members


MAX_WINDOWS = 40
"""Of a quarter of a second: by then first probes are long over."""


def spread_of(window: Reading) -> int:
    """By how many packets the stream that had most is ahead of the one that had least."""
    received = window.streams["packets_received"]
    return int(received.max() - received.min())


async def _window(fleet: Fleet) -> Reading:
    """What twenty receive of thirty frames."""
    before = fleet.reading()
    await eventually(lambda: (fleet.reading() - before).packets_received >= 20 * 8 * 30)
    return fleet.reading() - before


async def test_a_publisher_reaches_twenty_viewers_through_the_focus(
    homeserver: Homeserver, tmp_path: Path
) -> None:
    with Fleet() as fleet:
        async with running_focus(homeserver, tmp_path) as focus, call(focus, fleet, FRAME, 20) as members:
            fleet.swarm.start_media()
            await eventually(lambda: _all_receive(fleet, 20))
            window = await _window(fleet)
            for _ in range(MAX_WINDOWS):
                if spread_of(window) <= 3 * 8:
                    break
                window = await _window(fleet)
            assert [member.broken for member in members] == [[]] * 21
            await asyncio.gather(*(member.leave() for member in members))
            await focus.until(lambda status: status["calls"] == 0)
    assert (window.packets_lost, window.breaks, window.kernel_drops) == (0, 0, 0)
    assert int(window.participants["unreadable"].sum()) == 0
    assert (window.full_receivers, window.lean_receivers) == (2, 18)
    assert window.delays.sum() == window.packets_received
    # Each has the same to a frame or two, whichever path it takes.
    received = window.streams["packets_received"]
    assert received.max() - received.min() <= 3 * 8


async def test_a_member_whom_the_focus_refuses_is_told(homeserver: Homeserver, tmp_path: Path) -> None:
    limit = {"limits": {"legs_per_call": 2}}
    with Fleet() as fleet:
        async with (
            running_focus(homeserver, tmp_path, limit) as focus,
            call(focus, fleet, FRAME, 1) as members,
        ):
            user = await asyncio.to_thread(new_user, homeserver)
            config = MemberConfig(account(user), members[0].config.room_id, focus.device)
            async with FleetMember(fleet, config) as third:
                with pytest.raises(MemberError, match=r"m\.call\.reject: too_many_in_call"):
                    await third.join()


def _all_receive(fleet: Fleet, viewers: int) -> bool:
    streams = fleet.reading().streams
    return len(streams) == viewers and bool((streams["key_frames"] > 0).all())
