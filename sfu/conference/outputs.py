"""What a call asks for: all that its runtime and its signalling are to do."""

from __future__ import annotations

from sfu.conference.turn import RuntimeOutput
from sfu.conference.values import SignallingOutput

ConferenceOutput = RuntimeOutput | SignallingOutput
Outputs = list[ConferenceOutput]
"""In the order in which they are to be done."""
