"""What an SCTP packet must be before aiortc reads it (RFC 9260): its reader trusts lengths.

A parameter of length 0 keeps `aiortc.rtcsctptransport.decode_params` in its loop for ever, and each gap block
of a SACK is counted through number by number: one packet of an admitted peer would stop the whole process.
"""

from __future__ import annotations

import enum
from typing import Final

MAX_STREAMS: Final = 1_024
"""Streams that a peer may use, as many as browsers ask for. Lower: a client that numbers its channels from
the top is refused. Higher: each costs memory from its first fragment on."""

_COMMON_HEADER_BYTES: Final = 12
_CHUNK_HEADER_BYTES: Final = 4
_PARAMETER_HEADER_BYTES: Final = 4
_TSN_MODULO: Final = 2**32

_DATA, _INIT, _INIT_ACK, _SACK, _HEARTBEAT, _HEARTBEAT_ACK, _ABORT, _SHUTDOWN = range(8)
_ERROR: Final = 9
_RECONFIG: Final = 130
_FORWARD_TSN: Final = 192

_FIXED_BYTES: Final = {
    _DATA: 12,
    _INIT: 16,
    _INIT_ACK: 16,
    _SACK: 12,
    _SHUTDOWN: 4,
    _FORWARD_TSN: 4,
}
"""Chunk body before what varies."""
_PARAMETERS_AT: Final = {
    _INIT: 16,
    _INIT_ACK: 16,
    _HEARTBEAT: 0,
    _HEARTBEAT_ACK: 0,
    _ABORT: 0,
    _ERROR: 0,
    _RECONFIG: 0,
}
_OUTGOING_RESET: Final = 13
_RECONFIG_BYTES: Final = {_OUTGOING_RESET: 12, 16: 8, 17: 8}
"""Least length of the re-configuration parameters that aiortc reads (RFC 6525 section 4)."""


class SctpFault(enum.StrEnum):
    """What is wrong with what a peer sent over SCTP. A closed list: each is a metric label."""

    LENGTH = "length"
    PARAMETER = "parameter"
    INIT_BUNDLED = "init_bundled"
    NO_DATA = "no_data"
    STREAM = "stream"
    ACKNOWLEDGED_UNSENT = "acknowledged_unsent"
    GAPS = "gaps"
    CHUNK_RATE = "chunk_rate"
    TOO_FAR_AHEAD = "too_far_ahead"
    CHANNEL = "channel"
    TOO_MANY_CHANNELS = "too_many_channels"
    TOO_MUCH_UNFINISHED = "too_much_unfinished"
    EXCEPTION = "exception"


def fault_of(packet: bytes, next_tsn: int) -> SctpFault | None:
    """Judge the structure of a packet; checksum and verification tag are aiortc's to check.

    Args:
        packet: as received, any bytes.
        next_tsn: the transmission sequence number that our next DATA chunk will have.

    Returns:
        What is wrong, None if nothing.
    """
    position, chunks, inits = _COMMON_HEADER_BYTES, 0, 0
    if len(packet) < _COMMON_HEADER_BYTES + _CHUNK_HEADER_BYTES:
        return SctpFault.LENGTH
    while position <= len(packet) - _CHUNK_HEADER_BYTES:
        kind = packet[position]
        length = int.from_bytes(packet[position + 2 : position + 4])
        if length < _CHUNK_HEADER_BYTES or position + length > len(packet):
            return SctpFault.LENGTH
        body = packet[position + _CHUNK_HEADER_BYTES : position + length]
        fault = _fault_of_chunk(kind, body, next_tsn)
        if fault is not None:
            return fault
        chunks += 1
        inits += kind == _INIT
        position += _padded(length)
    return SctpFault.INIT_BUNDLED if inits and chunks > 1 else None


def chunk_count(packet: bytes) -> int:
    """How many chunks a packet has in which no fault was found."""
    position, chunks = _COMMON_HEADER_BYTES, 0
    while position <= len(packet) - _CHUNK_HEADER_BYTES:
        position += _padded(int.from_bytes(packet[position + 2 : position + 4]))
        chunks += 1
    return chunks


def _fault_of_chunk(kind: int, body: bytes, next_tsn: int) -> SctpFault | None:
    if len(body) < _FIXED_BYTES.get(kind, 0):
        return SctpFault.LENGTH
    if kind in _PARAMETERS_AT:
        return _fault_of_parameters(body[_PARAMETERS_AT[kind] :], is_reconfig=kind == _RECONFIG)
    match kind:
        case 0:
            return _fault_of_data(body)
        case 3:
            return _fault_of_sack(body, next_tsn)
        case 192:
            return _fault_of_forward_tsn(body)
        case _:
            return None


def _fault_of_data(body: bytes) -> SctpFault | None:
    if int.from_bytes(body[4:6]) >= MAX_STREAMS:
        return SctpFault.STREAM
    # An error by RFC 9260 section 6.2, and aiortc's window does not count such chunks.
    return SctpFault.NO_DATA if len(body) == _FIXED_BYTES[_DATA] else None


def _fault_of_sack(body: bytes, next_tsn: int) -> SctpFault | None:
    cumulative = int.from_bytes(body[0:4])
    gaps, duplicates = int.from_bytes(body[8:10]), int.from_bytes(body[10:12])
    if len(body) < 12 + 4 * (gaps + duplicates):
        return SctpFault.LENGTH
    outstanding = (next_tsn - 1 - cumulative) % _TSN_MODULO
    if outstanding >= _TSN_MODULO // 2:
        return SctpFault.ACKNOWLEDGED_UNSENT
    previous_end = 0
    for at in range(12, 12 + 4 * gaps, 4):
        start, end = int.from_bytes(body[at : at + 2]), int.from_bytes(body[at + 2 : at + 4])
        if not previous_end < start <= end <= outstanding:
            return SctpFault.GAPS
        previous_end = end
    return None


def _fault_of_forward_tsn(body: bytes) -> SctpFault | None:
    if len(body) % 4:
        return SctpFault.LENGTH
    streams = range(4, len(body), 4)
    if any(int.from_bytes(body[at : at + 2]) >= MAX_STREAMS for at in streams):
        return SctpFault.STREAM
    return None


def _fault_of_parameters(body: bytes, *, is_reconfig: bool) -> SctpFault | None:
    position = 0
    while position <= len(body) - _PARAMETER_HEADER_BYTES:
        kind = int.from_bytes(body[position : position + 2])
        length = int.from_bytes(body[position + 2 : position + 4])
        if length < _PARAMETER_HEADER_BYTES or position + length > len(body):
            return SctpFault.PARAMETER
        if is_reconfig:
            value_bytes = length - _PARAMETER_HEADER_BYTES
            is_odd = kind == _OUTGOING_RESET and value_bytes % 2
            if value_bytes < _RECONFIG_BYTES.get(kind, 0) or is_odd:
                return SctpFault.PARAMETER
        position += _padded(length)
    return None


def _padded(length: int) -> int:
    return (length + 3) // 4 * 4
