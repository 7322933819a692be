"""A whole tick of a large focus: what subscribers have said, estimates, layers, and what the plane is told.

A hundred calls of five, in which everybody shows a camera of three encodings and three are heard. Each of
the 500 subscribers is sent 200 packets a second over a line of its own, which carries a part of what is
wanted, and tells of each packet in each tick. The native plane's core forwards, stamps and reads all of it.
What is timed is what a tick does (`sfu.runtime.tick`), and the reading of that feedback, for which a focus
that runs has the plane's own threads.
"""

from __future__ import annotations

import random
import struct
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from sfu.conference.turn import SetDemand
from sfu.control import Control
from sfu.dataplane.stun import BINDING, Attribute, MessageClass, StunMessage
from sfu.dataplane.wire import WireProtocol, protocol_of
from sfu.plane import (
    AddTransport,
    Codec,
    Credentials,
    EncodingSpec,
    Extension,
    InstallSrtp,
    PayloadFormat,
    SetRoute,
    SetTrack,
    SrtpProfile,
)
from sfu.rtp.rtcp import serialise_compound
from sfu.rtp.twcc import TransportFeedback
from sfu.simulation.cores import native_core
from sfu.units import (
    NO_RID,
    NS_PER_S,
    Instant,
    Kind,
    Mid,
    PayloadType,
    Rid,
    RouteId,
    Ssrc,
    TrackHandle,
    TransportId,
    after_ms,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sfu.dataplane.wire import Address, Transmit
    from sfu.plane import PlaneOperation
    from sfu.simulation.stand import Core

CALLS: Final = 100
MEMBERS: Final = 5
SPEAKERS: Final = 3
"""Of each call: a packet of sound of each goes to everybody else in a tick."""
TICK_MS: Final = 50
TICKS: Final = 140
SKIPPED_TICKS: Final = 40
"""In the beginning, when everything is new."""

PACKETS: Final = 2
"""Of each camera in a tick. With four cameras and two or three voices, a subscriber gets 10: 200 a second."""
PAYLOAD_BYTES: Final = (160, 420, 1_150)
"""Of the packets of each encoding."""
SOUND_BYTES: Final = 80
POLLS: Final = 5
"""Of the plane's pacers, between two packets of a camera."""
FULL_TICKS: Final = 20
"""So often all is decided anew although nothing has changed, as each second in a focus that runs."""
KEY_FRAME_EVERY: Final = 40
"""Packets of a camera: who waits for another encoding waits a second at most."""
LINE_BPS: Final = (600_000, 1_400_000)
"""What subscribers' lines carry, evenly between these; all that is wanted is 1.6 Mbit/s."""
DELAY_MS: Final = 25
QUEUE_MS: Final = 200

_VIDEO: Final = (PayloadFormat("VP8", Codec.VP8, PayloadType(96), 90_000, PayloadType(97)),)
_AUDIO: Final = (PayloadFormat("opus", Codec.OPUS, PayloadType(111), 48_000),)
_TRANSPORT_CC: Final = 2
_DOWN: Final = {Extension.MID: 1, Extension.TRANSPORT_CC: _TRANSPORT_CC}
_KEY: Final = bytes(16 + 12)
_RIDS: Final = (Rid("q"), Rid("h"), Rid("f"))
_START: Final = Instant(10_000 * NS_PER_S)
_HEADER: Final = struct.Struct("!BBHLL")
_KEY_FRAME, _INTER_FRAME = b"\x90\x80\x80\x00\x00", b"\x90\x80\x80\x00\x01"


class TickTimes(NamedTuple):
    """Milliseconds of this thread for each tick after the first ones."""

    whole: list[float]
    reading: list[float]
    """Of which the plane reads feedback."""
    estimating: list[float]
    """Of which `Control.tick` took."""
    packets_told: list[int]
    """Of how many packets the feedback was."""


def tick_times(calls: int = CALLS, ticks: int = TICKS) -> TickTimes:
    """Let so many calls go on for so many ticks.

    Raises:
        ImportError: the native plane was not built.
    """
    focus = _Focus(native_core(), calls)
    times = TickTimes([], [], [], [])
    for tick in range(ticks):
        focus.media(tick)
        noted = times if tick >= SKIPPED_TICKS else TickTimes([], [], [], [])
        focus.tick(noted, is_full=tick % FULL_TICKS == 0)
    return times


class _Focus:
    """A plane's core, what decides for it, and everybody around it."""

    def __init__(self, core: Core, calls: int) -> None:
        self._core = core
        self._control = Control()
        self._now = _START
        self._members = range(calls * MEMBERS)
        rng = random.Random(1)  # noqa: S311  # no secrets here
        self._lines: dict[Address, _Line] = {
            _address(member): _Line(rng.randint(*LINE_BPS)) for member in self._members
        }
        self._join()

    def media(self, tick: int) -> None:
        """Everybody sends what falls into one tick, and it goes where it is to go."""
        for part in range(PACKETS):
            number = PACKETS * tick + part
            head = _KEY_FRAME if number % KEY_FRAME_EVERY == 0 else _INTER_FRAME
            payloads = [head.ljust(size, b"\0") for size in PAYLOAD_BYTES]
            for member in self._members:
                for encoding, payload in enumerate(payloads):
                    header = _HEADER.pack(0x80, 0xE0, number, 3_000 * number, _camera_ssrc(member, encoding))
                    self._publish(member, header + payload)
                if part == 0 and member % MEMBERS < SPEAKERS:
                    header = _HEADER.pack(0x80, 0x6F, tick, 2_400 * tick, _voice_ssrc(member))
                    self._publish(member, header + bytes(SOUND_BYTES))
            for _ in range(POLLS):
                self._now = after_ms(self._now, TICK_MS / PACKETS / POLLS)
                self._carry(self._core.poll(self._now))

    def tick(self, times: TickTimes, *, is_full: bool) -> None:
        """One tick, timed."""
        now, core = self._now, self._core
        said = [
            (address, feedback)
            for address, line in self._lines.items()
            if (feedback := line.feedback(now)) is not None
        ]
        began = time.thread_time()
        for address, feedback in said:
            core.handle_datagram(now, address, feedback)
        heard = time.thread_time()
        stats, rows = core.stats(now), core.feedback()
        drained = time.thread_time()
        update = self._control.tick(now, stats, rows, is_full=is_full)
        decided = time.thread_time()
        core.set_pacing(now, update.pacing)
        core.probe(now, update.probes)
        core.set_targets(now, update.decisions[:0] if update.targets is None else update.targets)
        ended = time.thread_time()
        times.whole.append((ended - began) * 1_000)
        times.reading.append((heard - began) * 1_000)
        times.estimating.append((decided - drained) * 1_000)
        times.packets_told.append(len(rows))

    def _publish(self, member: int, packet: bytes) -> None:
        self._carry(self._core.handle_datagram(self._now, _address(member), packet))

    def _carry(self, transmits: Iterable[Transmit]) -> None:
        """Over everybody's line; RTCP is not looked at."""
        for transmit in transmits:
            if protocol_of(transmit.data) is WireProtocol.RTP:
                self._lines[transmit.address].carry(self._now, transmit.data)

    def _join(self) -> None:
        core, now = self._core, self._now
        core.apply(now, [AddTransport(_transport(one), _credentials(one)) for one in self._members])
        for one in self._members:
            attributes = (
                (Attribute.USERNAME, f"{_credentials(one).ufrag}:theirs".encode()),
                (Attribute.USE_CANDIDATE, b""),
            )
            request = StunMessage(MessageClass.REQUEST, BINDING, one.to_bytes(12, "big"), attributes)
            core.handle_datagram(now, _address(one), request.serialise(_credentials(one).password))
        core.apply(now, [operation for one in self._members for operation in _published(one)])
        routes = 0
        for one in self._members:
            first = one - one % MEMBERS
            for other in range(first, first + MEMBERS):
                if other == one:
                    continue
                for kind in (Kind.VIDEO, Kind.AUDIO):
                    routes += 1
                    core.apply(now, [_route(RouteId(routes), other, one, kind)])
                    self._control.set_demand(_demand(RouteId(routes), other, one, kind))
        core.drain()


class _Line:
    """One subscriber's line, and what it says of what came."""

    def __init__(self, rate_bps: int) -> None:
        self._rate_bps = rate_bps
        self._free_at = 0
        self._came: list[tuple[int, int | None]] = []
        self._count = 0

    def carry(self, now: Instant, data: bytes) -> None:
        """A packet waits for those before it, or is lost where too many wait."""
        number = _transport_number(data)
        self._free_at = max(self._free_at, now)
        if self._free_at - now > QUEUE_MS * NS_PER_S // 1_000:
            self._came.append((number, None))
            return
        self._free_at += len(data) * 8 * NS_PER_S // self._rate_bps
        self._came.append((number, self._free_at + DELAY_MS * NS_PER_S // 1_000))

    def feedback(self, now: Instant) -> bytes | None:
        """Of all that has come until now, in the order in which it was sent."""
        told = 0
        while told < len(self._came) and (self._came[told][1] or 0) <= now:
            told += 1
        while told and self._came[told - 1][1] is None:
            told -= 1
        if not told:
            return None
        entries = tuple((number, None if at is None else Instant(at)) for number, at in self._came[:told])
        del self._came[:told]
        self._count = (self._count + 1) % 256
        return serialise_compound([TransportFeedback(Ssrc(1), Ssrc(2), self._count, entries)])


def _transport_number(data: bytes) -> int:
    """Of a packet of ours: its extensions are of one byte each, and begin behind the header."""
    at = 16
    while data[at] >> 4 != _TRANSPORT_CC:
        at += 2 + (data[at] & 15)
    return int.from_bytes(data[at + 1 : at + 3], "big")


def _transport(member: int) -> TransportId:
    return TransportId(member + 1)


def _address(member: int) -> tuple[str, int]:
    return "192.0.2.1", 10_000 + member


def _credentials(member: int) -> Credentials:
    return Credentials(f"ufrag{member:04}", f"password-of-member-{member:04}---")


def _camera_ssrc(member: int, encoding: int) -> Ssrc:
    return Ssrc(10_000 + 10 * member + encoding)


def _voice_ssrc(member: int) -> Ssrc:
    return Ssrc(10_000 + 10 * member + len(PAYLOAD_BYTES))


def _tracks(member: int) -> dict[Kind, TrackHandle]:
    return {Kind.VIDEO: TrackHandle(2 * member), Kind.AUDIO: TrackHandle(2 * member + 1)}


def _published(member: int) -> list[PlaneOperation]:
    tracks, transport, cname = _tracks(member), _transport(member), f"member {member}"
    camera = tuple(EncodingSpec(rid, _camera_ssrc(member, number)) for number, rid in enumerate(_RIDS))
    voice = (EncodingSpec(NO_RID, _voice_ssrc(member)),)
    up = {Extension.MID: 1}
    return [
        InstallSrtp(transport, SrtpProfile.AEAD_AES_128_GCM, _KEY, _KEY),
        SetTrack(tracks[Kind.VIDEO], transport, Mid("0"), Kind.VIDEO, _VIDEO, camera, up, cname),
        SetTrack(tracks[Kind.AUDIO], transport, Mid("1"), Kind.AUDIO, _AUDIO, voice, up, cname),
    ]


def _route(route: RouteId, publisher: int, subscriber: int, kind: Kind) -> SetRoute:
    is_video = kind is Kind.VIDEO
    return SetRoute(
        route,
        _tracks(publisher)[kind],
        _transport(subscriber),
        Mid(f"{route}"),
        Ssrc(1_000_000 + 2 * route),
        Ssrc(1_000_001 + 2 * route) if is_video else None,
        _VIDEO if is_video else _AUDIO,
        _DOWN,
        f"member {publisher}",
    )


def _demand(route: RouteId, publisher: int, subscriber: int, kind: Kind) -> SetDemand:
    track, leg = _tracks(publisher)[kind], _transport(subscriber)
    if kind is Kind.AUDIO:
        return SetDemand(route, leg, track, kind)
    return SetDemand(route, leg, track, kind, 1280, 720, 1280, 720, encodings=len(PAYLOAD_BYTES))
