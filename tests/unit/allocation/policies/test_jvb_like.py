"""Decisions of Jitsi Videobridge, and what the policy that mirrors it decides.

Sources are files of github.com/jitsi/jitsi-videobridge at a29d97d below jvb/src (main/kotlin, test/kotlin
and main/resources), and its doc/allocation.md. Rates, heights and frame rates are those of its tests: 150,
500 and 2000 kbit/s at 180, 360 and 720 lines, at 7.5, 15 and 30 frames for 0.33, 0.66 and all of the bits.
Its test raises the estimate by 10 kbit/s at a time and notes each allocation that differs from the one
before: a row here is the estimate of such a note, or one just below it. A, B, C and D stand in the order of
speech.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from sfu.allocation.policies.jvb_like import jvb_like
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

TESTS = "BitrateControllerTest.kt"
SINGLE = "SingleSourceAllocationTest.kt"
DOC = "doc/allocation.md"
CONF = "reference.conf, videobridge.cc"

LD7, LD15, LD30, SD7, SD15, SD30, HD7, HD15, HD30 = range(9)
NO = PAUSED

CAMERA = Watched(ladder(150, 500, 2_000))
STAGE = replace(CAMERA, is_pinned=True)
SCREEN = replace(STAGE, is_screen=True)
THUMBNAIL = Watched(ladder(150), height=180)
MEDIUM = Watched(ladder(150, 500), height=360)


def speak(*watched: Watched) -> tuple[Watched, ...]:
    """In the order of speech."""
    return tuple(replace(row, speaker=place) for place, row in enumerate(watched))


ON_STAGE = speak(STAGE, THUMBNAIL, THUMBNAIL, THUMBNAIL)
SHARED = speak(SCREEN, THUMBNAIL, THUMBNAIL, THUMBNAIL)
TILES = speak(*(THUMBNAIL,) * 4)
LARGE_TILES = speak(*(MEDIUM,) * 4)


def table(
    name: str, source: str, watched: tuple[Watched, ...], *rows: tuple[float, tuple[int, ...]]
) -> list[Case]:
    return [Case(f"{name} at {kbps} kbit/s", source, Link(watched, kbps), chosen) for kbps, chosen in rows]


CASES = [
    *table(
        "camera on stage",
        f"{TESTS}, verifyStageViewCamera",
        ON_STAGE,
        (40, (NO, NO, NO, NO)),
        (50, (LD7, NO, NO, NO)),
        (100, (LD15, NO, NO, NO)),
        (150, (LD30, NO, NO, NO)),
        (490, (LD30, NO, NO, NO)),
        (500, (SD30, NO, NO, NO)),
        (550, (SD30, LD7, NO, NO)),
        (600, (SD30, LD7, LD7, NO)),
        (650, (SD30, LD7, LD7, LD7)),
        (700, (SD30, LD15, LD7, LD7)),
        (750, (SD30, LD15, LD15, LD7)),
        (800, (SD30, LD15, LD15, LD15)),
        (850, (SD30, LD30, LD15, LD15)),
        (900, (SD30, LD30, LD30, LD15)),
        (950, (SD30, LD30, LD30, LD15)),
        (960, (SD30, LD30, LD30, LD30)),
        (2_140, (SD30, LD30, LD30, LD30)),
        (2_150, (HD30, LD7, LD7, LD7)),
        (2_200, (HD30, LD15, LD7, LD7)),
        (2_300, (HD30, LD15, LD15, LD15)),
        (2_400, (HD30, LD30, LD30, LD15)),
        (2_460, (HD30, LD30, LD30, LD30)),
    ),
    *table(
        "screen on stage",
        f"{TESTS}, verifyStageViewScreensharing",
        SHARED,
        (0, (SD30, NO, NO, NO)),
        (150, (SD30, NO, NO, NO)),
        (160, (HD7, NO, NO, NO)),
        (660, (HD7, NO, NO, NO)),
        (1_310, (HD7, NO, NO, NO)),
        (1_320, (HD15, NO, NO, NO)),
        (2_000, (HD30, NO, NO, NO)),
        (2_050, (HD30, LD7, NO, NO)),
        (2_150, (HD30, LD7, LD7, LD7)),
        (2_250, (HD30, LD15, LD15, LD7)),
        (2_350, (HD30, LD30, LD15, LD15)),
        (2_450, (HD30, LD30, LD30, LD15)),
        (2_460, (HD30, LD30, LD30, LD30)),
    ),
    *table(
        "tiles",
        f"{TESTS}, verifyTileView",
        TILES,
        (50, (LD7, NO, NO, NO)),
        (100, (LD7, LD7, NO, NO)),
        (200, (LD7, LD7, LD7, LD7)),
        (250, (LD15, LD7, LD7, LD7)),
        (400, (LD15, LD15, LD15, LD15)),
        (450, (LD30, LD15, LD15, LD15)),
        (600, (LD30, LD30, LD30, LD15)),
        (610, (LD30, LD30, LD30, LD30)),
        (5_000, (LD30, LD30, LD30, LD30)),
    ),
    *table(
        "tiles of 360 lines",
        f"{TESTS}, verifyTileView360p",
        LARGE_TILES,
        (200, (LD7, LD7, LD7, LD7)),
        (950, (LD30, LD30, LD30, LD30)),
        (960, (SD30, LD30, LD30, LD30)),
        (1_310, (SD30, SD30, LD30, LD30)),
        (2_000, (SD30, SD30, SD30, LD30)),
        (2_010, (SD30, SD30, SD30, SD30)),
    ),
    *table(
        "one tile only",
        f"{TESTS}, verifyTileViewLastN1: a step needs more than it costs",
        (MEDIUM, *(replace(MEDIUM, is_visible=False),) * 3),
        (150, (LD15, NO, NO, NO)),
        (160, (LD30, NO, NO, NO)),
        (500, (LD30, NO, NO, NO)),
        (510, (SD30, NO, NO, NO)),
    ),
    Case(
        "on stage without being the speaker",
        f"{TESTS}, a non-dominant speaker is on stage",
        Link((ON_STAGE[1], replace(STAGE, speaker=3)), 520),
        (NO, SD30),
    ),
    Case("the speaker's tile first", DOC, Link(tuple(reversed(TILES)), 60), (NO, NO, NO, LD7)),
    Case(
        "a single encoding that is too large is given when it fits",
        f"{SINGLE}, constraints unmet by any layer",
        Link((Watched({8: 2_000, 7: 1_320, 6: 660}, height=360, heights=(0, 0, 720)),), 1_500),
        (HD15,),
    ),
    Case(
        "inactive layers are passed over, and slow ones above 360 lines",
        f"{SINGLE}, some layers are inactive",
        Link((Watched(dict(list(ladder(150, 500).items())[:5])),), 5_000),
        (LD30,),
    ),
    Case(
        "only the high layers of a screen flow",
        f"{SINGLE}, the low layers are inactive",
        Link((replace(SCREEN, kbps=ladder(0, 0, 2_000)),), 200),
        (HD7,),
    ),
    Case(
        "the sharpest layer that is cheapest may be oversent",
        f"{SINGLE}, VP9 on stage",
        Link((replace(SCREEN, kbps=full_rate(150, 370, 750), heights=(720, 720, 720)),), 0),
        (LD30,),
    ),
    Case(
        "a screen off stage is not oversent",
        "SingleSourceAllocation.kt: oversendIdx only on stage",
        Link((STAGE, replace(SCREEN, is_pinned=False)), 100),
        (LD15, NO),
    ),
    Case(
        "not more than 500 above",
        f"{CONF}.max-oversend-bitrate",
        Link((replace(SCREEN, kbps=full_rate(600, 900)),), 99),
        (NO,),
    ),
    Case(
        "a shared screen takes the stage where nothing is pinned",
        "jitsi-meet, autoPinLatestScreenShare: 'remote-only'",
        Link((THUMBNAIL, replace(SCREEN, is_pinned=False)), 0),
        (NO, SD30),
    ),
    Case(
        "past a layer that is dearer than one above it",
        "SingleSourceAllocation.kt, improve: a higher layer with a lower bitrate",
        Link((Watched(full_rate(150, 500, 400)),), 501),
        (HD30,),
    ),
    Case(
        "past a layer that does not fit to one above it that is cheaper",
        "SingleSourceAllocation.kt, improve: a higher layer with a lower bitrate",
        Link((Watched(full_rate(200, 300, 150)),), 210),
        (HD30,),
    ),
    Case(
        "a small tile on stage leaps to the lowest height only",
        "SingleSourceAllocation.kt, getPreferred: no preference up to 180 lines",
        Link((replace(MEDIUM, is_pinned=True, height=180, heights=(90, 180, 360)), THUMBNAIL), 280),
        (SD7, LD15),
    ),
    Case(
        "to the cheaper one above, but only where the dearer fits",
        "SingleSourceAllocation.kt, improve: a step is tried before the jump",
        Link((Watched(full_rate(150, 500, 400)),), 450),
        (LD30,),
    ),
    Case(
        "a camera of 15 frames has its upper layers",
        "SingleSourceAllocation.kt: the preferred frame rate is never above what is sent",
        Link((replace(CAMERA, frame_rates=(4, 8, 15)),), 2_100),
        (HD30,),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_decides_like_the_videobridge(case: Case) -> None:
    assert chosen_for(jvb_like, case.link) == [case.chosen]


def test_all_subscribers_at_once_get_what_each_gets_alone() -> None:
    assert chosen_for(jvb_like, *(case.link for case in CASES)) == [case.chosen for case in CASES]


def test_without_a_limit_everybody_gets_the_best() -> None:
    assert chosen_for(jvb_like, Link(ON_STAGE, float("inf"))) == [(HD30, LD30, LD30, LD30)]


def test_audio_is_given_first_and_counted() -> None:
    talk = Watched(AUDIO, is_audio=True)
    assert chosen_for(
        jvb_like, Link((THUMBNAIL, talk), 89), Link((THUMBNAIL, talk), 90), Link((talk,), 0)
    ) == [
        (NO, 0),
        (LD7, 0),
        (0,),
    ]


GIVEN = (replace(CAMERA, previous=SD30),)
STANDING = Link(GIVEN, 1_000, decided_s_ago=4.9, decided_kbps=1_000)


@pytest.mark.parametrize(
    ("link", "is_due", "source"),
    [
        (STANDING, False, f"{CONF}.max-time-between-calculations = 5 seconds"),
        (replace(STANDING, decided_s_ago=5.0), True, f"{CONF}.max-time-between-calculations = 5 seconds"),
        (replace(STANDING, keep_kbps=860), False, f"{CONF}.bwe-change-threshold = 0.15"),
        (replace(STANDING, keep_kbps=849), True, f"{CONF}.bwe-change-threshold = 0.15"),
        (replace(STANDING, keep_kbps=1_149), False, f"{CONF}.bwe-change-threshold = 0.15"),
        (replace(STANDING, keep_kbps=1_151), True, f"{CONF}.bwe-change-threshold = 0.15"),
        (replace(STANDING, is_reordered=True), True, "BitrateController.kt: the order of endpoints changed"),
        (
            replace(STANDING, watched=(replace(GIVEN[0], is_changed=True),)),
            True,
            f"{DOC}: endpoints join, leave or change their streams",
        ),
        (replace(STANDING, decided_kbps=float("inf")), True, "the link was not limited"),
        (replace(STANDING, keep_kbps=float("inf"), decided_kbps=float("inf")), False, "nor is it now"),
    ],
)
def test_a_decision_stands_until_something_moves(link: Link, is_due: bool, source: str) -> None:
    assert jvb_like.due(problem_of(link)).tolist() == [is_due], source


def test_what_was_given_stands_meanwhile() -> None:
    assert chosen_for(jvb_like, replace(STANDING, keep_kbps=860), replace(STANDING, keep_kbps=400)) == [
        (SD30,),
        (LD30,),
    ]
