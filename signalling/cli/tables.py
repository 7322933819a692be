"""What `focus status` and `focus calls` print: the admin API's answers as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text
from rich.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_LAYER = "–"


def status_table(status: Mapping[str, Any]) -> Table:
    """One row a fact."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in status.items():
        table.add_row(name.replace("_", " "), _shown(value))
    return table


def calls_tree(calls: list[Mapping[str, Any]]) -> Tree:
    """Calls, their members, what each publishes and receives."""
    root = Tree(f"{len(calls)} call{'' if len(calls) == 1 else 's'}", hide_root=False)
    for call in calls:
        branch = root.add(Text(f"{call['conf_id']} in {call['room_id']}", style="bold"))
        for member in call["members"]:
            leaf = branch.add(Text(f"{member['user_id']} {member['device_id']}  {member['state']}"))
            for track in member["tracks"]:
                leaf.add(Text(_track_line(track)))
            for subscription in member["subscriptions"]:
                leaf.add(Text(_subscription_line(subscription)))
    return root


def _track_line(track: Mapping[str, Any]) -> str:
    layers = ", ".join(
        f"{encoding['rid'] or 'single'} {encoding['bitrate_bps'] / 1000:.0f} kbit/s"
        for encoding in track["encodings"]
        if encoding["live"]
    )
    return f"sends {track['kind']} {track['source']}: {layers or 'nothing now'}"


def _subscription_line(subscription: Mapping[str, Any]) -> str:
    layer = NO_LAYER if subscription["current"] is None else subscription["current"] or "single"
    return (
        f"receives {subscription['kind']} of {subscription['from']}: layer {layer}"
        f" (wanted {subscription['wanted'] or 'single'}: {subscription['cause']})"
    )


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value) or "none"
    return str(value)
