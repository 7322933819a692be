"""The to-device messages of a leg: MSC2746 as MSC3401 extends it (protocol: section 4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sfu.errors import ParseError
from signalling.events.cascade import ROOM_KEY
from signalling.events.fields import (
    JsonObject,
    as_list,
    as_object,
    identifier,
    number,
    one_of,
    optional_identifier,
    text,
)
from signalling.events.metadata import (
    STABLE_KEY,
    UNSTABLE_KEY,
    StreamMetadata,
    metadata_content,
    parse_metadata,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FOCUS_SESSION_ID: Final = "sfu"
"""The session id of every focus (protocol: section 1)."""

DEFAULT_LIFETIME_MS: Final = 60_000
MAX_LIFETIME_MS: Final = 24 * 3_600_000
MAX_SDP_LENGTH: Final = 262_144
MAX_CANDIDATES: Final = 200
MAX_CANDIDATE_LENGTH: Final = 1_024
MAX_SEQ: Final = 2**53
MAX_REASON_LENGTH: Final = 255

_DESCRIPTION_TYPES: Final = ("offer", "answer")

INVITE: Final = "m.call.invite"
ANSWER: Final = "m.call.answer"
CANDIDATES: Final = "m.call.candidates"
SELECT_ANSWER: Final = "m.call.select_answer"
HANGUP: Final = "m.call.hangup"
REJECT: Final = "m.call.reject"
NEGOTIATE: Final = "m.call.negotiate"
METADATA_CHANGED: Final = "m.call.sdp_stream_metadata_changed"
METADATA_CHANGED_UNSTABLE: Final = "org.matrix.call.sdp_stream_metadata_changed"


@dataclass(frozen=True, slots=True)
class Envelope:
    """The fields that every message of a leg carries (MSC3401; protocol: section 4.2)."""

    call_id: str
    party_id: str
    conf_id: str
    device_id: str
    sender_session_id: str
    dest_session_id: str
    seq: int | None = None
    """0, 1, 2 … per `call_id` and direction; None: to be processed at once."""

    def content(self) -> JsonObject:
        """The common fields on the wire."""
        content: JsonObject = {
            "version": "1",
            "call_id": self.call_id,
            "party_id": self.party_id,
            "conf_id": self.conf_id,
            "device_id": self.device_id,
            "sender_session_id": self.sender_session_id,
            "dest_session_id": self.dest_session_id,
        }
        if self.seq is not None:
            content["seq"] = self.seq
        return content


@dataclass(frozen=True, slots=True)
class Candidate:
    """One trickled ICE candidate; an empty string ends them (MSC2746)."""

    candidate: str
    sdp_mid: str | None = None
    sdp_m_line_index: int | None = None

    def content(self) -> JsonObject:
        """As in `m.call.candidates`."""
        content: JsonObject = {"candidate": self.candidate}
        if self.sdp_mid is not None:
            content["sdpMid"] = self.sdp_mid
        if self.sdp_m_line_index is not None:
            content["sdpMLineIndex"] = self.sdp_m_line_index
        return content


@dataclass(frozen=True, slots=True)
class Invite:
    """Opens a leg; from a client, or from the focus that dials another."""

    envelope: Envelope
    sdp: str = field(repr=False)
    lifetime_ms: int = DEFAULT_LIFETIME_MS
    metadata: tuple[StreamMetadata, ...] | None = None
    invitee: str | None = None
    room_id: str | None = None
    """Between foci: the room of the call, since a client's invite leaves that to be found out."""

    type = INVITE

    def content(self) -> JsonObject:
        """The event's content."""
        content = self.envelope.content() | {
            "lifetime": self.lifetime_ms,
            "offer": {"type": "offer", "sdp": self.sdp},
            "capabilities": _CAPABILITIES,
            **_metadata_fields(self.metadata),
        }
        if self.invitee is not None:
            content["invitee"] = self.invitee
        if self.room_id is not None:
            content[ROOM_KEY] = self.room_id
        return content


@dataclass(frozen=True, slots=True)
class Answer:
    """Accepts an invite; its metadata is what the client may subscribe to."""

    envelope: Envelope
    sdp: str = field(repr=False)
    metadata: tuple[StreamMetadata, ...] | None = None

    type = ANSWER

    def content(self) -> JsonObject:
        """The event's content."""
        return self.envelope.content() | {
            "answer": {"type": "answer", "sdp": self.sdp},
            "capabilities": _CAPABILITIES,
            **_metadata_fields(self.metadata),
        }


@dataclass(frozen=True, slots=True)
class Candidates:
    """Trickled candidates of either side."""

    envelope: Envelope
    candidates: tuple[Candidate, ...]

    type = CANDIDATES

    def content(self) -> JsonObject:
        """The event's content."""
        return self.envelope.content() | {"candidates": [c.content() for c in self.candidates]}


@dataclass(frozen=True, slots=True)
class SelectAnswer:
    """The client took the answer of this party."""

    envelope: Envelope
    selected_party_id: str

    type = SELECT_ANSWER

    def content(self) -> JsonObject:
        """The event's content."""
        return self.envelope.content() | {"selected_party_id": self.selected_party_id}


@dataclass(frozen=True, slots=True)
class Hangup:
    """Ends a leg. Missing reason: `user_hangup`."""

    envelope: Envelope
    reason: str = "user_hangup"

    type = HANGUP

    def content(self) -> JsonObject:
        """The event's content."""
        return self.envelope.content() | {"reason": self.reason}


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuses an invite before any answer. `reason` is ours; clients ignore it."""

    envelope: Envelope
    reason: str = ""

    type = REJECT

    def content(self) -> JsonObject:
        """The event's content."""
        content = self.envelope.content()
        return content | {"reason": self.reason} if self.reason else content


@dataclass(frozen=True, slots=True)
class Negotiate:
    """A renegotiation by to-device: from npm clients, and the only way once the channel is dead."""

    envelope: Envelope
    description_type: str
    sdp: str = field(repr=False)
    lifetime_ms: int = DEFAULT_LIFETIME_MS
    metadata: tuple[StreamMetadata, ...] | None = None

    type = NEGOTIATE

    def content(self) -> JsonObject:
        """The event's content."""
        return self.envelope.content() | {
            "description": {"type": self.description_type, "sdp": self.sdp},
            "lifetime": self.lifetime_ms,
            **_metadata_fields(self.metadata),
        }


@dataclass(frozen=True, slots=True)
class MetadataChanged:
    """Mutes and streams of the sender, complete (MSC3291)."""

    envelope: Envelope
    metadata: tuple[StreamMetadata, ...]

    type = METADATA_CHANGED

    def content(self) -> JsonObject:
        """The event's content."""
        return self.envelope.content() | _metadata_fields(self.metadata)


@dataclass(frozen=True, slots=True)
class UnreadableInvite:
    """An invite of which the envelope can be read and the rest can't: its client waits for a word, too."""

    envelope: Envelope
    reason: str
    """Of the `ParseError`."""
    text: str = ""

    type = INVITE

    def content(self) -> JsonObject:
        """Nothing else of it is kept."""
        return self.envelope.content()


ToDeviceMessage = Invite | Answer | Candidates | SelectAnswer | Hangup | Reject | Negotiate | MetadataChanged
ReceivedMessage = ToDeviceMessage | UnreadableInvite

_CAPABILITIES: Final = {"m.call.transferee": False, "m.call.dtmf": False}


def parse_to_device(event_type: str, content: object) -> ReceivedMessage | None:
    """Read a to-device message of a leg; None for an event type that is none of ours.

    Raises:
        ParseError: a known type whose content lacks or mangles a field that we need; where that is an invite
            with a readable envelope, it is a value instead, since somebody waits for an answer.
    """
    parse = _PARSERS.get(event_type)
    if parse is None:
        return None
    source = as_object(content, "content")
    envelope = _parse_envelope(source)
    try:
        return parse(envelope, source)
    except ParseError as error:
        if event_type != INVITE:
            raise
        return UnreadableInvite(envelope, error.reason, error.text)


def _parse_envelope(source: Mapping[str, Any]) -> Envelope:
    version = source.get("version", 0)
    if isinstance(version, bool) or not isinstance(version, (str, int)) or version == 0:
        # Only the int 0 is the legacy dialect without party ids (MSC2746); "0" was never sent.
        raise ParseError("version", f"version {version!r}")
    return Envelope(
        call_id=identifier(source, "call_id"),
        party_id=identifier(source, "party_id"),
        conf_id=identifier(source, "conf_id"),
        device_id=identifier(source, "device_id"),
        sender_session_id=identifier(source, "sender_session_id"),
        dest_session_id=identifier(source, "dest_session_id"),
        seq=number(source, "seq", low=0, high=MAX_SEQ),
    )


def _parse_sdp(source: Mapping[str, Any], name: str) -> str:
    if name not in source:
        raise ParseError("missing", name)
    return text(as_object(source[name], name), "sdp", limit=MAX_SDP_LENGTH)


def _parse_lifetime(source: Mapping[str, Any]) -> int:
    lifetime_ms = number(source, "lifetime", low=0, high=MAX_LIFETIME_MS)
    return DEFAULT_LIFETIME_MS if lifetime_ms is None else lifetime_ms


def _parse_invite(envelope: Envelope, source: Mapping[str, Any]) -> Invite:
    invitee = source.get("invitee")
    return Invite(
        envelope,
        sdp=_parse_sdp(source, "offer"),
        lifetime_ms=_parse_lifetime(source),
        metadata=parse_metadata(source),
        invitee=invitee if isinstance(invitee, str) else None,
        room_id=optional_identifier(source, ROOM_KEY),
    )


def _parse_answer(envelope: Envelope, source: Mapping[str, Any]) -> Answer:
    return Answer(envelope, sdp=_parse_sdp(source, "answer"), metadata=parse_metadata(source))


def _parse_candidates(envelope: Envelope, source: Mapping[str, Any]) -> Candidates:
    candidates = as_list(source.get("candidates"), "candidates", MAX_CANDIDATES)
    return Candidates(envelope, tuple(_parse_candidate(c) for c in candidates))


def _parse_candidate(value: object) -> Candidate:
    source = as_object(value, "candidate")
    mid = source.get("sdpMid")
    return Candidate(
        candidate=text(source, "candidate", limit=MAX_CANDIDATE_LENGTH),
        sdp_mid=mid if isinstance(mid, str) else None,
        sdp_m_line_index=number(source, "sdpMLineIndex", low=0, high=65_535),
    )


def _parse_select_answer(envelope: Envelope, source: Mapping[str, Any]) -> SelectAnswer:
    return SelectAnswer(envelope, selected_party_id=identifier(source, "selected_party_id"))


def _parse_hangup(envelope: Envelope, source: Mapping[str, Any]) -> Hangup:
    reason = source.get("reason")
    if not isinstance(reason, str) or not reason or len(reason) > MAX_REASON_LENGTH:
        reason = "user_hangup"
    return Hangup(envelope, reason)


def _parse_reject(envelope: Envelope, source: Mapping[str, Any]) -> Reject:
    reason = source.get("reason")
    return Reject(envelope, reason if isinstance(reason, str) and len(reason) <= MAX_REASON_LENGTH else "")


def _parse_negotiate(envelope: Envelope, source: Mapping[str, Any]) -> Negotiate:
    sdp = _parse_sdp(source, "description")
    return Negotiate(
        envelope,
        description_type=parse_description_type(as_object(source["description"], "description")),
        sdp=sdp,
        lifetime_ms=_parse_lifetime(source),
        metadata=parse_metadata(source),
    )


def parse_description_type(description: Mapping[str, Any]) -> str:
    """The type of a session description, `offer` or `answer`.

    Raises:
        ParseError: anything else.
    """
    value = description.get("type")
    if not one_of(value, _DESCRIPTION_TYPES):
        raise ParseError("description_type", f"description type {str(value)[:40]!r}")
    return str(value)


def _parse_metadata_changed(envelope: Envelope, source: Mapping[str, Any]) -> MetadataChanged:
    metadata = parse_metadata(source)
    if metadata is None:
        raise ParseError("missing", STABLE_KEY)
    return MetadataChanged(envelope, metadata)


def _metadata_fields(metadata: tuple[StreamMetadata, ...] | None) -> JsonObject:
    if metadata is None:
        return {}
    content = metadata_content(metadata)
    return {STABLE_KEY: content, UNSTABLE_KEY: content}


_PARSERS: Final[dict[str, Callable[[Envelope, Mapping[str, Any]], ToDeviceMessage]]] = {
    INVITE: _parse_invite,
    ANSWER: _parse_answer,
    CANDIDATES: _parse_candidates,
    SELECT_ANSWER: _parse_select_answer,
    HANGUP: _parse_hangup,
    REJECT: _parse_reject,
    NEGOTIATE: _parse_negotiate,
    METADATA_CHANGED: _parse_metadata_changed,
    METADATA_CHANGED_UNSTABLE: _parse_metadata_changed,
}

READ_TYPES: Final = frozenset(_PARSERS)
"""Event types that are read."""
