from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sfu.streams.selector import PacketFacts
from sfu.streams.slow_receiver import Fate, cut

KEPT, LEFT_OUT, GONE = Fate.KEPT, Fate.LEFT_OUT, Fate.GONE


def facts(frame: int, *, key: bool = False, temporal: int | None = None, part: int = 0) -> PacketFacts:
    return PacketFacts(0, 10 * frame + part, 3_000 * frame, key and part == 0, temporal)


def test_all_goes_where_no_key_frame_waits() -> None:
    verdict = cut([facts(1), facts(1, part=1), facts(2), None])
    assert verdict.fates == (GONE,) * 4
    assert verdict.limit is None
    assert verdict.needs_key_frame


def test_a_key_frame_that_waits_is_where_it_goes_on() -> None:
    waiting = [facts(1), None, facts(2, key=True), facts(2, part=1), None, facts(3)]
    verdict = cut(waiting)
    assert verdict.fates == (GONE, GONE, KEPT, KEPT, KEPT, KEPT)
    assert not verdict.needs_key_frame


def test_a_key_frame_that_is_too_old_itself_goes_up_to_the_next() -> None:
    waiting = [facts(1, key=True), facts(1, part=1), facts(1, key=True), facts(2)]
    assert cut(waiting).needs_key_frame
    verdict = cut([*waiting, facts(3, key=True), facts(4, key=True)])
    assert verdict.fates == (GONE,) * 4 + (KEPT, KEPT)


def test_of_frames_that_the_base_does_not_need_their_layer_and_those_above_go() -> None:
    waiting = [
        facts(1, temporal=1),
        facts(1, temporal=1, part=1),
        None,
        facts(2, temporal=2),
        facts(3, temporal=0),
        facts(4, temporal=2),
        facts(5, temporal=1),
    ]
    verdict = cut(waiting)
    assert verdict.fates == (LEFT_OUT, LEFT_OUT, KEPT, LEFT_OUT, KEPT, LEFT_OUT, LEFT_OUT)
    assert verdict.limit == 0
    assert not verdict.needs_key_frame
    assert cut(waiting[3:]).fates == (LEFT_OUT, KEPT, LEFT_OUT, KEPT)
    assert cut(waiting[3:]).limit == 1
    assert cut(waiting[4:]).needs_key_frame


def test_where_nothing_tells_of_layers_every_frame_counts() -> None:
    assert cut([facts(1, temporal=1), facts(2)]).fates == (LEFT_OUT, KEPT)
    assert cut([facts(1), facts(2, temporal=1)]).needs_key_frame


ANY_FACTS = st.builds(
    facts,
    st.integers(0, 5),
    key=st.booleans(),
    temporal=st.none() | st.integers(0, 3),
    part=st.integers(0, 2),
)


@given(first=ANY_FACTS, rest=st.lists(st.none() | ANY_FACTS, max_size=20))
def test_the_oldest_always_goes_and_what_is_kept_can_be_shown(
    first: PacketFacts, rest: list[PacketFacts | None]
) -> None:
    waiting = [first, *rest]
    verdict = cut(waiting)
    assert len(verdict.fates) == len(waiting)
    assert verdict.fates[0] is not KEPT
    if verdict.limit is None:
        kept = [one for one, fate in zip(waiting, verdict.fates, strict=True) if fate is KEPT]
        assert not kept or (kept[0] is not None and kept[0].starts_key_frame)
        assert LEFT_OUT not in verdict.fates
    else:
        for one, fate in zip(waiting, verdict.fates, strict=True):
            is_above = one is not None and (one.temporal or 0) > verdict.limit
            assert fate is (LEFT_OUT if is_above else KEPT)
