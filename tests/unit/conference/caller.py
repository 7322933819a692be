"""A client of a call under test: it makes offers and answers, and a call that runs on a hand-set clock."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from sfu.allocation.decision import DECISION_DTYPE
from sfu.conference.caps import NO_CAPS, Caps
from sfu.conference.conference import Conference, ConferenceOutput, LocalMedia
from sfu.conference.ids import IdSource
from sfu.conference.reports import Reports
from sfu.conference.turn import MediaReport
from sfu.conference.values import (
    DescriptionType,
    SendDescription,
    Source,
    StreamDescription,
    TrackDescription,
    Wish,
)
from sfu.config import ConferenceConfig, LimitsConfig
from sfu.negotiation.parameters import Candidate, Fingerprint
from sfu.negotiation.sdp import MediaSection, parse_sdp
from sfu.plane import PlaneStats, RemoveTrack, SetTrack, StreamBound
from sfu.rows import ENCODING_DTYPE, ROUTE_DTYPE, TRANSPORT_DTYPE, StructArray
from sfu.units import Instant, Kind, Ssrc, TrackHandle, TransportId, after_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

T = TypeVar("T")

CODECS: Final = {
    "audio": ("111", ("a=rtpmap:111 opus/48000/2", "a=rtcp-fb:111 transport-cc")),
    "video": (
        "96 97",
        ("a=rtpmap:96 VP8/90000", "a=rtcp-fb:96 nack", "a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96"),
    ),
    "h264": (
        "102 103",
        (
            "a=rtpmap:102 H264/90000",
            "a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
            "a=rtpmap:103 rtx/90000",
            "a=fmtp:103 apt=102",
        ),
    ),
}
EXTENSIONS: Final = (
    "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid",
    "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
    "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
)
FLIPPED: Final = {
    "sendrecv": "sendrecv",
    "sendonly": "recvonly",
    "recvonly": "sendonly",
    "inactive": "inactive",
}


def of_type(outputs: Iterable[object], kind: type[T]) -> list[T]:
    """The outputs of one type, in order."""
    return [one for one in outputs if isinstance(one, kind)]


@dataclass(frozen=True)
class Section:
    """An m-section as the client sees it."""

    kind: str
    mid: str
    direction: str
    stream_id: str = ""
    track_id: str = ""
    simulcast: bool = False
    codecs: tuple[str, ...] = ()

    def text(self) -> str:
        """Its lines."""
        if self.kind == "application":
            lines = ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=sctp-port:5000"]
            return "".join(f"{line}\r\n" for line in [*lines, f"a=mid:{self.mid}"])
        names = self.codecs or (self.kind,)
        lines = [f"m={self.kind} 9 UDP/TLS/RTP/SAVPF {' '.join(CODECS[name][0] for name in names)}"]
        lines += [f"a=mid:{self.mid}", f"a={self.direction}", "a=rtcp-mux", *EXTENSIONS]
        if self.stream_id:
            lines.append(f"a=msid:{self.stream_id} {self.track_id}")
        for name in names:
            lines += CODECS[name][1]
        if self.simulcast:
            lines += [f"a=rid:{rid} send" for rid in "fhq"]
            lines.append("a=simulcast:send f;h;q")
        return "".join(f"{line}\r\n" for line in lines)


DATA: Final = Section("application", "2", "sendrecv")


@dataclass
class Caller:
    """One client's side of its negotiation."""

    name: str
    sections: list[Section] = field(default_factory=list)
    ufrag: str = "abcd"

    @classmethod
    def with_media(cls, name: str, kinds: str = "audio video", codecs: tuple[str, ...] = ()) -> Caller:
        """A client with microphone, camera, both or neither."""
        sections = [
            Section(kind, str(index), "sendrecv", f"{name}-stream", f"{name}-{kind}")
            for index, kind in enumerate(("audio", "video"))
            if kind in kinds
        ]
        sections = [
            replace(one, simulcast=True, codecs=codecs) if one.kind == "video" else one for one in sections
        ]
        return cls(name, [*sections, DATA])

    def offer(self) -> str:
        """All sections as they stand."""
        return self._head("actpass") + "".join(section.text() for section in self.sections)

    def answer(self, offer: str) -> str:
        """Agree to everything, and keep the sections that were added."""
        known = {section.mid: section for section in self.sections}
        sections = []
        for theirs in parse_sdp(offer).sections:
            mid = theirs.value("mid") or ""
            own = known.get(mid)
            if own is None or (own.kind != "application" and not own.stream_id):
                codecs = ("h264",) if any("H264" in one for one in theirs.values("rtpmap")) else ()
                own = Section(theirs.kind, mid, FLIPPED[_direction(theirs)], codecs=codecs)
            sections.append(own)
        self.sections = sections
        lines = []
        for section, theirs in zip(sections, parse_sdp(offer).sections, strict=True):
            mirrored = replace(section, direction=FLIPPED[_direction(theirs)], simulcast=False)
            text = mirrored.text()
            if section.kind != "application":
                maps = "".join(
                    f"a={name}:{value}\r\n" for name in ("rtpmap", "fmtp") for value in theirs.values(name)
                )
                text = (
                    f"m={section.kind} 9 UDP/TLS/RTP/SAVPF {' '.join(theirs.formats)}\r\n"
                    f"a=mid:{section.mid}\r\na={mirrored.direction}\r\n{maps}"
                    + "".join(f"a=extmap:{value}\r\n" for value in theirs.values("extmap"))
                )
            lines.append(text)
        return self._head("active") + "".join(lines)

    def change(self, mid: str, **fields: Any) -> str:  # noqa: ANN401  # fields of Section
        """Another offer, with one section changed."""
        self.sections = [replace(one, **fields) if one.mid == mid else one for one in self.sections]
        return self.offer()

    def _head(self, setup: str) -> str:
        fingerprint = ":".join(["AB"] * 32)
        return (
            "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=extmap-allow-mixed\r\n"
            f"a=ice-ufrag:{self.ufrag}\r\na=ice-pwd:{'p' * 24}\r\na=fingerprint:sha-256 {fingerprint}\r\n"
            f"a=setup:{setup}\r\n"
        )


def _direction(section: MediaSection) -> str:
    return next((name for name in FLIPPED if section.has(name)), "sendrecv")


def described(
    name: str,
    *kinds: str,
    stream_id: str | None = None,
    size: tuple[int, int] | None = (1280, 720),
    **fields: bool,
) -> tuple[StreamDescription, ...]:
    """A client's complete description with one stream."""
    width, height = size or (None, None)
    tracks = tuple(
        TrackDescription(
            f"{name}-{kind}",
            Kind(kind),
            width if kind == "video" else None,
            height if kind == "video" else None,
        )
        for kind in kinds or ("audio", "video")
    )
    return (StreamDescription(stream_id or f"{name}-stream", Source.CAMERA, tracks, **fields),)


class Call:
    """A conference with its clients."""

    def __init__(
        self,
        config: ConferenceConfig | None = None,
        limits: LimitsConfig | None = None,
        caps: Caps = NO_CAPS,
    ) -> None:
        ids = IdSource()
        self.now = Instant(1_000_000_000)
        self.reports = Reports()
        self.conference = Conference(
            ids.conference(),
            ids,
            LocalMedia(
                Fingerprint("sha-256", ":".join(["CD"] * 32)),
                (Candidate("192.0.2.1", 10_000, 2_130_706_431),),
            ),
            config or ConferenceConfig(),
            limits or LimitsConfig(),
            random.Random(7),  # a test must repeat itself
            self.reports,
            caps,
        )
        self.callers: dict[TransportId, Caller] = {}
        self.answers_offers = True
        self.offers: list[SendDescription] = []
        self.bytes_received: dict[tuple[int, int], int] = {}

    def join(
        self,
        caller: Caller,
        streams: Sequence[StreamDescription] | None = None,
        *,
        admitted: bool = True,
        bind: bool = True,
        channel: bool = True,
    ) -> TransportId:
        """A client joins with its camera and microphone, described and flowing."""
        leg, _ = self.conference.add_leg(self.now, admitted=admitted)
        self.callers[leg] = caller
        kinds = [section.kind for section in caller.sections if section.kind != "application"]
        if streams is None:
            streams = described(caller.name, *kinds) if kinds else ()
        outputs = self.conference.offer_received(self.now, leg, caller.offer(), streams)
        if channel:
            self.conference.channel_ready(self.now, leg)
        if bind:
            self.bind(outputs)
            self.settle()
        return leg

    def bind(self, outputs: Iterable[ConferenceOutput]) -> None:
        """Media of every track set in these outputs flows."""
        for one in of_type(outputs, SetTrack):
            for encoding in range(len(one.encodings)):
                self.conference.plane_event(self.now, StreamBound(one.track, encoding, Ssrc(1 + encoding)))

    def offer(
        self, leg: TransportId, sdp: str, streams: Sequence[StreamDescription] | None = None
    ) -> list[ConferenceOutput]:
        """A client offers; offers of ours that follow are answered."""
        return self.follow(self.conference.offer_received(self.now, leg, sdp, streams))

    def subscribe(self, leg: TransportId, *wishes: Wish) -> list[ConferenceOutput]:
        """A client wants tracks, and agrees to the offer that brings them."""
        return self.follow(self.conference.subscribe(self.now, leg, wishes))

    def unsubscribe(self, leg: TransportId, *ids: tuple[str, str]) -> list[ConferenceOutput]:
        """A client wants tracks no more."""
        return self.follow(self.conference.unsubscribe(self.now, leg, ids))

    def follow(self, outputs: list[ConferenceOutput]) -> list[ConferenceOutput]:
        """Answer the offers among outputs, and those that come of the answers; all outputs together."""
        offers = [one for one in of_type(outputs, SendDescription) if one.type is DescriptionType.OFFER]
        self.offers += offers
        if not self.answers_offers:
            return outputs
        for one in offers:
            if one.leg not in self.conference.legs:
                continue
            answer = self.callers[one.leg].answer(one.sdp)
            outputs = outputs + self.follow(self.conference.answer_received(self.now, one.leg, answer, None))
        return outputs

    def pass_ms(self, delay_ms: float) -> list[ConferenceOutput]:
        """Time passes; what is due is done."""
        end = after_ms(self.now, delay_ms)
        outputs: list[ConferenceOutput] = []
        while (due := self.conference.next_timeout()) is not None and due <= end:
            self.now = max(self.now, due)
            outputs += self.follow(self.conference.handle_timeout(self.now))
        self.now = end
        return outputs

    def settle(self) -> list[ConferenceOutput]:
        """Long enough for everything that is told with a delay."""
        return self.pass_ms(1_000)

    def ids(self, leg: TransportId) -> set[tuple[str, str]]:
        """Stream and track ids in a leg's view."""
        return {
            (one.stream.stream_id, track.track_id)
            for one in self.conference.view(leg)
            for track in one.stream.tracks
        }


def tracks_of(outputs: Iterable[ConferenceOutput]) -> dict[str, TrackHandle]:
    """Handles by mid of the tracks that were set and not removed."""
    tracks: dict[str, TrackHandle] = {}
    for one in outputs:
        match one:
            case SetTrack():
                tracks[one.mid] = one.track
            case RemoveTrack(track):
                tracks = {mid: known for mid, known in tracks.items() if known != track}
            case _:
                pass
    return tracks


def encoding_rows(*rows: tuple[int, int, int]) -> StructArray:
    """Rows of (track, encoding, audio level)."""
    array = np.zeros(len(rows), ENCODING_DTYPE)
    for row, (track, encoding, level) in zip(array, rows, strict=True):
        row["track"], row["encoding"], row["audio_level"] = track, encoding, level
    return array


def report_of(
    now: Instant,
    *,
    transports: StructArray | None = None,
    encodings: StructArray | None = None,
    routes: StructArray | None = None,
    decisions: StructArray | None = None,
) -> MediaReport:
    """A tick's report."""
    stats = PlaneStats(
        now=now,
        transports=np.zeros(0, TRANSPORT_DTYPE) if transports is None else transports,
        encodings=np.zeros(0, ENCODING_DTYPE) if encodings is None else encodings,
        routes=np.zeros(0, ROUTE_DTYPE) if routes is None else routes,
        drops={},
    )
    return MediaReport(stats, np.zeros(0, DECISION_DTYPE) if decisions is None else decisions)


ALICE_VIDEO = ("alice-stream", "alice-video")
ALICE_AUDIO = ("alice-stream", "alice-audio")


def wish(ids: tuple[str, str], width: int = 640, height: int = 360) -> Wish:
    return Wish(*ids, width, height)


def alice_and_bob(call: Call | None = None) -> tuple[Call, TransportId, TransportId]:
    call = call or Call()
    return call, call.join(Caller.with_media("alice")), call.join(Caller.with_media("bob"))


def directions(offer: str) -> list[str]:
    names = ("sendrecv", "sendonly", "recvonly", "inactive")
    return [name for line in offer.splitlines() for name in names if line == f"a={name}"]
