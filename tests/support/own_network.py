"""Tests marked `own_network` run in a network namespace of their own (`tests.support.namespace`).

All of them run in one child pytest inside it, fixtures, homeserver and all. Its reports are the reports of
the tests here: names, failures and durations look as if nothing were special.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any, Final

import pytest

from loadtest.lifeline import bound
from tests.support.namespace import NoNamespaceError, environment, inside

if TYPE_CHECKING:
    from collections.abc import Iterator

MARKER: Final = "own_network"
_DESCRIPTION: Final = f"{MARKER}: runs in a network namespace of its own"
_REPORTS_TO: Final = "MATRIX_FOCUS_TEST_REPORTS"
"""In the child: the file descriptor that takes a report a line."""
SILENCE_S: Final = 600.0
"""Without a report for so long, the child hangs: each test has a timeout of its own that is far shorter."""
STOP_S: Final = 20.0
_TAIL_BYTES: Final = 4_000


def install(config: pytest.Config) -> None:
    """Make the marker known, and follow it."""
    config.addinivalue_line("markers", _DESCRIPTION)
    told = os.environ.get(_REPORTS_TO)
    plugin = _Outside(config) if told is None else _Inside(config, int(told))
    config.pluginmanager.register(plugin, MARKER)


class _Inside:
    """In the child: hands on every report."""

    def __init__(self, config: pytest.Config, descriptor: int) -> None:
        self._config = config
        self._reports = os.fdopen(descriptor, "w", encoding="utf-8")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        told = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._reports.write(json.dumps(told) + "\n")
        self._reports.flush()


class _Outside:
    """In the run that was asked for: marked tests are what the child says of them."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._child: _Child | None = None

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if _is_marked(item):
                # The child watches the time.
                item.add_marker(pytest.mark.timeout(0), append=False)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        if not _is_marked(item):
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in self._reports_of(item):
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_sessionfinish(self) -> None:
        if self._child is not None:
            self._child.stop()

    def _reports_of(self, item: pytest.Item) -> Iterator[pytest.TestReport]:
        if self._child is None:
            nodeids = [one.nodeid for one in item.session.items if _is_marked(one)]
            try:
                self._child = _Child(self._config, nodeids)
            except NoNamespaceError as error:
                yield _without_namespace(item, str(error))
                return
        yield from self._child.reports_of(item)


class _Child:
    """The pytest inside."""

    def __init__(self, config: pytest.Config, nodeids: list[str]) -> None:
        self._config = config
        self._buffer = b""
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `stop`
        self._reports, theirs = os.pipe()
        arguments = ("-q", "-p", "no:cacheprovider", f"--rootdir={config.rootpath}", *nodeids)
        try:
            self._process = subprocess.Popen(  # noqa: S603  # ourselves
                # Bound inside: what gains privileges on the way is bound to nobody any more.
                inside(bound((sys.executable, "-m", "pytest", *arguments))),
                cwd=config.rootpath,
                env={**os.environ, **environment(), _REPORTS_TO: str(theirs)},
                pass_fds=(theirs,),
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
            )
        finally:
            os.close(theirs)

    def reports_of(self, item: pytest.Item) -> Iterator[pytest.TestReport]:
        """The reports of a test, as they come: the tests are run in the same order."""
        while (line := self._line()) is not None:
            told = self._config.hook.pytest_report_from_serializable(
                config=self._config, data=json.loads(line)
            )
            if isinstance(told.longrepr, list):
                # Where a skip is; JSON knows no tuples.
                told.longrepr = tuple(told.longrepr)
            yield told
            if (told.nodeid, told.when) == (item.nodeid, "teardown"):
                return
        yield _report(item, "failed", f"the pytest in the network namespace ended or hangs:\n{self._tail()}")

    def stop(self) -> None:
        """End it politely, so that it ends what it started."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
        self._process.kill()
        self._process.wait()
        os.close(self._reports)
        self._said.close()

    def _line(self) -> bytes | None:
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([self._reports], [], [], SILENCE_S)
            data = os.read(self._reports, 1 << 16) if ready else b""
            if not data:
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _tail(self) -> str:
        size = os.fstat(self._said.fileno()).st_size
        self._said.seek(max(0, size - _TAIL_BYTES))
        return self._said.read().decode(errors="replace")


def _is_marked(item: pytest.Item) -> bool:
    return item.get_closest_marker(MARKER) is not None


def _without_namespace(item: pytest.Item, why: str) -> pytest.TestReport:
    """Where nobody sees a skip it is none: on CI, and for root, the test must run."""
    if os.geteuid() == 0 or os.environ.get("CI"):
        return _report(item, "failed", why)
    path, line, _ = item.location
    return _report(item, "skipped", (path, line or 0, why))


def _report(item: pytest.Item, outcome: Any, said: Any) -> pytest.TestReport:  # noqa: ANN401  # pytest's own types
    return pytest.TestReport(item.nodeid, item.location, item.keywords, outcome, said, "call")
