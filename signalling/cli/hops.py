"""What `focus hops` prints: the trunks to other foci, what goes over them, and what they could carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from signalling.cli.tables import counted, duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Json = dict[str, Any]

NO_HOPS: Final = "No other focus is in any call."
UNKNOWN: Final = "not known"

UP: Final = "up"

_STYLES: Final = {UP: "green", "backing_off": "red"}


def hops_of(calls: Sequence[Mapping[str, Any]], wanted: str | None) -> list[Json]:
    """The trunks of each call that is meant.

    Args:
        calls: as the admin API tells them.
        wanted: a call's id, or the id of its room; None: all.
    """
    return [
        {"conf_id": call["conf_id"], "room_id": call["room_id"], "trunks": call["trunks"]}
        for call in calls
        if wanted is None or wanted in {call["conf_id"], call["room_id"]}
    ]


def hops_tables(calls: Sequence[Mapping[str, Any]], now_ms: float) -> Group:
    """A table a call, with some lines a trunk; calls without any are left out.

    Args:
        calls: as `hops_of` gives them.
        now_ms: the wall clock, since 1970.
    """
    tables = [_table(call, now_ms) for call in calls if call["trunks"]]
    return Group(*tables) if tables else Group(Text(NO_HOPS))


def _table(call: Mapping[str, Any], now_ms: float) -> Table:
    title = Text(f"{call['conf_id']} in {call['room_id']}", style="bold")
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, title_style="")
    table.add_column("focus", overflow="fold")
    for heading in ("trunk", "receives", "sends", "path"):
        table.add_column(heading)
    for trunk in call["trunks"]:
        cells = (_focus(trunk), _state(trunk, now_ms), _way(trunk, "received"), _way(trunk, "sent"))
        table.add_row(*(Text("\n").join(cell) for cell in (*cells, _path(trunk))))
    return table


def _focus(trunk: Mapping[str, Any]) -> Iterator[Text]:
    yield Text(trunk["user_id"], style="cyan")
    yield Text(trunk["device_id"], style="cyan")


def _state(trunk: Mapping[str, Any], now_ms: float) -> Iterator[Text]:
    state = trunk["state"]
    yield Text(state.replace("_", " "), style=_STYLES.get(state, ""))
    yield Text(duration(max(0, int(now_ms - trunk["since"]) // 1_000)))
    yield Text(counted(len(trunk["guests"]), "guest"))
    if trunk["streams_refused"]:
        yield Text(f"{trunk['streams_refused']} refused", style="red")


def _way(trunk: Mapping[str, Any], way: str) -> Iterator[Text]:
    """What goes in one direction, `received` or `sent`; nothing before the trunk is up."""
    if trunk["state"] != UP:
        return
    tracks = trunk[f"layers_{way}"]
    yield Text(counted(len(tracks), "track"))
    yield Text(counted(sum(len(track["layers"]) for track in tracks), "layer"))
    yield Text(_rate(trunk[f"{way}_bps"]))
    loss = trunk[f"loss_{way}"]
    if loss is not None:
        yield Text(f"{loss:.1%} lost")


def _path(trunk: Mapping[str, Any]) -> Iterator[Text]:
    if trunk["state"] != UP:
        return
    round_trip_time_ms, estimate_bps = trunk["round_trip_time_ms"], trunk["estimate_bps"]
    yield Text(f"round trip {UNKNOWN if round_trip_time_ms is None else f'{round_trip_time_ms:.0f} ms'}")
    yield Text(f"carries {UNKNOWN if estimate_bps is None else _rate(estimate_bps)}")


def _rate(rate_bps: float) -> str:
    return f"{rate_bps / 1_000:,.0f} kbit/s"
