"""Turns of a focus in, lines of a recording out: what was said to one leg and by it, and what decided it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from sfu.conference.turn import (
    CloseLeg,
    DataChannelClosed,
    DataChannelOpened,
    DataReceived,
    DataRefused,
    LegConnected,
    LegFailed,
    MediaReport,
    SendData,
    StartDtls,
)
from sfu.plane import (
    AddTransport,
    ConsentLost,
    PairSelected,
    RemoveTransport,
    SetCredentials,
    SetTrack,
    StreamBound,
    StreamEnded,
)
from sfu.units import NS_PER_MS, NS_PER_S
from signalling.events.to_device import UnreadableInvite
from signalling.focus.turn import (
    Count,
    DrainAsked,
    DrainCancelled,
    MessageReceived,
    RoomGone,
    RoomState,
    SendToDevice,
    ShuttingDown,
)
from signalling.trace.around import ADMITTED, Around
from signalling.trace.lines import Began, Direction, Header, Line, Via
from signalling.trace.pseudonyms import Pseudonyms
from signalling.trace.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sfu.config import ConferenceConfig, LimitsConfig
    from sfu.units import Instant, TrackHandle, TransportId, WallTime
    from signalling.focus.settings import CallSettings
    from signalling.focus.surroundings import Surroundings
    from signalling.trace.redaction import Redacted
    from signalling.trace.subject import Subject

LINGER_S: Final = 15.0
"""After its leg has ended a recording goes on for this long. Lower: a client that dials again after 5 s is
missed. Higher: whoever waits for the end waits longer."""

_MALFORMED: Final = "malformed"
"""What can't be read; the shell counts it, so the engine's counts don't tell."""

_REFUSALS: Final = {
    "messages_refused": "reason",
    "invites_refused": "reason",
    "signalling_messages": "outcome",
}
"""Counters that say what became of an input, and the label that does."""

_ABOUT_A_LEG: Final = {
    PairSelected: "pair_selected",
    LegConnected: "connected",
    LegFailed: "failed",
    ConsentLost: "consent_lost",
    DataChannelOpened: "channel_opened",
    DataChannelClosed: "channel_closed",
    DataRefused: "data_refused",
}
_ABOUT_ALL: Final = {
    ShuttingDown: "shutting_down",
    DrainAsked: "drain_asked",
    DrainCancelled: "drain_cancelled",
}
_ASKED_OF_A_LEG: Final = {
    AddTransport: "leg_opened",
    StartDtls: "dtls_started",
    SetCredentials: "ice_restarted",
    CloseLeg: "leg_closed",
    RemoveTransport: "leg_closed",
}
_TOLD_FIELDS: Final = ("reason", "channel", "label")


class Recorder:
    """Writes down what concerns one subject.

    Args:
        subject: whose signalling.
        identity: user and device id of the focus.
        surroundings: of the focus whose turns it is told.
        version: of matrix-focus.
    """

    def __init__(
        self, subject: Subject, identity: tuple[str, str], surroundings: Surroundings, version: str
    ) -> None:
        self._subject = subject
        self._surroundings = surroundings
        self._version = version
        self._redactor = Redactor(Pseudonyms(identity))
        self._around = Around(subject, surroundings, self._redactor)
        self._began_at: Instant | None = None
        self._legs: set[TransportId] = set()
        self._trunks: set[TransportId] = set()
        """Those of them that lead, or have just led, to other foci: of one's own leg there are none."""
        self._tracks: dict[TrackHandle, tuple[TransportId, str]] = {}
        self._gone_at: Instant | None = None

    def begin(
        self,
        now: Instant,
        wall: WallTime,
        calls: CallSettings,
        conference: ConferenceConfig,
        limits: LimitsConfig,
    ) -> list[Header | Line]:
        """What stands at the beginning: the header, and what rooms say of the subject already.

        Args:
            now: when it begins.
            wall: the same, by the calendar.
            calls: how calls are run.
            conference: likewise.
            limits: what one party may ask for.
        """
        self._began_at = now
        self._legs = self._live_legs()
        is_during = bool(self._legs) and not self._subject.is_everybody
        header = Header(
            focus=self._version,
            began=Began.DURING if is_during else Began.BEFORE,
            wall_ms=wall,
            subject=self._redactor.redact(asdict(self._subject)),
            settings={"calls": asdict(calls), "conference": asdict(conference), "limits": asdict(limits)},
        )
        return [header, *self._lines(now, (*self._around.at_first(), *self._around.others(self._legs)))]

    def turn(self, now: Instant, given: Any, outputs: Sequence[Any]) -> list[Line]:  # noqa: ANN401  # any input
        """The lines of one turn."""
        if isinstance(given, MediaReport) and not outputs:
            return []
        before = self._legs
        self._legs = self._live_legs()
        legs = before | self._legs
        for output in outputs:
            if isinstance(output, SetTrack) and output.transport in legs:
                self._tracks[output.track] = output.transport, output.mid
        entries = [
            # Somebody who joins is told of the others in the same turn.
            *self._around.others(self._legs - before),
            *self._given(legs, given, _refusals(outputs)),
            *self._around.others(self._legs if isinstance(given, RoomState) else (), note=ADMITTED),
            *(_due(entry) if given is None else entry for entry in self._outputs(legs, outputs)),
            *self._around.others(self._legs),
        ]
        self._gone_at = now if before and not self._legs else None if self._legs else self._gone_at
        return self._lines(now, entries)

    def failed(self, now: Instant, given: Any, error: Exception) -> list[Line]:  # noqa: ANN401
        """A turn about the subject ended in a mistake of ours."""
        entries = [*self._given(self._legs, given, [])]
        if entries:
            mistake = self._redactor.redact({"type": type(error).__name__})
            entries.append((Direction.OUT, Via.RUNTIME, "internal_failure", mistake, {}))
        return self._lines(now, entries)

    def is_over(self, now: Instant) -> bool:
        """Whether the subject's last leg has been gone for so long that it won't be back."""
        return self._gone_at is not None and now - self._gone_at > LINGER_S * NS_PER_S

    # --- inputs -------------------------------------------------------------------------------------------

    def _given(
        self,
        legs: set[TransportId],
        given: Any,  # noqa: ANN401
        refused: Sequence[str],
    ) -> Iterator[Entry]:
        facts: dict[str, Any] = {"refused": list(refused)} if refused else {}
        match given:
            case MessageReceived():
                yield from self._message(given, facts)
            case RoomState():
                yield from self._around.state(given, facts)
            case RoomGone(room_id):
                yield from self._around.gone(room_id)
            case DataReceived(leg, channel, text) if leg in legs:
                kind, content = self._frame(text)
                yield Direction.IN, Via.CHANNEL, kind, content, facts | {"leg": leg, "channel": channel}
            case StreamBound(track) | StreamEnded(track) if self._tracks.get(track, (None, ""))[0] in legs:
                leg, mid = self._tracks[track]
                kind = "stream_bound" if isinstance(given, StreamBound) else "stream_ended"
                content = self._redactor.redact({"mid": mid, "encoding": given.encoding})
                yield Direction.IN, Via.RUNTIME, kind, content, facts | {"leg": leg}
            case ShuttingDown() | DrainAsked() | DrainCancelled():
                content = self._redactor.redact(asdict(given) if isinstance(given, DrainAsked) else {})
                yield Direction.IN, Via.RUNTIME, _ABOUT_ALL[type(given)], content, facts
            case _ if type(given) in _ABOUT_A_LEG and _leg_of(given) in legs:
                kind = _ABOUT_A_LEG[type(given)]
                yield Direction.IN, Via.RUNTIME, kind, self._told(given), facts | {"leg": _leg_of(given)}

    def _message(self, given: MessageReceived, facts: dict[str, Any]) -> Iterator[Entry]:
        envelope = given.message.envelope
        if not self._subject.is_leg(given.sender, envelope.device_id, envelope.conf_id):
            return
        content = given.message.content() if given.content is None else dict(given.content)
        facts |= {"sender": given.sender, "encrypted": given.proven_device_id is not None}
        facts |= {"age_ms": given.age_ms} if given.age_ms else {}
        if isinstance(given.message, UnreadableInvite):
            facts["refused"] = sorted({*facts.get("refused", ()), _MALFORMED})
        yield Direction.IN, Via.TO_DEVICE, given.message.type, self._redactor.redact(content), facts

    def _frame(self, text: str) -> tuple[str, Redacted]:
        """A frame of a data channel; one that is none has no type."""
        try:
            frame = json.loads(text)
        except (ValueError, RecursionError):
            frame = None
        if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
            return "", self._redactor.redact({})
        kind: str = self._redactor.redact({"type": frame["type"]})["type"]
        return kind, self._redactor.redact(frame.get("content", {}))

    # --- outputs ------------------------------------------------------------------------------------------

    def _outputs(self, legs: set[TransportId], outputs: Sequence[Any]) -> Iterator[Entry]:
        for output in outputs:
            match output:
                case SendToDevice(user_id, device_id, message, is_encrypted):
                    if self._subject.is_leg(user_id, device_id, message.envelope.conf_id):
                        facts = {"user_id": user_id, "device_id": device_id, "encrypted": is_encrypted}
                        content = self._redactor.redact(message.content())
                        yield Direction.OUT, Via.TO_DEVICE, message.type, content, facts
                case SendData(leg, channel, text) if leg in legs:
                    kind, content = self._frame(text)
                    yield Direction.OUT, Via.CHANNEL, kind, content, {"leg": leg, "channel": channel}
                case _ if type(output) in _ASKED_OF_A_LEG and _leg_of(output) in legs:
                    kind = _ASKED_OF_A_LEG[type(output)]
                    reasons = _reasons(outputs) if kind == "leg_closed" else []
                    content = self._redactor.redact({"reason": reasons[0]} if len(reasons) == 1 else {})
                    yield Direction.OUT, Via.RUNTIME, kind, content, {"leg": _leg_of(output)}

    def _told(self, given: Any) -> Redacted:  # noqa: ANN401
        told = {name: getattr(given, name) for name in _TOLD_FIELDS if hasattr(given, name)}
        return self._redactor.redact(told)

    # --- within -------------------------------------------------------------------------------------------

    def _live_legs(self) -> set[TransportId]:
        legs = {
            transport
            for transport, key in self._surroundings.legs()
            if self._subject.is_leg(key.user_id, key.device_id, key.call.conf_id)
        }
        if self._subject.is_everybody:
            trunks = set(self._surroundings.trunks())
            self._trunks = trunks | (self._trunks & self._legs)
            legs |= trunks
        return legs

    def _lines(self, now: Instant, entries: Iterable[Entry]) -> list[Line]:
        at_ms = 0.0 if self._began_at is None else round((now - self._began_at) / NS_PER_MS, 3)
        return [
            Line(at_ms, direction, via, kind, content, self._redactor.redact(self._with_trunk(facts)))
            for direction, via, kind, content, facts in entries
        ]

    def _with_trunk(self, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**facts, "trunk": True} if facts.get("leg") in self._trunks else facts


Entry = tuple[Direction, Via, str, "Redacted", "Mapping[str, Any]"]
"""A line to be: everything but when, its facts not redacted yet."""


def _due(entry: Entry) -> Entry:
    """Said because it was due, and at a time that only the recorded focus knows."""
    direction, via, kind, content, facts = entry
    return direction, via, kind, content, {**facts, "timer": True}


def _leg_of(value: Any) -> TransportId:  # noqa: ANN401
    leg: TransportId = getattr(value, "leg", None) or value.transport
    return leg


def _counts(outputs: Sequence[Any]) -> Iterator[Count]:
    return (one for one in outputs if isinstance(one, Count))


def _refusals(outputs: Sequence[Any]) -> list[str]:
    return [one.labels[_REFUSALS[one.name]] for one in _counts(outputs) if one.name in _REFUSALS]


def _reasons(outputs: Sequence[Any]) -> list[str]:
    return [one.labels["reason"] for one in _counts(outputs) if one.name == "leaves"]
