"""STUN requests of ours: where each went, and which transport waits for its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.plane import MAX_STUN_REQUESTS

if TYPE_CHECKING:
    from sfu.dataplane.wire import Address
    from sfu.units import TransportId

Request = tuple["Address", bytes]
"""Where it went, and its transaction id of 96 bits: an answer names both."""


class Requests:
    """A bounded queue for each transport. No timers: what nobody answers makes room for what is newer."""

    def __init__(self) -> None:
        self._askers: dict[Request, TransportId] = {}
        self._waiting: dict[TransportId, dict[Request, None]] = {}

    def add(self, transport: TransportId, address: Address, transaction_id: bytes) -> None:
        """Wait for an answer; of too many, the oldest is forgotten. The same one again is the newest."""
        self.take(address, transaction_id)
        waiting = self._waiting.setdefault(transport, {})
        if len(waiting) >= MAX_STUN_REQUESTS:
            self.take(*next(iter(waiting)))
        waiting[address, transaction_id] = None
        self._askers[address, transaction_id] = transport

    def take(self, address: Address, transaction_id: bytes) -> TransportId | None:
        """Who waits for this answer, but not for another like it; None: nobody does."""
        asker = self._askers.pop((address, transaction_id), None)
        if asker is not None:
            del self._waiting[asker][address, transaction_id]
        return asker

    def forget(self, transport: TransportId) -> None:
        """Wait for nothing on behalf of this transport."""
        for request in self._waiting.pop(transport, {}):
            del self._askers[request]
