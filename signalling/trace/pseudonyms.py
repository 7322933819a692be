"""Names for what must not be told: the same thing has the same name throughout a recording, and no other."""

from __future__ import annotations

from collections import Counter
from typing import Final

MAX_NAMES: Final = 50_000
"""Things that have a name of their own. Lower: a long recording of a big call runs out of them. Higher: who
sends many ids makes us remember many."""

FOCUS_USER: Final = "@focus:server1"
FOCUS_DEVICE: Final = "FOCUS"

_ICE_PASSWORD_LENGTH: Final = 24


class Pseudonyms:
    """Hands out names in order of appearance: `stream1`, `@user2:server1`.

    Args:
        focus: user and device id of the focus, which have names of their own.
    """

    def __init__(self, focus: tuple[str, str]) -> None:
        user_id, device_id = focus
        self._given: dict[tuple[str, str], str] = {}
        self._counts: Counter[str] = Counter()
        self.plain("server", _server(user_id))
        self._given["user", user_id] = FOCUS_USER
        self._given["device", device_id] = FOCUS_DEVICE

    def plain(self, kind: str, value: str) -> str:
        """A word and a number; an empty value has no name."""
        return self._name(kind, value, f"{kind}{{}}")

    def device(self, device_id: str) -> str:
        """A device, which is also a party."""
        return self._name("device", device_id, "DEVICE{}")

    def user(self, user_id: str) -> str:
        """A user of a server; something else that stands where a user id should is a plain `user`."""
        return self._at_server("user", "@", user_id)

    def room(self, room_id: str) -> str:
        """A room of a server."""
        return self._at_server("room", "!", room_id)

    def ufrag(self, ufrag: str) -> str:
        """An ICE user fragment."""
        return self._name("ufrag", ufrag, "ufrag{:04}")

    def password(self, password: str) -> str:
        """An ICE password."""
        return self._name("password", password, "password{:016}")[:_ICE_PASSWORD_LENGTH]

    def fingerprint(self, digest: str) -> str:
        """A certificate's digest, of the same length."""
        number = int(self._name("fingerprint", digest.upper(), "{}") or "0")
        size = len(digest.split(":"))
        return number.to_bytes(max(size, 4), "big")[-size:].hex(":").upper()

    def address(self, address: str) -> str:
        """An address of a candidate, as one that is set aside for documentation (RFC 5737)."""
        return self._name("address", address, "192.0.2.{}")

    def _at_server(self, kind: str, sigil: str, value: str) -> str:
        if not value.startswith(sigil):
            return self.plain(kind, value)
        if (kind, value) not in self._given and ":" in value:
            server = self.plain("server", _server(value))
            return self._name(kind, value, f"{sigil}{kind}{{}}:{server}")
        return self._name(kind, value, f"{sigil}{kind}{{}}")

    def _name(self, kind: str, value: str, form: str) -> str:
        if not value:
            return value
        known = self._given.get((kind, value))
        if known is not None:
            return known
        if len(self._given) >= MAX_NAMES:
            return form.format(0)
        self._counts[kind] += 1
        name = self._given[kind, value] = form.format(self._counts[kind])
        return name


def _server(user_id: str) -> str:
    return user_id.partition(":")[2]
