"""A recorded leg happens again: to a fresh focus, on virtual time.

What others publish is published by stand-ins (`standins.py`); what the focus then says to the leg is recorded
anew, by the same recorder, and compared with what was said. Of media nothing is in a recording, so what it
decides is not compared: `MEDIA_TYPES`.
"""

from __future__ import annotations

import difflib
import json
import random
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sfu.conference.conference import LocalMedia
from sfu.conference.ids import IdSource
from sfu.conference.turn import (
    DataChannelClosed,
    DataChannelOpened,
    DataReceived,
    DataRefused,
    LegConnected,
    LegFailed,
)
from sfu.config import ConferenceConfig, LimitsConfig, SfuConfig
from sfu.errors import ParseError
from sfu.negotiation.parameters import Candidate, Fingerprint
from sfu.plane import AddTransport, ConsentLost, PairSelected, SetTrack, StreamBound, StreamEnded
from sfu.units import NS_PER_MS, Instant, Ssrc, TrackHandle, TransportId, WallTime, after_ms
from signalling.events.data_channel import parse_message
from signalling.events.room_state import CALL_TYPES, FocusDevice
from signalling.events.to_device import Invite, UnreadableInvite, parse_to_device
from signalling.focus.focus import Focus
from signalling.focus.settings import CallSettings
from signalling.focus.turn import (
    DrainAsked,
    DrainCancelled,
    MessageReceived,
    RoomGone,
    RoomState,
    ShuttingDown,
    StateEvent,
)
from signalling.trace.around import ADMITTED, OTHERS, ROOM_GONE
from signalling.trace.compare import comparable
from signalling.trace.lines import Began, Direction, Header, Line, Recording, Via
from signalling.trace.pseudonyms import FOCUS_DEVICE, FOCUS_USER
from signalling.trace.recorder import Recorder
from signalling.trace.standins import StandIns
from signalling.trace.subject import Subject
from signalling.trace.traced import Traced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

SETTLING_MS: Final = 2_000.0
"""Others who were there before the leg joined have been announced for so long."""
LATENESS_MS: Final = 10.0
"""By which a timer may have been later than an input that came after it was due."""
_ROUNDED_MS: Final = 0.002
"""What times in a recording are rounded by, at most."""
_LOCAL: Final = LocalMedia(
    Fingerprint("sha-256", ":".join(["CD"] * 32)), (Candidate("192.0.2.1", 10_000, 2_130_706_431),)
)
_NO_JSON: Final = "redacted"

_ABOUT_ALL: Final[dict[str, Callable[[Mapping[str, Any]], Any]]] = {
    "shutting_down": lambda _: ShuttingDown(),
    "drain_cancelled": lambda _: DrainCancelled(),
    "drain_asked": lambda content: DrainAsked(
        content["deadline_s"], tuple(FocusDevice(**one) for one in content["foci"])
    ),
}
_ABOUT_A_LEG: Final[dict[str, Callable[[TransportId, Mapping[str, Any]], Any]]] = {
    "pair_selected": lambda leg, _: PairSelected(leg),
    "connected": lambda leg, _: LegConnected(leg),
    "failed": lambda leg, content: LegFailed(leg, content["reason"]),
    "consent_lost": lambda leg, _: ConsentLost(leg),
    "channel_opened": lambda leg, content: DataChannelOpened(leg, content["channel"], content["label"]),
    "channel_closed": lambda leg, content: DataChannelClosed(leg, content["channel"]),
    "data_refused": lambda leg, content: DataRefused(leg, content["channel"], content["reason"]),
}

_Settings = TypeVar("_Settings")


class Replay:
    """One recording, and a focus to which it happens.

    Args:
        recording: of one leg, from before its beginning.

    Raises:
        ParseError: it is of everybody, or began during the leg.
    """

    def __init__(self, recording: Recording) -> None:
        header = recording.header
        subject = Subject(*(header.subject.get(name) for name in ("user_id", "device_id", "conf_id")))
        if subject.is_everybody or header.began is not Began.BEFORE:
            raise ParseError("not_replayable", "a replay needs one leg's recording from before its beginning")
        self._recording = recording
        self._subject = subject
        self._calls = _settings(CallSettings, header.settings.get("calls", {}))
        config = SfuConfig(
            conference=_settings(ConferenceConfig, header.settings.get("conference", {})),
            limits=_settings(LimitsConfig, header.settings.get("limits", {})),
        )
        identity = FOCUS_USER, FOCUS_DEVICE
        focus = Focus(identity, (_LOCAL,), self._calls, config, random.Random(1), IdSource())  # noqa: S311  # nobody to guess it
        self._config = config
        self._engine = Traced(focus)
        self._recorder = Recorder(subject, identity, focus.surroundings, header.focus)
        self._stand_ins = StandIns(self._give)
        self._began_at = self._now = Instant(1_000_000_000)
        self._behind_ms = 0.0
        """By how much the replay is later than the recording was."""
        self._legs = _legs_in_order(recording)
        self._transports: list[TransportId] = []
        self._tracks: dict[tuple[TransportId, str], TrackHandle] = {}
        self._written: list[Line] = []

    def run(self) -> Recording:
        """Let everything happen; return what is recorded of it."""
        header, *first = self._recorder.begin(
            self._now, self._wall(), self._calls, self._config.conference, self._config.limits
        )
        assert isinstance(header, Header)  # noqa: S101  # the first line always is
        self._written += [line for line in first if isinstance(line, Line)]
        self._engine.tap = self
        for line in self._recording.lines:
            if line.facts.get("timer"):
                self._timers_at(line.at_ms)
            elif line.direction is not Direction.OUT:
                self._pass_until(line.at_ms)
                self._happen(line)
        self._pass_until(max((line.at_ms for line in self._recording.lines), default=0.0))
        return Recording(header, tuple(self._written), self._recording.end)

    # --- a `Tap` ------------------------------------------------------------------------------------------

    def turn(self, now: Instant, given: Any, outputs: Sequence[Any]) -> None:  # noqa: ANN401
        """Write down a turn; take notice of the leg's numbers."""
        lines = self._recorder.turn(now, given, outputs)
        self._written += lines
        opened = {one.facts.get("leg") for one in lines if one.type == "leg_opened"}
        for output in outputs:
            if isinstance(output, AddTransport) and output.transport in opened:
                self._transports.append(output.transport)
            elif isinstance(output, SetTrack):
                self._tracks[output.transport, output.mid] = output.track

    def failed(self, now: Instant, given: Any, error: Exception) -> None:  # noqa: ANN401
        """Write down a mistake."""
        self._written += self._recorder.failed(now, given, error)

    # --- time ---------------------------------------------------------------------------------------------

    def _wall(self) -> WallTime:
        elapsed_ms = (self._now - self._began_at) / NS_PER_MS - self._behind_ms
        return WallTime(round(self._recording.header.wall_ms + elapsed_ms))

    def _timers_at(self, at_ms: float) -> None:
        """Do what is due when the timers of the recorded focus said something: on a busy machine, late.

        What is due afterwards counts from there.
        """
        self._now = max(self._now, after_ms(self._began_at, at_ms + self._behind_ms + _ROUNDED_MS))
        due_at = self._engine.next_timeout()
        if due_at is not None and due_at <= self._now:
            self._engine.handle_timeout(self._now, self._wall())

    def _pass_until(self, at_ms: float) -> None:
        """Let time pass; what was due a while ago, was done by now without a word to the leg."""
        end = after_ms(self._began_at, at_ms + self._behind_ms)
        while (due_at := self._engine.next_timeout()) is not None and after_ms(due_at, LATENESS_MS) <= end:
            self._now = max(self._now, due_at)
            self._engine.handle_timeout(self._now, self._wall())
        self._now = max(self._now, end)

    # --- inputs -------------------------------------------------------------------------------------------

    def _give(self, given: Any) -> Sequence[Any]:  # noqa: ANN401  # any input
        return self._engine.handle(self._now, self._wall(), given)

    def _happen(self, line: Line) -> None:
        match line.via:
            case Via.CALL if line.type == OTHERS:
                self._others(line)
            case Via.ROOM:
                self._give(self._state(line))
            case Via.TO_DEVICE:
                self._give(_message(line))
            case Via.CHANNEL | Via.RUNTIME:
                given = self._about_leg(line)
                if given is not None:
                    self._give(given)
            case _:
                pass

    def _others(self, line: Line) -> None:
        facts = line.facts
        is_changed = self._stand_ins.are(
            facts["room_id"],
            facts["conf_id"],
            line.content["members"],
            are_admitted=facts.get("note") == ADMITTED,
        )
        if is_changed and self._transport(line) is None:
            # They were there before the leg: nobody learns of them in the middle of its join.
            self._behind_ms += SETTLING_MS
            self._pass_until(line.at_ms)

    def _state(self, line: Line) -> RoomState | RoomGone:
        facts = line.facts
        if line.type == ROOM_GONE:
            return RoomGone(facts["room_id"])
        state_key = str(facts.get("conf_id" if line.type in CALL_TYPES else "user_id", ""))
        sender = str(facts.get("sender", self._subject.user_id))
        return RoomState(facts["room_id"], (StateEvent(line.type, state_key, sender, line.content),))

    def _about_leg(self, line: Line) -> Any:  # noqa: ANN401  # an input of the runtime
        of_all = _ABOUT_ALL.get(line.type) if line.via is Via.RUNTIME else None
        if of_all is not None:
            return of_all(line.content)
        leg, content = self._transport(line), line.content
        if leg is None:
            return None
        if line.via is Via.CHANNEL:
            return DataReceived(leg, line.facts["channel"], _text(line))
        if line.type in {"stream_bound", "stream_ended"}:
            track = self._tracks.get((leg, content["mid"]))
            return None if track is None else _of_stream(line.type, track, content["encoding"])
        make = _ABOUT_A_LEG.get(line.type)
        return None if make is None else make(leg, content)

    def _transport(self, line: Line) -> TransportId | None:
        """The leg of the replay that stands for the one of a line; None: it has not been opened here."""
        index = (
            self._legs.index(line.facts["leg"]) if line.facts.get("leg") in self._legs else len(self._legs)
        )
        return self._transports[index] if index < len(self._transports) else None


def differences(recorded: Recording, again: Recording) -> Iterator[str]:
    """What is different, as lines of a unified diff; nothing where all is as it was."""
    before, after = ([_shown(line) for line in comparable(one.lines)] for one in (recorded, again))
    return difflib.unified_diff(
        [row for rows in before for row in rows],
        [row for rows in after for row in rows],
        "recorded",
        "replayed",
        lineterm="",
    )


def _shown(line: dict[str, Any]) -> list[str]:
    return json.dumps(line, indent=1, ensure_ascii=False, sort_keys=True).splitlines()


def _legs_in_order(recording: Recording) -> list[int]:
    return [
        line.facts["leg"] for line in recording.lines if line.type == "leg_opened" and "leg" in line.facts
    ]


def _of_stream(kind: str, track: TrackHandle, encoding: int) -> StreamBound | StreamEnded:
    if kind == "stream_ended":
        return StreamEnded(track, encoding)
    return StreamBound(track, encoding, Ssrc(2 + encoding))


def _message(line: Line) -> MessageReceived:
    message = parse_to_device(line.type, dict(line.content))
    if message is None:
        raise ParseError("not_replayable", f"a message of type {line.type}")
    facts = line.facts
    if isinstance(message, Invite) and "malformed" in facts.get("refused", ()):
        # What made it so is not in the recording.
        message = UnreadableInvite(message.envelope, _NO_JSON)
    proven = message.envelope.device_id if facts.get("encrypted") else None
    return MessageReceived(facts["sender"], message, proven, facts.get("age_ms", 0), content=line.content)


def _text(line: Line) -> str:
    text = json.dumps({"type": line.type, "content": line.content})
    if not line.type or ("malformed" in line.facts.get("refused", ()) and _is_readable(text)):
        # What made it malformed is not in the recording.
        return _NO_JSON
    return text


def _is_readable(text: str) -> bool:
    try:
        parse_message(text)
    except ParseError:
        return False
    return True


def _settings(kind: type[_Settings], source: Any) -> _Settings:  # noqa: ANN401  # JSON
    """Settings as they were; what this version does not know is left out."""
    known = {one.name for one in fields(kind)}  # type: ignore[arg-type]  # one of the config's dataclasses
    values = {
        name: tuple(one) if isinstance(one, list) else one for name, one in source.items() if name in known
    }
    return kind(**values)
