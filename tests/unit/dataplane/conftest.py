from __future__ import annotations

import pytest

from tests.support.plane_driver import CORES, PlaneDriver
from tests.support.plane_media import Call


@pytest.fixture(params=CORES)
def driver(request: pytest.FixtureRequest) -> PlaneDriver:
    """A core without peers; each test that takes it runs on every plane."""
    return PlaneDriver(CORES[request.param])


@pytest.fixture
def call(driver: PlaneDriver) -> Call:
    """A publisher and a subscriber, nothing chosen yet."""
    return Call.of(driver)
