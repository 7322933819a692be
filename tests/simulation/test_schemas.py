"""What is said in simulated calls is held to the schemas of the protocol; what does not fit is a fault."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from sfu.conference.turn import SendData
from sfu.units import TransportId
from signalling.trace.lines import written
from signalling.trace.recorder import Recorder
from signalling.trace.subject import Subject
from signalling.trace.traced import Traced
from tests.support.schemas import ACCEPTED, EVERY, FIRST, SENT, TRUNK, check_lines, validator
from tests.support.simulation.label import Source
from tests.support.simulation.simulation import Simulation
from tests.support.simulation.spread import spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfu.units import Instant


def test_messages_of_a_simulated_call_are_looked_at_and_fit() -> None:
    simulation = Simulation()
    simulation.join("alice", "bob")
    simulation.run_s(3)
    checked = simulation.server.spoken.checked
    assert {key[1:] for key in checked if key[0] == SENT} >= {
        ("to-device", "m.call.answer"),
        ("to-device", "m.call.candidates"),
        ("channel", "m.call.negotiate"),
        ("channel", "m.call.sdp_stream_metadata_changed"),
    }
    assert {key[1:] for key in checked if key[0] == ACCEPTED} >= {
        ("to-device", "m.call.invite"),
        ("channel", "m.call.negotiate"),
        ("channel", "m.call.track_subscription"),
    }
    assert simulation.faults() == []


def test_a_message_that_does_not_fit_is_a_fault() -> None:
    simulation = Simulation()
    simulation.server.spoken.said(SendData(TransportId(1), 0, '{"type":"m.call.ping","content":{"more":1}}'))
    assert len(simulation.faults()) == 1


def test_messages_between_simulated_foci_are_looked_at_and_fit() -> None:
    simulation = spread(3, people=4)
    simulation.run_s(3)
    simulation["bob"].mute(Source.CAMERA)
    simulation["carol"].leave()
    simulation.run_s(2)
    said = {key[1:] for server in simulation.servers for key in server.spoken.checked if key[0] == TRUNK}
    assert said >= {
        ("to-device", "m.call.invite"),
        ("to-device", "m.call.answer"),
        ("to-device", "m.call.hangup"),
        ("channel", "m.call.negotiate"),
        ("channel", "m.call.sdp_stream_metadata_changed"),
        ("channel", "m.call.track_subscription"),
        ("channel", "org.matrix_focus.why"),
    }
    assert simulation.faults() == []


def test_what_is_said_to_clients_is_not_what_is_said_to_foci() -> None:
    simulation = spread(2)
    simulation.run_s(3)
    text = '{"type":"m.call.track_subscription","content":{"subscribe":[],"unsubscribe":[]}}'
    spoken = simulation.server.spoken
    spoken.said(SendData(TransportId(99), 0, text), to_focus=True)
    assert simulation.faults() == []
    spoken.said(SendData(TransportId(99), 0, text))
    assert len(simulation.faults()) == 1


def test_of_many_a_sample_is_looked_at() -> None:
    simulation = Simulation()
    for _ in range(2 * EVERY):
        simulation.server.spoken.said(SendData(TransportId(1), 0, '{"type":"m.call.ping","content":{}}'))
    assert simulation.server.spoken.checked[SENT, "channel", "m.call.ping"] == FIRST + 2


class Notebook:
    """A `Tap` that keeps the lines of a recording, as a file would have them."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.lines: list[dict[str, Any]] = []

    def turn(self, now: Instant, given: object, outputs: Sequence[Any]) -> None:
        self.lines += [json.loads(written(line)) for line in self._recorder.turn(now, given, outputs)]

    def failed(self, now: Instant, given: object, error: Exception) -> None:
        raise AssertionError(now, given) from error


def test_a_recording_of_everybody_tells_what_goes_to_foci_from_what_goes_to_clients() -> None:
    simulation = spread(2)
    server = simulation.server
    subject, identity = Subject(), (server.site.focus.user_id, server.site.focus.device_id)
    notebook = Notebook(Recorder(subject, identity, server.focus.surroundings, "1.2.3"))
    traced = Traced(server.focus)
    traced.tap = notebook
    server.engine = traced
    simulation.run_s(3)
    check = check_lines(notebook.lines)
    assert check.faults == []
    assert {kind for direction, way, kind in check.checked if (direction, way) == (TRUNK, "channel")} >= {
        "m.call.negotiate",
        "m.call.sdp_stream_metadata_changed",
        "m.call.track_subscription",
        "org.matrix_focus.why",
    }
    assert {kind for direction, way, kind in check.checked if (direction, way) == (SENT, "channel")} >= {
        "m.call.negotiate",
        "m.call.sdp_stream_metadata_changed",
    }
    for line in notebook.lines:
        validator("trace.json").validate(line)
    opened = [line for line in notebook.lines if line["type"] == "leg_opened"]
    assert Counter("trunk" in line for line in opened) == {False: 1, True: 1}
