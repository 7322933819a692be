"""A real call on a plane: a conference that negotiates with browsers, and the rig for their media."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.allocation.allocate import allocate
from sfu.allocation.decision import targets_of
from sfu.allocation.rates import EncodingRates
from sfu.allocation.table import DemandTable
from sfu.conference.conference import Conference, LocalMedia
from sfu.conference.ids import IdSource
from sfu.conference.reports import Reports
from sfu.conference.turn import DropDemand, MediaReport, SetDemand
from sfu.conference.values import DescriptionType, SendDescription, Wish
from sfu.config import SfuConfig
from sfu.dataplane import _native
from sfu.negotiation.parameters import Candidate, Fingerprint
from sfu.plane import AddTransport, InstallSrtp, PlaneOperation, SetRoute, SetTrack, SrtpProfile, StreamBound
from sfu.rows import ALL_TEMPORAL, TARGET_DTYPE
from sfu.runtime.clocks import monotonic_clock
from sfu.runtime.tick import TICK_MS
from sfu.units import NS_PER_S, Kind, RouteId, Ssrc, after_ms
from signalling.cli.bench.browser import answer, publisher_offer, stream_of, subscriber_offer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sfu.conference.conference import ConferenceOutput
    from sfu.plane import Plane
    from sfu.units import TransportId

_KEY: Final = bytes(range(28))
_LOCAL: Final = LocalMedia(
    Fingerprint("sha-256", ":".join(["CD"] * 32)), (Candidate("127.0.0.1", 9, 2_130_706_431),)
)
_TILE: Final = (640, 360)


class Call:
    """Publishers of one track each, and subscribers: all have joined, nobody receives anything yet.

    The runtime's part is played by `run`: the plane's events and counters go to the conference, and targets
    to the plane. What signalling would send is made and thrown away.

    Args:
        plane: on the loopback.
        kind: of all tracks.
        publishers: how many; all of them have offered, and none sends yet.
        subscribers: how many.
    """

    def __init__(self, plane: Plane, kind: Kind, publishers: int, subscribers: int) -> None:
        config, ids = SfuConfig(), IdSource()
        self._plane = plane
        self._kind = kind
        self._conference = Conference(
            ids.conference(),
            ids,
            _LOCAL,
            config.conference,
            config.limits,
            random.SystemRandom(),
            Reports(),
        )
        self._demand = DemandTable()
        self._rates = EncodingRates()
        self._begun: list[RouteId] = []
        self.rig: Final = _native.Rig(plane.port, publishers, subscribers, _KEY)
        self._publish(publishers)
        self._tell()
        self._rehearse(range(publishers))
        self._audience = [self._join(index) for index in range(subscribers)]

    def subscribe(self, publishers: range) -> None:
        """Let all subscribers have these publishers' tracks, from the first packet that comes."""
        for leg in self._audience:
            self._wish(leg, publishers)
        # The allocator gives only what flows, which would be too late for the key frame.
        rows = [(route, 0, ALL_TEMPORAL) for route in self._begun]
        self._plane.set_targets(np.array(rows, TARGET_DTYPE))
        self._plane.stats()  # it answers when it has taken notice
        self._begun = []

    def run(self, rounds: int, sizes: list[list[int]], period_ns: int) -> float:
        """Let the first publishers send a round of packets every so often, and tick meanwhile.

        Args:
            rounds: how many; one begins when that before it has arrived, however late that is.
            sizes: what each of the first publishers sends in one round; all subscribers have it.
            period_ns: between two rounds.

        Returns:
            How many seconds it took.

        Raises:
            TimeoutError: a packet was lost.
        """
        share = sum(len(packets) for packets in sizes)
        began_at = monotonic_clock()
        ticked_at = began_at
        for number in range(1, rounds + 1):
            self.rig.closed_loop(1, sizes, share, share)
            if monotonic_clock() >= after_ms(ticked_at, TICK_MS):
                self._tick()
                ticked_at = monotonic_clock()
            time.sleep(max(0, began_at + number * period_ns - monotonic_clock()) / NS_PER_S)
        return (monotonic_clock() - began_at) / NS_PER_S

    def _publish(self, publishers: int) -> None:
        for index in range(publishers):
            leg, outputs = self._conference.add_leg(monotonic_clock(), admitted=True)
            self._perform(outputs)
            for credentials in _credentials(outputs):
                self.rig.check_publisher(index, *credentials)
            self._secure(leg)
            ssrc = Ssrc(_native.Rig.FIRST_SSRC + index)
            offer = publisher_offer(self._kind, str(index), ssrc)
            streams = [stream_of(self._kind, str(index))]
            outputs = self._conference.offer_received(monotonic_clock(), leg, offer, streams)
            self._perform(outputs)
            for track in (output.track for output in outputs if isinstance(output, SetTrack)):
                # Announced before its first packet: it begins the rig's one key frame, for all.
                self._conference.plane_event(monotonic_clock(), StreamBound(track, 0, ssrc))

    def _rehearse(self, publishers: range) -> None:
        """Let somebody have all tracks whom no media reaches: what negotiating them takes is there then."""
        leg, outputs = self._conference.add_leg(monotonic_clock(), admitted=True)
        self._perform(outputs)
        self._introduce(leg)
        self._wish(leg, publishers)

    def _wish(self, leg: TransportId, publishers: range) -> None:
        wishes = [Wish(f"{one}-stream", f"{one}-track", *_TILE) for one in publishers]
        self._perform(self._conference.subscribe(monotonic_clock(), leg, wishes))

    def _join(self, index: int) -> TransportId:
        leg, outputs = self._conference.add_leg(monotonic_clock(), admitted=True)
        self._perform(outputs)
        for credentials in _credentials(outputs):
            self.rig.check_subscriber(index, *credentials)
        self._secure(leg)
        self._introduce(leg)
        return leg

    def _introduce(self, leg: TransportId) -> None:
        self._perform(self._conference.offer_received(monotonic_clock(), leg, subscriber_offer(), []))
        self._perform(self._conference.channel_ready(monotonic_clock(), leg))

    def _secure(self, leg: TransportId) -> None:
        self._plane.apply([InstallSrtp(leg, SrtpProfile.AEAD_AES_128_GCM, _KEY, _KEY)])

    def _tell(self) -> None:
        """Let the time pass after which tracks are announced."""
        while (due_at := self._conference.next_timeout()) is not None:
            self._perform(self._conference.handle_timeout(due_at))

    def _tick(self) -> None:
        now = monotonic_clock()
        for event in self._plane.drain().events:
            self._perform(self._conference.plane_event(now, event))
        stats = self._plane.stats()
        self._rates.update(stats)
        decisions = allocate(self._demand, self._rates)
        self._plane.set_targets(targets_of(decisions))
        self._perform(self._conference.report(now, MediaReport(stats, decisions)))

    def _perform(self, outputs: Iterable[ConferenceOutput]) -> None:
        for output in outputs:
            match output:
                case SetDemand():
                    self._demand.set(output)
                case DropDemand(route):
                    self._demand.drop(route)
                case SendDescription(leg, DescriptionType.OFFER, sdp):
                    agreed = self._conference.answer_received(monotonic_clock(), leg, answer(sdp), None)
                    self._perform(agreed)
                case SetRoute():
                    self._begun.append(output.route)
                    self._plane.apply([output])
                case _ if isinstance(output, PlaneOperation):
                    self._plane.apply([output])
                case _:
                    pass  # for signalling


def _credentials(outputs: Sequence[ConferenceOutput]) -> list[tuple[str, str]]:
    added = [one.credentials for one in outputs if isinstance(one, AddTransport)]
    return [(one.ufrag, one.password) for one in added]
