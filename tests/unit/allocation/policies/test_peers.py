"""What holds for every policy that mirrors a peer, whatever the situation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfu.allocation.policies.jvb_like import OVERSEND_BPS, jvb_like
from sfu.allocation.policies.livekit_like import livekit_like
from sfu.allocation.policies.mediasoup_like import mediasoup_like
from sfu.allocation.policies.signal_like import signal_like
from sfu.allocation.policies.turns import cost_of, per_subscriber, video_layers
from sfu.allocation.problem import LAYERS, NEVER_SPOKE
from sfu.rows import PAUSED
from tests.unit.allocation.policies.situations import AUDIO, Link, Watched, chosen_for, problem_of

if TYPE_CHECKING:
    from sfu.allocation.problem import Policy

PEERS = pytest.mark.parametrize(
    "policy", [signal_like, jvb_like, livekit_like, mediasoup_like], ids=lambda policy: type(policy).__name__
)

VIDEOS = st.builds(
    Watched,
    kbps=st.dictionaries(st.integers(0, LAYERS - 1), st.integers(1, 3_000).map(float), max_size=LAYERS),
    height=st.sampled_from([0.0, 90.0, 180.0, 360.0, 720.0]),
    heights=st.sampled_from([(180.0, 360.0, 720.0), (720.0, 0.0, 0.0), (270.0, 540.0, 1_080.0)]),
    frame_rates=st.sampled_from([(7.5, 15.0, 30.0), (1.0, 2.0, 5.0)]),
    previous=st.integers(PAUSED, LAYERS - 1),
    speaker=st.sampled_from([0, 1, 2, NEVER_SPOKE]),
    is_screen=st.booleans(),
    is_pinned=st.booleans(),
    is_visible=st.booleans(),
    is_changed=st.booleans(),
    moved_s_ago=st.sampled_from([1.0, 15.0, float("inf")]),
    lowered_s_ago=st.sampled_from([5.0, 15.0, float("inf")]),
)
AUDIOS = st.builds(Watched, kbps=st.sampled_from([AUDIO, {}]), is_audio=st.just(True))
LINKS = st.builds(
    Link,
    watched=st.lists(st.one_of(VIDEOS, VIDEOS, AUDIOS), max_size=5).map(tuple),
    keep_kbps=st.one_of(st.integers(0, 6_000).map(float), st.just(float("inf"))),
    decided_s_ago=st.sampled_from([0.2, 2.0, float("inf")]),
    decided_kbps=st.integers(0, 6_000).map(float),
    is_reordered=st.booleans(),
)


@PEERS
@settings(max_examples=60, deadline=None)
@given(links=st.lists(LINKS, min_size=1, max_size=5))
def test_what_one_subscriber_gets_does_not_depend_on_others(policy: Policy, links: list[Link]) -> None:
    assert chosen_for(policy, *links) == [chosen_for(policy, link)[0] for link in links]


@PEERS
@settings(max_examples=60, deadline=None)
@given(links=st.lists(LINKS, min_size=1, max_size=3))
def test_audio_is_always_given_and_of_video_only_what_can_be(policy: Policy, links: list[Link]) -> None:
    problem = problem_of(*links)
    chosen = policy(problem)
    assert (chosen[problem.is_audio] != PAUSED).tolist() == problem.usable[problem.is_audio, 0].tolist()
    is_given = ~problem.is_audio & (chosen != PAUSED)
    assert video_layers(problem)[is_given, chosen[is_given]].all()


@PEERS
@settings(max_examples=60, deadline=None)
@given(links=st.lists(LINKS, min_size=1, max_size=3))
def test_a_new_decision_keeps_within_the_budget_where_the_peer_does(
    policy: Policy, links: list[Link]
) -> None:
    problem = problem_of(*(replace(link, decided_s_ago=float("inf")) for link in links))
    chosen = np.where(problem.is_audio, PAUSED, policy(problem))
    audio_bps = 40_000.0 * np.bincount(
        problem.subscriber, problem.is_audio & problem.usable[:, 0], len(problem.keep_bps)
    )
    is_exempt = problem.is_screen & ~(problem.layer_heights[:, 3:] > 0).any(axis=1)
    counted = np.where(is_exempt, PAUSED, chosen) if policy is livekit_like else chosen
    beyond_bps = OVERSEND_BPS if policy is jvb_like else 0.0
    spent_bps = per_subscriber(problem, cost_of(problem.costs_bps, counted))
    assert (spent_bps <= np.maximum(problem.keep_bps - audio_bps, 0.0) + beyond_bps).all()


@PEERS
def test_nobody_watching_is_no_problem(policy: Policy) -> None:
    assert chosen_for(policy, Link((), 1_000)) == [()]
