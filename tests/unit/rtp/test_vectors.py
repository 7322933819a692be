"""The vectors that the parsers in Rust are held to are what ours make of the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vectors.rtp.text import PARSERS, line_of

FOLDER = Path(__file__).parents[2] / "vectors" / "rtp"


@pytest.mark.parametrize("parser", PARSERS)
def test_the_vectors_of_a_parser_are_what_it_says(parser: str) -> None:
    lines = (FOLDER / f"{parser}.tsv").read_text(encoding="ascii").splitlines()
    assert [line_of(parser, line.partition("\t")[0]) for line in lines] == lines
    refused = [line for line in lines if "\t!" in line]
    assert refused or parser in {"h264", "av1"}
    assert len(refused) < len(lines)
