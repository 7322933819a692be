"""What `focus why` prints: for one subscriber and one track, the sentence and the numbers behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from signalling.cli.tables import layer_name, what_is_shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Json = dict[str, Any]


def pairs_of(calls: Sequence[Mapping[str, Any]], subscriber: str, track: str | None) -> list[Json]:
    """Every wish that is meant, with who has it.

    Args:
        calls: as the admin API tells them.
        subscriber: a user id or its local part, with a device behind a slash or without.
        track: a track id, or whose it is, written likewise, with what it shows behind a slash (`microphone`,
            `camera`, `screen`) or without; None: everything.
    """
    return [
        {"conf_id": call["conf_id"], "subscriber": _name(member), **wish}
        for call in calls
        for member in call["members"]
        if _is_meant(member["user_id"], member["device_id"], subscriber)
        for wish in member["subscriptions"]
        if track is None or _is_track(wish, track)
    ]


def why_lines(pairs: Sequence[Mapping[str, Any]]) -> Group:
    """Two lines a wish: what is received and why, and what was decided by."""
    return Group(*(line for pair in pairs for line in _lines(pair)))


def _lines(pair: Mapping[str, Any]) -> Iterator[Text]:
    shown = what_is_shown(pair["kind"], pair["source"])
    yield Text.assemble((pair["subscriber"], "cyan"), f", {shown} of {pair['from']}")
    yield Text(f"  {pair['why'] or 'Its client was told nothing yet'} ({_cause(pair)})")
    numbers = ", ".join(_numbers(pair))
    if numbers:
        yield Text(f"  {numbers}", style="dim")


def _cause(pair: Mapping[str, Any]) -> str:
    hop = pair["hop"]
    if hop is None:
        return str(pair["cause"])
    return f"{pair['cause']} {hop['user_id']} {hop['device_id']}: {hop['cause'] or 'no connection'}"


def _numbers(pair: Mapping[str, Any]) -> Iterator[str]:
    yield f"wanted {layer_name(pair['wanted'])}"
    if pair["pinned"]:
        yield "pinned"
    if not pair["visible"]:
        yield "out of sight"
    decision = pair["decision"]
    if decision is None:
        return
    yield f"allowed {layer_name(decision['allowed'])}"
    yield f"chosen {layer_name(pair['chosen'])}"
    yield f"flowing {layer_name(pair['current'])}"
    if decision["temporal"] is not None:
        yield f"temporal layers up to {decision['temporal']}"
    if decision["frame_rate"]:
        yield f"{decision['frame_rate']:.0f} frames/s"
    for name, rate_bps in (
        ("it takes", decision["rate_bps"]),
        ("the next layer", decision["next_rate_bps"]),
        ("the best", decision["best_rate_bps"]),
    ):
        if rate_bps:
            yield f"{name} {_rate(rate_bps)}"
    budget_bps = decision["budget_bps"]
    yield "no limit known" if budget_bps is None else f"budget {_rate(budget_bps)}"
    yield f"rank {decision['rank']}"


def _is_track(wish: Mapping[str, Any], wanted: str) -> bool:
    if wanted == wish["track_id"]:
        return True
    owner, _, shown = wanted.rpartition("/")
    of_owner = _is_meant(wish["from"], wish["device_id"], wanted)
    shows = shown == what_is_shown(wish["kind"], wish["source"])
    return of_owner or (shows and _is_meant(wish["from"], wish["device_id"], owner))


def _is_meant(user_id: str, device_id: str | None, wanted: str) -> bool:
    names = {user_id, user_id.removeprefix("@").partition(":")[0]}
    return wanted in names or wanted in {f"{name}/{device_id}" for name in names}


def _name(member: Mapping[str, Any]) -> str:
    return f"{member['user_id']} {member['device_id']}"


def _rate(rate_bps: float) -> str:
    return f"{rate_bps / 1_000:,.0f} kbit/s"
