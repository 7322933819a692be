"""Which data plane runs: the native one where its extension was built, else its Python twin."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from sfu.config import NATIVE, REFERENCE
from sfu.errors import ConfigError
from sfu.plane import Plane

if TYPE_CHECKING:
    from sfu.config import MediaConfig

_MODULES: Final = {
    NATIVE: ("sfu.dataplane.native_plane", "NativePlane"),
    REFERENCE: ("sfu.dataplane.reference", "ReferencePlane"),
}
"""Where a plane is; imported when it is wanted, since an extension is there or not, and neither is light."""
_TWIN: Final = "the data plane is the Python twin: right for a handful of people, not for production"


class RunningPlane(Plane, Protocol):
    """A plane that has bound its socket."""

    @property
    def failures(self) -> int:
        """Mistakes of its own that it has contained; it can't count them in metrics itself."""
        ...


class PlaneType(Protocol):
    """Makes a plane and binds its socket.

    Raises:
        OSError: the address can't be bound.
    """

    def __call__(self, config: MediaConfig) -> RunningPlane: ...


@dataclass(frozen=True, slots=True)
class Choice:
    """The plane to run."""

    name: str
    """`native` or `reference`, as it is shown."""
    open: PlaneType
    warning: str
    """What an operator ought to know of it; empty where it is fit for production."""


def choose_plane(wanted: str) -> Choice:
    """Choose a plane.

    Args:
        wanted: as `MediaConfig.plane`.

    Raises:
        ConfigError: the native one is insisted on, and is not to be had.
    """
    if wanted == REFERENCE:
        return Choice(REFERENCE, _plane_type(REFERENCE), f"{_TWIN}; media.plane asks for it")
    try:
        return Choice(NATIVE, _plane_type(NATIVE), "")
    except ImportError as error:
        if wanted == NATIVE:
            raise ConfigError(
                f'media.plane = "native": there is none in this installation ({error}); "auto" does without'
            ) from error
        why = f"{_TWIN}; the native one is not to be had: {error}"
        return Choice(REFERENCE, _plane_type(REFERENCE), why)


def _plane_type(name: str) -> PlaneType:
    module, attribute = _MODULES[name]
    plane_type: PlaneType = getattr(importlib.import_module(module), attribute)
    return plane_type
