"""`focus registration`: what the operator of the homeserver needs for appservice mode."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import TYPE_CHECKING

from sfu.errors import ConfigError
from signalling.matrix.registration import new_registration, write_registration

if TYPE_CHECKING:
    from signalling.config import AppserviceConfig, Config


def make_registration(config: Config, url: str | None, output: Path | None, *, overwrite: bool) -> str:
    """Write a registration file; what is to be done with it, in words.

    Args:
        config: of the focus that it is for.
        url: where the homeserver reaches that focus; None: where it listens.
        output: the file; None: that of the configuration.
        overwrite: whether one that is there may be replaced.

    Raises:
        ConfigError: the configuration names no account, or the file can't be written.
    """
    user_id, listening = config.matrix.user_id, config.appservice
    if not user_id:
        raise ConfigError("matrix.user_id: must be set, such as @focus:example.org")
    if output is None:
        if not listening.registration:
            raise ConfigError("--output: must be given, as appservice.registration is not set")
        output = Path(listening.registration)
    if url is None:
        url = _own_url(listening)
    elif not url.startswith(("http://", "https://")):
        raise ConfigError(f"--url {url}: must begin with http:// or https://")
    write_registration(output, new_registration(user_id, url.rstrip("/")), user_id, overwrite=overwrite)
    path = json.dumps(str(output.resolve()))
    return f"""\
{output} is written. It is secret, and readable by you alone; the user of the homeserver must be able to read
it too.

homeserver.yaml gets, before a restart of the homeserver:

app_service_config_files:
  - {path}

The configuration of the focus gets, where {url} must lead to appservice.host and appservice.port:

[matrix]
mode = "appservice"

[appservice]
registration = {path}
"""


def _own_url(listening: AppserviceConfig) -> str:
    try:
        address = ipaddress.ip_address(listening.host)
    except ValueError:
        return f"http://{listening.host}:{listening.port}"
    if address.is_unspecified:
        raise ConfigError(f"--url: must be given, as appservice.host = {listening.host} is every address")
    host = f"[{address}]" if address.version == 6 else str(address)
    return f"http://{host}:{listening.port}"
