from __future__ import annotations

import numpy as np
import pytest

from loadtest.media.audio import WINDOW_FRAMES, Hearing, ToneListener, encode_tone, silence, tone_hz


def listen(packets: list[bytes]) -> list[Hearing]:
    listener = ToneListener()
    return [heard for packet in packets if (heard := listener.hear(packet)) is not None]


@pytest.mark.parametrize("sender", [0, 1, 31, 63])
def test_a_tone_names_its_sender_over_the_seam_of_the_loop(sender: int) -> None:
    loop = list(encode_tone(sender))
    heard = listen(loop + loop)
    assert all(hearing.is_tone_of(sender) for hearing in heard[1:])
    assert sum(hearing.frames for hearing in heard) == 2 * len(loop)


def test_a_tone_is_not_its_neighbours() -> None:
    heard = listen(list(encode_tone(5)))
    assert not any(hearing.is_tone_of(4) or hearing.is_tone_of(6) for hearing in heard)


def test_tones_repeat_after_64_senders() -> None:
    assert tone_hz(3) == tone_hz(67)


def test_silence_is_heard_as_silence() -> None:
    heard = listen([silence()] * 3 * WINDOW_FRAMES)
    assert heard == [Hearing(frames=1, tone_hz=None, is_silent=True)] * 3 * WINDOW_FRAMES


def test_two_tones_at_once_are_nobodys() -> None:
    first, second = encode_tone(0), encode_tone(40)
    mixed = [packet for pair in zip(first, second, strict=True) for packet in pair]
    heard = listen(mixed)[1:]
    assert not any(hearing.is_tone_of(0) or hearing.is_tone_of(40) for hearing in heard)


def test_noise_in_place_of_opus_is_nobodys() -> None:
    rng = np.random.default_rng(1)
    packets = [rng.integers(0, 256, 80, dtype=np.uint8).tobytes() for _ in range(50)]
    heard = listen(packets)
    assert heard
    assert not any(hearing.is_tone_of(sender) for hearing in heard for sender in range(64))


@pytest.mark.parametrize("spoken", range(1, 12))
@pytest.mark.parametrize("sender", [0, 21, 63])
def test_a_tone_between_silences_is_never_somebody_elses(sender: int, spoken: int) -> None:
    loop = encode_tone(sender)
    heard = listen([silence()] * 3 + list(loop[:spoken]) + [silence()] * 3 + list(loop[20:30]))
    tones = [hearing for hearing in heard if not hearing.is_silent]
    assert tones
    assert all(hearing.is_tone_of(sender) for hearing in tones)


def test_an_interruption_judges_what_was_heard_and_starts_anew() -> None:
    listener = ToneListener()
    loop = encode_tone(2)
    for packet in loop[: WINDOW_FRAMES - 1]:
        assert listener.hear(packet) is None
    cut = listener.interrupt()
    assert cut is not None
    assert cut.frames == WINDOW_FRAMES - 1
    assert cut.is_tone_of(2)
    assert listener.hear(loop[WINDOW_FRAMES + 3]) is None
    assert listener.interrupt() is None
