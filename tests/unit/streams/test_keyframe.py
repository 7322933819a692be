from __future__ import annotations

from sfu.streams.keyframe import MIN_INTERVAL_S, RETRY_S, KeyframeThrottle
from sfu.units import Instant, Ssrc, after_s

A, B = Ssrc(7), Ssrc(3)
START = Instant(1_000)


def asked(throttle: KeyframeThrottle, now: Instant = START) -> KeyframeThrottle:
    throttle.request(now, A)
    assert throttle.poll(now) == [A]
    return throttle


def test_nothing_is_asked_for_unwanted() -> None:
    throttle = KeyframeThrottle()
    assert throttle.next_timeout() is None
    assert throttle.poll(START) == []


def test_requests_of_many_become_one_at_once() -> None:
    throttle = KeyframeThrottle()
    for _ in range(10):
        throttle.request(START, A)
        throttle.request(START, B)
    assert throttle.next_timeout() == START
    assert throttle.poll(START) == [B, A]
    assert throttle.poll(START) == []
    assert throttle.next_timeout() is None


def test_while_a_request_is_unanswered_others_wait_for_the_retry() -> None:
    throttle = asked(KeyframeThrottle())
    throttle.request(after_s(START, 0.01), A)
    due_at = after_s(START, RETRY_S)
    assert throttle.next_timeout() == due_at
    assert throttle.poll(Instant(due_at - 1)) == []
    assert throttle.poll(due_at) == [A]


def test_nothing_is_asked_again_that_nobody_still_wants() -> None:
    throttle = asked(KeyframeThrottle())
    assert throttle.next_timeout() is None
    assert throttle.poll(after_s(START, 10)) == []


def test_a_key_frame_that_starts_serves_who_asked_before() -> None:
    throttle = asked(KeyframeThrottle())
    throttle.request(after_s(START, 0.1), A)
    throttle.key_frame_started(A)
    throttle.key_frame_started(B)
    assert throttle.next_timeout() is None


def test_who_asks_after_the_key_frame_started_waits_for_the_interval_only() -> None:
    throttle = asked(KeyframeThrottle())
    throttle.key_frame_started(A)
    throttle.request(after_s(START, 0.11), A)
    due_at = after_s(START, MIN_INTERVAL_S)
    assert throttle.next_timeout() == due_at
    assert throttle.poll(Instant(due_at - 1)) == []
    assert throttle.poll(due_at) == [A]


def test_a_request_long_after_the_last_is_due_at_once() -> None:
    throttle = asked(KeyframeThrottle())
    later = after_s(START, 5)
    throttle.request(later, A)
    assert throttle.next_timeout() == later


def test_a_stream_that_is_gone_is_forgotten() -> None:
    throttle = asked(KeyframeThrottle())
    throttle.request(START, A)
    throttle.forget(A)
    throttle.forget(B)
    assert throttle.poll(after_s(START, 1)) == []
    throttle.request(START, A)
    assert throttle.poll(START) == [A]


def test_memory_does_not_grow_with_streams_that_come_and_go() -> None:
    throttle = KeyframeThrottle()
    now = START
    for number in range(1_000):
        now = after_s(now, RETRY_S / 10)
        throttle.request(now, Ssrc(number))
        throttle.poll(now)
    assert len(throttle._asked) <= 11
