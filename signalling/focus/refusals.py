"""The closed lists of what is refused, and why: as clients are told, and as it is counted."""

from __future__ import annotations

import enum
from typing import Final


class Refusal(enum.StrEnum):
    """Why an invite is rejected; a label of `focus_invites_refused`."""

    NOT_IN_CALL = "not_in_call"
    """The sender is joined to no room of this focus with such a call."""
    NOT_ANNOUNCED = "not_announced"
    """Its member event has not come."""
    AMBIGUOUS = "ambiguous"
    """More than one room fits."""
    OLM_REQUIRED = "olm_required"
    WRONG_DEVICE = "wrong_device"
    """The device that it was encrypted by is not the one it names."""
    TOO_MANY_INVITES = "too_many_invites"
    TOO_MANY_CALLS = "too_many_calls"
    TOO_MANY_LEGS = "too_many_legs"
    TOO_MANY_IN_CALL = "too_many_in_call"
    TOO_MANY_OF_USER = "too_many_of_user"
    MALFORMED = "malformed"
    """Its envelope can be read, and the rest can't."""
    BAD_OFFER = "bad_offer"
    DRAINING = "draining"
    """The focus is being taken away."""
    SHUTTING_DOWN = "shutting_down"


OVERLOAD: Final = frozenset({Refusal.TOO_MANY_CALLS, Refusal.TOO_MANY_LEGS, Refusal.TOO_MANY_IN_CALL})
"""Those that tell the operator of a limit."""


class ErrorCode(enum.StrEnum):
    """The `code` of `org.matrix_focus.error`: why a message of a client was refused."""

    MALFORMED = "malformed"
    """No JSON, or not of the shape that its type has."""
    BAD_SDP = "bad_sdp"
    """A description that can't be answered, or answers something else."""
    NO_OFFER_PENDING = "no_offer_pending"
    UNKNOWN_CODEC = "unknown_codec"
    TOO_MANY_TRACKS = "too_many_tracks"
    TOO_MANY_SUBSCRIPTIONS = "too_many_subscriptions"
    SECOND_CHANNEL = "second_channel"
    """A leg has one data channel, the first."""
    NOT_TEXT = "not_text"
    TOO_LONG = "too_long"
    TOO_FAST = "too_fast"
