"""Whose connection it is that limits a picture from another focus, layer by layer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from sfu.conference.hops import WITHHOLDING
from sfu.conference.values import (
    DecisionsExplained,
    Explanation,
    FarDecision,
    GuestDescription,
    Hop,
    Limit,
    Reason,
    Wish,
)
from sfu.errors import LocalError
from sfu.units import Kind, Rid, TransportId
from tests.unit.conference.caller import described
from tests.unit.conference.test_trunks import LARGE, MIDDLE, SETTLED_S, SMALL, SOUND, VIDEO, Pair

if TYPE_CHECKING:
    from tests.unit.conference.hop import Site

Q, H, F = (Rid(rid) for rid in "qhf")
NARROW_BPS: Final = 250_000
"""For sound and the lowest layer."""
HIDDEN: Final = replace(LARGE, is_visible=False)


def told(site: Site, leg: TransportId, track_id: str = VIDEO[1]) -> Explanation:
    """The last that a leg was told of a track."""
    return told_layers(site, leg, track_id)[-1]


def told_layers(site: Site, leg: TransportId, track_id: str = VIDEO[1]) -> list[Explanation]:
    """The same of each layer, as it was told together."""
    found = [one for one in site.told if isinstance(one, DecisionsExplained) and one.leg == leg]
    by_turn = [[it for it in one.explanations if it.wish.track_id == track_id] for one in found]
    return [one for one in by_turn if one][-1]


def narrow() -> Pair:
    """Over a trunk that carries the lowest layer, Bob wants all."""
    net = Pair()
    net.one.budgets_bps[net.here] = NARROW_BPS
    net.wish(LARGE, SOUND)
    net.pass_s(SETTLED_S)
    return net


def says(net: Pair, rid: Rid | None, reason: Reason, ids: tuple[str, str] = VIDEO) -> None:
    """The other focus explains something."""
    said = FarDecision(*ids, rid, reason, Limit(1.0, 2.0))
    net.two.call.conference.trunk_explained(net.there, [said])
    net.pass_s(0.5)


def test_who_gets_less_because_a_trunk_carries_no_more_is_told_so_and_with_more_is_not() -> None:
    net = narrow()
    why = told(net.two, net.bob)
    assert why.reason is Reason.HOP
    assert why.hop is not None
    assert (why.hop.owner, why.hop.reason) == (net.two.guest("alice"), Reason.BUDGET)
    assert why.hop.limit is not None
    assert why.hop.limit.rate_bps == NARROW_BPS
    assert told(net.two, net.bob, "alice-audio").reason is Reason.SIZE
    del net.one.budgets_bps[net.here]
    net.pass_s(2 * SETTLED_S)
    assert told(net.two, net.bob).reason is Reason.SIZE


def test_a_trunk_is_told_of_each_layer_that_it_wants() -> None:
    net = narrow()
    layers = told_layers(net.one, net.here)
    assert [(one.layer, one.reason) for one in layers] == [
        (Q, Reason.SIZE),
        (H, Reason.BUDGET),
        (F, Reason.BUDGET),
    ]
    assert [one.sent is None for one in layers] == [False, True, True]
    assert told(net.one, net.here, "alice-audio").layer is None
    net.wish(HIDDEN)
    net.pass_s(SETTLED_S)
    (hidden,) = told_layers(net.one, net.here)
    assert (hidden.layer, hidden.reason) == (None, Reason.NOT_VISIBLE)


def test_whoever_gets_what_fits_is_not_limited_by_the_layer_that_others_miss() -> None:
    net = narrow()
    carol = net.join(net.two, "carol", "")
    net.subscribe(net.two, carol, SMALL)
    net.pass_s(1)
    assert told(net.two, carol).reason is Reason.SIZE
    assert told(net.two, net.bob).reason is Reason.HOP


def test_a_layer_that_the_sender_does_not_send_is_the_senders_matter() -> None:
    net = Pair()
    net.wish(LARGE)
    net.pass_s(SETTLED_S)
    for reason in set(Reason) - WITHHOLDING:
        says(net, F, reason)
        assert told(net.two, net.bob).reason is Reason.SIZE
    net.one.silent.add(net.one.track(net.alice, Kind.VIDEO))
    net.pass_s(SETTLED_S)
    assert told(net.two, net.bob).reason is Reason.PAUSED


def test_without_a_trunk_the_hop_is_the_reason_and_has_none_of_its_own() -> None:
    net = Pair()
    net.wish(MIDDLE, SOUND)
    net.pass_s(1)
    net.cut(net.one, net.here)
    net.pass_s(1)
    for track_id in ("alice-video", "alice-audio"):
        why = told(net.two, net.bob, track_id)
        assert (why.reason, why.sent, why.hop) == (Reason.HOP, None, Hop(net.two.guest("alice"), None))
    net.here, net.there = net.connect(net.one, net.two)
    net.pass_s(2)
    assert told(net.two, net.bob).reason is Reason.SIZE


@pytest.mark.parametrize("reason", [Reason.CODEC, Reason.REFUSED, Reason.FULL])
def test_a_track_that_never_arrives_because_the_trunk_has_no_place_for_it_is_told_so(reason: Reason) -> None:
    net = Pair()
    net.two.call.conference.channel_lost(net.now, net.bob)
    net.cut(net.one, net.here)
    net.here, net.there = net.connect(net.one, net.two)
    net.carry(net.one, net.one.call.conference.channel_lost(net.now, net.here))
    net.carry(net.two, net.two.call.conference.channel_ready(net.now, net.bob))
    net.wish(MIDDLE)
    net.pass_s(1)
    assert told(net.two, net.bob).reason is Reason.NEGOTIATING
    says(net, None, reason)
    why = told(net.two, net.bob)
    assert (why.reason, why.hop is not None and why.hop.reason) == (Reason.HOP, reason)


def test_what_was_said_of_a_layer_counts_no_more_once_it_is_not_asked_for() -> None:
    net = narrow()
    assert [one.rid for one in far(net)] == [Q, H, F]
    net.wish(SMALL)
    net.pass_s(2 * SETTLED_S)
    assert [one.rid for one in far(net)] == [Q]
    net.unsubscribe(net.two, net.bob, VIDEO)
    net.pass_s(2 * SETTLED_S)
    assert far(net) == ()


def far(net: Pair) -> tuple[FarDecision, ...]:
    """What is remembered of what the other focus said of Alice's picture."""
    guests = net.two.call.conference._guests
    (track,) = [one for one in guests.tracks_of(net.there) if one.ids == VIDEO]
    return track.far


def test_what_is_said_of_unknown_tracks_is_ignored_and_of_known_ones_no_more_kept_than_there_is() -> None:
    net = narrow()
    before = far(net)
    says(net, Q, Reason.CAP, ("alice-stream", "nothing"))
    assert far(net) == before
    many = [FarDecision(*VIDEO, Rid(f"r{number}"), Reason.CAP) for number in range(100)]
    net.two.call.conference.trunk_explained(net.there, many)
    assert len(far(net)) == 4
    later = replace(many[0], reason=Reason.BUDGET)
    net.two.call.conference.trunk_explained(net.there, [later])
    net.two.call.conference.remove_guests(net.now, ["alice"])
    net.pass_s(1)
    assert told(net.two, net.bob).reason is Reason.NOT_PUBLISHED
    with pytest.raises(LocalError):
        net.two.call.conference.trunk_explained(TransportId(999), many)


def test_the_next_step_up_is_the_one_that_is_told_of() -> None:
    net = narrow()
    words = [FarDecision(*VIDEO, rid, Reason.CAP, Limit(float(at), 0.0)) for at, rid in enumerate((Q, H, F))]
    net.two.call.conference.trunk_explained(net.there, words)
    net.pass_s(0.5)
    why = told(net.two, net.bob)
    assert why.hop is not None
    assert why.hop.limit == Limit(1.0, 0.0)


def test_what_is_said_of_a_guest_before_anybody_is_told_of_it_finds_nobody() -> None:
    net = Pair()
    call = net.two.call.conference
    stranger = GuestDescription("erin", (described("erin", "video")[0],))
    known = GuestDescription("alice", (described("alice")[0],))
    call.guests_described(net.now, net.there, [known, stranger])
    call.trunk_explained(net.there, [FarDecision("erin-stream", "erin-video", Q, Reason.CAP)])
    assert call._hops.is_stale
    assert call._hops.changed() == set()


def test_wishes_of_others_say_nothing_of_somebodys_own_picture() -> None:
    net = narrow()
    net.subscribe(net.two, net.bob, Wish("nobody", "nothing"))
    net.pass_s(0.5)
    assert told(net.two, net.bob, "nothing").reason is Reason.NOT_PUBLISHED
