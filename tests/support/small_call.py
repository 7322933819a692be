"""A call without Matrix: a real `Conference` as the runtime's engine, whose dialect is a few lines of JSON.

An invite and its answer pass by `Join` and `Answered`. Everything later goes over the data channel: from the
client `{"subscribe": [[stream, track], …]}` and `{"answer": sdp}`, to it `{"view": [[stream, track], …]}` and
`{"offer": sdp}`. Any other text is echoed.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sfu.conference.conference import Conference, LocalMedia
from sfu.conference.ids import IdSource
from sfu.conference.reports import Reports
from sfu.conference.turn import (
    DataChannelOpened,
    DataReceived,
    LegConnected,
    LegFailed,
    MediaReport,
    SendData,
)
from sfu.conference.values import DescriptionType, SendDescription, ViewChanged, Wish
from sfu.config import SfuConfig
from sfu.plane import ConsentLost, PairSelected, StreamBound, StreamEnded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfu.units import Instant, TransportId, WallTime


@dataclass(frozen=True)
class Join:
    """Somebody calls."""

    name: str
    sdp: str = field(repr=False)


@dataclass(frozen=True)
class Answered:
    """What somebody is answered."""

    name: str
    sdp: str = field(repr=False)


@dataclass(frozen=True)
class Left:
    """A leg is over, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class EndAll:
    """Everybody is to go."""


class SmallCall:
    """Meets `sfu.conference.turn.Engine`."""

    def __init__(self, local: LocalMedia) -> None:
        ids = IdSource()
        config = SfuConfig()
        self.conference = Conference(
            ids.conference(), ids, local, config.conference, config.limits, random.Random(1), Reports()
        )
        self.names: dict[TransportId, str] = {}
        self.events: list[str] = []
        """Names of inputs but reports and texts, in order."""
        self.decisions: Any = None

    def handle(self, now: Instant, wall: WallTime, given: Any) -> Sequence[Any]:  # noqa: ANN401  # a few dialects
        if not isinstance(given, (MediaReport, DataReceived)):
            self.events.append(type(given).__name__)
        match given:
            case MediaReport():
                self.decisions = given.decisions
                return self._said(self.conference.report(now, given))
            case Join(name, sdp):
                leg, added = self.conference.add_leg(now, admitted=True)
                self.names[leg] = name
                return self._said([*added, *self.conference.offer_received(now, leg, sdp, None)])
            case EndAll():
                return [output for leg in list(self.names) for output in self._end(now, leg, "asked")]
            case LegFailed(leg, reason):
                return self._end(now, leg, reason)
            case ConsentLost(leg):
                return self._end(now, leg, "consent")
            case DataChannelOpened(leg, 0):
                outputs = self._said(self.conference.channel_ready(now, leg))
                return [self._view(leg), *outputs]
            case DataReceived(leg, channel, text):
                return self._heard(now, leg, channel, text)
            case StreamBound() | StreamEnded():
                return self._said(self.conference.plane_event(now, given))
            case LegConnected() | PairSelected():
                return ()
            case _:
                return ()

    def handle_timeout(self, now: Instant, wall: WallTime) -> Sequence[Any]:
        return self._said(self.conference.handle_timeout(now))

    def next_timeout(self) -> Instant | None:
        return self.conference.next_timeout()

    def _heard(self, now: Instant, leg: TransportId, channel: int, text: str) -> Sequence[Any]:
        message = json.loads(text) if text.startswith("{") else {}
        if "subscribe" in message:
            wishes = [Wish(stream, track, 640, 360) for stream, track in message["subscribe"]]
            return self._said(self.conference.subscribe(now, leg, wishes))
        if "answer" in message:
            return self._said(self.conference.answer_received(now, leg, message["answer"], None))
        return [SendData(leg, channel, text)]

    def _end(self, now: Instant, leg: TransportId, reason: str) -> Sequence[Any]:
        return [*self._said(self.conference.remove_leg(now, leg)), Left(self.names.pop(leg), reason)]

    def _view(self, leg: TransportId) -> SendData:
        tracks = [
            [one.stream.stream_id, track.track_id]
            for one in self.conference.view(leg)
            for track in one.stream.tracks
        ]
        return SendData(leg, 0, json.dumps({"view": tracks}))

    def _said(self, outputs: Sequence[Any]) -> list[Any]:
        said: list[Any] = []
        for output in outputs:
            match output:
                case SendDescription(leg, DescriptionType.ANSWER, sdp):
                    said.append(Answered(self.names[leg], sdp))
                case SendDescription(leg, _, sdp):
                    said.append(SendData(leg, 0, json.dumps({"offer": sdp})))
                case ViewChanged(legs):
                    said += [self._view(leg) for leg in legs]
                case _:
                    said.append(output)
        return said
