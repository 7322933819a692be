"""Every Prometheus metric of this server, in one registry that is passed on: never the library's global one.

Label sets are small and closed: never a member, a track or an SSRC. Pure packages keep counters in values,
shells publish them here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from sfu.errors import LocalError
from sfu.rows import MAX_ENCODINGS, PAUSED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from sfu.plane import PlaneStats
    from sfu.rows import StructArray

_FAST_S: Final = (0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3, 1.0)
_JOIN_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class _New:
    """Makes metrics of a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        """What only grows."""
        return Counter(name, text, labels, registry=self._registry)

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        """What goes up and down."""
        return Gauge(name, text, labels, registry=self._registry)

    def histogram(self, name: str, text: str, *labels: str, buckets: Sequence[float]) -> Histogram:
        """How often something was how much."""
        return Histogram(name, text, labels, buckets=buckets, registry=self._registry)


class Metrics:
    """All metrics; each attribute is one."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        new = _New(self.registry)
        self._declare_calls(new)
        self._declare_paths(new)
        self._declare_joining(new)
        self._declare_signalling(new)
        self._declare_hops(new)
        self._declare_channels(new)
        self._declare_media(new)
        self._declare_time(new)
        self._encodings = _Deltas("track", "encoding")
        self._routes = _Deltas("route")
        self._transports = _Deltas("transport")
        self._drops: dict[str, int] = {}

    def _declare_calls(self, new: _New) -> None:
        """What there is, and who gets what."""
        self.plane_info = new.gauge("focus_plane_info", "1 for the data plane that runs.", "plane")
        self.calls = new.gauge("focus_calls", "Calls at the moment.")
        self.legs = new.gauge("focus_legs", "Transports of participants at the moment.")
        self.worker_legs = new.gauge(
            "focus_worker_legs", "Participants on each worker of the plane.", "worker"
        )
        self.tracks = new.gauge("focus_tracks", "Published tracks at the moment.", "kind")
        self.subscriptions = new.gauge(
            "focus_subscriptions", "Subscriptions by the encoding chosen (0 is the lowest).", "kind", "layer"
        )
        self.allocation_causes = new.gauge(
            "focus_allocation_causes", "Subscriptions by why they get what they get.", "cause"
        )
        self.policy_failures = new.counter(
            "focus_policy_failures", "Times that the operator's own policy raised, or answered nonsense."
        )
        self.policy_overruns = new.counter(
            "focus_policy_overruns", "Times that the operator's own policy took too long."
        )

    def _declare_paths(self, new: _New) -> None:
        """What is known of ways to participants."""
        self.paths = new.gauge("focus_paths", "Paths to participants by what is known of them.", "state")
        self.path_queue_seconds = new.gauge(
            "focus_path_queue_seconds", "What stands in queues on the way to participants, the most of all."
        )
        self.probes = new.counter("focus_probes", "Measurements of what a path carries that were sent.")

    def _declare_joining(self, new: _New) -> None:
        """Coming and going."""
        self.joins = new.counter(
            "focus_joins", "Steps of joining that were taken or failed.", "step", "outcome"
        )
        self.join_step_seconds = new.histogram(
            "focus_join_step_seconds", "Time that a step of joining took.", "step", buckets=_JOIN_S
        )
        self.leg_failures = new.counter(
            "focus_leg_failures", "Legs whose transport ended by itself.", "reason"
        )
        self.leaves = new.counter("focus_leaves", "Legs that ended.", "reason")

    def _declare_signalling(self, new: _New) -> None:
        """Messages through Matrix."""
        self.signalling_messages = new.counter(
            "focus_signalling_messages", "Signalling messages.", "direction", "type", "outcome"
        )
        self.invites_refused = new.counter("focus_invites_refused", "Invites that were rejected.", "reason")

    def _declare_hops(self, new: _New) -> None:
        """Other foci."""
        self.trunks = new.gauge("focus_hop_trunks", "Trunks to other foci, by how far they are.", "state")
        self.guests = new.gauge(
            "focus_hop_guests", "People in calls here who are connected to another focus."
        )
        self.dials = new.counter(
            "focus_hop_dials",
            "Dials of trunks, ours and those that we answered: up, or why they never were.",
            "outcome",
        )
        self.trunks_ended = new.counter("focus_hop_trunks_ended", "Trunks that were up and ended.", "reason")
        self.trunks_refused = new.counter(
            "focus_hop_trunks_refused",
            "Trunks that other foci asked for, or we wanted, and did not get.",
            "reason",
        )
        self.streams_refused = new.counter(
            "focus_hop_streams_refused", "Streams that other foci announce and are not believed.", "reason"
        )
        self.trunk_bytes = new.counter("focus_hop_bytes", "Bytes of datagrams on trunks.", "direction")

    def _declare_channels(self, new: _New) -> None:
        """Data channels, and what carries them."""
        self.messages = new.counter("focus_messages", "Data-channel messages.", "direction")
        self.messages_refused = new.counter(
            "focus_messages_refused", "Data-channel messages not read, or not sent, and why.", "reason"
        )
        self.sctp_faults = new.counter("focus_sctp_faults", "SCTP packets that broke a rule.", "reason")
        self.datagrams_dropped = new.counter(
            "focus_dtls_datagrams_dropped", "DTLS datagrams dropped above the plane.", "reason"
        )

    def _declare_media(self, new: _New) -> None:
        """What the plane counts."""
        self.packets = new.counter("focus_rtp_packets", "RTP packets.", "direction")
        self.bytes = new.counter("focus_rtp_bytes", "Bytes of RTP packets.", "direction")
        self.retransmitted = new.counter(
            "focus_rtp_packets_retransmitted", "RTP packets sent again on request."
        )
        self.lost = new.counter(
            "focus_rtp_packets_lost", "RTP packets lost, as receivers counted.", "direction"
        )
        self.datagrams = new.counter("focus_udp_datagrams", "Datagrams of authenticated peers.", "direction")
        self.datagram_bytes = new.counter("focus_udp_bytes", "Bytes of these datagrams.", "direction")
        self.dropped = new.counter("focus_packets_dropped", "Packets that ended here, and why.", "reason")
        self.nacks = new.counter("focus_nacks", "Packets asked for again.", "direction")
        self.plis = new.counter("focus_plis", "Key-frame requests.", "direction")
        self.frames = new.counter("focus_frames_received", "Video frames received.", "type")
        self.layer_switches = new.counter(
            "focus_layer_switches", "Switches between encodings that were made."
        )

    def _declare_time(self, new: _New) -> None:
        """How the server itself does."""
        self.tick_seconds = new.histogram(
            "focus_tick_seconds", "Time that a control tick took.", buckets=_FAST_S
        )
        self.tick_lateness_seconds = new.histogram(
            "focus_tick_lateness_seconds", "How late a control tick began.", buckets=_FAST_S
        )
        self.ticks_skipped = new.counter("focus_ticks_skipped", "Control ticks left out, being too late.")
        self.turn_seconds = new.histogram(
            "focus_turn_seconds", "Time that an engine turn took.", buckets=_FAST_S
        )
        self.inputs_refused = new.counter(
            "focus_inputs_refused",
            "Signalling inputs not taken at once because too many waited for the engine.",
        )
        self.event_loop_lag_seconds = new.histogram(
            "focus_event_loop_lag_seconds", "How late the event loop woke a sleeper.", buckets=_FAST_S
        )
        self.failures = new.counter(
            "focus_internal_failures", "Our own mistakes that were contained.", "where"
        )

    def count(self, name: str, labels: Mapping[str, str], amount: float = 1) -> None:
        """Add to a counter by the name of its attribute; for shells that perform an engine's counts.

        Raises:
            LocalError: there is no such counter, or it has other labels.
        """
        metric = getattr(self, name, None)
        if not isinstance(metric, Counter):
            raise LocalError(f"no counter {name!r}")
        try:
            (metric.labels(**labels) if labels else metric).inc(amount)
        except ValueError as error:
            raise LocalError(f"counter {name!r} has other labels than {sorted(labels)}") from error

    def publish(self, stats: PlaneStats) -> None:
        """Add what the plane counted since the last call; rows may come and go in between.

        What a row counted between the last call and its end is not seen.
        """
        received = self._encodings.advance(
            stats.encodings,
            "packets_received",
            "bytes_received",
            "packets_lost",
            "nack_count",
            "pli_count",
            "frames_received",
            "key_frames_received",
        )
        self.packets.labels("received").inc(received["packets_received"])
        self.bytes.labels("received").inc(received["bytes_received"])
        self.lost.labels("received").inc(received["packets_lost"])
        self.nacks.labels("sent").inc(received["nack_count"])
        self.plis.labels("sent").inc(received["pli_count"])
        self.frames.labels("key").inc(received["key_frames_received"])
        self.frames.labels("delta").inc(max(0, received["frames_received"] - received["key_frames_received"]))

        sent = self._routes.advance(
            stats.routes,
            "packets_sent",
            "bytes_sent",
            "retransmitted_packets_sent",
            "packets_lost",
            "nack_count",
            "pli_count",
            "switches",
        )
        self.packets.labels("forwarded").inc(sent["packets_sent"])
        self.bytes.labels("forwarded").inc(sent["bytes_sent"])
        self.retransmitted.inc(sent["retransmitted_packets_sent"])
        self.lost.labels("forwarded").inc(sent["packets_lost"])
        self.nacks.labels("received").inc(sent["nack_count"])
        self.plis.labels("received").inc(sent["pli_count"])
        self.layer_switches.inc(sent["switches"])

        wire = self._transports.advance(
            stats.transports, "packets_received", "bytes_received", "packets_sent", "bytes_sent"
        )
        self.datagrams.labels("received").inc(wire["packets_received"])
        self.datagrams.labels("sent").inc(wire["packets_sent"])
        self.datagram_bytes.labels("received").inc(wire["bytes_received"])
        self.datagram_bytes.labels("sent").inc(wire["bytes_sent"])

        for reason, total in stats.drops.items():
            before = self._drops.get(reason.value, 0)
            self.dropped.labels(reason.value).inc(max(0, total - before))
            self._drops[reason.value] = total

    def publish_decisions(self, decisions: StructArray, causes: Mapping[int, str]) -> None:
        """Set the gauges of subscriptions.

        Args:
            decisions: (n,) of `sfu.allocation.decision.DECISION_DTYPE`.
            causes: every value of its `cause` and its label.
        """
        for kind, is_audio in (("audio", True), ("video", False)):
            chosen = decisions["chosen_encoding"][decisions["is_audio"] == is_audio]
            self.subscriptions.labels(kind, "paused").set(int(np.count_nonzero(chosen == PAUSED)))
            for layer in range(1 if is_audio else MAX_ENCODINGS):
                self.subscriptions.labels(kind, str(layer)).set(int(np.count_nonzero(chosen == layer)))
        for value, label in causes.items():
            self.allocation_causes.labels(label).set(int(np.count_nonzero(decisions["cause"] == value)))

    def publish_estimates(self, estimates: StructArray, states: Mapping[int, str]) -> None:
        """Set the gauges of paths.

        Args:
            estimates: (n,) of `sfu.bwe.estimate.ESTIMATE_DTYPE`.
            states: every value of its `state` and its label.
        """
        for value, label in states.items():
            self.paths.labels(label).set(int(np.count_nonzero(estimates["state"] == value)))
        self.path_queue_seconds.set(float(estimates["queue_ms"].max(initial=0.0)) / 1_000)


class _Deltas:
    """How much the counters of rows grew from one table to the next, rows known by their keys."""

    def __init__(self, *keys: str) -> None:
        self._key_columns = keys
        self._keys: NDArray[np.uint64] = np.zeros(0, np.uint64)
        self._values: NDArray[np.int64] = np.zeros((0, 0), np.int64)

    def advance(self, rows: StructArray, *columns: str) -> dict[str, int]:
        """The growth of each column over all rows; new rows count from 0, vanished ones no more."""
        keys = self._keys_of(rows)
        order = np.argsort(keys)
        keys = keys[order]
        values = np.stack([rows[column][order].astype(np.int64) for column in columns], axis=1)
        before = np.zeros_like(values)
        if len(self._keys):
            at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            known = self._keys[at] == keys
            before[known] = self._values[at[known]]
        growth = np.maximum(values - before, 0).sum(axis=0)
        self._keys, self._values = keys, values
        return dict(zip(columns, growth.tolist(), strict=True))

    def _keys_of(self, rows: Any) -> NDArray[np.uint64]:  # noqa: ANN401  # a structured array by column name
        keys = np.zeros(len(rows), np.uint64)
        for column in self._key_columns:
            keys = (keys << np.uint64(8)) | rows[column].astype(np.uint64)
        return keys
