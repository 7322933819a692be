"""One focus process from its first socket to its last message."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import random
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from sfu.conference.conference import LocalMedia
from sfu.conference.ids import IdSource
from sfu.errors import ConfigError
from sfu.metrics import Metrics
from sfu.runtime.addresses import candidates_of
from sfu.runtime.clocks import monotonic_clock, wall_clock
from sfu.runtime.media_recording import MediaRecordings
from sfu.runtime.planes import choose_plane
from sfu.runtime.policies import choose_policy, state_of
from sfu.runtime.runtime import Runtime
from sfu.transport.certificate import Certificate
from signalling.config import APPSERVICE
from signalling.focus.focus import Focus
from signalling.focus.turn import FocusInput, LegsRestored, ShuttingDown
from signalling.matrix.account import OrdinaryAccount
from signalling.matrix.appservice_account import AppserviceAccount
from signalling.matrix.appservice_source import AppserviceSource
from signalling.matrix.encryption import Encryption
from signalling.matrix.member_source import MemberSource
from signalling.matrix.olm import OlmMachine
from signalling.matrix.outbox import Outbox
from signalling.matrix.performer import MatrixPerformer
from signalling.matrix.refusals import Refusals
from signalling.matrix.registration import read_registration
from signalling.matrix.session import MatrixSession
from signalling.matrix.source import SourceParts
from signalling.status import Status, Working
from signalling.store import open_store
from signalling.trace.recordings import Recordings
from signalling.trace.traced import Traced
from signalling.web.drain import DrainRoute
from signalling.web.media import MediaRoute
from signalling.web.paths import DRAIN, MEDIA, TRACE
from signalling.web.private import PrivateListener
from signalling.web.public import PublicListener
from signalling.web.trace import TraceRoute

if TYPE_CHECKING:
    from collections.abc import Callable

    from sfu.allocation.problem import Policy
    from sfu.config import AllocationConfig, MediaConfig
    from sfu.plane import Plane
    from sfu.runtime.planes import Choice, RunningPlane
    from sfu.runtime.policies import Guarded
    from signalling.config import Config, Secrets
    from signalling.matrix.account import Account
    from signalling.matrix.registration import Registration
    from signalling.matrix.source import Source
    from signalling.store import Store

LAST_TURN_S: Final = 1.0
"""How long the engine has for hanging everybody up at the end."""
FLUSH_S: Final = 2.0
"""How long the homeserver has for taking these messages. Lower: clients find out by themselves, after 40 s.
Higher: a restart takes longer while the homeserver is away; what was not sent is sent by the next process."""

WELL_KNOWN: Final = "org.matrix_focus.foci"

_log = structlog.get_logger()


class _Stopped(Exception):  # noqa: N818  # no error: it ends a task group from inside
    """The process was asked to end, and has done what is to be done then."""


class Service:
    """The composition root: makes every part, hands it what it needs, and ends all of them together.

    Args:
        config: all of it.
        secrets: of the account.
        announce: takes the .well-known fragment by which clients find this focus.
    """

    def __init__(self, config: Config, secrets: Secrets, announce: Callable[[str], None]) -> None:
        self._config = config
        self._secrets = secrets
        self._announce = announce
        self._metrics = Metrics()
        self._certificate = Certificate.generate()
        self._policy = _policy(config.allocation)
        self._registration = _registration(config)
        self._recordings = Recordings(config, version("matrix-focus"), self._metrics.failures)
        policy = Path(config.allocation.policy).name
        self._media = MediaRecordings(version("matrix-focus"), policy, self._metrics.failures)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set.

        Raises:
            ConfigError: the operator must change something.
        """
        config = self._config
        async with contextlib.AsyncExitStack() as stack:
            store = stack.enter_context(open_store(Path(config.data_dir)))
            choice = choose_plane(config.media.plane)
            plane = self._open_plane(choice)
            stack.callback(plane.close)
            workers = _workers(self._certificate, config.media, plane)
            session = MatrixSession(config.matrix, self._make_account(store))
            stack.push_async_callback(session.close)
            status = Status(
                plane,
                lambda: plane.failures,
                config.allocation.policy,
                lambda: state_of(self._policy),
                workers,
                session,
                self._metrics,
                clock=monotonic_clock,
                started_at=monotonic_clock(),
            )
            await self._listen(status, stack)
            _log.info("focus_started", plane=plane.name, ports=plane.ports, tcp_port=plane.tcp_port)
            if choice.warning:
                _log.warning("reference_plane", text=choice.warning)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._work(status, store, tasks))
                    await stop.wait()
                    await self._say_goodbye(status.working)
                    self._recordings.close()
                    self._media.close()
                    raise _Stopped
            except* _Stopped:
                _log.info("focus_stopped")

    async def _work(self, status: Status, store: Store, tasks: asyncio.TaskGroup) -> None:
        """Log in, make the parts that need an account, and follow the homeserver."""
        config, session, metrics = self._config, status.session, self._metrics
        await session.open()
        encryption = Encryption(session, OlmMachine(store, session.user_id, session.device_id))
        outbox = Outbox(session, encryption, metrics, tasks)
        focus = Focus(
            (session.user_id, session.device_id),
            status.workers,
            config.calls,
            config.sfu,
            random.SystemRandom(),
            IdSource(),
            config.caps,
            config.cascade,
        )
        traced = Traced(focus)
        self._recordings.attach(traced, focus.surroundings, (session.user_id, session.device_id))
        runtime = Runtime(
            traced,
            status.plane,
            self._certificate,
            config.sfu,
            metrics,
            MatrixPerformer(outbox, store, metrics).perform,
            policy=self._policy,
        )
        self._media.attach(runtime.control)

        async def hand_on(given: FocusInput) -> None:
            # Back-pressure: while the engine is behind, the homeserver keeps what it has for us.
            await runtime.ready()
            while not runtime.submit(given):
                await runtime.ready()

        refusals = Refusals(metrics, status.clock)
        source = self._make_source(
            focus, SourceParts(session, store, encryption, hand_on, refusals, metrics, tasks)
        )
        status.working = Working(focus, runtime, outbox, source)
        tasks.create_task(runtime.run())
        await hand_on(LegsRestored(tuple(store.legs())))
        self._announce(well_known(status.foci()))
        await encryption.publish()
        await source.run()

    def _make_account(self, store: Store) -> Account:
        matrix = self._config.matrix
        if self._registration is None:
            return OrdinaryAccount(matrix, self._secrets, store)
        return AppserviceAccount(matrix, self._registration)

    def _make_source(self, focus: Focus, given: SourceParts) -> Source:
        matrix = self._config.matrix
        if self._registration is None:
            return MemberSource(matrix, given)
        return AppserviceSource(
            matrix,
            self._config.appservice,
            self._registration,
            given,
            knows_call=focus.has_call_of,
            clock=monotonic_clock,
            wall_clock=wall_clock,
        )

    async def _say_goodbye(self, working: Working | None) -> None:
        if working is None:
            return
        _log.info("focus_stopping", legs=working.focus.snapshot()["counts"]["participants"])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_TURN_S):
                await working.runtime.ready()
                working.runtime.submit(ShuttingDown())
                await working.runtime.idle()
        await working.outbox.flush(FLUSH_S)

    def _open_plane(self, choice: Choice) -> RunningPlane:
        media = self._config.media
        try:
            return choice.open(media)
        except OSError as error:
            raise ConfigError(
                f"media.host = {media.host}, {_media_ports(media)}: {error.strerror or error}"
            ) from error

    async def _listen(self, status: Status, stack: contextlib.AsyncExitStack) -> None:
        await self._listen_in_private(status, stack)
        web = self._config.web
        if not web.enabled:
            return
        homeserver_url = web.homeserver_url or self._config.matrix.homeserver_url
        listener = PublicListener(web, homeserver_url, status)
        stack.push_async_callback(listener.close)
        try:
            await listener.start()
        except OSError as error:
            raise ConfigError(
                f"web.host = {web.host}, web.port = {web.port} (TCP): {error.strerror or error}"
            ) from error
        _log.info("public_listener", host=web.host, port=listener.port)

    async def _listen_in_private(self, status: Status, stack: contextlib.AsyncExitStack) -> None:
        admin = self._config.admin
        listener = PrivateListener(
            admin,
            self._metrics.registry,
            status,
            {TRACE: TraceRoute(self._recordings).handle, MEDIA: MediaRoute(self._media).handle},
            {DRAIN: DrainRoute(status.tell, status.status).handle},
        )
        stack.push_async_callback(listener.close)
        try:
            await listener.start()
        except OSError as error:
            raise ConfigError(
                f"admin.host = {admin.host}, admin.port = {admin.port} (TCP): {error.strerror or error}"
            ) from error
        _log.info("private_listener", host=admin.host, port=listener.port)
        if not _is_loopback(admin.host):
            _log.warning(
                "private_listener_is_open",
                host=admin.host,
                text="it has no authentication: whoever reaches it sees who is in which call",
            )


def well_known(foci: list[dict[str, Any]]) -> str:
    """What `.well-known/matrix/client` must hold for clients to find this focus (protocol: section 3.3)."""
    return json.dumps({WELL_KNOWN: foci}, indent=2)


def _workers(certificate: Certificate, media: MediaConfig, plane: Plane) -> tuple[LocalMedia, ...]:
    """What is told of each worker of a plane."""
    return tuple(
        LocalMedia(certificate.fingerprint, candidates_of(media, port, plane.tcp_port), worker)
        for worker, port in enumerate(plane.ports)
    )


def _policy(allocation: AllocationConfig) -> Policy | Guarded:
    try:
        return choose_policy(allocation.policy, monotonic_clock)
    except ConfigError as error:
        raise ConfigError(f"allocation.{error}") from error


def _registration(config: Config) -> Registration | None:
    """The registration of appservice mode; None in member mode."""
    matrix = config.matrix
    if matrix.mode != APPSERVICE:
        return None
    if not matrix.user_id:
        raise ConfigError("matrix.user_id: must be set, such as @focus:example.org")
    return read_registration(Path(config.appservice.registration), matrix.user_id)


def _media_ports(media: MediaConfig) -> str:
    """The keys of the ports that media needs."""
    match media.wanted_tcp_port:
        case None:
            return f"media.port = {media.port} (UDP)"
        case media.port:
            return f"media.port = {media.port} (UDP and TCP)"
        case tcp_port:
            return f"media.port = {media.port} (UDP), media.tcp_port = {tcp_port} (TCP)"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
