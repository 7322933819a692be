"""Decisions of mediasoup, and what the policy that mirrors it decides.

Sources are files of github.com/versatica/mediasoup at a82dba8 below worker/src/RTC, and its issues and pull
requests. It has no tests of the distribution: what is here follows from its rules, with rates that let each
of them show. Ten kbit/s a layer unless said.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from sfu.allocation.policies.mediasoup_like import mediasoup_like
from sfu.rows import PAUSED
from tests.unit.allocation.policies.situations import (
    AUDIO,
    Case,
    Kbps,
    Link,
    Watched,
    chosen_for,
    full_rate,
    problem_of,
)

DISTRIBUTE = "Transport.cpp, DistributeAvailableOutgoingBitrate"
INCREASE = "SimulcastConsumer.cpp, IncreaseLayer"
APPLY = "SimulcastConsumer.cpp, ApplyLayers"
CLIENT = "TransportCongestionControlClient.cpp"
FLEXIBLE = "issue 662, Flexible Consumer Prioritization"
SPREAD = "pull request 708, Modification of Consumer bitrate allocation algorithm"

NO = PAUSED
L00, L01, L02, L10, L11, L12, L20, L21, L22 = range(9)

EVEN: Kbps = {layer: 10.0 * (layer + 1) for layer in range(9)}
STEEP: Kbps = {L00: 50, L01: 100, L02: 150, L10: 165, L11: 330, L12: 500, L20: 660, L21: 1_320, L22: 2_000}


def asks(layer: int, kbps: Kbps = EVEN) -> Watched:
    """A consumer whose preferred layers end there."""
    return Watched({at: cost for at, cost in kbps.items() if at <= layer})


ALL = asks(L22)
PRESENTED = replace(ALL, is_pinned=True)
SCREEN = replace(ALL, is_screen=True)
LOWERED = replace(asks(L22, STEEP), previous=L01, lowered_s_ago=9.9)
"""It lost its upper encodings a moment ago."""

CASES = [
    Case("no bits", DISTRIBUTE, Link((ALL, ALL), 0), (NO, NO)),
    Case("less than the lowest layer", DISTRIBUTE, Link((ALL, ALL), 9), (NO, NO)),
    Case("one layer for the first", DISTRIBUTE, Link((ALL, ALL, ALL), 10), (L00, NO, NO)),
    Case("a layer for everybody first", SPREAD, Link((ALL, ALL, ALL), 30), (L00, L00, L00)),
    Case(
        "a layer for everybody also where one has priority",
        SPREAD,
        Link((ALL, SCREEN, ALL), 30),
        (L00, L00, L00),
    ),
    Case("then in turn", DISTRIBUTE, Link((ALL, ALL, ALL), 50), (L01, L01, L00)),
    Case("the higher priority goes first", f"{DISTRIBUTE}, issue 346", Link((ALL, SCREEN), 10), (NO, L00)),
    Case(
        "presented ones may take two layers a round",
        f"{FLEXIBLE}: 3, 3 and 1 layers",
        Link((SCREEN, PRESENTED, ALL), 70),
        (L02, L02, L00),
    ),
    Case(
        "and the rest one",
        FLEXIBLE,
        Link((SCREEN, PRESENTED, ALL), 80),
        (L02, L02, L01),
    ),
    Case(
        "two rounds",
        FLEXIBLE,
        Link((SCREEN, PRESENTED, ALL), 130),
        (L11, L11, L02),
    ),
    Case(
        "who has priority is presented, wherever it stands",
        DISTRIBUTE,
        Link((ALL, PRESENTED, ALL), 50),
        (L00, L02, L00),
    ),
    Case(
        "not above the preferred layers",
        f"{INCREASE}: already there",
        Link((asks(L10), ALL), 999),
        (L10, L22),
    ),
    Case("what one does not want goes on to the others", DISTRIBUTE, Link((asks(L00), ALL), 60), (L00, L11)),
    Case("frame rate first", f"{INCREASE}: temporal layers", Link((asks(L22, STEEP),), 160), (L02,)),
    Case(
        "a new encoding costs what it adds",
        f"{INCREASE}: minus the bitrate of the current layer",
        Link((asks(L22, STEEP),), 165),
        (L10,),
    ),
    Case("the next step does not fit", f"{INCREASE}: no luck", Link((asks(L22, STEEP),), 659), (L12,)),
    Case("the whole way up", INCREASE, Link((asks(L22, STEEP),), 2_000), (L22,)),
    Case(
        "who does not fit is passed over for who does",
        f"{DISTRIBUTE}: until nobody used anything",
        Link((asks(L02, {L00: 100}), ALL), 30),
        (NO, L02),
    ),
    Case(
        "a layer that does not fit is not skipped for one above",
        f"{INCREASE}: only the next active layer is tested",
        Link((Watched({L00: 10, L01: 90, L10: 20}),), 50),
        (L00,),
    ),
    Case(
        "layers that are not sent are skipped",
        f"{INCREASE}: streams with score 0",
        Link((Watched({L00: 10, L20: 30, L22: 40}),), 30),
        (L20,),
    ),
    Case(
        "an encoding that costs less than the one below gives nothing back",
        f"{INCREASE}: at least 1 bit/s",
        Link((Watched(full_rate(50, 20)), ALL), 60.01),
        (L12, L00),
    ),
    Case(
        "a paused consumer",
        f"{DISTRIBUTE}: priority 0",
        Link((replace(ALL, is_visible=False), ALL), 10),
        (NO, L00),
    ),
    Case(
        "nothing above an encoding that was lowered",
        f"{INCREASE}: BweDowngradeConservativeMs = 10000",
        Link((LOWERED,), 2_000),
        (L02,),
    ),
    Case(
        "after ten seconds it may",
        f"{INCREASE}: BweDowngradeConservativeMs = 10000",
        Link((replace(LOWERED, lowered_s_ago=10.0),), 2_000),
        (L22,),
    ),
    Case(
        "who was lowered still gets a layer, and others what it may not take",
        f"{INCREASE}: only above the provisional layer",
        Link((replace(LOWERED, previous=NO, kbps={L10: 20, L20: 30}), asks(L22)), 60),
        (L10, L10),
    ),
    Case(
        "an encoding that was lowered once may be lowered again",
        APPLY,
        Link((replace(LOWERED, previous=L12),), 160),
        (L02,),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_decides_like_mediasoup(case: Case) -> None:
    assert chosen_for(mediasoup_like, case.link) == [case.chosen]


def test_all_subscribers_at_once_get_what_each_gets_alone() -> None:
    assert chosen_for(mediasoup_like, *(case.link for case in CASES)) == [case.chosen for case in CASES]


def test_without_a_limit_everybody_gets_the_best() -> None:
    assert chosen_for(mediasoup_like, Link((ALL, SCREEN), float("inf"))) == [(L22, L22)]


def test_audio_is_given_first_and_counted() -> None:
    talk = Watched(AUDIO, is_audio=True)
    assert chosen_for(mediasoup_like, Link((ALL, talk), 49), Link((ALL, talk), 50), Link((talk,), 0)) == [
        (NO, 0),
        (L00, 0),
        (0,),
    ]


STANDING = Link((replace(ALL, previous=L02),), 100, decided_s_ago=0.9, decided_kbps=100)


@pytest.mark.parametrize(
    ("link", "is_due", "source"),
    [
        (STANDING, False, f"{CLIENT}: AvailableBitrateEventInterval = 1000"),
        (replace(STANDING, decided_s_ago=1.0), True, f"{CLIENT}: AvailableBitrateEventInterval = 1000"),
        (replace(STANDING, keep_kbps=76), False, f"{CLIENT}: at once below 0.75"),
        (replace(STANDING, keep_kbps=74), True, f"{CLIENT}: at once below 0.75"),
        (replace(STANDING, keep_kbps=149), False, f"{CLIENT}: at once above 1.5"),
        (replace(STANDING, keep_kbps=151), True, f"{CLIENT}: at once above 1.5"),
        (replace(STANDING, is_reordered=True), False, "it knows of no speakers"),
        (
            replace(STANDING, watched=(replace(ALL, is_changed=True),)),
            True,
            "SimulcastConsumer.cpp, MayChangeLayers: a stream came or went",
        ),
        (replace(STANDING, keep_kbps=float("inf"), decided_kbps=float("inf")), False, "nothing limits it"),
    ],
)
def test_it_waits_a_second_unless_there_is_a_reason(link: Link, is_due: bool, source: str) -> None:
    assert mediasoup_like.due(problem_of(link)).tolist() == [is_due], source


def test_what_was_given_stands_while_it_waits() -> None:
    assert chosen_for(mediasoup_like, replace(STANDING, keep_kbps=76), replace(STANDING, keep_kbps=14)) == [
        (L02,),
        (L00,),
    ]
