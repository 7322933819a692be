"""What a client has told of each kind: codecs and extensions that it can take, and their numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sfu.negotiation.codecs import (
    DEFAULT_NUMBERS,
    NegotiatedCodec,
    default_codecs,
    for_sending,
    one_per_key,
)
from sfu.negotiation.extensions import NegotiatedExtension, default_extensions, downstream
from sfu.units import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sfu.negotiation.parameters import SendTrack
    from sfu.negotiation.remote import RemoteDescription, RemoteSection
    from sfu.plane import Extension

Codecs = dict[str, NegotiatedCodec]
"""By key."""
Extensions = dict["Extension", NegotiatedExtension]


@dataclass(slots=True)
class ClientTables:
    """Kept from all sections of the client's newest offer, since one alone may say less than it could.

    A client strips RTX from its screen share, say (protocol: section 7.1). What only an earlier offer said
    stays as long as its number means nothing else now: browsers move the numbers of codecs that were not
    agreed on. A kind that was never offered (camera off at joining) gets numbers that are free on the leg.
    """

    codec_names: tuple[str, ...]
    numbers: tuple[int, ...] = DEFAULT_NUMBERS
    """From which a kind that was never offered gets its payload types."""
    _codecs: dict[Kind, Codecs] = field(default_factory=dict)
    _extensions: dict[Kind, Extensions] = field(default_factory=dict)
    _payload_types: frozenset[int] = frozenset()
    _extension_ids: frozenset[int] = frozenset()

    def learn(self, offer: RemoteDescription) -> None:
        """Take up a client's offer."""
        self._payload_types = _union(section.payload_types for section in offer.sections)
        self._extension_ids = _union(section.extension_ids for section in offer.sections)
        for kind in Kind:
            sections = [section for section in offer.sections if section.kind is kind]
            self._learn_codecs(kind, sections)
            self._learn_extensions(kind, sections)

    def codecs_for(self, kind: Kind) -> Mapping[str, NegotiatedCodec]:
        """What can be sent to the client, by key."""
        if kind not in self._codecs:
            given = {
                number for told in self._codecs.values() for one in told.values() for number in one.numbers
            }
            defaults = default_codecs(kind, self.codec_names, given | self._payload_types, self.numbers)
            self._codecs[kind] = one_per_key(defaults)
        return self._codecs[kind]

    def extensions_for(self, kind: Kind) -> tuple[NegotiatedExtension, ...]:
        """The extensions of a section of ours that is the first of its kind."""
        if kind not in self._extensions:
            known = {one.extension: one.number for told in self._extensions.values() for one in told.values()}
            defaults = default_extensions(kind, known, self._extension_ids)
            self._extensions[kind] = {one.extension: one for one in defaults}
        return downstream(tuple(self._extensions[kind].values()))

    def receivable(self) -> frozenset[str]:
        """Codec keys that the client can receive, as far as it has told."""
        return frozenset(key for kind in Kind for key in self.codecs_for(kind))

    def carriable(self, track: SendTrack) -> tuple[NegotiatedCodec, ...]:
        """The codecs in which a track can reach the client, the publisher's best first; empty: in none."""
        known = self.codecs_for(track.kind)
        return for_sending(tuple(known[key] for key in track.codec_keys if key in known))

    def _learn_codecs(self, kind: Kind, sections: list[RemoteSection]) -> None:
        before = self._codecs.get(kind, {})
        told = [codec for section in sections for codec in section.codecs]
        told.sort(key=_lacks_repair)
        newest = one_per_key(told, before.values())
        for key, codec in before.items():
            if key in newest:
                newest[key] = self._repaired(newest[key], codec)
            elif self._payload_types.isdisjoint(codec.numbers):
                newest[key] = codec
        if newest or any(section.payload_types for section in sections):
            # Who offers a kind in nothing that we know can take nothing of it.
            self._codecs[kind] = newest
        else:
            self._codecs.pop(kind, None)

    def _repaired(self, codec: NegotiatedCodec, before: NegotiatedCodec) -> NegotiatedCodec:
        old, new = before.format, codec.format
        is_known = new.payload_type == old.payload_type and new.rtx_payload_type is None
        is_free = old.rtx_payload_type not in self._payload_types
        return codec.with_repair(old.rtx_payload_type) if is_known and is_free else codec

    def _learn_extensions(self, kind: Kind, sections: list[RemoteSection]) -> None:
        newest: Extensions = {}
        for section in sections:
            for one in section.extensions:
                newest.setdefault(one.extension, one)
        for extension, one in self._extensions.get(kind, {}).items():
            if extension not in newest and one.number not in self._extension_ids:
                newest[extension] = one
        if newest:
            self._extensions[kind] = newest
        else:
            self._extensions.pop(kind, None)


def _lacks_repair(codec: NegotiatedCodec) -> bool:
    return codec.format.rtx_payload_type is None


def _union(sets: Iterable[frozenset[int]]) -> frozenset[int]:
    return frozenset(number for one in sets for number in one)
