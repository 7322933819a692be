from __future__ import annotations

import re
import socket

from cryptography.hazmat.primitives import hashes

from sfu.transport.certificate import Certificate
from sfu.transport.dtls import PROFILES


def test_the_fingerprint_is_the_sha_256_of_the_certificate_as_sdp_spells_it() -> None:
    certificate = Certificate.generate()
    fingerprint = certificate.fingerprint
    assert fingerprint.algorithm == "sha-256"
    assert re.fullmatch(r"[0-9A-F]{2}(:[0-9A-F]{2}){31}", fingerprint.value)
    assert bytes.fromhex(fingerprint.value.replace(":", "")) == certificate._cert.fingerprint(hashes.SHA256())


def test_each_certificate_is_another() -> None:
    assert Certificate.generate().fingerprint != Certificate.generate().fingerprint


def test_nothing_in_it_tells_of_this_machine() -> None:
    text = Certificate.generate()._cert.subject.rfc4514_string()
    assert socket.gethostname() not in text
    assert re.fullmatch(r"CN=[0-9a-f]{32}", text)


def test_it_is_valid_now_and_for_a_year() -> None:
    certificate = Certificate.generate()._cert
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days == 366


def test_all_legs_share_one_context() -> None:
    certificate = Certificate.generate()
    profiles = list(PROFILES)
    assert certificate._create_ssl_context(profiles) is certificate._create_ssl_context(profiles)
