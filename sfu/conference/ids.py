"""The ids of one process; none is given twice."""

from __future__ import annotations

from itertools import count

from sfu.units import ConferenceId, RouteId, TrackHandle, TransportId


class IdSource:
    """Hands out ids from 1 on, each kind for itself. One for all conferences that share a plane."""

    def __init__(self) -> None:
        self._conferences = count(1)
        self._transports = count(1)
        self._tracks = count(1)
        self._routes = count(1)

    def conference(self) -> ConferenceId:
        """The next call."""
        return ConferenceId(next(self._conferences))

    def transport(self) -> TransportId:
        """The next leg."""
        return TransportId(next(self._transports))

    def track(self) -> TrackHandle:
        """The next published track."""
        return TrackHandle(next(self._tracks))

    def route(self) -> RouteId:
        """The next track on its way to a subscriber."""
        return RouteId(next(self._routes))
