"""The page's files hold together: imports exist, nothing comes from elsewhere, the policy is kept."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final

import pytest

from signalling.web.public import STATIC

if TYPE_CHECKING:
    from pathlib import Path

VENDOR: Final = STATIC / "vendor"
MODULES: Final = sorted(path for path in STATIC.rglob("*.js") if VENDOR not in path.parents)
IMPORT: Final = re.compile(r"""(?:\bfrom|\bimport)\s*\(?\s*"([^"]+)\"""")
COMMENT: Final = re.compile(r"/\*.*?\*/|^\s*//[^\n]*", re.DOTALL | re.MULTILINE)


def name(path: Path) -> str:
    return str(path.relative_to(STATIC))


def code_of(path: Path) -> str:
    return COMMENT.sub("", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_what_a_module_imports_is_here(path: Path) -> None:
    for imported in IMPORT.findall(code_of(path)):
        assert imported.startswith("."), imported
        target = (path.parent / imported).resolve()
        assert target.is_relative_to(STATIC.resolve()), imported
        # What is fetched from npm may be missing, and the page says so.
        assert target.is_file() or target.is_relative_to(VENDOR.resolve()), imported


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_module_makes_markup_or_code_of_text(path: Path) -> None:
    code = code_of(path)
    for risky in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert risky not in code


def test_the_reference_client_depends_on_nothing_but_its_own_parts() -> None:
    client = [path for path in MODULES if name(path).startswith("focus-client")]
    assert len(client) > 1
    for path in client:
        for imported in IMPORT.findall(code_of(path)):
            assert name((path.parent / imported).resolve()).startswith("focus-client")


class _Markup(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[dict[str, str | None]] = []
        self.references: list[str] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.attributes |= found.keys()
        if tag == "script":
            self.scripts.append(found)
        self.references += [value for key in ("src", "href") if (value := found.get(key))]


@pytest.fixture(scope="module")
def markup() -> _Markup:
    markup = _Markup()
    markup.feed((STATIC / "index.html").read_text(encoding="utf-8"))
    return markup


def test_the_page_keeps_its_own_policy(markup: _Markup) -> None:
    assert markup.scripts
    assert all(script.get("src") for script in markup.scripts)
    assert not {one for one in markup.attributes if one == "style" or one.startswith("on")}


def test_the_page_takes_nothing_from_elsewhere(markup: _Markup) -> None:
    files = [one for one in markup.references if not one.startswith(("#", "data:"))]
    assert files
    for one in files:
        assert (STATIC / one.lstrip("/")).is_file(), one
