"""DTLS of one leg (RFC 5763, RFC 5764): aiortc's, with our hand on what it sends and where the keys go.

Four things of `RTCDtlsTransport` are replaced; the private names are those that have stood since aiortc 1.9:

- `_write_ssl`: aiortc cuts what OpenSSL wrote at 1,500 bytes, through the middle of a record. Here a flight
  becomes datagrams of whole records, none above 1,200 B.
- `_recv_next`: aiortc reads one record of a datagram and leaves the others until the next one comes.
- `_setup_srtp`: the keys go to the plane, and no SRTP session is made here.
- `_validate_peer_identity`: a certificate that is not the announced one is told from a failed handshake.

The retransmission timers are OpenSSL's (1 s, doubled each time, RFC 6347 section 4.2.4.1); `_recv_next` runs
them until the handshake is done. Afterwards nobody has any: a client has heard the last flight by then, and
a server repeats it when the client repeats its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiortc.rtcdtlstransport import (
    SRTP_AEAD_AES_128_GCM,
    SRTP_AEAD_AES_256_GCM,
    SRTP_AES128_CM_SHA1_80,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    State,
)
from OpenSSL import SSL

from sfu.errors import TransportError
from sfu.plane import SrtpProfile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfu.negotiation.parameters import Fingerprint
    from sfu.transport.certificate import Certificate
    from sfu.transport.native_ice import NativeIce

MAX_HANDSHAKE_DATAGRAM_BYTES: Final = 1_200
"""No handshake datagram is larger (packet rule 10). Lower: more datagrams, each of which can be lost.
Higher: paths with tunnels drop them, always the same one, and no retransmission helps."""

HANDSHAKE_TIMEOUT_S: Final = 30.0
"""From the first datagram, the peer's or ours. Lower: at 20 % loss, where each side's timer doubles, good
joins are cut off. Higher: a leg that can never connect is counted as present for longer."""

PROFILES: Final = (SRTP_AEAD_AES_128_GCM, SRTP_AES128_CM_SHA1_80, SRTP_AEAD_AES_256_GCM)
"""Best first, and the server chooses: cheapest with authentication first, then the one that everybody must
have, then what a peer might insist on."""

_RECORD_HEADER_BYTES: Final = 13
_MAX_READ_BYTES: Final = 1 << 16
_EXPORTER: Final = b"EXTRACTOR-dtls_srtp"


class HandshakeError(TransportError):
    """The handshake came to nothing.

    Args:
        reason: as in `LegFailed`: `dtls_handshake`, `dtls_timeout`, `dtls_closed` or `fingerprint`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """What a handshake gives for SRTP: key followed by salt, for each direction (RFC 5764 section 4.2)."""

    profile: SrtpProfile
    receive_key: bytes = field(repr=False)
    send_key: bytes = field(repr=False)


class DtlsTransport(RTCDtlsTransport):
    """One DTLS association.

    Args:
        ice: where datagrams come from and go to.
        certificate: ours.
    """

    _ssl: SSL.Connection

    def __init__(self, ice: NativeIce, certificate: Certificate) -> None:
        super().__init__(ice, [certificate])  # type: ignore[arg-type]  # role, _recv and _send are all that it uses
        self._ice = ice
        self._srtp_profiles = list(PROFILES)
        self._keys: SrtpKeys | None = None
        self._failure = "dtls_handshake"
        self._shut = False

    async def handshake(self, fingerprints: Sequence[Fingerprint], *, is_client: bool = False) -> SrtpKeys:
        """Shake hands with the owner of a certificate; records flow as soon as this returns.

        Args:
            fingerprints: of the peer's certificate. Those with a hash that we know must all match.
            is_client: we begin; else the peer does.

        Raises:
            HandshakeError: with a reason of `LegFailed`.
        """
        if not fingerprints:
            raise HandshakeError("fingerprint")
        # Set here and not derived from ICE. aiortc 1.16 takes the parity of data-channel ids from it as
        # well: the DTLS client's are even, the server's odd (RFC 8832 section 6).
        self._set_role("client" if is_client else "server")
        remote = [RTCDtlsFingerprint(f.algorithm, f.value) for f in fingerprints]
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                await self.start(RTCDtlsParameters(fingerprints=remote, role=self._role))
        except TimeoutError as error:
            raise HandshakeError("dtls_timeout") from error
        except SSL.Error as error:
            raise HandshakeError("dtls_handshake") from error
        except ConnectionError as error:
            raise HandshakeError("dtls_closed") from error
        if self._keys is None or self._state is not State.CONNECTED:
            raise HandshakeError("dtls_closed" if self._ice.state == "closed" else self._failure)
        return self._keys

    async def ended(self) -> None:
        """Wait for the peer's close_notify, a fatal alert or the end of the leg; cancelling ends the pump."""
        if self._task is not None:
            await self._task

    def write(self, data: bytes) -> None:
        """Send one record's worth of application data.

        Raises:
            ConnectionError: there is no association, or no longer.
        """
        if self._state is not State.CONNECTED or self._shut:
            raise ConnectionError("DTLS is not connected")
        try:
            self._ssl.send(data)
        except SSL.Error as error:
            raise ConnectionError("DTLS does not take data") from error
        self._flush()

    def shut_down(self) -> None:
        """Say close_notify, where there is somebody to say it to, or answer it (RFC 5246 section 7.2.1).

        Nothing is sent afterwards.
        """
        if self._shut or not self.encrypted:
            return
        self._shut = True
        with contextlib.suppress(SSL.Error, ConnectionError):
            self._ssl.shutdown()
            self._flush()

    def release(self) -> None:
        """Let go of OpenSSL's state, most of what a leg weighs; to be called when the pump has ended.

        Legs are cycles of objects (aiortc's layers know each other), which Python collects minutes later.
        """
        self._shut = True
        self._ssl = None  # type: ignore[assignment]  # nobody asks for it once it is shut

    # --- what aiortc calls --------------------------------------------------------------------------------

    async def _do_handshake(self) -> None:
        self._ssl.set_ciphertext_mtu(MAX_HANDSHAKE_DATAGRAM_BYTES)
        await super()._do_handshake()
        # The last flight, or the alert that says why there is none.
        self._flush()

    async def _recv_next(self) -> None:
        timeout_s = None
        if self.encrypted:
            await self._read_records()
        else:
            timeout_s = self._ssl.DTLSv1_get_timeout()
        try:
            async with asyncio.timeout(timeout_s):
                data = await self._ice._recv()
        except TimeoutError:
            self._ssl.DTLSv1_handle_timeout()
            self._flush()
            return
        self._ssl.bio_write(data)

    async def _read_records(self) -> None:
        """Hand on every record of what was received."""
        while True:
            try:
                data = self._ssl.recv(_MAX_READ_BYTES)
            except SSL.WantReadError:
                # OpenSSL may have something to say all the same: its last flight, once more.
                self._flush()
                return
            except SSL.Error as error:
                # close_notify (ZeroReturnError), or an alert: forged or garbled records are dropped
                # by OpenSSL without a word (RFC 6347 section 4.1.2.7), so this was the peer.
                self._flush()
                raise ConnectionError("DTLS was closed by the peer") from error
            if self._data_receiver is not None:
                await self._data_receiver._handle_data(data)

    async def _write_ssl(self) -> None:
        self._flush()

    async def _send_data(self, data: bytes) -> None:
        self.write(data)

    def _validate_peer_identity(self, remoteParameters: RTCDtlsParameters) -> None:  # noqa: N803  # aiortc's name
        super()._validate_peer_identity(remoteParameters)
        if self._state is State.FAILED:
            self._failure = "fingerprint"

    def _setup_srtp(self) -> None:
        chosen = self._ssl.get_selected_srtp_profile()
        profile = next((p for p in self._srtp_profiles if p.openssl_profile == chosen), None)
        if profile is None:
            self._set_state(State.FAILED)
            return
        length = 2 * (profile.key_length + profile.salt_length)
        material = self._ssl.export_keying_material(_EXPORTER, length)
        client, server = profile.get_key_and_salt(material, 0), profile.get_key_and_salt(material, 1)
        receive, send = (client, server) if self._role == "server" else (server, client)
        self._keys = SrtpKeys(SrtpProfile(chosen.decode()), receive, send)

    def _flush(self) -> None:
        """Send what OpenSSL wrote, as datagrams of whole records."""
        written = bytearray()
        while True:
            try:
                written += self._ssl.bio_read(_MAX_READ_BYTES)
            except SSL.Error:  # nothing more in the buffer
                break
        for datagram in datagrams_of(bytes(written)):
            self._ice.send(datagram)


def datagrams_of(records: bytes, limit_bytes: int = MAX_HANDSHAKE_DATAGRAM_BYTES) -> list[bytes]:
    """Divide DTLS 1.2 records over datagrams, as few as hold them, without cutting a record.

    A single record above the limit goes alone; OpenSSL makes no such one in a handshake, having been told
    the same limit as its MTU.
    """
    datagrams: list[bytes] = []
    begin = position = 0
    while position < len(records):
        length = int.from_bytes(records[position + 11 : position + _RECORD_HEADER_BYTES])
        end = position + _RECORD_HEADER_BYTES + length
        if end - begin > limit_bytes and position > begin:
            datagrams.append(records[begin:position])
            begin = position
        position = end
    if begin < len(records):
        datagrams.append(records[begin:])
    return datagrams
