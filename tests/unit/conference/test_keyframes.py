from __future__ import annotations

import numpy as np

from sfu.allocation.decision import DECISION_DTYPE
from sfu.conference.keyframes import REPEAT_MS, KeyframeRequests
from sfu.plane import PAUSED, ROUTE_DTYPE, RequestKeyframe, StructArray
from sfu.units import Instant, TrackHandle, after_ms

NOW = Instant(5_000_000_000)
ASKED = [RequestKeyframe(TrackHandle(7), 2)]


def routes(*rows: tuple[int, int]) -> StructArray:
    """(route, the encoding that flows)."""
    array = np.zeros(len(rows), ROUTE_DTYPE)
    for row, (route, encoding) in zip(array, rows, strict=True):
        row["route"], row["encoding"] = route, encoding
    return array


def decisions(*rows: tuple[int, int, int], audio: bool = False) -> StructArray:
    """(route, track, the encoding that is chosen)."""
    array = np.zeros(len(rows), DECISION_DTYPE)
    for row, (route, track, encoding) in zip(array, rows, strict=True):
        row["route"], row["track"], row["chosen_encoding"], row["is_audio"] = route, track, encoding, audio
    return array


def test_a_route_that_switches_has_a_key_frame_of_its_new_encoding_asked_for_at_once() -> None:
    assert KeyframeRequests().keyframes_wanted(NOW, routes((1, 0)), decisions((1, 7, 2))) == ASKED


def test_a_new_route_on_an_encoding_that_flows_to_others_has_one_asked_for_too() -> None:
    given = routes((1, 2), (2, PAUSED)), decisions((1, 7, 2), (2, 7, 2))
    assert KeyframeRequests().keyframes_wanted(NOW, *given) == ASKED


def test_routes_that_wait_for_the_same_key_frame_ask_for_it_once() -> None:
    given = routes((1, 0), (2, PAUSED)), decisions((1, 7, 2), (2, 7, 2))
    assert KeyframeRequests().keyframes_wanted(NOW, *given) == ASKED


def test_one_that_does_not_come_is_asked_for_again_after_a_while() -> None:
    requests, given = KeyframeRequests(), (routes((1, 0)), decisions((1, 7, 2)))
    assert requests.keyframes_wanted(NOW, *given) == ASKED
    assert requests.keyframes_wanted(after_ms(NOW, REPEAT_MS - 1), *given) == []
    assert requests.keyframes_wanted(after_ms(NOW, REPEAT_MS), *given) == ASKED
    assert requests.keyframes_wanted(after_ms(NOW, REPEAT_MS + 1), *given) == []


def test_one_that_came_is_forgotten_and_the_next_newcomer_asks_at_once() -> None:
    requests = KeyframeRequests()
    requests.keyframes_wanted(NOW, routes((1, 0)), decisions((1, 7, 2)))
    later = after_ms(NOW, 50)
    assert requests.keyframes_wanted(later, routes((1, 2)), decisions((1, 7, 2))) == []
    given = routes((1, 2), (2, PAUSED)), decisions((1, 7, 2), (2, 7, 2))
    assert requests.keyframes_wanted(after_ms(NOW, 100), *given) == ASKED


def test_paused_routes_audio_and_routes_the_plane_does_not_have_ask_for_nothing() -> None:
    requests = KeyframeRequests()
    assert requests.keyframes_wanted(NOW, routes((1, 2)), decisions((1, 7, PAUSED))) == []
    assert requests.keyframes_wanted(NOW, routes((1, PAUSED)), decisions((1, 7, 0), audio=True)) == []
    assert requests.keyframes_wanted(NOW, routes((1, 2)), decisions((9, 7, 2))) == []
    assert requests.keyframes_wanted(NOW, routes((1, 2)), decisions()) == []
