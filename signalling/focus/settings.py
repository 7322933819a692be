"""How calls are run, as Matrix sees them: the timers of the dialect (protocol: section 9)."""

from __future__ import annotations

from dataclasses import dataclass

from sfu.config import setting


@dataclass(frozen=True, slots=True)
class CallSettings:
    """Calls and their legs."""

    member_grace_s: float = setting(
        10.0,
        "An invite may overtake its member event by this long; until it comes, nothing is forwarded.",
        low=0.0,
        high=60.0,
    )
    clock_skew_s: float = setting(
        300.0,
        "How far the clocks of this machine and of clients may differ: "
        "a member event counts for this long after it has expired.",
        low=0.0,
        high=3_600.0,
    )
    seq_gap_s: float = setting(
        5.0, "A message of a leg that is missing is waited for this long.", low=0.0, high=60.0
    )
    ping_interval_s: float = setting(
        10.0, "Each client is pinged this often; the dialect allows 30 at most.", low=1.0, high=30.0
    )
    pong_timeout_s: float = setting(
        30.0, "A client that has not answered a ping for this long is gone.", low=2.0, high=120.0
    )
    connect_timeout_s: float = setting(
        60.0, "A client that was answered must have connected after this long.", low=5.0, high=300.0
    )
    require_olm: bool = setting(False, "Refuse signalling that does not come encrypted (Olm).")
