"""To-device messages in the order that their client sent them (MSC3401 `seq`; protocol: section 4.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

from sfu.units import after_s, earliest

if TYPE_CHECKING:
    from sfu.units import Instant

MAX_HELD: Final = 64
"""Messages of one leg held back for a missing one. Lower: a reordered burst of candidates is let go too
early. Higher: more memory for whoever sends numbers with gaps."""

MAX_EARLY: Final = 16
"""Messages of one dial kept before its invite."""
MAX_EARLY_PER_USER: Final = 64
MAX_EARLY_TOTAL: Final = 1_024

_Item = TypeVar("_Item")
_Key = TypeVar("_Key")


class Ordering(Generic[_Item]):
    """One client's messages of one call: by number, a missing one waited for, but not for ever."""

    def __init__(self, gap_s: float, next_seq: int = 0) -> None:
        """Begin.

        Args:
            gap_s: how long a missing message is waited for.
            next_seq: the number that is due.
        """
        self._gap_s = gap_s
        self._next = next_seq
        self._held: dict[int, _Item] = {}
        self._due_at: Instant | None = None

    def push(self, now: Instant, seq: int | None, item: _Item) -> list[_Item] | None:
        """Take a message; return those that are in order now. None: its number was here before.

        A message without a number is in order always.
        """
        if seq is None:
            return [item]
        if seq < self._next or seq in self._held:
            return None
        self._held[seq] = item
        if len(self._held) > MAX_HELD:
            return self._release_all()
        return self._release(now)

    def handle_timeout(self, now: Instant) -> list[_Item]:
        """Give up on what is missing for too long; return what was held back for it."""
        return self._release_all() if self._due_at is not None and now >= self._due_at else []

    def next_timeout(self) -> Instant | None:
        """When a missing message is given up."""
        return self._due_at

    def _release(self, now: Instant) -> list[_Item]:
        released = []
        while self._next in self._held:
            released.append(self._held.pop(self._next))
            self._next += 1
        if not self._held:
            self._due_at = None
        elif released or self._due_at is None:
            self._due_at = after_s(now, self._gap_s)
        return released

    def _release_all(self) -> list[_Item]:
        released = [item for _, item in sorted(self._held.items(), key=lambda one: one[0])]
        self._next = max(self._held) + 1
        self._held = {}
        self._due_at = None
        return released


class EarlyMessages(Generic[_Key, _Item]):
    """Messages that may have overtaken the invite of their dial, kept for as long as a missing one."""

    def __init__(self, gap_s: float) -> None:
        self._gap_s = gap_s
        self._kept: dict[_Key, tuple[Instant, str, list[_Item]]] = {}
        self._by_user: dict[str, int] = {}
        self._total = 0

    def keep(self, now: Instant, user_id: str, key: _Key, item: _Item) -> bool:
        """Keep a message; False where there is no room for it."""
        due_at, _, items = self._kept.get(key, (after_s(now, self._gap_s), user_id, []))
        of_user = self._by_user.get(user_id, 0)
        if len(items) >= MAX_EARLY or of_user >= MAX_EARLY_PER_USER or self._total >= MAX_EARLY_TOTAL:
            return False
        self._kept[key] = due_at, user_id, [*items, item]
        self._by_user[user_id] = of_user + 1
        self._total += 1
        return True

    def take(self, key: _Key) -> list[_Item]:
        """The messages of a dial, in order of arrival; they are kept no more."""
        if key not in self._kept:
            return []
        _, user_id, items = self._kept.pop(key)
        self._total -= len(items)
        self._by_user[user_id] -= len(items)
        if not self._by_user[user_id]:
            del self._by_user[user_id]
        return items

    def handle_timeout(self, now: Instant) -> list[_Item]:
        """The messages whose invite has not come."""
        due = [key for key, (due_at, _, _) in self._kept.items() if now >= due_at]
        return [item for key in due for item in self.take(key)]

    def next_timeout(self) -> Instant | None:
        """When some have been kept for long enough."""
        return earliest(*(due_at for due_at, _, _ in self._kept.values()))
