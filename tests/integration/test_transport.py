"""One leg's transport against a client's end of aiortc, over a wire in memory, mostly on a virtual clock."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import gc
import itertools
import random
import weakref
from struct import pack

import pytest
from aiortc import RTCCertificate
from aiortc.rtcdtlstransport import (
    SRTP_AEAD_AES_256_GCM,
    SRTP_AES128_CM_SHA1_80,
    SRTP_PROFILES,
    SRTPProtectionProfile,
)
from aiortc.rtcsctptransport import (
    SCTP_DATA_FIRST_FRAG,
    WEBRTC_DCEP,
    WEBRTC_STRING,
    AbortChunk,
    Chunk,
    DataChunk,
    InitChunk,
    SackChunk,
    serialize_packet,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from google_crc32c import value as crc32c
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from sfu.conference.turn import (
    DataChannelClosed,
    DataChannelOpened,
    DataReceived,
    DataRefused,
    LegConnected,
    LegFailed,
)
from sfu.config import LimitsConfig
from sfu.dataplane.srtp import LibSrtp
from sfu.negotiation.parameters import Fingerprint
from sfu.plane import InstallSrtp, SrtpProfile
from sfu.transport.certificate import DTLS_1_2, Certificate
from sfu.transport.dtls import HANDSHAKE_TIMEOUT_S, MAX_HANDSHAKE_DATAGRAM_BYTES
from sfu.transport.handshakes import HandshakeSlots
from sfu.transport.leg_transport import ARRIVAL_TIMEOUT_S, MAX_DATAGRAMS_PER_S
from sfu.transport.sctp import (
    MAX_CHANNELS,
    MAX_CHUNKS_PER_S,
    MAX_EXCEPTIONS,
    MAX_MISORDERED,
    MAX_QUEUED_BYTES,
    MAX_UNFINISHED_CHUNKS,
    OPENINGS_AT_ONCE,
    OPENINGS_PER_S,
    SEND_MESSAGE_BYTES,
    SendOutcome,
)
from sfu.units import NS_PER_S
from tests.support.dtls_wire import DATA_PORT, LEG, Wire, joined, running
from tests.support.virtual_time import clock, run_virtually, virtually

pytestmark = pytest.mark.integration

LOSSY_SEEDS = (1, 2, 3)
_ALERT = 21
UNORDERED = 7
"""Flags of a DATA chunk that is a whole message and may overtake others."""


def virtual_wire(**fields: object) -> Wire:
    return Wire(clock=clock, **fields)  # type: ignore[arg-type]  # fields of Wire


async def send_chunks(wire: Wire, *chunks: Chunk, tag: int | None = None) -> None:
    """Send chunks of any kind, each in a packet with the right verification tag."""
    if tag is None:
        assert wire.leg._sctp is not None
        tag = wire.leg._sctp._local_verification_tag
    for chunk in chunks:
        await wire.dtls._send_data(serialize_packet(DATA_PORT, DATA_PORT, tag, chunk))


def data_chunk(
    wire: Wire, stream: int, protocol: int, data: bytes, *, ahead: int = 0, flags: int = 3
) -> DataChunk:
    """A DATA chunk with the number that the client's next one has, or one `ahead` of it."""
    chunk = DataChunk(flags=flags)
    chunk.tsn = (wire.sctp._local_tsn + ahead) % 2**32
    chunk.stream_id, chunk.protocol, chunk.user_data = stream, protocol, data
    chunk.stream_seq = wire.sctp._outbound_stream_seq.get(stream, 0)
    return chunk


def packet_of(tag: int, chunks: bytes) -> bytes:
    """A packet of chunks that stand there already, with its checksum."""
    header = pack("!HHL", DATA_PORT, DATA_PORT, tag)
    return header + pack("<L", crc32c(header + bytes(4) + chunks)) + chunks


async def send_raw(wire: Wire, stream: int, protocol: int, data: bytes) -> None:
    """Send a message as the client's own association would, whatever it holds."""
    await wire.sctp._send(stream, protocol, data)


# --- DTLS -------------------------------------------------------------------------------------------------


def rtp_packet(number: int) -> bytes:
    return pack("!BBHLL", 0x80, 96, number, number * 3000, 0x1234) + bytes(range(100))


@virtually
async def test_both_ends_have_the_same_srtp_keys_in_opposite_order() -> None:
    wire = virtual_wire()
    async with running(wire):
        await wire.connect_client()
        await wire.hears(LegConnected)
        (keys,) = wire.keys
        ours = LibSrtp(keys.profile, keys.receive_key, keys.send_key)
        assert ours.unprotect(wire.dtls._tx_srtp.protect(rtp_packet(1))) == rtp_packet(1)
        protected = ours.protect(rtp_packet(2))
        assert isinstance(protected, bytes)
        assert wire.dtls._rx_srtp.unprotect(protected) == rtp_packet(2)


@virtually
async def test_the_keys_are_down_before_the_engine_hears_of_the_connection() -> None:
    wire = virtual_wire()
    async with running(wire):
        await wire.connect_client()
        await wire.hears(LegConnected)
    assert [type(one) for one in wire.happened] == [InstallSrtp, LegConnected]


@pytest.mark.parametrize(
    ("profiles", "chosen"),
    [
        (SRTP_PROFILES, SrtpProfile.AEAD_AES_128_GCM),
        ([SRTP_AEAD_AES_256_GCM], SrtpProfile.AEAD_AES_256_GCM),
        ([SRTP_AEAD_AES_256_GCM, SRTP_AES128_CM_SHA1_80], SrtpProfile.AES128_CM_SHA1_80),
    ],
)
@virtually
async def test_the_cheapest_profile_that_both_have_is_chosen(
    profiles: list[SRTPProtectionProfile], chosen: SrtpProfile
) -> None:
    wire = virtual_wire()
    wire.dtls._srtp_profiles = profiles
    async with running(wire):
        await wire.connect_client()
        await wire.hears(LegConnected)
    assert wire.keys[0].profile is chosen


class WithoutSrtp(RTCCertificate):
    """A client that does DTLS but not SRTP."""

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
        context.use_certificate(self._cert)
        context.use_privatekey(self._key)
        return context


class Anonymous(RTCCertificate):
    """A client that shows no certificate."""

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
        context.set_tlsext_use_srtp(b":".join(one.openssl_profile for one in srtp_profiles))
        return context


@pytest.mark.parametrize("kind", [WithoutSrtp, Anonymous])
@virtually
async def test_a_client_that_can_not_do_what_we_need_fails_the_handshake(kind: type[RTCCertificate]) -> None:
    wire = virtual_wire(client_certificate=kind.generateCertificate())
    async with running(wire):
        with contextlib.suppress(ConnectionError, SSL.Error):
            await wire.connect_client()
        failed = await wire.hears(LegFailed)
    assert failed == LegFailed(LEG, "dtls_handshake")
    assert wire.keys == []
    assert wire.counted("focus_joins_total", step="dtls", outcome="dtls_handshake") == 1


def other_hash(algorithm: str) -> Fingerprint:
    """A well-formed fingerprint that nobody's certificate has."""
    return Fingerprint(algorithm, ":".join(["AB"] * 32))


@pytest.mark.parametrize(
    "announced", [[], [other_hash("sha-256")], [other_hash("md5")]], ids=["none", "another", "unknown hash"]
)
@virtually
async def test_a_certificate_that_was_not_announced_gets_no_keys(announced: list[Fingerprint]) -> None:
    wire = virtual_wire()
    async with running(wire, announced), asyncio.TaskGroup() as group:
        client = group.create_task(wire.connect_client())
        failed = await wire.hears(LegFailed)
        client.cancel()
    assert failed == LegFailed(LEG, "fingerprint")
    assert wire.keys == []
    assert wire.counted("focus_joins_total", step="dtls", outcome="fingerprint") == 1


@virtually
async def test_of_several_fingerprints_all_known_ones_must_match() -> None:
    wire = virtual_wire()
    right = next(one for one in wire.client_fingerprints if one.algorithm == "sha-384")
    async with running(wire, [right, other_hash("md5")]):
        await wire.connect_client()
        await wire.hears(LegConnected)

    wire = virtual_wire()
    async with running(wire, [right, other_hash("sha-256")]):
        await wire.connect_client()
        assert await wire.hears(LegFailed) == LegFailed(LEG, "fingerprint")


@virtually
async def test_a_client_that_never_comes_is_given_up_after_the_arrival_timeout() -> None:
    wire = virtual_wire()
    began_at = clock()
    async with running(wire):
        assert await wire.hears(LegFailed) == LegFailed(LEG, "dtls_timeout")
    assert clock() - began_at == pytest.approx(ARRIVAL_TIMEOUT_S * NS_PER_S)


@virtually
async def test_a_client_that_falls_silent_after_its_hello_is_given_up_after_the_handshake_timeout() -> None:
    wire = virtual_wire(loses=lambda direction, _: direction == "down")
    began_at = clock()
    async with running(wire), asyncio.TaskGroup() as group:
        client = group.create_task(wire.connect_client())
        assert await wire.hears(LegFailed) == LegFailed(LEG, "dtls_timeout")
        client.cancel()
    assert clock() - began_at == pytest.approx(HANDSHAKE_TIMEOUT_S * NS_PER_S)


@virtually
async def test_what_a_client_sends_before_its_answer_is_out_is_kept_for_it() -> None:
    wire = virtual_wire()
    async with asyncio.TaskGroup() as group:
        client = group.create_task(wire.connect_client())
        await asyncio.sleep(0.1)
        assert len(wire.up) == 1
        async with running(wire):
            await wire.hears(LegConnected)
            await client
    assert len(wire.up) == 2


@virtually
async def test_a_handshake_waits_for_a_slot() -> None:
    slots = HandshakeSlots(1)
    wire = virtual_wire(slots=slots)
    async with running(wire):
        async with slots.hold(), asyncio.TaskGroup() as group:
            client = group.create_task(wire.connect_client())
            await asyncio.sleep(1)
            assert wire.down == []
        await client
        await wire.hears(LegConnected)


@virtually
async def test_the_slot_is_free_again_after_the_handshake() -> None:
    slots = HandshakeSlots(1)
    for _ in range(3):
        wire = virtual_wire(slots=slots)
        async with running(wire):
            await wire.connect_client()
            await wire.hears(LegConnected)


def large_certificate() -> Certificate:
    """One of 4 kB: an elliptic key, and very many names."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "large")])
    now = dt.datetime.now(tz=dt.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName(f"name-{number}.example.org") for number in range(180)])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).add_extension(names, critical=False)
    builder = builder.not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
    return Certificate(key=key, cert=builder.sign(key, hashes.SHA256()))


@virtually
async def test_no_datagram_of_the_handshake_is_above_1200_bytes_however_large_the_flight() -> None:
    wire = virtual_wire(certificate=large_certificate())
    async with running(wire):
        await wire.connect_client()
        await wire.hears(LegConnected)
    assert sum(len(datagram) for datagram in wire.down) > 4_000
    assert max(len(datagram) for datagram in wire.down) <= MAX_HANDSHAKE_DATAGRAM_BYTES


class RsaCertificate(RTCCertificate):
    """What some clients still have. aiortc takes only elliptic ciphers; of it as a client that is enough."""

    @classmethod
    def generateCertificate(cls) -> RsaCertificate:  # noqa: N802  # aiortc's name
        key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "rsa")])
        now = dt.datetime.now(tz=dt.UTC)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
        return cls(key=key, cert=builder.sign(key, hashes.SHA256()))  # type: ignore[arg-type]  # any key will do


@virtually
async def test_a_client_with_an_rsa_certificate_is_taken() -> None:
    wire = virtual_wire(client_certificate=RsaCertificate.generateCertificate())
    async with running(wire):
        await wire.connect_client()
        await wire.hears(LegConnected)


@virtually
async def test_the_association_is_dtls_1_2_and_can_not_be_renegotiated() -> None:
    wire = virtual_wire()
    async with joined(wire):
        ssl = wire.dtls._ssl
        assert ssl is not None
        assert ssl.get_protocol_version_name() == "DTLSv1.2"
        ssl.renegotiate()
        with contextlib.suppress(SSL.Error):
            ssl.do_handshake()
        sent = len(wire.down)
        await wire.dtls._write_ssl()
        await asyncio.sleep(1)
        assert {datagram[0] for datagram in wire.down[sent:]} == {_ALERT}
    assert len(wire.keys) == 1


@pytest.mark.parametrize("seed", LOSSY_SEEDS)
async def test_a_join_survives_the_loss_of_a_fifth_of_all_datagrams(seed: int) -> None:
    # On the real clock: the timers of OpenSSL know no other.
    chance = random.Random(seed)
    wire = Wire(loses=lambda *_: chance.random() < 0.2)
    async with joined(wire) as channel:
        channel.send("hello")
        assert (await wire.hears(DataReceived)).text == "hello"
    assert len(wire.keys) == 1


@virtually
async def test_garbage_between_records_is_dropped_and_ends_nothing() -> None:
    wire = virtual_wire()
    chance = random.Random(7)
    async with joined(wire) as channel:
        for size in (1, 5, 13, 14, 100, 1_400):
            wire.leg.feed(bytes([23]) + chance.randbytes(size))
            forged = pack("!BHHLHH", 23, DTLS_1_2, 1, 0, size, size) + bytes(size)
            wire.leg.feed(forged)
        wire.leg.feed(b"")
        channel.send("still here")
        assert (await wire.hears(DataReceived)).text == "still here"
    assert wire.of(LegFailed) == []


@virtually
async def test_all_records_of_a_datagram_are_read_at_once() -> None:
    wire = virtual_wire()
    async with joined(wire) as channel:
        wire.loses = lambda *_: True
        before = len(wire.up)
        channel.send("one")
        channel.send("two")
        await asyncio.sleep(0.1)
        assert len(wire.up) - before == 2
        wire.leg.feed(b"".join(wire.up[before:]))
        await asyncio.sleep(0.1)
        assert [one.text for one in wire.of(DataReceived)] == ["one", "two"]


# --- the end ----------------------------------------------------------------------------------------------


@virtually
async def test_a_leg_that_is_closed_says_so_to_the_client() -> None:
    wire = virtual_wire()
    async with joined(wire) as channel:
        wire.leg.close()
        await channel.closed.wait()
        await asyncio.sleep(1)
        assert wire.dtls.state == "closed"
    assert wire.of(LegFailed) == []


@virtually
async def test_the_clients_close_notify_ends_the_leg_and_is_answered() -> None:
    wire = virtual_wire()
    async with joined(wire):
        sent = len(wire.down)
        await wire.dtls.stop()
        assert await wire.hears(LegFailed) == LegFailed(LEG, "dtls_closed")
        assert [datagram[0] for datagram in wire.down[sent:]] == [_ALERT]


@virtually
async def test_an_abort_of_the_association_ends_the_leg_once() -> None:
    wire = virtual_wire()
    async with joined(wire):
        await send_chunks(wire, AbortChunk())
        assert await wire.hears(LegFailed) == LegFailed(LEG, "sctp_aborted")
        await asyncio.sleep(10)
    assert len(wire.of(LegFailed)) == 1


@virtually
async def test_after_close_nothing_is_told_or_sent_and_datagrams_are_counted() -> None:
    wire = virtual_wire()
    async with joined(wire) as channel:
        wire.leg.close()
        told, sent = len(wire.told), len(wire.down)
        wire.leg.feed(wire.up[-1])
        channel.send("anybody?")
        await asyncio.sleep(10)
        assert wire.leg.send(0, "no") is SendOutcome.NOT_OPEN
        wire.leg.close()
        assert (len(wire.told), len(wire.down)) == (told, sent)
    assert wire.counted("focus_dtls_datagrams_dropped_total", reason="closed") == 1


@pytest.mark.parametrize("ends", ["closed", "by the client", "cancelled"])
@virtually
async def test_what_openssl_holds_is_free_at_the_end_and_not_when_garbage_is_collected(ends: str) -> None:
    wire = virtual_wire()
    gc.disable()
    try:
        async with running(wire):
            await wire.connect_client()
            held = weakref.ref(wire.leg._dtls._ssl)
            if ends == "by the client":
                await wire.dtls.stop()
            elif ends == "closed":
                wire.leg.close()
            await asyncio.sleep(1)
        assert held() is None
    finally:
        gc.enable()


@virtually
async def test_a_client_that_vanishes_is_the_planes_business() -> None:
    wire = virtual_wire()
    async with joined(wire):
        wire.loses = lambda *_: True
        wire.leg.send(0, "hello?")
        await asyncio.sleep(600)
        assert wire.of(LegFailed) == []


# --- data channels ----------------------------------------------------------------------------------------


@virtually
async def test_a_channel_carries_texts_both_ways() -> None:
    wire = virtual_wire()
    async with joined(wire) as channel:
        assert wire.of(DataChannelOpened) == [DataChannelOpened(LEG, 0, "datachannel")]
        for text in ("hello", "", "Grüße, 世界", "x" * 100_000):
            channel.send(text)
            heard = await wire.hears(DataReceived, len(wire.of(DataReceived)) + 1)
            assert heard == DataReceived(LEG, 0, text)
            assert wire.leg.send(0, text) is SendOutcome.SENT
            assert await channel.received.get() == text
    assert wire.counted("focus_messages_total", direction="received") == 4
    assert wire.counted("focus_joins_total", step="data_channel", outcome="ok") == 1


@virtually
async def test_a_second_channel_has_the_next_number_and_the_first_can_go() -> None:
    wire = virtual_wire()
    async with joined(wire) as first:
        second = await wire.open_channel("second")
        assert wire.of(DataChannelOpened)[1] == DataChannelOpened(LEG, 1, "second")
        first.close()
        assert await wire.hears(DataChannelClosed) == DataChannelClosed(LEG, 0)
        assert wire.leg.send(0, "gone") is SendOutcome.NOT_OPEN
        second.send("through the second")
        assert await wire.hears(DataReceived) == DataReceived(LEG, 1, "through the second")
        assert wire.leg.send(1, "back") is SendOutcome.SENT
        assert await second.received.get() == "back"


@virtually
async def test_a_closed_channel_can_be_opened_again_and_gets_another_number() -> None:
    wire = virtual_wire()
    async with joined(wire) as first:
        first.close()
        await first.closed.wait()
        again = await wire.open_channel("again")
        assert again.stream == first.stream
        assert wire.of(DataChannelOpened)[1] == DataChannelOpened(LEG, 1, "again")


@virtually
async def test_a_text_that_is_not_utf_8_is_refused_and_ends_nothing() -> None:
    wire = virtual_wire()
    async with joined(wire) as channel:
        await send_raw(wire, channel.stream, WEBRTC_STRING, b"\xff\xfe")
        assert await wire.hears(DataRefused) == DataRefused(LEG, 0, "not_utf8")
        channel.send("still here")
        assert (await wire.hears(DataReceived)).text == "still here"
    assert wire.counted("focus_messages_refused_total", reason="not_utf8") == 1


@virtually
async def test_a_text_above_the_limit_is_refused_and_ends_nothing() -> None:
    wire = virtual_wire(limits=LimitsConfig(message_bytes=8_192))
    async with joined(wire) as channel:
        channel.send("x" * 8_193)
        assert await wire.hears(DataRefused) == DataRefused(LEG, 0, "too_long")
        channel.send("y" * 8_192)
        assert (await wire.hears(DataReceived)).text == "y" * 8_192
    assert wire.counted("focus_messages_refused_total", reason="too_long") == 1


@pytest.mark.parametrize("data", [b"bytes", b""])
@virtually
async def test_binary_messages_are_refused(data: bytes) -> None:
    wire = virtual_wire()
    async with joined(wire) as channel:
        channel.send(data)
        assert await wire.hears(DataRefused) == DataRefused(LEG, 0, "binary")
    assert wire.counted("focus_messages_refused_total", reason="binary") == 1


@virtually
async def test_a_flood_of_messages_is_refused_and_what_comes_later_is_read() -> None:
    wire = virtual_wire(limits=LimitsConfig(messages_per_s=5.0))
    async with joined(wire) as channel:
        for number in range(50):
            channel.send(str(number))
        await asyncio.sleep(1)
        burst = len(wire.of(DataReceived))
        assert 5 <= burst <= 15
        refused = wire.counted("focus_messages_refused_total", reason="too_fast")
        assert burst + refused == 50
        assert 1 <= len(wire.of(DataRefused)) < refused, "each refusal told would cost a turn"
        await asyncio.sleep(10)
        channel.send("patient")
        assert (await wire.hears(DataReceived, burst + 1)).text == "patient"


@virtually
async def test_a_flood_of_datagrams_is_dropped_and_counted() -> None:
    wire = virtual_wire()
    async with joined(wire) as channel:
        for _ in range(2 * MAX_DATAGRAMS_PER_S):
            wire.leg.feed(b"\x17" + bytes(20))
        assert wire.counted("focus_dtls_datagrams_dropped_total", reason="inbox_full") > 0
        assert wire.counted("focus_dtls_datagrams_dropped_total", reason="rate") >= MAX_DATAGRAMS_PER_S
        await asyncio.sleep(1)
        channel.send("after the flood")
        assert (await wire.hears(DataReceived)).text == "after the flood"


@virtually
async def test_a_flood_of_chunks_is_dropped_and_counted() -> None:
    wire = virtual_wire()
    async with joined(wire) as channel:
        assert wire.leg._sctp is not None
        duplicate = bytes(data_chunk(wire, channel.stream, WEBRTC_STRING, b"x", ahead=-1))
        for _ in range(2 * MAX_CHUNKS_PER_S // 50):
            await wire.dtls._send_data(packet_of(wire.leg._sctp._local_verification_tag, 50 * duplicate))
            await asyncio.sleep(0)
        await asyncio.sleep(1)
        assert wire.counted("focus_sctp_faults_total", reason="chunk_rate") >= MAX_CHUNKS_PER_S // 50 - 5
        channel.send("after the flood")
        assert (await wire.hears(DataReceived)).text == "after the flood"


@virtually
async def test_a_leg_opens_only_so_many_channels() -> None:
    wire = virtual_wire()
    async with joined(wire):
        for number in range(1, MAX_CHANNELS):
            await wire.open_channel(str(number))
        await send_raw(wire, 2 * MAX_CHANNELS, WEBRTC_DCEP, pack("!BBHLHH", 3, 0, 0, 0, 0, 0))
        await asyncio.sleep(1)
        assert len(wire.of(DataChannelOpened)) == MAX_CHANNELS
    assert wire.counted("focus_sctp_faults_total", reason="too_many_channels") == 1


@virtually
async def test_a_leg_that_opens_and_closes_channels_all_the_time_is_refused_for_a_while() -> None:
    wire = virtual_wire()
    async with joined(wire) as first:
        stream, channel = first.stream, first
        for _ in range(OPENINGS_AT_ONCE - 1):
            channel.close()
            await channel.closed.wait()
            channel = await wire.open_channel("again")
        channel.close()
        await channel.closed.wait()
        await send_raw(wire, stream, WEBRTC_DCEP, pack("!BBHLHH", 3, 0, 0, 0, 0, 0))
        await asyncio.sleep(0.1)
        assert len(wire.of(DataChannelOpened)) == OPENINGS_AT_ONCE
        assert wire.counted("focus_sctp_faults_total", reason="too_many_channels") == 1
        await asyncio.sleep(2 / OPENINGS_PER_S)
        await wire.open_channel("later")
        await wire.hears(DataChannelOpened, OPENINGS_AT_ONCE + 1)


@virtually
async def test_a_message_on_a_channel_that_was_never_opened_is_counted_and_ends_nothing() -> None:
    wire = virtual_wire()
    async with joined(wire) as channel:
        await send_raw(wire, 100, WEBRTC_STRING, b"hello?")
        channel.send("still here")
        assert (await wire.hears(DataReceived)).text == "still here"
        assert len(wire.told) == 3
    assert wire.counted("focus_sctp_faults_total", reason="channel") == 1


@pytest.mark.parametrize(
    "opening",
    [
        b"",
        b"\x03",
        b"\x09" * 12,
        pack("!BBHLHH", 3, 0, 0, 0, 5, 0) + b"abc",
        pack("!BBHLHH", 3, 0, 0, 0, 2, 0) + b"\xff\xff",
        pack("!BBHLHH", 3, 0, 0, 0, 300, 0) + b"a" * 300,
        b"\x02",
    ],
    ids=["empty", "cut", "unknown", "label beyond", "label no text", "label too long", "ack of nothing"],
)
@virtually
async def test_a_channel_that_is_opened_wrongly_is_counted_and_ends_nothing(opening: bytes) -> None:
    wire = virtual_wire()
    async with joined(wire) as channel:
        await send_chunks(wire, data_chunk(wire, 100, WEBRTC_DCEP, opening or b"\x00"))
        wire.sctp._local_tsn += 1
        channel.send("still here")
        assert (await wire.hears(DataReceived)).text == "still here"
        assert len(wire.of(DataChannelOpened)) == 1
    assert wire.counted("focus_sctp_faults_total", reason="channel") == 1


@virtually
async def test_what_can_not_be_sent_is_dropped_and_the_reason_told() -> None:
    wire = virtual_wire()
    async with joined(wire) as channel:
        assert wire.leg.send(1, "no such channel") is SendOutcome.NOT_OPEN
        assert wire.leg.send(-1, "nor this") is SendOutcome.NOT_OPEN
        assert wire.leg.send(0, "\ud800") is SendOutcome.NOT_UTF8
        assert wire.leg.send(0, "x" * (SEND_MESSAGE_BYTES + 1)) is SendOutcome.TOO_LONG
        assert wire.leg.send(0, "fine") is SendOutcome.SENT
        assert await channel.received.get() == "fine"


@virtually
async def test_a_client_that_stops_reading_fills_its_queue_and_no_more() -> None:
    wire = virtual_wire()
    async with joined(wire) as channel:
        wire.loses = lambda direction, _: direction == "up"
        outcomes = [wire.leg.send(0, "x" * 100_000) for _ in range(20)]
        assert outcomes.count(SendOutcome.SENT) == MAX_QUEUED_BYTES // 100_000
        assert set(outcomes) == {SendOutcome.SENT, SendOutcome.QUEUE_FULL}
        wire.loses = lambda *_: False
        for _ in range(outcomes.count(SendOutcome.SENT)):
            assert len(await channel.received.get()) == 100_000
        assert wire.leg.send(0, "again") is SendOutcome.SENT


# --- SCTP's timers ----------------------------------------------------------------------------------------


@virtually
async def test_a_lost_init_is_sent_again_well_before_three_seconds() -> None:
    wire = virtual_wire()
    async with running(wire):
        await wire.connect_client()
        await wire.hears(LegConnected)
        lost: list[bytes] = []

        def loses(direction: str, data: bytes) -> bool:
            if direction == "down" and len(lost) < 2:
                lost.append(data)
                return True
            return direction == "up" and not wire.sctp._last_received_tsn

        wire.loses = loses
        began_at = clock()
        await wire.start_sctp()
        await wire.open_channel()
        assert len(lost) == 2
        assert (clock() - began_at) / NS_PER_S < 1.5


@virtually
async def test_a_lost_message_is_sent_again_within_half_a_second() -> None:
    wire = virtual_wire()
    async with joined(wire) as channel:
        wire.leg.send(0, "to measure")
        await channel.received.get()
        lost = iter([True])
        wire.loses = lambda direction, _: direction == "down" and next(lost, False)
        began_at = clock()
        wire.leg.send(0, "lost once")
        assert await channel.received.get() == "lost once"
        assert (clock() - began_at) / NS_PER_S < 0.5


@virtually
async def test_retransmissions_come_slower_and_slower_but_never_more_than_three_seconds_apart() -> None:
    wire = virtual_wire()
    async with joined(wire):
        wire.loses = lambda *_: True
        wire.leg.send(0, "into the void")
        await asyncio.sleep(0)
        sent_at = []
        for _ in range(2_000):
            before = len(wire.down)
            await asyncio.sleep(0.01)
            if len(wire.down) > before:
                sent_at.append(clock() / NS_PER_S)
        gaps = [later - earlier for earlier, later in itertools.pairwise(sent_at)]
        assert gaps[0] < gaps[1] < gaps[2]
        assert gaps[-1] == pytest.approx(3.0, abs=0.05)


@virtually
async def test_a_client_may_begin_its_association_minutes_later() -> None:
    wire = virtual_wire()
    async with running(wire):
        await wire.connect_client()
        await wire.hears(LegConnected)
        await asyncio.sleep(300)
        assert wire.of(LegFailed) == []
        await wire.start_sctp()
        await wire.open_channel()
        await wire.hears(DataChannelOpened)


# --- SCTP that nobody means well with ---------------------------------------------------------------------


@virtually
async def test_a_late_init_does_not_make_the_leg_forget_what_it_received() -> None:
    wire = virtual_wire()
    async with joined(wire) as channel:
        channel.send("one")
        await wire.hears(DataReceived)
        late = InitChunk()
        late.initiate_tag, late.advertised_rwnd = wire.sctp._local_verification_tag, 1 << 20
        late.outbound_streams = late.inbound_streams = 1_024
        late.initial_tsn = 17
        await send_chunks(wire, late, tag=0)
        channel.send("two")
        assert (await wire.hears(DataReceived, 2)).text == "two"


@virtually
async def test_a_chunk_from_far_ahead_is_counted_and_ends_nothing() -> None:
    wire = virtual_wire()
    async with joined(wire) as channel:
        for ahead in (65_536, 2**31 - 1):
            await send_chunks(wire, data_chunk(wire, channel.stream, WEBRTC_STRING, b"x", ahead=ahead))
        channel.send("still here")
        assert (await wire.hears(DataReceived)).text == "still here"
    assert wire.counted("focus_sctp_faults_total", reason="too_far_ahead") == 2
    assert wire.counted("focus_sctp_faults_total", reason="exception") == 0


@virtually
async def test_chunks_behind_gaps_are_kept_within_a_limit_and_what_was_dropped_may_come_again() -> None:
    wire = virtual_wire(limits=LimitsConfig(messages_per_s=10_000))
    async with joined(wire) as channel:
        chunks = [
            data_chunk(wire, channel.stream, WEBRTC_STRING, b"x", ahead=ahead, flags=UNORDERED)
            for ahead in range(4 * MAX_MISORDERED)
        ]
        sent = len(wire.down)
        for batch in (chunks[1::2], chunks[0::2], chunks[1::2]):
            for chunk in batch:
                await send_chunks(wire, chunk)
                await asyncio.sleep(0.001)
        assert len(wire.of(DataReceived)) == len(chunks)
        assert max(len(datagram) for datagram in wire.down[sent:]) <= MAX_HANDSHAKE_DATAGRAM_BYTES


@virtually
async def test_a_long_message_of_which_the_first_packet_is_lost_arrives() -> None:
    wire = virtual_wire()
    async with joined(wire) as channel:
        lost = iter([True])
        wire.loses = lambda direction, _: direction == "up" and next(lost, False)
        wire.sctp._cwnd = 1 << 20
        text = "x" * 260_000
        channel.send(text)
        assert (await wire.hears(DataReceived)).text == text


@virtually
async def test_messages_that_never_end_cost_their_sender_the_leg() -> None:
    wire = virtual_wire()
    async with joined(wire) as channel:
        for _ in range(MAX_UNFINISHED_CHUNKS + 1):
            await send_chunks(
                wire, data_chunk(wire, channel.stream, WEBRTC_STRING, b"x", flags=SCTP_DATA_FIRST_FRAG)
            )
            wire.sctp._local_tsn += 1
            await asyncio.sleep(0.01)
        assert await wire.hears(LegFailed) == LegFailed(LEG, "sctp_aborted")
    assert wire.counted("focus_sctp_faults_total", reason="too_much_unfinished") == 1


@virtually
async def test_long_messages_that_never_end_cost_their_sender_the_leg_sooner() -> None:
    wire = virtual_wire()
    async with joined(wire) as channel:
        for _ in range(MAX_UNFINISHED_CHUNKS - 1):
            part = data_chunk(wire, channel.stream, WEBRTC_STRING, bytes(1_100), flags=SCTP_DATA_FIRST_FRAG)
            await send_chunks(wire, part)
            wire.sctp._local_tsn += 1
            await asyncio.sleep(0.01)
            if wire.of(LegFailed):
                break
        assert wire.of(LegFailed) == [LegFailed(LEG, "sctp_aborted")]


@virtually
async def test_data_before_there_is_an_association_is_ignored() -> None:
    """It would be counted from a number that the next INIT changes."""
    wire = virtual_wire()
    async with running(wire):
        await wire.connect_client()
        await wire.hears(LegConnected)
        for first in (1_000, 2**31):
            beginning = InitChunk()
            beginning.initiate_tag, beginning.advertised_rwnd = 1, 1 << 20
            beginning.outbound_streams = beginning.inbound_streams = 1_024
            beginning.initial_tsn = first
            early = DataChunk(flags=UNORDERED)
            early.tsn, early.protocol, early.user_data = first + 5, WEBRTC_STRING, b"early"
            await send_chunks(wire, beginning, tag=0)
            await send_chunks(wire, early)
            await asyncio.sleep(0.1)
        assert wire.counted("focus_sctp_faults_total", reason="exception") == 0
        await wire.start_sctp()
        await wire.open_channel()
        await wire.hears(DataChannelOpened)


@virtually
async def test_a_reader_that_trips_is_forgiven_a_few_times_and_then_the_leg_ends() -> None:
    wire = virtual_wire()
    async with joined(wire) as channel:
        assert wire.leg._sctp is not None

        async def trip(chunk: Chunk) -> None:
            raise IndexError("a fault of aiortc that nobody knows yet")

        await asyncio.sleep(1)
        wire.leg._sctp._receive_sack_chunk = trip  # type: ignore[method-assign]  # aiortc's
        faulty = SackChunk()
        faulty.cumulative_tsn = (wire.leg._sctp._local_tsn - 1) % 2**32
        for _ in range(MAX_EXCEPTIONS):
            await send_chunks(wire, faulty)
        channel.send("still here")
        assert (await wire.hears(DataReceived)).text == "still here"
        await send_chunks(wire, faulty)
        assert await wire.hears(LegFailed) == LegFailed(LEG, "sctp_aborted")
    assert wire.counted("focus_sctp_faults_total", reason="exception") == MAX_EXCEPTIONS + 1


@settings(max_examples=25, deadline=None)
@given(packets=st.lists(st.binary(max_size=200), min_size=1, max_size=20))
def test_no_bytes_in_place_of_sctp_end_the_leg(packets: list[bytes]) -> None:
    async def main() -> None:
        wire = virtual_wire()
        async with joined(wire) as channel:
            for packet in packets:
                if packet:
                    await wire.dtls._send_data(packet)
            channel.send("still here")
            assert (await wire.hears(DataReceived)).text == "still here"
            assert wire.of(LegFailed) == []

    run_virtually(main())


KIND_NUMBERS = st.sampled_from([0, 1, 2, 3, 4, 5, 10, 11, 63, 130, 192, 255])
"""Every chunk that does not mean the end by itself (ABORT, SHUTDOWN and what follows it, ERROR)."""


@settings(max_examples=60, deadline=None)
@given(chunks=st.lists(st.tuples(KIND_NUMBERS, st.integers(0, 255), st.binary(max_size=60)), max_size=25))
def test_no_chunks_with_a_valid_tag_and_checksum_end_the_leg_or_trip_the_reader(
    chunks: list[tuple[int, int, bytes]],
) -> None:
    async def main() -> None:
        wire = virtual_wire()
        async with joined(wire):
            for kind, flags, body in chunks:
                chunk = Chunk(flags, body)
                chunk.type = kind
                await send_chunks(wire, chunk, tag=0 if kind == InitChunk.type else None)
            await asyncio.sleep(1)
            assert wire.of(LegFailed) == []
            assert wire.counted("focus_sctp_faults_total", reason="exception") == 0

    run_virtually(main())
