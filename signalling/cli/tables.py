"""What `focus status` and `focus calls` print: the admin API's answers for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text
from rich.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NO_LAYER: Final = "none"
SINGLE_LAYER: Final = "single"
"""A track that is sent as one encoding has no rid to show."""

_PUBLISHED: Final = {
    ("audio", "camera"): "microphone",
    ("video", "camera"): "camera",
    ("audio", "screen"): "sound of the screen",
    ("video", "screen"): "screen",
}
"""What a track shows, by kind and source; one whose source is not known yet is named by its kind."""

_REFERENCE_PLANE: Final = "reference (the Python twin: for a handful of people)"


def status_table(status: Mapping[str, Any]) -> Table:
    """One row a fact."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _status_rows(status):
        table.add_row(name, value)
    return table


def calls_tree(calls: list[Mapping[str, Any]]) -> Tree:
    """Calls, their members, what each publishes and receives."""
    root = Tree(counted(len(calls), "call"))
    for call in calls:
        branch = root.add(Text(f"{call['conf_id']} in {call['room_id']}", style="bold"))
        for member in call["members"]:
            name = Text(f"{member['user_id']} {member['device_id']}", style="cyan")
            leaf = branch.add(Text.assemble(name, f"  {member['state']}"))
            for track in member["tracks"]:
                leaf.add(_track_line(track))
            for subscription in member["subscriptions"]:
                leaf.add(_subscription_line(subscription))
    return root


def _status_rows(status: Mapping[str, Any]) -> Iterable[tuple[str, Text]]:
    plane = status["plane"]
    ready = Text("yes", style="green") if status["ready"] else Text("no", style="red")
    workers = f", {status['workers']} workers" if status["workers"] > 1 else ""
    yield "plane", Text((_REFERENCE_PLANE if plane == "reference" else plane) + workers)
    yield "policy", _policy(status["policy"])
    yield "version", Text(status["version"])
    yield "ready", ready
    if status["draining"] is not None:
        yield "draining", _draining(status["draining"])
    yield "homeserver", Text(status["homeserver"])
    yield "account", Text(f"{status['user_id']}, device {status['device_id']}")
    several = "s" if status["workers"] > 1 else ""
    ports = f"UDP port{several} {' '.join(map(str, status['ports']))}"
    if status["tcp_port"] is not None:
        ports += f", TCP port {status['tcp_port']}"
    yield "media", Text(f"{', '.join(status['addresses'])}, {ports}")
    yield "up for", Text(duration(status["uptime_s"]))
    for name in ("rooms", "calls", "participants", "tracks", "subscriptions"):
        yield name, Text(str(status[name]))
    yield "packets dropped", _numbers(status["dropped_packets"])
    yield "waiting", _numbers(status["waiting"])
    failures = status["internal_failures"]
    yield "failures", Text(f"{failures}: see the log", style="red") if failures else Text("none")


def _policy(policy: Mapping[str, Any]) -> Text:
    name, failures, overruns = policy["name"], policy["failures"], policy["overruns"]
    if not failures and not overruns:
        return Text(name)
    faults = f"{name}: failed {counted(failures, 'time')}, took too long {counted(overruns, 'time')}"
    rest = "; it rests, and utility decides" if policy["resting"] else ""
    last = f"; {policy['last_failure']}" if policy["last_failure"] else ""
    return Text(f"{faults}{rest}{last}", style="red")


def _draining(draining: Mapping[str, Any]) -> Text:
    if draining["done"]:
        return Text("nobody is left: it can be stopped", style="green")
    return Text(f"no invites are taken; who is left in {duration(draining['seconds_left'])} is hung up")


def what_is_shown(kind: str, source: str | None) -> str:
    """What a track shows: its kind, where its source is not known."""
    return _PUBLISHED.get((kind, source or ""), kind)


def _track_line(track: Mapping[str, Any]) -> Text:
    layers = ", ".join(
        f"{encoding['rid'] or SINGLE_LAYER} {encoding['bitrate_bps'] / 1000:.0f} kbit/s"
        for encoding in track["encodings"]
        if encoding["live"]
    )
    return Text.assemble(
        "sends ",
        (what_is_shown(track["kind"], track["source"]), "green"),
        f": {layers or 'nothing now'}",
    )


def _subscription_line(subscription: Mapping[str, Any]) -> Text:
    current, wanted = layer_name(subscription["current"]), layer_name(subscription["wanted"])
    what = f"receives {subscription['kind']} of {subscription['from']}: "
    if current == wanted:
        return Text(f"{what}{current} ({subscription['cause']})")
    return Text(f"{what}{current}, wants {wanted} ({subscription['cause']})")


def layer_name(rid: str | None) -> str:
    """An encoding as people are told of it; None: none."""
    return NO_LAYER if rid is None else rid or SINGLE_LAYER


def _numbers(numbers: Mapping[str, int]) -> Text:
    return Text(", ".join(f"{name} {number}" for name, number in numbers.items()) or "none")


def counted(number: int, noun: str) -> str:
    """A number of things, in words."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def duration(seconds: int) -> str:
    """Its two greatest units."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    shown = [f"{number} {unit}" for number, unit in parts if number]
    return " ".join(shown[:2]) or "0 s"
