"""What a client's offer makes of the table: the answer is the table as it stands after it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sfu.errors import RemoteError
from sfu.negotiation.codecs import accepted
from sfu.negotiation.extensions import downstream
from sfu.negotiation.parameters import ReceiveSection
from sfu.negotiation.slots import DataSlot, MediaSlot, RejectedSlot, Slot, Slots

if TYPE_CHECKING:
    from sfu.negotiation.codecs import NegotiatedCodec
    from sfu.negotiation.extensions import NegotiatedExtension
    from sfu.negotiation.remote import RemoteDescription, RemoteSection
    from sfu.negotiation.slots import Sending
    from sfu.units import Kind


def slots_after_offer(slots: Slots, offer: RemoteDescription, codec_names: tuple[str, ...]) -> Slots:
    """The table that answers a client's offer.

    Raises:
        RemoteError: `sections`: the offer drops or renames sections that live (RFC 8829 section 5.2.2).
    """
    if len(offer.sections) < len(slots):
        raise RemoteError("sections", f"{len(offer.sections)} after {len(slots)}")
    table: list[Slot] = []
    has_data = False
    for index, section in enumerate(offer.sections):
        before = slots[index] if index < len(slots) else None
        if before is not None and not isinstance(before, RejectedSlot) and before.mid != section.mid:
            raise RemoteError("sections", f"mid {before.mid} became {section.mid}")
        slot = _slot_after_offer(before, section, codec_names, may_have_data=not has_data)
        has_data = has_data or isinstance(slot, DataSlot)
        table.append(slot)
    return tuple(table)


def slots_after_answer(offered: Slots, answer: RemoteDescription) -> Slots:
    """The table that we offered, as the client's answer leaves it.

    Raises:
        RemoteError: `answer_mismatch`: it answers another offer.
    """
    ours = [slot.mid for slot in offered]
    theirs = [section.mid for section in answer.sections]
    if ours != theirs:
        raise RemoteError("answer_mismatch", f"sections {theirs[:8]} for {ours[:8]}")
    return tuple(
        _slot_after_answer(slot, section) for slot, section in zip(offered, answer.sections, strict=True)
    )


def rejected(section: RemoteSection) -> RejectedSlot:
    """A section that we refuse, or that the client gave up."""
    media = section.media
    return RejectedSlot(section.mid, media.kind, media.protocol, media.formats[:1] or ("0",))


def _slot_after_offer(
    before: Slot | None, section: RemoteSection, codec_names: tuple[str, ...], *, may_have_data: bool
) -> Slot:
    if section.is_rejected:
        return rejected(section)
    if section.is_data and may_have_data:
        return DataSlot(
            section.mid,
            section.media.protocol,
            section.media.formats or ("webrtc-datachannel",),
            is_legacy=section.media.has("sctpmap"),
        )
    codecs = accepted(section.codecs, codec_names)
    if section.kind is None or not codecs:
        return rejected(section)
    own = before if isinstance(before, MediaSlot) and before.mid == section.mid else None
    sending = own.send if own is not None and section.receives else None
    codecs, extensions = _agreed(section, codecs, sending)
    return MediaSlot(
        mid=section.mid,
        kind=section.kind,
        is_ours=own is not None and own.is_ours,
        codecs=codecs,
        extensions=extensions,
        rids=section.rids,
        receive=_receive(section, section.kind, codecs, extensions) if section.sends else None,
        send=sending,
    )


def _slot_after_answer(slot: Slot, section: RemoteSection) -> Slot:
    if section.is_rejected or not isinstance(slot, MediaSlot):
        return rejected(section) if section.is_rejected else slot
    if section.kind is not slot.kind:
        raise RemoteError("answer_mismatch", f"{section.media.kind[:20]} for {slot.kind}")
    theirs = {codec.format.payload_type for codec in section.codecs}
    codecs = tuple(codec for codec in slot.codecs if codec.format.payload_type in theirs)
    numbers = {(one.number, one.extension) for one in section.extensions}
    extensions = tuple(one for one in slot.extensions if (one.number, one.extension) in numbers)
    if not codecs:
        return replace(slot, send=None, receive=None)
    sending = slot.send if section.receives else None
    receive = slot.receive if section.sends else None
    return replace(slot, codecs=codecs, extensions=extensions, send=sending, receive=receive)


def _agreed(
    section: RemoteSection, codecs: tuple[NegotiatedCodec, ...], sending: Sending | None
) -> tuple[tuple[NegotiatedCodec, ...], tuple[NegotiatedExtension, ...]]:
    if sending is None:
        return codecs, section.extensions
    # The client publishes on a section of ours, or re-offers it: what goes down must be in it as well.
    keys = {codec.format.key for codec in codecs}
    down = tuple(
        codec
        for codec in section.codecs
        if codec.format.key in sending.track.codec_keys and codec.format.key not in keys
    )
    if section.sends:
        return (*codecs, *down), section.extensions
    only = tuple(codec for codec in section.codecs if codec.format.key in sending.track.codec_keys)
    return only or codecs, downstream(section.extensions)


def _receive(
    section: RemoteSection,
    kind: Kind,
    codecs: tuple[NegotiatedCodec, ...],
    extensions: tuple[NegotiatedExtension, ...],
) -> ReceiveSection:
    return ReceiveSection(
        mid=section.mid,
        kind=kind,
        stream_id=section.stream_id,
        track_id=section.track_id,
        formats=tuple(codec.format for codec in codecs),
        encodings=section.encodings,
        extensions={one.extension: one.number for one in extensions},
        cname=section.cname,
    )
