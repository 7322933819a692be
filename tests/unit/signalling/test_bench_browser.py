"""What `focus bench` says in the name of browsers is what a conference takes."""

from __future__ import annotations

import random

import pytest

from sfu.conference.conference import Conference, ConferenceOutput, LocalMedia
from sfu.conference.ids import IdSource
from sfu.conference.reports import Reports
from sfu.conference.values import DescriptionType, SendDescription, Wish
from sfu.config import SfuConfig
from sfu.negotiation.parameters import Candidate, Fingerprint
from sfu.plane import Extension, SetRoute, SetTrack, StreamBound
from sfu.units import Instant, Kind, Ssrc
from signalling.cli.bench.browser import answer, publisher_offer, stream_of, subscriber_offer

NOW = Instant(1_000_000_000)


def conference() -> Conference:
    ids, config = IdSource(), SfuConfig()
    local = LocalMedia(
        Fingerprint("sha-256", ":".join(["CD"] * 32)), (Candidate("127.0.0.1", 9, 2_130_706_431),)
    )
    return Conference(
        ids.conference(),
        ids,
        local,
        config.conference,
        config.limits,
        random.Random(1),  # a test must repeat itself
        Reports(),
    )


def published(call: Conference, kind: Kind) -> SetTrack:
    """A publisher's track, announced."""
    leg, _ = call.add_leg(NOW, admitted=True)
    offer = publisher_offer(kind, "alice", Ssrc(1))
    outputs = call.offer_received(NOW, leg, offer, [stream_of(kind, "alice")])
    (track,) = (one for one in outputs if isinstance(one, SetTrack))
    call.plane_event(NOW, StreamBound(track.track, 0, Ssrc(1)))
    while (due_at := call.next_timeout()) is not None:
        call.handle_timeout(due_at)
    return track


def routes(outputs: list[ConferenceOutput]) -> list[SetRoute]:
    return [one for one in outputs if isinstance(one, SetRoute)]


@pytest.mark.parametrize("kind", Kind)
def test_a_publisher_is_heard_under_the_numbers_of_the_rig(kind: Kind) -> None:
    track = published(conference(), kind)
    assert track.kind is kind
    assert track.formats[0].payload_type == 96
    assert (track.extensions[Extension.MID], track.extensions[Extension.TRANSPORT_CC]) == (1, 2)


@pytest.mark.parametrize("kind", Kind)
def test_a_subscriber_agrees_to_what_it_is_offered(kind: Kind) -> None:
    call = conference()
    published(call, kind)
    leg, _ = call.add_leg(NOW, admitted=True)
    call.offer_received(NOW, leg, subscriber_offer(), [])
    call.channel_ready(NOW, leg)
    (offer,) = (
        one
        for one in call.subscribe(NOW, leg, [Wish("alice-stream", "alice-track", 640, 360)])
        if isinstance(one, SendDescription)
    )
    assert offer.type is DescriptionType.OFFER
    (route,) = routes(call.answer_received(NOW, leg, answer(offer.sdp), None))
    assert (route.rtx_ssrc is not None) == (kind is Kind.VIDEO)
