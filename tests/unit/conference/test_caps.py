from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sfu.conference.caps import NO_CAPS, Caps, lowest

CEILINGS = st.integers(0, 3_000_000)


def test_of_several_caps_each_ceiling_is_the_lowest_and_0_is_none() -> None:
    assert lowest([Caps(2_000_000, 0, 9), Caps(0, 1_080, 4), Caps(3_000_000)]) == Caps(2_000_000, 1_080, 4)
    assert lowest([]) == lowest([NO_CAPS, NO_CAPS]) == NO_CAPS


@given(st.lists(st.builds(Caps, CEILINGS, CEILINGS, CEILINGS)))
def test_no_cap_is_ever_exceeded_and_none_is_made_up(caps: list[Caps]) -> None:
    found = lowest(caps)
    for name in ("max_bps", "max_height", "max_videos"):
        ceilings = [getattr(one, name) for one in caps]
        assert all(not one or 0 < getattr(found, name) <= one for one in ceilings)
        assert getattr(found, name) in {0, *ceilings}
