"""Processes that end with the one that started them, however that ends."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

# A program of its own rather than a `preexec_fn`: that runs between fork and exec, where a process with
# threads may deadlock, as Python warns from 3.12 on.
_LAUNCH: Final = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("who started this is gone")
os.execvp(sys.argv[2], sys.argv[2:])
"""


def bound(command: Sequence[str | os.PathLike[str]]) -> list[str]:
    """The command that runs another one, which Linux kills when whoever started it is gone.

    Its process is the command's, which it becomes. Start it from a thread that lives as long as it shall: to
    Linux the thread is the parent (prctl(2)). Elsewhere than on Linux it outlives us.

    Args:
        command: is there: what cannot be run ends with status 1 and a traceback.
    """
    launch = (sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()))
    return [*launch, *(os.fspath(part) for part in command)]
