"""The trunks of a call over several foci, made into figures from what the foci say of them. Pure.

Bytes are what the foci count themselves, and layers what they say that flows: this is the word of those who
are tested, and proves nothing. That media crossed is what the participants prove.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from loadtest.client.observations import LAYER_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from signalling.events.room_state import FocusDevice

Json = dict[str, Any]

COUNTED_BY: Final = "foci"
"""Whose counts the bytes are, as the report says it."""
UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class CarriedTrack:
    """One track that was sent over a trunk in one direction."""

    owner: str
    """User id of whose track it is."""
    kind: str
    layers: tuple[str, ...]
    """Its encodings that flowed at any time, lowest first; empty for one without simulcast."""

    def content(self) -> dict[str, object]:
        """As it stands in the report's JSON."""
        return {"owner": self.owner, "kind": self.kind, "layers": list(self.layers)}


@dataclass(frozen=True, slots=True)
class Flow:
    """One direction of a trunk."""

    sender: str
    receiver: str
    bytes_sent: int
    """By the count of the focus that sends, over all legs that the trunk has had."""
    bytes_received: int
    """By the count of the focus that receives."""
    tracks: tuple[CarriedTrack, ...]

    @property
    def layers(self) -> int:
        """How many were carried: each encoding counts, and each track that has only one."""
        return sum(len(track.layers) or 1 for track in self.tracks)

    def content(self) -> dict[str, object]:
        """As it stands in the report's JSON."""
        return {
            "from": self.sender,
            "to": self.receiver,
            "bytes_sent": self.bytes_sent,
            "bytes_received": self.bytes_received,
            "tracks": [track.content() for track in self.tracks],
        }


@dataclass(frozen=True, slots=True)
class TrunkFigures:
    """One pair of foci, named by their users."""

    foci: tuple[str, str]
    states: tuple[str, str]
    """Where each of them said last that the trunk is."""
    legs: int
    """Connections that it has had; more than one: it was lost, or both have dialled."""
    flows: tuple[Flow, Flow]

    def content(self) -> dict[str, object]:
        """As it stands in the report's JSON."""
        return {
            "foci": list(self.foci),
            "states": list(self.states),
            "legs": self.legs,
            "counted_by": COUNTED_BY,
            "bytes": sum(flow.bytes_sent for flow in self.flows),
            "tracks": sum(len(flow.tracks) for flow in self.flows),
            "layers": sum(flow.layers for flow in self.flows),
            "directions": [flow.content() for flow in self.flows],
        }


@dataclass(slots=True)
class _End:
    """What one focus has said of its end of a trunk."""

    state: str = UNKNOWN
    sent: dict[object, int] = field(default_factory=dict)
    """Bytes, by leg."""
    received: dict[object, int] = field(default_factory=dict)
    layers: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """What flowed from it, by stream and track."""


class TrunkLedger:
    """Adds up what the foci of a call say of their trunks, one reading after another."""

    def __init__(self) -> None:
        self._ends: dict[tuple[FocusDevice, FocusDevice], _End] = {}
        """By who says it, and of whom."""
        self._tracks: dict[tuple[FocusDevice, str, str], tuple[str, str]] = {}
        """Owner and kind of what is published, by focus, stream and track."""

    def take(self, me: FocusDevice, calls: Sequence[Json]) -> None:
        """Take what the admin API of a focus says of its calls."""
        for call in calls:
            for member in call["members"]:
                for track in member["tracks"]:
                    ids = (me, track["stream_id"], track["track_id"])
                    self._tracks[ids] = (member["user_id"], track["kind"])
            for trunk in call["trunks"]:
                self._read(me, trunk)

    def figures(self) -> tuple[TrunkFigures, ...]:
        """Every trunk that a focus has spoken of."""
        pairs = {tuple(sorted(ends, key=_name)) for ends in self._ends}
        return tuple(
            self._trunk(near, far) for near, far in sorted(pairs, key=lambda pair: [*map(_name, pair)])
        )

    def _read(self, me: FocusDevice, trunk: Json) -> None:
        other = type(me)(trunk["user_id"], trunk["device_id"])
        end = self._ends.setdefault((me, other), _End())
        end.state = trunk["state"]
        if trunk["leg"] is None:
            return
        leg = (trunk["worker"], trunk["leg"])
        end.sent[leg] = trunk["bytes_sent"]
        end.received[leg] = trunk["bytes_received"]
        for track in trunk["layers_sent"]:
            rids = end.layers.setdefault((track["stream_id"], track["track_id"]), set())
            rids.update(filter(None, track["layers"]))  # a track that is one encoding has one without a name

    def _trunk(self, near: FocusDevice, far: FocusDevice) -> TrunkFigures:
        ends = [self._ends.get(pair, _End()) for pair in ((near, far), (far, near))]
        return TrunkFigures(
            foci=(near.user_id, far.user_id),
            states=(ends[0].state, ends[1].state),
            legs=max(len(end.sent) for end in ends),
            flows=(self._flow(near, far, *ends), self._flow(far, near, *reversed(ends))),
        )

    def _flow(self, sender: FocusDevice, receiver: FocusDevice, sends: _End, receives: _End) -> Flow:
        return Flow(
            sender=sender.user_id,
            receiver=receiver.user_id,
            bytes_sent=sum(sends.sent.values()),
            bytes_received=sum(receives.received.values()),
            tracks=tuple(sorted(self._carried(sender, sends.layers), key=_track_order)),
        )

    def _carried(
        self, sender: FocusDevice, layers: Mapping[tuple[str, str], set[str]]
    ) -> Iterator[CarriedTrack]:
        for (stream_id, track_id), rids in layers.items():
            owner, kind = self._tracks.get((sender, stream_id, track_id), (UNKNOWN, UNKNOWN))
            yield CarriedTrack(owner, kind, tuple(sorted(rids, key=_rid_order)))


def _name(focus: FocusDevice) -> tuple[str, str]:
    return focus.user_id, focus.device_id


def _rid_order(rid: str) -> tuple[int, str]:
    return (LAYER_NAMES.index(rid) if rid in LAYER_NAMES else len(LAYER_NAMES)), rid


def _track_order(track: CarriedTrack) -> tuple[str, str, tuple[str, ...]]:
    return track.owner, track.kind, track.layers
