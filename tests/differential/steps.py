"""What can happen in a call, one function for each kind of step."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.dataplane.stun import BINDING, Attribute, MessageClass, StunMessage
from sfu.plane import (
    AddTransport,
    Extension,
    RemoveRoute,
    RemoveTrack,
    RemoveTransport,
    RequestKeyframe,
    SelectAddress,
    SendDatagram,
    SendStun,
    SetCredentials,
)
from sfu.rows import PACING_DTYPE, PROBE_DTYPE
from sfu.rtp.ntp import ns_to_ntp
from sfu.rtp.rtcp import (
    Bye,
    Fir,
    FirEntry,
    Nack,
    Pli,
    ReceiverReport,
    Remb,
    ReportBlock,
    Sdes,
    SenderReport,
    serialise_compound,
)
from sfu.rtp.twcc import DELTA_NS, TransportFeedback
from sfu.units import Kind, PayloadType, Ssrc
from tests.differential.peers import PROFILES
from tests.differential.stage import LAYERS, MAX_PEERS, MAX_ROUTES, MAX_TRACKS, Published
from tests.differential.tape import STEP_BYTES, Tape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sfu.dataplane.wire import Address
    from sfu.rtp.packet import RtpPacket
    from sfu.rtp.rtcp import RtcpPacket
    from tests.differential.peers import Peer
    from tests.differential.sources import Source
    from tests.differential.stage import Stage

WAITS_MS: Final = (0, 1, 5, 20, 33, 33, 60, 110, 300, 700, 1_100, 9_000, 31_000)
NOBODY: Final = ("203.0.113.9", 9)


def play(stage: Stage, steps: Iterable[bytes]) -> None:
    """Let the steps happen, with all counters compared now and then."""
    for number, data in enumerate(steps):
        assert len(data) == STEP_BYTES
        tape = Tape(data)
        tape.of(_WEIGHTED)(stage, tape)
        if number % 16 == 15:
            stage.pair.settle()
    stage.hear(stage.pair.advance(150))
    stage.pair.settle()


def nothing(stage: Stage, tape: Tape) -> None:
    """What zeros are: shrinking replaces steps by it."""


def frame(stage: Stage, tape: Tape) -> None:
    """A publisher sends a frame, or a packet of sound; some packets are lost, late or come twice."""
    picked = _source(stage, tape)
    if picked is None:
        return
    track, source = picked
    if tape.one_in(12):
        source.named = not source.named
    for made in source.frame(tape):
        fate = tape.below(16)
        stamped = _stamped(track, made, tape)
        if fate == 15:
            source.hold(stamped)
        elif fate != 14:
            _send(stage, track, stamped, early_ms=2 if fate == 13 else 0)
            if fate == 12:
                _send(stage, track, stamped)


def wait(stage: Stage, tape: Tape) -> None:
    """Time passes, with all timers or one that is late."""
    stage.hear(stage.pair.advance(tape.of(WAITS_MS), late=tape.one_in(4)))


def oversleep(stage: Stage, tape: Tape) -> None:
    """Time passes, and the next datagram is there before any timer."""
    stage.pair.oversleep(tape.of((1, 5, 30, 120, 400)))


def frame_and_wait(stage: Stage, tape: Tape) -> None:
    """A frame and the time until the next."""
    frame(stage, tape)
    stage.hear(stage.pair.advance(33))


def late(stage: Stage, tape: Tape) -> None:
    """A packet that was held comes after all."""
    picked = _source(stage, tape)
    if picked is not None and picked[1].held:
        held = picked[1].held
        _send(stage, picked[0], held.pop(tape.below(len(held))))


def repair(stage: Stage, tape: Tape) -> None:
    """RTX of a packet that was lost, or of one that was not."""
    picked = _source(stage, tape)
    if picked is None or not picked[1].recent:
        return
    track, source = picked
    original = source.recent[-1 - tape.below(len(source.recent))]
    made = source.repair(original)
    if tape.one_in(10):
        made = replace(made, payload=made.payload[: tape.below(3)])
    _send(stage, track, _stamped(track, made, tape))


def padding(stage: Stage, tape: Tape) -> None:
    """Padding, on a stream or on SSRC 0."""
    picked = _source(stage, tape)
    if picked is None:
        return
    track, source = picked
    made = replace(source.packet(b""), padding_bytes=tape.of((1, 255, 8)))
    if tape.one_in(3):
        made = replace(made, ssrc=Ssrc(0))
    _send(stage, track, _stamped(track, made, tape))


def jump(stage: Stage, tape: Tape) -> None:
    """Numbers of a stream jump, as of a sender that slept or began anew."""
    picked = _source(stage, tape)
    if picked is None:
        return
    source = picked[1]
    match tape.below(6):
        case 0:
            source.seq += tape.of((3, 50, 1_100, 20_000, 40_000))
        case 1:
            source.seq -= tape.of((3, 50, 1_100, 20_000))
        case 2:
            source.ts += tape.of((90_000 * 60, 2**31 - 1, 2**31 + 5))
        case 3:
            source.picture_id += tape.of((3, 64, 129, 20_000))
        case 4:
            source.frame_number += tape.of((300, 33_000, 65_000))
        case _:
            source.tl0 += tape.of((1, 127, 200))


def new_source(stage: Stage, tape: Tape) -> None:
    """A stream goes on under another SSRC, another payload type, or another publisher's SSRC."""
    picked = _source(stage, tape)
    if picked is None:
        return
    track, source = picked
    match tape.below(5):
        case 0 | 1:
            source.ssrc, source.named = stage.fresh_ssrc(), True
        case 2:
            source.rtx_ssrc = stage.fresh_ssrc()
        case 3:
            source.form = tape.of(track.spec.formats)
        case _:
            source.form = replace(source.form, payload_type=PayloadType(tape.of((0, 77, 127))))


def sender_report(stage: Stage, tape: Tape) -> None:
    """A publisher tells the time of its streams, or says something impossible of it."""
    picked = _source(stage, tape)
    if picked is None:
        return
    track, source = picked
    ntp = ns_to_ntp(stage.pair.now + tape.of((0, 0, 0, 10**9, -(10**10), 10**15)))
    ssrc = source.ssrc if not tape.one_in(8) else source.rtx_ssrc
    _say(stage, track.publisher, SenderReport(ssrc, ntp, source.ts & 0xFFFF_FFFF, 1, 2), Sdes(((ssrc, "x"),)))


def bye(stage: Stage, tape: Tape) -> None:
    """A publisher ends a stream."""
    picked = _source(stage, tape)
    if picked is not None:
        _say(stage, picked[0].publisher, Bye((picked[1].ssrc,)))


def nack(stage: Stage, tape: Tape) -> None:
    """A subscriber asks for packets again: those it got, those behind and before them."""
    peer = _peer(stage, tape)
    if peer is None or not peer.heard:
        return
    ssrc, newest = peer.heard[-1 - tape.below(len(peer.heard))]
    first = newest - tape.of((0, 1, 3, 20, 300, -1))
    count = tape.of((1, 2, 5, 17, 40))
    step = tape.of((1, 1, 2))
    _say(stage, peer, Nack(Ssrc(9), ssrc, tuple(first + step * i & 0xFFFF for i in range(count))))


def picture_loss(stage: Stage, tape: Tape) -> None:
    """A subscriber can't go on."""
    peer = _peer(stage, tape)
    if peer is None or not peer.heard:
        return
    ssrc = tape.of(tuple(peer.heard))[0]
    _say(stage, peer, Fir(Ssrc(9), (FirEntry(ssrc, 1),)) if tape.one_in(3) else Pli(Ssrc(9), ssrc))


def receiver_report(stage: Stage, tape: Tape) -> None:
    """A subscriber reports on what it gets, and what it could take."""
    peer = _peer(stage, tape)
    if peer is None or not peer.heard:
        return
    ssrc, number = peer.heard[-1]
    ssrc, compact = peer.reports[-1 - tape.below(len(peer.reports))] if peer.reports else (ssrc, 0)
    lost = tape.of((0, 5, -3, 2**23 - 1))
    block = ReportBlock(
        ssrc, tape.below(256), lost, number, tape.below(9_000), compact, tape.of((0, 655, 65_536))
    )
    said: list[RtcpPacket] = [ReceiverReport(Ssrc(9), (block,))]
    if tape.one_in(3):
        said.append(Remb(Ssrc(9), tape.of((0, 300_000, 2**40)), (ssrc,)))
    _say(stage, peer, *said)


def arrivals(stage: Stage, tape: Tape) -> None:
    """A subscriber says when packets came, some of which did not."""
    peer = _peer(stage, tape)
    if peer is None or peer.newest_number is None:
        return
    count = tape.of((1, 3, 10, 40, 200))
    first = peer.newest_number - tape.of((count, count, 0, 300, -1))
    at, told = tape.below(2**20) * 250_000, []
    for index in range(count):
        at += DELTA_NS * tape.of((4, 4, 1, 20, 4_000))
        told.append((first + index & 0xFFFF, None if index % 7 == 6 else at))
    _say(stage, peer, TransportFeedback(Ssrc(9), Ssrc(0), 0, tuple(told)))


def malformed_rtcp(stage: Stage, tape: Tape) -> None:
    """A peer sends RTCP that can't be read, or means nothing."""
    peer = _peer(stage, tape)
    if peer is None:
        return
    kind, count = tape.of((200, 201, 202, 203, 205, 206, 207, 192)), tape.below(32)
    words = tape.of((0, 1, 2, 3, 6, 12))
    body = b"".join((tape.of((0, 1_001, 1_002, 9, 2**31)) + i).to_bytes(4, "big") for i in range(words))
    head = bytes((tape.of((0x80, 0xA0, 0x40)) | count, kind))
    length = words + tape.of((0, 0, 0, 1, -1))
    data = head + (length % 65_536).to_bytes(2, "big") + body
    peer_said = serialise_compound([ReceiverReport(Ssrc(9))]) if tape.one_in(3) else b""
    stage.hear(peer.send((peer_said + data)[: tape.of((10_000, 10_000, 9, 12))]))


def garbage(stage: Stage, tape: Tape) -> None:
    """Bytes that are nothing, from anybody."""
    peer = _peer(stage, tape)
    address = NOBODY if peer is None or tape.one_in(4) else peer.address
    first = tape.of((0x80, 0x90, 0x81, 0x00, 0x16, 0x40, 0xFF, 0xB0))
    second = tape.of((0x60, 0xC8, 0x01, 0xE0, 0x6F))
    size = tape.of((1, 2, 8, 12, 20, 40, 1_500, 1_501))
    body = bytes(tape.below(256) for _ in range(6)) * 250
    stage.hear(stage.pair.feed(address, (bytes((first, second)) + body)[:size]))


def spoiled(stage: Stage, tape: Tape) -> None:
    """A packet of a publisher with some bytes changed, or cut, before it is encrypted or after."""
    picked = _source(stage, tape)
    if picked is None:
        return
    track, source = picked
    data = bytearray(_stamped(track, source.packet(b"spoiled media"), tape).serialise())
    for _ in range(1 + tape.below(3)):
        data[tape.below(len(data))] ^= 1 << tape.below(8)
    cut = bytes(data[: tape.of((len(data), len(data), 12, 16, tape.below(len(data)) + 1))])
    if tape.one_in(4):
        stage.hear(stage.pair.feed(track.publisher.address, cut))
    else:
        stage.hear(track.publisher.send(cut))


def check(stage: Stage, tape: Tape) -> None:
    """A connectivity check of any sort."""
    peer = _peer(stage, tape)
    if peer is None:
        return
    credentials, more = peer.credentials, ()
    match tape.below(9):
        case 0 | 1 | 2:
            pass
        case 8:
            kind = tape.of((MessageClass.INDICATION, MessageClass.SUCCESS, MessageClass.REQUEST))
            message = StunMessage(kind, tape.of((BINDING, 2)), b"transaction!", ()).serialise(None)
            stage.hear(stage.pair.feed(peer.address, message[: tape.of((len(message), 19, 24))]))
            return
        case 3:
            credentials = replace(credentials, password="wrong")
        case 4:
            credentials = replace(credentials, ufrag="nobody")
        case 5:
            more = ((Attribute.ICE_CONTROLLED, bytes(8)),)  # type: ignore[assignment]
        case 6:
            _move(stage, peer, tape)
        case _:
            more = ((0x0024, bytes(4)), (0x8022, b"agent"))  # type: ignore[assignment]
    stage.hear(peer.check(nominate=not tape.one_in(3), credentials=credentials, more=more))


def restart(stage: Stage, tape: Tape) -> None:
    """ICE begins anew, and the peer checks with the new credentials, the old ones or not at all."""
    peer = _peer(stage, tape)
    if peer is None:
        return
    before = peer.credentials
    peer.generation += 1
    stage.hear(stage.pair.apply(SetCredentials(peer.transport, peer.credentials)))
    if tape.one_in(3):
        _move(stage, peer, tape)
    match tape.below(3):
        case 0:
            stage.hear(peer.check(nominate=True))
        case 1:
            stage.hear(peer.check(nominate=True, credentials=before))
        case _:
            pass


def move(stage: Stage, tape: Tape) -> None:
    """A NAT gives a peer another port, and it goes on without a word."""
    peer = _peer(stage, tape)
    if peer is not None:
        _move(stage, peer, tape)
        stage.hear(stage.pair.advance(tape.of((0, 101, 150))))


def ask(stage: Stage, tape: Tape) -> None:
    """Checks of ours go to an address of a peer, or to one that is none; of many, the first are forgotten."""
    peer = _peer(stage, tape)
    if peer is None:
        return
    # Two peers of one port may ask the same of the same.
    is_alike = tape.one_in(4) and not stage.pair.is_apart
    asker, address = (0, NOBODY) if is_alike else (peer.number, _whereabouts(stage, peer, tape))
    spelled = _spelled(address, tape)
    kind = MessageClass.SUCCESS if tape.one_in(16) else MessageClass.REQUEST
    cut = tape.of((None, None, None, None, None, None, None, -4))
    first = tape.below(90)
    for index in range(tape.of((1, 1, 2, 40, 70))):
        transaction = asker.to_bytes(6, "big") + ((first + index) % 90).to_bytes(6, "big")
        data = StunMessage(kind, BINDING, transaction).serialise(peer.credentials.password)
        peer.asked.append((peer.via(address), transaction))
        stage.hear(stage.pair.apply(SendStun(peer.transport, *spelled, data[:cut])))


def answer(stage: Stage, tape: Tape) -> None:
    """What was asked is answered: as it should be, twice, by another, with something else; or all of it."""
    peer = _peer(stage, tape)
    if peer is None or not peer.asked:
        return
    if tape.one_in(4):
        for address, transaction in peer.asked:
            data = StunMessage(MessageClass.SUCCESS, BINDING, transaction).serialise()
            stage.hear(stage.pair.feed(address, data))
        peer.asked.clear()
        return
    address, transaction = peer.asked[-1 - tape.below(len(peer.asked))]
    kind, method = MessageClass.ERROR if tape.one_in(4) else MessageClass.SUCCESS, BINDING
    match tape.below(8):
        case 0:
            address = _whereabouts(stage, peer, tape)
        case 1:
            transaction = transaction[:-1] + b"?"
        case 2:
            kind = MessageClass.INDICATION
        case 3:
            method = 2
        case _:
            pass
    data = StunMessage(kind, method, transaction).serialise()
    for _ in range(tape.of((1, 1, 2))):
        stage.hear(stage.pair.feed(address, data[: tape.of((len(data), len(data), len(data), 20, 24))]))


def select(stage: Stage, tape: Tape) -> None:
    """An address that was checked by us is a peer's, whether it is there or not."""
    peer = _peer(stage, tape)
    if peer is None:
        return
    if tape.one_in(3):
        _move(stage, peer, tape)
    stage.hear(stage.pair.apply(SelectAddress(peer.transport, *_spelled(peer.address, tape))))


def handshake(stage: Stage, tape: Tape) -> None:
    """DTLS in either direction."""
    peer = _peer(stage, tape)
    if peer is None:
        return
    data = bytes((22, 254, 253)) + bytes(tape.of((1, 100, 1_400)))
    if tape.one_in(2):
        stage.hear(stage.pair.apply(SendDatagram(peer.transport, data)))
    else:
        for _ in range(tape.of((1, 2, 70))):
            stage.hear(stage.pair.feed(peer.address, data))


def rekey(stage: Stage, tape: Tape) -> None:
    """A handshake has ended again."""
    peer = _peer(stage, tape)
    if peer is not None:
        stage.hear(peer.install(peer.agreed or peer.agree(tape.of(PROFILES))))


def target(stage: Stage, tape: Tape) -> None:
    """Layers are chosen, or nothing but a sign of life."""
    rows: list[tuple[int, int, int]] = [
        (tape.of(stage.routes).route, tape.of(LAYERS), tape.of((7, 0, 1, 2)))
        for _ in range(tape.of((1, 1, 2, 0)) if stage.routes else 0)
    ]
    if tape.one_in(16):
        rows.append((99_999, 0, 7))
    stage.aim(rows)


def pacing(stage: Stage, tape: Tape) -> None:
    """A peer is sent to at another rate."""
    peer = _peer(stage, tape)
    if peer is None:
        return
    rate = tape.of((float("inf"), 3e5, 1e6, 2e6, 1e7, 3e4, 1e3, 3.3333e6, float("nan"), -1.0))
    row = (peer.number, rate, tape.of((0, 0, 1e5, 5e5, 1e12)), tape.of((250, 100, 20, 0)))
    stage.pair.set_pacing(np.array([row], PACING_DTYPE))
    stage.hear(stage.pair.poll())


def probe(stage: Stage, tape: Tape) -> None:
    """A path is measured."""
    peer = _peer(stage, tape)
    if peer is None:
        return
    stage.clusters += 1
    row = (peer.number, stage.clusters, tape.of((2e6, 5e5, 8e6, 1e12, 0)), tape.of((5_000, 0, 1, 20_000)))
    stage.pair.probe(np.array([row] * tape.of((1, 1, 2)), PROBE_DTYPE))
    stage.hear(stage.pair.poll())


def track_changes(stage: Stage, tape: Tape) -> None:
    """An SDP says something else of a track, or of a new one, or that it is gone."""
    choice = tape.below(6)
    if choice == 0 and len(stage.tracks) < MAX_TRACKS and stage.peers:
        stage.publish(tape.of(stage.peers), tape.of((Kind.VIDEO, Kind.AUDIO)), tape)
        return
    if not stage.tracks:
        return
    track = tape.of(stage.tracks)
    if choice == 1:
        stage.tracks.remove(track)
        stage.forget_routes()
        stage.hear(stage.pair.apply(RemoveTrack(track.spec.track)))
        return
    spec = track.spec
    formats, encodings, extensions = stage.shape(spec.kind, tape)
    match choice:
        case 2:
            track.spec = replace(spec, formats=formats)
        case 3:
            track.spec = replace(spec, extensions=extensions)
        case 4:
            track.spec = replace(spec, encodings=encodings)
        case _:
            track.spec = replace(spec, formats=formats, encodings=encodings, extensions=extensions)
    if not tape.one_in(3):
        stage.send_as(track, tape)
    stage.hear(stage.pair.apply(track.spec))


def route_changes(stage: Stage, tape: Tape) -> None:
    """A subscriber's SDP says something else of a route, or of a new one, or that it is gone."""
    choice = tape.below(5)
    if choice == 0 and len(stage.routes) < MAX_ROUTES and stage.tracks and stage.peers:
        stage.route(tape.of(stage.tracks), tape.of(stage.peers), tape)
        return
    if not stage.routes:
        return
    at = tape.below(len(stage.routes))
    spec = stage.routes[at]
    if choice == 1:
        del stage.routes[at]
        stage.hear(stage.pair.apply(RemoveRoute(spec.route)))
        return
    other = tape.of(stage.routes)
    match choice:
        case 2:
            spec = replace(spec, formats=other.formats)
        case 3:
            spec = replace(spec, extensions=other.extensions, mixed_extensions=tape.one_in(2))
        case _:
            without = tuple(replace(form, rtx_payload_type=None) for form in spec.formats)
            spec = replace(spec, mid=other.mid, formats=without)
    stage.routes[at] = spec
    stage.hear(stage.pair.apply(spec))


def contradiction(stage: Stage, tape: Tape) -> None:
    """An operation that both planes refuse or ignore, among others."""
    if not stage.routes:
        return
    spec = tape.of(stage.routes)
    match tape.below(6):
        case 0:
            stage.hear(stage.pair.apply(replace(spec, ssrc=stage.fresh_ssrc())))
        case 4:
            peer = tape.of(stage.peers)
            stage.hear(
                stage.pair.apply(AddTransport(peer.transport, peer.credentials, own_port=peer.has_own_port))
            )
        case 5:
            track = tape.of(stage.tracks).spec
            kind = Kind.AUDIO if track.kind is Kind.VIDEO else Kind.VIDEO
            stage.hear(stage.pair.apply(replace(track, kind=kind)))
        case 1:
            stage.hear(
                stage.pair.apply(
                    replace(spec, track=type(spec.track)(99_999), route=type(spec.route)(99_998))
                )
            )
        case 2:
            stage.hear(stage.pair.apply(replace(spec, route=type(spec.route)(99_997))))
        case _:
            stage.hear(
                stage.pair.apply(RemoveRoute(type(spec.route)(99_996)), RequestKeyframe(spec.track, 9))
            )


def key_frame(stage: Stage, tape: Tape) -> None:
    """The engine wants a key frame."""
    if stage.tracks:
        stage.hear(stage.pair.apply(RequestKeyframe(tape.of(stage.tracks).spec.track, tape.below(4))))


def peer_changes(stage: Stage, tape: Tape) -> None:
    """Somebody comes, with keys or with some that the planes do not know yet, or goes."""
    if len(stage.peers) < MAX_PEERS and not tape.one_in(3):
        profile = tape.of(PROFILES)
        if tape.one_in(2):
            peer = stage.meet()
            peer.agree(profile)
            stage.hear(peer.check(nominate=tape.one_in(2)))
        else:
            peer = stage.join(profile)
        if tape.one_in(2):
            stage.publish(peer, tape.of((Kind.VIDEO, Kind.AUDIO)), tape)
        elif stage.tracks:
            stage.route(tape.of(stage.tracks), peer, tape)
        return
    if len(stage.peers) > 2:
        peer = tape.of(stage.peers)
        stage.leave(peer)
        stage.hear(stage.pair.apply(RemoveTransport(peer.transport)))


def stranger(stage: Stage, tape: Tape) -> None:
    """A publisher's packet from an address that nobody knows."""
    picked = _source(stage, tape)
    if picked is None:
        return
    track, source = picked
    publisher = track.publisher
    if publisher.session is not None:
        protected = publisher.session.protect(_stamped(track, source.packet(b"stray"), tape).serialise())
        if isinstance(protected, bytes):
            stage.hear(stage.pair.feed(NOBODY, protected))


def _source(stage: Stage, tape: Tape) -> tuple[Published, Source] | None:
    if not stage.tracks:
        return None
    track = tape.of(stage.tracks)
    return track, tape.of(track.sources)


def _peer(stage: Stage, tape: Tape) -> Peer | None:
    return tape.of(stage.peers[1:] + stage.peers[:1]) if stage.peers else None


def _stamped(track: Published, made: RtpPacket, tape: Tape) -> RtpPacket:
    """With what a publisher says of each packet."""
    known, more = track.spec.extensions, made.extensions
    if Extension.TRANSPORT_CC in known:
        more += ((known[Extension.TRANSPORT_CC], track.publisher.next_number()),)
    if Extension.AUDIO_LEVEL in known and track.spec.kind is Kind.AUDIO:
        more += ((known[Extension.AUDIO_LEVEL], bytes((tape.below(256),))),)
    if Extension.VIDEO_ORIENTATION in known and tape.one_in(4):
        more += ((known[Extension.VIDEO_ORIENTATION], b"\x01"),)
    if Extension.COLOR_SPACE in known and tape.one_in(4):
        more += ((known[Extension.COLOR_SPACE], bytes(range(tape.of((4, 28))))),)
    return replace(made, extensions=more)


def _send(stage: Stage, track: Published, packet: RtpPacket, *, early_ms: float = 0) -> None:
    stage.hear(track.publisher.send(packet.serialise(), early_ms=early_ms))


def _say(stage: Stage, peer: Peer, *packets: RtcpPacket) -> None:
    stage.hear(peer.send(serialise_compound(packets)))


def _move(stage: Stage, peer: Peer, tape: Tape) -> None:
    """Another address; now and then that of somebody else, or by a port that is not for it."""
    before = peer.address
    others = [other for other in stage.peers if stage.pair.are_together(peer, other)]
    peer.address = peer.via((before[0], 50_000 + tape.below(500)))
    if tape.one_in(8):
        peer.address = tape.of((*(other.address for other in others), peer.address[:2]))
    if before in stage.pair.readers:
        stage.pair.readers[peer.address] = stage.pair.readers[before]


def _whereabouts(stage: Stage, peer: Peer, tape: Tape) -> tuple[str, int]:
    """Where a check of a peer may go, or come from: to it, beside it, or to another."""
    others = [other for other in stage.peers if stage.pair.are_together(peer, other)]
    known = tape.of((peer, peer, peer, tape.of(others))).address
    return known[0], known[1] if not tape.one_in(3) else 50_000 + tape.below(500)


def _spelled(address: Address, tape: Tape) -> tuple[str, int]:
    """An address as Python may write it, or not."""
    host, port = address[:2]
    match tape.below(24):
        case 0:
            return f"::ffff:{host}" if "." in host else host.upper(), port
        case 1:
            return tape.of((("localhost", port), (host, 0), (host, 65_536), (f"{host}%1", port)))
        case _:
            return host, port


_WEIGHTS: Final[tuple[tuple[int, Callable[[Stage, Tape], None]], ...]] = (
    (4, nothing),
    (40, frame),
    (60, frame_and_wait),
    (14, wait),
    (4, oversleep),
    (8, late),
    (8, repair),
    (3, padding),
    (4, jump),
    (4, new_source),
    (6, sender_report),
    (1, bye),
    (12, nack),
    (3, picture_loss),
    (4, receiver_report),
    (8, arrivals),
    (3, malformed_rtcp),
    (3, garbage),
    (4, spoiled),
    (4, check),
    (2, restart),
    (2, move),
    (2, handshake),
    (6, ask),
    (6, answer),
    (2, select),
    (1, rekey),
    (12, target),
    (8, pacing),
    (4, probe),
    (3, track_changes),
    (4, route_changes),
    (1, contradiction),
    (2, key_frame),
    (2, peer_changes),
    (2, stranger),
)
_WEIGHTED: Final = tuple(step for weight, step in _WEIGHTS for _ in range(weight))
