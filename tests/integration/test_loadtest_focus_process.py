"""How a focus is started, watched and ended, with stand-ins that behave well and badly."""

from __future__ import annotations

import signal
import stat
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest

from loadtest.focus_process import FocusProcess, FocusProcessError, FocusSettings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

SERVES = """
import http.server, tomllib
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health/ready" else 404)
        self.end_headers()
        self.wfile.write(b'{"plane": "stand-in"}')
    def log_message(self, *_): pass
with open(sys.argv[3], "rb") as file:
    config = tomllib.load(file)
print("password", os.environ["FOCUS_PASSWORD"], flush=True)
http.server.HTTPServer(("127.0.0.1", config["admin"]["port"]), Handler).serve_forever()
"""


def focus(folder: Path, body: str, **more: dict[str, object]) -> FocusProcess:
    """A focus whose program is a few lines of Python."""
    program = folder / "stand-in"
    program.write_text(f"#!{sys.executable}\nimport os, signal, sys, time\n{body}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    settings = FocusSettings("http://127.0.0.1:1", "@focus:here", "a password", more=more)
    return FocusProcess(folder, settings, program)


async def test_a_focus_is_told_everything_by_file_and_environment(tmp_path: Path) -> None:
    top: dict[str, object] = {"caps": [{"user": "@a:b", "max_bps": 5}]}
    process = focus(tmp_path, SERVES, calls={"require_olm": True}, media={"port": 7}, **{"": top})
    await process.start()
    try:
        await process.wait_ready()
        assert process.pid is not None
        assert process.status is None
    finally:
        await process.stop()
    assert process.status == -signal.SIGTERM
    assert process.log_tail() == "password a password"
    config = tomllib.loads((tmp_path / "focus.toml").read_text())
    assert config == {
        "data_dir": str(tmp_path / "data"),
        "caps": top["caps"],
        "matrix": {
            "homeserver_url": "http://127.0.0.1:1",
            "user_id": "@focus:here",
            "device_id": "FOCUS",
        },
        "media": {"host": "127.0.0.1", "port": 7},
        "admin": {"host": "127.0.0.1", "port": process.admin_port},
        "web": {"host": "127.0.0.1", "port": process.web_port},
        "log": {"level": "info"},
        "calls": {"require_olm": True},
    }
    assert "a password" not in (tmp_path / "focus.toml").read_text()


async def test_a_focus_that_ends_at_start_is_reported_with_its_last_words(tmp_path: Path) -> None:
    process = focus(tmp_path, "print('no such setting', file=sys.stderr)\nsys.exit(2)")
    await process.start()
    with pytest.raises(FocusProcessError, match=r"ended with status 2\nno such setting"):
        await process.wait_ready()
    await process.stop()


async def test_a_focus_that_never_gets_ready_is_given_up(tmp_path: Path) -> None:
    process = focus(tmp_path, "print('waiting', flush=True)\ntime.sleep(60)")
    await process.start()
    try:
        with pytest.raises(FocusProcessError, match=r"not ready within 0\.5 s: .*\nwaiting"):
            await process.wait_ready(0.5)
        assert await process.ask_status() == {}
    finally:
        await process.kill()


async def test_a_focus_that_does_not_listen_to_reason_is_killed(tmp_path: Path) -> None:
    process = focus(tmp_path, f"signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{SERVES}")
    await process.start()
    await process.wait_ready()
    await process.stop(timeout_s=0.2)
    assert process.status == -signal.SIGKILL


async def test_a_program_that_is_missing_is_named(tmp_path: Path) -> None:
    settings = FocusSettings("http://127.0.0.1:1", "@focus:here", "secret")
    process = FocusProcess(tmp_path, settings, tmp_path / "nothing")
    with pytest.raises(FocusProcessError, match="nothing cannot be started"):
        await process.start()
    await process.stop()
    assert "secret" not in repr(settings)
