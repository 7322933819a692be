"""A network of one's own: loopback with an address that is no loopback address, and no way out.

Firefox offers no 127.x address to peers, whatever its preferences say; and what must not leave the machine
can't leave it from here.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ADDRESS: Final = "10.99.0.1"
_SET_UP: Final = (
    "ip link set lo up",
    f"ip address add {ADDRESS}/32 dev lo",
    # Browsers look for the address that leads to the world.
    "ip route add default dev lo",
    'exec "$@"',
)
_SYSTEM_FOLDERS: Final = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where `ip` is; not in everybody's PATH."""


class NoNamespaceError(Exception):
    """This machine gives us no network namespace; the text says what would help."""


def inside(command: Sequence[str]) -> list[str]:
    """The command that runs another one in a network namespace of its own; as root there, whoever we are.

    Its process is the command's: it execs all the way.

    Raises:
        NoNamespaceError: there is no such thing here.
    """
    return [*_prefix(), *command]


@contextlib.contextmanager
def blocked(protocol: str, port: int) -> Iterator[None]:
    """Inside such a network: nothing of this protocol reaches a port, as behind a strict firewall.

    By a rule of routing, since not every machine has packet filters: senders are told that there is no way.
    """
    rules = (
        # Ours comes before what is local, which is looked up first of all otherwise.
        "add pref 2 lookup local",
        "delete pref 0 lookup local",
        f"add pref 1 ipproto {protocol} dport {port} unreachable",
    )
    for rule in rules:
        _rule(rule)
    try:
        yield
    finally:
        for rule in reversed(rules):
            action, _, rest = rule.partition(" ")
            _rule(f"{'delete' if action == 'add' else 'add'} {rest}")


def environment() -> dict[str, str]:
    """What `inside` needs beside our own environment."""
    return {"PATH": f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM_FOLDERS}"}


@functools.cache
def _prefix() -> tuple[str, ...]:
    script = " && ".join(_SET_UP)
    tried = []
    # Root needs no user namespace, and containers often allow none.
    for options in ("-n", "-rn"):
        prefix = ("unshare", options, "sh", "-c", script, "sh")
        said = _try((*prefix, "true"))
        if said is None:
            return prefix
        tried.append(f"{shlex.join(prefix[:2])}: {said}")
    raise NoNamespaceError(
        "no network namespace (root, or user namespaces for everybody, and iproute2 are needed): "
        + "; ".join(tried)
    )


def _rule(words: str) -> None:
    command = ("ip", "rule", *words.split())
    subprocess.run(command, check=True, env={**os.environ, **environment()})  # noqa: S603  # our own words


def _try(command: Sequence[str]) -> str | None:
    """Run a command; what is wrong, or None."""
    if shutil.which(command[0]) is None:
        return "not installed"
    done = subprocess.run(  # noqa: S603  # our own words
        command, check=False, capture_output=True, text=True, env={**os.environ, **environment()}
    )
    return None if done.returncode == 0 else done.stderr.strip() or f"status {done.returncode}"
