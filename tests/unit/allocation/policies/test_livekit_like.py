"""Decisions of LiveKit's stream allocator, and what the policy that mirrors it decides.

Sources are files of github.com/livekit/livekit at 788d4c3 below pkg/sfu. Its allocator has no tests of
whole calls: what is tested there are the moves of one track (forwarder_test.go), with rates of 1 to 12 by
four temporal layers, of which three are here; the rest follows from the rules that streamallocator.go
states. A track without a layer before is one that was paused for want of bits, unless it is marked as
changed.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from sfu.allocation.policies.livekit_like import livekit_like
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

FORWARDER = "forwarder_test.go"
ALL_TRACKS = "streamallocator/streamallocator.go, allocateAllTracks"
ONE_TRACK = "streamallocator/streamallocator.go, allocateTrack"
BOOST = "streamallocator/streamallocator.go, maybeBoostDeficientTracks"
SORTED = "streamallocator/track.go"

NO = PAUSED
L00, L01, L02, L10, L11, L12, L20, L21, L22 = range(9)

EVEN: Kbps = {L00: 1, L01: 2, L02: 3, L10: 5, L11: 6, L12: 7, L20: 9, L21: 10, L22: 11}
"""`TestForwarderProvisionalAllocate`."""
HOLES: Kbps = {L00: 2, L01: 3, L10: 4, L12: 5, L21: 7}
"""`TestForwarderAllocateNextHigher`."""


def up_to(layer: int, kbps: Kbps = EVEN) -> Kbps:
    return {at: cost for at, cost in kbps.items() if at <= layer}


def new(kbps: Kbps = EVEN, *, is_screen: bool = False, is_visible: bool = True) -> Watched:
    """A track that starts."""
    return Watched(kbps, is_changed=True, is_screen=is_screen, is_visible=is_visible)


def on(layer: int, kbps: Kbps = EVEN, *, is_changed: bool = False, is_screen: bool = False) -> Watched:
    """A track that was given a layer."""
    return Watched(kbps, previous=layer, is_changed=is_changed, is_screen=is_screen)


LACKING = on(L20)
"""Two steps below its best: its subscriber's allocation is deficient."""

CASES = [
    Case(
        "nobody lacks anything: the best",
        f"{FORWARDER}, AllocateOptimal",
        Link((new(), new()), 22),
        (L22, L22),
    ),
    Case(
        "a tile grows while nobody lacks anything: the best at once",
        f"{FORWARDER}, AllocateOptimal: subscriber layer changes",
        Link((on(L02, is_changed=True), on(L22)), 22, 14),
        (L22, L22),
    ),
    Case("a hidden track", f"{FORWARDER}, AllocateOptimal: muted", Link((new(is_visible=False),), 99), (NO,)),
    Case("nothing is published", f"{FORWARDER}, AllocateOptimal: feed dry", Link((new({}),), 99), (NO,)),
    Case(
        "no more than subscribed to",
        f"{FORWARDER}, AllocateOptimal: max layer",
        Link((new(up_to(L11)),), 99),
        (L11,),
    ),
    Case(
        "the highest that fits",
        f"{FORWARDER}, ProvisionalAllocate: (2, 2) does not",
        Link((on(L22),), 8),
        (L12,),
    ),
    Case("all of it fits", f"{FORWARDER}, ProvisionalAllocate", Link((on(L22),), 11), (L22,)),
    Case("nothing fits", f"{FORWARDER}, Pause: bandwidth", Link((on(L22),), 0.9), (NO,)),
    Case(
        "the lowest for as many as possible",
        f"{ALL_TRACKS}: stream as many tracks as possible",
        Link((on(L22), on(L22), on(L22)), 3),
        (L00, L00, L00),
    ),
    Case(
        "then the next for each in turn",
        f"{ALL_TRACKS}: start with the lowest layer and keep going up",
        Link((on(L22), on(L22), on(L22)), 5),
        (L01, L01, L00),
    ),
    Case(
        "who is last is paused",
        f"{ALL_TRACKS}: lower priorities are paused",
        Link((on(L22), on(L22), on(L22)), 2),
        (L00, L00, NO),
    ),
    Case(
        "what is left goes to who may have more",
        f"{ALL_TRACKS}: tracks that have a higher subscribed layer",
        Link((on(L02, up_to(L02)), on(L22), on(L02, up_to(L02))), 13),
        (L02, L12, L02),
    ),
    Case(
        "a screen has the first go at each layer",
        f"{SORTED}, TrackSorter: priority 255 and 1",
        Link((on(L22), on(L22, is_screen=True)), 1),
        (NO, L00),
    ),
    Case(
        "of equals who subscribed to the higher layer",
        f"{SORTED}, TrackSorter: max layer",
        Link((on(L02, up_to(L02)), on(L22)), 1),
        (NO, L00),
    ),
    Case(
        "a layer that became dear is passed over for a cheaper one above",
        f"{FORWARDER}, ProvisionalAllocate: each layer is tried alone",
        Link((on(L22, {L00: 1, L01: 6, L10: 5, L22: 9}),), 5),
        (L10,),
    ),
    Case(
        "a screen of one encoding has its best, and cameras what is left",
        f"{ALL_TRACKS}: exempt tracks",
        Link((on(L22), replace(new(full_rate(6), is_screen=True), heights=(720, 0, 0))), 8),
        (L01, L02),
    ),
    Case(
        "a screen of one encoding even if it does not fit",
        f"{ALL_TRACKS}: exempt tracks get their optimum without a limit",
        Link((on(L00), replace(new(full_rate(6), is_screen=True), heights=(720, 0, 0))), 4),
        (NO, L02),
    ),
    Case(
        "who streams is left alone, though more is wanted",
        f"{FORWARDER}, GetCooperativeTransition: maintain a target that is streaming",
        Link((LACKING,), 10, 9),
        (L20,),
    ),
    Case(
        "from a layer that went away to the one below",
        f"{FORWARDER}, GetCooperativeTransition: target became unavailable",
        Link((on(L22, up_to(L21), is_changed=True), LACKING), 19),
        (L21, L20),
    ),
    Case(
        "bits that were given back lift who lacks",
        f"{ONE_TRACK}: use the bits given back to boost",
        Link((on(L22, up_to(L00), is_changed=True), LACKING), 20),
        (L00, L22),
    ),
    Case(
        "who starts takes the best that the headroom carries",
        f"{ONE_TRACK}: allocate using existing headroom",
        Link((LACKING, new()), 15, 9),
        (L20, L11),
    ),
    Case(
        "no headroom: another gives what it can best spare",
        f"{FORWARDER}, GetBestWeightedTransition: (2, 2) to (2, 0) saves 2",
        Link((on(L22), on(L00, {L00: 1, L10: 100}), new(full_rate(2))), 12),
        (L20, L00, L02),
    ),
    Case(
        "an encoding less rather than two, where the second saves little more",
        "forwarder.go, ProvisionalAllocateGetBestWeightedTransition: quality cost",
        Link((on(L20, {L00: 3, L10: 4, L20: 12, L22: 20}), new(full_rate(5))), 12, 8),
        (L10, L02),
    ),
    Case(
        "too little to be had: it stays paused and nobody gives",
        f"{ONE_TRACK}: commit only if enough could be acquired",
        Link((LACKING, on(L00), new(full_rate(50))), 10),
        (L20, L00, NO),
    ),
    Case(
        "a track that was paused for want of bits takes none from others",
        f"{ONE_TRACK}: for a track that needs a change",
        Link((LACKING, Watched(full_rate(2))), 9.5),
        (L20, NO),
    ),
    Case(
        "whose layer went away starts again",
        f"{FORWARDER}, GetCooperativeTransition: knocked back to what can be had",
        Link((on(L11, {L00: 1, L10: 5, L22: 11}, is_changed=True), LACKING), 14.5, 10),
        (L10, L20),
    ),
    Case(
        "who is nearest to its best gives first",
        f"{SORTED}, MinDistanceSorter",
        Link((on(L11), on(L21), new(full_rate(1))), 16),
        (L11, L20, L02),
    ),
    Case(
        "a camera gives before a screen",
        f"{SORTED}, MinDistanceSorter: lower priority contributes first",
        Link((on(L21, is_screen=True), on(L11), new(full_rate(1))), 16),
        (L21, L10, L02),
    ),
    *(
        Case(
            f"one step after the other, with {kbps}",
            f"{FORWARDER}, AllocateNextHigher",
            Link((on(L00, HOLES),), kbps),
            (to,),
        )
        for kbps, to in ((2, L00), (3, L01), (4, L10), (5, L12), (6, L12), (7, L21), (99, L21))
    ),
    Case(
        "from nothing to the lowest, and no further than it fits",
        f"{FORWARDER}, AllocateNextHigher: turn off everything",
        Link((Watched(HOLES),), 2),
        (L00,),
    ),
    Case(
        "not before the path has proved to carry it",
        f"{BOOST}: committed channel capacity rises with a probe",
        Link((on(L00, HOLES),), 99, 2),
        (L00,),
    ),
    Case(
        "not while the last probe is less than three seconds ago",
        "ccutils/probe_regulator.go: BaseInterval = 3 s",
        Link((replace(on(L00, HOLES), moved_s_ago=2.9), replace(on(L22), moved_s_ago=60)), 99),
        (L00, L22),
    ),
    Case(
        "three seconds after the last move",
        "ccutils/probe_regulator.go: BaseInterval = 3 s",
        Link((replace(on(L00, HOLES), moved_s_ago=3.0), replace(on(L22), moved_s_ago=60)), 99),
        (L21, L22),
    ),
    Case(
        "bits that are given back lift at once",
        f"{ONE_TRACK}: use the bits given back to boost",
        Link(
            (replace(on(L00, HOLES), moved_s_ago=1.0), replace(on(L22), is_visible=False, is_changed=True)),
            99,
        ),
        (L21, NO),
    ),
    Case(
        "one that starts lifts nobody",
        f"{BOOST}: after a probe or bits that were given back",
        Link((replace(on(L00, HOLES), moved_s_ago=1.0), new()), 99),
        (L00, L22),
    ),
    Case(
        "who is farthest from its best is lifted",
        f"{SORTED}, MaxDistanceSorter",
        Link((on(L20), on(L10)), 15),
        (L20, L11),
    ),
    Case(
        "the paused one before all",
        "forwarder.go, getDistanceToDesired: pausing is one more",
        Link((on(L00), Watched(EVEN)), 2),
        (L00, L00),
    ),
    Case(
        "the screen before a camera that lacks more",
        f"{SORTED}, MaxDistanceSorter: priority first",
        Link((on(L10), on(L21, is_screen=True)), 16),
        (L10, L22),
    ),
    Case(
        "a lower layer that costs as much as the best is good enough",
        "forwarder.go, ProvisionalAllocateCommit: deficiency is told by bits",
        Link((on(L12, {L12: 9, L22: 9}),), 99),
        (L22,),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_decides_like_livekit(case: Case) -> None:
    assert chosen_for(livekit_like, case.link) == [case.chosen]


def test_all_subscribers_at_once_get_what_each_gets_alone() -> None:
    assert chosen_for(livekit_like, *(case.link for case in CASES)) == [case.chosen for case in CASES]


def test_without_a_limit_everybody_gets_the_best() -> None:
    assert chosen_for(livekit_like, Link((new(), on(L00), Watched(EVEN)), float("inf"))) == [(L22, L22, L22)]


def test_audio_is_given_first_and_counted() -> None:
    talk = Watched(AUDIO, is_audio=True)
    assert chosen_for(livekit_like, Link((new(), talk), 40), Link((new(), talk), 41), Link((talk,), 0)) == [
        (NO, 0),
        (L00, 0),
        (0,),
    ]


STANDING = Link((on(L22),), 8, decided_s_ago=0.4, decided_kbps=12)


@pytest.mark.parametrize(
    ("link", "is_due", "source"),
    [
        (STANDING, False, "bwe/sendsidebwe/congestion_detector.go: 400 to 600 ms"),
        (replace(STANDING, decided_s_ago=0.5), True, "bwe/sendsidebwe/congestion_detector.go: 400 to 600 ms"),
        (replace(STANDING, keep_kbps=1), False, "bwe/sendsidebwe/congestion_detector.go: however slow it is"),
        (replace(STANDING, is_reordered=True), False, "it knows of no speakers"),
        (
            replace(STANDING, watched=(on(L22, is_changed=True),)),
            True,
            f"{ONE_TRACK}: a track needs a change",
        ),
    ],
)
def test_congestion_must_last(link: Link, is_due: bool, source: str) -> None:
    assert livekit_like.due(problem_of(link)).tolist() == [is_due], source


def test_what_was_given_stands_meanwhile() -> None:
    assert chosen_for(livekit_like, STANDING, replace(STANDING, decided_s_ago=0.5)) == [(L22,), (L12,)]
