"""The AV1 aggregation header (AV1 RTP payload format, section 4.4)."""

from __future__ import annotations


def starts_av1_key_frame(payload: bytes) -> bool:
    """Whether this packet begins a new coded video sequence (the N bit); an empty one begins nothing."""
    return bool(payload) and bool(payload[0] & 0x08)
