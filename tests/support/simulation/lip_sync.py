"""Whether a picture is shown with the sound that belongs to it, as receivers learn it from sender reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadtest.client import sdp
from sfu.units import NS_PER_MS, NS_PER_S
from tests.support.simulation.audio_receiver import AudioReceiver
from tests.support.simulation.rtp_sender import CLOCK_RATES

if TYPE_CHECKING:
    from tests.support.simulation.video_receiver import VideoReceiver


def lip_sync_ms(audio: AudioReceiver, video: VideoReceiver) -> float | None:
    """How much later than its sound a picture is shown; None while sender reports are missing."""
    heard, shown = _capture_offset_ns(audio), _capture_offset_ns(video)
    return None if heard is None or shown is None else (shown - heard) / NS_PER_MS


def _capture_offset_ns(receiver: AudioReceiver | VideoReceiver) -> int | None:
    """What the sender reports add to the capture time of the newest frame; None before the first.

    Of two tracks of one publisher it is the same, or else they are not in step.
    """
    if receiver.ntp is None or receiver.newest is None:
        return None
    ntp_ns, timestamp = receiver.ntp
    captured_at, newest_timestamp = receiver.newest
    clock_rate = CLOCK_RATES[sdp.AUDIO if isinstance(receiver, AudioReceiver) else sdp.VIDEO]
    ticks = (newest_timestamp - timestamp + 2**31) % 2**32 - 2**31
    return ntp_ns + ticks * NS_PER_S // clock_rate - captured_at
