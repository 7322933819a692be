from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.negotiation.identifiers import CALLER_LETTER, Identifiers
from tests.unit.negotiation.texts import FIREFOX, changed, remote


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**31 - 1).map(lambda number: 2 * number + 1))
def test_no_ssrc_comes_twice_and_none_is_zero(start: int, step: int) -> None:
    identifiers = Identifiers(start, step)
    ssrcs = [identifiers.ssrc() for _ in range(200)]
    assert len(set(ssrcs)) == 200
    assert all(0 < ssrc < 2**32 for ssrc in ssrcs)


@pytest.mark.parametrize("start", [0, 2**32 - 1])
def test_the_walk_goes_over_the_end_and_leaves_zero_out(start: int) -> None:
    identifiers = Identifiers(start, 1)
    assert [identifiers.ssrc() for _ in range(3)] == ([1, 2, 3] if start == 0 else [2**32 - 1, 1, 2])


def test_each_leg_walks_its_own_way() -> None:
    rng = random.Random(1)  # a test must repeat itself
    first, second = Identifiers.drawn_from(rng), Identifiers.drawn_from(rng)
    assert [first.ssrc(), first.ssrc()] != [second.ssrc(), second.ssrc()]


def test_the_ssrcs_of_the_client_are_left_out_as_long_as_it_names_them() -> None:
    identifiers = Identifiers(1, 1)
    offer = changed(FIREFOX, "1", "a=ssrc:1 cname:x", "a=ssrc:2 cname:x", without="a=ssrc")
    identifiers.avoid(remote(offer))
    assert identifiers.ssrc() == 3
    identifiers = Identifiers(1, 1)
    identifiers.avoid(remote(offer))
    identifiers.avoid(remote(FIREFOX))
    assert identifiers.ssrc() == 1


def test_mids_of_a_caller_are_none_of_who_is_called() -> None:
    rng = random.Random(1)  # a test must repeat itself
    caller = Identifiers.drawn_from(rng, CALLER_LETTER)
    callee = Identifiers.drawn_from(rng)
    assert [caller.mid(), callee.mid()] == ["c0", "s0"]
    caller.avoid(remote(changed(FIREFOX, "1", "a=mid:s1", without="a=mid").replace("0 1", "0 s1")))
    assert caller.mid() == "c1"
    caller.avoid(remote(changed(FIREFOX, "1", "a=mid:c2", without="a=mid").replace("0 1", "0 c2")))
    assert caller.mid() == "c3"


def test_mids_are_counted_and_those_of_the_client_are_left_out() -> None:
    identifiers = Identifiers(1, 1)
    assert identifiers.mid() == "s0"
    offer = changed(FIREFOX, "1", "a=mid:s1", without="a=mid").replace("BUNDLE 0 1", "BUNDLE 0 s1")
    identifiers.avoid(remote(offer))
    assert [identifiers.mid(), identifiers.mid()] == ["s2", "s3"]
