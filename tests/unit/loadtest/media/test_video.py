from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.media.video import MAX_COUNTER, MAX_SENDER, FrameLabel, Source, draw, read

LABELS = st.builds(
    FrameLabel,
    sender=st.integers(0, MAX_SENDER),
    source=st.sampled_from(Source),
    layer=st.integers(0, 3),
    counter=st.integers(0, MAX_COUNTER),
)


@given(label=LABELS)
def test_a_picture_says_what_was_drawn(label: FrameLabel) -> None:
    assert read(draw(label, 160, 90)[:90]) == label


def test_a_picture_is_read_at_half_its_size() -> None:
    label = FrameLabel(7, Source.SCREEN, 2, 41)
    assert read(draw(label, 640, 360)[:360:2, ::2]) == label


def test_a_picture_made_of_two_halves_is_nobodys() -> None:
    ours, theirs = FrameLabel(1, Source.CAMERA, 0, 5), FrameLabel(2, Source.CAMERA, 0, 6)
    torn = draw(ours, 160, 90)[:90]
    torn[30:] = draw(theirs, 160, 90)[30:90]
    assert read(torn) is None


@pytest.mark.parametrize("level", [0, 90, 255])
def test_a_blank_picture_is_nobodys(level: int) -> None:
    assert read(np.full((90, 160), level, dtype=np.uint8)) is None


def test_one_damaged_pixel_at_a_cells_centre_changes_nothing() -> None:
    label = FrameLabel(3, Source.CAMERA, 1, 9)
    luma = draw(label, 160, 90)[:90]
    luma[5, 10] = 255 - luma[5, 10]
    assert read(luma) == label


def test_a_picture_with_an_unknown_source_is_nobodys() -> None:
    picture = draw(FrameLabel(3, 3, 1, 9), 160, 90)  # type: ignore[arg-type]  # what no sender of ours draws
    assert read(picture[:90]) is None


def test_a_tiny_picture_is_nobodys() -> None:
    assert read(np.zeros((16, 16), dtype=np.uint8)) is None


@pytest.mark.parametrize(("width", "height"), [(16, 90), (160, 31), (161, 90)])
def test_a_size_that_cannot_be_read_back_is_refused(width: int, height: int) -> None:
    with pytest.raises(ValueError, match="small or odd"):
        draw(FrameLabel(1, Source.CAMERA, 0, 0), width, height)


@pytest.mark.parametrize("label", [(MAX_SENDER + 1, 0), (0, MAX_COUNTER + 1), (-1, 0)])
def test_a_label_that_does_not_fit_is_refused(label: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        draw(FrameLabel(label[0], Source.CAMERA, 0, label[1]), 160, 90)
