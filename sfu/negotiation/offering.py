"""The table that we would like: wanted tracks on sections of ours, new ones and recycled ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sfu.negotiation.codecs import for_sending
from sfu.negotiation.extensions import downstream, without_rids
from sfu.negotiation.parameters import SendEncoding
from sfu.negotiation.slots import (
    MediaSlot,
    Sending,
    Slots,
    free_indices,
    media_slots,
    replaced,
    sent_keys,
    without_tracks,
)
from sfu.units import NO_RID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfu.negotiation.identifiers import Identifiers
    from sfu.negotiation.parameters import SendTrack
    from sfu.negotiation.tables import ClientTables

MAX_SLOTS: Final = 250
"""Sections of one leg, ours and the client's: we add none beyond."""


def slots_to_offer(
    slots: Slots, tracks: Sequence[SendTrack], tables: ClientTables, identifiers: Identifiers
) -> Slots:
    """The table with exactly these tracks on sections; those for which there is no section stay out.

    A section whose track ends is free for another only once the client has seen it carry nothing: clients of
    this dialect keep feeds by section, and inactive → sendonly is what they take (protocol: section 7.5).

    The first of our video sections has the RID extensions, although nothing with a rid goes down: Chromium
    offers a new section with the extensions of the first one of its kind that lives, and fails in its own
    description where that has simulcast without them (a camera that is turned on after joining).
    """
    table = without_tracks(slots, frozenset(track.key for track in tracks))
    there = sent_keys(table)
    used: set[int] = set()
    for track in tracks:
        if track.key in there:
            continue
        index = next((one for one in free_indices(slots, track.kind) if one not in used), len(table))
        if index >= MAX_SLOTS:
            continue
        used.add(index)
        table = replaced(table, index, _slot_for(track, table, index, tables, identifiers))
    return table


def idle_again(abandoned: Slots, tables: ClientTables) -> Slots:
    """The sections of an offer that was not answered, carrying nothing, under the client's newest numbers."""
    return tuple(_idle(slot, tables) for slot in media_slots(abandoned))


def _idle(slot: MediaSlot, tables: ClientTables) -> MediaSlot:
    codecs = tables.codecs_for(slot.kind)
    extensions = {one.extension: one for one in tables.extensions_for(slot.kind)}
    keys = [codec.format.key for codec in slot.codecs]
    return replace(
        slot,
        codecs=for_sending(tuple(codecs[key] for key in keys if key in codecs)) or slot.codecs,
        extensions=tuple(extensions[one.extension] for one in slot.extensions if one.extension in extensions),
        send=None,
    )


def _slot_for(
    track: SendTrack, slots: Slots, index: int, tables: ClientTables, identifiers: Identifiers
) -> MediaSlot:
    before = slots[index] if index < len(slots) else None
    codecs = tables.carriable(track)
    has_repair = any(codec.format.rtx_payload_type is not None for codec in codecs)
    sending = _sending(track, identifiers, has_repair=has_repair)
    if not isinstance(before, MediaSlot):
        extensions = tables.extensions_for(track.kind)
        if any(slot.is_ours and slot.kind is track.kind for slot in media_slots(slots[:index])):
            extensions = without_rids(extensions)
        return MediaSlot(
            identifiers.mid(), track.kind, is_ours=True, codecs=codecs, extensions=extensions, send=sending
        )
    # It keeps the numbers that it had: browsers refuse reassigned ids without a word (protocol: section 7.5).
    own = {codec.format.key: codec for codec in for_sending(before.codecs)}
    codecs = tuple(own.get(codec.format.key, codec) for codec in codecs)
    return replace(before, codecs=codecs, extensions=downstream(before.extensions), send=sending)


def _sending(track: SendTrack, identifiers: Identifiers, *, has_repair: bool) -> Sending:
    streams = tuple(
        SendEncoding(rid, identifiers.ssrc(), identifiers.ssrc() if has_repair else None)
        for rid in track.rids or (NO_RID,)
    )
    return Sending(track, streams[0].ssrc, streams[0].rtx_ssrc, streams if track.rids else ())
