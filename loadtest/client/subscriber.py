"""What a participant wants of the others, and where their media goes when it comes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loadtest.client import sdp
from loadtest.client.receiver import AudioReceiver, VideoReceiver
from loadtest.client.scene import AUDIO, SCREEN, VIDEO, Party, Scene
from loadtest.media.video import Source
from sfu.units import Instant, Kind, after_s
from signalling.events.data_channel import SubscribedTrack, TrackRef, TrackSubscription
from signalling.events.metadata import SCREENSHARE, StreamMetadata, TrackMetadata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadtest.client.negotiation import ReceiveSection
    from loadtest.client.observations import Observations
    from loadtest.client.rtp_receiver import AudioPacket, ReceiveTrack
    from loadtest.media.assembly import WholeFrame
    from signalling.events.data_channel import Speakers


@dataclass(frozen=True, slots=True)
class _Announced:
    """One track that may be subscribed to."""

    party: Party
    kind: str
    stream_id: str
    track_id: str


class Subscriber:
    """The receiving half of a participant, over all of its legs.

    Args:
        scene: who is who.
        party: whose half this is.
        seen: is told what arrives.
        height: of the tiles, in pixels; 0 wants no video.
        delay_s: between a change and the wish for it. Browsers' clients take 2 s.
    """

    def __init__(self, scene: Scene, party: Party, seen: Observations, height: int, delay_s: float) -> None:
        self._scene = scene
        self._party = party
        self._seen = seen
        self._height = height
        self._heights: dict[tuple[Party, str], int] = {}
        self._pinned: set[tuple[Party, str]] = set()
        self._hidden: set[tuple[Party, str]] = set()
        self._delay_s = delay_s
        self._announced: dict[tuple[str, str], _Announced] = {}
        self._known: set[tuple[str, str]] = set()
        """All that was ever announced on this leg: a section of somebody who has left outlives the word."""
        self._receivers: dict[str, VideoReceiver | AudioReceiver] = {}
        self._received: dict[str, _Announced] = {}
        self._is_changed = False
        self._due_at: Instant | None = None

    # --- wishes ------------------------------------------------------------------------------------------

    def want(self, height: int) -> None:
        """Show all video at this height; 0 hides it."""
        self._height = height
        self._heights.clear()
        self._change_at_once()

    def want_track(self, party: Party, kind: str, height: int) -> None:
        """Show one track at another height than the rest; 0 hides it (or, of audio, unsubscribes)."""
        self._heights[party, kind] = height
        self._change_at_once()

    def pin_track(self, party: Party, kind: str, *, pinned: bool) -> None:
        """Have one video come before the others where not all fits, or no longer."""
        (self._pinned.add if pinned else self._pinned.discard)((party, kind))
        self._change_at_once()

    def hide_track(self, party: Party, kind: str, *, hidden: bool) -> None:
        """Scroll one video out of sight, or back; unlike at a height of 0, it stays subscribed."""
        (self._hidden.add if hidden else self._hidden.discard)((party, kind))
        self._change_at_once()

    def begin_leg(self) -> None:
        """A new leg: nothing of the old one's sections holds."""
        self._receivers.clear()
        self._received.clear()
        self._announced.clear()
        self._known.clear()
        self._due_at = None
        for track in self._seen.tracks.values():
            track.note_pause()

    def connected(self, now: Instant) -> None:
        """The data channel is open: say all wishes at once."""
        self._is_changed, self._due_at = True, now

    def poll(self, now: Instant) -> TrackSubscription | None:
        """The wishes to send now, complete; None while there is nothing new."""
        if not self._is_changed:
            return None
        if self._due_at is None:
            self._due_at = after_s(now, self._delay_s)
        if now < self._due_at:
            return None
        self._is_changed, self._due_at = False, None
        subscribe, unsubscribe = [], []
        for track in self._announced.values():
            height = self._wanted_height(track)
            if height == 0:
                unsubscribe.append(TrackRef(track.stream_id, track.track_id))
                self._seen.track(track.party, track.kind).note_pause()
            elif track.kind == AUDIO:
                subscribe.append(SubscribedTrack(track.stream_id, track.track_id))
            else:
                subscribe.append(self._tile(track, height))
        return TrackSubscription(tuple(subscribe), tuple(unsubscribe)) if subscribe or unsubscribe else None

    # --- what the focus tells ----------------------------------------------------------------------------

    def announce(self, metadata: Sequence[StreamMetadata]) -> None:
        """Take the focus's metadata: the complete picture of all others."""
        announced: dict[tuple[str, str], _Announced] = {}
        for stream in metadata:
            party = Party(stream.user_id or "", stream.device_id or "")
            if party == self._party:
                self._seen.violations.append(f"own stream {stream.stream_id} announced")
            for track in stream.tracks:
                kind = _kind(stream, track)
                if kind is None:
                    self._seen.violations.append(f"track {track.track_id} without a kind")
                    continue
                announced[stream.stream_id, track.track_id] = _Announced(
                    party, kind, stream.stream_id, track.track_id
                )
                muted = stream.audio_muted if kind == AUDIO else stream.video_muted
                self._seen.track(party, kind).note_mute(muted=muted)
        for key in self._announced.keys() - announced.keys():
            gone = self._announced[key]
            self._seen.track(gone.party, gone.kind).note_pause()
        self._announced = announced
        self._known |= announced.keys()
        self._seen.announced = {}
        for entry in announced.values():
            self._seen.announced.setdefault(entry.party, set()).add(entry.kind)
        self._is_changed = True

    def hear_speakers(self, message: Speakers) -> None:
        """Take the focus's list of active speakers."""
        self._seen.speakers = tuple(Party(s.user_id, s.device_id) for s in message.speakers)
        self._seen.speakers_seen.update(self._seen.speakers)

    # --- media -------------------------------------------------------------------------------------------

    def receive(self, sections: Sequence[ReceiveSection]) -> None:
        """Take over which section carries which track now."""
        gone = self._receivers.keys() - {section.mid for section in sections}
        for mid in gone:
            del self._receivers[mid]
            track = self._received.pop(mid)
            self._seen.track(track.party, track.kind).note_pause()
        for section in sections:
            entry = self._announced.get((section.stream_id, section.track_id))
            if entry is None:
                if (section.stream_id, section.track_id) not in self._known:
                    self._seen.violations.append(
                        f"mid {section.mid} carries an unannounced track:"
                        f" {section.stream_id} {section.track_id}"
                    )
                continue
            if self._received.get(section.mid) == entry:
                continue
            if (entry.kind == AUDIO) != (section.kind == sdp.AUDIO):
                self._seen.violations.append(
                    f"mid {section.mid}: {entry.kind} in a section of {section.kind}"
                )
                continue
            self._received[section.mid] = entry
            self._receivers[section.mid] = self._receiver(entry)

    def see(self, now: Instant, wall_s: float, mid: str, frame: WholeFrame) -> bool:
        """Take a video frame; False where the decoder needs a key frame."""
        receiver = self._receivers.get(mid)
        return not isinstance(receiver, VideoReceiver) or receiver.take(now, wall_s, frame)

    def hear(self, now: Instant, wall_s: float, mid: str, packet: AudioPacket) -> None:
        """Take a packet of sound."""
        receiver = self._receivers.get(mid)
        if isinstance(receiver, AudioReceiver):
            if packet.after_gap:
                receiver.interrupt(now)
            receiver.take(now, wall_s, packet.data, packet.capture_ntp)

    def count(self, mid: str, track: ReceiveTrack) -> None:
        """Take over what a section's RTP stream counted."""
        entry = self._received.get(mid)
        if entry is not None:
            seen = self._seen.track(entry.party, entry.kind)
            seen.packets_received = track.log.packets_received
            seen.packets_lost = track.log.packets_lost
            seen.packets_repaired = track.log.packets_repaired
            seen.nacks_sent = track.log.nacks_sent
            seen.key_frames_asked = track.key_frames_asked
            seen.id_jumps = track.id_jumps

    # --- helpers -----------------------------------------------------------------------------------------

    def _receiver(self, entry: _Announced) -> VideoReceiver | AudioReceiver:
        seen = self._seen.track(entry.party, entry.kind)
        if entry.kind == AUDIO:
            return AudioReceiver(self._scene, entry.party, seen)
        source = Source.SCREEN if entry.kind == SCREEN else Source.CAMERA
        return VideoReceiver(self._scene, entry.party, source, seen)

    def _tile(self, track: _Announced, height: int) -> SubscribedTrack:
        shown = track.party, track.kind
        is_visible = shown not in self._hidden
        if not is_visible:
            self._seen.track(*shown).note_pause()
        return SubscribedTrack(
            track.stream_id,
            track.track_id,
            round(height * 16 / 9),
            height,
            is_pinned=shown in self._pinned,
            is_visible=is_visible,
        )

    def _wanted_height(self, track: _Announced) -> int:
        default = 1 if track.kind == AUDIO else self._height
        return self._heights.get((track.party, track.kind), default)

    def _change_at_once(self) -> None:
        self._is_changed, self._due_at = True, Instant(0)


def _kind(stream: StreamMetadata, track: TrackMetadata) -> str | None:
    if track.kind is None:
        return None
    if track.kind is Kind.AUDIO:
        return AUDIO
    return SCREEN if stream.purpose == SCREENSHARE else VIDEO
