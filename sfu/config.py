"""The media server's settings: one tree of frozen values, each with its unit, legal range and effect.

Code is given its own branch. Reading files and the environment is `signalling/config.py`'s.
`setting(...)` puts range and effect where the example file and the range check can find them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Final

from sfu.errors import ConfigError

_ANY_PORT: Final = 65_535

AUTO: Final = "auto"
NATIVE: Final = "native"
REFERENCE: Final = "reference"
PLANES: Final = (AUTO, NATIVE, REFERENCE)
"""What `MediaConfig.plane` may be."""

UTILITY: Final = "utility"
"""The policy that divides what paths carry, unless another is named."""

MAX_CAP: Final = 65_535
"""The most lines or pictures that a ceiling can name: arrays of them are of 16 bits."""


def setting(default: Any, effect: str, *, low: float | None = None, high: float | None = None) -> Any:  # noqa: ANN401
    """One setting: its default, what it does, and its legal range (inclusive; None is open)."""
    metadata = {"effect": effect, "low": low, "high": high}
    if isinstance(default, (list, tuple)):
        return field(default_factory=lambda: tuple(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def check_ranges(branch: object, prefix: str = "") -> None:
    """Check every number of a config tree against its legal range.

    Raises:
        ConfigError: naming the key, the value and what would be legal.
    """
    for item in fields(branch):  # type: ignore[arg-type]  # any of our own dataclasses
        value = getattr(branch, item.name)
        key = f"{prefix}{item.name}"
        if is_dataclass(value):
            check_ranges(value, f"{key}.")
            continue
        if isinstance(value, tuple) and any(is_dataclass(one) for one in value):
            for number, one in enumerate(value):
                check_ranges(one, f"{key}[{number}].")
            continue
        low, high = item.metadata.get("low"), item.metadata.get("high")
        numbers = value if isinstance(value, tuple) else (value,)
        for number in numbers:
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                continue
            if (low is not None and number < low) or (high is not None and number > high):
                legal = f"{low if low is not None else '-inf'} to {high if high is not None else 'inf'}"
                raise ConfigError(f"{key} = {number}: legal is {legal}")


@dataclass(frozen=True, slots=True)
class MediaConfig:
    """The media sockets and what is announced of them."""

    plane: str = setting(
        AUTO,
        'What forwards packets: the "native" data plane, its Python twin "reference" (a handful of people), '
        'or "auto": the native one where this installation has it.',
    )
    host: str = setting("0.0.0.0", 'Address that the sockets are bound to; "::" for IPv6 as well.')  # noqa: S104
    port: int = setting(10_000, "UDP port for all media; 0 takes a free one.", low=0, high=_ANY_PORT)
    tcp: bool = setting(
        True,
        "Whether media is taken over TCP as well (RFC 6544), for people whose network lets no UDP out. "
        "Who has UDP uses that.",
    )
    tcp_port: int = setting(
        0,
        "TCP port for it; 0 takes the number of media.port. Most networks of this kind let 443 out.",
        low=0,
        high=_ANY_PORT,
    )
    workers: int = setting(
        1,
        "Threads that forward packets, each on a UDP port of its own: media.port and those behind it. "
        "A call is on one of them until that is full (legs_per_worker). As many as there are cores to spare; "
        "the Python twin has one.",
        low=1,
        high=64,
    )
    legs_per_worker: int = setting(
        400,
        "Participants on one worker, from which on who joins its calls is on another: about what a core "
        "carries of people who see nine tiles each. Media crosses then, at a few percent of a core.",
        low=1,
    )
    advertised_addresses: tuple[str, ...] = setting(
        (),
        "Addresses told to clients, IPv4 or IPv6, best first: the public one behind a 1:1 NAT. "
        "When empty, the bound address, or for a wildcard every address of this machine. "
        "When set, no other address of this machine is ever told.",
    )
    consent_timeout_s: float = setting(
        30.0, "A peer silent for this long is gone (RFC 7675).", low=2.0, high=120.0
    )
    receive_buffer_bytes: int = setting(4 << 20, "SO_RCVBUF asked for.", low=65_536)
    packet_cache_bytes: int = setting(
        256 << 20, "Packets kept for retransmission, over all streams.", low=1 << 20
    )

    @property
    def wanted_tcp_port(self) -> int | None:
        """The TCP port to bind, 0 for a free one; None: none."""
        return (self.tcp_port or self.port) if self.tcp else None


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """How much one remote party may ask for."""

    calls: int = setting(1_000, "Calls at once.", low=1)
    legs: int = setting(5_000, "Participants at once, over all calls.", low=1)
    legs_per_call: int = setting(500, "Participants of one call.", low=1)
    legs_per_user: int = setting(8, "Devices of one user in one call.", low=1)
    tracks_per_leg: int = setting(16, "Tracks one participant may publish.", low=1, high=100)
    subscriptions_per_leg: int = setting(200, "Tracks one participant may receive.", low=1)
    sdp_bytes: int = setting(256 * 1024, "Largest SDP read.", low=8_192)
    message_bytes: int = setting(262_144, "Largest data-channel message read.", low=8_192)
    messages_per_s: float = setting(50.0, "Data-channel messages a second and participant.", low=1.0)
    invites_per_s: float = setting(5.0, "Invites a second and user before the rest is refused.", low=0.1)
    joins_at_once: int = setting(
        16, "DTLS handshakes at once; more wait. Higher: a burst delays other signalling.", low=1
    )


@dataclass(frozen=True, slots=True)
class ConferenceConfig:
    """How a call is run."""

    codecs: tuple[str, ...] = setting(
        ("VP8", "H264", "opus"), "Codecs accepted from publishers, best first: VP8, H264, VP9, AV1, opus."
    )
    announce_delay_ms: int = setting(
        200, "Changes of tracks are told together after this long.", low=0, high=5_000
    )
    speaker_interval_ms: int = setting(300, "Active speakers are judged this often.", low=100, high=5_000)
    loudest: int = setting(
        8,
        "Of so many people a large call forwards the sound, of who speaks or spoke last; 0: of everybody. "
        "More cost narrow links 40 kbit/s each, with fewer a lively talk loses first syllables.",
        low=0,
        high=100,
    )
    loudest_from: int = setting(
        16,
        "A call is large from so many people with sound on; "
        "in a smaller one that takes no more than a picture.",
        low=2,
    )
    offer_timeout_s: float = setting(5.0, "Our offer is sent again after this long.", low=1.0, high=60.0)
    offer_tries: int = setting(3, "Our offer is sent this often before the leg ends.", low=1, high=10)
    sender_layers: bool = setting(
        True, "Publishers are told which of their layers nobody wants; false: they go on sending all of them."
    )
    max_height: int = setting(
        0, "Ceiling for every subscriber's video, in lines; 0 is none.", low=0, high=MAX_CAP
    )


@dataclass(frozen=True, slots=True)
class AllocationConfig:
    """How what a path carries is divided among pictures, and how much one participant is given at most."""

    policy: str = setting(
        UTILITY,
        'What divides it: "utility" (ours), "lowest_layers_first", "signal_like", "jvb_like", "livekit_like" '
        'or "mediasoup_like"; or a Python file (.py) of yours, its path from the folder of this file on. '
        "It runs with all rights of the focus.",
    )
    max_bps: int = setting(
        0, "Ceiling for what one participant is sent, in bit/s, sound and all; 0 is none.", low=0
    )
    max_videos: int = setting(
        0,
        "Pictures that one participant is given at a time: what is pinned, screens, who spoke last. 0: all.",
        low=0,
        high=MAX_CAP,
    )


@dataclass(frozen=True, slots=True)
class SfuConfig:
    """The root of the media server's settings."""

    media: MediaConfig = field(default_factory=MediaConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    conference: ConferenceConfig = field(default_factory=ConferenceConfig)
    allocation: AllocationConfig = field(default_factory=AllocationConfig)
