"""The registration file of an application service: written for the homeserver, read by the focus too.

The homeserver wants YAML. It gets JSON below a few lines of comment, which is YAML, and which both ends can
read.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import structlog

from sfu.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

TOKEN_BYTES: Final = 32

_HEADER: Final = """\
# The registration of {user_id} as an application service of its homeserver.
# Secret: whoever has these tokens can act as any user of that homeserver, and can tell the focus who is in
# which call. List this file under app_service_config_files in homeserver.yaml and restart the homeserver.
# Below this comment is JSON, which is YAML: keep it so.
"""
_KEY: Final = "appservice.registration"
_STRINGS: Final = ("id", "url", "as_token", "hs_token", "sender_localpart")
_SENDER_CHARACTERS: Final = re.compile(r"[^a-z0-9._-]")

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Registration:
    """What homeserver and focus know of each other."""

    id: str
    url: str
    """Where the homeserver reaches the focus."""
    as_token: str = field(repr=False)
    """Opens the homeserver to the focus."""
    hs_token: str = field(repr=False)
    """Opens the focus to the homeserver."""
    sender_localpart: str
    user_namespaces: tuple[tuple[str, bool], ...]
    """Users of interest: regular expressions, and whether nobody else may register such a user."""

    def content(self) -> dict[str, Any]:
        """As the homeserver reads it.

        To-device messages are not asked for: a Synapse forgets those that come while the focus is away, and
        would hand over everybody's. The focus has them from `/sync`, in the name of its own user. That user
        is not the sender, whom Synapse lets do everything but that.
        """
        users = [{"exclusive": exclusive, "regex": regex} for regex, exclusive in self.user_namespaces]
        return {
            "id": self.id,
            "url": self.url,
            "as_token": self.as_token,
            "hs_token": self.hs_token,
            "sender_localpart": self.sender_localpart,
            "namespaces": {"users": users, "aliases": [], "rooms": []},
            "rate_limited": False,
            "receive_ephemeral": False,
            "io.element.msc4190": True,
        }

    def includes(self, user_id: str) -> bool:
        """Whether a user is one of interest."""
        return any(re.match(regex, user_id) for regex, _ in self.user_namespaces)


def new_registration(user_id: str, url: str) -> Registration:
    """A registration with new tokens.

    Args:
        user_id: the focus's own user; every user of its server is of interest.
        url: where the homeserver reaches the focus.
    """
    localpart, _, server = user_id.removeprefix("@").partition(":")
    name = _SENDER_CHARACTERS.sub("", localpart) or "focus"
    return Registration(
        id=f"matrix_focus.{name}",
        url=url,
        as_token=secrets.token_urlsafe(TOKEN_BYTES),
        hs_token=secrets.token_urlsafe(TOKEN_BYTES),
        sender_localpart=f"{name}-appservice",
        # The first that fits counts.
        user_namespaces=((f"^{re.escape(user_id)}$", True), (f"^@.*:{re.escape(server)}$", False)),
    )


def write_registration(path: Path, registration: Registration, user_id: str, *, overwrite: bool) -> None:
    """Write a registration so that nobody else can read it.

    Raises:
        ConfigError: it can't be written, or something is there already.
    """
    text = _HEADER.format(user_id=user_id) + json.dumps(registration.content(), indent=2) + "\n"
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if overwrite else os.O_EXCL)
    try:
        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(text)
    except FileExistsError as error:
        raise ConfigError(
            f"{path}: there is one already; --force replaces it, and its tokens are good no more"
        ) from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error


def read_registration(path: Path, user_id: str) -> Registration:
    """Read the registration of a user's focus.

    Raises:
        ConfigError: it can't be read, is none, or is somebody else's.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"{_KEY} = {str(path)!r}: {reason}; `focus registration` writes it") from error
    if mode & 0o007:
        _log.warning("registration_is_open", file=str(path), action=f"chmod o= {path}")
    try:
        source = json.loads("\n".join(line for line in lines if not line.startswith("#")))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{_KEY} = {str(path)!r}: must be JSON below its comment: {error}") from error
    registration = _parsed(path, source)
    if not registration.includes(user_id):
        raise ConfigError(
            f"{_KEY} = {str(path)!r}: is not for matrix.user_id = {user_id}; "
            "`focus registration` writes one that is"
        )
    return registration


def _parsed(path: Path, source: object) -> Registration:
    def wrong(what: str) -> ConfigError:
        return ConfigError(f"{_KEY} = {str(path)!r}: {what}")

    if not isinstance(source, dict):
        raise wrong("must be a JSON object")
    for name in _STRINGS:
        if not (isinstance(source.get(name), str) and source[name]):
            raise wrong(f"{name} must be a string")
    namespaces = source.get("namespaces")
    users = namespaces.get("users") if isinstance(namespaces, dict) else None
    if not isinstance(users, list):
        raise wrong("namespaces.users must be an array")
    found = []
    for user in users:
        regex = user.get("regex") if isinstance(user, dict) else None
        if not isinstance(regex, str):
            raise wrong("namespaces.users: each must have a regex")
        try:
            re.compile(regex)
        except re.error as error:
            raise wrong(f"namespaces.users: {regex!r} is no regular expression: {error}") from error
        found.append((regex, user.get("exclusive") is True))
    return Registration(**{name: source[name] for name in _STRINGS}, user_namespaces=tuple(found))
