"""Whose signalling is recorded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Subject:
    """A leg, before there is one: None is any device, any call, and of a user everybody."""

    user_id: str | None = None
    device_id: str | None = None
    conf_id: str | None = None

    @property
    def is_everybody(self) -> bool:
        """Whether it is no one's leg but all that is said: then nothing of it can be replayed."""
        return self.user_id is None

    def is_user(self, user_id: str) -> bool:
        """Whether something of this user may belong to it."""
        return self.user_id in {None, user_id}

    def is_conference(self, conf_id: str) -> bool:
        """Whether something of this call may."""
        return self.conf_id in {None, conf_id}

    def is_leg(self, user_id: str, device_id: str, conf_id: str) -> bool:
        """Whether this is one of its legs."""
        return self.is_user(user_id) and self.device_id in {None, device_id} and self.is_conference(conf_id)
