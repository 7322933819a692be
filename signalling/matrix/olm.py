"""Olm for to-device messages (m.olm.v1.curve25519-aes-sha2, client-server API section 11.12.4.1).

Clients of this dialect talk to a focus in the clear; some encrypt. What came encrypted is answered encrypted,
and its device is proven instead of claimed.
"""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import vodozemac

from sfu.errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from signalling.store import Store

ALGORITHM: Final = "m.olm.v1.curve25519-aes-sha2"
ENCRYPTED: Final = "m.room.encrypted"

MAX_CIPHERTEXT_LENGTH: Final = 1 << 20
MAX_SESSIONS_PER_SENDER: Final = 5
"""Sessions kept with one device. Lower: a client that makes a new one for each message loses older ones."""
ONE_TIME_KEYS: Final = 50
"""One-time keys kept at the homeserver: as many devices may start a session while this focus is away."""

_PICKLE_KEY_FACT: Final = "olm_pickle_key"
_ACCOUNT_FACT: Final = "olm_account"


@dataclass(frozen=True, slots=True)
class DeviceKeys:
    """The two identity keys of a device, in unpadded base64."""

    curve25519: str
    ed25519: str


@dataclass(frozen=True, slots=True)
class Decrypted:
    """What an encrypted message said, and the keys that its sender proved to have."""

    type: str
    content: dict[str, Any]
    keys: DeviceKeys


class OlmMachine:
    """One account and its sessions, kept in the store."""

    def __init__(self, store: Store, user_id: str, device_id: str) -> None:
        self._store = store
        self._user_id = user_id
        self._device_id = device_id
        self._pickle_key = self._load_pickle_key()
        pickled = store.fact(_ACCOUNT_FACT)
        self._account = (
            vodozemac.Account()
            if pickled is None
            else vodozemac.Account.from_pickle(pickled, self._pickle_key)
        )
        self._save_account()

    @property
    def keys(self) -> DeviceKeys:
        """Our own identity keys."""
        return DeviceKeys(self._account.curve25519_key.to_base64(), self._account.ed25519_key.to_base64())

    def device_keys(self) -> dict[str, Any]:
        """Our signed device keys, for `/keys/upload`."""
        keys = self.keys
        return self._signed(
            {
                "user_id": self._user_id,
                "device_id": self._device_id,
                "algorithms": [ALGORITHM],
                "keys": {
                    f"curve25519:{self._device_id}": keys.curve25519,
                    f"ed25519:{self._device_id}": keys.ed25519,
                },
            }
        )

    def one_time_keys(self, at_homeserver: int) -> dict[str, Any]:
        """New signed one-time keys to fill up what the homeserver has; empty while it has enough."""
        missing = ONE_TIME_KEYS - at_homeserver
        if missing <= ONE_TIME_KEYS // 2:
            return {}
        self._account.generate_one_time_keys(missing)
        return {
            f"signed_curve25519:{key_id}": self._signed({"key": key.to_base64()})
            for key_id, key in self._account.one_time_keys.items()
        }

    def keys_published(self) -> None:
        """The upload was confirmed: never publish the same one-time keys again."""
        self._account.mark_keys_as_published()
        self._save_account()

    def decrypt(self, sender: str, content: Mapping[str, Any]) -> Decrypted:
        """Decrypt a to-device message.

        Raises:
            ParseError: it is not for us, not decipherable, or names another sender or recipient.
        """
        sender_key, message = self._ciphertext(content)
        try:
            payload = json.loads(self._decrypt(sender_key, message))
        except (ValueError, RecursionError) as error:
            raise ParseError("olm_payload", "no JSON inside") from error
        return self._checked(sender, sender_key, payload)

    def has_session(self, keys: DeviceKeys) -> bool:
        """Whether a message to this device can be encrypted without claiming one of its one-time keys."""
        return bool(self._store.olm_sessions(keys.curve25519))

    def start_session(self, keys: DeviceKeys, one_time_key: str) -> None:
        """Make a session with a claimed one-time key.

        Raises:
            ParseError: the key is none.
        """
        try:
            session = self._account.create_outbound_session(
                vodozemac.Curve25519PublicKey.from_base64(keys.curve25519),
                vodozemac.Curve25519PublicKey.from_base64(one_time_key),
            )
        except (vodozemac.KeyException, vodozemac.SessionCreationException, ValueError) as error:
            raise ParseError("olm_key", str(error)) from error
        self._save_session(keys.curve25519, session)

    def encrypt(
        self, user_id: str, keys: DeviceKeys, event_type: str, content: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The content of an `m.room.encrypted` message to a device that there is a session with."""
        session_id, pickled = self._store.olm_sessions(keys.curve25519)[0]
        session = vodozemac.Session.from_pickle(pickled, self._pickle_key)
        payload = {
            "type": event_type,
            "content": dict(content),
            "sender": self._user_id,
            "recipient": user_id,
            "recipient_keys": {"ed25519": keys.ed25519},
            "keys": {"ed25519": self.keys.ed25519},
        }
        message_type, ciphertext = session.encrypt(json.dumps(payload).encode()).to_parts()
        self._store.set_olm_session(keys.curve25519, session_id, session.pickle(self._pickle_key))
        return {
            "algorithm": ALGORITHM,
            "sender_key": self.keys.curve25519,
            "ciphertext": {keys.curve25519: {"type": message_type, "body": _base64(ciphertext)}},
        }

    def _ciphertext(self, content: Mapping[str, Any]) -> tuple[str, vodozemac.AnyOlmMessage]:
        sender_key, ciphertext = content.get("sender_key"), content.get("ciphertext")
        if content.get("algorithm") != ALGORITHM or not isinstance(sender_key, str):
            raise ParseError("olm_algorithm", f"{content.get('algorithm')!r:.60}")
        own = ciphertext.get(self.keys.curve25519) if isinstance(ciphertext, dict) else None
        if not isinstance(own, dict):
            raise ParseError("olm_recipient", "no ciphertext for this device")
        kind, body = own.get("type"), own.get("body")
        if type(kind) is not int or kind not in {0, 1}:
            raise ParseError("olm_ciphertext", "neither a pre-key message nor a normal one")
        if not isinstance(body, str) or len(body) > MAX_CIPHERTEXT_LENGTH:
            raise ParseError("olm_ciphertext", "no body, or too long a one")
        try:
            message = vodozemac.AnyOlmMessage.from_parts(
                kind, base64.b64decode(body + "=" * (-len(body) % 4))
            )
        except (ValueError, vodozemac.DecodeException) as error:
            raise ParseError("olm_ciphertext", str(error)) from error
        return sender_key, message

    def _decrypt(self, sender_key: str, message: vodozemac.AnyOlmMessage) -> bytes:
        for session_id, pickled in self._store.olm_sessions(sender_key):
            session = vodozemac.Session.from_pickle(pickled, self._pickle_key)
            try:
                plaintext = session.decrypt(message)
            except vodozemac.OlmDecryptionException:
                continue
            self._store.set_olm_session(sender_key, session_id, session.pickle(self._pickle_key))
            return bytes(plaintext)
        prekey = message.to_pre_key()
        if prekey is None:
            raise ParseError("olm_session", "no session with that device deciphers it")
        try:
            identity = vodozemac.Curve25519PublicKey.from_base64(sender_key)
            session, plaintext = self._account.create_inbound_session(identity, prekey)
        except (vodozemac.KeyException, vodozemac.SessionCreationException, ValueError) as error:
            raise ParseError("olm_session", str(error)) from error
        self._save_account()
        self._save_session(sender_key, session)
        return bytes(plaintext)

    def _checked(self, sender: str, sender_key: str, payload: object) -> Decrypted:
        # The spec's checks against a homeserver that reuses a ciphertext under another name.
        if not isinstance(payload, dict):
            raise ParseError("olm_payload", "no object inside")
        keys, recipient_keys = payload.get("keys"), payload.get("recipient_keys")
        if payload.get("sender") != sender or payload.get("recipient") != self._user_id:
            raise ParseError("olm_names", "sender or recipient inside differ from those outside")
        if not isinstance(recipient_keys, dict) or recipient_keys.get("ed25519") != self.keys.ed25519:
            raise ParseError("olm_names", "encrypted for another device")
        if not isinstance(keys, dict) or not isinstance(keys.get("ed25519"), str):
            raise ParseError("olm_payload", "no key of the sender")
        event_type, content = payload.get("type"), payload.get("content")
        if not isinstance(event_type, str) or not isinstance(content, dict):
            raise ParseError("olm_payload", "no event inside")
        return Decrypted(event_type, content, DeviceKeys(sender_key, keys["ed25519"]))

    def _signed(self, value: dict[str, Any]) -> dict[str, Any]:
        signature = self._account.sign(canonical_json(value)).to_base64()
        return value | {"signatures": {self._user_id: {f"ed25519:{self._device_id}": signature}}}

    def _load_pickle_key(self) -> bytes:
        kept = self._store.fact(_PICKLE_KEY_FACT)
        key = secrets.token_bytes(32) if kept is None else base64.b64decode(kept)
        self._store.set_fact(_PICKLE_KEY_FACT, base64.b64encode(key).decode())
        return key

    def _save_account(self) -> None:
        self._store.set_fact(_ACCOUNT_FACT, self._account.pickle(self._pickle_key))

    def _save_session(self, sender_key: str, session: vodozemac.Session) -> None:
        self._store.set_olm_session(sender_key, session.session_id, session.pickle(self._pickle_key))
        self._store.trim_olm_sessions(sender_key, MAX_SESSIONS_PER_SENDER)


def canonical_json(value: Mapping[str, Any]) -> bytes:
    """What is signed (appendices: Canonical JSON), without `signatures` and `unsigned`."""
    bare = {key: item for key, item in value.items() if key not in {"signatures", "unsigned"}}
    return json.dumps(bare, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def verified_keys(user_id: str, device_id: str, device: object) -> DeviceKeys:
    """The identity keys of a device as `/keys/query` tells them, their self-signature checked.

    Raises:
        ParseError: they are of another device, incomplete or not signed by themselves.
    """
    if not isinstance(device, dict):
        raise ParseError("olm_key", "no device keys")
    try:
        if device["user_id"] != user_id or device["device_id"] != device_id:
            raise ParseError("olm_key", "keys of another device")
        keys = DeviceKeys(device["keys"][f"curve25519:{device_id}"], device["keys"][f"ed25519:{device_id}"])
        signature = device["signatures"][user_id][f"ed25519:{device_id}"]
        vodozemac.Ed25519PublicKey.from_base64(keys.ed25519).verify_signature(
            canonical_json(device), vodozemac.Ed25519Signature.from_base64(signature)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ParseError("olm_key", "malformed device keys") from error
    except (vodozemac.KeyException, vodozemac.SignatureException) as error:
        raise ParseError("olm_key", "device keys are not signed by themselves") from error
    return keys


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")
