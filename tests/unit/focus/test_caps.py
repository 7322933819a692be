from __future__ import annotations

import pytest

from sfu.conference.caps import NO_CAPS, Caps
from signalling.focus.caps import CapRule, caps_of

ALICE, BOB, EVE = "@alice:a", "@bob:b:8448", "@eve:a.b"
ROOM, OTHER_ROOM = "!r:a", "!other:a"


@pytest.mark.parametrize(
    ("rule", "those"),
    [
        (CapRule(user=ALICE), {(ALICE, ROOM), (ALICE, OTHER_ROOM)}),
        (CapRule(room=ROOM), {(ALICE, ROOM), (BOB, ROOM), (EVE, ROOM)}),
        (CapRule(server="a"), {(ALICE, ROOM), (ALICE, OTHER_ROOM)}),
        (CapRule(server="b:8448"), {(BOB, ROOM), (BOB, OTHER_ROOM)}),
        (CapRule(user=ALICE, room=ROOM), {(ALICE, ROOM)}),
        (CapRule(server="a.b", room=OTHER_ROOM), {(EVE, OTHER_ROOM)}),
        (CapRule(user=ALICE, server="b"), set()),
    ],
)
def test_a_rule_is_for_whom_all_that_it_names_fits(rule: CapRule, those: set[tuple[str, str]]) -> None:
    everybody = {(user, room) for user in (ALICE, BOB, EVE) for room in (ROOM, OTHER_ROOM)}
    assert {one for one in everybody if rule.is_for(*one)} == those


def test_of_all_rules_that_fit_the_lowest_of_each_ceiling_holds() -> None:
    rules = (
        CapRule(user=ALICE, max_bps=4_000_000, max_height=360),
        CapRule(room=ROOM, max_bps=2_000_000, max_videos=9),
        CapRule(server="a", max_height=720, max_videos=4),
        CapRule(user=BOB, max_bps=1),
    )
    assert caps_of(rules, ALICE, ROOM) == Caps(2_000_000, 360, 4)
    assert caps_of(rules, ALICE, OTHER_ROOM) == Caps(4_000_000, 360, 4)
    assert caps_of(rules, EVE, OTHER_ROOM) == NO_CAPS
