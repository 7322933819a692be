from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sfu.streams.cache import MAX_AGE_S, MAX_STREAM_BYTES, CacheBudget, PacketCache
from sfu.units import Instant, after_ms, after_s

START = Instant(0)
PACKET_BYTES = 1_000


def filled(
    budget: CacheBudget, count: int, now: Instant = START, *, max_bytes: int = MAX_STREAM_BYTES
) -> PacketCache[str]:
    cache = PacketCache[str](budget, max_bytes)
    for seq in range(count):
        cache.store(now, seq, str(seq), PACKET_BYTES)
    return cache


def test_a_packet_is_found_by_its_number() -> None:
    cache = filled(CacheBudget(1 << 20), 3)
    found = cache.lookup(START, 1)
    assert found is not None
    assert (found.packet, found.size_bytes, found.stored_at) == ("1", PACKET_BYTES, START)
    assert cache.lookup(START, 3) is None


def test_a_packet_is_kept_for_a_second() -> None:
    cache = filled(CacheBudget(1 << 20), 1)
    end = after_s(START, MAX_AGE_S)
    assert cache.lookup(end, 0) is not None
    assert cache.lookup(Instant(end + 1), 0) is None


def test_a_stream_never_holds_more_than_its_share_and_loses_the_oldest() -> None:
    budget = CacheBudget(1 << 30)
    cache = filled(budget, 2_000)
    assert cache.used_bytes == budget.used_bytes
    assert MAX_STREAM_BYTES - PACKET_BYTES < cache.used_bytes <= MAX_STREAM_BYTES
    assert cache.lookup(START, 1_999) is not None
    assert cache.lookup(START, 1_999 - len(cache)) is None
    assert cache.lookup(START, 2_000 - len(cache)) is not None


def test_the_total_is_never_exceeded_and_the_oldest_of_all_streams_go() -> None:
    budget = CacheBudget(10 * PACKET_BYTES)
    quiet = filled(budget, 6)
    flowing = filled(budget, 8, after_ms(START, 1))
    assert budget.used_bytes == 10 * PACKET_BYTES
    assert [quiet.lookup(START, seq) is not None for seq in range(6)] == [False] * 4 + [True] * 2
    assert len(flowing) == 8


def test_packets_of_streams_gone_quiet_are_given_up_after_a_second() -> None:
    budget = CacheBudget(1 << 20)
    quiet = filled(budget, 5)
    filled(budget, 1, Instant(after_s(START, MAX_AGE_S) + 1))
    assert len(quiet) == 0
    assert budget.used_bytes == PACKET_BYTES
    budget.make_room(after_s(START, 10))
    assert budget.used_bytes == 0


def test_a_packet_stored_again_replaces_itself() -> None:
    budget = CacheBudget(1 << 20)
    cache = filled(budget, 2)
    cache.store(START, 0, "again", 10)
    found = cache.lookup(START, 0)
    assert found is not None
    assert found.packet == "again"
    assert budget.used_bytes == cache.used_bytes == PACKET_BYTES + 10


def test_a_packet_larger_than_the_cache_is_not_kept() -> None:
    budget = CacheBudget(PACKET_BYTES)
    cache = filled(budget, 1)
    cache.store(START, 1, "big", PACKET_BYTES + 1)
    assert cache.lookup(START, 1) is None
    small = filled(budget, 1, max_bytes=PACKET_BYTES - 1)
    assert len(small) == 0
    assert budget.used_bytes == PACKET_BYTES


def test_a_stream_that_ends_gives_everything_back() -> None:
    budget = CacheBudget(1 << 20)
    cache = filled(budget, 5)
    cache.clear()
    assert len(cache) == cache.used_bytes == budget.used_bytes == 0


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 30), st.integers(1, 400), st.integers(0, 300)),
        max_size=200,
    )
)
def test_limits_hold_whatever_is_stored(steps: list[tuple[int, int, int, int]]) -> None:
    budget = CacheBudget(1_500)
    caches = [PacketCache[int](budget, 1_000) for _ in range(3)]
    now = START
    for which, seq, size_bytes, wait_ms in steps:
        now = after_ms(now, wait_ms)
        caches[which].store(now, seq, seq, size_bytes)
        assert budget.used_bytes == sum(cache.used_bytes for cache in caches) <= budget.limit_bytes
        assert all(cache.used_bytes <= 1_000 for cache in caches)
        assert caches[which].lookup(now, seq) is not None
