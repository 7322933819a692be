"""Beside a test that failed: what it comes down to, and what the focus logged."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.venue import Venue
from tests.support import own_network

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


def pytest_configure(config: pytest.Config) -> None:
    own_network.install(config)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    outcome = yield
    report = outcome.get_result()
    venue = getattr(item, "funcargs", {}).get("venue")
    if not report.failed:
        return
    if call.excinfo is not None:
        report.sections.append(("in short", "\n".join(_reasons(call.excinfo.value))))
    if isinstance(venue, Venue):
        report.sections.append(("log of the focus", venue.focus.log_tail()))


def _reasons(error: BaseException) -> Iterator[str]:
    """What is in an exception group, and where it was raised: groups within groups are hard to read."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _reasons(one)
    else:
        frames = traceback.extract_tb(error.__traceback__)
        yield f"{type(error).__name__}: {error}"
        yield from (f"  {frame.filename}:{frame.lineno} {frame.line}" for frame in frames[-3:])
