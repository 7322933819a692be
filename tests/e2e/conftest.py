"""Shows what the focus logged beside a test that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.venue import Venue

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.CallInfo[None], None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]  # pluggy's, which has no types
    venue = getattr(item, "funcargs", {}).get("venue")
    if report.failed and isinstance(venue, Venue):
        report.sections.append(("log of the focus", venue.focus.log_tail()))
