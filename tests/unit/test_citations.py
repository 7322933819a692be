"""What the sources cite by number can be looked up, and the lists in the protocol are those of the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from signalling.focus.refusals import ErrorCode, Refusal

if TYPE_CHECKING:
    import enum
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
FOLDERS = ("sfu", "signalling", "loadtest", "tests")

_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_LIST = rf"({_NUMBER}(?:(?:, | and |, and ){_NUMBER})*)"
_SECTIONS = re.compile(rf"[Pp]rotocol:? (?:sections? )?{_LIST}|\b{_LIST}(?:, rule [0-9]+)? \[CAP\]")
_RULES = re.compile(rf"[Pp]acket rules? {_LIST}")
_HEADING = re.compile(rf"^#{{2,3}} ({_NUMBER})\.? ", re.MULTILINE)
_RULE = re.compile(r"^([0-9]+)\. \*\*", re.MULTILINE)


def cited(pattern: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """Each number that a source cites, with where."""
    sources = (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")))
    for path in sources:
        # A citation may be broken over two lines of a docstring or a comment.
        text = re.sub(r"\s*\n\s*(?:#:? )?", " ", path.read_text(encoding="utf-8"))
        for match in pattern.finditer(text):
            numbers = next(group for group in match.groups() if group is not None)
            for number in re.findall(_NUMBER, numbers):
                yield number, str(path.relative_to(ROOT))


def protocol() -> str:
    return (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")


def sections() -> set[str]:
    return set(_HEADING.findall(protocol()))


def rules() -> list[str]:
    design = (ROOT / "sfu" / "dataplane" / "DESIGN.md").read_text(encoding="utf-8")
    chapter = design.partition("## Packet rules\n")[2].partition("\n## ")[0]
    return _RULE.findall(chapter)


def test_every_cited_section_of_the_protocol_is_a_heading() -> None:
    found = set(cited(_SECTIONS))
    assert {number for number, _ in found} >= {"2.2", "6.7", "7.2", "8"}
    headings = sections()
    assert sorted(one for one in found if one[0] not in headings) == []


def test_every_cited_packet_rule_is_a_rule() -> None:
    found = set(cited(_RULES))
    assert {number for number, _ in found} >= {"1", "3", "10", "11"}
    known = rules()
    assert sorted(one for one in found if one[0] not in known) == []


def test_packet_rules_are_numbered_without_a_gap() -> None:
    assert rules() == [str(number) for number in range(1, 12)]


def test_no_section_of_the_protocol_has_a_number_twice() -> None:
    headings = _HEADING.findall(protocol())
    assert len(headings) == len(set(headings))
    assert all(heading.partition(".")[0] in headings for heading in headings)


@pytest.mark.parametrize(("head", "closed_list"), [("reason", Refusal), ("code", ErrorCode)])
def test_the_closed_lists_of_the_protocol_are_those_of_the_code(
    head: str, closed_list: type[enum.StrEnum]
) -> None:
    table = protocol().partition(f"| `{head}` | why |\n")[2].partition("\n\n")[0]
    told = [name for row in table.splitlines()[1:] for name in re.findall("`(.*?)`", row.split("|")[1])]
    assert sorted(told) == sorted(closed_list)
