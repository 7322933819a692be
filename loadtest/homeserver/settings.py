"""The settings of a throw-away Synapse: loopback, SQLite, no rate limits, federation with its neighbours."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

JsonObject = dict[str, Any]

_FAST: Final = {"per_second": 100_000, "burst_count": 100_000}

_NO_RATE_LIMITS: Final[JsonObject] = {
    "rc_message": _FAST,
    "rc_registration": _FAST,
    "rc_login": {"address": _FAST, "account": _FAST, "failed_attempts": _FAST},
    "rc_joins": {"local": _FAST, "remote": _FAST},
    "rc_joins_per_room": _FAST,
    "rc_invites": {"per_room": _FAST, "per_user": _FAST, "per_issuer": _FAST},
    "rc_delayed_event_mgmt": _FAST,
    "rc_room_creation": _FAST,
    "rc_key_requests": _FAST,
    "rc_user_directory": _FAST,
    "rc_profile": _FAST,
    "rc_media_create": _FAST,
    "rc_federation": {
        "window_size": 1_000,
        "sleep_limit": 100_000,
        "sleep_delay": 1,
        "reject_limit": 100_000,
        "concurrent": 100,
    },
}

_FEDERATION: Final[JsonObject] = {
    "trusted_key_servers": [],
    "suppress_key_server_warning": True,
    "federation_verify_certificates": False,
    "ip_range_blacklist": [],
    "federation": {
        "client_timeout": "10s",
        "max_short_retry_delay": "1s",
        "max_long_retry_delay": "1s",
        "max_short_retries": 2,
        "max_long_retries": 2,
        "destination_min_retry_interval": "1s",
        "destination_retry_multiplier": 1,
        "destination_max_retry_interval": "2s",
    },
    "allow_public_rooms_over_federation": True,
}

LOG_FORMAT: Final = "%(asctime)s %(name)s %(levelname)s %(request)s %(message)s"


def synapse_settings(
    folder: Path, *, port: int, federation_port: int, shared_secret: str, extra: Mapping[str, Any]
) -> JsonObject:
    """The whole homeserver.yaml, as JSON (which YAML contains)."""
    settings: JsonObject = {
        "server_name": f"localhost:{federation_port}",
        "public_baseurl": f"http://127.0.0.1:{port}/",
        "pid_file": str(folder / "homeserver.pid"),
        "listeners": [
            {
                "type": "http",
                "bind_addresses": ["127.0.0.1"],
                "port": port,
                "resources": [{"names": ["client", "openid"], "compress": False}],
            },
            {
                "type": "http",
                "bind_addresses": ["127.0.0.1"],
                "port": federation_port,
                "tls": True,
                "resources": [{"names": ["federation", "client"], "compress": False}],
            },
        ],
        "tls_certificate_path": str(folder / "tls.crt"),
        "tls_private_key_path": str(folder / "tls.key"),
        "database": {"name": "sqlite3", "args": {"database": str(folder / "homeserver.db")}},
        "log_config": str(folder / "log.json"),
        "media_store_path": str(folder / "media"),
        "signing_key_path": str(folder / "signing.key"),
        "macaroon_secret_key": secrets.token_hex(16),
        "form_secret": secrets.token_hex(16),
        "registration_shared_secret": shared_secret,
        "enable_registration": True,
        "enable_registration_without_verification": True,
        "bcrypt_rounds": 4,
        "report_stats": False,
        "presence": {"enabled": False},
        "url_preview_enabled": False,
        "serve_client_wellknown": True,
        **_FEDERATION,
        **_NO_RATE_LIMITS,
    }
    return merged(settings, extra)


def log_settings(folder: Path, level: str) -> JsonObject:
    """Python logging settings for Synapse: one file."""
    return {
        "version": 1,
        "formatters": {"f": {"format": LOG_FORMAT}},
        "handlers": {
            "file": {
                "class": "logging.FileHandler",
                "filename": str(folder / "homeserver.log"),
                "formatter": "f",
            }
        },
        "root": {"level": level, "handlers": ["file"]},
        "disable_existing_loggers": False,
    }


def merged(base: Mapping[str, Any], more: Mapping[str, Any]) -> JsonObject:
    """`base` with `more` laid over it, objects merged key by key."""
    result = dict(base)
    for key, value in more.items():
        below = result.get(key)
        both = isinstance(value, dict) and isinstance(below, dict)
        result[key] = merged(below, value) if both and isinstance(below, dict) else value
    return result
