"""The certificate of this process: one for all legs, as a key and a context for each would cost 0.7 ms."""

from __future__ import annotations

import datetime as dt
import secrets
from typing import TYPE_CHECKING, Final

from aiortc import RTCCertificate
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from sfu.negotiation.parameters import Fingerprint

if TYPE_CHECKING:
    from aiortc.rtcdtlstransport import SRTPProtectionProfile

VALID_DAYS: Final = 365
"""Nobody checks a date on a certificate known by its fingerprint, and browsers refuse to make longer ones."""

DTLS_1_2: Final = 0xFEFD
"""Version on the wire (RFC 6347 section 4.1). DTLS 1.3 has other record headers, which `dtls.py` would have
to split, and makes the post-quantum flights that do not fit one datagram."""

_SHA_256: Final = "sha-256"


class Certificate(RTCCertificate):
    """A self-signed ECDSA P-256 certificate, and the TLS context made of it."""

    _context: SSL.Context | None = None

    @classmethod
    def generate(cls) -> Certificate:
        """A new key and certificate. Nothing in it tells of this machine."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, secrets.token_hex(16))])
        now = dt.datetime.now(tz=dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=VALID_DAYS))
        )
        return cls(key=key, cert=builder.sign(key, hashes.SHA256()))

    @property
    def fingerprint(self) -> Fingerprint:
        """The SHA-256 of it, as every description of ours says (RFC 8122)."""
        value = next(f.value for f in self.getFingerprints() if f.algorithm == _SHA_256)
        return Fingerprint(_SHA_256, value)

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        """Make the context once; all legs negotiate the same profiles."""
        if self._context is None:
            context = super()._create_ssl_context(srtp_profiles)
            context.set_min_proto_version(DTLS_1_2)
            context.set_max_proto_version(DTLS_1_2)
            # A memory buffer has no path MTU to be asked for; and a renegotiation would be a handshake on
            # the loop whenever the peer likes, with keys that the plane never hears of.
            context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_RENEGOTIATION)
            self._context = context
        return self._context
