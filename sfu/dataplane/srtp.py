"""SRTP and SRTCP (RFC 3711, RFC 7714) of one transport, by libsrtp or in the clear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from pylibsrtp import Error, Policy, Session
from pylibsrtp._binding import ffi

from sfu.dataplane.wire import MAX_DATAGRAM_BYTES
from sfu.errors import LocalError
from sfu.plane import DropReason, SrtpProfile

if TYPE_CHECKING:
    from collections.abc import Callable

TAG_BYTES: Final = 16
"""What encryption adds to an RTP packet, at most."""

REPLAY_WINDOW: Final = 1_024
"""Packets (RFC 3711 section 3.3.2). Lower: bursts that were reordered by much are taken for replays.
libsrtp's own 128 are 50 ms of a key frame at 30 Mbit/s."""

_PROFILES: Final = {
    SrtpProfile.AEAD_AES_128_GCM: (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16 + 12),
    SrtpProfile.AES128_CM_SHA1_80: (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16 + 14),
    SrtpProfile.AEAD_AES_256_GCM: (Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 32 + 12),
}
_TRAILER_ROOM: Final = 4 + 16 + 128
"""What pylibsrtp wants to be free behind a packet: SRTCP index, tag, and a key identifier."""


class SrtpSession(Protocol):
    """The keys of one transport, both ways.

    What comes in gives the plain packet, or why it is none. What goes out gives the encrypted packet, or
    `TOO_OLD` where its number lies behind the window (a packet that came very late).
    """

    def protect(self, packet: bytes) -> bytes | DropReason: ...
    def unprotect(self, data: bytes) -> bytes | DropReason: ...
    def protect_rtcp(self, packet: bytes) -> bytes | DropReason: ...
    def unprotect_rtcp(self, data: bytes) -> bytes | DropReason: ...


class SrtpFactory(Protocol):
    """Makes the session of a transport from key and salt of each direction."""

    def __call__(self, profile: SrtpProfile, receive_key: bytes, send_key: bytes) -> SrtpSession: ...


class LibSrtp:
    """libsrtp.

    Raises:
        LocalError: a key does not have the length that the profile asks for.
    """

    def __init__(self, profile: SrtpProfile, receive_key: bytes, send_key: bytes) -> None:
        self._receive = _session(profile, receive_key, Policy.SSRC_ANY_INBOUND)
        self._send = _session(profile, send_key, Policy.SSRC_ANY_OUTBOUND)

    def protect(self, packet: bytes) -> bytes | DropReason:
        """Encrypt an RTP packet; never twice under one number (packet rule 3)."""
        return _outcome(self._send.protect, packet, DropReason.TOO_OLD)

    def unprotect(self, data: bytes) -> bytes | DropReason:
        """Verify and decrypt an RTP packet."""
        return _outcome(self._receive.unprotect, data, DropReason.SRTP_AUTHENTICATION)

    def protect_rtcp(self, packet: bytes) -> bytes | DropReason:
        """Encrypt a compound."""
        return _outcome(self._send.protect_rtcp, packet, DropReason.TOO_OLD)

    def unprotect_rtcp(self, data: bytes) -> bytes | DropReason:
        """Verify and decrypt a compound."""
        return _outcome(self._receive.unprotect_rtcp, data, DropReason.SRTP_AUTHENTICATION)


class NullSrtp:
    """No encryption at all: whole calls on a virtual clock, where packets are read by the test."""

    def __init__(self, profile: SrtpProfile, receive_key: bytes, send_key: bytes) -> None:
        pass

    def protect(self, packet: bytes) -> bytes | DropReason:
        """The packet."""
        return packet

    def unprotect(self, data: bytes) -> bytes | DropReason:
        """The packet."""
        return data

    protect_rtcp = protect
    unprotect_rtcp = unprotect


def _session(profile: SrtpProfile, key: bytes, direction: int) -> Session:
    number, key_bytes = _PROFILES[profile]
    if len(key) != key_bytes:
        raise LocalError(f"{profile.name} takes a key and salt of {key_bytes} bytes, not {len(key)}")
    policy = Policy(key=key, ssrc_type=direction, srtp_profile=number)
    policy.window_size = REPLAY_WINDOW
    # libsrtp then refuses to encrypt twice under one number, whatever we ask for.
    policy.allow_repeat_tx = False
    session = Session(policy)
    # pylibsrtp's own buffer of 1,500 bytes leaves 1,356 for a packet, after room for an identifier that
    # nobody uses; ours are up to 1,384.
    session._cdata = ffi.new("char[]", MAX_DATAGRAM_BYTES + _TRAILER_ROOM)
    session._buffer = ffi.buffer(session._cdata)
    return session


def _outcome(transform: Callable[[bytes], bytes], data: bytes, otherwise: DropReason) -> bytes | DropReason:
    try:
        return transform(data)
    except Error as error:
        is_replay = "replay" in str(error) and otherwise is DropReason.SRTP_AUTHENTICATION
        return DropReason.SRTP_REPLAY if is_replay else otherwise
