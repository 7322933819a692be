"""STUN messages as ICE uses them (RFC 8489, RFC 8445 section 7)."""

from __future__ import annotations

import enum
import hmac
import zlib
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from sfu.errors import ParseError

if TYPE_CHECKING:
    from sfu.dataplane.wire import Address

HEADER_BYTES: Final = 20
MAGIC_COOKIE: Final = 0x2112A442
BINDING: Final = 1
MAX_ATTRIBUTES: Final = 32
"""Attributes read from one message; a browser's check has seven."""

_INTEGRITY_BYTES: Final = 20
_FINGERPRINT_BYTES: Final = 4
_FINGERPRINT_XOR: Final = 0x5354554E
_PORT_XOR: Final = MAGIC_COOKIE >> 16


class MessageClass(enum.IntEnum):
    """RFC 8489 section 5."""

    REQUEST = 0
    INDICATION = 1
    SUCCESS = 2
    ERROR = 3


class Attribute(enum.IntEnum):
    """Types of the attributes that we read or write."""

    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    XOR_MAPPED_ADDRESS = 0x0020
    PRIORITY = 0x0024
    USE_CANDIDATE = 0x0025
    FINGERPRINT = 0x8028
    ICE_CONTROLLED = 0x8029
    ICE_CONTROLLING = 0x802A


class ErrorCode(enum.IntEnum):
    """Error codes that a lite agent answers (RFC 8489 section 14.8, RFC 8445 section 7.3.1.1)."""

    BAD_REQUEST = 400
    UNAUTHENTICATED = 401
    ROLE_CONFLICT = 487


@dataclass(frozen=True, slots=True)
class Signature:
    """A MESSAGE-INTEGRITY attribute and what it covers."""

    covered: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class StunMessage:
    """One message. `attributes` are those that integrity covers, or all where there is none."""

    message_class: MessageClass
    method: int
    transaction_id: bytes
    """96 bits."""
    attributes: tuple[tuple[int, bytes], ...] = ()
    signature: Signature | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, data: bytes) -> StunMessage:
        """Read a datagram that is one message; its fingerprint is checked where it has one.

        Raises:
            ParseError: `stun`.
        """
        if len(data) < HEADER_BYTES or data[0] > 3:
            raise ParseError("stun", f"{len(data)} bytes")
        length = int.from_bytes(data[2:4], "big")
        if length % 4 or HEADER_BYTES + length != len(data):
            raise ParseError("stun", f"length {length} in {len(data)} bytes")
        if int.from_bytes(data[4:8], "big") != MAGIC_COOKIE:
            raise ParseError("stun", "no magic cookie")
        attributes, signature = _parse_attributes(data)
        kind = int.from_bytes(data[:2], "big")
        return cls(
            MessageClass(kind >> 7 & 2 | kind >> 4 & 1),
            kind >> 2 & 0xF80 | kind >> 1 & 0x70 | kind & 0x0F,
            data[8:HEADER_BYTES],
            attributes,
            signature,
        )

    def serialise(self, password: str | None = None) -> bytes:
        """The message on the wire, signed where a password is given, and always with a fingerprint."""
        body = b"".join(_attribute(kind, value) for kind, value in self.attributes)
        if password is not None:
            covered = self._header(len(body) + 4 + _INTEGRITY_BYTES) + body
            body += _attribute(Attribute.MESSAGE_INTEGRITY, _digest(password, covered))
        message = self._header(len(body) + 4 + _FINGERPRINT_BYTES) + body
        return message + _attribute(Attribute.FINGERPRINT, _fingerprint(message))

    def attribute(self, kind: Attribute) -> bytes | None:
        """The first attribute of a type; None where there is none."""
        return next((value for number, value in self.attributes if number == kind), None)

    def is_signed_with(self, password: str) -> bool:
        """Whether MESSAGE-INTEGRITY is there and right (short-term credentials)."""
        if self.signature is None:
            return False
        return hmac.compare_digest(_digest(password, self.signature.covered), self.signature.digest)

    def _header(self, length: int) -> bytes:
        kind = (
            (self.method & 0xF80) << 2
            | (self.method & 0x70) << 1
            | self.method & 0x0F
            | (self.message_class & 2) << 7
            | (self.message_class & 1) << 4
        )
        return (
            kind.to_bytes(2, "big")
            + length.to_bytes(2, "big")
            + MAGIC_COOKIE.to_bytes(4, "big")
            + self.transaction_id
        )


def success(request: StunMessage, mapped: Address, password: str) -> bytes:
    """The signed answer to a check: where it came from."""
    value = xor_address(mapped, request.transaction_id)
    return StunMessage(
        MessageClass.SUCCESS,
        request.method,
        request.transaction_id,
        ((Attribute.XOR_MAPPED_ADDRESS, value),),
    ).serialise(password)


def error(request: StunMessage, code: ErrorCode, password: str | None = None) -> bytes:
    """An error response; signed only to who has proved to know the password."""
    value = bytes((0, 0, code // 100, code % 100)) + code.name.replace("_", " ").capitalize().encode()
    return StunMessage(
        MessageClass.ERROR, request.method, request.transaction_id, ((Attribute.ERROR_CODE, value),)
    ).serialise(password)


def xor_address(address: Address, transaction_id: bytes) -> bytes:
    """The value of XOR-MAPPED-ADDRESS (RFC 8489 section 14.2)."""
    host, port = address[:2]
    packed = ip_address(host).packed
    key = (MAGIC_COOKIE.to_bytes(4, "big") + transaction_id)[: len(packed)]
    family = 1 if len(packed) == 4 else 2
    masked = bytes(one ^ other for one, other in zip(packed, key, strict=True))
    return bytes((0, family)) + (port ^ _PORT_XOR).to_bytes(2, "big") + masked


def _parse_attributes(data: bytes) -> tuple[tuple[tuple[int, bytes], ...], Signature | None]:
    attributes: list[tuple[int, bytes]] = []
    signature = None
    position, count = HEADER_BYTES, 0
    while position < len(data):
        count += 1
        if count > MAX_ATTRIBUTES:
            raise ParseError("stun", f"over {MAX_ATTRIBUTES} attributes")
        if position + 4 > len(data):
            raise ParseError("stun", "attribute without a header")
        kind = int.from_bytes(data[position : position + 2], "big")
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        value = data[position + 4 : position + 4 + length]
        end = position + 4 + (length + 3) // 4 * 4
        if end > len(data):
            raise ParseError("stun", f"attribute of {length} bytes beyond the message")
        if kind == Attribute.FINGERPRINT:
            if end != len(data) or value != _fingerprint(data[:position]):
                raise ParseError("stun", "fingerprint")
        elif signature is not None:
            pass  # section 14.5: what stands behind MESSAGE-INTEGRITY is ignored
        elif kind == Attribute.MESSAGE_INTEGRITY:
            if length != _INTEGRITY_BYTES:
                raise ParseError("stun", f"integrity of {length} bytes")
            covered_length = (end - HEADER_BYTES).to_bytes(2, "big")
            signature = Signature(data[:2] + covered_length + data[4:position], value)
        else:
            attributes.append((kind, value))
        position = end
    return tuple(attributes), signature


def _attribute(kind: int, value: bytes) -> bytes:
    return kind.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value + bytes(-len(value) % 4)


def _digest(password: str, covered: bytes) -> bytes:
    return hmac.digest(password.encode(), covered, "sha1")


def _fingerprint(message: bytes) -> bytes:
    return (zlib.crc32(message) ^ _FINGERPRINT_XOR).to_bytes(4, "big")
