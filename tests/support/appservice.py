"""A homeserver that has a focus for an application service."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from loadtest.homeserver.install import install
from loadtest.homeserver.server import Homeserver, ensure_template, free_port
from loadtest.homeserver.users import User

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FOCUS_NAME: Final = "focus"


@dataclass(frozen=True, slots=True)
class Registered:
    """A homeserver, and what the focus must be told to be its application service."""

    homeserver: Homeserver
    file: Path
    """The registration."""
    port: int
    """Where the homeserver looks for the focus."""

    @property
    def user_id(self) -> str:
        """The focus's."""
        return f"@{FOCUS_NAME}:{self.homeserver.server_name}"

    def focus_user(self, device_id: str) -> User:
        """The focus as others address it; nobody can act as it so."""
        return User(self.user_id, "", "", device_id, self.homeserver.base_url)


@contextlib.contextmanager
def registered_homeserver(folder: Path, register: Callable[[Registered], None]) -> Iterator[Registered]:
    """A Synapse that has loaded what `register` writes."""
    install()
    ensure_template()
    file = folder / "registration.yaml"
    server = Homeserver(extra_settings={"app_service_config_files": [str(file)]})
    registered = Registered(server, file, free_port())
    try:
        register(registered)
        server.start()
        server.wait_ready()
        yield registered
    finally:
        server.stop()
