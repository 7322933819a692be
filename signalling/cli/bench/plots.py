"""A run as a picture: what the path carried, what was allowed and what arrived, and the queue below.

Written as SVG by hand: a library for plots would weigh more than the focus.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

import numpy as np

from sfu.simulation.measures import capacity_bps, rolling_bps

if TYPE_CHECKING:
    from sfu.simulation.recording import Floats, Recording

_WIDTH: Final = 900
_LEFT, _RIGHT, _TOP = 60, 15, 40
_RATES_HEIGHT: Final = 240
_GAP: Final = 40
_QUEUE_HEIGHT: Final = 90
_HEIGHT: Final = _TOP + _RATES_HEIGHT + _GAP + _QUEUE_HEIGHT + 30
_CAPACITY, _QUEUE, _AXIS = "#888", "#b35900", "#444"
_FLOWS: Final = ("#1f6fb4", "#2a9d4a", "#a03db0", "#c63b3b", "#937a00")
_STEPS: Final = (1, 2, 2.5, 5, 10)
_LINES: Final = 5
"""About so many grid lines."""
_POINTS: Final = 900
"""Of one curve: more than pixels are not seen."""


class _Panel:
    """One diagram: from seconds and values to pixels."""

    def __init__(self, top: float, height: float, end_s: float, most: float) -> None:
        self.top, self.height = top, height
        self._end_s, self._most = end_s, most

    def x(self, at_s: float) -> float:
        return _LEFT + at_s / self._end_s * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return self.top + self.height * (1 - min(value, self._most) / self._most)

    def curve(self, at_s: Floats, values: Floats, colour: str, style: str = "") -> str:
        """A line through the finite points."""
        kept = np.isfinite(values)
        points = " ".join(
            f"{self.x(at):.1f},{self.y(value):.1f}"
            for at, value in zip(at_s[kept], values[kept], strict=True)
        )
        return f'<polyline points="{points}" fill="none" stroke="{colour}" {style}/>'

    def grid(self, unit: float, label: str) -> list[str]:
        """Horizontal lines with their values, in units."""
        step = _round_step(self._most / unit)
        lines = []
        for number in range(int(self._most / unit / step) + 1):
            y = self.y(number * step * unit)
            lines.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
            lines.append(_text(_LEFT - 6, y + 4, f"{number * step:g}", anchor="end"))
        lines.append(_text(4, self.top - 12, label))
        return lines


def draw(recording: Recording) -> str:
    """An SVG document of one run."""
    scenario = recording.scenario
    at_s = recording.flows[0].ticks["at_s"]
    carried = capacity_bps(scenario.forward, at_s)
    arrived = [rolling_bps(recording, flow) for flow in range(len(recording.flows))]
    finite = carried[np.isfinite(carried)]
    most_bps = 1.15 * max(float(finite.max(initial=0)), *(float(rates.max()) for rates in arrived), 1e5)
    most_ms = max(50.0, float(recording.queue_ms[np.isfinite(recording.queue_ms)].max(initial=0)))
    rates = _Panel(_TOP, _RATES_HEIGHT, scenario.duration_s, most_bps)
    queue = _Panel(_TOP + _RATES_HEIGHT + _GAP, _QUEUE_HEIGHT, scenario.duration_s, most_ms)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="#fff"/>',
        _text(_LEFT, 16, f"{scenario.name}: {scenario.about}"),
        *rates.grid(1e6, "Mbit/s"),
        *queue.grid(1, "queue, ms"),
        *_seconds(queue, scenario.duration_s),
        rates.curve(at_s, carried, _CAPACITY, 'stroke-width="2" stroke-dasharray="6 4"'),
    ]
    for number, flow in enumerate(recording.flows):
        colour = _FLOWS[number % len(_FLOWS)]
        parts.append(rates.curve(at_s, flow.ticks["target_bps"], colour, 'stroke-opacity="0.35"'))
        parts.append(rates.curve(at_s, arrived[number], colour, 'stroke-width="1.6"'))
    every = max(1, len(recording.queue_ms) // _POINTS)
    parts.append(queue.curve(recording.queue_at_s[::every], recording.queue_ms[::every], _QUEUE))
    legend = (
        "dashed: capacity; pale: target; strong: what arrived in the second before, each flow in its colour"
    )
    parts.append(_text(_WIDTH - _RIGHT, _TOP - 8, legend, anchor="end"))
    return "\n".join((*parts, "</svg>", ""))


def _seconds(panel: _Panel, end_s: float) -> list[str]:
    step = _round_step(end_s)
    ticks = [number * step for number in range(int(end_s / step) + 1)]
    y = panel.top + panel.height + 18
    return [_text(panel.x(at), y, f"{at:g} s" if at else "0", anchor="middle") for at in ticks]


def _round_step(most: float) -> float:
    """A round distance of grid lines."""
    power = 10.0 ** np.floor(np.log10(most / _LINES))
    return float(next(step * power for step in _STEPS if step * power >= most / _LINES - 1e-9))


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{_AXIS}">{escape(words)}</text>'
