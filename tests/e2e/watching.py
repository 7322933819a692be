"""Waiting for what participants see and hear, and watching that nothing disturbs it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from loadtest.client.scene import AUDIO, VIDEO

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

    from loadtest.client.observations import TrackObservations
    from loadtest.client.participant import Participant
    from loadtest.client.scene import Party

PATIENCE_S: Final = 40.0
"""A limit against hanging, not a measure."""
MAX_STANDSTILL_S: Final = 3.0
"""A picture or sound that stands for longer was disturbed. Lower: a busy machine fails the test. Higher: a
disturbance that people complain about passes."""
_POLL_S: Final = 0.02
FRAMES: Final = 8
"""That must arrive: half a second of pictures."""
OBSERVED_FRAMES: Final = 24
"""Of somebody else: for so long it is watched that nothing arrives. A second and a half of pictures."""
SILENT_S: Final = 1.0
"""Without a packet for so long, media has ended: sound comes fifty times a second."""
MAX_MEDIA_AFTER_S: Final = 2.0
"""How long media may go on when its receiver has been put out."""

Pair = tuple["Participant", "Participant"]
"""Receiver and sender."""


async def until(condition: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait until something is so.

    Raises:
        AssertionError: it never was.
    """
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {patience_s:g} s: {what}"
        await asyncio.sleep(_POLL_S)


async def until_told(ask: Callable[[], Awaitable[object]], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait until somebody who has to be asked says that something is so.

    Raises:
        AssertionError: it never was.
    """
    deadline = time.monotonic() + patience_s
    while not await ask():
        assert time.monotonic() < deadline, f"not within {patience_s:g} s: {what}"
        await asyncio.sleep(_POLL_S)


def seen(receiver: Participant, sender: Participant, kind: str = VIDEO) -> TrackObservations:
    """What one participant observed of one kind of media from another."""
    return receiver.observations.track(sender.party, kind)


async def receives(
    receiver: Participant,
    sender: Participant,
    *kinds: str,
    frames: int = FRAMES,
    patience_s: float = PATIENCE_S,
) -> None:
    """Wait until new frames of each kind have been decoded (audio and camera where none is named)."""
    kinds = kinds or (AUDIO, VIDEO)
    await until_decoded(receiver, sender.party, *kinds, frames=frames, patience_s=patience_s)


async def until_decoded(
    receiver: Participant,
    sender: Party,
    *kinds: str,
    frames: int = FRAMES,
    patience_s: float = PATIENCE_S,
) -> None:
    """Wait for new frames of somebody, who may be no participant of ours."""
    tracks = [(kind, receiver.observations.track(sender, kind)) for kind in kinds]
    before = [track.frames_decoded for _, track in tracks]

    def missing() -> list[str]:
        pairs = zip(tracks, before, strict=True)
        return [kind for (kind, track), count in pairs if track.frames_decoded < count + frames]

    what = f"{receiver.party.user_id} decodes {sender.user_id}: {receiver.observations}"
    await until(lambda: not missing(), what, patience_s)


async def all_receive(people: Iterable[Participant], *kinds: str) -> None:
    """Wait until everybody has decoded new frames of everybody else."""
    people = tuple(people)
    async with asyncio.TaskGroup() as group:
        for receiver in people:
            for sender in people:
                if receiver is not sender:
                    group.create_task(receives(receiver, sender, *kinds))


async def dials_again(one: Participant, before: object) -> None:
    """Wait until somebody has a new leg that is connected."""
    await until(
        lambda: one.leg is not None and one.leg is not before and one.leg.ready.is_set(),
        f"{one.party.user_id} is connected again",
    )


def knows(receiver: Participant, sender: Participant) -> set[str]:
    """The kinds of media that somebody was told of from somebody else."""
    return told_kinds(receiver, sender.party)


def told_kinds(receiver: Participant, sender: Party) -> set[str]:
    """Likewise, of somebody who may be no participant of ours."""
    return receiver.observations.announced.get(sender, set())


async def forgets(receiver: Participant, sender: Participant) -> None:
    """Wait until somebody has been told that somebody else has nothing to show any more."""
    what = f"{receiver.party.user_id} is told that {sender.party.user_id} is gone"
    await until(lambda: not knows(receiver, sender), what)


def media_packets(participant: Participant) -> int:
    """All RTP that has reached a participant's newest leg, wanted or not, readable or not."""
    leg = participant.leg
    return 0 if leg is None else leg.media_received


def is_clean(*people: Participant) -> None:
    """Assert that nobody saw a wrong frame, a jump, or a rule of the protocol broken."""
    for one in people:
        seen_by = one.observations
        assert seen_by.wrong_frames() == 0, seen_by
        assert sum(track.counter_gaps + track.id_jumps for track in seen_by.tracks.values()) == 0, seen_by
        assert seen_by.violations == []
        assert seen_by.errors == []


@dataclass(slots=True)
class _Flow:
    receiver: Participant
    sender: Participant
    kind: str
    frames: int = 0
    since: float = field(default_factory=time.monotonic)
    longest_s: float = 0.0

    def look(self, now: float) -> None:
        frames = seen(self.receiver, self.sender, self.kind).frames_decoded
        if frames != self.frames:
            self.frames, self.since = frames, now
        self.longest_s = max(self.longest_s, now - self.since)

    def __str__(self) -> str:
        names = f"{self.receiver.party.user_id} from {self.sender.party.user_id}"
        # It excuses nothing: who came late to what had arrived was not sent it late.
        late_ms = self.receiver.observations.longest_wait_ms
        stood = f"{names}, {self.kind}: stood still for {self.longest_s:.1f} s"
        return f"{stood} (a packet waited for the receiver itself for {late_ms:.0f} ms at most)"


@contextlib.asynccontextmanager
async def undisturbed(*pairs: Pair, kinds: tuple[str, ...] = (AUDIO, VIDEO)) -> AsyncIterator[None]:
    """While inside, and a moment longer, these pairs go on seeing and hearing each other, and rightly."""
    for receiver, sender in pairs:
        await receives(receiver, sender, *kinds)
    flows = [_Flow(receiver, sender, kind) for receiver, sender in pairs for kind in kinds]

    async def watch() -> None:
        while True:
            now = time.monotonic()
            for flow in flows:
                flow.look(now)
            await asyncio.sleep(_POLL_S)

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch())
        yield
        for receiver, sender in pairs:
            await receives(receiver, sender, *kinds)
        watching.cancel()
    assert all(flow.longest_s <= MAX_STANDSTILL_S for flow in flows), "; ".join(map(str, flows))
    is_clean(*{one for pair in pairs for one in pair})


@contextlib.asynccontextmanager
async def secluded(insiders: Sequence[Participant], *intruders: Participant) -> AsyncIterator[None]:
    """While inside, and for a second and a half of the insiders' pictures longer, intruders are nobody.

    Nothing reaches an intruder, nobody hears of it, it hears of nobody; and all the while the insiders see
    and hear each other, or their absence would prove nothing.
    """
    pairs = [(receiver, sender) for receiver in insiders for sender in insiders if receiver is not sender]
    before = [_heard_of(one) for one in insiders]
    async with undisturbed(*pairs):
        yield
        await receives(*pairs[0], frames=OBSERVED_FRAMES)
    for one in intruders:
        assert media_packets(one) == 0
        assert one.observations.tracks == {}
        assert one.observations.speakers_seen <= {one.party}
    for one, earlier in zip(insiders, before, strict=True):
        assert _heard_of(one) - earlier <= {insider.party for insider in insiders}


def _heard_of(one: Participant) -> set[Party]:
    return {party for party, _ in one.observations.tracks} | one.observations.speakers_seen


async def falls_silent(outcast: Participant, *insiders: Participant) -> None:
    """Wait until an outcast has received its last packet; the insiders go on seeing each other.

    Raises:
        AssertionError: it still receives media some time after it was put out.
    """
    began_at = last_at = time.monotonic()
    count = media_packets(outcast)
    while time.monotonic() - last_at < SILENT_S:
        await asyncio.sleep(_POLL_S)
        if media_packets(outcast) != count:
            count, last_at = media_packets(outcast), time.monotonic()
            assert last_at - began_at <= MAX_MEDIA_AFTER_S, "media goes on"
    await receives(insiders[0], insiders[1], frames=OBSERVED_FRAMES)
    assert media_packets(outcast) == count


def both_ways(first: Participant, second: Participant) -> tuple[Pair, Pair]:
    """Two participants who see each other."""
    return (first, second), (second, first)
