"""Throw-away Synapse processes on loopback, with SQLite in a temporary folder.

With more than one they federate with each other over TLS on loopback: a server's name is localhost:PORT,
with PORT its own TLS port, so that no DNS, no .well-known and no /etc/hosts entry takes part.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from loadtest.homeserver.install import HomeserverError, database_template, install, locked
from loadtest.homeserver.settings import log_settings, synapse_settings
from loadtest.homeserver.users import User, login, register, request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

START_TIMEOUT_S: Final = 120.0
STOP_TIMEOUT_S: Final = 15.0
_READY_POLL_S: Final = 0.1

# Ends Synapse when the pipe on stdin closes, that is when the process that started it is gone, however
# it went.
_RUN_SYNAPSE: Final = """
import os, runpy, signal, threading
def watch():
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=watch, daemon=True).start()
runpy.run_module("synapse.app.homeserver", run_name="__main__", alter_sys=True)
"""

_MAKE_CERTIFICATE: Final = """
import datetime, ipaddress, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
key = ec.generate_private_key(ec.SECP256R1())
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
now = datetime.datetime.now(datetime.timezone.utc)
names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
cert = (
    x509.CertificateBuilder().subject_name(name).issuer_name(name)
    .public_key(key.public_key()).serial_number(x509.random_serial_number())
    .not_valid_before(now - datetime.timedelta(days=1))
    .not_valid_after(now + datetime.timedelta(days=30))
    .add_extension(x509.SubjectAlternativeName(names), critical=False)
    .sign(key, hashes.SHA256())
)
open(sys.argv[1], "wb").write(cert.public_bytes(serialization.Encoding.PEM))
open(sys.argv[2], "wb").write(key.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
"""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Homeserver:
    """One Synapse process."""

    def __init__(
        self, *, extra_settings: Mapping[str, Any] | None = None, port: int = 0, log_level: str = "WARNING"
    ) -> None:
        self.port = port or free_port()
        self.federation_port = free_port()
        self.server_name = f"localhost:{self.federation_port}"
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.registration_shared_secret = secrets.token_hex(16)
        self.users: dict[str, User] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="homeserver-"))
        self._extra_settings = dict(extra_settings or {})
        self._log_level = log_level
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process; `wait_ready` says when it answers.

        Raises:
            HomeserverError: Synapse could not be installed.
        """
        python = install()
        self._write_settings(python)
        database = self.folder / "homeserver.db"
        template = database_template()
        if not database.exists() and template.exists():
            shutil.copyfile(template, database)
        proxies = {"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"}
        environment = {name: value for name, value in os.environ.items() if name not in proxies}
        environment["PYTHONUNBUFFERED"] = "1"
        environment.setdefault("SYNAPSE_CACHE_FACTOR", "0.5")
        with (self.folder / "stdout.log").open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603  # a fixed command line
                [str(python), "-c", _RUN_SYNAPSE, "-c", str(self.folder / "homeserver.yaml")],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                env=environment,
                start_new_session=True,
            )

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until the process answers requests.

        Raises:
            HomeserverError: it ended, or did not answer in time.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            status = None if self._process is None else self._process.poll()
            if self._process is None or status is not None:
                raise HomeserverError(f"Synapse ended with status {status}:\n{self.log_tail()}")
            try:
                request("GET", f"{self.base_url}/_matrix/client/versions", timeout_s=5.0)
            except (OSError, HomeserverError):
                if time.monotonic() > deadline:
                    raise HomeserverError(f"Synapse did not start in time:\n{self.log_tail()}") from None
                time.sleep(_READY_POLL_S)
            else:
                return

    def log_tail(self, lines: int = 30) -> str:
        """The end of the process's logs."""
        text = ""
        for name in ("stdout.log", "homeserver.log"):
            with contextlib.suppress(OSError):
                content = (self.folder / name).read_text(errors="replace")
                text += "\n".join(content.splitlines()[-lines:]) + "\n"
        return text

    def register(self, name: str) -> User:
        """Register a user of this server.

        Raises:
            MatrixError: the homeserver refused.
        """
        user = register(self.base_url, name, f"{name}-{secrets.token_hex(4)}")
        self.users[name] = user
        return user

    def login(self, name: str, device_id: str | None = None) -> User:
        """Another device of a user registered before.

        Raises:
            MatrixError: the homeserver refused.
        """
        return login(self.users[name], device_id)

    def pause(self) -> None:
        """Stop answering without closing anything, as a hung server would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        """Ask the process to end, without waiting for it."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()

    def kill(self) -> None:
        """End the process but keep its data, for a `start` later."""
        if self._process is None:
            return
        self.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None

    def stop(self) -> None:
        """End the process and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write_settings(self, python: Path) -> None:
        folder = self.folder
        settings = synapse_settings(
            folder,
            port=self.port,
            federation_port=self.federation_port,
            shared_secret=self.registration_shared_secret,
            extra=self._extra_settings,
        )
        if not (folder / "homeserver.yaml").exists():
            (folder / "homeserver.yaml").write_text(json.dumps(settings, indent=1))
            (folder / "log.json").write_text(json.dumps(log_settings(folder, self._log_level)))
            seed = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
            (folder / "signing.key").write_text(f"ed25519 a_{secrets.token_hex(3)} {seed}\n")
            certificate = [str(folder / "tls.crt"), str(folder / "tls.key")]
            subprocess.run(  # noqa: S603  # a fixed command line
                [str(python), "-c", _MAKE_CERTIFICATE, *certificate], check=True
            )


@contextlib.contextmanager
def homeservers(users: Sequence[Sequence[str]] = ((),), **options: Any) -> Iterator[list[Homeserver]]:  # noqa: ANN401  # passed on to Homeserver
    """Run one server for each entry of `users`, with those users registered on it.

    Raises:
        HomeserverError: a server could not be installed or started.
    """
    install()
    ensure_template()
    running: list[Homeserver] = []
    try:
        for _ in users:
            server = Homeserver(**options)
            running.append(server)
            server.start()
        for server, names in zip(running, users, strict=True):
            server.wait_ready()
            for name in names:
                server.register(name)
        yield running
    finally:
        for server in running:
            server.terminate()
        for server in running:
            server.stop()


def ensure_template() -> None:
    """Keep an empty database with the whole schema: later starts are faster."""
    template = database_template()
    if template.exists():
        return
    with locked("template"):
        if template.exists():
            return
        server = Homeserver()
        try:
            server.start()
            server.wait_ready()
            server.kill()
            part = template.with_suffix(".part")
            # SQLite itself folds the write-ahead log in.
            with (
                contextlib.closing(sqlite3.connect(server.folder / "homeserver.db")) as source,
                contextlib.closing(sqlite3.connect(part)) as target,
            ):
                source.backup(target)
            part.replace(template)
        finally:
            server.stop()
