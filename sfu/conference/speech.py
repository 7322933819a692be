"""Who speaks in a call, told to people and to the allocator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.conference.loudest import Loudest
from sfu.conference.speakers import Speakers
from sfu.conference.turn import SetSpeech
from sfu.conference.values import Source, SpeakersChanged
from sfu.conference.voices import Voices
from sfu.units import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sfu.conference.reports import Counted
    from sfu.conference.values import Speaker
    from sfu.conference.view import AnnouncedTrack
    from sfu.config import ConferenceConfig
    from sfu.units import ConferenceId, Instant, TrackHandle, TransportId


class Speech:
    """Of one call.

    Args:
        conference: the call.
        config: how it is run.
    """

    def __init__(self, conference: ConferenceId, config: ConferenceConfig) -> None:
        self._conference = conference
        self._voices = Voices()
        self._speakers = Speakers(config.speaker_interval_ms)
        self._loudest = Loudest(config.loudest, config.loudest_from)
        self._audible: dict[TrackHandle, TransportId] = {}
        self._sounds: frozenset[TrackHandle] = frozenset()
        self._cameras: dict[TransportId, tuple[TrackHandle, ...]] = {}
        self._allotted = SetSpeech(conference)
        """As the allocator was told last."""

    @property
    def told(self) -> tuple[Speaker, ...]:
        """The active speakers as people were told last."""
        return self._speakers.told

    @property
    def is_listening(self) -> bool:
        """Whether silence, too, is worth a report."""
        return self._speakers.is_listening

    def announce(self, now: Instant, tracks: Iterable[AnnouncedTrack]) -> list[SetSpeech]:
        """These are the tracks of the call now, all of them."""
        sounds, self._cameras = [], {}
        for one in tracks:
            if one.kind is Kind.AUDIO:
                sounds.append(one)
            elif one.source is Source.CAMERA:
                self._cameras[one.owner] = (*self._cameras.get(one.owner, ()), one.track)
        self._audible = {one.track: one.owner for one in sounds if not one.audio_muted}
        self._sounds = frozenset(one.track for one in sounds)
        self._loudest.announce(now, sounds)
        return self._news()

    def report(self, now: Instant, counted: Counted) -> list[SpeakersChanged | SetSpeech]:
        """Take up a tick's levels."""
        # Also of those who are said to be muted: who speaks is heard before that they may is told.
        voices = self._voices.report(now, self._sounds, counted.heard)
        self._loudest.report(now, voices, counted.stating)
        speech = {track: voice.speech for track, voice in voices.items() if voice.speech}
        speakers = self._speakers.report(now, self._audible, speech)
        told = [] if speakers is None else [SpeakersChanged(speakers)]
        return [*told, *self._news()]

    def forget(self, leg: TransportId) -> None:
        """A leg has left."""
        self._speakers.forget(leg)

    def _news(self) -> list[SetSpeech]:
        cameras = tuple(track for leg in self._speakers.spoken for track in self._cameras.get(leg, ()))
        speech = SetSpeech(self._conference, cameras, self._loudest.unheard)
        if speech == self._allotted:
            return []
        self._allotted = speech
        return [speech]
