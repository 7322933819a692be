from __future__ import annotations

import itertools
from typing import Any

import av
import numpy as np
import pytest

from loadtest.media.clips import CLIP_FRAMES, SIMULCAST, Clip, ClipPlayer, VideoFormat, encode_clips, follows
from loadtest.media.video import FrameLabel, Source, read

SMALL = VideoFormat(width=320, height=180)


@pytest.fixture(scope="module")
def clips() -> tuple[Clip, ...]:
    return encode_clips(9, Source.CAMERA, SMALL)


def decoded(codec: Any, payload: bytes) -> FrameLabel | None:  # noqa: ANN401  # PyAV's decoder
    (picture,) = codec.decode(av.Packet(payload))
    plane = picture.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return read(rows[: picture.height, : picture.width])


def test_every_frame_of_every_layer_says_whose_it_is(clips: tuple[Clip, ...]) -> None:
    for clip in clips:
        codec = av.CodecContext.create("vp8", "r")
        labels = [decoded(codec, frame.payload) for frame in clip.frames]
        assert labels == [FrameLabel(9, Source.CAMERA, clip.layer.index, n) for n in range(CLIP_FRAMES)]


def test_layers_shrink_by_their_scale(clips: tuple[Clip, ...]) -> None:
    sizes = {clip.layer.rid: (clip.width, clip.height) for clip in clips}
    assert sizes == {"f": (320, 180), "h": (160, 90), "q": (80, 44)}


def test_larger_layers_cost_more() -> None:
    clips = encode_clips(9, Source.CAMERA, VideoFormat())
    sizes = [sum(len(frame.payload) for frame in clip.frames) for clip in clips]
    assert sizes == sorted(sizes, reverse=True)
    assert [layer.rid for layer in SIMULCAST] == ["f", "h", "q"]


def test_only_the_first_frame_of_a_clip_is_a_key_frame(clips: tuple[Clip, ...]) -> None:
    for clip in clips:
        assert [frame.is_key for frame in clip.frames] == [True] + [False] * (CLIP_FRAMES - 1)


def test_a_player_loops_and_its_counters_follow(clips: tuple[Clip, ...]) -> None:
    player = ClipPlayer(clips[2])
    counters = [player.next_frame()[0] for _ in range(2 * CLIP_FRAMES + 1)]
    assert counters == [*range(CLIP_FRAMES), *range(CLIP_FRAMES), 0]
    assert all(follows(a, b) for a, b in itertools.pairwise(counters))


def test_a_restarted_player_goes_on_decodably(clips: tuple[Clip, ...]) -> None:
    player = ClipPlayer(clips[1])
    codec = av.CodecContext.create("vp8", "r")
    for _ in range(7):
        decoded(codec, player.next_frame()[1].payload)
    player.restart()
    counter, frame = player.next_frame()
    assert (counter, frame.is_key) == (0, True)
    assert decoded(codec, frame.payload) == FrameLabel(9, Source.CAMERA, 1, 0)
    assert player.layer.rid == "h"


def test_a_skipped_counter_does_not_follow() -> None:
    assert not follows(4, 6)
    assert not follows(4, 4)
