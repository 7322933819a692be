from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sfu.streams.audio_level import SILENT, AudioLevelMeter, Loudness


def test_silence_is_what_no_packet_says() -> None:
    assert AudioLevelMeter().take() == Loudness(SILENT, voice=False)


@given(st.lists(st.tuples(st.integers(0, 127), st.booleans()), min_size=1))
def test_the_loudest_packet_of_an_interval_counts(packets: list[tuple[int, bool]]) -> None:
    meter = AudioLevelMeter()
    for level, voice in packets:
        meter.received(level, voice=voice)
    assert meter.take() == Loudness(
        min(level for level, _ in packets), voice=any(voice for _, voice in packets)
    )
    assert meter.take() == Loudness(SILENT, voice=False)
