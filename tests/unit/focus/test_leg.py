from __future__ import annotations

import dataclasses

from sfu.units import Instant, TransportId, after_s
from signalling.focus.channel import OpenChannel
from signalling.focus.leg import (
    Admitted,
    Awaited,
    CallKey,
    Connected,
    Connecting,
    Dialled,
    Identity,
    Leg,
    LegKey,
    Way,
)
from signalling.focus.ordering import Ordering
from signalling.focus.settings import CallSettings
from signalling.focus.turn import MessageReceived
from tests.unit.focus.stage import Stage

NOW = Instant(11)


def new_leg() -> Leg:
    return Leg(
        key=LegKey(CallKey("!r:x", "conf"), "@a:x", "A"),
        dialled=Dialled("@a:x", "A", "conf", "call"),
        session_id="s",
        transport=TransportId(1),
        standing=Awaited(after_s(NOW, 10)),
        connection=Connecting(after_s(NOW, 60)),
        ordering=Ordering(5.0),
    )


def test_every_message_takes_the_next_number_and_names_both_ends() -> None:
    """CAP: without `device_id` a client discards a message and shows a lasting banner."""
    leg = new_leg()
    envelopes = [leg.envelope(Identity("@focus:x", "F")) for _ in range(3)]
    assert [one.seq for one in envelopes] == [0, 1, 2]
    assert {one.sender_session_id for one in envelopes} == {"sfu"}
    assert {one.dest_session_id for one in envelopes} == {"s"}
    assert {(one.party_id, one.device_id) for one in envelopes} == {("F", "F")}


def test_a_dial_is_whose_it_is_and_what_its_messages_say() -> None:
    alice = Stage().client("alice")
    invite = alice.invite()
    given = MessageReceived("@eve:x", invite)
    assert Dialled.by(given) == Dialled("@eve:x", "ALICE", alice.conf_id, alice.call_id)


def test_an_offer_goes_by_to_device_while_there_is_no_channel() -> None:
    leg = new_leg()
    assert [leg.way_of_offer("a") for _ in range(3)] == [Way.TO_DEVICE] * 3


def test_an_offer_goes_as_the_client_negotiates_and_its_repeats_take_turns() -> None:
    leg = new_leg()
    leg.channel = OpenChannel(NOW, 0, CallSettings())
    assert [leg.way_of_offer("a") for _ in range(3)] == [Way.CHANNEL, Way.TO_DEVICE, Way.CHANNEL]
    assert leg.way_of_offer("b") is Way.CHANNEL
    leg.negotiates_by = Way.TO_DEVICE
    assert [leg.way_of_offer("c") for _ in range(3)] == [Way.TO_DEVICE, Way.CHANNEL, Way.TO_DEVICE]


def test_a_leg_is_due_when_the_first_of_its_parts_is() -> None:
    leg = new_leg()
    assert leg.next_timeout() == after_s(NOW, 10)
    leg.standing = Admitted(after_s(NOW, 3_600))
    assert leg.next_timeout() == after_s(NOW, 60)
    leg.connection = Connected()
    assert leg.next_timeout() == after_s(NOW, 3_600)
    leg.channel = OpenChannel(NOW, 0, CallSettings(ping_interval_s=20.0))
    assert leg.next_timeout() == after_s(NOW, 20)
    leg.ordering.push(NOW, 7, MessageReceived("@a:x", Stage().client("alice").invite()))
    assert leg.next_timeout() == after_s(NOW, 5)


def test_keys_can_be_looked_up() -> None:
    one, other = new_leg(), new_leg()
    assert {one.key: 1}[other.key] == 1
    assert dataclasses.replace(one.key, device_id="B") != one.key
