"""A conference of two planes: who is there, what is published, and who gets what."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.plane import Codec, EncodingSpec, Extension, PayloadFormat, SetRoute, SetTrack, SrtpProfile
from sfu.rows import PAUSED, TARGET_DTYPE
from sfu.units import NO_RID, Kind, Mid, PayloadType, Rid, RouteId, Ssrc, TrackHandle
from tests.differential.peers import PROFILES, Peer
from tests.differential.sources import STARTS, TIMESTAMPS, Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfu.dataplane.wire import Address, Transmit
    from tests.differential.pair import Pair
    from tests.differential.tape import Tape

OPUS: Final = PayloadFormat("opus", Codec.OPUS, PayloadType(111), 48_000)
UP: Final = tuple(
    PayloadFormat(codec.value, codec, PayloadType(number), 90_000, PayloadType(number + 1))
    for codec, number in ((Codec.VP8, 96), (Codec.VP9, 98), (Codec.H264, 102), (Codec.AV1, 45))
)
DOWN: Final = tuple(
    PayloadFormat(codec.value, codec, PayloadType(number), 90_000, PayloadType(number + 1))
    for codec, number in ((Codec.VP8, 120), (Codec.VP9, 98), (Codec.H264, 106), (Codec.AV1, 36))
)
UP_EXTENSIONS: Final[tuple[dict[Extension, int], ...]] = (
    {
        Extension.MID: 1,
        Extension.RID: 2,
        Extension.REPAIRED_RID: 3,
        Extension.TRANSPORT_CC: 4,
        Extension.ABS_SEND_TIME: 5,
        Extension.AUDIO_LEVEL: 6,
        Extension.VIDEO_ORIENTATION: 7,
        Extension.DEPENDENCY_DESCRIPTOR: 8,
    },
    {
        Extension.MID: 16,
        Extension.RID: 17,
        Extension.REPAIRED_RID: 18,
        Extension.TRANSPORT_CC: 20,
        Extension.AUDIO_LEVEL: 11,
        Extension.DEPENDENCY_DESCRIPTOR: 21,
        Extension.COLOR_SPACE: 22,
    },
    {Extension.TRANSPORT_CC: 4, Extension.AUDIO_LEVEL: 6},
)
DOWN_EXTENSIONS: Final[tuple[dict[Extension, int], ...]] = (
    {
        Extension.MID: 9,
        Extension.TRANSPORT_CC: 3,
        Extension.ABS_SEND_TIME: 2,
        Extension.AUDIO_LEVEL: 1,
        Extension.VIDEO_ORIENTATION: 4,
    },
    {
        Extension.MID: 1,
        Extension.TRANSPORT_CC: 13,
        Extension.DEPENDENCY_DESCRIPTOR: 14,
        Extension.AUDIO_LEVEL: 7,
        Extension.COLOR_SPACE: 6,
    },
    {
        Extension.MID: 19,
        Extension.TRANSPORT_CC: 23,
        Extension.ABS_SEND_TIME: 22,
        Extension.AUDIO_LEVEL: 21,
        Extension.DEPENDENCY_DESCRIPTOR: 20,
    },
    {},
)
RIDS: Final = ((NO_RID,), tuple(map(Rid, "qhf")), tuple(map(Rid, "qh")), tuple(map(Rid, "hq")), (Rid("q"),))
MAX_PEERS: Final = 6
MAX_TRACKS: Final = 6
MAX_ROUTES: Final = 12


@dataclass
class Published:
    """A track, and the RTP streams that its publisher sends for it."""

    spec: SetTrack
    publisher: Peer
    sources: list[Source] = field(default_factory=list)


class Stage:
    """Everything that lives in both planes, as the generator knows it."""

    def __init__(self, pair: Pair, tape: Tape) -> None:
        self.pair: Final = pair
        self.peers: Final[list[Peer]] = []
        self.tracks: Final[list[Published]] = []
        self.routes: Final[list[SetRoute]] = []
        self.clusters = 0
        self._peers = self._handles = self._routes = 0
        self._ssrcs = 1_000
        for _ in range(3):
            self.join(tape.of(PROFILES))
        self.publish(self.peers[0], Kind.VIDEO, tape)
        self.publish(self.peers[0], Kind.AUDIO, tape)
        for track in self.tracks:
            for peer in self.peers[1:]:
                self.route(track, peer, tape)
        self.aim([(route.route, 0, 7) for route in self.routes])

    def fresh_ssrc(self) -> Ssrc:
        """One that nobody has had."""
        self._ssrcs += 1
        return Ssrc(self._ssrcs)

    def join(self, profile: SrtpProfile) -> Peer:
        """A peer is there, has checked, and has keys."""
        peer = self.meet()
        self.hear(peer.check(nominate=True))
        self.hear(peer.install(peer.agree(profile)))
        return peer

    def meet(self) -> Peer:
        """A peer is there and has said nothing yet."""
        self._peers += 1
        peer = Peer.known(self.pair, self._peers)
        self.peers.append(peer)
        return peer

    def publish(self, publisher: Peer, kind: Kind, tape: Tape) -> None:
        """A peer publishes a track of any shape."""
        self._handles += 1
        spec = SetTrack(
            TrackHandle(self._handles),
            publisher.transport,
            Mid(str(self._handles % 8)),
            kind,
            *self.shape(kind, tape),
            cname=f"publisher {publisher.number}",
        )
        track = Published(spec, publisher)
        self.tracks.append(track)
        self.send_as(track, tape)
        self.hear(self.pair.apply(spec))
        self.tracks[:] = [
            one
            for one in self.tracks
            if one is track or (one.publisher, one.spec.mid) != (publisher, spec.mid)
        ]
        self.forget_routes()

    def shape(
        self, kind: Kind, tape: Tape
    ) -> tuple[tuple[PayloadFormat, ...], tuple[EncodingSpec, ...], dict[Extension, int]]:
        """Formats, encodings and extensions of a track."""
        extensions = tape.of(UP_EXTENSIONS)
        rids = (NO_RID,) if kind is Kind.AUDIO else tape.of(RIDS[1:] + RIDS[:1])
        in_sdp = tape.below(3)
        encodings = tuple(
            EncodingSpec(
                rid,
                self.fresh_ssrc() if in_sdp else None,
                self.fresh_ssrc() if in_sdp == 2 else None,
            )
            for rid in rids
        )
        return (OPUS,) if kind is Kind.AUDIO else _formats(UP, tape), encodings, extensions

    def send_as(self, track: Published, tape: Tape) -> None:
        """The publisher's streams follow the track's SDP."""
        spec = track.spec
        form = tape.of(spec.formats)
        track.sources = [
            Source(
                spec.mid,
                encoding.rid,
                encoding.ssrc or self.fresh_ssrc(),
                encoding.rtx_ssrc or self.fresh_ssrc(),
                form,
                spec.extensions,
                seq=tape.of(STARTS),
                ts=tape.of(TIMESTAMPS),
                describes=Extension.DEPENDENCY_DESCRIPTOR in spec.extensions and tape.one_in(2),
                wide=tape.of((2, 1, 0)),
            )
            for encoding in spec.encodings
        ]

    def route(self, track: Published, subscriber: Peer, tape: Tape) -> None:
        """A track goes to a peer, in any form.

        Over a trunk what comes behind a late key frame reaches two routes of one track by turns, not one
        after the other: so a peer there gets a track once.
        """
        ends = (track.spec.track, subscriber.transport)
        if self.pair.is_apart and ends in ((route.track, route.transport) for route in self.routes):
            return
        self._routes += 1
        mids = [Mid(str(self._routes % 9))]
        mids += [route.mid for route in self.routes if (route.track, route.transport) == ends]
        is_video = track.spec.kind is Kind.VIDEO
        spec = SetRoute(
            RouteId(self._routes),
            track.spec.track,
            subscriber.transport,
            tape.of(mids),
            self.fresh_ssrc(),
            self.fresh_ssrc() if is_video and not tape.one_in(4) else None,
            _formats(DOWN, tape) if is_video else (OPUS,),
            tape.of(DOWN_EXTENSIONS),
            f"publisher {track.publisher.number}",
            tape.one_in(2),
        )
        self.routes.append(spec)
        self.hear(self.pair.apply(spec))

    def aim(self, rows: Sequence[tuple[int, int, int]]) -> None:
        """Layer choices, and what they ask for."""
        self.pair.set_targets(np.array(list(rows), TARGET_DTYPE))
        self.hear(self.pair.poll())

    def forget_routes(self) -> None:
        """Routes of tracks and peers that are gone are gone with them."""
        tracks = {track.spec.track for track in self.tracks}
        peers = {peer.transport for peer in self.peers}
        self.routes[:] = [
            route for route in self.routes if route.track in tracks and route.transport in peers
        ]

    def leave(self, peer: Peer) -> None:
        """A peer is gone, with all that is its."""
        self.peers.remove(peer)
        self.tracks[:] = [track for track in self.tracks if track.publisher is not peer]
        self.forget_routes()

    def hear(self, transmits: Sequence[Transmit]) -> None:
        """Peers take what both planes have sent."""
        for sent in transmits:
            peer = self.peer_at(sent.address)
            if peer is not None:
                peer.hear(sent.data)

    def peer_at(self, address: Address) -> Peer | None:
        """Whose address it is."""
        return next((peer for peer in self.peers if peer.address == address), None)


def _formats(known: tuple[PayloadFormat, ...], tape: Tape) -> tuple[PayloadFormat, ...]:
    """All of them, all without RTX, some, or the first last."""
    match tape.below(6):
        case 0 | 1 | 2:
            return known
        case 3:
            return tuple(replace(form, rtx_payload_type=None) for form in known)
        case 4:
            return known[:2]
        case _:
            return known[1:] + known[:1]


LAYERS: Final = (0, 1, 2, PAUSED)
