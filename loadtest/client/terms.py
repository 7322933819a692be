"""What a leg is told by its participant: who dials whom, and which rules it breaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from signalling.events import to_device

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.client.negotiation import LegNumbers
    from loadtest.client.scene import Party
    from signalling.events.room_state import FocusDevice

ANSWER_PATIENCE_S: Final = 60.0
"""Then the invite is given up (protocol: section 9)."""


@dataclass(frozen=True, slots=True)
class RuleBreaks:
    """Rules that a hostile participant breaks; as it stands, none."""

    device_id: str | None = None
    """Claimed in every message instead of the own device."""
    party_id: str | None = None
    session_id: str | None = None
    dest_session_id: str | None = None
    conf_id: str | None = None
    """Dialled instead of the room's call."""
    member_event: bool = True
    member_device_id: str | None = None
    member_session_id: str | None = None
    member_lifetime_ms: int = 3_600_000
    sequence_numbers: bool = True
    select_answer: bool = True
    answer_pings: bool = True
    answer_offers: bool = True
    obey_layers: bool = True
    obey_hangups: bool = True
    """Without it, a leg stays where it is when it was hung up and its connection closed."""
    metadata_owner: Party | None = None
    """Claimed to own the streams that are published."""
    lifetime_ms: int = to_device.DEFAULT_LIFETIME_MS
    mangle_sdp: Callable[[str], str] | None = None
    """Is given each description of ours on its way out."""


@dataclass(frozen=True, slots=True)
class LegTerms:
    """What a leg needs to know of its participant."""

    party: Party
    session_id: str
    conf_id: str
    focus: FocusDevice
    numbers: LegNumbers
    addresses: tuple[str, ...]
    breaks: RuleBreaks
    answer_patience_s: float = ANSWER_PATIENCE_S
