from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from signalling.config import LogConfig, Secrets
from signalling.logs import set_up_logs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == "", "standard output belongs to what programs read"
    return [json.loads(line) for line in captured.err.splitlines()]


def test_a_line_is_json_with_the_event_first_and_then_the_facts(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(LogConfig())
    structlog.get_logger().info("leg_answered", leg=7, conference=1)
    (line,) = lines(capsys)
    assert list(line) == ["event", "level", "timestamp", "leg", "conference"]
    assert (line["event"], line["level"], line["leg"]) == ("leg_answered", "info", 7)


def test_an_exception_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(LogConfig())
    try:
        raise ValueError("41 after 57")
    except ValueError:
        structlog.get_logger().exception("internal_failure")
    (line,) = lines(capsys)
    assert line["level"] == "error"
    assert "ValueError: 41 after 57" in line["exception"]


def test_libraries_log_through_the_same_door_and_only_what_they_warn_of(
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_up_logs(LogConfig(level="debug"))
    for name in ("mau.http", "aiortc.sctp", "aioice", "aiohttp.server", "asyncio"):
        logging.getLogger(name).info("chatter")
        logging.getLogger(name).warning("trouble with %s", name)
    logging.getLogger("another").info("heard")
    assert [line["event"] for line in lines(capsys)] == [
        "trouble with mau.http",
        "trouble with aiortc.sctp",
        "trouble with aioice",
        "trouble with aiohttp.server",
        "trouble with asyncio",
        "heard",
    ]


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_less_than_the_level_is_not_logged(
    capsys: pytest.CaptureFixture[str], level: str, expected: list[str]
) -> None:
    set_up_logs(LogConfig(level=level))
    log = structlog.get_logger()
    for method in (log.debug, log.info, log.warning, log.error):
        method("something")
    assert [line["level"] for line in lines(capsys)] == expected


def test_the_console_format_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(LogConfig(format="console"))
    structlog.get_logger().info("leg_answered", leg=7)
    (line,) = capsys.readouterr().err.splitlines()
    assert "leg_answered" in line
    assert "leg=7" in line
    assert not line.startswith("{")


def test_a_secret_that_is_logged_by_mistake_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(LogConfig())
    structlog.get_logger().info("oops", secrets=Secrets(password="hush", access_token="hush"))
    assert "hush" not in capsys.readouterr().err
