from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalling.events.room_state import FocusDevice
from signalling.focus.cascade.foci import dials_first
from signalling.focus.cascade.tree import Tree

ROOT, NORTH, SOUTH, NEAR, FAR, STRANGER = (
    FocusDevice(f"@{name}:example.org", "FOCUS") for name in ("root", "north", "south", "near", "far", "else")
)
PARENTS = {NORTH: ROOT, SOUTH: ROOT, NEAR: NORTH, FAR: SOUTH}
ALL = (ROOT, NORTH, SOUTH, NEAR, FAR)


def wanted(
    me: FocusDevice, *others: FocusDevice, has_people: bool = True, has_children: bool = False
) -> set[FocusDevice]:
    return set(Tree(me, PARENTS).wanted(others, has_people=has_people, has_children=has_children))


def test_each_dials_its_parent_and_no_other_of_the_tree() -> None:
    everybody = (*ALL, STRANGER)
    assert wanted(NEAR, *(one for one in everybody if one != NEAR)) == {NORTH, STRANGER}
    assert wanted(NORTH, *(one for one in everybody if one != NORTH)) == {ROOT, STRANGER}
    assert wanted(ROOT, *(one for one in everybody if one != ROOT)) == {STRANGER}


def test_a_parent_is_dialled_for_people_elsewhere_only() -> None:
    assert wanted(NORTH, FAR) == {ROOT}
    assert wanted(NORTH, NEAR) == set()
    assert wanted(NEAR) == set()


def test_who_has_no_people_dials_for_those_behind_it_and_its_parent_only() -> None:
    assert wanted(NORTH, NEAR, FAR, STRANGER, has_people=False) == set()
    assert wanted(NORTH, NEAR, FAR, STRANGER, has_people=False, has_children=True) == {ROOT}
    assert wanted(ROOT, NEAR, FAR, STRANGER, has_people=False, has_children=True) == set()


def test_who_is_in_no_tree_dials_everybody() -> None:
    assert wanted(STRANGER, *ALL) == set(ALL)
    assert wanted(STRANGER, *ALL, has_people=False, has_children=True) == set()


@pytest.mark.parametrize(("one", "other"), [*combinations((*ALL, STRANGER), 2)])
def test_of_two_foci_one_dials_first_and_of_a_branch_the_child(one: FocusDevice, other: FocusDevice) -> None:
    mine, theirs = Tree(one, PARENTS).dials_first(other), Tree(other, PARENTS).dials_first(one)
    assert mine is not theirs
    if PARENTS.get(one) == other or PARENTS.get(other) == one:
        assert mine is (PARENTS.get(one) == other)
    else:
        assert mine is dials_first(one, other)


@given(st.dictionaries(st.sampled_from(ALL), st.sampled_from(ALL)), st.sampled_from((*ALL, STRANGER)))
def test_a_list_that_is_no_tree_makes_nobody_dial_a_child_or_itself(
    parents: dict[FocusDevice, FocusDevice], me: FocusDevice
) -> None:
    tree = Tree(me, parents)
    others = set(ALL) - {me}
    found = tree.wanted(others, has_people=True, has_children=True)
    assert me not in found - {tree.parent}
    assert not (found & tree.children) - {tree.parent}
