"""A leg's transport and a client's (aiortc's own DTLS and SCTP), joined by a wire in memory."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiortc import RTCCertificate, RTCDataChannel, RTCDataChannelParameters, RTCSctpTransport
from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport
from aiortc.rtcsctptransport import RTCSctpCapabilities
from OpenSSL import SSL

from sfu.config import LimitsConfig
from sfu.metrics import Metrics
from sfu.negotiation.parameters import Fingerprint
from sfu.plane import InstallSrtp, SendDatagram
from sfu.runtime.clocks import monotonic_clock
from sfu.transport.certificate import Certificate
from sfu.transport.handshakes import HandshakeSlots
from sfu.transport.leg_transport import LegTransport
from sfu.units import Instant, TransportId

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from sfu.plane import PlaneOperation

LEG: Final = TransportId(1)
DATA_PORT: Final = 5000


def lose_nothing(direction: str, data: bytes) -> bool:
    return False


class ClientIce:
    """What aiortc's DTLS wants of ICE: a wire."""

    role = "controlling"

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._give = send
        self.inbox: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def _recv(self) -> bytes:
        data = await self.inbox.get()
        if data is None:
            raise ConnectionError
        return data

    async def _send(self, data: bytes) -> None:
        self._give(data)


@dataclass
class Wire:
    """Both ends. What a test asks about is in the lists."""

    loses: Callable[[str, bytes], bool] = lose_nothing
    """Whether a datagram is lost, by its direction: `up` to the leg, `down` to the client."""
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    client_certificate: RTCCertificate = field(default_factory=RTCCertificate.generateCertificate)
    certificate: Certificate = field(default_factory=Certificate.generate)
    clock: Callable[[], Instant] = monotonic_clock
    slots: HandshakeSlots = field(default_factory=lambda: HandshakeSlots(4))
    told: list[Any] = field(default_factory=list)
    """What the engine would be told, in order."""
    happened: list[Any] = field(default_factory=list)
    """The same, and what the plane was told but datagrams."""
    keys: list[InstallSrtp] = field(default_factory=list)
    down: list[bytes] = field(default_factory=list)
    up: list[bytes] = field(default_factory=list)
    """Datagrams that were sent, lost ones too."""

    def __post_init__(self) -> None:
        self.metrics = Metrics()
        self.leg = LegTransport(
            LEG,
            self.certificate,
            self.limits,
            clock=self.clock,
            emit=self._told,
            program=self._program,
            slots=self.slots,
            metrics=self.metrics,
        )
        self.ice = ClientIce(self._send_up)
        self.dtls = RTCDtlsTransport(self.ice, [self.client_certificate])  # type: ignore[arg-type]  # all that it uses
        self.dtls._set_role("client")
        self.sctp = RTCSctpTransport(self.dtls)
        self._heard = asyncio.Event()

    def _told(self, given: object) -> None:
        self.told.append(given)
        self.happened.append(given)
        self._heard.set()

    def _program(self, operation: PlaneOperation) -> None:
        if isinstance(operation, InstallSrtp):
            self.keys.append(operation)
            self.happened.append(operation)
        elif isinstance(operation, SendDatagram):
            self.down.append(operation.data)
            if not self.loses("down", operation.data):
                self.ice.inbox.put_nowait(operation.data)

    def _send_up(self, data: bytes) -> None:
        self.up.append(data)
        if not self.loses("up", data):
            self.leg.feed(data)

    @property
    def client_fingerprints(self) -> list[Fingerprint]:
        return [Fingerprint(f.algorithm, f.value) for f in self.client_certificate.getFingerprints()]

    def of(self, kind: type) -> list[Any]:
        """What was told of one kind."""
        return [one for one in self.told if isinstance(one, kind)]

    async def hears(self, kind: type, count: int = 1) -> Any:  # noqa: ANN401  # of that kind
        """Wait until that was told `count` times; return the last one."""
        while len(self.of(kind)) < count:
            self._heard.clear()
            await self._heard.wait()
        return self.of(kind)[count - 1]

    def counted(self, name: str, **labels: str) -> float:
        """The value of a metric."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    async def connect_client(self) -> None:
        """The client's part of the handshake."""
        ours = self.certificate.fingerprint
        await self.dtls.start(
            RTCDtlsParameters([RTCDtlsFingerprint(ours.algorithm, ours.value)], role="server")
        )

    async def start_sctp(self) -> None:
        """Begin the client's association."""
        await self.sctp.start(RTCSctpCapabilities(maxMessageSize=0), DATA_PORT)

    async def open_channel(self, label: str = "datachannel") -> ClientChannel:
        """Open a channel as clients do, and wait until it is open at both ends."""
        channel = ClientChannel(RTCDataChannel(self.sctp, RTCDataChannelParameters(label=label)))
        await channel.open.wait()
        return channel

    async def close_client(self) -> None:
        """Leave, where that has not happened, and let the pump of aiortc end."""
        with contextlib.suppress(SSL.Error):  # the leg had shut down before
            await self.sctp.stop()
        pump = self.dtls._task
        self.ice.inbox.put_nowait(None)
        if pump is not None:
            await pump
        await self.dtls.stop()


class ClientChannel:
    """A channel at the client's end."""

    def __init__(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        self.open = asyncio.Event()
        self.closed = asyncio.Event()
        self.received: asyncio.Queue[str | bytes] = asyncio.Queue()
        channel.on("open", self.open.set)
        channel.on("close", self.closed.set)
        channel.on("message", self.received.put_nowait)

    def send(self, data: str | bytes) -> None:
        self._channel.send(data)

    def close(self) -> None:
        self._channel.close()

    @property
    def stream(self) -> int:
        assert self._channel.id is not None
        return self._channel.id


@contextlib.asynccontextmanager
async def running(wire: Wire, fingerprints: Sequence[Fingerprint] | None = None) -> AsyncIterator[Wire]:
    """While inside, the leg runs; afterwards both ends are gone."""
    async with asyncio.TaskGroup() as group:
        expected = wire.client_fingerprints if fingerprints is None else fingerprints
        task = group.create_task(wire.leg.run(expected, DATA_PORT))
        try:
            yield wire
        finally:
            wire.leg.close()
            task.cancel()
            await wire.close_client()


@contextlib.asynccontextmanager
async def joined(wire: Wire) -> AsyncIterator[ClientChannel]:
    """While inside, there is a connection with an open channel."""
    async with running(wire):
        await wire.connect_client()
        await wire.start_sctp()
        yield await wire.open_channel()
