"""What another focus is believed, and why not (cascade: section 8).

A focus proves who it is as every sender does: its homeserver vouches for its account. What it may do follows
from room state alone, which its own word never changes: it gets a trunk while a member of the call names it,
and speaks for those who are on it. Nothing is remembered here, so whatever room state says counts at once:
the owner of a trunk asks anew when it has changed, and when a verdict runs out.
"""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from signalling.events.cascade import MAX_PATH
from signalling.focus.cascade.foci import Person

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from sfu.units import WallTime
    from signalling.events.metadata import StreamMetadata
    from signalling.events.room_state import FocusDevice
    from signalling.focus.cascade.foci import Foci
    from signalling.focus.leg import CallKey

MAX_TRACKS_OF_PERSON: Final = 16
"""As many as `limits.tracks_per_leg` gives a client of our own. Lower: a person with several screens is seen
in part. Higher: a focus can announce more than any client may."""


class InviteRefusal(enum.StrEnum):
    """Why a focus gets no trunk."""

    NO_TRUNKS = "no_trunks"
    """The operator lets this focus connect to no other."""
    NO_ROOM = "no_room"
    """Its invite names no room."""
    MYSELF = "myself"
    """It is from this very focus, or says so."""
    NOT_IN_CALL = "not_in_call"
    """No such call lives in that room."""
    NOT_NAMED = "not_named"
    """No joined member of the call names it."""
    NOT_JOINED = "not_joined"
    """A member names it, and its account is not joined to the room."""


class StreamRefusal(enum.StrEnum):
    """Why a stream that a focus announces is not taken."""

    NO_OWNER = "no_owner"
    """It does not say whose it is."""
    NO_PATH = "no_path"
    """Its path is missing, or does not end with the focus that announces it."""
    LOOP = "loop"
    """Its path comes through this focus, or through one focus twice."""
    TOO_MANY_HOPS = "too_many_hops"
    NO_RELAY = "no_relay"
    """It is of another focus's people, and the one that announces it is no relay of ours."""
    OWN_PERSON = "own_person"
    """Its owner has a leg here."""
    NOT_IN_CALL = "not_in_call"
    """No live member event of a joined user says that its owner takes part."""
    OTHER_FOCUS = "other_focus"
    """Its owner is on another focus than the one that it comes from, or on none."""
    TOO_MANY_TRACKS = "too_many_tracks"
    """Its owner has as many as a client may have."""


@dataclass(frozen=True, slots=True)
class Trusted:
    """A focus may have a trunk for this call, until then unless it is named anew."""

    call: CallKey
    until: WallTime


@dataclass(frozen=True, slots=True)
class TrustedStream:
    """A stream of somebody who is on the focus that it comes from."""

    owner: Person
    stream: StreamMetadata


@dataclass(frozen=True, slots=True)
class Announced:
    """What is believed of an announcement, and what is not."""

    streams: tuple[TrustedStream, ...]
    refused: tuple[tuple[str, StreamRefusal], ...]
    """By stream id."""
    until: WallTime | None
    """When the first of the owners' member events runs out; None: there is no stream."""


class Trust:
    """What the operator lets other foci do, and the judge of each."""

    def __init__(self, me: FocusDevice, *, max_hops: int = 1, relays: Container[FocusDevice] = ()) -> None:
        """Begin.

        Args:
            me: this focus.
            max_hops: trunks that a stream may have come over, 1 to `MAX_PATH`; 1: foci are a full mesh.
            relays: foci that may announce what they were themselves announced. That it came from where its
                path says is their word alone, so they are named by the operator.
        """
        self._me = me
        self._max_hops = min(max_hops, MAX_PATH)
        self._relays = relays

    def invite(self, sender: FocusDevice, foci: Foci | None) -> Trusted | InviteRefusal:
        """Whether a focus that has sent an invite may have a trunk.

        Args:
            sender: it.
            foci: of the call in the room that the invite names; None: it names none. A call that somebody
                copied into a room of their own would else be mistaken for it.
        """
        if sender == self._me:
            return InviteRefusal.MYSELF
        return InviteRefusal.NO_ROOM if foci is None else self.standing(sender, foci)

    def standing(self, focus: FocusDevice, foci: Foci) -> Trusted | InviteRefusal:
        """Whether a focus may have a trunk for a call, or keep it."""
        if not foci.is_live:
            return InviteRefusal.NOT_IN_CALL
        until = foci.named_until(focus)
        if until is None:
            return InviteRefusal.NOT_NAMED
        return Trusted(foci.call, until) if foci.is_present(focus) else InviteRefusal.NOT_JOINED

    def announced(
        self,
        announcer: FocusDevice,
        streams: Sequence[StreamMetadata],
        foci: Foci,
        own: Container[Person],
    ) -> Announced:
        """Judge everything that a focus announces over its trunk.

        Args:
            announcer: the focus at the other end.
            streams: its complete view, as it was received last.
            foci: of the call.
            own: who has a leg at this focus in this call. They are seen through it, whoever else speaks for
                them: a person who moves is never there twice.
        """
        taken: list[TrustedStream] = []
        refused: list[tuple[str, StreamRefusal]] = []
        tracks: Counter[Person] = Counter()
        until: WallTime | None = None
        for stream in streams:
            verdict = self._judge(announcer, stream, foci, own)
            if isinstance(verdict, StreamRefusal):
                refused.append((stream.stream_id, verdict))
                continue
            owner, ends = verdict
            if tracks[owner] + len(stream.tracks) > MAX_TRACKS_OF_PERSON:
                refused.append((stream.stream_id, StreamRefusal.TOO_MANY_TRACKS))
                continue
            tracks[owner] += len(stream.tracks)
            taken.append(TrustedStream(owner, stream))
            until = ends if until is None else min(until, ends)
        return Announced(tuple(taken), tuple(refused), until)

    def _judge(
        self, announcer: FocusDevice, stream: StreamMetadata, foci: Foci, own: Container[Person]
    ) -> tuple[Person, WallTime] | StreamRefusal:
        if stream.user_id is None or stream.device_id is None:
            return StreamRefusal.NO_OWNER
        refusal = self._refused_path(announcer, stream.path)
        if refusal is not None:
            return refusal
        owner = Person(stream.user_id, stream.device_id)
        if owner in own:
            return StreamRefusal.OWN_PERSON
        home = foci.home(owner)
        if home is None:
            return StreamRefusal.NOT_IN_CALL
        if home.focus != stream.path[0]:
            return StreamRefusal.OTHER_FOCUS
        return owner, home.until

    def _refused_path(self, announcer: FocusDevice, path: Sequence[FocusDevice]) -> StreamRefusal | None:
        if not path or path[-1] != announcer:
            return StreamRefusal.NO_PATH
        if self._me in path or len(set(path)) < len(path):
            return StreamRefusal.LOOP
        if len(path) > self._max_hops:
            return StreamRefusal.TOO_MANY_HOPS
        if len(path) > 1 and announcer not in self._relays:
            return StreamRefusal.NO_RELAY
        return None
