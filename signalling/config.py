"""The only reader of files and environment: TOML into one tree of frozen settings, secrets beside it."""

from __future__ import annotations

import difflib
import os
import tomllib
import types
import typing
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sfu.conference.caps import NO_CAPS
from sfu.config import (
    PLANES,
    AllocationConfig,
    ConferenceConfig,
    LimitsConfig,
    MediaConfig,
    SfuConfig,
    check_ranges,
    setting,
)
from sfu.errors import ConfigError
from signalling.focus.caps import CapRule
from signalling.focus.cascade.settings import CascadeSettings, relays_of
from signalling.focus.settings import CallSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from signalling.events.room_state import FocusDevice

PASSWORD_VARIABLE: Final = "FOCUS_PASSWORD"  # noqa: S105  # the name of a variable
ACCESS_TOKEN_VARIABLE: Final = "FOCUS_ACCESS_TOKEN"  # noqa: S105  # the name of a variable

MEMBER: Final = "member"
APPSERVICE: Final = "appservice"


@dataclass(frozen=True, slots=True)
class MatrixConfig:
    """The focus's account."""

    mode: str = setting(
        "member",
        'How it sees calls: as a "member" of the rooms that it is invited to, or as an "appservice" that the '
        "homeserver tells of all its users' rooms.",
    )
    homeserver_url: str = setting("http://127.0.0.1:8008", "Client-server API of the account's homeserver.")
    user_id: str = setting("", "The account of this focus, such as @focus:example.org.")
    device_id: str = setting(
        "FOCUS", "Its device, kept over restarts: clients are told it, and calls name it in their events."
    )
    allowed_servers: tuple[str, ...] = setting(
        (), "Servers whose users may invite this focus into rooms; empty: the account's own server only."
    )
    sync_timeout_ms: int = setting(30_000, "How long one sync waits for news.", low=0, high=120_000)
    request_timeout_s: float = setting(20.0, "Any other request is given up after this.", low=1.0, high=300.0)


@dataclass(frozen=True, slots=True)
class AppserviceConfig:
    """The listener for the homeserver; only with matrix.mode = "appservice"."""

    registration: str = setting(
        "", "File that `focus registration` writes, which the homeserver has loaded too."
    )
    host: str = setting("127.0.0.1", "Address of the listener; the registration's url must lead to it.")
    port: int = setting(9_191, "Its TCP port; 0 takes a free one.", low=0, high=65_535)


@dataclass(frozen=True, slots=True)
class AdminConfig:
    """The private listener: metrics, health and the admin API. It has no authentication: keep it private."""

    host: str = setting("127.0.0.1", "Address of the private listener.")
    port: int = setting(9_190, "Its TCP port; 0 takes a free one.", low=0, high=65_535)


@dataclass(frozen=True, slots=True)
class WebConfig:
    """The public listener: the page. Browsers give a camera to https only: put a reverse proxy in front."""

    enabled: bool = setting(True, "Whether the page is served.")
    host: str = setting("127.0.0.1", "Address of the public listener.")
    port: int = setting(9_180, "Its TCP port; 0 takes a free one.", low=0, high=65_535)
    homeserver_url: str = setting(
        "", "What the page offers to log in to, as browsers reach it; empty: matrix.homeserver_url."
    )


@dataclass(frozen=True, slots=True)
class LogConfig:
    """Logs, on standard error."""

    format: str = setting("json", 'How a line looks: "json" or "console".')
    level: str = setting("info", 'The least that is logged: "debug", "info", "warning" or "error".')


@dataclass(frozen=True, slots=True)
class Config:
    """The root of all settings."""

    data_dir: str = setting(
        "focus-data", "Folder for the sync position and the legs to hang up after a crash."
    )
    matrix: MatrixConfig = field(default_factory=MatrixConfig)
    appservice: AppserviceConfig = field(default_factory=AppserviceConfig)
    media: MediaConfig = field(default_factory=MediaConfig)
    calls: CallSettings = field(default_factory=CallSettings)
    conference: ConferenceConfig = field(default_factory=ConferenceConfig)
    allocation: AllocationConfig = field(default_factory=AllocationConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    cascade: CascadeSettings = field(default_factory=CascadeSettings)
    admin: AdminConfig = field(default_factory=AdminConfig)
    web: WebConfig = field(default_factory=WebConfig)
    log: LogConfig = field(default_factory=LogConfig)
    caps: tuple[CapRule, ...] = ()
    """Ceilings for some."""

    @property
    def sfu(self) -> SfuConfig:
        """The media server's own tree."""
        return SfuConfig(self.media, self.limits, self.conference, self.allocation)


@dataclass(frozen=True, slots=True)
class Secrets:
    """What must not stand in a file that people show one another. Its repr shows nothing."""

    password: str | None = field(default=None, repr=False)
    access_token: str | None = field(default=None, repr=False)


def load_config(path: Path) -> Config:
    """Read a configuration file.

    Raises:
        ConfigError: no file, no TOML, an unknown key, a wrong type or a value out of range.
    """
    try:
        source = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such file") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return parse_config(source, path.parent)


def parse_config(source: Mapping[str, Any], folder: Path = Path()) -> Config:
    """Make settings of parsed TOML; what it leaves out keeps its default.

    Args:
        source: the file as a value.
        folder: of the file: the path of a policy starts there.

    Raises:
        ConfigError: an unknown key, a wrong type or a value out of range, naming the key.
    """
    config: Config = _build(Config, source, "")
    config = replace(config, allocation=_policy_from(config.allocation, folder))
    check_ranges(config)
    _check_account(config.matrix)
    _check_choice("matrix.mode", config.matrix.mode, (MEMBER, APPSERVICE))
    if config.matrix.mode == APPSERVICE and not config.appservice.registration:
        raise ConfigError("appservice.registration: must be set; `focus registration` writes that file")
    if config.web.homeserver_url:
        _check_url("web.homeserver_url", config.web.homeserver_url)
    _check_choice("log.format", config.log.format, ("json", "console"))
    _check_choice("log.level", config.log.level, ("debug", "info", "warning", "error"))
    _check_choice("media.plane", config.media.plane, PLANES)
    for codec in config.conference.codecs:
        _check_choice("conference.codecs", codec, ("VP8", "H264", "VP9", "AV1", "opus"))
    for number, rule in enumerate(config.caps):
        _check_cap(f"caps[{number}]", rule)
    _check_cascade(config.cascade)
    return config


def load_secrets(environment: Mapping[str, str] | None = None) -> Secrets:
    """Take secrets from the environment: `FOCUS_ACCESS_TOKEN` or `FOCUS_PASSWORD`.

    Either may be given as a file's path in the same name with `_FILE` behind it.

    Raises:
        ConfigError: a secret's file can't be read.
    """
    source = os.environ if environment is None else environment
    return Secrets(
        password=_secret(source, PASSWORD_VARIABLE), access_token=_secret(source, ACCESS_TOKEN_VARIABLE)
    )


def example_toml() -> str:
    """An example file with every setting at its default, its effect and its legal range."""
    lines = ["# matrix-focus: every setting with its default. Secrets stand in the environment:"]
    lines += [f"# {ACCESS_TOKEN_VARIABLE}, or {PASSWORD_VARIABLE} (each also as …_FILE).", ""]
    defaults = Config()
    for item in fields(defaults):
        if "effect" in item.metadata:
            lines += _example_lines(item, getattr(defaults, item.name))
    branches = {item.name: getattr(defaults, item.name) for item in fields(defaults)}
    for name, branch in branches.items():
        if not is_dataclass(branch):
            continue
        lines += ["", f"# {_first_line(type(branch))}", f"[{name}]"]
        for item in fields(branch):
            lines += _example_lines(item, getattr(branch, item.name))
    lines += [
        "",
        *_wrapped(f"{_first_line(CapRule)} One such table for each rule, and none by default:"),
        "#[[caps]]",
    ]
    for item in fields(CapRule):
        *effect, value = _example_lines(item, item.default)
        lines += [*effect, f"#{value}"]
    return "\n".join(lines) + "\n"


def _build(kind: type[Any], source: object, prefix: str) -> Any:  # noqa: ANN401  # any of the config's classes
    if not isinstance(source, dict):
        raise ConfigError(f"{prefix.rstrip('.')}: must be a table")
    known = {item.name: item for item in fields(kind)}
    hints = typing.get_type_hints(kind)
    values = {}
    for key, value in source.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {prefix}{near[0]}?" if near else f"; known are {', '.join(sorted(known))}"
            raise ConfigError(f"{prefix}{key}: unknown key{hint}")
        values[key] = _convert(hints[key], value, f"{prefix}{key}")
    return kind(**values)


def _convert(hint: Any, value: object, key: str) -> Any:  # noqa: ANN401  # typed by the hint
    if is_dataclass(hint):
        return _build(typing.cast("type[Any]", hint), value, f"{key}.")
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{key} = {value!r}: must be an array")
        item_hint = typing.get_args(hint)[0]
        is_table = is_dataclass(item_hint)
        return tuple(
            _convert(item_hint, item, f"{key}[{number}]" if is_table else key)
            for number, item in enumerate(value)
        )
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, types.UnionType) or not isinstance(hint, type):
        raise TypeError(f"{key}: no settings of type {hint}")
    if type(value) is not hint:
        raise ConfigError(f"{key} = {value!r}: must be {_TYPE_NAMES.get(hint, hint.__name__)}")
    return value


_TYPE_NAMES: Final = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


def _check_choice(key: str, value: str, legal: tuple[str, ...]) -> None:
    if value not in legal:
        raise ConfigError(f"{key} = {value!r}: legal are {', '.join(legal)}")


def _check_url(key: str, value: str) -> None:
    if not value.startswith(("http://", "https://")):
        raise ConfigError(f"{key} = {value!r}: must begin with http:// or https://")


def _policy_from(allocation: AllocationConfig, folder: Path) -> AllocationConfig:
    policy = allocation.policy
    return replace(allocation, policy=str(folder / policy)) if policy.endswith(".py") else allocation


def _check_account(matrix: MatrixConfig) -> None:
    _check_url("matrix.homeserver_url", matrix.homeserver_url)
    # Empty is left to those who need an account.
    if matrix.user_id and not _is_user_id(matrix.user_id):
        raise ConfigError(
            f"matrix.user_id = {matrix.user_id!r}: must be a whole user id, such as @focus:example.org"
        )
    if not matrix.device_id:
        raise ConfigError("matrix.device_id = '': must not be empty")


def _check_cap(key: str, rule: CapRule) -> None:
    if not (rule.user or rule.room or rule.server):
        raise ConfigError(
            f"{key}: must name a user, a room or a server; ceilings for all are in [allocation]"
        )
    if rule.user and not _is_user_id(rule.user):
        raise ConfigError(f"{key}.user = {rule.user!r}: must be a whole user id, such as @alice:example.org")
    if rule.room and not rule.room.startswith("!"):
        raise ConfigError(f"{key}.room = {rule.room!r}: must be a room id, which begins with !; no alias")
    if rule.server and rule.server.startswith(("@", "http:", "https:")):
        raise ConfigError(
            f"{key}.server = {rule.server!r}: must be a name as in user ids, such as example.org"
        )
    if rule.caps == NO_CAPS:
        raise ConfigError(f"{key}: must have max_bps, max_height or max_videos above 0")


def _check_cascade(cascade: CascadeSettings) -> None:
    for number, rule in enumerate(cascade.relays):
        _check_focus(f"cascade.relays[{number}].", rule.focus)
    if len({rule.focus for rule in cascade.relays}) < len(cascade.relays):
        raise ConfigError("cascade.relays: must name each focus once")
    if cascade.relays and cascade.max_hops == 1:
        raise ConfigError("cascade.max_hops = 1: must be 2 or more where there are cascade.relays")
    _check_tree(cascade)


def _check_tree(cascade: CascadeSettings) -> None:
    relays = relays_of(cascade)
    parents: dict[FocusDevice, FocusDevice] = {}
    for number, rule in enumerate(cascade.tree):
        key = f"cascade.tree[{number}]"
        _check_focus(f"{key}.", rule.focus)
        _check_focus(f"{key}.parent_", rule.parent)
        if rule.focus in parents:
            raise ConfigError(f"{key}: {rule.user_id} has a parent already")
        if rule.parent not in relays:
            raise ConfigError(
                f"{key}.parent_user_id = {rule.parent_user_id!r}: must be one of cascade.relays"
            )
        parents[rule.focus] = rule.parent
        above: FocusDevice | None = rule.parent
        while above is not None and above != rule.focus:
            above = parents.get(above)
        if above is not None:
            raise ConfigError(f"{key}: {rule.user_id} is its own ancestor, so this is no tree")


def _check_focus(prefix: str, focus: FocusDevice) -> None:
    if not _is_user_id(focus.user_id):
        raise ConfigError(
            f"{prefix}user_id = {focus.user_id!r}: must be a whole user id, such as @focus:example.org"
        )
    if not focus.device_id:
        raise ConfigError(f"{prefix}device_id: must be set")


def _is_user_id(text: str) -> bool:
    localpart, _, server = text.partition(":")
    return localpart.startswith("@") and bool(server)


def _secret(source: Mapping[str, str], name: str) -> str | None:
    path = source.get(f"{name}_FILE")
    if path is None:
        return source.get(name) or None
    try:
        return Path(path).read_text(encoding="utf-8").strip() or None
    except OSError as error:
        raise ConfigError(f"{name}_FILE = {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}_FILE = {path}: {error}") from error


def _example_lines(item: Any, value: object) -> list[str]:  # noqa: ANN401  # dataclasses.Field of any type
    assert item.default is not MISSING or item.default_factory is not MISSING  # noqa: S101  # ours: no required ones
    low, high = item.metadata.get("low"), item.metadata.get("high")
    bounds = ""
    if low is not None or high is not None:
        bounds = f" Legal: {'' if low is None else f'{low} '}to {'any' if high is None else high}."
    words = f"{item.metadata['effect']}{bounds}"
    return [*_wrapped(words), f"{item.name} = {_toml_value(value)}"]


def _first_line(kind: type[Any]) -> str:
    return (kind.__doc__ or "").splitlines()[0]


def _wrapped(words: str) -> list[str]:
    lines, line = [], "#"
    for word in words.split():
        if len(line) + len(word) + 1 > 100:
            lines.append(line)
            line = "#"
        line = f"{line} {word}"
    return [*lines, line]


def _toml_value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(_toml_value(item) for item in value)}]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)
