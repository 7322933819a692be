"""Those who stand in for the others of a recorded leg: they publish what was published, and want nothing."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from sfu.conference.turn import LegConnected
from sfu.plane import AddTransport, SetTrack, StreamBound
from sfu.units import Kind, Ssrc, TransportId, WallTime
from signalling.events.metadata import StreamMetadata, TrackMetadata
from signalling.events.room_state import CALL_MEMBER_TYPES, ROOM_MEMBER, MemberDevice, member_content
from signalling.events.to_device import FOCUS_SESSION_ID, Envelope, Hangup, Invite, Negotiate
from signalling.focus.turn import MessageReceived, RoomState, StateEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from signalling.events.to_device import ToDeviceMessage

    Feed = Callable[[Any], Sequence[Any]]

_FOR_EVER: Final = WallTime(2**62)
_SESSION: Final = "standin"
_RIDS: Final = "fhq"
_H264_PROFILES: Final = {
    "constrained-baseline": "42e01f",
    "baseline": "42001f",
    "main": "4d001f",
    "high": "64001f",
    "constrained-high": "640c1f",
    "high-444": "f4001f",
}
_HEAD: Final = (
    *("v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=ice-ufrag:standin", f"a=ice-pwd:{'standin' * 4}"),
    *("a=fingerprint:sha-256 " + ":".join(["AB"] * 32), "a=setup:actpass"),
)
_DATA: Final = (
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "c=IN IP4 0.0.0.0",
    "a=mid:standin-data",
    "a=sctp-port:5000",
)
_EXTENSIONS: Final = (
    "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid",
    "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
    "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
)


@dataclass(frozen=True, slots=True)
class _Track:
    mid: str
    stream_id: str
    track_id: str
    kind: str
    purpose: str
    width: int
    height: int
    audio_muted: bool
    video_muted: bool
    encodings: int
    codecs: tuple[str, ...]


@dataclass(slots=True)
class _StandIn:
    user_id: str
    device_id: str
    room_id: str
    conf_id: str
    number: int
    """Of the dial: whoever comes back dials anew."""
    sections: dict[str, _Track] = field(default_factory=dict)
    """By mid, in order; one without a track any more has its last."""
    live: frozenset[str] = frozenset()
    transport: TransportId | None = None
    bound: set[int] = field(default_factory=set)

    def envelope(self) -> Envelope:
        return Envelope(
            call_id=f"standin-{self.number}",
            party_id=self.device_id,
            conf_id=self.conf_id,
            device_id=self.device_id,
            sender_session_id=_SESSION,
            dest_session_id=FOCUS_SESSION_ID,
        )

    def take(self, tracks: Iterable[_Track]) -> None:
        """Publish these, and nothing else."""
        by_mid = {one.mid: one for one in tracks}
        self.sections |= by_mid
        self.live = frozenset(by_mid)

    def offer(self) -> str:
        lines = [*_HEAD, *_DATA]
        for mid, track in self.sections.items():
            lines += _section(track, is_live=mid in self.live)
        return "".join(f"{line}\r\n" for line in lines)

    def metadata(self) -> tuple[StreamMetadata, ...]:
        streams: dict[str, StreamMetadata] = {}
        for mid in self.live:
            track = self.sections[mid]
            stream = streams.get(track.stream_id) or StreamMetadata(
                track.stream_id,
                track.purpose,
                audio_muted=track.audio_muted,
                video_muted=track.video_muted,
            )
            size = (track.width or None, track.height or None)
            told = TrackMetadata(track.track_id, Kind(track.kind), *size)
            streams[track.stream_id] = replace(stream, tracks=(*stream.tracks, told))
        return tuple(streams.values())


class StandIns:
    """Everybody in a replay but the one whose leg was recorded.

    Args:
        feed: gives the focus an input, and returns what it asks for.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._people: dict[tuple[str, str], _StandIn] = {}
        self._dials = itertools.count(1)

    def are(
        self, room_id: str, conf_id: str, members: Iterable[dict[str, Any]], *, are_admitted: bool
    ) -> bool:
        """Be these members of a call, who publish what is said of them.

        Args:
            room_id: of the call.
            conf_id: likewise.
            members: and their tracks.
            are_admitted: whoever is new among them has media already when their member event comes.

        Returns:
            Whether anybody has changed.
        """
        wanted = {(str(one["user_id"]), str(one["device_id"])): _tracks(one["tracks"]) for one in members}
        is_changed = False
        for key in self._people.keys() - wanted.keys():
            self._leave(self._people.pop(key))
            is_changed = True
        for key, tracks in wanted.items():
            known = self._people.get(key)
            if known is None:
                self._people[key] = self._join(
                    _StandIn(*key, room_id, conf_id, next(self._dials)), tracks, is_admitted=are_admitted
                )
                is_changed = True
            elif [known.sections[mid] for mid in known.sections if mid in known.live] != tracks:
                known.take(tracks)
                self._say(
                    known, Negotiate(known.envelope(), "offer", known.offer(), metadata=known.metadata())
                )
                is_changed = True
        return is_changed

    # --- within -------------------------------------------------------------------------------------------

    def _join(self, one: _StandIn, tracks: list[_Track], *, is_admitted: bool) -> _StandIn:
        membership, named = _state(one, is_in=True)
        self._feed(RoomState(one.room_id, (membership,) if is_admitted else (membership, named)))
        one.take(tracks)
        outputs = self._say(one, Invite(one.envelope(), one.offer(), metadata=one.metadata()))
        one.transport = next((out.transport for out in outputs if isinstance(out, AddTransport)), None)
        if one.transport is not None:
            self._feed(LegConnected(one.transport))
            self._flow(one, outputs)
        if is_admitted:
            self._feed(RoomState(one.room_id, (named,)))
        return one

    def _leave(self, one: _StandIn) -> None:
        self._say(one, Hangup(one.envelope()))
        self._feed(RoomState(one.room_id, _state(one, is_in=False)))

    def _say(self, one: _StandIn, message: ToDeviceMessage) -> Sequence[Any]:
        outputs = self._feed(MessageReceived(one.user_id, message))
        self._flow(one, outputs)
        return outputs

    def _flow(self, one: _StandIn, outputs: Sequence[Any]) -> None:
        """Media of every new track comes at once: it is in the recording because it flowed."""
        for out in outputs:
            if isinstance(out, SetTrack) and out.transport == one.transport and out.track not in one.bound:
                one.bound.add(out.track)
                self._feed(StreamBound(out.track, 0, Ssrc(1)))


def _state(one: _StandIn, *, is_in: bool) -> tuple[StateEvent, StateEvent]:
    device = MemberDevice(one.device_id, _SESSION, _FOR_EVER, purposes=("m.usermedia",))
    content = member_content(one.conf_id, (device,) if is_in else ())
    membership = {"membership": "join" if is_in else "leave"}
    return (
        StateEvent(ROOM_MEMBER, one.user_id, one.user_id, membership),
        StateEvent(CALL_MEMBER_TYPES[0], one.user_id, one.user_id, content),
    )


def _tracks(source: Iterable[dict[str, Any]]) -> list[_Track]:
    return [_Track(**{**one, "codecs": tuple(one["codecs"])}) for one in source]


def _section(track: _Track, *, is_live: bool) -> list[str]:
    payload_types: list[str] = []
    codecs: list[str] = []
    for number, key in enumerate(track.codecs):
        plain, repair = (111, 0) if key == "opus" else (96 + 2 * number, 97 + 2 * number)
        payload_types.append(str(plain))
        codecs += _codec(key, plain)
        if repair:
            payload_types.append(str(repair))
            codecs += [f"a=rtpmap:{repair} rtx/90000", f"a=fmtp:{repair} apt={plain}"]
    lines = [f"m={track.kind} 9 UDP/TLS/RTP/SAVPF {' '.join(payload_types)}", "c=IN IP4 0.0.0.0"]
    lines += [
        f"a=mid:{track.mid}",
        "a=sendonly" if is_live else "a=inactive",
        "a=rtcp-mux",
        *_EXTENSIONS,
        *codecs,
    ]
    lines.append(f"a=msid:{track.stream_id} {track.track_id}")
    if track.encodings > 1:
        rids = _RIDS[: track.encodings]
        lines += [*(f"a=rid:{rid} send" for rid in rids), f"a=simulcast:send {';'.join(rids)}"]
    return lines


def _codec(key: str, number: int) -> list[str]:
    """The lines of a codec whose `codec_key` is this."""
    match key.split("/"):
        case ["opus"]:
            return [f"a=rtpmap:{number} opus/48000/2"]
        case ["H264", profile, mode]:
            said = f"profile-level-id={_H264_PROFILES.get(profile, '42e01f')};packetization-mode={mode}"
            return [f"a=rtpmap:{number} H264/90000", f"a=fmtp:{number} level-asymmetry-allowed=1;{said}"]
        case ["VP9", profile]:
            return [f"a=rtpmap:{number} VP9/90000", f"a=fmtp:{number} profile-id={profile}"]
        case ["AV1", profile]:
            return [f"a=rtpmap:{number} AV1/90000", f"a=fmtp:{number} profile={profile}"]
        case _:
            return [f"a=rtpmap:{number} {key.partition('/')[0]}/90000"]
