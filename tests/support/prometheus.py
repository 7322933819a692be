"""Debian's Prometheus, scraping one focus."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from loadtest.lifeline import bound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FETCH: Final = Path(__file__).parents[2] / "scripts" / "fetch_prometheus.sh"
SCRAPE_INTERVAL_S: Final = 1
FETCH_TIMEOUT_S: Final = 120.0
START_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.1


class Prometheus:
    """One that runs."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._url = url
        self._http = http

    async def ask(self, query: str) -> list[dict[str, Any]]:
        """The series that a query gives now.

        Raises:
            ValueError: Prometheus does not understand it; the text says why.
        """
        async with self._http.post(f"{self._url}/api/v1/query", data={"query": query}) as answer:
            told = await answer.json()
        if told["status"] != "success":
            raise ValueError(f"{query}: {told['error']}")
        series: list[dict[str, Any]] = told["data"]["result"]
        return series


@contextlib.asynccontextmanager
async def prometheus(folder: Path, target: str) -> AsyncIterator[Prometheus]:
    """Scrape `target` (host and port) as the job `focus`, every second.

    Args:
        folder: is empty.
        target: where metrics are.
    """
    program = await _program()
    port = _free_port()
    job = {"job_name": "focus", "static_configs": [{"targets": [target]}]}
    settings = {"global": {"scrape_interval": f"{SCRAPE_INTERVAL_S}s"}, "scrape_configs": [job]}
    # YAML contains JSON.
    (folder / "prometheus.yml").write_text(json.dumps(settings), encoding="utf-8")
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *bound(
                (
                    program,
                    f"--config.file={folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                )
            ),
            stdout=log,
            stderr=log,
        )
    try:
        async with aiohttp.ClientSession() as http:
            url = f"http://127.0.0.1:{port}"
            async with asyncio.timeout(START_TIMEOUT_S):
                while not await _is_ready(http, url):
                    assert process.returncode is None, (folder / "log").read_text()
                    await asyncio.sleep(_POLL_S)
            yield Prometheus(url, http)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _program() -> str:
    process = await asyncio.create_subprocess_exec(FETCH, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(FETCH_TIMEOUT_S):
        out, _ = await process.communicate()
    assert process.returncode == 0, "Debian's Prometheus could not be fetched"
    return out.decode().strip()


async def _is_ready(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(f"{url}/-/ready") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
