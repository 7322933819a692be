"""The twin and the native plane side by side: told the same, they must say the same."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sfu.config import MediaConfig
from sfu.dataplane.core import PlaneCore
from sfu.dataplane.native_core import NativeCore
from sfu.dataplane.srtp import LibSrtp, NullSrtp
from sfu.dataplane.wire import WireProtocol, protocol_of
from sfu.errors import LocalError, ParseError
from sfu.plane import AddTransport, DropReason
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import parse_compound
from sfu.units import after_ms, earliest
from tests.differential.chacha import NativeRandom
from tests.differential.peers import worker_of, worker_of_host
from tests.support.plane_driver import START

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sfu.dataplane.srtp import SrtpSession
    from sfu.dataplane.wire import Address, Transmit
    from sfu.plane import PlaneOperation, PlaneStats
    from sfu.rows import StructArray
    from sfu.units import Instant
    from tests.differential.peers import Peer
    from tests.support.plane_driver import Core

SEED: Final = bytes(range(32))
MAX_POLLS: Final = 400
"""Timers in one step of time, which ends there. Lower: padding at a high rate hides what comes later. Higher:
it takes most of the time of a run."""
REFUSALS: Final = frozenset(
    {DropReason.CODEC_NOT_NEGOTIATED, DropReason.NO_SELECTED_PAIR, DropReason.OTHER_LAYER}
)
"""Why a route does not take a packet, beside what there is to see in the packet."""
_LOG_ENTRIES: Final = 60


class Divergence(AssertionError):  # noqa: N818  # no error of what finds it
    """The planes differ. Says on what, after what."""


class Pair:
    """Both cores, one clock.

    Args:
        encrypted: with SRTP; else in the clear.
        config: of both; the default one where it is None.
        apart: the native plane has two workers, and peers live on them by turns.
    """

    def __init__(self, *, encrypted: bool, config: MediaConfig | None = None, apart: bool = False) -> None:
        config = config or MediaConfig()
        self.is_apart: Final = apart
        self.is_encrypted: Final = encrypted
        self.srtp: Final = LibSrtp if encrypted else NullSrtp
        self.now: Instant = START
        self.inputs = 0
        """Datagrams, operations, rows and polls that were fed."""
        self.sent = 0
        """Datagrams that both cores sent, equal."""
        self.readers: Final[dict[Address, tuple[SrtpSession, SrtpSession]]] = {}
        """How to decrypt what goes to an address: what the twin sent, and what the native plane sent."""
        self._twin: Core = PlaneCore(config, NativeRandom(SEED), self.srtp)
        several = replace(config, workers=2, packet_cache_bytes=2 * config.packet_cache_bytes)
        self._native = NativeCore(several if apart else config, SEED, is_encrypted=encrypted)
        self._are_split_alike = True
        """RTCP of one turn went in as many compounds so far; else its overhead counts differently."""
        self._log: deque[str] = deque(maxlen=_LOG_ENTRIES)

    def apply(self, *operations: PlaneOperation) -> list[Transmit]:
        """Carry out operations; what was sent, nothing where both refused."""
        return self._feed(
            len(operations),
            f"apply {operations}",
            lambda core: core.apply(self.now, [self._placed(core, operation) for operation in operations]),
        )

    def _placed(self, core: Core, operation: PlaneOperation) -> PlaneOperation:
        """Where the core has two workers, on one of them; the twin has one."""
        if self.is_apart and core is self._native and isinstance(operation, AddTransport):
            return replace(operation, worker=worker_of(operation.transport))
        return operation

    def feed(self, address: Address, data: bytes, *, early_ms: float = 0) -> list[Transmit]:
        """A datagram, which may have come before the last poll; what was sent."""
        at = after_ms(self.now, -early_ms)
        worker = worker_of_host(address[0]) if self.is_apart else None

        def take(core: Core) -> list[Transmit]:
            if core is self._native:
                return self._native.handle_datagram(at, address, data, worker)
            return core.handle_datagram(at, address, data)

        return self._feed(1, f"{address} {_told(data)}", take)

    def set_targets(self, rows: StructArray) -> None:
        """Layer choices."""
        self._feed(1, f"targets {rows.tolist()}", lambda core: core.set_targets(self.now, rows))

    def set_pacing(self, rows: StructArray) -> None:
        """Rates."""
        self._feed(1, f"pacing {rows.tolist()}", lambda core: core.set_pacing(self.now, rows))

    def probe(self, rows: StructArray) -> None:
        """Clusters."""
        self._feed(1, f"probe {rows.tolist()}", lambda core: core.probe(self.now, rows))

    def are_together(self, one: Peer, other: Peer) -> bool:
        """Whether two peers send to one port, so that one could take the other's address."""
        return not self.is_apart or worker_of(one.number) == worker_of(other.number)

    def poll(self) -> list[Transmit]:
        """What is due now."""
        return self._feed(1, "poll", lambda core: core.poll(self.now))

    def advance(self, duration_ms: float, *, late: bool = False) -> list[Transmit]:
        """Let time pass, timer by timer, or with one late poll at the end; what was sent.

        Each core is asked when it says so itself. It may be woken for nothing, but not say something that the
        other says earlier, later or never.
        """
        end = after_ms(self.now, duration_ms)
        transmits = []
        for _ in range(MAX_POLLS):
            at = earliest(self._twin.next_timeout(), self._native.next_timeout())
            if at is None or at > end:
                self.now = end
                break
            self.now = end if late else max(self.now, at)
            transmits += self._feed(1, "poll", self._poll_if_due)
            for core in (self._twin, self._native):
                after = core.next_timeout()
                if after is not None and after <= self.now:
                    raise self._divergence(f"{type(core).__name__} leaves something undone", self.now, after)
        return transmits

    def oversleep(self, duration_ms: float) -> None:
        """Let time pass without a poll: the host was busy."""
        self.now = after_ms(self.now, duration_ms)

    def settle(self) -> None:
        """Compare all that is asked for: counters, what came up, and feedback."""
        self._same("has_output", self._twin.has_output, self._native.has_output)
        batches = [core.drain() for core in (self._twin, self._native)]
        self._same("datagrams", *(self._in_order(batch.datagrams) for batch in batches))
        self._same("events", *(self._in_order(batch.events) for batch in batches))
        self._same("responses", *(self._in_order(batch.responses) for batch in batches))
        rows = [core.feedback().tolist() for core in (self._twin, self._native)]
        self._same("feedback", *map(self._in_order, rows))
        one, other = self._twin.stats(self.now), self._native.stats(self.now)
        left_out = () if self._are_split_alike else ("packets_sent", "bytes_sent")
        for name, row, twin_row in _rows(one, other, left_out):
            self._same(name, row, twin_row)
        self._same("drops", *(self._drops(stats) for stats in (one, other)))

    def _drops(self, stats: PlaneStats) -> dict[str, int]:
        """Packets dropped, by reason; of several workers those that routes refuse in sum.

        What no route of a worker takes does not cross to it, whyever they do not take it.
        """
        counts: Counter[str] = Counter()
        for reason, count in stats.drops.items():
            counts["refused" if self.is_apart and reason in REFUSALS else reason.value] += count
        return {reason: count for reason, count in sorted(counts.items()) if count}

    def _in_order(self, told: Iterable[object]) -> list[object]:
        """What came up; from several workers in no order."""
        return sorted(told, key=repr) if self.is_apart else list(told)

    def _feed(
        self, inputs: int, told: str, call: Callable[[Core], Sequence[Transmit] | None]
    ) -> list[Transmit]:
        self.inputs += inputs
        if told == "poll" and self._log and self._log[-1].endswith(" poll"):
            self._log.pop()
        self._log.append(f"{(self.now - START) / 10**6:.6f} {told}")
        one, other = self._outcome(call, self._twin), self._outcome(call, self._native)
        if one != other:
            self._same_sent(one, other)
        if isinstance(one, str):
            return []
        self.sent += len(one)
        return one

    def _outcome(self, call: Callable[[Core], Sequence[Transmit] | None], core: Core) -> list[Transmit] | str:
        """What a core sends, and what it sends at once when it is polled, as a shell does."""
        try:
            return [*(call(core) or ()), *self._poll_if_due(core)]
        except LocalError:
            return "LocalError"
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic of the native plane is none of Exception
            raise self._divergence(f"{type(core).__name__} raised", error, "nothing") from error

    def _poll_if_due(self, core: Core) -> list[Transmit]:
        at = core.next_timeout()
        return core.poll(self.now) if at is not None and at <= self.now else []

    def _same_sent(self, one: list[Transmit] | str, other: list[Transmit] | str) -> None:
        """Compare what was sent to each address, in order, after decryption."""
        if isinstance(one, str) or isinstance(other, str):
            self._same("what was refused", one, other)
            return
        for address in {sent.address for sent in one + other}:
            said, native_said = (
                [self._open(index, sent) for sent in all_sent if sent.address == address]
                for index, all_sent in enumerate((one, other))
            )
            if self.is_apart:
                # Compounds are split as questions come from one worker to the other; of those that are
                # encrypted for nobody there is no telling what they say.
                self._are_split_alike &= len(said) == len(native_said)
                said, native_said = map(_readable, (said, native_said))
            if said != native_said:
                self._are_split_alike = False
                said, native_said = _parted(said), _parted(native_said)
            self._same(f"what is sent to {address}", said, native_said)

    def _open(self, index: int, sent: Transmit) -> object:
        reader, protocol = self.readers.get(sent.address), protocol_of(sent.data)
        if protocol not in {WireProtocol.RTP, WireProtocol.RTCP} or not self.is_encrypted:
            return sent.data
        if reader is None:
            return None, sent.data
        if protocol is WireProtocol.RTP:
            plain = reader[index].unprotect(sent.data)
        else:
            plain = reader[index].unprotect_rtcp(sent.data)
        return plain if isinstance(plain, bytes) else (plain, sent.data)

    def _same(self, what: str, one: object, other: object) -> None:
        if one != other:
            raise self._divergence(what, one, other)

    def _divergence(self, what: str, one: object, other: object) -> Divergence:
        if isinstance(one, list) and isinstance(other, list):
            count = f"{len(one)} and {len(other)}"
            at = next(
                (i for i, (x, y) in enumerate(zip(one, other, strict=False)) if x != y),
                min(len(one), len(other)),
            )
            one, other, what = one[at : at + 3], other[at : at + 3], f"{what} ({count}), entry {at}"
        log = "\n".join(self._log)
        return Divergence(f"{log}\n\n{what}\n  twin:   {_told_of(one)}\n  native: {_told_of(other)}")


def _readable(said: list[object]) -> list[object]:
    return [one for one in said if isinstance(one, bytes)]


def _parted(said: list[object]) -> list[object]:
    """RTP in order, then the packets of all compounds, in no order."""
    is_rtcp = [isinstance(one, bytes) and protocol_of(one) is WireProtocol.RTCP for one in said]
    compounds = [one for one, is_one in zip(said, is_rtcp, strict=True) if is_one]
    packets = [repr(packet) for one in compounds for packet in parse_compound(one)]  # type: ignore[arg-type]
    return [*(one for one, is_one in zip(said, is_rtcp, strict=True) if not is_one), *sorted(packets)]


def _rows(
    one: PlaneStats, other: PlaneStats, left_out: tuple[str, ...]
) -> list[tuple[str, list[Any], list[Any]]]:
    tables = []
    for name in ("transports", "encodings", "routes"):
        rows, twin_rows = getattr(one, name), getattr(other, name)
        keys = rows.dtype.names[:2]
        omitted = left_out if name == "transports" else ()
        tables.append((name, _told_rows(rows, keys, omitted), _told_rows(twin_rows, keys, omitted)))
    return tables


def _told_rows(rows: StructArray, keys: tuple[str, ...], left_out: tuple[str, ...]) -> list[dict[str, str]]:
    """Rows by their ids; numbers as text, in which one NaN is like another."""
    names = rows.dtype.names or ()
    ordered = sorted(rows.tolist(), key=lambda row: row[: len(keys)])
    return [
        {key: repr(one) for key, one in zip(names, row, strict=True) if key not in left_out}
        for row in ordered
    ]


def _told(data: bytes) -> str:
    return data.hex() if len(data) < 120 else f"{data[:60].hex()}… ({len(data)} bytes)"


def _told_of(said: object) -> str:
    if isinstance(said, bytes):
        return _parsed(said)
    if isinstance(said, list):
        return "[" + "\n           ".join(map(_told_of, said)) + "]"
    return repr(said)


def _parsed(data: bytes) -> str:
    try:
        if protocol_of(data) is WireProtocol.RTCP:
            return f"{parse_compound(data)} {data.hex()}"
        if protocol_of(data) is WireProtocol.RTP:
            return f"{RtpPacket.parse(data)} {_told(data)}"
    except ParseError:
        pass
    return _told(data)
