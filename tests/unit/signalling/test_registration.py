from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Any

import pytest

from sfu.errors import ConfigError
from signalling.cli.registration import make_registration
from signalling.config import AppserviceConfig, Config, MatrixConfig
from signalling.matrix.registration import new_registration, read_registration, write_registration

if TYPE_CHECKING:
    from pathlib import Path

US = "@focus:example.org:8448"
URL = "http://focus:9191"


def written(path: Path, **changes: Any) -> Path:  # noqa: ANN401  # JSON
    content = new_registration(US, URL).content() | changes
    path.write_text("# a comment\n" + json.dumps(content), encoding="utf-8")
    return path


def test_what_is_written_is_read_again_and_is_nobody_else_s(tmp_path: Path) -> None:
    path = tmp_path / "registration.yaml"
    registration = new_registration(US, URL)
    write_registration(path, registration, US, overwrite=False)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_registration(path, US) == registration
    assert new_registration(US, URL).as_token != registration.as_token
    assert registration.as_token not in repr(registration)
    assert registration.hs_token not in repr(registration)


def test_a_file_that_is_there_is_replaced_only_where_that_is_wanted_and_then_kept_secret(
    tmp_path: Path,
) -> None:
    path = tmp_path / "registration.yaml"
    path.write_text("precious, and much longer than what comes in its place. " * 100)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="--force"):
        write_registration(path, new_registration(US, URL), US, overwrite=False)
    assert path.read_text().startswith("precious")
    write_registration(path, new_registration(US, URL), US, overwrite=True)
    assert read_registration(path, US).url == URL
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_folder_that_is_not_there_is_the_operator_s_to_make(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        write_registration(tmp_path / "no" / "file", new_registration(US, URL), US, overwrite=False)


def test_the_homeserver_s_users_are_of_interest_and_the_focus_s_own_is_reserved() -> None:
    registration = new_registration("@foc.us:example.org", URL)
    own, others = registration.content()["namespaces"]["users"]
    assert (own["exclusive"], others["exclusive"]) == (True, False), "the first that fits counts"
    assert registration.includes("@anybody:example.org")
    assert not registration.includes("@anybody:example.org.evil")
    assert not registration.includes("@anybody:exampleXorg")
    assert new_registration("@foc.us:example.org", URL).user_namespaces[0][0] == r"^@foc\.us:example\.org$"
    # Synapse does not let the sender sync, and does not take what must be quoted in a URL.
    assert registration.sender_localpart != "foc.us"
    assert new_registration("@=föcus/1:example.org", URL).sender_localpart == "fcus1-appservice"


def test_to_device_messages_of_everybody_are_not_asked_for() -> None:
    assert new_registration(US, URL).content()["receive_ephemeral"] is False


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"hs_token": ""}, "hs_token must be a string"),
        ({"as_token": 7}, "as_token must be a string"),
        ({"url": None}, "url must be a string"),
        ({"namespaces": []}, r"namespaces\.users must be an array"),
        ({"namespaces": {"users": [7]}}, "each must have a regex"),
        ({"namespaces": {"users": [{"regex": "("}]}}, "no regular expression"),
        ({"namespaces": {"users": [{"regex": "^@other:.*"}]}}, r"is not for matrix\.user_id = @focus"),
        ({"namespaces": {"users": []}}, r"is not for matrix\.user_id = @focus"),
    ],
)
def test_a_registration_that_is_wrong_says_what(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ConfigError, match=rf"^appservice\.registration = .*{expected}"):
        read_registration(written(tmp_path / "r.yaml", **changes), US)


@pytest.mark.parametrize("text", ["id: focus\n", "[]", "{", "[" * 100_000, "\x00"])
def test_a_file_that_is_none_is_a_config_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^appservice\.registration = .*JSON"):
        read_registration(path, US)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"^appservice\.registration"):
        read_registration(path, US)


def test_a_file_that_is_not_there_names_the_command_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`focus registration` writes it"):
        read_registration(tmp_path / "r.yaml", US)


# --- the command ------------------------------------------------------------------------------------------


def config(**listening: Any) -> Config:  # noqa: ANN401  # of AppserviceConfig
    return Config(matrix=MatrixConfig(user_id=US), appservice=AppserviceConfig(**listening))


def test_the_command_writes_the_file_and_says_what_both_sides_must_be_told(tmp_path: Path) -> None:
    path = tmp_path / "registration.yaml"
    said = make_registration(config(), "https://focus.example.org/", path, overwrite=False)
    assert read_registration(path, US).url == "https://focus.example.org"
    assert f'app_service_config_files:\n  - "{path}"' in said
    assert f'[appservice]\nregistration = "{path}"' in said
    assert 'mode = "appservice"' in said


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:9000"),
        ("::1", "http://[::1]:9000"),
        ("focus.internal", "http://focus.internal:9000"),
    ],
)
def test_without_a_url_and_a_file_both_are_those_of_the_configuration(
    tmp_path: Path, host: str, url: str
) -> None:
    path = tmp_path / "registration.yaml"
    make_registration(config(host=host, port=9_000, registration=str(path)), None, None, overwrite=False)
    assert read_registration(path, US).url == url


@pytest.mark.parametrize(
    ("given", "url", "expected"),
    [
        (Config(), URL, r"matrix\.user_id: must be set"),
        (config(), "focus:9191", "--url focus:9191: must begin with http"),
        (config(host="0.0.0.0"), None, "--url: must be given"),  # noqa: S104  # only spoken of
        (config(host="::"), None, "--url: must be given"),
    ],
)
def test_what_the_command_can_not_know_it_asks_for(
    tmp_path: Path, given: Config, url: str | None, expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        make_registration(given, url, tmp_path / "registration.yaml", overwrite=False)
    assert not (tmp_path / "registration.yaml").exists()


def test_a_file_that_nobody_names_is_asked_for() -> None:
    with pytest.raises(ConfigError, match="--output: must be given"):
        make_registration(config(), URL, None, overwrite=False)
