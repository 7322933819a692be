"""Packets kept for retransmission: a second of each stream, and never more than a budget over all."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from sfu.units import after_s

if TYPE_CHECKING:
    from sfu.units import Instant

MAX_AGE_S: Final = 1.0
"""How long a packet is kept. Longer: repairs come when the picture has moved on. Shorter: a receiver far
away can't repair a burst."""

MAX_STREAM_BYTES: Final = 1 << 20
"""Bytes kept of one stream: a second at 8 Mbit/s."""

PacketT = TypeVar("PacketT")


@dataclass(frozen=True, slots=True)
class Cached(Generic[PacketT]):
    """A packet in a cache."""

    packet: PacketT
    size_bytes: int
    stored_at: Instant


class Evictable(Protocol):
    """A cache, as its budget sees it."""

    def remove(self, seq: int) -> None:
        """Evict one packet that is there."""
        ...


class Held(Protocol):
    """What a budget knows of a packet."""

    @property
    def size_bytes(self) -> int: ...
    @property
    def stored_at(self) -> Instant: ...


class CacheBudget:
    """What all caches hold together, oldest first: streams gone quiet give way to those that flow."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._used_bytes = 0
        # Not a dict: finding its first entry steps over all that were deleted before it.
        self._entries: OrderedDict[tuple[Evictable, int], Held] = OrderedDict()

    @property
    def limit_bytes(self) -> int:
        """Bytes that all caches together may hold."""
        return self._limit_bytes

    @property
    def used_bytes(self) -> int:
        """Bytes held now, over all caches."""
        return self._used_bytes

    def add(self, cache: Evictable, seq: int, cached: Held) -> None:
        """Account for a packet, after making room for it; `PacketCache.store` calls this."""
        self.make_room(cached.stored_at, cached.size_bytes)
        self._entries[cache, seq] = cached
        self._used_bytes += cached.size_bytes

    def remove(self, cache: Evictable, seq: int) -> None:
        """A packet left its cache."""
        self._used_bytes -= self._entries.pop((cache, seq)).size_bytes

    def make_room(self, now: Instant, size_bytes: int = 0) -> None:
        """Evict what is too old, and then the oldest until `size_bytes` more fit."""
        while self._entries:
            (cache, seq), oldest = next(iter(self._entries.items()))
            fits = self._used_bytes + size_bytes <= self._limit_bytes
            if fits and now <= after_s(oldest.stored_at, MAX_AGE_S):
                return
            cache.remove(seq)


class PacketCache(Generic[PacketT]):
    """The last packets of one RTP stream by sequence number."""

    def __init__(self, budget: CacheBudget, max_bytes: int = MAX_STREAM_BYTES) -> None:
        self._budget = budget
        self._max_bytes = max_bytes
        self._used_bytes = 0
        self._packets: OrderedDict[int, Cached[PacketT]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._packets)

    @property
    def used_bytes(self) -> int:
        """Bytes held now."""
        return self._used_bytes

    def store(self, now: Instant, seq: int, packet: PacketT, size_bytes: int) -> None:
        """Keep a packet; the oldest go.

        Where `now` runs back a little over the caches of one budget, packets are kept for longer by as much.
        """
        if seq in self._packets:
            self.remove(seq)
        if size_bytes > min(self._max_bytes, self._budget.limit_bytes):
            return
        while self._packets and self._used_bytes + size_bytes > self._max_bytes:
            self.remove(next(iter(self._packets)))
        cached = Cached(packet, size_bytes, now)
        self._budget.add(self, seq, cached)
        self._packets[seq] = cached
        self._used_bytes += size_bytes

    def lookup(self, now: Instant, seq: int) -> Cached[PacketT] | None:
        """The packet, while it is not too old to be of use."""
        cached = self._packets.get(seq)
        return None if cached is None or now > after_s(cached.stored_at, MAX_AGE_S) else cached

    def remove(self, seq: int) -> None:
        """Evict one packet that is there."""
        self._used_bytes -= self._packets.pop(seq).size_bytes
        self._budget.remove(self, seq)

    def clear(self) -> None:
        """Give everything back: the stream is gone."""
        for seq in tuple(self._packets):
            self.remove(seq)
