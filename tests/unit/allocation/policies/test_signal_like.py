"""Decisions of Signal's calling service, and what the policy that mirrors it decides.

Sources are files of github.com/signalapp/Signal-Calling-Service at ecc14cc; rates and heights are those of
its tests: 200, 800 and 2000 kbit/s at 180, 360 and 720 lines. Budgets are given as they are once the rate at
which the queue is to be drained has been taken off.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from sfu.allocation.policies.signal_like import signal_like
from sfu.rows import PAUSED
from tests.unit.allocation.policies.situations import (
    AUDIO,
    Case,
    Link,
    Watched,
    chosen_for,
    full_rate,
    ladder,
    problem_of,
)

ALLOCATE = "backend/src/call.rs, test_allocate_send_rate"
CONSTANTS = "backend/src/call.rs, constants"

ONE = Watched(full_rate(200), height=180, heights=(180, 1080, 0))
TWO = Watched(full_rate(200, 800), height=360, heights=(180, 360, 0))
THREE = Watched(full_rate(200, 800, 2_000), height=720)
FOUR = Watched(full_rate(200, 800, 2_000), height=720)
SCREEN = Watched(full_rate(100, 1_500), height=1, heights=(1080, 1080, 1080))
DIPPED = Watched(full_rate(200, 100, 2_000), height=720)
"""Its second encoding takes less than its first."""
STEEP = Watched(full_rate(200, 800, 100), height=720)
"""Its third encoding takes less than its others."""

LOW, MEDIUM, HIGH = 2, 5, 8


def has(watched: Watched, layer: int) -> Watched:
    return replace(watched, previous=layer)


def asks(watched: Watched, height: float) -> Watched:
    return replace(watched, height=height)


def spoke(watched: Watched, place: int) -> Watched:
    return replace(watched, height=1080, speaker=place)


ALL = (ONE, TWO, THREE)
SPOKE = (spoke(THREE, 4), spoke(FOUR, 3), spoke(TWO, 2), spoke(ONE, 1))
KEPT = (has(ONE, LOW), has(TWO, LOW), has(THREE, LOW))

CASES = [
    Case("nothing is sent", ALLOCATE, Link((Watched({}, height=1080),), 1_000), (PAUSED,)),
    Case(
        "nothing is asked for",
        f"{ALLOCATE}: a requested height of 0",
        Link((replace(ONE, is_visible=False),), 1_000),
        (PAUSED,),
    ),
    Case("no budget", ALLOCATE, Link((asks(ONE, 1_080),), 0), (PAUSED,)),
    Case("one video that fits", ALLOCATE, Link((asks(ONE, 1_080),), 1_000), (LOW,)),
    Case("less than the cheapest", f"{ALLOCATE}: 200 - 20 for the queue", Link(ALL, 180), (PAUSED,) * 3),
    Case("the largest request first", ALLOCATE, Link(ALL, 360), (PAUSED, PAUSED, LOW)),
    Case(
        "what is given must fit the budget to keep, what is new the one to change",
        f"{ALLOCATE}: target 600, least 400, queue 200",
        Link((ONE, has(TWO, LOW), has(THREE, LOW)), 540, 360),
        (PAUSED, LOW, LOW),
    ),
    Case("two of three", ALLOCATE, Link(ALL, 400), (PAUSED, LOW, LOW)),
    Case("all are kept", f"{ALLOCATE}: target 667, least 600, queue 100", Link(KEPT, 600.3, 540), (LOW,) * 3),
    Case("the same from nothing", ALLOCATE, Link(ALL, 600), (LOW, LOW, LOW)),
    Case(
        "the same from nothing, with the budget to change",
        ALLOCATE,
        Link(ALL, 600.3, 540),
        (PAUSED, LOW, LOW),
    ),
    Case(
        "a middle layer is kept above the budget to change",
        f"{ALLOCATE}: target 1334, least 1200, queue 1000",
        Link((has(ONE, LOW), has(TWO, LOW), has(THREE, MEDIUM)), 1_200.6, 1_080),
        (LOW, LOW, MEDIUM),
    ),
    Case("the second round starts with the largest", ALLOCATE, Link(ALL, 1_200), (LOW, LOW, MEDIUM)),
    Case(
        "two middle layers are kept",
        ALLOCATE,
        Link((has(ONE, LOW), has(TWO, MEDIUM), has(THREE, MEDIUM)), 1_800),
        (LOW, MEDIUM, MEDIUM),
    ),
    Case("200 left over are of no use to the third", ALLOCATE, Link(ALL, 2_000), (LOW, MEDIUM, MEDIUM)),
    Case(
        "everything is kept",
        f"{ALLOCATE}: target 4000, least 3000, queue 1000",
        Link((has(ONE, LOW), has(TWO, MEDIUM), has(THREE, HIGH)), 3_600, 2_700),
        (LOW, MEDIUM, HIGH),
    ),
    Case("everything from nothing", ALLOCATE, Link(ALL, 3_000), (LOW, MEDIUM, HIGH)),
    Case(
        "a cap is a budget", f"{ALLOCATE}: max_requested_send_rate 1200", Link(ALL, 1_200), (LOW, LOW, MEDIUM)
    ),
    Case(
        "no more than there is",
        ALLOCATE,
        Link((asks(ONE, 1_080), asks(TWO, 1_081), asks(THREE, 1_082)), 5_000),
        (LOW, MEDIUM, HIGH),
    ),
    Case(
        "tiny requests get the lowest",
        ALLOCATE,
        Link((asks(ONE, 1), asks(TWO, 2), asks(THREE, 3)), 5_000),
        (LOW, LOW, LOW),
    ),
    Case("of equals who spoke last", ALLOCATE, Link(SPOKE[:1] + SPOKE[2:], 200), (PAUSED, PAUSED, LOW)),
    Case("of equals the two who spoke last", ALLOCATE, Link(SPOKE[:1] + SPOKE[2:], 400), (PAUSED, LOW, LOW)),
    Case("of equals the three who spoke last", ALLOCATE, Link(SPOKE, 600), (PAUSED, LOW, LOW, LOW)),
    Case("everybody's lowest", ALLOCATE, Link(SPOKE, 800), (LOW, LOW, LOW, LOW)),
    Case("600 more for who spoke last", ALLOCATE, Link(SPOKE[:2], 1_000), (LOW, MEDIUM)),
    Case("the top for who spoke last", ALLOCATE, Link(SPOKE[:2], 2_800), (MEDIUM, HIGH)),
    Case("the top for both", ALLOCATE, Link(SPOKE[:2], 10_000), (HIGH, HIGH)),
    Case(
        "speech does not go before size",
        ALLOCATE,
        Link((asks(spoke(ONE, 1), 1), asks(spoke(TWO, 2), 2), asks(spoke(THREE, 3), 3)), 200),
        (PAUSED, PAUSED, LOW),
    ),
    Case("layers of one height: the lowest fits", ALLOCATE, Link((SCREEN,), 600), (LOW,)),
    Case("layers of one height: the highest is ideal", ALLOCATE, Link((SCREEN,), 2_000), (MEDIUM,)),
    Case("neither layer fits", ALLOCATE, Link((DIPPED,), 99), (PAUSED,)),
    Case("a higher layer that is cheaper", ALLOCATE, Link((DIPPED,), 100), (MEDIUM,)),
    Case("past the cheaper one to the top", ALLOCATE, Link((DIPPED,), 2_000), (HIGH,)),
    Case("the cheaper one is too tall", ALLOCATE, Link((asks(DIPPED, 180),), 100), (PAUSED,)),
    Case("the top is the cheapest", ALLOCATE, Link((STEEP,), 100), (HIGH,)),
    Case("the cheap top, and nothing else", ALLOCATE, Link((STEEP, FOUR), 100), (HIGH, PAUSED)),
    Case("the cheap top and the other's lowest", ALLOCATE, Link((STEEP, FOUR), 899), (HIGH, LOW)),
    Case("the cheap top and the other's middle", ALLOCATE, Link((STEEP, FOUR), 2_099), (HIGH, MEDIUM)),
    Case("the cheap top and the other's top", ALLOCATE, Link((STEEP, FOUR), 2_100), (HIGH, HIGH)),
    Case("a line more is larger", ALLOCATE, Link((STEEP, asks(FOUR, 721)), 200), (PAUSED, LOW)),
    Case("both orders end alike", ALLOCATE, Link((STEEP, asks(FOUR, 721)), 899), (HIGH, LOW)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_decides_like_signal(case: Case) -> None:
    assert chosen_for(signal_like, case.link) == [case.chosen]


def test_all_subscribers_at_once_get_what_each_gets_alone() -> None:
    assert chosen_for(signal_like, *(case.link for case in CASES)) == [case.chosen for case in CASES]


def test_audio_is_given_first_and_counted() -> None:
    talk = Watched(AUDIO, is_audio=True)
    assert chosen_for(signal_like, Link((FOUR, talk), 239), Link((FOUR, talk), 240), Link((talk,), 0)) == [
        (PAUSED, 0),
        (LOW, 0),
        (0,),
    ]


def test_an_encoding_goes_out_at_its_full_frame_rate() -> None:
    steps = Watched(ladder(200, 800, 2_000))
    assert chosen_for(signal_like, Link((steps,), 199), Link((steps,), 799), Link((steps,), 800)) == [
        (PAUSED,),
        (LOW,),
        (MEDIUM,),
    ]


WAITING = Link((has(THREE, MEDIUM),), 2_000, decided_s_ago=0.5, decided_kbps=900)


@pytest.mark.parametrize(
    ("link", "is_due", "source"),
    [
        (WAITING, False, f"{CONSTANTS}: not more often than every 1000 ms"),
        (replace(WAITING, decided_s_ago=1.0), True, f"{CONSTANTS}: every 1000 ms"),
        (replace(WAITING, keep_kbps=721), False, f"{CONSTANTS}: 0.9 of what is given still fits"),
        (replace(WAITING, keep_kbps=719), True, f"{CONSTANTS}: less than 0.9 of what is given"),
        (
            replace(WAITING, is_reordered=True),
            True,
            "reallocate_target_send_rates_if_its_been_too_long: a speaker",
        ),
        (
            replace(WAITING, watched=(has(replace(THREE, is_changed=True), MEDIUM),)),
            True,
            "a stream that can be allocated from its first key frame on",
        ),
        (replace(WAITING, decided_s_ago=float("inf")), True, "nothing was decided yet"),
    ],
)
def test_it_waits_a_second_unless_there_is_a_reason(link: Link, is_due: bool, source: str) -> None:
    assert signal_like.due(problem_of(link)).tolist() == [is_due], source


def test_what_was_given_stands_while_it_waits() -> None:
    assert chosen_for(signal_like, WAITING, replace(WAITING, keep_kbps=719)) == [(MEDIUM,), (LOW,)]


def test_what_can_no_longer_be_given_does_not_stand() -> None:
    gone = replace(WAITING, watched=(has(TWO, HIGH),))
    assert chosen_for(signal_like, gone) == [(PAUSED,)]
