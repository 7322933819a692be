"""What the clients of a call are told of its streams, written once for all of them.

Everybody is told of everybody, so a call of a hundred has ten thousand entries to tell whenever one of its
members mutes. Written for each client anew, that takes longer than the changes are apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from signalling.events.metadata import metadata_text, stream_text
from signalling.focus.dialect import metadata_of
from signalling.focus.guests import NOBODY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sfu.conference.values import StreamView
    from sfu.units import TransportId
    from signalling.focus.guests import Guest
    from signalling.focus.leg import Leg

_SLACK: Final = 64
"""Streams that are gone are forgotten when they may be more than this many and the live ones together."""


class Views:
    """The streams of one call as JSON."""

    def __init__(self) -> None:
        self._written: dict[str, tuple[StreamView, str]] = {}

    def text(
        self,
        view: Sequence[StreamView],
        legs: Mapping[TransportId, Leg],
        guests: Mapping[TransportId, Guest] = NOBODY,
    ) -> str:
        """What one client is told; `legs` and `guests` are those of the call."""
        present = [one for one in view if one.owner in legs or one.owner in guests]
        if len(self._written) > 2 * len(present) + _SLACK:
            self._written = {}
        return metadata_text(self._text(one, legs, guests) for one in present)

    def _text(
        self, one: StreamView, legs: Mapping[TransportId, Leg], guests: Mapping[TransportId, Guest]
    ) -> str:
        stream_id = one.stream.stream_id
        known, text = self._written.get(stream_id, (None, ""))
        if known is one:
            return text
        if known != one:
            (stream,) = metadata_of([one], legs, guests)
            text = stream_text(stream)
        # The next client is told of this very object.
        self._written[stream_id] = one, text
        return text
