"""The table that we would like: wanted tracks on sections of ours, new ones and recycled ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sfu.negotiation.codecs import NegotiatedCodec, accepted, default_codecs
from sfu.negotiation.extensions import NegotiatedExtension, default_extensions, downstream
from sfu.negotiation.slots import (
    MediaSlot,
    Sending,
    Slots,
    free_index,
    media_slots,
    replaced,
    sent_keys,
    without_tracks,
)
from sfu.units import Kind, Mid, Ssrc

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from sfu.negotiation.parameters import SendTrack
    from sfu.negotiation.remote import RemoteDescription
    from sfu.plane import Extension

MAX_SLOTS: Final = 250
"""Sections of one leg, ours and the client's."""


@dataclass(slots=True)
class ClientTables:
    """What the client has told of each kind: codecs and extensions that it can receive, and their numbers.

    Kept from its newest offer of that kind; a kind that it never offered (camera off at joining) gets numbers
    that are free on the leg, and they stay.
    """

    codec_names: tuple[str, ...]
    codecs: dict[Kind, tuple[NegotiatedCodec, ...]] = field(default_factory=dict)
    extensions: dict[Kind, tuple[NegotiatedExtension, ...]] = field(default_factory=dict)
    used_ssrcs: set[int] = field(default_factory=set)
    used_mids: set[str] = field(default_factory=set)

    def learn(self, offer: RemoteDescription) -> None:
        """Take up a client's offer."""
        for section in offer.sections:
            self.used_ssrcs |= section.ssrcs
            self.used_mids.add(section.mid)
            if section.kind is not None and section.codecs:
                self.codecs[section.kind] = section.codecs
                self.extensions[section.kind] = downstream(section.extensions)

    def codecs_for(self, kind: Kind) -> tuple[NegotiatedCodec, ...]:
        """What can be sent to the client."""
        if kind not in self.codecs:
            used = {
                number
                for codecs in self.codecs.values()
                for codec in codecs
                for number in (codec.format.payload_type, codec.format.rtx_payload_type)
                if number is not None
            }
            self.codecs[kind] = default_codecs(kind, self.codec_names, used)
        return self.codecs[kind]

    def extensions_for(self, kind: Kind) -> tuple[NegotiatedExtension, ...]:
        """The extensions of a section of ours."""
        if kind not in self.extensions:
            known: dict[Extension, int] = {
                one.extension: one.number for table in self.extensions.values() for one in table
            }
            self.extensions[kind] = default_extensions(kind, known)
        return self.extensions[kind]

    def receivable(self) -> frozenset[str]:
        """Codec keys that the client can receive, as far as it has told."""
        return frozenset(codec.format.key for kind in Kind for codec in self.codecs_for(kind))


def carriable(track: SendTrack, tables: ClientTables) -> tuple[NegotiatedCodec, ...]:
    """The codecs in which a track can reach the client, the publisher's best first; empty: in none."""
    by_key = {codec.format.key: codec for codec in reversed(tables.codecs_for(track.kind))}
    return tuple(by_key[key] for key in track.codec_keys if key in by_key)


def slots_to_offer(
    slots: Slots, tracks: Sequence[SendTrack], tables: ClientTables, rng: random.Random
) -> Slots:
    """The table with exactly these tracks on sections; tracks beyond `MAX_SLOTS` stay out."""
    wanted = {track.key: track for track in tracks}
    table = without_tracks(slots, frozenset(wanted))
    there = sent_keys(table)
    for track in tracks:
        if track.key in there:
            continue
        index = free_index(table, track.kind)
        if index is None:
            if len(table) >= MAX_SLOTS:
                break
            index = len(table)
        table = replaced(table, index, _slot_for(track, table, index, tables, rng))
    return _with_sendable(table, tables)


def _slot_for(
    track: SendTrack, slots: Slots, index: int, tables: ClientTables, rng: random.Random
) -> MediaSlot:
    before = slots[index] if index < len(slots) else None
    codecs = carriable(track, tables)
    has_repair = any(codec.format.rtx_payload_type is not None for codec in codecs)
    return MediaSlot(
        mid=before.mid if isinstance(before, MediaSlot) else _new_mid(tables),
        kind=track.kind,
        is_ours=True,
        codecs=codecs,
        # A recycled section keeps the ids that it had: reassigned ids are refused by browsers.
        extensions=downstream(before.extensions)
        if isinstance(before, MediaSlot)
        else tables.extensions_for(track.kind),
        rids=before.rids if isinstance(before, MediaSlot) else (),
        send=Sending(track, _new_ssrc(tables, rng), _new_ssrc(tables, rng) if has_repair else None),
    )


def _with_sendable(slots: Slots, tables: ClientTables) -> Slots:
    # A section needs codecs even while it carries nothing.
    for slot in media_slots(slots):
        if not slot.codecs:
            codecs = accepted(tables.codecs_for(slot.kind), tables.codec_names)
            index = slots.index(slot)
            slots = replaced(
                slots, index, MediaSlot(slot.mid, slot.kind, slot.is_ours, codecs, slot.extensions)
            )
    return slots


def _new_mid(tables: ClientTables) -> Mid:
    number = 0
    while f"s{number}" in tables.used_mids:
        number += 1
    tables.used_mids.add(f"s{number}")
    return Mid(f"s{number}")


def _new_ssrc(tables: ClientTables, rng: random.Random) -> Ssrc:
    while True:
        ssrc = rng.randrange(1, 2**32)
        if ssrc not in tables.used_ssrcs:
            tables.used_ssrcs.add(ssrc)
            return Ssrc(ssrc)
