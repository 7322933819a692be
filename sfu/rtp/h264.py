"""H.264 payloads (RFC 6184): where a key frame starts."""

from __future__ import annotations

from typing import Final

_IDR: Final = 5
_SPS: Final = 7
_STAP_A: Final = 24
_FU_A: Final = 28


def starts_h264_key_frame(payload: bytes) -> bool:
    """Whether a decoder can start with this packet: parameter sets, or the start of an IDR picture.

    Anything malformed starts nothing.
    """
    if not payload:
        return False
    kind = payload[0] & 0x1F
    if kind in (_IDR, _SPS):
        return True
    if kind == _STAP_A:
        return any(unit in (_IDR, _SPS) for unit in _stap_units(payload))
    if kind == _FU_A:
        return len(payload) > 1 and bool(payload[1] & 0x80) and payload[1] & 0x1F == _IDR
    return False


def _stap_units(payload: bytes) -> list[int]:
    units, position = [], 1
    while position + 2 < len(payload):
        units.append(payload[position + 2] & 0x1F)
        position += 2 + int.from_bytes(payload[position : position + 2], "big")
    return units
