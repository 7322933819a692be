"""What each layer of every encoding takes and shows, made of what was measured of its temporal layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from sfu.rows import MAX_TEMPORAL

if TYPE_CHECKING:
    from sfu.allocation.rates import BoolArray, FloatArray, IntArray, Measured

AUDIO_BPS: Final = 40_000.0
ENCODING_BPS: Final = (120_000.0, 300_000.0, 1_700_000.0)
"""Costs that are assumed before they are measured: the encodings' ceilings of protocol section 7.2."""

USUAL_FRAME_RATE: Final = 30.0
"""Frames a second before they are counted."""

LEAST_FRAME_RATE: Final = 0.5
"""Frames a second of a temporal layer above the first that is there to be left out. Lower: one that has ended
counts for longer. Higher: the upper layers of a slow screen share can't be left out."""


@dataclass(frozen=True, slots=True)
class EncodingLayers:
    """(MAX_TEMPORAL, encodings) of each temporal layer with those below. Of what is not there: the top's."""

    costs_bps: FloatArray
    frame_rates: FloatArray
    is_there: BoolArray
    is_known: BoolArray
    """(encodings,) its rate was measured, and for long enough."""
    top: IntArray
    """(encodings,) the highest that is there: with it all of an encoding is given, known or not."""


def layers_of(measured: Measured, encoding: IntArray) -> EncodingLayers:
    """Derive layers.

    Args:
        measured: (encodings,).
        encoding: (encodings,) the number of each in its track.
    """
    # Before it has settled, a temporal layer may have had one frame or none: they are not told apart.
    is_settled = measured.settled >= 1.0
    # What is not known yet is nothing: of NaN and a number, fmax takes the number.
    frames = np.fmax(measured.temporal_frame_rates.T, 0.0) * is_settled
    is_counted = frames >= LEAST_FRAME_RATE
    is_counted[0] = True
    top = MAX_TEMPORAL - 1 - is_counted[::-1].argmax(axis=0)
    temporal = np.arange(MAX_TEMPORAL)[:, None]
    bits = np.cumsum(np.fmax(measured.temporal_bps.T, 0.0), axis=0)
    whole = measured.rates_bps
    is_measured = np.isfinite(whole) & (whole > 0)
    assumed = np.array(ENCODING_BPS)[encoding]
    total = np.where(is_measured, whole + (1.0 - measured.settled) * assumed, assumed)
    below_top = temporal < top
    parts = np.where(below_top, bits / np.maximum(bits[-1], 1.0), 1.0)
    shown = np.cumsum(frames, axis=0)
    shown = np.where(below_top, shown, shown[-1])
    return EncodingLayers(
        costs_bps=np.maximum(total * parts, 1.0),
        frame_rates=np.where(shown[-1] > 0, shown, USUAL_FRAME_RATE),
        is_there=is_counted & (temporal <= top),
        is_known=is_measured & is_settled,
        top=top,
    )
