"""What tests of several folders share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import hypothesis
import pytest

from loadtest.homeserver.server import homeservers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtest.homeserver.server import Homeserver


# The same examples on every run, on slow machines too; `HYPOTHESIS_PROFILE=explore` looks for new ones.
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=1_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(scope="session")
def homeserver() -> Iterator[Homeserver]:
    """One real Synapse for the whole run: take users and rooms of your own (`tests.support.homeserver`).

    Leave it running; a test that stops or pauses it takes `own_homeserver`.
    """
    with homeservers() as (server,):
        yield server


@pytest.fixture
def own_homeserver() -> Iterator[Homeserver]:
    """A real Synapse that this test may kill, pause and start again."""
    with homeservers() as (server,):
        yield server
