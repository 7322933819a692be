"""JSON with one value put in place of another: what a parser meets that somebody has it in for."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hypothesis.strategies import SearchStrategy

Path = tuple[str | int, ...]


def mangled(content: Any, values: SearchStrategy[Any]) -> SearchStrategy[Any]:  # noqa: ANN401  # any JSON
    """Copies of `content` in which one value, at any depth, is another one."""
    return st.builds(_replaced, st.just(content), st.sampled_from(list(_paths(content))), values)


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:  # noqa: ANN401
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _paths(inner, (*path, index))


def _replaced(content: Any, path: Path, value: Any) -> Any:  # noqa: ANN401
    if not path:
        return value
    content = copy.deepcopy(content)
    place = content
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return content
