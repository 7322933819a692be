from __future__ import annotations

import pytest

from sfu.dataplane.srtp import REPLAY_WINDOW, TAG_BYTES, LibSrtp, NullSrtp
from sfu.dataplane.wire import MAX_DATAGRAM_BYTES, MAX_PACKET_BYTES
from sfu.errors import LocalError
from sfu.plane import DropReason, SrtpProfile
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import ReceiverReport, serialise_compound
from sfu.units import PayloadType, Ssrc

KEYS = {
    SrtpProfile.AEAD_AES_128_GCM: 28,
    SrtpProfile.AES128_CM_SHA1_80: 30,
    SrtpProfile.AEAD_AES_256_GCM: 44,
}
RTCP = serialise_compound([ReceiverReport(Ssrc(1))])


def pair(profile: SrtpProfile = SrtpProfile.AEAD_AES_128_GCM) -> tuple[LibSrtp, LibSrtp]:
    """Both ends of a transport."""
    one, other = bytes(range(KEYS[profile])), bytes(range(100, 100 + KEYS[profile]))
    return LibSrtp(profile, one, other), LibSrtp(profile, other, one)


def rtp(seq: int, ssrc: int = 7, size: int = 20) -> bytes:
    return RtpPacket(PayloadType(96), seq & 0xFFFF, 0, Ssrc(ssrc), bytes(size)).serialise()


def protected(session: LibSrtp, packet: bytes) -> bytes:
    data = session.protect(packet)
    assert isinstance(data, bytes)
    return data


@pytest.mark.parametrize("profile", SrtpProfile)
def test_what_one_end_protects_the_other_reads(profile: SrtpProfile) -> None:
    here, there = pair(profile)
    for sender, receiver in ((here, there), (there, here)):
        data = protected(sender, rtp(1))
        assert data != rtp(1)
        assert len(data) <= len(rtp(1)) + TAG_BYTES
        assert receiver.unprotect(data) == rtp(1)
        encrypted = sender.protect_rtcp(RTCP)
        assert isinstance(encrypted, bytes)
        assert receiver.unprotect_rtcp(encrypted) == RTCP


@pytest.mark.parametrize("profile", SrtpProfile)
def test_the_longest_packets_pass_both_ways(profile: SrtpProfile) -> None:
    here, there = pair(profile)
    longest = rtp(1, size=MAX_PACKET_BYTES - TAG_BYTES - 12)
    assert there.unprotect(protected(here, longest)) == longest
    assert there.unprotect(bytes((0x80, 96)) + bytes(MAX_DATAGRAM_BYTES - 2)) is (
        DropReason.SRTP_AUTHENTICATION
    )


def test_what_was_changed_or_is_short_fails_authentication() -> None:
    here, there = pair()
    data = protected(here, rtp(1))
    for bad in (data[:-1] + bytes((data[-1] ^ 1,)), data[:20], data[:3], b""):
        assert there.unprotect(bad) is DropReason.SRTP_AUTHENTICATION
        assert there.unprotect_rtcp(bad) is DropReason.SRTP_AUTHENTICATION
    assert there.unprotect(data) == rtp(1)


def test_what_comes_twice_is_a_replay() -> None:
    here, there = pair()
    data = protected(here, rtp(1))
    there.unprotect(data)
    assert there.unprotect(data) is DropReason.SRTP_REPLAY
    encrypted = here.protect_rtcp(RTCP)
    assert isinstance(encrypted, bytes)
    there.unprotect_rtcp(encrypted)
    assert there.unprotect_rtcp(encrypted) is DropReason.SRTP_REPLAY


def test_a_burst_out_of_order_is_within_the_window() -> None:
    here, there = pair()
    packets = [protected(here, rtp(seq)) for seq in range(REPLAY_WINDOW)]
    assert all(isinstance(there.unprotect(data), bytes) for data in reversed(packets))


def test_nothing_is_encrypted_twice_under_one_number() -> None:
    here, _ = pair()
    assert isinstance(here.protect(rtp(1)), bytes)
    assert here.protect(rtp(1, size=30)) is DropReason.TOO_OLD
    assert isinstance(here.protect(rtp(3)), bytes)
    assert isinstance(here.protect(rtp(2)), bytes)
    assert isinstance(here.protect(rtp(1, ssrc=8)), bytes)


def test_the_roll_over_is_counted_on_both_ends() -> None:
    here, there = pair()
    for seq in range(2**16 - 3, 2**16 + 3):
        assert there.unprotect(protected(here, rtp(seq))) == rtp(seq)


@pytest.mark.parametrize("profile", SrtpProfile)
def test_a_key_of_the_wrong_length_is_our_mistake(profile: SrtpProfile) -> None:
    with pytest.raises(LocalError, match="takes a key"):
        LibSrtp(profile, bytes(KEYS[profile]), bytes(KEYS[profile] - 1))


def test_the_null_cipher_changes_nothing() -> None:
    session = NullSrtp(SrtpProfile.AEAD_AES_128_GCM, b"", b"")
    for transform in (session.protect, session.unprotect, session.protect_rtcp, session.unprotect_rtcp):
        assert transform(b"packet") == b"packet"
