"""What is in `deploy/` fits the focus that it deploys."""

from __future__ import annotations

import configparser
import json
import re
import tomllib
from pathlib import Path

import pytest

from signalling.cli.ending import EXIT_CONFIG
from signalling.config import Config, parse_config

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"


def test_the_configuration_of_the_containers_is_one() -> None:
    config = parse_config(tomllib.loads((DEPLOY / "compose" / "focus.toml").read_text()))
    assert config.matrix.mode == "appservice"
    # In a container, loopback is nobody's.
    assert {config.web.host, config.admin.host, config.appservice.host} == {"0.0.0.0"}  # noqa: S104


def test_ports_are_those_that_the_focus_listens_on() -> None:
    config = Config()
    (exposed,) = re.findall(r"^EXPOSE (.*)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    udp, tcp, page, admin = exposed.split()
    assert (udp, tcp) == (f"{config.media.port}/udp", f"{config.media.wanted_tcp_port}/tcp")
    assert (page, admin) == (f"{config.web.port}/tcp", f"{config.admin.port}/tcp")
    scraped = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    assert f'"focus:{config.admin.port}"' in scraped
    compose = (DEPLOY / "compose.yml").read_text()
    for protocol, port in (("udp", config.media.port), ("tcp", config.media.wanted_tcp_port)):
        assert f'"{port}:{port}/{protocol}"' in compose
    assert f'"127.0.0.1:{config.web.port}:{config.web.port}"' in compose
    # It has no authentication.
    assert f"{config.admin.port}:{config.admin.port}" not in compose
    assert f"focus:{config.appservice.port}" in compose


def test_files_that_containers_are_given_exist() -> None:
    mounted = re.findall(r"^ +- (\.\.?/[^:]+):", (DEPLOY / "compose.yml").read_text(), re.MULTILINE)
    assert mounted
    for path in mounted:
        assert (DEPLOY / path).exists(), path
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    for path in " ".join(copied).split():
        assert (ROOT / path).exists(), path


def test_dashboards_look_for_the_job_that_prometheus_is_told_of() -> None:
    (job,) = re.findall(r"job_name: (\S+)", (DEPLOY / "prometheus" / "prometheus.yml").read_text())
    dashboard = json.loads((ROOT / "grafana" / "dashboards" / "focus.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    assert any(f'up{{job="{job}"' in query for query in queries)


@pytest.fixture
def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as its documentation says
    parser.read(DEPLOY / "focus.service")
    return parser


def test_the_unit_serves_and_does_not_repeat_a_wrong_configuration(unit: configparser.ConfigParser) -> None:
    service = unit["Service"]
    assert " serve -c " in service["ExecStart"]
    assert service["RestartPreventExitStatus"] == str(EXIT_CONFIG)
    assert service["User"] != "root"


def test_no_container_runs_as_root() -> None:
    users = re.findall(r"^USER (\S+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert users == ["focus"]
