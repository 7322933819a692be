"""What a subscription costs in memory: of the whole process, Python's part and the resend caches included.

`python -m signalling.cli.bench.memory video` prints the bytes of one. A process of its own holds a call on
the native plane, of 100 subscribers: the memory of their transports is there from the start, and is no part
of the figure. First they receive two tracks each, then ten more. The difference of the resident memory before
and after, both times when media has flowed for some seconds, is what 1,000 subscriptions take. It is made of
all that comes with them: routes in the plane with what they remember for resends, SRTP windows, the streams
and packet caches of the ten publishers; in Python sections and agreements, routes, demands, explanations.

Files' pages (code that runs for the first time) are not counted. Nobody sends feedback, so a transport
remembers as many of its packets as it ever does. It is made to remember these before the first look, or they
would be taken for a part of the subscriptions.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

from sfu.config import MediaConfig
from sfu.dataplane.native_plane import NativePlane
from sfu.units import NS_PER_S, Kind
from signalling.cli.bench.call import Call

TRANSPORTS: Final = 100
FEW_TRACKS: Final = 2
MANY_TRACKS: Final = 12
SUBSCRIPTIONS: Final = (MANY_TRACKS - FEW_TRACKS) * TRANSPORTS

_FLOWS_FOR_S: Final = 2.5
"""More than the second that packets are kept for."""
_REMEMBERED_NUMBERS: Final = 4_096
"""Of one transport (`MAX_NUMBERS` of the plane)."""
_LATE: Final = 1.2
"""A run that takes longer by this was not at the pace of media: histories would be too short."""


class Pace(NamedTuple):
    """What one publisher sends."""

    packets: int
    """In a burst."""
    size_bytes: int
    period_ns: int


PACES: Final = {
    Kind.VIDEO: Pace(10, 1_100, 40_000_000),
    Kind.AUDIO: Pace(1, 120, 20_000_000),
}
"""250 packets a second, 2.2 Mbit/s; 50 packets a second, 48 kbit/s."""


def bytes_per_subscription(kind: Kind) -> float:
    """Measured in a fresh process.

    Raises:
        OSError: it failed; its last line says why.
    """
    command = [sys.executable, "-m", __name__, kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # ourselves
    if done.returncode:
        last = (done.stderr.splitlines() or [f"status {done.returncode}"])[-1]
        raise OSError(f"measuring {kind} subscriptions: {last}")
    return float(json.loads(done.stdout))


def measure(kind: Kind) -> float:
    """Measure in this process, which should hold nothing else.

    Raises:
        TimeoutError: a packet was lost, or the machine is too busy to keep the pace.
    """
    plane = NativePlane(MediaConfig(host="127.0.0.1", port=0, tcp=False))
    try:
        pace = PACES[kind]
        call = Call(plane, kind, MANY_TRACKS, TRANSPORTS)
        call.subscribe(range(FEW_TRACKS))
        burst = [[pace.size_bytes] * 10] * FEW_TRACKS
        call.run(_REMEMBERED_NUMBERS // (10 * FEW_TRACKS) + 1, burst, 0)
        _flow(call, pace, FEW_TRACKS)
        before = _resident_bytes()
        call.subscribe(range(FEW_TRACKS, MANY_TRACKS))
        _flow(call, pace, MANY_TRACKS)
        return (_resident_bytes() - before) / SUBSCRIPTIONS
    finally:
        plane.close()


def _flow(call: Call, pace: Pace, tracks: int) -> None:
    rounds = int(_FLOWS_FOR_S * NS_PER_S / pace.period_ns)
    elapsed_s = call.run(rounds, [[pace.size_bytes] * pace.packets] * tracks, pace.period_ns)
    if elapsed_s > _LATE * _FLOWS_FOR_S:
        raise TimeoutError(f"{elapsed_s:.1f} s for {_FLOWS_FOR_S} s of media")


def _resident_bytes() -> int:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    _, resident, shared, *_ = map(int, Path("/proc/self/statm").read_text().split())
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(Kind(sys.argv[1]))))
