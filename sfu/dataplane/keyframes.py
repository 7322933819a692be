"""Asking one publisher for key frames: the throttle of all its streams, on the agenda."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.streams.keyframe import KeyframeThrottle

if TYPE_CHECKING:
    from sfu.dataplane.agenda import Agenda
    from sfu.units import Instant, Ssrc, TransportId


class KeyframeRequests:
    """What everybody wants of one publisher, merged and spaced by `KeyframeThrottle`."""

    def __init__(self, transport: TransportId, agenda: Agenda) -> None:
        self._transport = transport
        self._agenda = agenda
        self._throttle = KeyframeThrottle()

    def request(self, now: Instant, ssrc: Ssrc) -> None:
        """Somebody needs a key frame of this stream."""
        self._throttle.request(now, ssrc)
        self._agenda.plan(self._transport, self._throttle.next_timeout())

    def started(self, ssrc: Ssrc) -> None:
        """A key frame of this stream begins."""
        self._throttle.key_frame_started(ssrc)

    def forget(self, ssrc: Ssrc) -> None:
        """The stream is gone."""
        self._throttle.forget(ssrc)

    def poll(self, now: Instant) -> list[Ssrc]:
        """The streams to send a PLI for now."""
        return self._throttle.poll(now)

    def next_timeout(self) -> Instant | None:
        """When `poll` next has something to say."""
        return self._throttle.next_timeout()
