"""A device that encrypts, made of vodozemac and the specification alone: the other end of our Olm code."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import vodozemac

if TYPE_CHECKING:
    from loadtest.homeserver.users import User

ALGORITHM = "m.olm.v1.curve25519-aes-sha2"


class OlmDevice:
    """The device of a user, with its keys at the homeserver. Requests block."""

    def __init__(self, user: User) -> None:
        self.user = user
        self._account = vodozemac.Account()
        self._sessions: list[Any] = []
        self._account.generate_one_time_keys(5)
        device_id = user.device_id
        keys = {f"curve25519:{device_id}": self.curve25519, f"ed25519:{device_id}": self.ed25519}
        device = {"user_id": user.user_id, "device_id": device_id, "algorithms": [ALGORITHM], "keys": keys}
        one_time = {
            f"signed_curve25519:{key_id}": self._signed({"key": key.to_base64()})
            for key_id, key in self._account.one_time_keys.items()
        }
        user.post(
            "/_matrix/client/v3/keys/upload",
            {"device_keys": self._signed(device), "one_time_keys": one_time},
        )
        self._account.mark_keys_as_published()

    @property
    def curve25519(self) -> str:
        return str(self._account.curve25519_key.to_base64())

    @property
    def ed25519(self) -> str:
        return str(self._account.ed25519_key.to_base64())

    def send(self, user_id: str, device_id: str, event_type: str, content: dict[str, Any]) -> None:
        """Encrypt a message, with a session of its own, and send it."""
        queried = self.user.post("/_matrix/client/v3/keys/query", {"device_keys": {user_id: []}})
        keys = queried["device_keys"][user_id][device_id]["keys"]
        claimed = self.user.post(
            "/_matrix/client/v3/keys/claim",
            {"one_time_keys": {user_id: {device_id: "signed_curve25519"}}},
        )
        (one_time,) = claimed["one_time_keys"][user_id][device_id].values()
        receiver = keys[f"curve25519:{device_id}"]
        session = self._account.create_outbound_session(
            vodozemac.Curve25519PublicKey.from_base64(receiver),
            vodozemac.Curve25519PublicKey.from_base64(one_time["key"]),
        )
        self._sessions.append(session)
        payload = {
            "type": event_type,
            "content": content,
            "sender": self.user.user_id,
            "recipient": user_id,
            "recipient_keys": {"ed25519": keys[f"ed25519:{device_id}"]},
            "keys": {"ed25519": self.ed25519},
        }
        kind, ciphertext = session.encrypt(json.dumps(payload).encode()).to_parts()
        body = base64.b64encode(ciphertext).decode().rstrip("=")
        encrypted = {
            "algorithm": ALGORITHM,
            "sender_key": self.curve25519,
            "ciphertext": {receiver: {"type": kind, "body": body}},
        }
        path = f"/_matrix/client/v3/sendToDevice/m.room.encrypted/{ciphertext[-8:].hex()}"
        self.user.put(path, {"messages": {user_id: {device_id: encrypted}}})

    def decrypt(self, content: dict[str, Any]) -> dict[str, Any]:
        """What an encrypted message says."""
        own = content["ciphertext"][self.curve25519]
        body = own["body"]
        message = vodozemac.AnyOlmMessage.from_parts(
            own["type"], base64.b64decode(body + "=" * (-len(body) % 4))
        )
        for session in self._sessions:
            try:
                return dict(json.loads(session.decrypt(message)))
            except vodozemac.OlmDecryptionException:
                continue
        prekey = message.to_pre_key()
        assert prekey is not None
        sender_key = vodozemac.Curve25519PublicKey.from_base64(content["sender_key"])
        session, plaintext = self._account.create_inbound_session(sender_key, prekey)
        self._sessions.append(session)
        return dict(json.loads(plaintext))

    def _signed(self, value: dict[str, Any]) -> dict[str, Any]:
        canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        signature = self._account.sign(canonical).to_base64()
        return value | {"signatures": {self.user.user_id: {f"ed25519:{self.user.device_id}": signature}}}
