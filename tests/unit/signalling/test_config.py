from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sfu.config import AllocationConfig
from sfu.errors import ConfigError
from sfu.runtime.policies import POLICIES
from signalling.config import (
    Config,
    Secrets,
    example_toml,
    load_config,
    load_secrets,
    parse_config,
)
from signalling.events.room_state import FocusDevice
from signalling.focus.caps import CapRule
from signalling.focus.cascade.settings import ALONE, CascadeSettings, RelayRule

CAPS = """
[[caps]]
user = "@alice:example.org"
max_bps = 2_000_000

[[caps]]
room = "!r:example.org"
server = "example.net"
max_height = 360
max_videos = 9
"""
EXAMPLE = Path(__file__).parents[3] / "deploy" / "config.example.toml"


def numbers() -> list[tuple[str, str, float | None, float | None]]:
    found = []
    config = Config()
    for branch in dataclasses.fields(config):
        value = getattr(config, branch.name)
        if dataclasses.is_dataclass(value):
            found += [
                (branch.name, item.name, item.metadata.get("low"), item.metadata.get("high"))
                for item in dataclasses.fields(value)
                if isinstance(getattr(value, item.name), (int, float))
                and not isinstance(getattr(value, item.name), bool)
            ]
    return found


def test_nothing_said_is_the_defaults() -> None:
    assert parse_config({}) == Config()


def test_the_example_file_is_made_from_the_config_tree() -> None:
    assert EXAMPLE.read_text(encoding="utf-8") == example_toml(), (
        "run: .venv/bin/focus config > deploy/config.example.toml"
    )


def test_the_example_says_the_defaults() -> None:
    assert parse_config(tomllib.loads(example_toml())) == Config()


@pytest.mark.parametrize(("branch", "name", "low", "high"), numbers())
def test_every_bound_is_kept(branch: str, name: str, low: float | None, high: float | None) -> None:
    if low is not None:
        parse_config({branch: {name: low}})
        with pytest.raises(ConfigError, match=rf"{branch}\.{name} = .*legal is"):
            parse_config({branch: {name: low - 1}})
    if high is not None:
        parse_config({branch: {name: high}})
        with pytest.raises(ConfigError, match=rf"{branch}\.{name} = .*legal is"):
            parse_config({branch: {name: high + 1}})


def test_an_unknown_key_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(ConfigError, match=r"media\.prot: unknown key; did you mean media\.port\?"):
        parse_config({"media": {"prot": 1}})
    with pytest.raises(ConfigError, match=r"zzz: unknown key; known are"):
        parse_config({"zzz": 1})


@pytest.mark.parametrize(
    "source",
    [
        {"media": 7},
        {"media": {"port": "10000"}},
        {"media": {"port": True}},
        {"media": {"host": 7}},
        {"media": {"advertised_addresses": "203.0.113.7"}},
        {"media": {"advertised_addresses": [7]}},
        {"matrix": {"homeserver_url": "example.org"}},
        {"web": {"homeserver_url": "example.org"}},
        {"matrix": {"user_id": "focus"}},
        {"matrix": {"user_id": "@focus"}},
        {"matrix": {"device_id": ""}},
        {"log": {"format": "xml"}},
        {"log": {"level": "loud"}},
        {"conference": {"codecs": ["H265"]}},
    ],
)
def test_a_wrong_value_is_refused_with_its_key(source: dict[str, Any]) -> None:
    (branch,) = source
    with pytest.raises(ConfigError, match=branch):
        parse_config(source)


def test_a_policys_file_stands_beside_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "focus.toml"
    for wanted, expected in {
        "mine.py": str(tmp_path / "mine.py"),
        "/etc/focus/mine.py": "/etc/focus/mine.py",
        "jvb_like": "jvb_like",
    }.items():
        path.write_text(f'[allocation]\npolicy = "{wanted}"\n', encoding="utf-8")
        assert load_config(path).allocation.policy == expected


def test_the_setting_names_every_policy() -> None:
    (policy,) = [one for one in dataclasses.fields(AllocationConfig) if one.name == "policy"]
    assert re.findall(r'"(\w+)"', policy.metadata["effect"]) == list(POLICIES)
    assert policy.default in POLICIES


def test_ceilings_for_some_are_read() -> None:
    caps = parse_config(tomllib.loads(CAPS)).caps
    assert caps == (
        CapRule(user="@alice:example.org", max_bps=2_000_000),
        CapRule(room="!r:example.org", server="example.net", max_height=360, max_videos=9),
    )


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ({"max_bps": 1}, r"caps\[1\]: must name a user, a room or a server"),
        ({"user": "@a:b"}, r"caps\[1\]: must have max_bps, max_height or max_videos"),
        ({"user": "a:b", "max_bps": 1}, r"caps\[1\]\.user = 'a:b': must be a whole user id"),
        ({"room": "#alias:b", "max_bps": 1}, r"caps\[1\]\.room = '#alias:b': must be a room id"),
        ({"server": "@a:b", "max_bps": 1}, r"caps\[1\]\.server = '@a:b': must be a name"),
        ({"server": "https://b", "max_bps": 1}, r"caps\[1\]\.server = 'https://b': must be a name"),
        ({"server": "b", "max_bps": "2M"}, r"caps\[1\]\.max_bps = '2M': must be a whole number"),
        ({"server": "b", "max_bps": -1}, r"caps\[1\]\.max_bps = -1: legal is 0 to inf"),
        ({"server": "b", "max_height": 65_536}, r"caps\[1\]\.max_height = 65536: legal is 0 to 65535"),
        (
            {"server": "b", "max_video": 1},
            r"caps\[1\]\.max_video: unknown key; did you mean caps\[1\]\.max_videos",
        ),
        (7, r"caps\[1\]: must be a table"),
    ],
)
def test_a_ceiling_that_is_none_is_refused_with_its_key(rule: object, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse_config({"caps": [{"room": "!r", "max_videos": 1}, rule]})


RELAY = {"user_id": "@focus:b", "device_id": "FOCUS"}


def branch(focus: str, parent: str) -> dict[str, str]:
    return {
        "user_id": f"@focus:{focus}",
        "device_id": "FOCUS",
        "parent_user_id": f"@focus:{parent}",
        "parent_device_id": "FOCUS",
    }


def grown(*branches: dict[str, str]) -> dict[str, Any]:
    relays = [{"user_id": f"@focus:{name}", "device_id": "FOCUS"} for name in "abc"]
    return {"max_hops": 4, "relays": relays, "tree": list(branches)}


def test_a_tree_is_what_it_says() -> None:
    (first, second) = parse_config({"cascade": grown(branch("a", "b"), branch("d", "b"))}).cascade.tree
    assert (first.focus, first.parent) == (FocusDevice("@focus:a", "FOCUS"), FocusDevice("@focus:b", "FOCUS"))
    assert (second.focus, second.parent) == (FocusDevice("@focus:d", "FOCUS"), first.parent)


def test_other_foci_are_let_in_unless_the_operator_says_otherwise() -> None:
    assert parse_config({}).cascade == CascadeSettings()
    assert parse_config({}).cascade.enabled
    assert parse_config({"cascade": {"enabled": False}}).cascade == ALONE
    source = {"enabled": True, "max_hops": 2, "relays": [RELAY], "budget_bps": 5_000_000}
    cascade = parse_config({"cascade": source}).cascade
    assert (cascade.enabled, cascade.max_hops, cascade.budget_bps) == (True, 2, 5_000_000)
    assert cascade.relays == (RelayRule("@focus:b", "FOCUS"),)


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ({"relays": [RELAY]}, r"cascade\.max_hops = 1: must be 2 or more"),
        (
            {"relays": [{"user_id": "focus:b", "device_id": "F"}]},
            r"cascade\.relays\[0\]\.user_id = 'focus:b'",
        ),
        ({"relays": [RELAY, {"user_id": "@focus:b"}]}, r"cascade\.relays\[1\]\.device_id: must be set"),
        ({"relays": [RELAY, RELAY], "max_hops": 2}, r"cascade\.relays: must name each focus once"),
        ({"relays": [{"user": "@focus:b"}]}, r"cascade\.relays\[0\]\.user: unknown key"),
        ({"relays": ["@focus:b"]}, r"cascade\.relays\[0\]: must be a table"),
        ({"relays": RELAY}, r"cascade\.relays = .*: must be an array"),
        ({"tree": [branch("a", "b")]}, r"cascade\.tree\[0\]\.parent_user_id = '@focus:b': must be one of"),
        (grown(branch("a", "b"), branch("a", "c")), r"cascade\.tree\[1\]: @focus:a has a parent already"),
        (grown(branch("b", "b")), r"cascade\.tree\[0\]: @focus:b is its own ancestor"),
        (
            grown(branch("b", "c"), branch("a", "b"), branch("c", "a")),
            r"cascade\.tree\[2\]: @focus:c is its own ancestor",
        ),
        (grown(branch("a", "b") | {"user_id": "a"}), r"cascade\.tree\[0\]\.user_id = 'a'"),
        (grown(branch("a", "b") | {"parent_user_id": ""}), r"cascade\.tree\[0\]\.parent_user_id = ''"),
        (grown(branch("a", "b") | {"device_id": ""}), r"cascade\.tree\[0\]\.device_id: must be set"),
    ],
)
def test_a_relay_that_is_none_is_refused_with_its_key(source: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse_config({"cascade": source})


def test_what_operators_are_told_to_write_is_read() -> None:
    text = (EXAMPLE.parents[1] / "docs" / "operators.md").read_text(encoding="utf-8")
    shown = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    configs = [parse_config(tomllib.loads(one)) for one in shown]
    assert [len(one.caps) for one in configs if one.caps] == [3]


def test_the_example_shows_how_a_ceiling_is_written() -> None:
    shown = example_toml().partition("#[[caps]]")[2]
    keys = re.findall(r"^#(\w+) =", shown, re.MULTILINE)
    assert keys == [one.name for one in dataclasses.fields(CapRule)]


def test_a_whole_number_is_taken_for_a_number() -> None:
    assert parse_config({"media": {"consent_timeout_s": 10}}).media.consent_timeout_s == 10.0


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "focus.toml"
    path.write_text('[matrix]\nuser_id = "@focus:a"\n', encoding="utf-8")
    assert load_config(path).matrix.user_id == "@focus:a"


@pytest.mark.parametrize("text", ["[media", "\x00"])
def test_a_broken_file_is_a_config_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "focus.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"focus\.toml"):
        load_config(path)


def test_a_missing_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_config(tmp_path / "focus.toml")


def test_secrets_come_from_the_environment_or_a_file(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("hush\n", encoding="utf-8")
    assert load_secrets({"FOCUS_ACCESS_TOKEN": "syt"}) == Secrets(access_token="syt")
    assert load_secrets({"FOCUS_PASSWORD_FILE": str(path)}) == Secrets(password="hush")
    with pytest.raises(ConfigError, match="FOCUS_PASSWORD_FILE"):
        load_secrets({"FOCUS_PASSWORD_FILE": str(tmp_path / "none")})


def test_secrets_are_never_shown() -> None:
    assert "hush" not in repr(Secrets(password="hush", access_token="hush"))


def test_a_mode_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"matrix\.mode = 'bridge': legal are member, appservice"):
        parse_config({"matrix": {"mode": "bridge"}})


def test_a_plane_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"media\.plane = 'fast': legal are auto, native, reference"):
        parse_config({"media": {"plane": "fast"}})


def test_appservice_mode_needs_its_registration() -> None:
    with pytest.raises(ConfigError, match=r"appservice\.registration: must be set"):
        parse_config({"matrix": {"mode": "appservice"}})
    config = parse_config({"matrix": {"mode": "appservice"}, "appservice": {"registration": "r.yaml"}})
    assert config.appservice.registration == "r.yaml"
