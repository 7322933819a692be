"""Encrypted to-device messages in and out: the Olm machine with the homeserver's key directory behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import structlog
from mautrix.errors import MatrixRequestError

from sfu.errors import ParseError, TransportError
from signalling.matrix.olm import Decrypted, DeviceKeys, OlmMachine, verified_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from signalling.matrix.session import MatrixSession

_log = structlog.get_logger()

MAX_CACHED_DEVICES: Final = 2_000
"""Devices whose keys are remembered; beyond it the oldest is asked for again."""
REMOTE_TIMEOUT_MS: Final = 2_000
"""How long our homeserver may wait for another one's answer about keys. Lower: a device on a slow server is
refused. Higher: messages of others in the same sync wait longer for their turn."""
DIRECTORY_TRIES: Final = 2
"""Tries of a request for somebody's keys, which another homeserver has a say in."""

_UPLOAD: Final = "/_matrix/client/v3/keys/upload"
_QUERY: Final = "/_matrix/client/v3/keys/query"
_CLAIM: Final = "/_matrix/client/v3/keys/claim"
_COUNTS: Final = "one_time_key_counts"
_ONE_TIME: Final = "signed_curve25519"


class Encryption:
    """Our device's keys at the homeserver, and those of the devices that encrypt to us."""

    def __init__(self, session: MatrixSession, machine: OlmMachine) -> None:
        self._session = session
        self._machine = machine
        self._devices: dict[tuple[str, str], DeviceKeys] = {}

    async def publish(self) -> None:
        """Upload our device keys, at start, and what one-time keys are missing.

        Clients may always talk to a focus in the clear, so a refusal is logged and no more.
        """
        try:
            answer = await self._session.request(
                "POST", _UPLOAD, {"device_keys": self._machine.device_keys()}
            )
        except MatrixRequestError as error:
            _log.warning("device_keys_refused", status=error.http_status, error=str(error)[:200])
            return
        await self.fill_up(_object(answer, _COUNTS).get(_ONE_TIME, 0))

    async def fill_up(self, at_homeserver: object) -> None:
        """Upload one-time keys where the homeserver says that it has too few; anything but a count is 0."""
        count = at_homeserver if isinstance(at_homeserver, int) and at_homeserver >= 0 else 0
        missing = self._machine.one_time_keys(count)
        if not missing:
            return
        try:
            await self._session.request("POST", _UPLOAD, {"one_time_keys": missing})
        except MatrixRequestError as error:
            # Most often: it has other keys under these names, of a data folder that was lost. The next
            # ones will have other names.
            _log.warning("one_time_keys_refused", status=error.http_status, error=str(error)[:200])
        self._machine.keys_published()

    async def decrypt(self, sender: str, content: Mapping[str, Any]) -> tuple[Decrypted, str]:
        """Decrypt a message; the second value is the sender's proven device id.

        Raises:
            ParseError: it can't be deciphered, or no device of the sender is known to have these keys.
        """
        decrypted = self._machine.decrypt(sender, content)
        for (user_id, device_id), keys in self._devices.items():
            if user_id == sender and keys == decrypted.keys:
                return decrypted, device_id
        for device_id, keys in (await self._query(sender)).items():
            if keys == decrypted.keys:
                self._remember(sender, device_id, keys)
                return decrypted, device_id
        raise ParseError("olm_device", "no device of the sender has these keys")

    async def encrypt(
        self, user_id: str, device_id: str, event_type: str, content: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Encrypt a message to a device, with a new session where there is none.

        Raises:
            ParseError: the device is not known to have usable keys.
        """
        keys = self._devices.get((user_id, device_id))
        if keys is None:
            keys = (await self._query(user_id)).get(device_id)
            if keys is None:
                raise ParseError("olm_device", "that device has no keys")
            self._remember(user_id, device_id, keys)
        if not self._machine.has_session(keys):
            self._machine.start_session(keys, await self._claim(user_id, device_id))
        return self._machine.encrypt(user_id, keys, event_type, content)

    async def _query(self, user_id: str) -> dict[str, DeviceKeys]:
        answer = await self._ask(_QUERY, {"device_keys": {user_id: []}})
        found = {}
        for device_id, device in _object(answer, "device_keys", user_id).items():
            try:
                found[device_id] = verified_keys(user_id, device_id, device)
            except ParseError:
                continue
        return found

    async def _claim(self, user_id: str, device_id: str) -> str:
        answer = await self._ask(_CLAIM, {"one_time_keys": {user_id: {device_id: _ONE_TIME}}})
        for key in _object(answer, "one_time_keys", user_id, device_id).values():
            if isinstance(key, dict) and isinstance(key.get("key"), str):
                return str(key["key"])
        raise ParseError("olm_device", "that device has no one-time key left")

    async def _ask(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return await self._session.request(
                "POST", path, {**body, "timeout": REMOTE_TIMEOUT_MS}, tries=DIRECTORY_TRIES
            )
        except (MatrixRequestError, TransportError) as error:
            raise ParseError("olm_directory", str(error)[:200]) from error

    def _remember(self, user_id: str, device_id: str, keys: DeviceKeys) -> None:
        self._devices[user_id, device_id] = keys
        while len(self._devices) > MAX_CACHED_DEVICES:
            del self._devices[next(iter(self._devices))]


def _object(answer: object, *path: str) -> dict[str, Any]:
    """The object at a path of an answer; empty where there is none."""
    for name in path:
        answer = answer.get(name) if isinstance(answer, dict) else None
    return answer if isinstance(answer, dict) else {}
