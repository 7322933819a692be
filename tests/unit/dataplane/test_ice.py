from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sfu.dataplane.ice import MAX_ADDRESSES, MAX_REFUSALS_PER_S, CheckResult, LiteAgent
from sfu.dataplane.stun import BINDING, Attribute, ErrorCode, MessageClass, StunMessage
from sfu.errors import LocalError
from sfu.plane import Credentials, DropReason
from sfu.units import Instant, TransportId, after_ms, after_s
from tests.support.plane_driver import START, binding_request

if TYPE_CHECKING:
    from sfu.dataplane.wire import Address

CONSENT_S = 30.0
ONE, TWO = TransportId(1), TransportId(2)
FIRST = Credentials("fragment-1", "password-of-the-first")
SECOND = Credentials("fragment-2", "password-of-the-second")
THIRD = Credentials("fragment-3", "password-of-the-third")
HERE, THERE = ("192.0.2.1", 1_000), ("198.51.100.7", 2_000)


@pytest.fixture
def agent() -> LiteAgent:
    agent = LiteAgent(CONSENT_S)
    agent.add(ONE, FIRST)
    return agent


def checked(
    agent: LiteAgent,
    address: Address = HERE,
    credentials: Credentials = FIRST,
    now: Instant = START,
    *,
    nominate: bool = True,
) -> CheckResult:
    return agent.handle(now, address, binding_request(credentials, nominate=nominate))


def code_of(result: CheckResult) -> int | None:
    assert result.answer is not None
    value = StunMessage.parse(result.answer).attribute(Attribute.ERROR_CODE)
    return None if value is None else value[2] * 100 + value[3]


def test_a_check_binds_its_address_and_a_nomination_selects_it(agent: LiteAgent) -> None:
    result = checked(agent, nominate=False)
    assert result.drop is None
    assert result.selected is None
    assert agent.transport_of(HERE) == ONE
    assert agent.selected(ONE) is None
    assert checked(agent).selected == ONE
    assert agent.selected(ONE) == HERE
    assert checked(agent).selected is None
    assert result.answer is not None
    assert StunMessage.parse(result.answer).is_signed_with(FIRST.password)


@pytest.mark.parametrize(
    "credentials", [Credentials(FIRST.ufrag, "guessed"), Credentials("unknown", FIRST.password)]
)
def test_who_does_not_know_the_password_binds_nothing(agent: LiteAgent, credentials: Credentials) -> None:
    result = checked(agent, credentials=credentials)
    assert code_of(result) == ErrorCode.UNAUTHENTICATED
    assert result.drop is DropReason.STUN_UNAUTHENTICATED
    assert agent.transport_of(HERE) is None
    assert agent.next_timeout() is None
    assert result.answer is not None
    assert StunMessage.parse(result.answer).signature is None


@pytest.mark.parametrize("attributes", [(), ((Attribute.USERNAME, b"fragment-1:x"),)])
def test_an_unsigned_check_is_a_bad_request(
    agent: LiteAgent, attributes: tuple[tuple[int, bytes], ...]
) -> None:
    data = StunMessage(MessageClass.REQUEST, BINDING, b"transaction!", attributes).serialise()
    assert code_of(agent.handle(START, HERE, data)) == ErrorCode.BAD_REQUEST
    assert agent.transport_of(HERE) is None


def test_a_controlled_peer_is_told_that_roles_conflict(agent: LiteAgent) -> None:
    data = binding_request(FIRST, more=((Attribute.ICE_CONTROLLED, bytes(8)),))
    result = agent.handle(START, HERE, data)
    assert code_of(result) == ErrorCode.ROLE_CONFLICT
    assert result.drop is DropReason.STUN_ROLE_CONFLICT
    assert agent.transport_of(HERE) is None
    assert result.answer is not None
    assert StunMessage.parse(result.answer).is_signed_with(FIRST.password)


def test_a_username_that_is_no_text_is_nobodys(agent: LiteAgent) -> None:
    data = StunMessage(
        MessageClass.REQUEST, BINDING, b"transaction!", ((Attribute.USERNAME, b"\xff\xfe:\x00"),)
    ).serialise(FIRST.password)
    assert code_of(agent.handle(START, HERE, data)) == ErrorCode.UNAUTHENTICATED


@pytest.mark.parametrize("message_class", [MessageClass.SUCCESS, MessageClass.ERROR])
def test_answers_are_for_nobody(agent: LiteAgent, message_class: MessageClass) -> None:
    data = StunMessage(message_class, BINDING, b"transaction!").serialise()
    assert agent.handle(START, HERE, data) == CheckResult(drop=DropReason.UNKNOWN_PEER)


def test_keepalives_of_a_bound_address_are_taken_in_silence(agent: LiteAgent) -> None:
    data = StunMessage(MessageClass.INDICATION, BINDING, b"transaction!").serialise()
    assert agent.handle(START, HERE, data) == CheckResult(drop=DropReason.UNKNOWN_PEER)
    checked(agent)
    assert agent.handle(START, HERE, data) == CheckResult()


def test_garbage_is_malformed(agent: LiteAgent) -> None:
    assert agent.handle(START, HERE, b"\x00" * 30) == CheckResult(drop=DropReason.STUN_MALFORMED)


def test_the_unauthenticated_get_a_limited_number_of_answers(agent: LiteAgent) -> None:
    unknown = Credentials("unknown", "password")
    results = [checked(agent, credentials=unknown) for _ in range(MAX_REFUSALS_PER_S + 10)]
    assert sum(result.answer is not None for result in results) == MAX_REFUSALS_PER_S
    assert results[-1] == CheckResult(drop=DropReason.STUN_RATE)
    # Those who do know their password are not in it.
    assert checked(agent).drop is None
    later = after_ms(START, 101)
    results = [checked(agent, credentials=unknown, now=later) for _ in range(MAX_REFUSALS_PER_S)]
    assert sum(result.answer is not None for result in results) == MAX_REFUSALS_PER_S // 10


def test_a_peer_that_checks_from_elsewhere_has_moved(agent: LiteAgent) -> None:
    checked(agent)
    assert checked(agent, THERE).selected == ONE
    assert agent.selected(ONE) == THERE
    assert agent.transport_of(HERE) == ONE


def test_a_restart_takes_both_until_a_check_with_the_new_ones(agent: LiteAgent) -> None:
    checked(agent)
    agent.restart(ONE, SECOND)
    assert checked(agent).drop is None
    assert checked(agent, THERE, SECOND).selected == ONE
    assert agent.selected(ONE) == THERE
    assert checked(agent).drop is DropReason.STUN_UNAUTHENTICATED
    assert checked(agent, THERE, SECOND).drop is None


def test_a_restart_on_the_same_address_is_a_nomination_anew(agent: LiteAgent) -> None:
    checked(agent)
    agent.restart(ONE, SECOND)
    assert checked(agent, HERE, SECOND).selected == ONE


def test_a_restart_that_came_to_nothing_is_replaced_by_the_next(agent: LiteAgent) -> None:
    checked(agent)
    agent.restart(ONE, SECOND)
    agent.restart(ONE, SECOND)
    agent.restart(ONE, THIRD)
    assert checked(agent, HERE, SECOND).drop is DropReason.STUN_UNAUTHENTICATED
    assert checked(agent).drop is None
    assert checked(agent, HERE, THIRD).drop is None


def test_a_fragment_is_never_given_twice(agent: LiteAgent) -> None:
    with pytest.raises(LocalError, match="is taken"):
        agent.add(TWO, FIRST)
    agent.add(TWO, SECOND)
    with pytest.raises(LocalError, match="is taken"):
        agent.restart(ONE, SECOND)


def test_an_address_passes_to_who_proves_that_it_is_theirs_now(agent: LiteAgent) -> None:
    agent.add(TWO, SECOND)
    checked(agent)
    checked(agent, HERE, SECOND)
    assert agent.transport_of(HERE) == TWO
    assert agent.selected(ONE) is None
    assert agent.selected(TWO) == HERE


def test_a_connection_that_has_ended_is_no_address_any_more(agent: LiteAgent) -> None:
    connection = (*HERE, 7)
    checked(agent)
    checked(agent, connection)
    assert agent.selected(ONE) == connection
    agent.forget(connection)
    assert (agent.selected(ONE), agent.transport_of(connection)) == (None, None)
    assert agent.reachable(ONE) == HERE
    agent.forget(connection)


def test_addresses_of_one_peer_are_bounded_and_the_selected_stays(agent: LiteAgent) -> None:
    checked(agent)
    for port in range(1, 50):
        checked(agent, ("192.0.2.9", port), nominate=False)
    bound = [port for port in range(1, 50) if agent.transport_of(("192.0.2.9", port)) == ONE]
    assert bound == list(range(50 - MAX_ADDRESSES + 1, 50))
    assert agent.selected(ONE) == HERE


def test_a_silent_peer_loses_consent_and_gets_it_back_by_a_check(agent: LiteAgent) -> None:
    checked(agent)
    later = after_s(START, 20)
    checked(agent, now=later, nominate=False)
    end = after_s(later, CONSENT_S)
    assert agent.next_timeout() == end
    assert agent.poll(Instant(end - 1)) == []
    assert agent.poll(end) == [ONE]
    assert agent.poll(end) == []
    assert agent.next_timeout() is None
    assert agent.selected(ONE) is None
    assert agent.transport_of(HERE) is None
    assert checked(agent, now=end).selected == ONE


def test_a_peer_that_never_checked_is_not_waited_for(agent: LiteAgent) -> None:
    assert agent.next_timeout() is None
    assert agent.poll(after_s(START, 1_000)) == []


def test_a_peer_that_is_removed_is_unknown(agent: LiteAgent) -> None:
    checked(agent)
    agent.restart(ONE, SECOND)
    agent.remove(ONE)
    assert agent.transport_of(HERE) is None
    for credentials in (FIRST, SECOND):
        assert checked(agent, credentials=credentials).drop is DropReason.STUN_UNAUTHENTICATED
    agent.add(ONE, FIRST)
    assert checked(agent).selected == ONE


def test_an_answer_is_for_who_asked_and_over_udp_alone(agent: LiteAgent) -> None:
    agent.ask(ONE, HERE, binding_request(SECOND))
    answer = StunMessage(MessageClass.SUCCESS, BINDING, b"transaction!").serialise()
    assert agent.handle(START, (*HERE, 7), answer) == CheckResult(drop=DropReason.UNKNOWN_PEER)
    assert agent.handle(START, HERE, answer) == CheckResult(asked_by=ONE)
    assert agent.handle(START, HERE, answer) == CheckResult(drop=DropReason.UNKNOWN_PEER)
    assert agent.transport_of(HERE) is None
    assert agent.next_timeout() is None


def test_an_address_that_we_have_checked_is_selected_and_asks_for_no_consent(agent: LiteAgent) -> None:
    assert agent.select(ONE, HERE)
    assert not agent.select(ONE, HERE)
    assert (agent.selected(ONE), agent.transport_of(HERE)) == (HERE, ONE)
    assert agent.select(ONE, THERE)
    assert (agent.selected(ONE), agent.transport_of(HERE)) == (THERE, ONE)
    assert agent.next_timeout() is None
