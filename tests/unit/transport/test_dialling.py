from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.dataplane.ice import LiteAgent
from sfu.dataplane.stun import (
    BINDING,
    Attribute,
    ErrorCode,
    MessageClass,
    StunMessage,
    error,
    success,
)
from sfu.errors import LocalError
from sfu.plane import Credentials
from sfu.transport.dialling import (
    CONSENT_CHECK_S,
    CONSENT_CHECKS,
    CONSENT_JITTER,
    MAX_ADDRESSES,
    SPACING_MS,
    UNREACHABLE_S,
    DialFailed,
    DialFailure,
    Dialler,
    DialOutput,
    DialStats,
    Selected,
    SendCheck,
)
from sfu.units import NS_PER_S, Instant, TransportId, after_ms, after_s

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sfu.dataplane.wire import UdpAddress

START = Instant(1_000 * NS_PER_S)
OURS = Credentials("ourfragment", "our-password-of-22-chars")
THEIRS = Credentials("theirfragment", "their-password-of-22-chars")
HERE = ("192.0.2.1", 40_000)
FAR = ("198.51.100.7", 10_000)
OTHER = ("2001:db8::7", 10_000)
CONSENT_S = 30.0


def dialler(*addresses: UdpAddress, consent_timeout_s: float = CONSENT_S, seed: int = 1) -> Dialler:
    return Dialler(START, OURS, THEIRS, addresses, random.Random(seed), consent_timeout_s)


def checks_of(outputs: Sequence[DialOutput]) -> list[SendCheck]:
    return [one for one in outputs if isinstance(one, SendCheck)]


def answer_to(check: SendCheck, password: str = THEIRS.password) -> bytes:
    return success(StunMessage.parse(check.data), HERE, password)


def nominates(check: SendCheck) -> bool:
    return StunMessage.parse(check.data).attribute(Attribute.USE_CANDIDATE) is not None


def until_over(one: Dialler) -> tuple[list[tuple[Instant, SendCheck]], Instant, DialOutput]:
    """Let time pass with nobody there; the checks, and when and how it ended."""
    sent: list[tuple[Instant, SendCheck]] = []
    while (now := one.next_timeout()) is not None:
        for output in one.poll(now):
            if isinstance(output, SendCheck):
                sent.append((now, output))
            else:
                return sent, now, output
    raise AssertionError("over without a word")


def selected(one: Dialler, address: UdpAddress = FAR, now: Instant = START) -> None:
    """Let the far side answer at an address until it is selected."""
    (check,) = [check for check in checks_of(one.poll(now)) if check.address == address]
    (nomination,) = checks_of(one.response(now, address, answer_to(check)))
    assert one.response(now, address, answer_to(nomination)) == [Selected(address)]


# --- checks -----------------------------------------------------------------------------------------------


def test_a_check_says_what_the_controlling_side_must_say() -> None:
    (check,) = checks_of(dialler(FAR).poll(START))
    request = StunMessage.parse(check.data)
    assert check.address == FAR
    assert (request.message_class, request.method) == (MessageClass.REQUEST, BINDING)
    assert request.attribute(Attribute.USERNAME) == b"theirfragment:ourfragment"
    assert request.is_signed_with(THEIRS.password)
    tie_breaker = request.attribute(Attribute.ICE_CONTROLLING)
    assert tie_breaker is not None
    assert len(tie_breaker) == 8
    priority = int.from_bytes(request.attribute(Attribute.PRIORITY) or b"", "big")
    assert priority == 110 * 2**24 + 65_535 * 2**8 + 255
    assert request.attribute(Attribute.ICE_CONTROLLED) is None
    assert check.data[-8:-4] == bytes.fromhex("80280004"), "a fingerprint ends it"


def test_only_a_nomination_says_use_candidate() -> None:
    one = dialler(FAR)
    (check,) = checks_of(one.poll(START))
    (nomination,) = checks_of(one.response(START, FAR, answer_to(check)))
    assert (nominates(check), nominates(nomination)) == (False, True)
    assert nomination.address == FAR


def test_first_checks_to_several_addresses_are_spaced() -> None:
    one = dialler(FAR, OTHER, HERE)
    seen: list[tuple[Instant, UdpAddress]] = []
    for _ in range(3):
        now = one.next_timeout()
        assert now is not None
        seen += [(now, check.address) for check in checks_of(one.poll(now))]
    assert seen == [
        (START, FAR),
        (after_ms(START, SPACING_MS), OTHER),
        (after_ms(START, 2 * SPACING_MS), HERE),
    ]


def test_a_check_is_sent_again_after_twice_as_long_up_to_eight_seconds_until_it_is_given_up() -> None:
    one = dialler(FAR)
    sent, ended_at, ending = until_over(one)
    assert [(at - START) / NS_PER_S for at, _ in sent] == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 23.5]
    assert len({check.data for _, check in sent}) == 1, "one transaction"
    assert ended_at == after_s(START, UNREACHABLE_S)
    assert ending == DialFailed(DialFailure.UNREACHABLE)
    assert one.next_timeout() is None
    assert one.poll(after_s(ended_at, 100)) == []
    assert one.stats() == DialStats(checks=7, disbelieved=0)


def test_nothing_is_due_before_its_time() -> None:
    one = dialler(FAR)
    one.poll(START)
    assert one.poll(after_ms(START, 499)) == []
    assert len(checks_of(one.poll(after_ms(START, 500)))) == 1


def test_a_far_side_without_an_address_is_unreachable_at_once() -> None:
    one = dialler()
    assert one.next_timeout() == START
    assert one.poll(START) == [DialFailed(DialFailure.UNREACHABLE)]


def test_no_more_than_the_first_addresses_are_tried_and_each_once() -> None:
    many = [(f"192.0.2.{number}", 10_000) for number in range(1, 40)]
    one = dialler(*many[:2], *many)
    sent, _, _ = until_over(one)
    assert {check.address for _, check in sent} == set(many[:MAX_ADDRESSES])
    assert len({check.data for _, check in sent}) == MAX_ADDRESSES


def test_addresses_are_spelled_as_the_plane_spells_them() -> None:
    one = dialler(("2001:DB8:0::7", 1), ("::ffff:192.0.2.9", 2), ("2001:db8::7", 1))
    sent, _, _ = until_over(one)
    assert {check.address for _, check in sent} == {("2001:db8::7", 1), ("192.0.2.9", 2)}


def test_a_name_is_no_address() -> None:
    with pytest.raises(LocalError):
        dialler(("focus.example.org", 10_000))


def test_the_address_that_answers_first_is_nominated_and_the_others_are_left_alone() -> None:
    one = dialler(FAR, OTHER)
    one.poll(START)
    now = after_ms(START, SPACING_MS)
    (check,) = checks_of(one.poll(now))
    assert check.address == OTHER
    (nomination,) = checks_of(one.response(now, OTHER, answer_to(check)))
    sent, ended_at, ending = until_over(one)
    assert {again.data for _, again in sent} == {nomination.data}
    assert (ended_at, ending) == (after_s(START, UNREACHABLE_S), DialFailed(DialFailure.UNREACHABLE))


def test_a_nomination_that_is_answered_selects_its_address() -> None:
    one = dialler(FAR, OTHER)
    selected(one)


# --- whom to believe --------------------------------------------------------------------------------------


def test_a_success_that_the_far_side_has_not_signed_is_none() -> None:
    one = dialler(FAR)
    (check,) = checks_of(one.poll(START))
    request = StunMessage.parse(check.data)
    unsigned = StunMessage(MessageClass.SUCCESS, BINDING, request.transaction_id).serialise()
    assert one.response(START, FAR, unsigned) == []
    assert one.response(START, FAR, answer_to(check, OURS.password)) == []
    assert one.stats().disbelieved == 2
    assert checks_of(one.response(START, FAR, answer_to(check))) != []


def test_what_comes_from_another_address_or_answers_nothing_of_ours_is_none() -> None:
    one = dialler(FAR)
    (check,) = checks_of(one.poll(START))
    assert one.response(START, OTHER, answer_to(check)) == []
    unknown = StunMessage(MessageClass.REQUEST, BINDING, bytes(12))
    assert one.response(START, FAR, success(unknown, HERE, THEIRS.password)) == []
    assert one.stats().disbelieved == 0


@pytest.mark.parametrize("code", list(ErrorCode))
def test_an_error_that_nobody_signed_changes_nothing(code: ErrorCode) -> None:
    one = dialler(FAR)
    (check,) = checks_of(one.poll(START))
    assert one.response(START, FAR, error(StunMessage.parse(check.data), code)) == []
    assert one.stats().disbelieved == 1
    assert one.next_timeout() == after_ms(START, 500)
    (again,) = checks_of(one.poll(after_ms(START, 500)))
    assert checks_of(one.response(START, FAR, answer_to(again))) != []


def test_a_far_side_that_signs_a_role_conflict_ends_the_dial() -> None:
    one = dialler(FAR)
    (check,) = checks_of(one.poll(START))
    refusal = error(StunMessage.parse(check.data), ErrorCode.ROLE_CONFLICT, THEIRS.password)
    assert one.response(START, FAR, refusal) == [DialFailed(DialFailure.ROLE_CONFLICT)]
    assert one.next_timeout() is None
    assert one.response(START, FAR, answer_to(check)) == []


def test_another_error_that_is_signed_is_counted_and_asked_again() -> None:
    one = dialler(FAR)
    (check,) = checks_of(one.poll(START))
    request = StunMessage.parse(check.data)
    assert one.response(START, FAR, error(request, ErrorCode.BAD_REQUEST, THEIRS.password)) == []
    codeless = StunMessage(MessageClass.ERROR, BINDING, request.transaction_id).serialise(THEIRS.password)
    assert one.response(START, FAR, codeless) == []
    assert one.stats().disbelieved == 2
    assert one.next_timeout() == after_ms(START, 500)


@given(data=st.binary(max_size=200))
def test_whatever_bytes_come_back_the_dial_goes_on(data: bytes) -> None:
    one = dialler(FAR)
    one.poll(START)
    assert one.response(START, FAR, data) == []
    assert one.next_timeout() == after_ms(START, 500)


# --- consent ----------------------------------------------------------------------------------------------


def consent_times(one: Dialler, count: int, answer: Callable[[int], bool]) -> list[Instant]:
    """When checks of consent were sent; those that `answer` names are answered at once."""
    times: list[Instant] = []
    for number in range(count):
        now = one.next_timeout()
        assert now is not None
        (check,) = checks_of(one.poll(now))
        assert nominates(check)
        times.append(now)
        if answer(number):
            assert one.response(now, FAR, answer_to(check)) == []
    return times


def test_consent_is_asked_for_each_five_seconds_more_or_less() -> None:
    one = dialler(FAR)
    selected(one)
    times = [START, *consent_times(one, 200, lambda _: True)]
    gaps = [(after - before) / NS_PER_S for before, after in itertools.pairwise(times)]
    least, most = (1 - CONSENT_JITTER) * CONSENT_CHECK_S, (1 + CONSENT_JITTER) * CONSENT_CHECK_S
    assert all(least <= gap <= most for gap in gaps)
    assert max(gaps) - min(gaps) > 1, "no two trunks keep step"
    assert sum(gaps) / len(gaps) == pytest.approx(CONSENT_CHECK_S, abs=0.3)


def test_each_check_of_consent_is_a_transaction_of_its_own() -> None:
    one = dialler(FAR)
    selected(one)
    sent, _, _ = until_over(one)
    assert len({StunMessage.parse(check.data).transaction_id for _, check in sent}) == len(sent) > 4
    assert {check.address for _, check in sent} == {FAR}


def test_consent_that_is_not_renewed_is_lost() -> None:
    one = dialler(FAR)
    selected(one)
    _, ended_at, ending = until_over(one)
    assert ended_at == after_s(START, CONSENT_S)
    assert ending == DialFailed(DialFailure.CONSENT_LOST)
    assert one.next_timeout() is None


def test_every_authentic_answer_renews_it_and_nothing_else_does() -> None:
    one = dialler(FAR)
    selected(one)
    (last,) = consent_times(one, 1, lambda _: True)
    now = one.next_timeout()
    assert now is not None
    (check,) = checks_of(one.poll(now))
    assert one.response(now, FAR, answer_to(check, OURS.password)) == []
    assert one.response(now, OTHER, answer_to(check)) == []
    assert one.response(now, FAR, error(StunMessage.parse(check.data), ErrorCode.UNAUTHENTICATED)) == []
    _, ended_at, _ = until_over(one)
    assert ended_at == after_s(last, CONSENT_S)


def test_an_answer_renews_consent_once() -> None:
    one = dialler(FAR)
    selected(one)
    now = one.next_timeout()
    assert now is not None
    (check,) = checks_of(one.poll(now))
    one.response(now, FAR, answer_to(check))
    assert one.response(after_s(now, 20), FAR, answer_to(check)) == []
    _, ended_at, _ = until_over(one)
    assert ended_at == after_s(now, CONSENT_S)


def test_a_short_timeout_is_asked_for_as_often_within_it() -> None:
    one = dialler(FAR, consent_timeout_s=3.0)
    selected(one)
    sent, ended_at, _ = until_over(one)
    assert ended_at == after_s(START, 3.0)
    assert CONSENT_CHECKS - 2 <= len(sent) <= CONSENT_CHECKS + 2


def test_one_answer_in_four_keeps_it_alive_and_nothing_grows() -> None:
    one = dialler(FAR)
    selected(one)
    consent_times(one, 400, lambda number: number % 4 == 0)
    assert one.next_timeout() is not None
    assert len(one._state.unanswered) < 4  # type: ignore[union-attr]  # it is consenting


class Path:
    """A far side at some addresses, of which some are alive."""

    def __init__(self, one: Dialler, *alive: UdpAddress, loss: float = 0.0) -> None:
        self.one = one
        self.alive = set(alive)
        self.now = START
        self.chosen: list[tuple[float, UdpAddress]] = []
        """When after the start, in seconds."""
        self.over: list[tuple[float, DialFailure]] = []
        self.asked: list[tuple[float, UdpAddress]] = []
        self._rng = random.Random(7)
        self._loss = loss

    def run_s(self, seconds: float) -> None:
        until = after_s(self.now, seconds)
        while (due_at := self.one.next_timeout()) is not None and due_at <= until:
            self.now = due_at
            self._perform(self.one.poll(self.now))
        self.now = until

    def _perform(self, outputs: Sequence[DialOutput]) -> None:
        at_s = (self.now - START) / NS_PER_S
        for output in outputs:
            match output:
                case SendCheck(address):
                    self.asked.append((at_s, address))
                    if address in self.alive and self._rng.random() >= self._loss:
                        self._perform(self.one.response(self.now, address, answer_to(output)))
                case Selected(address):
                    self.chosen.append((at_s, address))
                case DialFailed(reason):
                    self.over.append((at_s, reason))


def test_where_the_selected_address_dies_another_is_taken_before_consent_is_over() -> None:
    path = Path(dialler(FAR, OTHER), FAR, OTHER)
    path.run_s(60)
    assert path.chosen == [(0.0, FAR)]
    assert {address for _, address in path.asked} == {FAR}
    path.alive = {OTHER}
    path.run_s(30)
    _, (at_s, address) = path.chosen
    assert address == OTHER
    assert 60 + 1.2 * CONSENT_CHECK_S <= at_s <= 60 + 3.6 * CONSENT_CHECK_S
    path.run_s(300)
    assert len(path.chosen) == 2
    assert path.over == []


def test_it_moves_on_and_back_as_often_as_it_must() -> None:
    path = Path(dialler(FAR, OTHER, HERE), FAR)
    for alive in (FAR, HERE, OTHER, FAR):
        path.alive = {alive}
        path.run_s(60)
    assert [address for _, address in path.chosen] == [FAR, HERE, OTHER, FAR]
    assert path.over == []


def test_where_no_other_address_works_it_ends_as_with_one() -> None:
    path = Path(dialler(FAR, OTHER), FAR)
    path.run_s(4)
    path.alive = set()
    path.run_s(60)
    ((at_s, reason),) = path.over
    assert (at_s, reason) == (CONSENT_S, DialFailure.CONSENT_LOST)


def test_a_selected_address_that_is_heard_again_stays() -> None:
    path = Path(dialler(FAR, OTHER), FAR)
    path.run_s(4)
    path.alive = set()
    path.run_s(20)
    tried = [at_s for at_s, address in path.asked if address == OTHER]
    assert tried
    path.alive = {FAR}
    path.run_s(6)
    path.alive = {FAR, OTHER}
    before = len(path.asked)
    path.run_s(60)
    assert {address for _, address in path.asked[before:]} == {FAR}
    assert path.chosen == [(0.0, FAR)]


def test_what_the_other_address_has_not_signed_moves_nothing() -> None:
    one = dialler(FAR, OTHER)
    selected(one)
    now = START
    while not (checks := [check for check in checks_of(one.poll(now)) if check.address == OTHER]):
        due_at = one.next_timeout()
        assert due_at is not None
        now = due_at
    assert not nominates(checks[0])
    assert one.response(now, OTHER, answer_to(checks[0], "somebody-else's-password")) == []
    assert one.response(now, FAR, answer_to(checks[0])) == []
    (nomination,) = one.response(now, OTHER, answer_to(checks[0]))
    assert isinstance(nomination, SendCheck)
    assert (nomination.address, nominates(nomination)) == (OTHER, True)


def test_of_many_datagrams_that_are_lost_few_move_it() -> None:
    path = Path(dialler(FAR, OTHER), FAR, OTHER, loss=0.1)
    path.run_s(3_600)
    assert len(path.chosen) <= 3
    assert path.over == []


def test_a_role_conflict_ends_a_dial_that_was_up_too() -> None:
    one = dialler(FAR)
    selected(one)
    now = one.next_timeout()
    assert now is not None
    (check,) = checks_of(one.poll(now))
    refusal = error(StunMessage.parse(check.data), ErrorCode.ROLE_CONFLICT, THEIRS.password)
    assert one.response(now, FAR, refusal) == [DialFailed(DialFailure.ROLE_CONFLICT)]


# --- restart ----------------------------------------------------------------------------------------------


NEW_OURS = Credentials("ournextone", "our-next-password-of-22")
NEW_THEIRS = Credentials("theirnextone", "their-next-password-of-22")


@pytest.mark.parametrize("before", ["checking", "up", "over"])
def test_a_restart_begins_anew_with_other_credentials_and_addresses(before: str) -> None:
    one = dialler(FAR)
    old = one.poll(START)
    if before == "up":
        one = dialler(FAR)
        selected(one)
    elif before == "over":
        until_over(one)
    now = after_s(START, 40)
    one.restart(now, NEW_OURS, NEW_THEIRS, [OTHER])
    assert one.next_timeout() == now
    (check,) = checks_of(one.poll(now))
    request = StunMessage.parse(check.data)
    assert check.address == OTHER
    assert request.attribute(Attribute.USERNAME) == b"theirnextone:ournextone"
    assert request.is_signed_with(NEW_THEIRS.password)
    assert one.response(now, FAR, answer_to(checks_of(old)[0])) == [], "of the dial before"
    (nomination,) = checks_of(one.response(now, OTHER, answer_to(check, NEW_THEIRS.password)))
    answer = answer_to(nomination, NEW_THEIRS.password)
    assert one.response(now, OTHER, answer) == [Selected(OTHER)]


def test_a_restart_that_nobody_answers_is_unreachable() -> None:
    one = dialler(FAR)
    selected(one)
    one.restart(after_s(START, 3), NEW_OURS, NEW_THEIRS, [FAR])
    _, ended_at, ending = until_over(one)
    assert (ended_at, ending) == (after_s(START, 3 + UNREACHABLE_S), DialFailed(DialFailure.UNREACHABLE))


# --- with the far side as it is ---------------------------------------------------------------------------


class FarSide:
    """A lite agent behind a path that loses datagrams."""

    def __init__(self, seed: int, loss: float) -> None:
        self._chance = random.Random(seed)
        self._loss = loss
        self.leg = TransportId(7)
        self.agent = LiteAgent(CONSENT_S)
        self.agent.add(self.leg, THEIRS)

    def answer(self, now: Instant, check: SendCheck) -> bytes | None:
        if check.address != FAR or self._chance.random() < self._loss:
            return None
        answer = self.agent.handle(now, HERE, check.data).answer
        return None if self._chance.random() < self._loss else answer


@given(seed=st.integers(0, 2**32), loss=st.sampled_from([0.0, 0.1, 0.3]))
def test_a_lite_agent_and_a_dialler_agree_over_a_path_that_loses(seed: int, loss: float) -> None:
    one, far = dialler(OTHER, FAR, seed=seed), FarSide(seed, loss)
    outcome: list[DialOutput] = []
    while not outcome:
        now = one.next_timeout()
        assert now is not None
        waiting = one.poll(now)
        while waiting:
            output = waiting.pop()
            if isinstance(output, SendCheck):
                answer = far.answer(now, output)
                waiting += [] if answer is None else one.response(now, FAR, answer)
            else:
                outcome.append(output)
    if outcome == [Selected(FAR)]:
        assert far.agent.selected(far.leg) == HERE
    else:
        assert loss > 0


def test_the_far_side_never_misses_our_consent_and_follows_us_to_another_port() -> None:
    one, far = dialler(FAR), FarSide(1, 0.0)
    selected(one)
    moved = ("192.0.2.1", 40_001)
    for _ in range(50):
        now = one.next_timeout()
        assert now is not None
        (check,) = checks_of(one.poll(now))
        answer = far.agent.handle(now, moved, check.data).answer
        assert answer is not None
        one.response(now, FAR, answer)
        assert far.agent.poll(now) == []
    assert far.agent.selected(far.leg) == moved


def test_what_is_said_of_a_dial_shows_no_address_and_no_key() -> None:
    one = dialler(FAR)
    (check,) = one.poll(START)
    assert "198.51" not in repr([check, Selected(FAR)])
