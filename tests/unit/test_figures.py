from __future__ import annotations

import json
from io import StringIO
from typing import TYPE_CHECKING

from rich.console import Console

from sfu.figures import Figures, highest, percentile

if TYPE_CHECKING:
    from pathlib import Path


def test_percentiles_lie_between_the_values() -> None:
    assert percentile([4.0, 1.0, 2.0, 3.0], 50) == 2.5
    assert percentile([1.0, 2.0], 100) == 2.0
    assert highest([1.0, 3.0, 2.0]) == 3.0


def test_of_nothing_there_is_no_figure() -> None:
    assert percentile([], 50) is None
    assert highest([]) is None


def test_the_file_holds_the_keys_what_they_come_from_and_what_they_were_measured_on(tmp_path: Path) -> None:
    figures = Figures({"a_ms": 1.26, "b_ms": None}, {"a": [1.26]}, 7, "reference", {"browser": "Chromium"})
    path = tmp_path / "out.json"
    figures.write(path)
    content = json.loads(path.read_text())
    assert (content["a_ms"], content["b_ms"]) == (1.3, None)
    assert content["raw"] == {"a": [1.26]}
    assert (content["rounds"], content["plane"], content["browser"]) == (7, "reference", "Chromium")
    assert content["machine"].keys() == {"cores", "cpu", "kernel"}
    assert {"commit", "date"} <= content.keys()


def test_faults_stand_in_the_file_and_below_the_keys(tmp_path: Path) -> None:
    figures = Figures({"ratio": 0.41234}, {}, 4, None, digits=3, faults=("2.000% of the packets were lost",))
    path = tmp_path / "out.json"
    figures.write(path)
    content = json.loads(path.read_text())
    assert (content["ratio"], content["faults"]) == (0.412, ["2.000% of the packets were lost"])
    console = Console(record=True, width=100, file=StringIO())
    figures.show(console)
    assert "not valid: 2.000% of the packets were lost" in console.export_text()
