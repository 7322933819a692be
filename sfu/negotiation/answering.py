"""What a client's description makes of the table: our answer is the table as it stands after its offer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from sfu.errors import RemoteError
from sfu.negotiation.codecs import accepted, for_sending, one_per_key
from sfu.negotiation.encodings import receive_rids
from sfu.negotiation.extensions import downstream, numbers_of
from sfu.negotiation.parameters import ReceiveSection
from sfu.negotiation.slots import DataSlot, MediaSlot, RejectedSlot, Slot, Slots

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sfu.negotiation.codecs import NegotiatedCodec
    from sfu.negotiation.extensions import NegotiatedExtension
    from sfu.negotiation.remote import RemoteDescription, RemoteSection
    from sfu.negotiation.slots import Sending
    from sfu.units import Kind, Rid

_T = TypeVar("_T")


def slots_after_offer(slots: Slots, offer: RemoteDescription, codec_names: tuple[str, ...]) -> Slots:
    """The table that answers a client's offer.

    Raises:
        RemoteError: `sections`: the offer drops or renames sections that live (RFC 8829 section 5.2.2), or
            begins with nothing that we take.
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
    if not slots and all(isinstance(slot, RejectedSlot) for slot in table):
        raise RemoteError("sections", "no audio, video or data channel that we take")
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


def _rejected(section: RemoteSection) -> RejectedSlot:
    media = section.media
    return RejectedSlot(section.mid, media.kind, media.protocol, media.formats[:1] or ("0",))


def _slot_after_offer(
    before: Slot | None, section: RemoteSection, codec_names: tuple[str, ...], *, may_have_data: bool
) -> Slot:
    if section.is_rejected:
        return _rejected(section)
    if section.is_data and may_have_data:
        return DataSlot(
            section.mid,
            section.media.protocol,
            section.media.formats or ("webrtc-datachannel",),
            is_legacy=section.media.has("sctpmap"),
        )
    own = before if isinstance(before, MediaSlot) and before.mid == section.mid else None
    upstream = accepted(section.codecs, codec_names, () if own is None else own.codecs)
    if section.kind is None or not upstream:
        return _rejected(section)
    sending = own.send if own is not None and section.receives else None
    sendable = {} if own is None or sending is None else _sendable(section, own, sending)
    is_ours = own is not None and own.is_ours
    extensions = section.extensions
    if section.sends:
        agreed = {codec.format.key: codec for codec in upstream}
        codecs = (*upstream, *(codec for key, codec in sendable.items() if key not in agreed))
    elif is_ours:
        codecs = for_sending(tuple(sendable.values()) or upstream)
        extensions = downstream(extensions)
    else:
        codecs = upstream
    return MediaSlot(
        mid=section.mid,
        kind=section.kind,
        is_ours=is_ours,
        codecs=codecs,
        extensions=extensions,
        protocol=section.media.protocol,
        rids=_rids(section, own),
        receive=_receive(section, section.kind, upstream, extensions) if section.sends else None,
        send=None if sending is None or not sendable else _as_taken(sending, section),
    )


def _sendable(section: RemoteSection, own: MediaSlot, sending: Sending) -> Mapping[str, NegotiatedCodec]:
    told = one_per_key(section.codecs, own.codecs)
    return {key: told[key] for key in sending.track.codec_keys if key in told}


def _rids(section: RemoteSection, own: MediaSlot | None) -> tuple[Rid, ...]:
    # While nothing is sent, Firefox leaves its rids out, and gives up simulcast for good if the answer does.
    # So they stay in ours, against RFC 8853 section 5.3.2; Chromium writes them all the time.
    return section.rids or (own.rids if own is not None and not section.sends else ())


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
        extensions=numbers_of(extensions),
        cname=section.cname,
    )


def _slot_after_answer(slot: Slot, section: RemoteSection) -> Slot:
    if section.is_rejected or isinstance(slot, RejectedSlot):
        return _rejected(section)
    if isinstance(slot, DataSlot):
        if not section.is_data:
            raise RemoteError("answer_mismatch", f"{section.media.kind[:20]} for the data channel")
        return slot
    if section.kind is not slot.kind:
        raise RemoteError("answer_mismatch", f"{section.media.kind[:20]} for {slot.kind}")
    codecs = _still_agreed(slot, section)
    told = {(one.number, one.extension) for one in section.extensions}
    extensions = _shared(
        slot.extensions, tuple(one for one in slot.extensions if (one.number, one.extension) in told)
    )
    keys = {codec.format.key for codec in codecs}
    sends = slot.send is not None and section.receives and not keys.isdisjoint(slot.send.track.codec_keys)
    receive = _narrowed(slot.receive, codecs, extensions) if section.sends else None
    if not sends and receive is None:
        # What an idle section leaves out is no refusal, and it needs codecs all the same.
        return replace(slot, send=None, receive=None)
    send = None if slot.send is None or not sends else _as_taken(slot.send, section)
    return replace(slot, codecs=codecs, extensions=extensions, send=send, receive=receive)


def _as_taken(sending: Sending, section: RemoteSection) -> Sending:
    """What we send, without encodings that the other side does not take (RFC 8853 section 5.3.3)."""
    return sending.narrowed_to(receive_rids(section.media)) if sending.encodings else sending


def _still_agreed(slot: MediaSlot, section: RemoteSection) -> tuple[NegotiatedCodec, ...]:
    theirs = {codec.format.payload_type: codec.format for codec in section.codecs}
    codecs = []
    for codec in slot.codecs:
        form = theirs.get(codec.format.payload_type)
        if form is not None and form.key == codec.format.key:
            is_repaired = form.rtx_payload_type == codec.format.rtx_payload_type
            codecs.append(codec if is_repaired else codec.with_repair(None))
    return _shared(slot.codecs, tuple(codecs))


def _shared(before: tuple[_T, ...], after: tuple[_T, ...]) -> tuple[_T, ...]:
    """The object that others have as well, where nothing has changed."""
    return before if before == after else after


def _narrowed(
    receive: ReceiveSection | None,
    codecs: tuple[NegotiatedCodec, ...],
    extensions: tuple[NegotiatedExtension, ...],
) -> ReceiveSection | None:
    if receive is None:
        return None
    keys = {form.key for form in receive.formats}
    formats = tuple(codec.format for codec in codecs if codec.format.key in keys)
    return replace(receive, formats=formats, extensions=numbers_of(extensions)) if formats else None
