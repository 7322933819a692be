"""The native module, for whoever has it."""

from __future__ import annotations

import contextlib
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtest._swarm import Swarm

HOW_TO_GET_IT = (
    "the swarm is not built; it needs Rust's cargo (1.89 or newer) and a C compiler when matrix-focus is "
    "installed: with both at hand, install it again (`make setup`, or `pip install .`)"
)


class SwarmMissingError(Exception):
    """The native module was not built here."""

    def __init__(self) -> None:
        super().__init__(HOW_TO_GET_IT)


def load_swarm() -> Any:  # noqa: ANN401  # a module that may be missing; its stub types it where it is there
    """The module `loadtest._swarm`.

    Raises:
        SwarmMissingError: it was not built.
    """
    try:
        return importlib.import_module("loadtest._swarm")
    except ImportError as error:
        raise SwarmMissingError from error


@contextlib.contextmanager
def swarm(*, address: str = "127.0.0.1", full_share: float = 0.1, tick_ms: float = 5.0) -> Iterator[Swarm]:
    """A swarm that ends with the block; the arguments are those of `Swarm`.

    Raises:
        SwarmMissingError: the native module was not built.
        ValueError: an argument out of its range.
    """
    opened: Swarm = load_swarm().Swarm(address=address, full_share=full_share, tick_ms=tick_ms)
    try:
        yield opened
    finally:
        opened.close()
