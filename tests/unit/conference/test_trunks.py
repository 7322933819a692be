"""One call over several foci: what crosses a trunk, who sees whom, and what is left when one is gone."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sfu.conference.sender_layers import OFF_AFTER_S
from sfu.conference.turn import Dial, SetSpeech, StartDtls
from sfu.conference.values import (
    DecisionsExplained,
    DescriptionType,
    GuestDescription,
    Reason,
    SendDescription,
    Wish,
)
from sfu.config import ConferenceConfig, LimitsConfig
from sfu.errors import CapacityError, LocalError
from sfu.plane import AddTransport
from sfu.units import Kind, Rid
from tests.unit.conference.caller import Call, of_type
from tests.unit.conference.hop import Net, Site

if TYPE_CHECKING:
    from sfu.units import TrackHandle, TransportId

VIDEO, AUDIO = ("alice-stream", "alice-video"), ("alice-stream", "alice-audio")
SMALL, MIDDLE, LARGE = Wish(*VIDEO, 320, 180), Wish(*VIDEO, 640, 360), Wish(*VIDEO, 1280, 720)
SOUND = Wish(*AUDIO)
SETTLED_S = OFF_AFTER_S + 2.0


class Pair(Net):
    """Alice is on one focus, Bob on the other."""

    def __init__(self) -> None:
        super().__init__("one", "two")
        self.one, self.two = self.sites
        self.alice = self.join(self.one, "alice")
        self.bob = self.join(self.two, "bob")
        self.pass_s(1)
        self.here, self.there = self.connect(self.one, self.two)
        self.pass_s(1)

    def wish(self, *wishes: Wish) -> None:
        """Bob wants something."""
        self.subscribe(self.two, self.bob, *wishes)

    def crossed(self) -> dict[int, int]:
        """Bytes of Alice's picture that have crossed, by encoding."""
        carried = self.two.carried.get(self.there, {})
        pictures = (it for track, it in carried.items() if self.two.tracks[track].kind is Kind.VIDEO)
        return dict(next(pictures, {}))


# --- who sees whom ----------------------------------------------------------------------------------------


def test_people_of_another_focus_are_announced_like_anybody_and_before_anything_of_them_flows() -> None:
    net = Pair()
    elsewhere = net.two.call.conference.view(net.bob)
    carol = net.join(net.one, "carol", "")
    here = net.one.call.conference.view(carol)
    assert [one.stream for one in elsewhere] == [one.stream for one in here if one.owner == net.alice]
    assert elsewhere[0].owner == net.two.guest("alice")
    assert net.two.call.conference.guests == {elsewhere[0].owner: "alice"}
    assert not [one for one in net.two.tracks.values() if one.transport == net.there]
    assert not net.two.carried


def test_mutes_arrive_and_who_leaves_is_gone_on_both_sides() -> None:
    net = Pair()
    net.mute(net.one, net.alice, video=True)
    net.pass_s(0.5)
    assert [one.stream.video_muted for one in net.two.call.conference.view(net.bob)] == [True]
    net.leave(net.one, net.alice)
    net.pass_s(1)
    assert net.two.call.conference.view(net.bob) == ()
    assert net.two.call.conference.guests == {}


def test_a_trunk_is_never_told_of_its_own_guests_and_gets_nothing_of_them() -> None:
    net = Pair()
    net.wish(MIDDLE, SOUND)
    net.pass_s(1)
    back = net.two.call.conference.view(net.there)
    assert [net.two.keys[one.owner] for one in back] == ["bob"]
    net.subscribe(net.two, net.there, Wish(*AUDIO), Wish(*VIDEO, layers=(Rid("q"),)))
    net.pass_s(1)
    assert not [one for one in net.two.routes.values() if one.transport == net.there]


def test_guests_speak_and_are_told_as_speakers_under_their_own_ids() -> None:
    net = Pair()
    net.wish(SOUND)
    net.one.loud.add(net.one.track(net.alice, Kind.AUDIO))
    for _ in range(8):
        net.pass_s(0.6)
        # Who never pauses is no speaker.
        net.one.loud ^= {net.one.track(net.alice, Kind.AUDIO)}
    assert [one.leg for one in net.one.speakers] == [net.alice]
    assert [one.leg for one in net.two.speakers] == [net.two.guest("alice")]


def test_guests_take_the_places_of_the_loudest_and_lose_them_like_anybody() -> None:
    net = Net("one", "two")
    one, two = net.sites
    two.call = Call(ConferenceConfig(loudest=1, loudest_from=3))
    alice = net.join(one, "alice", "audio")
    bob, carol = net.join(two, "bob", "audio"), net.join(two, "carol", "audio")
    net.connect(one, two)
    net.pass_s(1)
    net.subscribe(two, bob, SOUND, Wish("carol-stream", "carol-audio"))
    net.pass_s(1)
    guests = next(it.track for it in two.tracks.values() if it.transport in two.trunks)
    own = two.track(carol, Kind.AUDIO)

    def unheard(site: Site, speaks: TrackHandle) -> set[TrackHandle]:
        site.loud = {speaks}
        net.pass_s(0.5)
        site.loud = set()
        net.pass_s(0.5)
        return set(of_type(two.told, SetSpeech)[-1].unheard)

    assert own in unheard(one, one.track(alice, Kind.AUDIO))
    assert guests not in unheard(one, one.track(alice, Kind.AUDIO))
    net.pass_s(3)
    assert guests in unheard(two, own)


# --- what crosses -----------------------------------------------------------------------------------------


def test_what_is_wanted_is_asked_for_at_once_and_what_is_not_needed_is_given_up_after_a_while() -> None:
    net = Pair()
    net.wish(MIDDLE, SOUND)
    (asked,) = net.two.demanded()
    assert asked.leg == net.there
    assert [(one.track_id, one.layers) for one in asked.wanted] == [
        ("alice-video", ("q", "h")),
        ("alice-audio", ()),
    ]
    net.pass_s(SETTLED_S)
    assert net.two.layers(net.bob) == [1]
    assert net.one.layers(net.here) == [1]
    before = net.crossed()
    net.pass_s(5)
    assert {encoding: size - before[encoding] for encoding, size in net.crossed().items()} == {
        0: 0,
        1: 5 * 300_000 // 8,
    }


def test_however_many_look_on_each_layer_crosses_once() -> None:
    sizes = []
    for viewers in (1, 20):
        net = Pair()
        for number in range(viewers):
            viewer = net.join(net.two, f"viewer{number}", "")
            net.subscribe(net.two, viewer, MIDDLE, SOUND)
        net.pass_s(10)
        sizes.append(net.crossed())
        assert sum(net.two.layers(leg) == [1] for leg in net.two.call.conference.legs) == viewers
    assert sizes[0] == sizes[1]


def test_each_size_that_somebody_looks_at_crosses_and_no_other() -> None:
    net = Pair()
    carol = net.join(net.two, "carol", "")
    net.wish(SMALL)
    net.subscribe(net.two, carol, LARGE)
    net.pass_s(SETTLED_S)
    assert net.one.layers(net.here) == [0, 2]
    assert (net.two.layers(net.bob), net.two.layers(carol)) == ([0], [2])


def test_a_tile_that_grows_is_followed_at_once_and_one_that_shrinks_after_a_while() -> None:
    net = Pair()
    net.wish(SMALL)
    net.pass_s(SETTLED_S)
    assert net.one.layers(net.here) == [0]
    net.wish(LARGE)
    net.pass_s(0.5)
    assert net.two.layers(net.bob) == [2]
    net.pass_s(SETTLED_S)
    assert net.one.layers(net.here) == [2]
    net.wish(SMALL)
    net.pass_s(1)
    assert net.two.layers(net.bob) == [0]
    assert net.one.layers(net.here) == [0, 2]
    net.pass_s(SETTLED_S)
    assert net.one.layers(net.here) == [0]


def test_what_nobody_wants_any_more_is_given_back_after_a_while_with_its_section() -> None:
    net = Pair()
    net.wish(MIDDLE, SOUND)
    net.pass_s(SETTLED_S)
    net.two.demanded()
    net.unsubscribe(net.two, net.bob, VIDEO, AUDIO)
    net.pass_s(OFF_AFTER_S - 0.5)
    assert not net.two.demanded()
    net.pass_s(1)
    (given_back,) = net.two.demanded()
    assert given_back.wanted == ()
    assert set(given_back.unwanted) == {VIDEO, AUDIO}
    assert not net.one.routes
    assert not [one for one in net.two.tracks.values() if one.transport == net.there]
    assert net.two.call.ids(net.bob) == {VIDEO, AUDIO}


def test_what_is_out_of_sight_keeps_its_section_and_nothing_flows() -> None:
    net = Pair()
    net.wish(MIDDLE)
    net.pass_s(SETTLED_S)
    net.two.demanded()
    received, routes = dict(net.two.tracks), set(net.two.routes)
    net.wish(Wish(*VIDEO, 640, 360, is_visible=False))
    net.pass_s(SETTLED_S)
    assert [one.wanted for one in net.two.demanded()] == [(Wish(*VIDEO, is_visible=False),)]
    assert net.one.layers(net.here) == []
    net.pass_s(4 * SETTLED_S)
    assert not net.two.demanded()
    net.wish(MIDDLE)
    net.pass_s(0.5)
    assert net.two.layers(net.bob) == [1]
    assert (net.two.tracks, set(net.two.routes)) == (received, routes)


def test_for_what_was_never_looked_at_no_section_is_asked_for() -> None:
    net = Pair()
    net.wish(Wish(*VIDEO, 640, 360, is_visible=False))
    net.pass_s(SETTLED_S)
    assert not net.two.demanded()
    assert not net.one.routes


def test_a_publisher_is_told_to_send_what_is_wanted_beyond_a_trunk() -> None:
    net = Pair()
    net.pass_s(SETTLED_S)
    assert net.one.sent_layers(net.alice) == ["q"]
    net.wish(LARGE)
    net.pass_s(0.3)
    assert net.one.sent_layers(net.alice)[-1] == "f"
    net.pass_s(2 * SETTLED_S)
    assert net.one.sent_layers(net.alice) == ["q", "f"]
    net.unsubscribe(net.two, net.bob, VIDEO)
    net.pass_s(2 * SETTLED_S)
    assert net.one.sent_layers(net.alice) == ["q"]


def test_where_a_trunk_is_too_narrow_people_get_the_lower_layer_that_it_carries() -> None:
    net = Pair()
    net.one.budgets_bps[net.here] = 250_000
    net.wish(LARGE, SOUND)
    net.pass_s(SETTLED_S)
    assert net.one.layers(net.here) == [0]
    assert net.two.layers(net.bob) == [0]
    assert any(net.two.tracks[track].kind is Kind.AUDIO for track in net.two.carried[net.there])
    told = [one for one in net.one.told if isinstance(one, DecisionsExplained) and one.leg == net.here]
    reasons = {one.wish.track_id: one.reason for it in told for one in it.explanations}
    assert reasons == {"alice-video": Reason.BUDGET, "alice-audio": Reason.SIZE}
    del net.one.budgets_bps[net.here]
    net.pass_s(2 * SETTLED_S)
    assert net.two.layers(net.bob) == [2]
    assert net.one.layers(net.here) == [2]


def test_what_nobody_can_decode_does_not_cross_and_is_not_asked_for_again_and_again() -> None:
    net = Pair()
    carol = net.join(net.two, "carol", codecs=("h264",))
    net.subscribe(net.two, carol, MIDDLE)
    net.pass_s(SETTLED_S)
    assert net.one.layers(net.here) == []
    net.two.demanded()
    before = net.crossed()
    net.pass_s(4 * SETTLED_S)
    assert not net.two.demanded()
    assert net.crossed() == before
    net.wish(MIDDLE)
    net.pass_s(1)
    assert net.two.layers(net.bob) == [1]


def test_a_track_of_one_encoding_crosses_as_one_stream_as_to_a_client() -> None:
    net = Pair()
    net.wish(SOUND)
    net.pass_s(1)
    (route,) = [one for one in net.one.routes.values() if one.transport == net.here]
    assert net.one.demands[route.route].only == -1
    assert [one.layers for one in net.two.demanded()[0].wanted] == [()]


def test_the_layers_of_a_track_have_their_own_routes_and_rows_under_one_mid() -> None:
    net = Pair()
    net.wish(MIDDLE)
    net.pass_s(0.5)
    routes = [one for one in net.one.routes.values() if one.transport == net.here]
    assert len({one.ssrc for one in routes}) == len({one.route for one in routes}) == 3
    assert len({one.mid for one in routes}) == len({one.track for one in routes}) == 1
    rows = [net.one.demands[one.route] for one in routes]
    assert [(one.only, one.height, one.is_visible) for one in rows] == [
        (0, 180, True),
        (1, 360, True),
        (2, 720, False),
    ]


def test_a_far_side_that_names_no_layers_is_sent_the_one_that_fits() -> None:
    net = Pair()
    net.subscribe(net.one, net.here, Wish(*VIDEO, 640, 360))
    net.pass_s(1)
    (route,) = [one for one in net.one.routes.values() if one.transport == net.here]
    assert (net.one.demands[route.route].only, net.one.layers(net.here)) == (-1, [1])
    net.subscribe(net.one, net.here, Wish(*VIDEO, layers=(Rid("f"), Rid("nonsense"))))
    net.pass_s(1)
    assert net.one.layers(net.here) == [2]
    assert len([one for one in net.one.routes.values() if one.transport == net.here]) == 3


def test_a_client_that_names_layers_is_sent_one_stream_all_the_same() -> None:
    net = Pair()
    carol = net.join(net.one, "carol", "")
    net.subscribe(net.one, carol, Wish(*VIDEO, 640, 360, layers=(Rid("q"), Rid("f"))))
    net.pass_s(1)
    assert net.one.layers(carol) == [1]


# --- when a trunk is gone ---------------------------------------------------------------------------------


def test_guests_stay_when_their_trunk_is_gone_and_flow_again_when_there_is_another() -> None:
    net = Pair()
    net.wish(MIDDLE, SOUND)
    net.pass_s(SETTLED_S)
    guest = net.two.guest("alice")
    net.cut(net.two, net.there)
    net.pass_s(5)
    assert net.two.call.ids(net.bob) == {VIDEO, AUDIO}
    assert net.two.call.conference.guests == {guest: "alice"}
    assert not net.two.routes
    net.connect(net.two, net.one)
    net.pass_s(SETTLED_S)
    assert net.two.layers(net.bob) == [1]
    assert net.two.guest("alice") == guest


def test_a_channel_that_comes_back_is_told_everything_again() -> None:
    net = Pair()
    net.wish(MIDDLE)
    net.pass_s(SETTLED_S)
    (before, *_) = reversed(net.two.demanded())
    conference = net.two.call.conference
    conference.channel_lost(net.now, net.there)
    net.wish(LARGE)
    net.pass_s(0.5)
    assert not net.two.demanded()
    net.carry(net.two, conference.channel_ready(net.now, net.there))
    (again,) = net.two.demanded()
    assert [one.layers for one in before.wanted] == [("h",)]
    assert [one.layers for one in again.wanted] == [("h", "f")]
    conference.channel_lost(net.now, net.there)
    net.unsubscribe(net.two, net.bob, VIDEO)
    net.pass_s(SETTLED_S)
    net.carry(net.two, conference.channel_ready(net.now, net.there))
    (again,) = net.two.demanded()
    assert (again.wanted, again.unwanted) == ((), (VIDEO,))
    net.carry(net.two, conference.channel_ready(net.now, net.there))
    assert not net.two.demanded()


def test_guests_who_have_left_by_other_news_are_gone_at_once_and_given_back() -> None:
    net = Pair()
    net.wish(MIDDLE)
    net.pass_s(SETTLED_S)
    net.two.demanded()
    net.carry(net.two, net.two.call.conference.remove_guests(net.now, ["alice", "nobody"]))
    assert [one.unwanted for one in net.two.demanded()] == [(VIDEO,)]
    net.pass_s(1)
    assert net.two.call.ids(net.bob) == set()
    assert not net.one.routes
    assert not net.two.routes


def test_what_a_guest_publishes_no_more_is_not_asked_for_any_more() -> None:
    net = Pair()
    net.wish(MIDDLE, SOUND)
    net.pass_s(SETTLED_S)
    net.two.demanded()
    (told,) = net.two.call.conference.view(net.bob)
    sound = tuple(one for one in told.stream.tracks if one.kind is Kind.AUDIO)
    without = GuestDescription("alice", (replace(told.stream, tracks=sound),))
    net.carry(net.two, net.two.call.conference.guests_described(net.now, net.there, [without]))
    assert [one.unwanted for one in net.two.demanded()] == [(VIDEO,)]


def test_somebody_who_moves_to_another_focus_is_the_same_and_comes_by_its_trunk() -> None:
    net = Net("one", "two", "three")
    one, two, three = net.sites
    alice, bob = net.join(one, "alice"), net.join(two, "bob")
    net.connect(one, two)
    _, there = net.connect(three, two)
    net.pass_s(1)
    net.subscribe(two, bob, MIDDLE)
    net.pass_s(SETTLED_S)
    guest = two.guest("alice")
    net.join(three, "alice")
    net.pass_s(0.5)
    net.leave(one, alice)
    net.pass_s(SETTLED_S)
    assert two.guest("alice") == guest
    assert two.layers(bob) == [1]
    assert {it.transport for it in two.tracks.values() if it.transport in two.trunks} == {there}


# --- relays -----------------------------------------------------------------------------------------------


def line() -> tuple[Net, Site, Site, Site, TransportId, TransportId]:
    """Alice on the first of three foci in a row, Carol on the last."""
    net = Net("one", "two", "three")
    one, two, three = net.sites
    net.join(one, "alice")
    carol = net.join(three, "carol")
    net.connect(one, two)
    onward, _ = net.connect(two, three)
    net.pass_s(1)
    return net, one, two, three, onward, carol


def test_guests_pass_on_by_other_trunks_only_where_they_may() -> None:
    net, one, two, three, onward, carol = line()
    assert three.call.ids(carol) == set()
    net.subscribe(two, onward, SOUND)
    net.pass_s(1)
    assert not two.routes
    two.relays["alice"] = frozenset({onward})
    for trunk in one.trunks:
        net.announce(one, trunk)
    net.pass_s(1)
    assert three.call.ids(carol) == {VIDEO, AUDIO}
    net.subscribe(three, carol, MIDDLE, SOUND)
    net.pass_s(2 * SETTLED_S)
    assert three.layers(carol) == [1]
    assert [one.layers(trunk) for trunk in one.trunks] == [[1]]
    assert two.layers(onward) == [1]


def test_what_may_not_pass_any_more_ends_and_is_given_back_to_its_origin() -> None:
    net, one, two, three, onward, carol = line()
    two.relays["alice"] = frozenset({onward})
    for trunk in one.trunks:
        net.announce(one, trunk)
    net.pass_s(1)
    net.subscribe(three, carol, MIDDLE)
    net.pass_s(SETTLED_S)
    two.relays.clear()
    for trunk in one.trunks:
        net.announce(one, trunk)
    net.pass_s(2 * SETTLED_S)
    assert three.call.ids(carol) == set()
    assert not two.routes
    assert not one.routes


# --- dialling ---------------------------------------------------------------------------------------------


def test_who_dials_offers_first_looks_for_the_other_and_begins_dtls_and_the_other_waits() -> None:
    dialler, callee = Call(), Call()
    trunk, added = dialler.conference.add_trunk(dialler.now, dials=True)
    assert isinstance(added[0], AddTransport)
    assert added[0].own_port
    (offer,) = of_type(added, SendDescription)
    assert offer.type is DescriptionType.OFFER
    assert "a=candidate" not in offer.sdp
    assert added[-1] is offer
    there, accepted = callee.conference.add_trunk(callee.now, dials=False)
    assert [(type(one), getattr(one, "own_port", None)) for one in accepted] == [(AddTransport, False)]
    answered = callee.conference.offer_received(callee.now, there, offer.sdp, None)
    (waits,) = of_type(answered, StartDtls)
    assert not waits.is_client
    assert not of_type(answered, Dial)
    (answer,) = of_type(answered, SendDescription)
    outputs = dialler.conference.answer_received(dialler.now, trunk, answer.sdp, None)
    (dial,), (begins,) = of_type(outputs, Dial), of_type(outputs, StartDtls)
    assert begins.is_client
    assert dial.credentials == added[0].credentials
    assert dial.addresses == (("192.0.2.1", 10_000),)
    assert isinstance(accepted[0], AddTransport)
    assert dial.remote == accepted[0].credentials


def test_who_is_dialled_moves_the_dialler_nowhere_by_a_description_without_a_restart() -> None:
    dialler, callee = Call(), Call()
    trunk, added = dialler.conference.add_trunk(dialler.now, dials=True)
    there, _ = callee.conference.add_trunk(callee.now, dials=False)
    (offer,) = of_type(added, SendDescription)
    answered = callee.conference.offer_received(callee.now, there, offer.sdp, None)
    (answer,) = of_type(answered, SendDescription)
    dialler.conference.answer_received(dialler.now, trunk, answer.sdp, None)
    elsewhere = answer.sdp.replace("192.0.2.1 10000", "192.0.2.2 10000")
    assert elsewhere != answer.sdp
    moved = elsewhere.replace("a=setup:passive", "a=setup:actpass")
    outputs = dialler.conference.offer_received(dialler.now, trunk, moved, None)
    assert of_type(outputs, SendDescription)
    assert not of_type(outputs, Dial)


def test_a_trunk_takes_the_place_of_a_leg_and_nothing_else_has_guests() -> None:
    call = Call(limits=LimitsConfig(legs_per_call=1))
    leg, _ = call.conference.add_leg(call.now, admitted=True)
    for dials in (False, True):
        with pytest.raises(CapacityError):
            call.conference.add_trunk(call.now, dials=dials)
    with pytest.raises(LocalError):
        call.conference.guests_described(call.now, leg, [])


# --- whatever happens -------------------------------------------------------------------------------------


class Chance:
    """A call in which anything happens."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.net = Net("one", "two", "three")
        self.people: list[tuple[Site, TransportId]] = []
        self.trunks: list[tuple[Site, TransportId]] = []
        self.joined = 0

    def join(self) -> None:
        if len(self.people) < 6:
            self.joined += 1
            site = self.dice.choice(self.net.sites)
            self.people.append((site, self.net.join(site, f"p{self.joined}")))

    def leave(self) -> None:
        if self.people:
            site, leg = self.people.pop(self.dice.randrange(len(self.people)))
            self.net.leave(site, leg)
            # What room state says: where the trunk is cut, nobody else does.
            for other in self.net.sites:
                gone = other.call.conference.remove_guests(self.net.now, [site.keys[leg]])
                self.net.carry(other, gone)

    def connect(self) -> None:
        a, b = self.dice.sample(self.net.sites, 2)
        if not any(other is b for other, _ in a.trunks.values()):
            self.trunks.append((a, self.net.connect(a, b)[0]))

    def cut(self) -> None:
        if len(self.trunks) > 1:
            self.net.cut(*self.trunks.pop(self.dice.randrange(len(self.trunks))))

    def unsubscribe(self) -> None:
        if self.people:
            site, leg = self.dice.choice(self.people)
            for ids in sorted(site.call.ids(leg))[:1]:
                self.net.unsubscribe(site, leg, ids)

    def subscribe(self) -> None:
        if self.people:
            site, leg = self.dice.choice(self.people)
            for ids in sorted(site.call.ids(leg)):
                height, is_visible = self.dice.choice((180, 360, 720)), self.dice.random() < 0.8
                self.net.subscribe(site, leg, Wish(*ids, height * 16 // 9, height, is_visible=is_visible))

    def step(self) -> None:
        """One thing happens, and some time passes."""
        what = (self.join, self.join, self.leave, self.connect, self.cut, self.unsubscribe, self.subscribe)
        self.dice.choice(what)()
        self.net.pass_s(self.dice.choice((0.1, 0.5, 2.0)))

    def pictures(self, site: Site, leg: TransportId) -> int:
        """Of how many others a picture can come to somebody: those on the same focus, or one trunk away."""
        reached = {id(site), *(id(other) for other, _ in site.trunks.values())}
        return sum(id(other) in reached for other, it in self.people if (other, it) != (site, leg))


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_what_is_wanted_comes_once_and_in_the_end_nothing_is_left(seed: int) -> None:
    call = Chance(seed)
    for _ in range(40):
        call.step()
        for site in call.net.sites:
            assert set(site.demands) == set(site.routes)
            ssrcs = [(one.transport, one.ssrc) for one in site.routes.values()]
            assert len(set(ssrcs)) == len(ssrcs)
    call.net.pass_s(1)
    for site, leg in call.people:
        for ids in sorted(site.call.ids(leg)):
            call.net.subscribe(site, leg, Wish(*ids, 640, 360))
    call.net.pass_s(3 * SETTLED_S)
    for site, leg in call.people:
        assert site.layers(leg) == [1] * call.pictures(site, leg)
    for site, trunk in call.trunks:
        far, there = site.trunks[trunk]
        assert set(site.layers(trunk)) | set(far.layers(there)) <= {1}
    while call.people:
        call.leave()
    call.net.pass_s(3 * SETTLED_S)
    for site in call.net.sites:
        assert (site.routes, site.tracks, site.demands) == ({}, {}, {})
        assert site.call.conference.guests == {}
