"""Nobody gets in who should not: no media to them, none from them, and nobody is told of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from loadtest.client.participant import JoinFailedError
from loadtest.client.scene import AUDIO, VIDEO
from loadtest.client.signalling import MatrixClient
from loadtest.client.terms import RuleBreaks
from sfu.units import Kind
from signalling.events.to_device import INVITE, REJECT, Envelope, Invite
from tests.e2e.venue import open_venue, write_call
from tests.e2e.watching import (
    all_receive,
    both_ways,
    falls_silent,
    forgets,
    is_clean,
    knows,
    media_packets,
    receives,
    secluded,
    undisturbed,
    until,
    until_told,
)
from tests.support.homeserver import account, join

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from loadtest.client.participant import Participant
    from loadtest.client.signalling import ToDeviceEvent
    from loadtest.homeserver.server import Homeserver
    from loadtest.homeserver.users import User
    from tests.e2e.venue import Call, Venue

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

GRACE_S = 6.0
SKEW_S = 1.0
DEAF = RuleBreaks(obey_hangups=False)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def venue(homeserver: Homeserver, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    calls = {"member_grace_s": GRACE_S, "clock_skew_s": SKEW_S}
    async with open_venue(homeserver, tmp_path_factory.mktemp("focus"), calls=calls) as venue:
        yield venue


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def meeting(venue: Venue) -> AsyncIterator[Call]:
    """The call that nobody gets into, with two who stay."""
    async with venue.call() as call:
        await call.join("alice", "bob")
        yield call


async def next_message_to(user: User) -> ToDeviceEvent:
    """What the focus sends to a device that no participant uses."""
    async with asyncio.timeout(20), MatrixClient(account(user)) as client:
        async for event in client.sync():
            return event
    raise AssertionError("no message")


async def hung_up(one: Participant, reason: str) -> None:
    """Wait for the focus's word."""
    await until(lambda: one.observations.hangups == [reason], f"{one.party} is hung up: {reason}")


async def rejections(venue: Venue, reason: str) -> float:
    return await venue.admin.counted("focus_invites_refused_total", reason=reason)


def rejection_lines(venue: Venue, reason: str) -> int:
    return sum(line["reason"] == reason for line in venue.admin.log("invite_rejected"))


# --- never in the call ------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_focus", [False, True], ids=["unknown_room", "other_room_of_the_focus"])
async def test_who_is_not_in_the_room_is_rejected(venue: Venue, meeting: Call, *, with_focus: bool) -> None:
    async with meeting.with_guests() as call:
        alice, bob = meeting.people
        counted, logged = await rejections(venue, "not_in_call"), rejection_lines(venue, "not_in_call")
        user = await venue.user("mallory")
        own_room = await venue.room(user, with_focus=with_focus)
        mallory = await call.enter(user, room_id=own_room, invites_focus=False)
        async with secluded((alice, bob), mallory):
            with pytest.raises(JoinFailedError, match="rejected"):
                await mallory.join()
        assert mallory.observations.rejects == ["not_in_call"]
        assert await rejections(venue, "not_in_call") == counted + 1
        assert rejection_lines(venue, "not_in_call") == logged + 1
        assert (await call.members()).keys() == {alice.party.user_id, bob.party.user_id}


async def test_the_same_conf_id_in_another_room_is_another_call(venue: Venue, meeting: Call) -> None:
    async with meeting.with_guests() as call:
        alice, bob = meeting.people
        user = await venue.user("mallory")
        own_room = await venue.room(user, with_focus=True)
        await write_call(user, own_room, call.conf_id)
        mallory = await call.enter(user, room_id=own_room)
        async with secluded((alice, bob), mallory):
            await mallory.join()
        (accomplice,) = await call.join("trudy", room_id=own_room)
        await all_receive((mallory, accomplice))
        assert mallory.observations.announced.keys() == {accomplice.party}
        assert alice.observations.announced.keys() == {bob.party}
        assert (await call.members()).keys() == {alice.party.user_id, bob.party.user_id}


async def is_let_wait_in_vain(intruder: Participant) -> None:
    """Join, as far as that goes: answered and connected, for want of nothing but the member event."""
    await intruder.join()
    await hung_up(intruder, "unknown_error")


async def test_what_member_events_do_not_name_is_ended_after_the_grace(meeting: Call) -> None:
    breaks = {
        "nothing": RuleBreaks(member_event=False),
        "device": RuleBreaks(member_device_id="OTHER"),
        "session": RuleBreaks(member_session_id="other"),
        "expired": RuleBreaks(member_lifetime_ms=-60_000),
    }
    async with meeting.with_guests() as call:
        alice, bob = meeting.people
        intruders = [await call.enter(name, breaks=how) for name, how in breaks.items()]
        async with secluded((alice, bob), *intruders), asyncio.TaskGroup() as group:
            for one in intruders:
                group.create_task(is_let_wait_in_vain(one))
        assert (await call.members()).keys() == {alice.party.user_id, bob.party.user_id}


async def test_nothing_flows_before_the_member_event_comes(meeting: Call) -> None:
    async with meeting.with_guests() as call:
        alice, bob = meeting.people
        late = await call.enter("late", breaks=RuleBreaks(member_event=False))
        async with secluded((alice, bob), late):
            await late.join()
            assert not (await call.members())[late.party.user_id]["admitted"]
        await put_member(call, late, lifetime_ms=3_600_000)
        await all_receive((alice, bob, late))
        is_clean(alice, bob, late)


async def put_member(call: Call, one: Participant, lifetime_ms: int) -> None:
    """Write somebody's member event."""
    await one.room.put_member(
        one.party,
        session_id=one.session_id,
        conf_id=call.conf_id,
        focus=call.venue.device,
        lifetime_ms=lifetime_ms,
        purposes=("m.usermedia",),
    )


# --- no longer in the call --------------------------------------------------------------------------------


async def test_who_is_kicked_receives_nothing_any_more(venue: Venue) -> None:
    async with venue.call() as call:
        alice, bob = await call.join("alice", "bob")
        (mallory,) = await call.join("mallory", breaks=DEAF)
        await all_receive((alice, bob, mallory))
        async with undisturbed(*both_ways(alice, bob)):
            await call.kick(mallory.party.user_id)
            await hung_up(mallory, "user_hangup")
            await falls_silent(mallory, alice, bob)
            await forgets(alice, mallory)
            with pytest.raises(JoinFailedError, match="not_in_call"):
                await mallory.redial()
        assert media_packets(mallory) == 0
        assert (await call.members()).keys() == {alice.party.user_id, bob.party.user_id}


async def test_who_leaves_the_room_receives_nothing_any_more(venue: Venue) -> None:
    async with venue.call() as call:
        alice, bob = await call.join("alice", "bob")
        (mallory,) = await call.join("mallory", breaks=DEAF)
        await all_receive((alice, bob, mallory))
        async with undisturbed(*both_ways(alice, bob)):
            await mallory.room.leave()
            await hung_up(mallory, "user_hangup")
            await falls_silent(mallory, alice, bob)
            await forgets(alice, mallory)
            with pytest.raises(JoinFailedError, match="not_in_call"):
                await mallory.redial()
        assert media_packets(mallory) == 0


async def test_whose_member_event_expires_receives_nothing_any_more(venue: Venue) -> None:
    async with venue.call() as call:
        alice, bob = await call.join("alice", "bob")
        (mallory,) = await call.join("mallory", breaks=DEAF)
        await all_receive((alice, bob, mallory))
        async with undisturbed(*both_ways(alice, bob)):
            await put_member(call, mallory, lifetime_ms=2_000)
            await hung_up(mallory, "user_hangup")
            await falls_silent(mallory, alice, bob)
            await forgets(alice, mallory)


async def test_a_call_that_is_terminated_is_over_for_everybody(venue: Venue) -> None:
    async with venue.call() as call:
        alice, bob = await call.join("alice", "bob", breaks=DEAF)
        await all_receive((alice, bob))
        await call.terminate()
        for one in (alice, bob):
            await hung_up(one, "user_hangup")
        async with venue.call() as other:
            carol, dave = await other.join("carol", "dave")
            await falls_silent(alice, carol, dave)
            with pytest.raises(JoinFailedError, match="not_in_call"):
                await alice.redial()
        assert media_packets(alice) == 0
        assert await call.members() == {}


# --- replays and forgeries --------------------------------------------------------------------------------


class Tap:
    """Takes down the offer of an invite, for somebody to send it again."""

    def __init__(self) -> None:
        self.descriptions: list[str] = []

    def breaks(self) -> RuleBreaks:
        return RuleBreaks(mangle_sdp=self._note)

    def invite_of(self, one: Participant) -> dict[str, Any]:
        """The invite of a participant's newest leg."""
        assert one.leg is not None
        terms = one.leg.terms
        envelope = Envelope(
            call_id=one.leg.call_id,
            party_id=terms.party.device_id,
            conf_id=terms.conf_id,
            device_id=terms.party.device_id,
            sender_session_id=terms.session_id,
            dest_session_id="sfu",
            seq=0,
        )
        return dict(Invite(envelope, self.descriptions[0], invitee=terms.focus.user_id).content())

    def _note(self, sdp: str) -> str:
        self.descriptions.append(sdp)
        return sdp


async def test_an_invite_that_is_sent_again_after_its_hangup_is_not_answered(venue: Venue) -> None:
    tap = Tap()
    async with venue.call() as call:
        alice, carol = await call.join("alice", "carol")
        (bob,) = await call.join("bob", breaks=tap.breaks())
        await all_receive((alice, bob, carol))
        assert bob.leg is not None
        await bob.leg.hang_up()  # and leaves the member event as it is
        await forgets(alice, bob)
        refused = await refused_invites(venue, "ended")
        async with undisturbed(*both_ways(alice, carol)):
            await bob.send_raw(INVITE, tap.invite_of(bob))

            async def is_refused() -> bool:
                return await refused_invites(venue, "ended") == refused + 1

            await until_told(is_refused, "the invite is refused")
        assert bob.party.user_id not in await call.members()
        assert not knows(alice, bob)


@pytest.mark.parametrize("in_room", [False, True], ids=["by_a_stranger", "by_a_guest_of_the_room"])
async def test_an_invite_of_somebody_else_opens_no_way_in(venue: Venue, *, in_room: bool) -> None:
    tap = Tap()
    async with venue.call() as call:
        (alice,) = await call.join("alice", breaks=tap.breaks())
        (bob,) = await call.join("bob")
        assert alice.leg is not None
        user = await venue.user("mallory")
        thief = await asyncio.to_thread(
            venue.homeserver.login, user.user_id[1:].split(":")[0], alice.party.device_id
        )
        if in_room:
            await asyncio.to_thread(join, user, call.room_id)
        ended = await venue.admin.counted("focus_leaves_total", reason="not_announced")

        async def is_ended() -> bool:
            member = (await call.members()).get(user.user_id)
            if member is not None:
                assert not member["admitted"]
                assert member["subscriptions"] == []
            return await venue.admin.counted("focus_leaves_total", reason="not_announced") == ended + 1

        async with undisturbed(*both_ways(alice, bob)):
            await venue.send(thief, INVITE, tap.invite_of(alice))
            if in_room:
                await until_told(is_ended, "mallory's leg has been ended")
            else:
                event = await next_message_to(thief)
                assert (event.type, event.content["reason"]) == (REJECT, "not_in_call")
        assert alice.observations.legs == 1
        assert not alice.leg.ended.is_set()
        assert user.user_id not in {party.user_id for party, _ in bob.observations.tracks}


async def test_nobody_passes_for_somebody_else(venue: Venue) -> None:
    async with venue.call() as call:
        alice, bob = await call.join("alice", "bob")
        (mallory,) = await call.join("mallory", breaks=RuleBreaks(metadata_owner=alice.party))
        await all_receive((alice, bob, mallory))
        # Judged by whose pictures arrive under whose name.
        is_clean(alice, bob, mallory)
        assert knows(bob, mallory) == {AUDIO, VIDEO}
        assert knows(bob, alice) == {AUDIO, VIDEO}
        await mallory.set_muted(Kind.AUDIO, muted=True)
        await until(lambda: bob.observations.track(mallory.party, AUDIO).is_muted, "mallory is muted")
        assert not bob.observations.track(alice.party, AUDIO).is_muted
        await receives(bob, alice)


async def refused_invites(venue: Venue, outcome: str) -> float:
    return await venue.admin.counted("focus_signalling_messages_total", type=INVITE, outcome=outcome)
