"""The planes' cores as a simulation wants them: in the clear, and the same in every run."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from sfu.config import MediaConfig
from sfu.dataplane.core import PlaneCore
from sfu.dataplane.srtp import NullSrtp

if TYPE_CHECKING:
    from sfu.simulation.stand import Core

_CONFIG: Final = MediaConfig(consent_timeout_s=3_600)
"""Nobody checks a path twice in a simulation, and none is as long."""


def reference_core() -> Core:
    """The Python twin's."""
    return PlaneCore(_CONFIG, random.Random(1), NullSrtp)  # noqa: S311  # no secrets here


def native_core() -> Core:
    """The native plane's.

    Raises:
        ImportError: it was not built.
    """
    from sfu.dataplane.native_core import NativeCore  # noqa: PLC0415  # it may not be there

    return NativeCore(_CONFIG, bytes(32), is_encrypted=False)
