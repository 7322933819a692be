"""Which encoding of a track flows to one subscriber now, and up to which temporal layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from sfu.plane import DropReason
from sfu.rows import ALL_TEMPORAL, PAUSED
from sfu.streams.temporal import TemporalFilter
from sfu.units import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sfu.streams.descriptor_reader import PacketDescriptor


@dataclass(frozen=True, slots=True)
class Paused:
    """Nothing flows."""


@dataclass(frozen=True, slots=True)
class Switching:
    """`target` waits for its key frame; `current` flows until then, None where nothing does."""

    target: int
    current: int | None


@dataclass(frozen=True, slots=True)
class Forwarding:
    """`encoding` flows, and is what is wanted."""

    encoding: int


SelectorState = Paused | Switching | Forwarding


@dataclass(frozen=True, slots=True)
class PacketFacts:
    """What choosing needs to know of one packet."""

    encoding: int
    seq: int
    """Of the publisher, unwrapped."""
    ts: int
    """Of the publisher, unwrapped: the packets of one frame share it."""
    starts_key_frame: bool = False
    """The first packet of a key frame. Always False for audio."""
    temporal: int | None = None
    """Temporal layer (VP8 TID); None where the payload does not tell."""
    layer_sync: bool = False
    """The frame depends on the base layer only (VP8 Y bit, RFC 7741 section 4.2)."""
    descriptor: PacketDescriptor | None = None
    """Its dependency descriptor, which decides on temporal layers whatever the payload tells."""

    @property
    def layer(self) -> int:
        """The temporal layer of its frame, as its descriptor tells, else its payload; 0: neither does."""
        dependencies = None if self.descriptor is None else self.descriptor.fields.dependencies
        return dependencies.temporal_id if dependencies is not None else self.temporal or 0


class EncodingSelector:
    """The choice of one route. An encoding starts at the start of one of its key frames and nowhere else.

    There is no time limit on waiting: where the current encoding has dried up and others flow, what reaches
    the subscriber still begins with a key frame of the target. Asking for it is the caller's.

    Args:
        kind: audio has no key frames and switches at once.
    """

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._state: SelectorState = Paused()
        self._target_temporal = ALL_TEMPORAL
        self._temporal = TemporalFilter()
        self._since: int | None = None
        self._last: int | None = None
        self._switches = 0

    @property
    def state(self) -> SelectorState:
        """What flows and what is wanted."""
        return self._state

    @property
    def current(self) -> int | None:
        """The encoding that flows now; None for none."""
        match self._state:
            case Forwarding(encoding):
                return encoding
            case Switching(_, current):
                return current
            case Paused():
                return None
            case _:
                assert_never(self._state)

    @property
    def target(self) -> int:
        """The encoding that is wanted, or `PAUSED`."""
        match self._state:
            case Forwarding(target) | Switching(target, _):
                return target
            case Paused():
                return PAUSED
            case _:
                assert_never(self._state)

    @property
    def temporal(self) -> int:
        """The highest temporal layer that flows now."""
        return self._temporal.limit

    @property
    def switches(self) -> int:
        """How often one encoding followed another."""
        return self._switches

    def active_targets(self, descriptor: PacketDescriptor) -> int | None:
        """The decode targets to tell in the descriptor of a packet that is forwarded (a bit mask).

        Returns:
            None where nothing was left out since the last key frame: what the publisher says holds.
        """
        return self._temporal.active_targets(descriptor)

    def set_target(self, encoding: int, temporal: int = ALL_TEMPORAL) -> None:
        """Want another encoding (`PAUSED`: nothing, at once) up to a temporal layer."""
        self._target_temporal = temporal
        current = self.current
        if encoding == PAUSED:
            self._state = Paused()
        elif encoding == current or self._kind is Kind.AUDIO:
            self._state = Forwarding(encoding)
        else:
            self._state = Switching(encoding, current)

    def lower(self, temporal: int) -> None:
        """Frames above this temporal layer were dropped after `decide` had let them pass.

        Their layers come back as after a target that left them out. For frames without a descriptor only.
        """
        self._temporal.lower(temporal)

    def source_changed(self, encoding: int) -> None:
        """An encoding comes from another SSRC now: a new encoder, to be joined at a key frame."""
        if self._kind is Kind.VIDEO and self.current == encoding:
            self._state = Switching(self.target, None)

    def renumber(self, numbers: Mapping[int, int]) -> None:
        """Encodings stand under other numbers now; one that is not among them is gone."""

        def after(encoding: int | None) -> int | None:
            return None if encoding is None else numbers.get(encoding)

        target, current = after(self.target), after(self.current)
        self._last = after(self._last)
        if target is None:
            self._state = Paused()
        elif target == current:
            self._state = Forwarding(target)
        else:
            self._state = Switching(target, current)

    def decide(self, facts: PacketFacts, *, ready: bool = True) -> DropReason | None:
        """Decide on one packet; call once for each, in order of arrival.

        Args:
            facts: of the packet.
            ready: the packet's timestamp can be mapped (`TimestampMapper.ready`); a switch waits for it.

        Returns:
            None to forward it.
        """
        match self._state:
            case Paused():
                return DropReason.OTHER_LAYER
            case Switching(target, _) if target == facts.encoding and facts.starts_key_frame and ready:
                self._state = Forwarding(target)
                self._since = facts.seq
                self._temporal.reset(self._target_temporal)
                return self._forward(facts)
            case Switching(target, current):
                if facts.encoding == current:
                    return self._forward(facts)
                waiting = facts.encoding == target
                return DropReason.WAITING_FOR_KEYFRAME if waiting else DropReason.OTHER_LAYER
            case Forwarding(encoding):
                return self._forward(facts) if facts.encoding == encoding else DropReason.OTHER_LAYER
            case _:
                assert_never(self._state)

    def _forward(self, facts: PacketFacts) -> DropReason | None:
        """A packet of the encoding that flows."""
        if self._since is not None and facts.seq < self._since:
            # From before the key frame that it was joined at, and late.
            return DropReason.WAITING_FOR_KEYFRAME
        if not self._temporal.passes(facts, self._target_temporal):
            return DropReason.TEMPORAL_LAYER
        if self._last != facts.encoding:
            self._switches += self._last is not None
            self._last = facts.encoding
        return None
