from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sfu.allocation.budgets import NO_CAPS
from sfu.allocation.layout import layout_of
from sfu.allocation.speech import NO_SPEECH
from sfu.allocation.table import DemandTable
from sfu.conference.demands import fitting_encoding
from sfu.conference.sender_layers import OFF_AFTER_S
from sfu.conference.turn import SetDemand
from sfu.conference.values import (
    DecisionsExplained,
    GuestDescription,
    LayersDemanded,
    Reason,
    Source,
    StreamDescription,
    TrackDescription,
    Wish,
)
from sfu.units import Kind, Rid, RouteId, TrackHandle, TransportId
from tests.unit.conference.caller import of_type
from tests.unit.conference.hop import Net

PIXELS = st.integers(0, 4_000)
VIDEO = ("dora-stream", "dora-video")


class Waiting(Net):
    """Bob is told of Dora, of whom nothing ever comes."""

    def __init__(self, layers: str = "qhf", *, admitted: bool = True) -> None:
        super().__init__("one")
        (self.site,) = self.sites
        conference = self.site.call.conference
        self.trunk, _ = conference.add_trunk(self.now, dials=False)
        self.bob = self.join(self.site, "bob", "")
        self.layers = layers
        conference.channel_ready(self.now, self.trunk)
        self.site.trunks = {}
        self.describe()

    def describe(self, stream_id: str = "dora-stream", source: Source = Source.CAMERA) -> None:
        """What Dora's focus says of her."""
        layers = tuple(Rid(rid) for rid in self.layers)
        track = TrackDescription("dora-video", Kind.VIDEO, 1280, 720, layers)
        said = GuestDescription("dora", (StreamDescription(stream_id, source, (track,)),))
        self.perform(self.site.call.conference.guests_described(self.now, self.trunk, [said]))
        self.pass_s(1)

    def wish(self, *wishes: Wish) -> list[LayersDemanded]:
        """Bob wants something; what is demanded at once."""
        return self.perform(self.site.call.conference.subscribe(self.now, self.bob, wishes))

    def perform(self, outputs: list) -> list[LayersDemanded]:  # type: ignore[type-arg]  # of a conference
        found = of_type(outputs, LayersDemanded)
        for one in outputs:
            self.site.note(one)
        return found


@given(
    tile=st.tuples(PIXELS, PIXELS),
    full=st.tuples(PIXELS, PIXELS),
    encodings=st.integers(1, 3),
    max_height=st.sampled_from((0, 90, 360, 720)),
    screen_share=st.booleans(),
)
def test_what_will_fit_is_known_as_the_allocator_will_find_it(
    tile: tuple[int, int], full: tuple[int, int], encodings: int, max_height: int, *, screen_share: bool
) -> None:
    demand = SetDemand(
        RouteId(1),
        TransportId(1),
        TrackHandle(1),
        Kind.VIDEO,
        *tile,
        *full,
        encodings,
        max_height,
        screen_share,
    )
    table = DemandTable()
    table.set(demand)
    assert fitting_encoding(demand) == layout_of(table.rows, NO_SPEECH, NO_CAPS).allowed[0]


def test_what_waits_is_asked_for_once_and_for_as_long_as_somebody_waits() -> None:
    net = Waiting()
    ((asked,),) = (one.wanted for one in net.wish(Wish(*VIDEO, 640, 360)))
    assert asked == Wish(*VIDEO, 640, 360, layers=(Rid("q"), Rid("h")))
    assert net.wish(Wish(*VIDEO, 640, 360)) == []
    net.pass_s(3 * OFF_AFTER_S)
    assert net.site.demanded()[1:] == []
    net.carry(net.site, net.site.call.conference.unsubscribe(net.now, net.bob, [VIDEO]))
    net.pass_s(OFF_AFTER_S + 0.5)
    assert [(one.wanted, one.unwanted) for one in net.site.demanded()] == [((), (VIDEO,))]


def test_a_larger_size_is_asked_for_while_it_waits_and_a_leg_that_leaves_waits_no_more() -> None:
    net = Waiting()
    net.wish(Wish(*VIDEO, 320, 180))
    ((asked,),) = (one.wanted for one in net.wish(Wish(*VIDEO, 1280, 720)))
    assert (asked.layers, asked.width, asked.height) == (("q", "h", "f"), 1280, 720)
    net.site.demanded()
    net.leave(net.site, net.bob)
    net.pass_s(OFF_AFTER_S + 1)
    assert [one.unwanted for one in net.site.demanded()] == [(VIDEO,)]


def test_of_a_track_without_layers_its_only_encoding_is_asked_for() -> None:
    net = Waiting(layers="")
    ((asked,),) = (one.wanted for one in net.wish(Wish(*VIDEO, 320, 180)))
    assert asked == Wish(*VIDEO, 1280, 720)


def test_a_track_of_fewer_encodings_than_before_is_asked_for_by_those_that_it_has() -> None:
    net = Waiting()
    net.wish(Wish(*VIDEO, 1280, 720))
    net.site.demanded()
    net.layers = "qh"
    net.describe()
    (asked, *_) = net.site.demanded()
    assert [one.layers for one in asked.wanted] == [("q", "h")]


def test_a_track_that_gets_another_stream_is_asked_for_anew() -> None:
    net = Waiting()
    net.wish(Wish(*VIDEO, 320, 180))
    net.site.demanded()
    net.describe("another-stream")
    (asked, *_) = net.site.demanded()
    assert asked.unwanted == (VIDEO,)
    assert [(one.stream_id, one.track_id) for one in asked.wanted] == [("another-stream", "dora-video")]


def test_who_waits_is_told_that_it_was_asked_for() -> None:
    net = Waiting()
    net.wish(Wish(*VIDEO, 320, 180))
    net.pass_s(1)
    told = [one for one in net.site.told if isinstance(one, DecisionsExplained)]
    (explanation,) = told[-1].explanations
    assert explanation.reason is Reason.NEGOTIATING
    assert explanation.text == "You get nothing yet: it has been asked for where its sender is connected."


def test_what_is_wished_for_before_it_is_announced_is_asked_for_when_it_is() -> None:
    net = Waiting()
    ids = ("eve-stream", "eve-video")
    assert net.wish(Wish(*ids, 320, 180)) == []
    track = TrackDescription("eve-video", Kind.VIDEO, 1280, 720, (Rid("a"), Rid("b")))
    said = GuestDescription("eve", (StreamDescription("eve-stream", Source.CAMERA, (track,)),))
    conference = net.site.call.conference
    assert net.perform(conference.guests_described(net.now, net.trunk, [said])) == []
    net.pass_s(1)
    (asked,) = net.site.demanded()
    assert [one.layers for one in asked.wanted] == [("a",)]


def test_nothing_is_asked_for_somebody_who_is_not_admitted_before_they_are() -> None:
    net = Waiting()
    conference = net.site.call.conference
    leg, _ = conference.add_leg(net.now, admitted=False)
    assert net.perform(conference.subscribe(net.now, leg, [Wish(*VIDEO, 320, 180)])) == []
    ((asked,),) = (one.wanted for one in net.perform(conference.admit(net.now, leg)))
    assert asked.layers == ("q",)
