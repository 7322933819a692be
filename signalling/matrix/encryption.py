"""Encrypted to-device messages in and out: the Olm machine with the homeserver's key directory behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sfu.errors import ParseError
from signalling.matrix.olm import Decrypted, DeviceKeys, OlmMachine, verified_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from signalling.matrix.session import MatrixSession

MAX_CACHED_DEVICES: Final = 2_000
"""Devices whose keys are remembered; beyond it the oldest is asked for again."""


class Encryption:
    """Our device's keys at the homeserver, and those of the devices that encrypt to us."""

    def __init__(self, session: MatrixSession, machine: OlmMachine) -> None:
        self._session = session
        self._machine = machine
        self._devices: dict[tuple[str, str], DeviceKeys] = {}

    async def publish(self, one_time_keys_at_homeserver: int | None) -> None:
        """Upload our device keys (None: at start) and what one-time keys are missing.

        Raises:
            MatrixRequestError: the homeserver refused them.
        """
        if one_time_keys_at_homeserver is None:
            answer = await self._session.request(
                "POST", "/_matrix/client/v3/keys/upload", {"device_keys": self._machine.device_keys()}
            )
            one_time_keys_at_homeserver = int(answer["one_time_key_counts"].get("signed_curve25519", 0))
        missing = self._machine.one_time_keys(one_time_keys_at_homeserver)
        if missing:
            await self._session.request("POST", "/_matrix/client/v3/keys/upload", {"one_time_keys": missing})
            self._machine.keys_published()

    async def decrypt(self, sender: str, content: Mapping[str, Any]) -> tuple[Decrypted, str]:
        """Decrypt a message; the second value is the sender's proven device id.

        Raises:
            ParseError: it can't be deciphered, or no device of the sender has these keys.
            MatrixRequestError: the homeserver refused to tell the sender's devices.
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
            ParseError: the device has no usable keys.
            MatrixRequestError: the homeserver refused.
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
        answer = await self._session.request(
            "POST", "/_matrix/client/v3/keys/query", {"device_keys": {user_id: []}}
        )
        found = {}
        for device_id, device in answer.get("device_keys", {}).get(user_id, {}).items():
            try:
                found[device_id] = verified_keys(user_id, device_id, device)
            except ParseError:
                continue
        return found

    async def _claim(self, user_id: str, device_id: str) -> str:
        answer = await self._session.request(
            "POST",
            "/_matrix/client/v3/keys/claim",
            {"one_time_keys": {user_id: {device_id: "signed_curve25519"}}},
        )
        claimed = answer.get("one_time_keys", {}).get(user_id, {}).get(device_id, {})
        for key in claimed.values():
            if isinstance(key, dict) and isinstance(key.get("key"), str):
                return str(key["key"])
        raise ParseError("olm_device", "that device has no one-time key left")

    def _remember(self, user_id: str, device_id: str, keys: DeviceKeys) -> None:
        self._devices[user_id, device_id] = keys
        while len(self._devices) > MAX_CACHED_DEVICES:
            del self._devices[next(iter(self._devices))]
