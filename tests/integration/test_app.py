"""The command `focus` as an operator runs it: a process with a configuration file, secrets and signals."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
import urllib.error
import urllib.request
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from loadtest.lifeline import bound
from sfu.config import AUTO, REFERENCE
from sfu.errors import TransportError
from sfu.runtime.planes import choose_plane
from signalling.cli.admin import ask
from signalling.config import example_toml
from signalling.matrix.registration import new_registration, write_registration
from signalling.service import FLUSH_S
from signalling.store import FILE_NAME, Store
from signalling.web.paths import DRAIN, STATUS
from tests.support.eventually import eventually
from tests.support.scripted_homeserver import (
    DEVICE_ID,
    UNKNOWN_TOKEN,
    USER_ID,
    Answer,
    ScriptedHomeserver,
    error,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

pytestmark = pytest.mark.integration

FOCUS = Path(sys.executable).parent / "focus"
PASSWORD, TOKEN, NEW_TOKEN = "correct horse", "syt_first_token", "syt_second_token"
HANGUPS = "/sendToDevice/m.call.hangup"
QUICKLY_S = 15.0
"""A generous limit: other tests may be running. Who kills what does not end waits for longer."""


@dataclass
class Ended:
    status: int
    out: str
    err: str


@dataclass
class Process:
    """One `focus` command; what it prints goes to files, as it may be a lot."""

    process: asyncio.subprocess.Process
    folder: Path
    admin_url: str = ""
    media_port: int = 0

    @property
    def out(self) -> str:
        return (self.folder / "out").read_text()

    @property
    def err(self) -> str:
        return (self.folder / "err").read_text()

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.err.splitlines() if line.startswith("{")]

    async def ended(self, patience_s: float = 20.0) -> Ended:
        async with asyncio.timeout(patience_s):
            status = await self.process.wait()
        return Ended(status, self.out, self.err)


async def start(folder: Path, *arguments: str, **secrets: str) -> Process:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FOCUS_")}
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = await asyncio.create_subprocess_exec(
            *bound((FOCUS, *arguments)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=environment | secrets,
        )
    return Process(process, folder)


async def run(folder: Path, *arguments: str, **secrets: str) -> Ended:
    return await (await start(folder, *arguments, **secrets)).ended()


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(type=kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_media_port() -> int:
    """A port that is free over UDP and TCP: media takes both."""
    while True:
        with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket(type=socket.SOCK_STREAM) as tcp:
            udp.bind(("127.0.0.1", 0))
            with suppress(OSError):
                tcp.bind(udp.getsockname())
                return int(udp.getsockname()[1])


def write_config(folder: Path, homeserver_url: str, **more: dict[str, Any]) -> Path:
    tables: dict[str, dict[str, Any]] = {
        "matrix": {"homeserver_url": homeserver_url, "user_id": USER_ID, "device_id": DEVICE_ID},
        "media": {"host": "127.0.0.1", "port": free_media_port()},
        "admin": {"port": free_port(socket.SOCK_STREAM)},
        "web": {"port": 0},
        "log": {"level": "debug"},
    }
    lines = [f"data_dir = {json.dumps(str(folder / 'data'))}"]
    for name in tables | more:
        keys = tables.get(name, {}) | more.get(name, {})
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
    path = folder / "focus.toml"
    path.write_text("\n".join(lines))
    return path


@asynccontextmanager
async def serving(
    folder: Path, homeserver_url: str, secrets: Mapping[str, str] | None = None, **more: dict[str, Any]
) -> AsyncIterator[Process]:
    config = write_config(folder, homeserver_url, **more)
    given = {"FOCUS_PASSWORD": PASSWORD} if secrets is None else secrets
    focus = await start(folder, "serve", "-c", str(config), **given)
    ports = [int(line.split(" = ")[1]) for line in config.read_text().splitlines() if line.startswith("port")]
    focus.media_port, focus.admin_url = ports[0], f"http://127.0.0.1:{ports[1]}"
    try:
        yield focus
    finally:
        if focus.process.returncode is None:
            focus.process.kill()
            await focus.process.wait()


def get(url: str) -> tuple[int, Any]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)
    except OSError:
        return 0, None


def keep_a_leg(folder: Path) -> None:
    """What a process that was killed in a call leaves behind."""
    leg = {
        "user_id": "@alice:localhost",
        "device_id": "A",
        "call_id": "c",
        "conf_id": "conf",
        "session_id": "s",
    }
    store = Store(folder / "data" / FILE_NAME)
    store.set_leg("leg", json.dumps(leg))
    store.close()


async def until(url: str, status: int) -> Any:  # noqa: ANN401  # JSON
    """Wait until a URL answers so; return what it says."""
    async with asyncio.timeout(20):
        while (answer := await asyncio.to_thread(get, url))[0] != status:  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.02)
    return answer[1]


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedHomeserver]:
    async with ScriptedHomeserver() as homeserver:
        homeserver.usual["/login"] = Answer(
            {"user_id": USER_ID, "device_id": DEVICE_ID, "access_token": TOKEN}
        )
        yield homeserver


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cli").mkdir()
    return tmp_path


# --- what needs no focus ----------------------------------------------------------------------------------


async def test_the_version_and_a_configuration_file_are_printed(folder: Path) -> None:
    assert (
        await run(folder, "version")
    ).out == f"matrix-focus 0.1.0\ndata plane: {choose_plane(AUTO).name}\n"
    assert (await run(folder, "config")).out == example_toml()


@pytest.mark.parametrize("command", ["status", "calls", "hops"])
async def test_asking_where_no_focus_is_says_so(folder: Path, command: str) -> None:
    url = f"http://127.0.0.1:{free_port(socket.SOCK_STREAM)}"
    ended = await run(folder, command, "--url", url)
    assert ended.status == 1
    assert ended.err.startswith(f"focus: {url}: no focus answers there")
    assert len(ended.err.splitlines()) == 1


async def test_asking_something_that_is_no_focus_says_so(folder: Path, scripted: ScriptedHomeserver) -> None:
    ended = await run(folder, "status", "--url", scripted.url)
    assert (ended.status, ended.err) == (
        1,
        f"focus: {scripted.url}: answers with status 404: is that a focus?\n",
    )
    assert (await run(folder, "status", "--url", "localhost")).status == 1


async def test_a_focus_of_another_version_is_told_of(folder: Path, scripted: ScriptedHomeserver) -> None:
    scripted.usual[STATUS] = Answer({"plane": "native"})
    ended = await run(folder, "status", "--url", scripted.url)
    assert (ended.status, ended.err) == (
        1,
        "focus: that focus is of another version; --json shows what it answers\n",
    )
    assert (await run(folder, "status", "--json", "--url", scripted.url)).status == 0


@pytest.mark.parametrize("answer", [Answer([]), Answer(b"{"), Answer(b"\xff"), error("M_UNKNOWN", 500)])
async def test_an_answer_that_is_none_is_a_transport_error(
    scripted: ScriptedHomeserver, answer: Answer
) -> None:
    scripted.usual[STATUS] = answer
    with pytest.raises(TransportError, match=r"127\.0\.0\.1"):
        await asyncio.to_thread(ask, scripted.url, STATUS)


# --- configuration that is wrong --------------------------------------------------------------------------


WRONG: list[tuple[dict[str, dict[str, Any]], str]] = [
    ({"media": {"prot": 1}}, "media.prot: unknown key; did you mean media.port?"),
    ({"matrix": {"user_id": ""}}, "matrix.user_id: must be set"),
    ({"media": {"host": "203.0.113.77"}}, "media.host = 203.0.113.77, media.port ="),
    ({"admin": {"host": "203.0.113.77"}}, "admin.host = 203.0.113.77, admin.port ="),
    ({"web": {"host": "203.0.113.77"}}, "web.host = 203.0.113.77, web.port ="),
    (
        {"media": {"advertised_addresses": ["focus.example.org"]}},
        "media.advertised_addresses = 'focus.example.org'",
    ),
    ({"allocation": {"policy": "best"}}, "allocation.policy = 'best': legal are utility, "),
    ({"allocation": {"policy": "none.py"}}, "allocation.policy = '"),
]


async def test_a_wrong_setting_is_one_clear_line_and_exit_code_2(
    tmp_path: Path, scripted: ScriptedHomeserver
) -> None:
    async def fails(number: int, more: dict[str, dict[str, Any]], expected: str) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        # Ports that nobody chooses: those of others who start at the same time are never the same.
        tables = {name: {"port": 0} | more.get(name, {}) for name in ("media", "admin")}
        async with serving(folder, scripted.url, **(more | tables)) as focus:
            ended = await focus.ended(60.0)
        told = [line for line in ended.err.splitlines() if not line.startswith("{")]
        assert (ended.status, ended.out, len(told)) == (2, "", 1), ended.err
        assert told[0].startswith(f"focus: configuration: {expected}")

    async with asyncio.TaskGroup() as group:
        for number, (more, expected) in enumerate(WRONG):
            group.create_task(fails(number, more, expected))


async def test_a_missing_file_is_one_clear_line(folder: Path) -> None:
    ended = await run(folder, "serve", "-c", str(folder / "none.toml"))
    assert (ended.status, ended.err) == (
        2,
        f"focus: configuration: {folder / 'none.toml'}: there is no such file\n",
    )


@pytest.mark.parametrize(
    ("kind", "more", "said"),
    [
        (socket.SOCK_DGRAM, {}, "(UDP and TCP)"),
        (socket.SOCK_STREAM, {}, "(UDP and TCP)"),
        (socket.SOCK_DGRAM, {"tcp": False}, "(UDP)"),
        (socket.SOCK_DGRAM, {"tcp_port": 9}, "(UDP), media.tcp_port = 9 (TCP)"),
    ],
)
async def test_a_port_that_is_taken_is_one_clear_line(
    folder: Path, scripted: ScriptedHomeserver, kind: socket.SocketKind, more: dict[str, Any], said: str
) -> None:
    with closing(socket.socket(type=kind)) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        async with serving(folder, scripted.url, media={"port": port, **more}) as focus:
            ended = await focus.ended()
    assert ended.status == 2
    assert f"media.port = {port} {said}: " in ended.err
    assert "Address already in use" in ended.err


async def test_no_secret_and_a_refused_one_are_clear_lines(
    folder: Path, scripted: ScriptedHomeserver
) -> None:
    async with serving(folder, scripted.url, secrets={}) as focus:
        ended = await focus.ended()
    assert (ended.status, ended.err.splitlines()[-1]) == (
        2,
        "focus: configuration: neither FOCUS_ACCESS_TOKEN nor FOCUS_PASSWORD is set",
    )
    scripted.usual["/login"] = error("M_FORBIDDEN", 403)
    async with serving(folder, scripted.url) as focus:
        ended = await focus.ended()
    assert ended.status == 2
    assert "the homeserver refused the login" in ended.err.splitlines()[-1]


async def test_a_data_folder_serves_one_focus_at_a_time(folder: Path, scripted: ScriptedHomeserver) -> None:
    (folder / "second").mkdir()
    async with serving(folder, scripted.url) as first:
        await until(f"{first.admin_url}/health/live", 200)
        config = write_config(folder, scripted.url)
        second = await run(folder / "second", "serve", "-c", str(config), FOCUS_PASSWORD=PASSWORD)
    assert second.status == 2
    assert "another focus is using it" in second.err.splitlines()[-1]


async def test_a_data_folder_that_is_none_is_a_clear_line(folder: Path, scripted: ScriptedHomeserver) -> None:
    (folder / "data").write_text("a file")
    async with serving(folder, scripted.url) as focus:
        ended = await focus.ended()
    assert ended.status == 2
    assert ended.err.splitlines()[-1].startswith(f"focus: configuration: data_dir = '{folder / 'data'}'")


async def test_what_nobody_expected_is_one_clear_line_and_exit_code_1(
    folder: Path, scripted: ScriptedHomeserver
) -> None:
    store = Store(folder / "data" / FILE_NAME)
    store.set_fact("olm_account", "garbage")
    store.close()
    async with serving(folder, scripted.url) as focus:
        ended = await focus.ended()
    assert ended.status == 1
    assert ended.err.splitlines()[-1].startswith("focus: crashed: ")
    assert focus.events()[-1] == "focus_crashed"
    assert all(line.startswith(("{", "focus: crashed")) for line in ended.err.splitlines())


# --- serving ----------------------------------------------------------------------------------------------


async def test_it_prints_how_clients_find_it_and_warns_of_its_plane(
    folder: Path, scripted: ScriptedHomeserver
) -> None:
    async with serving(folder, scripted.url, media={"plane": REFERENCE}) as focus:
        scripted.sync(next_batch="s1")
        await until(f"{focus.admin_url}/health/ready", 200)
        assert json.loads(focus.out) == {
            "org.matrix_focus.foci": [{"user_id": USER_ID, "device_id": DEVICE_ID}]
        }
        assert "reference_plane" in focus.events()
        shown = await run(folder / "cli", "status", "--url", focus.admin_url)
        assert "reference (the Python twin: for a handful of people)" in shown.out


async def test_health_status_and_calls_are_told(folder: Path, scripted: ScriptedHomeserver) -> None:
    async with serving(folder, scripted.url) as focus:
        assert await until(f"{focus.admin_url}/health/live", 200) == {"live": True}
        await scripted.until("/sync")
        waiting = await until(f"{focus.admin_url}/health/ready", 503)
        assert waiting == {"ready": False, "homeserver": "reachable, the state of rooms is being read"}
        scripted.sync(next_batch="s1")
        assert await until(f"{focus.admin_url}/health/ready", 200) == {
            "ready": True,
            "homeserver": "reachable",
        }

        shown = await run(folder / "cli", "status", "--url", focus.admin_url)
        assert shown.status == 0
        assert f"127.0.0.1, UDP port {focus.media_port}, TCP port {focus.media_port}" in shown.out
        status = json.loads((await run(folder / "cli", "status", "--json", "--url", focus.admin_url)).out)
        assert status["plane"] == choose_plane(AUTO).name
        assert status["policy"]["name"] == "utility"
        assert (status["ready"], status["user_id"], status["device_id"]) == (True, USER_ID, DEVICE_ID)
        assert (status["addresses"], status["port"]) == (["127.0.0.1"], focus.media_port)
        assert status["tcp_port"] == focus.media_port
        assert (await run(folder / "cli", "calls", "--url", focus.admin_url)).out == "0 calls\n"
        calls = await run(folder / "cli", "calls", "--json", FOCUS_ADMIN_URL=focus.admin_url)
        assert json.loads(calls.out) == {"calls": []}
        hops = await run(folder / "cli", "hops", "--url", focus.admin_url)
        assert (hops.status, hops.out) == (0, "No other focus is in any call.\n")
        hops = await run(folder / "cli", "hops", "--json", "--url", focus.admin_url)
        assert json.loads(hops.out) == {"calls": []}
        elsewhere = await run(folder / "cli", "hops", "conf-1", "--url", focus.admin_url)
        assert elsewhere.status == 1
        assert "there is no call conf-1 now" in elsewhere.err
        nobody = await run(folder / "cli", "why", "alice", "bob", "--url", focus.admin_url)
        assert nobody.status == 1
        assert "alice wants no track bob now" in nobody.err


async def test_a_policy_beside_the_configuration_is_told_of(
    folder: Path, scripted: ScriptedHomeserver
) -> None:
    (folder / "mine.py").write_text("def allocate(problem):\n    return problem.previous\n")
    async with serving(folder, scripted.url, allocation={"policy": "mine.py"}) as focus:
        scripted.sync(next_batch="s1")
        await until(f"{focus.admin_url}/health/ready", 200)
        answer = await run(folder / "cli", "status", "--json", "--url", focus.admin_url)
        assert json.loads(answer.out)["policy"] == {
            "name": str(folder / "mine.py"),
            "failures": 0,
            "overruns": 0,
            "resting": False,
            "last_failure": None,
        }


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_quickly_with_0_and_frees_its_sockets(
    folder: Path, scripted: ScriptedHomeserver, number: signal.Signals
) -> None:
    async with serving(folder, scripted.url) as focus:
        scripted.sync(next_batch="s1")
        await until(f"{focus.admin_url}/health/ready", 200)
        focus.process.send_signal(number)
        ended = await focus.ended(QUICKLY_S)
    assert ended.status == 0
    assert focus.events()[-2:] == ["focus_stopping", "focus_stopped"]
    for kind, port in (
        (socket.SOCK_DGRAM, focus.media_port),
        (socket.SOCK_STREAM, focus.media_port),
        (socket.SOCK_STREAM, int(focus.admin_url.rpartition(":")[2])),
    ):
        with closing(socket.socket(type=kind)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))


async def test_a_homeserver_that_is_away_is_waited_for_and_told_of(folder: Path) -> None:
    async with ScriptedHomeserver() as scripted:
        url = scripted.url
    async with serving(folder, url) as focus:
        await until(f"{focus.admin_url}/health/live", 200)
        await eventually(lambda: "homeserver_trouble" in focus.events())
        waiting = await until(f"{focus.admin_url}/health/ready", 503)
        assert waiting["homeserver"].startswith("can't be reached")
        assert focus.out == "", "nobody is sent to a focus that does not serve"
        async with ScriptedHomeserver(port=int(url.rpartition(":")[2])) as again:
            again.sync(next_batch="s1")
            await until(f"{focus.admin_url}/health/ready", 200)


async def test_a_signal_ends_it_also_while_it_waits_for_the_homeserver(folder: Path) -> None:
    async with ScriptedHomeserver() as scripted:
        url = scripted.url
    async with serving(folder, url) as focus:
        await until(f"{focus.admin_url}/health/live", 200)
        focus.process.send_signal(signal.SIGTERM)
        ended = await focus.ended(QUICKLY_S)
    assert ended.status == 0


async def test_what_can_not_be_sent_at_the_end_is_sent_by_the_next_process(
    folder: Path, scripted: ScriptedHomeserver
) -> None:
    keep_a_leg(folder)
    scripted.usual["/sendToDevice/"] = Answer(delay_s=60)
    async with serving(folder, scripted.url) as focus:
        await scripted.until(HANGUPS)
        focus.process.send_signal(signal.SIGTERM)
        ended = await focus.ended(QUICKLY_S + FLUSH_S)
    assert ended.status == 0
    assert "to_device_unsent" in focus.events()
    scripted.usual["/sendToDevice/"] = Answer()
    async with serving(folder, scripted.url):
        _, hangup = await scripted.until(HANGUPS, 2)
    content = hangup.body["messages"]["@alice:localhost"]["A"]
    assert (content["call_id"], content["conf_id"]) == ("c", "conf")
    assert "seq" not in content


async def test_a_second_signal_ends_it_at_once(folder: Path, scripted: ScriptedHomeserver) -> None:
    keep_a_leg(folder)
    scripted.usual["/sendToDevice/"] = Answer(delay_s=60)
    async with serving(folder, scripted.url) as focus:
        await scripted.until(HANGUPS)
        focus.process.send_signal(signal.SIGTERM)
        await eventually(lambda: "focus_stopping" in focus.events())
        focus.process.send_signal(signal.SIGTERM)
        ended = await focus.ended(QUICKLY_S)
    assert ended.status == 1
    assert ended.err.splitlines()[-1] == "focus: ended by a second signal, without telling anybody"
    assert "focus_stopped" not in focus.events()


async def test_secrets_are_never_printed(folder: Path, scripted: ScriptedHomeserver) -> None:
    async with serving(folder, scripted.url) as focus:
        scripted.sync(UNKNOWN_TOKEN)
        scripted.script(
            "/login",
            Answer({"user_id": USER_ID, "device_id": DEVICE_ID, "access_token": TOKEN}),
            Answer({"user_id": USER_ID, "device_id": DEVICE_ID, "access_token": NEW_TOKEN}),
        )
        scripted.sync(next_batch="s1")
        await until(f"{focus.admin_url}/health/ready", 200)
        focus.process.send_signal(signal.SIGTERM)
        ended = await focus.ended()
    assert len(scripted.requests("/login")) == 2
    for secret in (PASSWORD, TOKEN, NEW_TOKEN):
        assert secret not in ended.out + ended.err
    for path in (folder / "data").iterdir():
        assert path.stat().st_mode & 0o077 == 0 or path.name == "focus.lock", path.name
    assert (folder / "data").stat().st_mode & 0o077 == 0


# --- taking it away ---------------------------------------------------------------------------------------


async def test_a_focus_that_its_homeserver_does_not_reach_says_so_and_keeps_its_tokens_to_itself(
    folder: Path, scripted: ScriptedHomeserver
) -> None:
    ping = "/_matrix/client/v1/appservice/"
    scripted.usual |= {
        "/register": Answer({"user_id": USER_ID}),
        "/devices/": Answer(),
        ping: Answer({"errcode": "M_BAD_STATUS", "error": "HTTP 403", "status": 403}, 502),
    }
    port = free_port(socket.SOCK_STREAM)
    registration = new_registration(USER_ID, f"http://127.0.0.1:{port}")
    write_registration(folder / "registration.yaml", registration, USER_ID, overwrite=False)
    tables: dict[str, dict[str, Any]] = {
        "matrix": {"mode": "appservice"},
        "appservice": {"registration": str(folder / "registration.yaml"), "port": port},
    }
    async with serving(folder, scripted.url, {}, **tables) as focus:
        scripted.sync(next_batch="s1")
        await scripted.until("/sync", 2)
        await scripted.until(ping)
        unready = await until(f"{focus.admin_url}/health/ready", 503)
        while "hs_token" not in unready["homeserver"]:
            unready = await until(f"{focus.admin_url}/health/ready", 503)
        scripted.usual[ping] = Answer({"duration_ms": 1})
        await until(f"{focus.admin_url}/health/ready", 200)
        focus.process.terminate()
        ended = await focus.ended()
    assert ended.status == 0
    assert '"appservice": true' in ended.out
    assert not {registration.as_token, registration.hs_token} & set(re.findall(r"[\w-]{20,}", ended.err))


async def test_appservice_mode_without_its_registration_is_one_clear_line(
    folder: Path, scripted: ScriptedHomeserver
) -> None:
    tables: dict[str, dict[str, Any]] = {
        "matrix": {"mode": "appservice"},
        "appservice": {"registration": str(folder / "nowhere.yaml")},
    }
    config = write_config(folder, scripted.url, **tables)
    ended = await run(folder, "serve", "-c", str(config))
    assert ended.status == 2
    assert ended.err.startswith("focus: configuration: appservice.registration = ")
    assert "`focus registration` writes it" in ended.err


async def test_a_focus_drains_and_takes_invites_again_when_that_is_cancelled(
    folder: Path, scripted: ScriptedHomeserver
) -> None:
    async with serving(folder, scripted.url) as focus:
        scripted.sync(next_batch="s1")
        await until(f"{focus.admin_url}/health/ready", 200)
        cli = folder / "cli"
        ended = await run(
            cli, "drain", "--deadline", "60", "--focus", "@b:c/B", "--json", "--url", focus.admin_url
        )
        draining = json.loads(ended.out)["draining"]
        assert 50 <= draining["seconds_left"] <= 60
        assert draining["done"]
        assert "nobody is left" in (await run(cli, "status", "--url", focus.admin_url)).out
        assert (await asyncio.to_thread(get, f"{focus.admin_url}/health/ready"))[0] == 503
        assert (await run(cli, "drain", "--cancel", "--url", focus.admin_url)).status == 0
        assert (await until(f"{focus.admin_url}/health/ready", 200))["ready"]
        assert {"drain_began", "drain_cancelled"} <= set(focus.events())


def refusal(url: str, body: bytes, content_type: str) -> int:
    """The status with which a POST is refused."""
    request = urllib.request.Request(url, body, {"Content-Type": content_type})  # noqa: S310  # our own
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with pytest.raises(urllib.error.HTTPError) as refused:
        opener.open(request, timeout=20)
    refused.value.close()
    return refused.value.code


async def test_what_is_no_word_of_an_operator_drains_nothing(
    folder: Path, scripted: ScriptedHomeserver
) -> None:
    async with serving(folder, scripted.url) as focus:
        scripted.sync(next_batch="s1")
        await until(f"{focus.admin_url}/health/ready", 200)
        url = focus.admin_url + DRAIN
        for body, content_type, status in (
            (b'{"deadline_s": 1}', "text/plain", 415),
            (b"{", "application/json", 400),
            (b"{}", "application/json", 400),
            (b'{"deadline_s": -1}', "application/json", 400),
            (b'{"deadline_s": 1, "foci": [{"user_id": "@a:b"}]}', "application/json", 400),
        ):
            assert await asyncio.to_thread(refusal, url, body, content_type) == status
        assert (await asyncio.to_thread(get, focus.admin_url + STATUS))[1]["draining"] is None


async def test_a_focus_to_dial_instead_is_a_user_and_a_device(folder: Path) -> None:
    ended = await run(folder, "drain", "--focus", "@b:c")
    assert (ended.status, ended.err) == (1, "focus: --focus @b:c: must be USER_ID/DEVICE_ID\n")
