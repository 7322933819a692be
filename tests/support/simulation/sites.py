"""Where the foci of a simulation are: their accounts, their homeservers, their addresses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from signalling.events.room_state import FocusDevice

if TYPE_CHECKING:
    from sfu.netem.network import Address

MEDIA_PORT: Final = 10_000
_DOMAINS: Final = ("example.org", "example.net", "example.com")


@dataclass(frozen=True, slots=True)
class Site:
    """One focus and its homeserver."""

    domain: str
    focus: FocusDevice
    address: Address

    def user_id(self, name: str) -> str:
        """Somebody whose account is there."""
        return f"@{name}:{self.domain}"


def site_of(number: int) -> Site:
    """The one of this number; the first is where everybody is in a call of one focus."""
    domain = _DOMAINS[number] if number < len(_DOMAINS) else f"site{number}.example.org"
    focus = FocusDevice(f"@focus:{domain}", "FOCUS")
    return Site(domain, focus, (f"192.0.2.{number + 1}", MEDIA_PORT))


FIRST_SITE: Final = site_of(0)


def domain_of(user_id: str) -> str:
    """The homeserver of an account."""
    return user_id.partition(":")[2]
