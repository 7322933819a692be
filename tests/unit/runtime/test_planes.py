from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Final

import pytest

from sfu.config import AUTO, NATIVE, PLANES, REFERENCE, MediaConfig
from sfu.dataplane.reference import ReferencePlane
from sfu.errors import ConfigError
from sfu.runtime.planes import choose_plane
from sfu.units import Instant
from tests.support.fake_plane import FakePlane

if TYPE_CHECKING:
    from collections.abc import Callable

MODULE: Final = "sfu.dataplane.native_plane"


@pytest.fixture
def without_native(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation whose extension was not built."""
    monkeypatch.setitem(sys.modules, MODULE, None)


@pytest.fixture
def with_native(monkeypatch: pytest.MonkeyPatch) -> Callable[[MediaConfig], FakePlane]:
    """One whose extension is a stand-in."""

    def make(config: MediaConfig) -> FakePlane:
        plane = FakePlane(lambda: Instant(0))
        plane.port = config.port
        return plane

    module = ModuleType(MODULE)
    module.__dict__["NativePlane"] = make
    monkeypatch.setitem(sys.modules, MODULE, module)
    return make


@pytest.mark.usefixtures("without_native")
def test_without_an_extension_the_twin_runs_and_the_operator_is_told_why() -> None:
    choice = choose_plane(AUTO)
    assert (choice.name, choice.open) == (REFERENCE, ReferencePlane)
    assert choice.warning.startswith(
        "the data plane is the Python twin: right for a handful of people, not for production; "
    )
    assert MODULE in choice.warning


@pytest.mark.usefixtures("without_native")
def test_who_insists_on_the_native_plane_is_told_what_is_missing() -> None:
    with pytest.raises(ConfigError, match=rf'media\.plane = "native": .*{MODULE}.*"auto"'):
        choose_plane(NATIVE)


@pytest.mark.parametrize("wanted", [AUTO, NATIVE])
def test_an_extension_that_is_there_runs_without_a_warning(
    with_native: Callable[[MediaConfig], FakePlane], wanted: str
) -> None:
    choice = choose_plane(wanted)
    assert (choice.name, choice.warning) == (NATIVE, "")
    assert choice.open is with_native
    assert choice.open(MediaConfig(port=7)).port == 7


@pytest.mark.usefixtures("with_native")
def test_the_twin_can_be_asked_for_beside_the_native_plane() -> None:
    choice = choose_plane(REFERENCE)
    assert (choice.name, choice.open) == (REFERENCE, ReferencePlane)
    assert choice.warning.endswith("media.plane asks for it")


def test_what_is_configured_by_default_is_the_choice_of_the_installation() -> None:
    assert MediaConfig().plane == AUTO
    assert set(PLANES) == {AUTO, NATIVE, REFERENCE}
