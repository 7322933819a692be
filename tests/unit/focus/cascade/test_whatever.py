"""Whatever happens to three foci in whatever order: nothing is left behind, and all is well in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from signalling.events.data_channel import TrackRef, TrackSubscription
from signalling.events.to_device import Hangup
from tests.unit.focus.cascade.circle import Circle
from tests.unit.focus.stage import call_event, membership

if TYPE_CHECKING:
    from tests.unit.focus.stage import Client

NAMES = "abc"
ACTIONS = (
    *("enter", "call", "redial", "move", "leave", "kick", "subscribe", "unsubscribe", "hang up"),
    *("cut", "mend", "lose", "restart", "forget", "homeserver away", "homeserver back"),
    *("wait", "wait long"),
)
STEPS = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 2), st.integers(0, 2)), max_size=25)


class World:
    """Three foci, a person of each, and what may happen to them."""

    def __init__(self) -> None:
        self.circle = Circle(NAMES)
        self.people: dict[str, Client] = {}
        self.calls = 0
        for name in NAMES:
            self.step("enter", NAMES.index(name), 0)
            self.step("call", NAMES.index(name), 0)

    def step(self, action: str, who: int, other: int) -> None:
        circle, name, there = self.circle, NAMES[who], NAMES[other]
        client = self.people.get(name)
        match action:
            case "enter":
                if client is None:
                    client = self.people[name] = circle[name].client(f"p{name}")
                circle.state(membership(client.user_id), circle.says(client, circle[name].focus_device))
            case "call" | "redial" if client is not None:
                self._call(name, client)
            case "move" if client is not None:
                circle.state(circle.says(client, circle[there].focus_device))
            case "leave" if client is not None:
                circle.state(circle.leaves(client))
            case "kick" if client is not None:
                circle.state(membership(client.user_id, "leave"))
            case "subscribe" | "unsubscribe" if self._is_live(name):
                self._want(action, name, there)
            case "hang up" if self._is_live(name) and client is not None:
                circle[name].send(client, Hangup(client.envelope()))
            case "lose" if name != there:
                circle.lose(name, there)
            case "restart" | "forget":
                circle.restart(name, tells=action == "restart")
                self.people.pop(name, None)
            case _:
                self._weather(action, name, there)
        circle.settle()
        self.check()

    def check(self) -> None:
        """A focus has one leg for each other focus at most, and says of nobody what room state does not."""
        for name, site in self.circle.sites.items():
            ends = [leg.key.user_id for leg in site.focus._calls.legs if leg.trunk is not None]
            assert len(set(ends)) == len(ends)
            assert f"@focus:{name}" not in ends
            people = {client.user_id for client in site.clients}
            guests = [guest["user_id"] for trunk in site.trunks() for guest in trunk["guests"]]
            assert len(set(guests)) == len(guests)
            legs = {leg.key.user_id for leg in site.focus._calls.legs if leg.trunk is None}
            assert not set(guests) & legs, (people, guests)

    def mend(self) -> None:
        """Everything works again, and everybody calls who is not there."""
        circle = self.circle
        circle.cut.clear()
        for name in NAMES:
            circle.back(name)
        circle.pass_s(1)
        for name in NAMES:
            self.step("enter", NAMES.index(name), 0)
            if not self._is_live(name):
                self._call(name, self.people[name])
        circle.pass_s(130)
        for name in NAMES:
            if not self._is_live(name):
                self._call(name, self.people[name])
        circle.pass_s(3)
        for name in NAMES:
            seen = circle[name].seen(self.people[name])
            others = {f"@p{other}:example.org" for other in NAMES if other != name}
            assert set(seen.values()) == others, name
            assert [trunk["state"] for trunk in circle[name].trunks()] == ["up", "up"]

    def end(self) -> None:
        """The call is over: so is everything else."""
        self.circle.state(call_event(terminated=True))
        self.circle.pass_s(200)
        for site in self.circle.sites.values():
            assert site.focus._calls.legs == ()
            assert site.focus._calls._by_dial == {}
            assert site.focus._calls._by_leg_key == {}
            assert site.focus._calls._by_track == {}
            assert not list(site.focus._neighbourhood)
            assert site.focus.next_timeout() is None
            assert site.records == {}

    def _call(self, name: str, client: Client) -> None:
        self.calls += 1
        site = self.circle[name]
        site.redial(client, f"{client.name}-call-{self.calls}")
        self.circle.settle()
        if self._is_live(name):
            site.connect(client)

    def _is_live(self, name: str) -> bool:
        client = self.people.get(name)
        return client is not None and any(
            leg.transport == client.leg and leg.trunk is None for leg in self.circle[name].focus._calls.legs
        )

    def _want(self, action: str, name: str, there: str) -> None:
        ids = (f"p{there}-stream", f"p{there}-video")
        if action == "subscribe":
            self.circle[name].subscribe(self.people[name], ids)
        else:
            gone = TrackSubscription(unsubscribe=(TrackRef(*ids),))
            self.circle[name].say(self.people[name], gone)
        self.circle[name].tick()

    def _weather(self, action: str, name: str, there: str) -> None:
        circle: Any = self.circle
        match action:
            case "cut" if name != there:
                circle.cut.add(frozenset(name + there))
                circle.lose(name, there)
            case "mend":
                circle.cut.clear()
            case "homeserver away":
                circle.silent.add(name)
            case "homeserver back":
                circle.back(name)
            case "wait":
                circle.pass_s(2)
            case "wait long":
                circle.pass_s(45)
            case _:
                pass


@given(steps=STEPS)
@settings(max_examples=40, deadline=None)
def test_whatever_happens_they_find_each_other_and_leave_nothing_behind(
    steps: list[tuple[str, int, int]],
) -> None:
    world = World()
    for step in steps:
        world.step(*step)
    world.mend()
    world.end()
