"""The table of m-sections of one leg, in their order. Values: an offer that fails leaves no trace."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sfu.negotiation.parameters import SendEncoding
from sfu.units import NO_RID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sfu.negotiation.codecs import NegotiatedCodec
    from sfu.negotiation.extensions import NegotiatedExtension
    from sfu.negotiation.parameters import ReceiveSection, SendTrack
    from sfu.units import Kind, Mid, Rid, Ssrc


@dataclass(frozen=True, slots=True)
class Sending:
    """A track of ours on a section, and its SSRCs, which are never used for another track."""

    track: SendTrack
    ssrc: Ssrc
    rtx_ssrc: Ssrc | None
    encodings: tuple[SendEncoding, ...] = ()
    """Of simulcast, lowest first; then the two above are those of the first."""

    @property
    def streams(self) -> tuple[SendEncoding, ...]:
        """What goes out, one stream or several."""
        return self.encodings or (SendEncoding(NO_RID, self.ssrc, self.rtx_ssrc),)

    def narrowed_to(self, rids: tuple[Rid, ...]) -> Sending:
        """The same, as the other side takes it: fewer encodings, or one stream where it names none."""
        kept = tuple(one for one in self.encodings if one.rid in rids)
        if kept == self.encodings:
            return self
        first = (kept or self.encodings)[0]
        return replace(self, ssrc=first.ssrc, rtx_ssrc=first.rtx_ssrc, encodings=kept)


@dataclass(frozen=True, slots=True)
class MediaSlot:
    """An audio or video section."""

    mid: Mid
    kind: Kind
    is_ours: bool
    """We opened it. The client may publish on it all the same (protocol: section 7.4)."""
    codecs: tuple[NegotiatedCodec, ...]
    """Of what flows on it, under the client's numbers."""
    extensions: tuple[NegotiatedExtension, ...]
    protocol: str = "UDP/TLS/RTP/SAVPF"
    """In the wording of the client, where it opened the section."""
    rids: tuple[Rid, ...] = ()
    """Of the client, in its order: they stand in every later description of ours too."""
    receive: ReceiveSection | None = None
    send: Sending | None = None


@dataclass(frozen=True, slots=True)
class DataSlot:
    """The section of the data channel, in the wording of the client."""

    mid: Mid
    protocol: str
    formats: tuple[str, ...]
    is_legacy: bool
    """`a=sctpmap` instead of `a=sctp-port`."""


@dataclass(frozen=True, slots=True)
class RejectedSlot:
    """A section that is dead until either side recycles it with a new mid."""

    mid: Mid
    kind: str
    protocol: str
    formats: tuple[str, ...]


def new_data_slot(mid: Mid) -> DataSlot:
    """The section of a data channel that we open (RFC 8841)."""
    return DataSlot(mid, "UDP/DTLS/SCTP", ("webrtc-datachannel",), is_legacy=False)


Slot = MediaSlot | DataSlot | RejectedSlot
Slots = tuple[Slot, ...]


def media_slots(slots: Slots) -> tuple[MediaSlot, ...]:
    """The audio and video sections."""
    return tuple(slot for slot in slots if isinstance(slot, MediaSlot))


def sent_keys(slots: Slots) -> frozenset[int]:
    """Keys of the tracks that have a section."""
    return frozenset(slot.send.track.key for slot in media_slots(slots) if slot.send is not None)


def without_tracks(slots: Slots, keep: frozenset[int]) -> Slots:
    """The table with only these keys' tracks still on their sections."""
    return tuple(
        replace(slot, send=None)
        if isinstance(slot, MediaSlot) and slot.send is not None and slot.send.track.key not in keep
        else slot
        for slot in slots
    )


def free_indices(slots: Slots, kind: Kind) -> Iterator[int]:
    """Sections for a new track: ours of this kind that carry nothing, then those that were rejected."""
    for index, slot in enumerate(slots):
        if isinstance(slot, MediaSlot) and slot.is_ours and slot.kind is kind and _is_idle(slot):
            yield index
    for index, slot in enumerate(slots):
        if isinstance(slot, RejectedSlot):
            yield index


def replaced(slots: Slots, index: int, slot: Slot) -> Slots:
    """The table with one slot changed, or appended where `index` is its length."""
    return (*slots[:index], slot, *slots[index + 1 :])


def _is_idle(slot: MediaSlot) -> bool:
    return slot.send is None and slot.receive is None
