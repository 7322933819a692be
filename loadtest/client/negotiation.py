"""The client's side of offer and answer: the impolite one (protocol: sections 7.1, 7.2, 7.4 to 7.6).

Pure: text in, text out. Rules that the focus breaks are kept in `violations`, for a test to read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from loadtest.client import sdp
from loadtest.client.sdp import Description, Format, Section

if TYPE_CHECKING:
    from collections.abc import Mapping

_VIDEO_FEEDBACK: Final = ("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli")
_AUDIO_FEEDBACK: Final = ("transport-cc",)
_REVERSED: Final = {"sendonly": "recvonly", "recvonly": "sendonly"}


@dataclass(frozen=True, slots=True)
class LegNumbers:
    """Payload types and extension ids of one client: browsers differ, and a focus must not mix them up."""

    opus: int
    vp8: int
    rtx: int
    extensions: Mapping[str, int]

    def ids(self, kind: str) -> tuple[tuple[int, str], ...]:
        """The extensions offered in a section of this kind."""
        video_only = {sdp.RID, sdp.REPAIRED_RID}
        left_out = video_only if kind == sdp.AUDIO else {sdp.AUDIO_LEVEL}
        return tuple((number, uri) for uri, number in self.extensions.items() if uri not in left_out)

    def formats(self, kind: str) -> tuple[Format, ...]:
        """The codecs offered in a section of this kind."""
        if kind == sdp.AUDIO:
            parameters = "minptime=10;useinbandfec=1;usedtx=1"
            return (Format(self.opus, "opus", 48_000, 2, parameters, _AUDIO_FEEDBACK),)
        return (
            Format(self.vp8, "VP8", 90_000, feedback=_VIDEO_FEEDBACK),
            Format(self.rtx, "rtx", 90_000, parameters=f"apt={self.vp8}"),
        )


LIKE_CHROMIUM: Final = LegNumbers(
    opus=111,
    vp8=96,
    rtx=97,
    extensions={
        sdp.AUDIO_LEVEL: 1,
        sdp.ABS_SEND_TIME: 2,
        sdp.TRANSPORT_CC: 3,
        sdp.MID: 4,
        sdp.RID: 10,
        sdp.REPAIRED_RID: 11,
        sdp.ABS_CAPTURE_TIME: 12,
    },
)
LIKE_FIREFOX: Final = LegNumbers(
    opus=109,
    vp8=120,
    rtx=124,
    extensions={
        sdp.AUDIO_LEVEL: 1,
        sdp.MID: 3,
        sdp.ABS_SEND_TIME: 4,
        sdp.TRANSPORT_CC: 7,
        sdp.RID: 8,
        sdp.REPAIRED_RID: 9,
        sdp.ABS_CAPTURE_TIME: 13,
    },
)


@dataclass(frozen=True, slots=True)
class LocalTrack:
    """One track that this client publishes; without rids, its SSRCs stand in the SDP."""

    kind: str
    stream_id: str
    track_id: str
    rids: tuple[str, ...] = ()
    ssrc: int | None = None
    rtx_ssrc: int | None = None
    direction: str = "sendrecv"
    """What the section is opened with: browsers say `sendonly` for a screen."""


@dataclass(frozen=True, slots=True)
class SendSection:
    """What was agreed about one track of ours."""

    mid: str
    track: LocalTrack
    payload_type: int
    rtx_payload_type: int | None
    extensions: Mapping[str, int]
    rids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReceiveSection:
    """What was agreed about one track of somebody else's."""

    mid: str
    kind: str
    stream_id: str
    track_id: str
    codecs: Mapping[int, str]
    repairs: Mapping[int, int]
    """RTX payload type to the one it repairs."""
    extensions: Mapping[int, str]
    ssrcs: tuple[int, ...]
    rtx_ssrcs: Mapping[int, int]
    """RTX SSRC to the one it repairs."""


@dataclass(slots=True)
class _Slot:
    """One m-section and what either side last said in it."""

    local: Section
    remote: Section | None = None
    track: LocalTrack | None = None
    is_ours: bool = True


class ClientNegotiation:
    """The m-sections of one leg, as this client sees them.

    Args:
        numbers: payload types and extension ids of this client.
        cname: of its streams.
        violations: gets a line for each rule that the focus breaks.
        rides: publish on sections of the focus too, where they are free for sending, and without rids there:
            clients of the dialect take the first that fits (protocol: section 7.4).
    """

    def __init__(
        self, numbers: LegNumbers, cname: str, violations: list[str], *, rides: bool = False
    ) -> None:
        self.offers_ignored = 0
        """Offers of the focus that met one of ours (glare)."""
        self._numbers = numbers
        self._cname = cname
        self._violations = violations
        self._rides = rides
        self._transport: sdp.Transport | None = None
        self._session_id = 0
        self._slots: list[_Slot] = []
        self._extension_ids: dict[str, int] = {}
        """Of all that either side has used: they hold for the whole bundle (RFC 8843 section 8)."""
        self._pending: tuple[Section, ...] | None = None
        self._version = 0

    def begin(self, transport: sdp.Transport, *, session_id: int) -> None:
        """Take over the connection that all descriptions speak of."""
        self._transport = transport
        self._session_id = session_id

    def restart(self, transport: sdp.Transport) -> None:
        """Speak of another connection from the next offer on: a restart of ICE."""
        self._transport = transport

    @property
    def is_offering(self) -> bool:
        """Whether an offer of ours waits for its answer."""
        return self._pending is not None

    def open_channel(self) -> None:
        """Add the section of the data channel."""
        self._slots.append(_Slot(Section(self._free_mid(), sdp.APPLICATION)))

    def publish(self, track: LocalTrack) -> None:
        """Send a track in the next offer: on a section that is free, else on a new one."""
        slot = next((s for s in self._slots if self._is_free_for(s, track)), None)
        if slot is not None and not slot.is_ours:
            slot.track = track
            msid = track.stream_id, track.track_id
            slot.local = replace(slot.local, direction="sendrecv", msid=msid, cname=self._cname)
            return
        if slot is None:
            slot = _Slot(Section(self._free_mid(), track.kind))
            self._slots.append(slot)
        slot.track = track
        media = (track.ssrc,) if track.ssrc is not None else ()
        rtx = ((track.ssrc, track.rtx_ssrc),) if track.ssrc is not None and track.rtx_ssrc else ()
        slot.local = replace(
            slot.local,
            direction=track.direction,
            formats=self._numbers.formats(track.kind),
            extensions=self._extensions(track.kind),
            msid=(track.stream_id, track.track_id),
            send_rids=track.rids,
            ssrcs=media,
            rtx_ssrcs=rtx,
            cname=self._cname,
        )

    def unpublish(self, track_id: str) -> None:
        """Stop sending a track in the next offer; as in browsers its msid stays behind."""
        for slot in self._slots:
            if slot.track is not None and slot.track.track_id == track_id:
                slot.track = None
                direction = "inactive" if slot.is_ours else "recvonly"
                slot.local = replace(slot.local, direction=direction, ssrcs=(), rtx_ssrcs=())

    def published(self) -> set[str]:
        """The ids of the tracks that the next offer sends."""
        return {slot.track.track_id for slot in self._slots if slot.track is not None}

    def make_offer(self) -> str:
        """Write an offer of all sections; an answer must come before the next one."""
        if self._pending is not None:
            raise RuntimeError("an offer of ours is already waiting")
        self._pending = tuple(slot.local for slot in self._slots)
        return self._write(self._pending, "actpass")

    def accept_answer(self, text: str) -> Description | None:
        """Apply the answer to our offer; None where we have made none.

        Raises:
            SdpError: it cannot be read or does not fit our offer.
        """
        if self._pending is None:
            self._violations.append("an answer without an offer")
            return None
        answer = sdp.parse(text)
        offered = [section.mid for section in self._pending]
        if [section.mid for section in answer.sections] != offered:
            raise sdp.SdpError(f"answer has {[s.mid for s in answer.sections]} for {offered}")
        for slot, section in zip(self._slots, answer.sections, strict=False):
            slot.remote = section
            self._check_numbers(slot, section)
        self._pending = None
        return answer

    def answer_offer(self, text: str) -> str | None:
        """Apply an offer of the focus and write the answer; None while our own offer waits (glare).

        Raises:
            SdpError: it cannot be read or does not fit the sections so far.
        """
        if self._pending is not None:
            self.offers_ignored += 1
            return None
        offer = sdp.parse(text)
        mids = [section.mid for section in offer.sections]
        known = [slot.local.mid for slot in self._slots]
        if mids[: len(known)] != known:
            raise sdp.SdpError(f"offer has {mids} after {known}")
        for section in offer.sections[len(known) :]:
            self._slots.append(_Slot(Section(section.mid, section.kind), is_ours=False))
        for slot, section in zip(self._slots, offer.sections, strict=True):
            slot.remote = section
            self._check_numbers(slot, section)
            slot.local = self._answer_section(slot, section)
        return self._write(tuple(slot.local for slot in self._slots), "active")

    def sending(self) -> tuple[SendSection, ...]:
        """The tracks that both sides agreed we send."""
        agreed = (self._send_section(slot) for slot in self._slots)
        return tuple(section for section in agreed if section is not None)

    def receiving(self) -> tuple[ReceiveSection, ...]:
        """The tracks that both sides agreed we receive."""
        agreed = (self._receive_section(slot) for slot in self._slots)
        return tuple(section for section in agreed if section is not None)

    def _answer_section(self, slot: _Slot, offered: Section) -> Section:
        if offered.is_rejected:
            return replace(slot.local, is_rejected=True, direction="inactive")
        if offered.kind == sdp.APPLICATION:
            return replace(slot.local, is_rejected=False)
        formats = tuple(f for f in offered.formats if f.codec.lower() in {"opus", "vp8", "rtx"})
        known = {uri for _, uri in self._numbers.ids(offered.kind)}
        sends = slot.track is not None and offered.receives
        receives = offered.sends
        direction = {(True, True): "sendrecv", (True, False): "sendonly", (False, True): "recvonly"}
        rids = slot.track.rids if slot.track is not None else ()
        return replace(
            slot.local,
            is_rejected=not formats,
            direction=direction.get((sends, receives), "inactive"),
            formats=formats,
            extensions=tuple((number, uri) for number, uri in offered.extensions if uri in known),
            send_rids=tuple(rid for rid in rids if rid in offered.receive_rids),
        )

    def _send_section(self, slot: _Slot) -> SendSection | None:
        track, remote = slot.track, slot.remote
        if track is None or remote is None or not remote.receives or not slot.local.sends:
            return None
        codec = "opus" if track.kind == sdp.AUDIO else "vp8"
        form = next((f for f in remote.formats if f.codec.lower() == codec), None)
        if form is None:
            return None
        rtx = next((f.payload_type for f in remote.formats if f.repairs == form.payload_type), None)
        return SendSection(
            mid=slot.local.mid,
            track=track,
            payload_type=form.payload_type,
            rtx_payload_type=rtx,
            extensions={uri: number for number, uri in remote.extensions},
            rids=tuple(rid for rid in track.rids if rid in remote.receive_rids),
        )

    def _receive_section(self, slot: _Slot) -> ReceiveSection | None:
        remote = slot.remote
        if remote is None or remote.kind == sdp.APPLICATION or not remote.sends or not slot.local.receives:
            return None
        if remote.msid is None:
            # An answer of `sendrecv` without a track sends nothing; an offer must name what it sends.
            return None
        return ReceiveSection(
            mid=remote.mid,
            kind=remote.kind,
            stream_id=remote.msid[0],
            track_id=remote.msid[1],
            codecs={f.payload_type: f.codec.lower() for f in slot.local.formats if f.repairs is None},
            repairs={f.payload_type: f.repairs for f in slot.local.formats if f.repairs is not None},
            extensions=dict(slot.local.extensions),
            ssrcs=remote.ssrcs,
            rtx_ssrcs={rtx: media for media, rtx in remote.rtx_ssrcs},
        )

    def _check_numbers(self, slot: _Slot, section: Section) -> None:
        """Chromium refuses reassigned extension ids; renumbered payload types end reception (7.5)."""
        for number, uri in section.extensions:
            if self._extension_ids.setdefault(uri, number) != number:
                self._violations.append(f"mid {section.mid}: {uri} moved to {number}")
        ours = {f.payload_type: f.codec.lower() for f in slot.local.formats}
        for form in section.formats:
            if ours.get(form.payload_type, form.codec.lower()) != form.codec.lower():
                self._violations.append(f"mid {section.mid}: {form.payload_type} became {form.codec}")
        if section.kind != slot.local.kind:
            self._violations.append(f"mid {section.mid}: {slot.local.kind} became {section.kind}")
        has_rids = slot.is_ours and slot.track is not None and bool(slot.track.rids)
        if has_rids and slot.track is not None and section.receives and not section.receive_rids:
            self._violations.append(f"mid {section.mid}: rids {slot.track.rids} not taken")

    def _extensions(self, kind: str) -> tuple[tuple[int, str], ...]:
        """What a section of ours offers: under ids that are in use already, else under ours that are free."""
        offered = []
        for preferred, uri in self._numbers.ids(kind):
            if uri not in self._extension_ids:
                taken = set(self._extension_ids.values())
                numbers = (preferred, *range(1, 15))
                self._extension_ids[uri] = next(number for number in numbers if number not in taken)
            offered.append((self._extension_ids[uri], uri))
        return tuple(offered)

    def _is_free_for(self, slot: _Slot, track: LocalTrack) -> bool:
        if slot.local.kind != track.kind or slot.track is not None or slot.local.is_rejected:
            return False
        return bool(slot.local.send_rids) == bool(track.rids) if slot.is_ours else self._rides

    def _free_mid(self) -> str:
        taken = {slot.local.mid for slot in self._slots}
        return next(str(n) for n in range(len(taken) + 1) if str(n) not in taken)

    def _write(self, sections: tuple[Section, ...], setup: str) -> str:
        if self._transport is None:
            raise RuntimeError("begin comes first")
        self._version += 1
        description = Description(replace(self._transport, setup=setup), sections)
        return sdp.serialise(description, session_id=self._session_id, version=self._version)
