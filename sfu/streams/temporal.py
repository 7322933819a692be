"""Leaving out temporal layers: which frames of the encoding that flows a subscriber gets."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from sfu.rows import ALL_TEMPORAL

if TYPE_CHECKING:
    from sfu.rtp.dependency_descriptor import FrameDependencies, Structure
    from sfu.streams.descriptor_reader import PacketDescriptor
    from sfu.streams.selector import PacketFacts

MAX_FRAMES: Final = 64
"""Frames whose decision is remembered for their late packets: two seconds at 30 frames a second."""

_LEFT_OUT: Final = 0
_UNKNOWN: Final = -1
"""What is kept, as of a frame that nothing is known of: whatever it may be, it passes."""


class TemporalFilter:
    """Drops frames above a temporal layer; goes down at the next frame, up where a decoder can follow.

    A frame passes or is dropped as a whole, its late packets included. Where packets have a dependency
    descriptor, it decides; else the payload's temporal id.
    """

    def __init__(self) -> None:
        self._by_id = _IdFilter()
        self._by_targets = _TargetFilter()
        self._is_described = False

    @property
    def limit(self) -> int:
        """The highest temporal layer that passes."""
        return self._by_targets.limit if self._is_described else self._by_id.limit

    def reset(self, limit: int) -> None:
        """A key frame starts: every layer up to `limit` can be decoded from here."""
        self._by_id.reset(limit)
        self._by_targets.reset(limit)

    def lower(self, limit: int) -> None:
        """Frames without a descriptor that passed were dropped after all, down to this layer."""
        self._by_id.lower(limit)

    def passes(self, facts: PacketFacts, target: int) -> bool:
        """Whether a packet is of a frame at or below the layer that can be had towards `target`.

        Args:
            facts: of the packet; call for each of the encoding that flows, in order of arrival.
            target: the highest temporal layer that is wanted.
        """
        self._is_described = facts.descriptor is not None
        if facts.descriptor is not None:
            passes = self._by_targets.passes(facts.descriptor, target)
            # A packet whose descriptor can't be read goes by its temporal id, where it has one.
            self._by_id.lower(self._by_targets.limit)
            return passes
        return facts.temporal is None or self._by_id.passes(facts, facts.temporal, target)

    def active_targets(self, descriptor: PacketDescriptor) -> int | None:
        """The decode targets to tell in the descriptor of a packet that passes; None: no need to."""
        return self._by_targets.active_targets(descriptor)


class _TargetFilter:
    """By decode targets: a frame that belongs to one of those kept passes, and so has what it refers to.

    Targets with a temporal layer above the limit are given up at the next frame. One comes back at a frame
    that is a switching point for it (AV1 RTP specification, section A.7), if all that this frame refers to
    has passed. Spatial layers are no matter of this: targets of each are kept.
    """

    def __init__(self) -> None:
        self._limit = ALL_TEMPORAL
        self._sequence_start = 0
        self._kept = 0
        self._is_told = False
        self._newest = 0
        self._frames: OrderedDict[int, int] = OrderedDict()

    @property
    def limit(self) -> int:
        return self._limit

    def reset(self, limit: int) -> None:
        self._limit = limit
        self._sequence_start = self._newest = 0
        self._frames.clear()

    def passes(self, descriptor: PacketDescriptor, target: int) -> bool:
        number = descriptor.frame_number
        kept = self._frames.get(number)
        if kept is None:
            kept = self._frames[number] = self._kept_of_new_frame(descriptor, target)
            self._newest = max(self._newest, number)
            if len(self._frames) > MAX_FRAMES:
                self._frames.popitem(last=False)
        return kept != _LEFT_OUT

    def active_targets(self, descriptor: PacketDescriptor) -> int | None:
        if descriptor.structure is None or not self._is_told:
            return None
        return self._frames.get(descriptor.frame_number, self._kept) & descriptor.active

    def _kept_of_new_frame(self, descriptor: PacketDescriptor, target: int) -> int:
        """The decode targets that are kept as of this frame; `_LEFT_OUT` where it is of none of them."""
        structure, frame = descriptor.structure, descriptor.fields.dependencies
        if structure is None or frame is None:
            return _UNKNOWN
        wanted = _targets_within(structure, descriptor.active, target)
        kept = wanted
        if descriptor.sequence_start > self._sequence_start:
            self._sequence_start = descriptor.sequence_start
            self._is_told = False
            self._keep(structure, wanted, wanted, target)
        elif descriptor.sequence_start == self._sequence_start:
            if descriptor.frame_number > self._newest:
                kept = self._kept & wanted | self._joining(descriptor.frame_number, frame, wanted)
                self._keep(structure, kept, wanted, target)
            kept = self._kept
        is_wanted = kept == structure.every_target or bool(frame.targets & kept)
        return kept if is_wanted else _LEFT_OUT

    def _joining(self, number: int, frame: FrameDependencies, wanted: int) -> int:
        """The targets that begin with this frame."""
        missing = wanted & ~self._kept
        if missing and all(self._frames.get(number - diff) for diff in frame.frame_diffs):
            return missing & frame.switch_targets
        return 0

    def _keep(self, structure: Structure, kept: int, wanted: int, target: int) -> None:
        self._kept = kept
        self._is_told |= kept != structure.every_target
        self._limit = target if kept == wanted else max(_of(structure.temporal_ids(), kept))


def _targets_within(structure: Structure, active: int, limit: int) -> int:
    """The decode targets without a temporal layer above this; the lowest where all that are active have."""
    if limit == ALL_TEMPORAL:
        return structure.every_target
    ids = structure.temporal_ids()
    limit = max(limit, min(_of(ids, active or structure.every_target)))
    return sum(1 << target for target, temporal in enumerate(ids) if temporal <= limit)


def _of(temporal_ids: tuple[int, ...], targets: int) -> list[int]:
    """Those of these decode targets."""
    return [temporal for target, temporal in enumerate(temporal_ids) if targets >> target & 1]


class _IdFilter:
    """By the temporal ids of payloads: a layer comes back at a frame that refers to the base layer only."""

    def __init__(self) -> None:
        self._limit = ALL_TEMPORAL
        self._limits: OrderedDict[int, int] = OrderedDict()
        self._newest: int | None = None

    @property
    def limit(self) -> int:
        return self._limit

    def reset(self, limit: int) -> None:
        self._limit = limit
        self._limits.clear()
        self._newest = None

    def lower(self, limit: int) -> None:
        self._limit = min(self._limit, limit)
        for ts in self._limits:
            self._limits[ts] = min(self._limits[ts], limit)

    def passes(self, facts: PacketFacts, temporal: int, target: int) -> bool:
        limit = self._limits.get(facts.ts)
        if limit is None:
            limit = self._of_new_frame(facts, temporal, target)
            self._limits[facts.ts] = limit
            if len(self._limits) > MAX_FRAMES:
                self._limits.popitem(last=False)
        return temporal <= limit

    def _of_new_frame(self, facts: PacketFacts, temporal: int, target: int) -> int:
        if self._newest is not None and facts.ts < self._newest:
            return self._limit
        self._newest = facts.ts
        if facts.starts_key_frame or target < self._limit:
            self._limit = target
        elif temporal == self._limit + 1 and temporal <= target and facts.layer_sync:
            # One layer at a time: a frame of layer 2 may also need those of layer 1 that were left out.
            self._limit = temporal
        return self._limit
