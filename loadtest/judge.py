"""What the participants observed, made into one row for each ordered pair and kind, and a verdict. Pure."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadtest.client.observations import LAYER_NAMES, Observations, TrackObservations
from loadtest.client.scene import AUDIO, VIDEO, Party, Scene
from sfu.units import NS_PER_MS, Instant

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

KINDS: Final = (AUDIO, VIDEO)
MIN_DECODED_RATIO: Final = 0.8
"""Part of the frames sent that must be decoded. Higher: a short run fails by the time that subscribing takes.
Lower: a stream that stands still for seconds passes."""
GOOD_FIRST_FRAME_MS: Final = 1_000
"""Half of the first frames should have come by then; shown, not demanded."""
GOOD_FIRST_FRAME_ACROSS_MS: Final = 2_000
"""Likewise in a call over several foci: some of the first frames wait until the foci are connected."""
MAX_FIRST_FRAME_MS: Final = 5_000
"""Half of the first frames must have come by then: generous, because machines are slow for many reasons."""


@dataclass(frozen=True, slots=True)
class Attendance:
    """One participant as the judge sees it."""

    party: Party
    seen: Observations
    trouble: str | None = None
    """Why it is not in the call; None where it is."""


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of media from one participant to another.

    The wait for the first frame counts from the later of the two invites, frames sent from when both are
    connected.
    """

    sender: Party
    receiver: Party
    kind: str
    frames_sent: int
    frames_decoded: int
    first_frame_ms: float | None
    freezes: int
    freezes_ms: float
    delay_ms_p50: float | None
    layers_seen: tuple[str, ...]
    wrong_frames: int

    @property
    def decoded_ratio(self) -> float | None:
        """Frames decoded of those sent; None where none was sent."""
        return self.frames_decoded / self.frames_sent if self.frames_sent else None

    def faults(self) -> Iterator[str]:
        """What a check objects to."""
        ratio = self.decoded_ratio
        if ratio is None:
            yield "nothing was sent"
        elif not self.frames_decoded:
            yield f"none of {self.frames_sent} frames decoded"
        elif ratio < MIN_DECODED_RATIO:
            yield (
                f"{self.frames_decoded} of {self.frames_sent} frames decoded,"
                f" {ratio:.1%} of at least {MIN_DECODED_RATIO:.0%}"
            )
        if self.wrong_frames:
            yield f"wrong frames: {self.wrong_frames}"

    def content(self) -> dict[str, object]:
        """As it stands in the report's JSON."""
        ratio = self.decoded_ratio
        return {
            "from": self.sender.user_id,
            "to": self.receiver.user_id,
            "kind": self.kind,
            "frames_sent": self.frames_sent,
            "frames_decoded": self.frames_decoded,
            "decoded_ratio": None if ratio is None else round(ratio, 3),
            "first_frame_ms": _rounded(self.first_frame_ms),
            "freezes": self.freezes,
            "freezes_ms": _rounded(self.freezes_ms),
            "delay_ms_p50": _rounded(self.delay_ms_p50),
            "layers_seen": list(self.layers_seen),
            "wrong_frames": self.wrong_frames,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """All rows, and what a check objects to."""

    rows: tuple[Row, ...]
    troubles: tuple[str, ...]
    """Participants who are not in the call, and why."""
    faults: tuple[str, ...]
    """Pairs that a check objects to, and why."""
    violations: tuple[str, ...]
    """Rules of the protocol that the focus broke. A check shows them and passes."""

    @property
    def is_good(self) -> bool:
        """Whether a check passes."""
        return not self.troubles and not self.faults

    @property
    def wrong_frames(self) -> int:
        """Wrong frames of all pairs."""
        return sum(row.wrong_frames for row in self.rows)

    @property
    def first_frame_ms_p50(self) -> float | None:
        """Half of the first pictures (without video: sounds) took no longer; None where there was none."""
        return _first_frame_ms_p50(self.rows)


def judge(
    now: Instant, scene: Scene, attendances: Sequence[Attendance], kinds: tuple[str, ...] = KINDS
) -> Verdict:
    """Judge every ordered pair of participants with every kind, decoded or not."""
    by_party = sorted(attendances, key=lambda attendance: attendance.party)
    rows = tuple(
        _row(now, scene, sender.party, receiver, kind)
        for sender in by_party
        for receiver in by_party
        if sender is not receiver
        for kind in kinds
    )
    return Verdict(
        rows=rows,
        troubles=tuple(f"{name_of(a.party)}: {a.trouble}" for a in by_party if a.trouble is not None),
        faults=tuple(_faults(by_party, rows)),
        violations=tuple(_violations(by_party)),
    )


def name_of(party: Party) -> str:
    """A participant as people read it."""
    return party.user_id.removeprefix("@").split(":")[0]


def _row(now: Instant, scene: Scene, sender: Party, receiver: Attendance, kind: str) -> Row:
    track = receiver.seen.tracks.get((sender, kind), TrackObservations())
    both = (sender, receiver.party)
    invited_at = _later(now, *map(scene.invited_at, both))
    connected_at = _later(now, *map(scene.connected_at, both))
    first = track.first_frame_at
    return Row(
        sender=sender,
        receiver=receiver.party,
        kind=kind,
        frames_sent=scene.sent_between(sender, kind, connected_at, now),
        frames_decoded=track.frames_decoded,
        first_frame_ms=None if first is None else (first - invited_at) / NS_PER_MS,
        freezes=track.freezes + bool(track.freezing_ms(now)),
        freezes_ms=track.freezes_ms + track.freezing_ms(now),
        delay_ms_p50=track.delay_ms_p50,
        layers_seen=tuple(sorted(track.layers_seen, key=LAYER_NAMES.index)),
        wrong_frames=track.wrong_frames,
    )


def _faults(attendances: Sequence[Attendance], rows: Sequence[Row]) -> Iterator[str]:
    absent = {attendance.party for attendance in attendances if attendance.trouble is not None}
    for row in rows:
        # A pair with somebody who is not there is no second reason.
        if not absent & {row.sender, row.receiver}:
            for fault in row.faults():
                yield f"{name_of(row.sender)} → {name_of(row.receiver)}, {row.kind}: {fault}"
    first_ms = _first_frame_ms_p50(rows)
    if first_ms is not None and first_ms > MAX_FIRST_FRAME_MS:
        yield f"half of the first frames took more than {first_ms:.0f} ms, over {MAX_FIRST_FRAME_MS} ms"


def _violations(attendances: Sequence[Attendance]) -> Iterator[str]:
    for attendance in attendances:
        for text, count in Counter(attendance.seen.violations).items():
            times = f" ({count} times)" if count > 1 else ""
            yield f"{name_of(attendance.party)}: {text}{times}"


def _first_frame_ms_p50(rows: Sequence[Row]) -> float | None:
    videos = [row for row in rows if row.kind == VIDEO]
    times_ms = [row.first_frame_ms for row in videos or rows if row.first_frame_ms is not None]
    return statistics.median(times_ms) if times_ms else None


def _later(never: Instant, *moments: Instant | None) -> Instant:
    """The last of some moments; `never` where one of them has not come."""
    known = [moment for moment in moments if moment is not None]
    return max(known) if len(known) == len(moments) else never


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
