"""What a table and the other side's newest description come to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sfu.negotiation.codecs import formats_of
from sfu.negotiation.extensions import numbers_of, without_rids
from sfu.negotiation.parameters import LegParameters, SendSection
from sfu.negotiation.slots import DataSlot, Slots, media_slots

if TYPE_CHECKING:
    from sfu.negotiation.remote import RemoteDescription
    from sfu.negotiation.slots import MediaSlot, Sending


def agreed_on(
    slots: Slots,
    remote: RemoteDescription,
    before: LegParameters,
    *,
    receivable: frozenset[str],
    candidates: tuple[tuple[str, int], ...],
) -> LegParameters:
    """Everything both sides agree on now; of the transport, what a description leaves out is as it was."""
    data = next((slot for slot in slots if isinstance(slot, DataSlot)), None)
    return LegParameters(
        receive=tuple(slot.receive for slot in media_slots(slots) if slot.receive is not None),
        send=tuple(_send_section(slot, slot.send) for slot in media_slots(slots) if slot.send is not None),
        fingerprints=remote.fingerprints or before.fingerprints,
        remote_ufrag=remote.ufrag or before.remote_ufrag,
        remote_password=remote.password or before.remote_password,
        data_mid=None if data is None else data.mid,
        data_port=remote.data_port,
        mixed_extensions=remote.mixed_extensions or before.mixed_extensions,
        receivable=receivable,
        remote_candidates=candidates or before.remote_candidates,
    )


def _send_section(slot: MediaSlot, sending: Sending) -> SendSection:
    formats = formats_of(slot.codecs, sending.track.codec_keys)
    is_repaired = any(form.rtx_payload_type is not None for form in formats)
    encodings = sending.encodings
    return SendSection(
        mid=slot.mid,
        kind=slot.kind,
        key=sending.track.key,
        formats=formats,
        extensions=numbers_of(without_rids(slot.extensions)),
        ssrc=sending.ssrc,
        rtx_ssrc=sending.rtx_ssrc if is_repaired else None,
        cname=sending.track.cname,
        encodings=encodings if is_repaired else tuple(replace(one, rtx_ssrc=None) for one in encodings),
    )
